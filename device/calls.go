package device

import (
	"context"
	"time"

	"github.com/herald-im/herald/protocol"
)

// call is a method asked of the hub.
type call struct {
	asked[[]byte]
	method string
	body   []byte
	parts  protocol.Parts // of the reply, so far
}

// ask runs a method at the hub.
func (s *session) ask(ctx context.Context, method string, body []byte) ([]byte, error) {
	c := &call{asked: newAsked[[]byte](s), method: method, body: body}
	return await(ctx, s, s.calls, c, c.reply)
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
	body, done, err := call.parts.Add(r)
	if !done {
		return
	}
	delete(c.pending, r.ID)
	if r.Code != 0 {
		err = protocol.Errorf(r.Code, "%s", r.Msg)
	}
	if err != nil {
		call.done(nil, err)
		return
	}
	call.done(body, nil)
}
