package device

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

func (b *board) ask(ctx context.Context) (string, error) {
	body, err := b.forward(ctx, anybody, "im.createGroup", []byte{0xa0})
	return string(body), err
}

func TestCalls(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	h.with(func() {
		h.answer = func(c *protocol.Call) *protocol.Reply {
			if c.Method != "im.createGroup" || string(c.Body) != "\xa0" {
				t.Errorf("%+v", c)
			}
			return &protocol.Reply{Body: []byte("\x61x")}
		}
	})
	if got, err := b.ask(t.Context()); got != "\x61x" || err != nil {
		t.Error(got, err)
	}
	if f := h.await(t, 0, 1, isCall); f.Exp < hubTime || f.Exp > hubTime+int64(b.timing.call/time.Millisecond)+1000 {
		t.Error(f.Exp)
	}
	h.with(func() {
		h.answer = func(*protocol.Call) *protocol.Reply {
			return &protocol.Reply{Code: protocol.CodeSvrGroupNotFound, Msg: "no such group"}
		}
	})
	if _, err := b.ask(t.Context()); code(err) != protocol.CodeSvrGroupNotFound || protocol.AsError(err).Msg != "no such group" {
		t.Error(err)
	}
}

// TestLongReply: one that comes in parts is put together.
func TestLongReply(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	text := make([]byte, 600_000)
	for i := range text {
		text[i] = 'a' + byte(rand.IntN(26))
	}
	long, err := protocol.Marshal(string(text))
	if err != nil {
		t.Fatal(err)
	}
	h.with(func() { h.answer = func(*protocol.Call) *protocol.Reply { return &protocol.Reply{Body: long} } })
	if got, err := b.ask(t.Context()); got != string(long) || err != nil {
		t.Errorf("%d bytes of %d, %v", len(got), len(long), err)
	}
}

func TestCallTimeout(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := startWith(t, config(t, h.addr), func(d *Device) { d.timing.call = 20 * time.Millisecond })
	b.mustLogin()
	if _, err := b.ask(t.Context()); code(err) != protocol.CodeRequestTimeout {
		t.Error(err)
	}
}

// TestCallThatNeverLeft: nobody takes it while a new connection is made.
func TestCallThatNeverLeft(t *testing.T) {
	s := &session{d: &Device{timing: timing{call: time.Millisecond}}, ctx: t.Context(), calls: make(chan *call), link: "up"}
	if _, err := s.ask(t.Context(), "im.createGroup", nil); !errors.Is(err, errOffline) {
		t.Error(err)
	}
}

// TestLateReply: one that comes after its time, or to another connection's call,
// is nobody's.
func TestLateReply(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	var late []uint64
	h.with(func() {
		h.answer = func(c *protocol.Call) *protocol.Reply {
			late = append(late, c.ID)
			return nil
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() { _, err := b.ask(ctx); gone <- err }()
	h.await(t, 0, 1, isCall)
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	cut := make(chan error)
	go func() { _, err := b.ask(t.Context()); cut <- err }()
	h.await(t, 0, 2, isCall)
	h.cut()
	if err := <-cut; code(err) != protocol.CodeNetDisconnect {
		t.Error(err)
	}
	h.await(t, 0, 2, isHello)
	b.link("up")
	h.with(func() {
		for _, id := range late {
			h.to("door", h.terminal, &protocol.Frame{Reply: &protocol.Reply{ID: id, Body: []byte("\x64late")}})
		}
		h.answer = func(c *protocol.Call) *protocol.Reply {
			for _, id := range late {
				if id == c.ID {
					t.Error("the number of a call of another connection is used again")
				}
			}
			return &protocol.Reply{Body: []byte("\x61x")}
		}
	})
	if got, err := b.ask(t.Context()); got != "\x61x" || err != nil {
		t.Error(got, err)
	}
}

func TestCallsWithoutALink(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	b.introduced()
	pending := make(chan error, maxPending+1)
	for range maxPending + 1 {
		go func() { _, err := b.ask(t.Context()); pending <- err }()
	}
	if err := <-pending; code(err) != protocol.CodeNetReqCountLimit {
		t.Error(err)
	}
	h.await(t, 0, maxPending, isCall)
	h.stop()
	for range maxPending {
		if err := <-pending; code(err) != protocol.CodeNetDisconnect {
			t.Error(err)
		}
	}
	b.link("down")
	if _, err := b.ask(t.Context()); code(err) != protocol.CodeNetDisconnect {
		t.Error(err)
	}
}
