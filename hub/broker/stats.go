package broker

import (
	"log/slog"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// Stats is what the broker has seen. Counters start at New and only grow.
type Stats struct {
	Connections   int   // open now, logged in or not
	Pending       int   // of these, not logged in
	Sessions      int   // of these, logged in
	Subscriptions int   // filters of all sessions
	Retained      int   // retained messages
	RetainedBytes int64 // their topics and payloads
	QueuedBytes   int64 // waiting to be written to peers

	Accepted      uint64 // connections taken in
	TurnedAway    uint64 // connections closed at once because a limit was reached
	LoginsRefused uint64 // CONNECTs answered with a code
	Notices       uint64 // logins that were told why by a message
	Takeovers     uint64 // times a connection was ended by a newer one

	MessagesIn  uint64 // publishes handed to the Handler
	MessagesOut uint64 // publishes queued to a peer
	BytesIn     uint64 // read from sessions
	BytesOut    uint64 // written to all

	DroppedQueue   uint64 // deliveries dropped because a queue was full
	DroppedUnacked uint64 // deliveries dropped because too many were not acknowledged
	DroppedEnded   uint64 // deliveries to a connection that was just ending

	Unanswered       uint64 // publishes that the Handler returned an error for
	DeniedPublishes  uint64
	DeniedSubscribes uint64
	Violations       uint64 // connections ended for a breach of the protocol after login
	AcceptErrors     uint64
	Panics           uint64 // caught, in the library or the Handler
}

// counters are the growing part of Stats.
type counters struct {
	queued atomic.Int64

	accepted, turnedAway, loginsRefused, notices, takeovers atomic.Uint64
	messagesIn, messagesOut, bytesIn, bytesOut              atomic.Uint64
	droppedQueue, droppedUnacked, droppedEnded              atomic.Uint64
	unanswered, deniedPublishes, deniedSubscribes           atomic.Uint64
	violations, acceptErrors, panics                        atomic.Uint64
}

// Stats returns the present figures. They are read one after the other, so they may disagree by the
// events of that moment.
func (b *Broker) Stats() Stats {
	c := &b.count
	s := Stats{
		QueuedBytes: c.queued.Load(),
		Accepted:    c.accepted.Load(), TurnedAway: c.turnedAway.Load(),
		LoginsRefused: c.loginsRefused.Load(), Notices: c.notices.Load(), Takeovers: c.takeovers.Load(),
		MessagesIn: c.messagesIn.Load(), MessagesOut: c.messagesOut.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		DroppedQueue: c.droppedQueue.Load(), DroppedUnacked: c.droppedUnacked.Load(), DroppedEnded: c.droppedEnded.Load(),
		Unanswered: c.unanswered.Load(), DeniedPublishes: c.deniedPublishes.Load(), DeniedSubscribes: c.deniedSubscribes.Load(),
		Violations: c.violations.Load(), AcceptErrors: c.acceptErrors.Load(), Panics: c.panics.Load(),
	}
	s.Retained, s.RetainedBytes = b.retained.size()
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, one := range b.sessions {
		s.Subscriptions += int(one.filterCount.Load())
	}
	s.Connections, s.Pending, s.Sessions = len(b.links), b.pending, len(b.sessions)
	return s
}

// complaints logs what others do wrong, at a rate that they cannot raise.
type complaints struct {
	log        *slog.Logger
	limiter    *rate.Limiter
	suppressed atomic.Int64
}

func newComplaints(log *slog.Logger) *complaints {
	return &complaints{log: log, limiter: rate.NewLimiter(5, 50)} // lines a second, and at once
}

func (c *complaints) warn(msg string, args ...any) {
	if !c.limiter.Allow() {
		c.suppressed.Add(1)
		return
	}
	if n := c.suppressed.Swap(0); n > 0 {
		args = append(args, "suppressed", n) // lines of any kind since the last one
	}
	c.log.Warn(msg, args...)
}
