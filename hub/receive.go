package hub

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/herald-im/herald/hub/broker"
	"github.com/herald-im/herald/protocol"
)

// maxReported is the longest report of a device that is kept, in bytes.
const maxReported = 64 << 10

// Receive is the broker's: it takes what a terminal publishes. It returns when
// the frame is handled or, if it writes, has a place in the queue. An error
// means that the terminal has to send it again.
func (h *Hub) Receive(p *broker.Peer, topic string, payload []byte) error {
	l := p.Data.(*login)
	if !h.table.heard(l) {
		return nil // the hub has ended it: what still comes is not wanted
	}
	t := protocol.ParseTopic(topic)
	switch {
	case t.Kind == protocol.TopicKindReported && t.User == l.user:
		return h.reported(l, topic, payload)
	case t.Kind != protocol.TopicKindIn || t.User != l.user || t.Terminal != l.terminal:
		h.drop(l, "topic", errors.New("not the terminal's topic"))
		return nil
	}
	f, err := protocol.DecodeFrame(payload)
	if err != nil {
		h.drop(l, "malformed", err)
		return nil
	}
	return h.frame(l, f)
}

// reported keeps what a device says it runs with, for those who watch it.
func (h *Hub) reported(l *login, topic string, payload []byte) error {
	if len(payload) > maxReported {
		h.drop(l, "report", errors.New("the report is over 64 KiB"))
		return nil
	}
	err := h.wire.Publish(topic, payload, 1, true)
	if errors.Is(err, broker.ErrRetainedFull) { // sending it again would not help
		h.drop(l, "report", err)
		return nil
	}
	return err
}

// complain logs what strangers and faulty terminals can cause as often as they
// like: beyond a few lines a second it is for debugging only.
func (h *Hub) complain(level slog.Level, msg string, args ...any) {
	if !h.complaints.Allow() {
		level = slog.LevelDebug
	}
	h.log.Log(context.Background(), level, msg, args...)
}

// drop notes a frame that is not handled.
func (h *Hub) drop(l *login, reason string, err error) {
	h.metrics.drop(reason)
	h.complain(slog.LevelWarn, "frame dropped", "user", l.user, "terminal", l.terminal, "reason", reason, "err", err)
}

func (h *Hub) frame(l *login, f *protocol.Frame) error {
	now := h.cfg.Now()
	if f.Exp != 0 && now.UnixMilli() > f.Exp {
		h.metrics.drop("expired")
		h.log.Debug("frame came too late", "user", l.user, "terminal", l.terminal, "late", now.Sub(time.UnixMilli(f.Exp)))
		h.tooLate(l, f, now)
		return nil
	}
	if f.Hello != nil {
		return h.hello(l, f.Boot, f.Hello)
	}
	s := h.table.find(l.user, l.terminal)
	switch {
	case f.Bye != nil:
		h.leave(l, f.Boot, f.Bye)
		return nil
	case s == nil:
		h.bye(l.user, l.terminal, f.Boot, protocol.CodeNotLoggedIn, "the hub does not know this boot: say hello")
		return nil
	case s.boot != f.Boot:
		h.metrics.drop("boot")
		h.log.Debug("frame of an older boot", "user", l.user, "terminal", l.terminal)
		return nil
	}
	switch {
	case f.Append != nil:
		return h.append(s, f.Append)
	case f.Call != nil:
		return h.call(s, f.Call)
	case f.Pull != nil:
		return h.pull(s, f.Pull)
	case f.Survey != nil:
		return h.survey(s, f.Survey)
	case f.Beat != nil:
		return h.beat(s, f.Beat)
	case f.Signal != nil:
		h.signal(s, f, now)
		return nil
	}
	h.drop(l, "direction", errors.New("a frame that terminals do not send"))
	return nil
}

// tooLate tells a terminal the time, as it may be the hub's clock that was set and
// not the frame that was slow, and a call's caller that it was not run.
func (h *Hub) tooLate(l *login, f *protocol.Frame, now time.Time) {
	to := protocol.TopicToTerminal(h.app, l.user, l.terminal)
	h.publish(to, &protocol.Frame{Heads: &protocol.Heads{Time: now.UnixMilli()}}, 1)
	if f.Call != nil {
		h.publish(to, &protocol.Frame{Reply: &protocol.Reply{
			ID: f.Call.ID, Code: protocol.CodeRequestTimeout, Msg: "the call came too late and was not run: try again",
		}}, 1)
	}
}

func (h *Hub) leave(l *login, boot uint64, bye *protocol.Bye) {
	if bye.Boot != 0 {
		boot = bye.Boot
	}
	if h.table.leave(l.user, l.terminal, boot) {
		h.log.Debug("terminal said bye", "user", l.user, "terminal", l.terminal)
	}
}
