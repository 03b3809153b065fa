package device

import (
	"context"
	"time"

	"github.com/herald-im/herald/protocol"
)

const maxPending = 256 // calls without a reply, and as many pulls

var errOffline = protocol.Errorf(protocol.CodeNetDisconnect, "no link to the hub: try again when it is back")

// asked is a part of what is asked of the hub: until when somebody waits for the
// answer, and where.
type asked[A any] struct {
	until time.Time
	reply chan answer[A] // buffered: whoever asked may have gone
}

type answer[A any] struct {
	a   A
	err error
}

func newAsked[A any](s *session) asked[A] {
	return asked[A]{until: time.Now().Add(s.d.timing.call), reply: make(chan answer[A], 1)}
}

func (q *asked[A]) done(a A, err error) {
	select {
	case q.reply <- answer[A]{a, err}:
	default:
	}
}

func (q *asked[A]) due() time.Time { return q.until }

func (q *asked[A]) fail(err error) {
	var none A
	q.done(none, err)
}

// await gives a question to the connection and waits for its answer.
func await[Q, A any](ctx context.Context, s *session, connection chan<- Q, q Q, reply <-chan answer[A]) (none A, err error) {
	if !s.linkUp() {
		return none, errOffline
	}
	timer := time.NewTimer(s.d.timing.call)
	defer timer.Stop()
	select {
	case connection <- q:
	case <-s.ctx.Done():
		return none, s.endedWith()
	case <-timer.C: // the link broke before the question was taken: it never left
		return none, errOffline
	case <-ctx.Done():
		return none, ctx.Err()
	}
	select {
	case r := <-reply:
		return r.a, r.err
	case <-s.ended:
		return none, s.endedWith()
	case <-timer.C:
		return none, s.callTimeout()
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func (s *session) callTimeout() error {
	return protocol.Errorf(protocol.CodeRequestTimeout, "the hub has not answered in %v: it may have done it all the same", s.d.timing.call)
}

// expire forgets questions whose askers have given up.
func expire[K comparable, Q interface {
	due() time.Time
	fail(error)
}](s *session, questions map[K]Q, now time.Time) {
	for id, q := range questions {
		if now.After(q.due()) {
			delete(questions, id)
			q.fail(s.callTimeout())
		}
	}
}
