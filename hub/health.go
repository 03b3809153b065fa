package hub

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/VictoriaMetrics/metrics"
)

// writeBrokerMetrics shows the broker's numbers.
func (h *Hub) writeBrokerMetrics(w io.Writer) {
	if h.broker == nil {
		return
	}
	s := h.broker.Stats()
	for _, g := range []struct {
		name  string
		value int64
	}{
		{"connections", int64(s.Connections)},
		{"connections_pending", int64(s.Pending)},
		{"sessions", int64(s.Sessions)},
		{"subscriptions", int64(s.Subscriptions)},
		{"retained_messages", int64(s.Retained)},
		{"retained_bytes", s.RetainedBytes},
		{"queued_bytes", s.QueuedBytes},
	} {
		metrics.WriteGaugeUint64(w, "herald_broker_"+g.name, uint64(max(0, g.value)))
	}
	for _, c := range []struct {
		name  string
		value uint64
	}{
		{"accepted_total", s.Accepted},
		{"turned_away_total", s.TurnedAway},
		{"logins_refused_total", s.LoginsRefused},
		{"notices_total", s.Notices},
		{"takeovers_total", s.Takeovers},
		{"messages_in_total", s.MessagesIn},
		{"messages_out_total", s.MessagesOut},
		{"bytes_in_total", s.BytesIn},
		{"bytes_out_total", s.BytesOut},
		{`dropped_total{reason="queue"}`, s.DroppedQueue},
		{`dropped_total{reason="unacked"}`, s.DroppedUnacked},
		{`dropped_total{reason="ended"}`, s.DroppedEnded},
		{"unanswered_total", s.Unanswered},
		{"denied_publishes_total", s.DeniedPublishes},
		{"denied_subscribes_total", s.DeniedSubscribes},
		{"violations_total", s.Violations},
		{"accept_errors_total", s.AcceptErrors},
		{"panics_total", s.Panics},
	} {
		metrics.WriteCounterUint64(w, "herald_broker_"+c.name, c.value)
	}
}

// Alive proves that writer and emitter get on: an empty job goes through them. A
// writer that tries again and again to reach its database does get on.
func (h *Hub) Alive(ctx context.Context) error {
	if h.failing.Load() != nil {
		return nil
	}
	p := &probe{make(chan struct{})}
	err := h.queue.pushUntil(ctx, p)
	if errors.Is(err, errBusy) || errors.Is(err, errStopped) {
		return nil
	}
	if err == nil {
		select {
		case <-p.done:
			return nil
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if h.failing.Load() != nil { // by now
		return nil
	}
	return fmt.Errorf("the writer does not get on: %w", err)
}

// probe is a job that writes nothing.
type probe struct{ done chan struct{} }

func (*probe) cost() int       { return 64 }
func (p *probe) emit(*emitter) { close(p.done) }
