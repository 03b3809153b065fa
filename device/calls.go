package device

import (
	"context"
	"time"

	"github.com/herald-im/herald/protocol"
)

const maxPending = 256 // calls without a reply

var errOffline = protocol.Errorf(protocol.CodeNetDisconnect, "no link to the hub: try again when it is back")

// call is a method asked of the hub.
type call struct {
	method string
	body   []byte
	until  time.Time
	reply  chan reply // buffered: whoever asked may have gone
}

type reply struct {
	body []byte
	err  error
}

func (c *call) done(body []byte, err error) {
	select {
	case c.reply <- reply{body, err}:
	default:
	}
}

// ask runs a method at the hub.
func (s *session) ask(ctx context.Context, method string, body []byte) ([]byte, error) {
	if !s.linkUp() {
		return nil, errOffline
	}
	c := &call{method: method, body: body, until: time.Now().Add(s.d.timing.call), reply: make(chan reply, 1)}
	timer := time.NewTimer(s.d.timing.call)
	defer timer.Stop()
	select {
	case s.calls <- c:
	case <-s.ctx.Done():
		return nil, s.endedWith()
	case <-timer.C: // the link broke before the call was taken: it never left
		return nil, errOffline
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case r := <-c.reply:
		return r.body, r.err
	case <-s.ended:
		return nil, s.endedWith()
	case <-timer.C:
		return nil, s.callTimeout()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *session) callTimeout() error {
	return protocol.Errorf(protocol.CodeRequestTimeout, "the hub has not answered in %v: it may have done it all the same", s.d.timing.call)
}

// call sends a call on its way.
func (c *connection) call(call *call) error {
	switch {
	case !c.ready:
		call.done(nil, errOffline)
		return nil
	case len(c.pending) >= maxPending:
		call.done(nil, protocol.Errorf(protocol.CodeNetReqCountLimit, "%d calls wait for the hub already", maxPending))
		return nil
	}
	c.nextCall++
	c.pending[c.nextCall] = call
	now, _ := c.s.d.clock.now()
	return c.send(&protocol.Frame{
		Exp:  now + time.Until(call.until).Milliseconds(),
		Call: &protocol.Call{ID: c.nextCall, Method: call.method, Body: call.body},
	})
}

func (c *connection) replied(r *protocol.Reply) {
	call := c.pending[r.ID]
	if call == nil {
		return
	}
	delete(c.pending, r.ID)
	if r.Code != 0 {
		call.done(nil, protocol.Errorf(r.Code, "%s", r.Msg))
		return
	}
	call.done(r.Body, nil)
}

// expireCalls forgets calls whose callers have given up.
func (c *connection) expireCalls(now time.Time) {
	for id, call := range c.pending {
		if now.After(call.until) {
			delete(c.pending, id)
			call.done(nil, c.s.callTimeout())
		}
	}
}
