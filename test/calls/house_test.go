// Package calls tests calls between boards as they are in a house: real programs, a
// real hub with its relay, and networks of their own where a test needs some.
package calls

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
	"github.com/herald-im/herald/test/rig"
)

// patience bounds each wait for something that has to come: machines are slow.
const patience = time.Minute

var bin string

func TestMain(m *testing.M) { rig.Main(m, &bin) }

// house is a hub and its boards, whose troubles end a test.
type house struct {
	t   *testing.T
	ctx context.Context
	rig *rig.House
	hub *rig.Hub
}

// newHouse starts a hub; turn is the address of its relay, or "off".
func newHouse(t *testing.T, turn string) *house {
	t.Helper()
	h := emptyHouse(t)
	h.startHub("[turn]\nlisten = \"" + turn + "\"\n")
	return h
}

// emptyHouse prepares a hub that does not run.
func emptyHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, ctx: t.Context(), rig: rig.TestHouse(t, bin)}
	var err error
	if h.hub, err = h.rig.AddHub("", ""); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) startHub(config string) {
	h.t.Helper()
	err := h.hub.Configure(config)
	if err == nil {
		h.hub.StopAfter(h.t)
		err = h.hub.Start(h.ctx)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// board is a board whose calling events are kept.
type board struct {
	*rig.Board
	h *house

	mu      sync.Mutex
	events  []string
	changed chan struct{}

	following bool
}

// board starts one with fake devices, unless its configuration names others; config is
// more of its configuration file.
func (h *house) board(user, config string, args ...string) *board {
	h.t.Helper()
	b := h.newBoard(user, config, args...)
	b.start()
	return b
}

func (h *house) newBoard(user, config string, args ...string) *board {
	h.t.Helper()
	if !strings.Contains(config, "microphone = ") {
		args = append(args, "--fake-media")
	}
	x, err := h.rig.AddBoard(h.ctx, user, user, h.hub.MQTT, args...)
	if err == nil {
		err = x.Configure("[api]\nsocket_group = \"\"\n" + config)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	x.StopAfter(h.t)
	return &board{Board: x, h: h, changed: make(chan struct{})}
}

func (b *board) start() {
	b.h.t.Helper()
	if err := b.Start(b.h.ctx); err != nil {
		b.h.t.Fatal(err)
	}
	if !b.following { // it goes on by itself after a restart
		b.following = true
		connected := make(chan struct{})
		var once sync.Once
		go b.follow(func() { once.Do(func() { close(connected) }) })
		select {
		case <-connected:
		case <-time.After(patience):
			b.h.t.Fatalf("%s: no events", b.User)
		}
	}
	b.link("up")
}

// link waits until the link to the hub is so.
func (b *board) link(state string) {
	b.h.t.Helper()
	ctx, cancel := context.WithTimeout(b.h.ctx, patience)
	defer cancel()
	if err := b.AwaitLink(ctx, state); err != nil {
		b.h.t.Fatal(err)
	}
}

// follow keeps the events of calls.
func (b *board) follow(connected func()) {
	_ = b.Client().Events(b.h.ctx, client.EventsOptions{ // it ends with the test
		Listen: []string{"calling"}, From: 1, Connected: func(string, uint64) { connected() },
	}, func(e client.Event) error {
		b.note(strings.TrimPrefix(e.Name, "calling.on") + " " + string(e.Data))
		return nil
	})
}

func (b *board) note(e string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, e)
	close(b.changed)
	b.changed = make(chan struct{})
}

// event waits for an event that begins with name and has all of parts in its data,
// and forgets those up to it.
func (b *board) event(name string, parts ...string) string {
	b.h.t.Helper()
	deadline := time.After(patience)
	for {
		b.mu.Lock()
		changed := b.changed
	next:
		for i, e := range b.events {
			if !strings.HasPrefix(e, name+" ") {
				continue
			}
			for _, p := range parts {
				if !strings.Contains(e, p) {
					continue next
				}
			}
			b.events = b.events[i+1:]
			b.mu.Unlock()
			return e
		}
		seen := strings.Join(b.events, "\n")
		b.mu.Unlock()
		select {
		case <-changed:
		case <-deadline:
			b.h.t.Fatalf("%s: no event %s %v in %v; there are:\n%s", b.User, name, parts, patience, seen)
		}
	}
}

func (b *board) until(what string, is func() bool) {
	b.h.t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			b.h.t.Fatalf("%s: not %s in %v; the call: %+v", b.User, what, patience, b.call())
		}
	}
}

func (b *board) call() protocol.CallResponse {
	b.h.t.Helper()
	c, err := client.Call(b.h.ctx, b.Client(), protocol.GetCall, protocol.Empty{})
	if err != nil {
		b.h.t.Fatalf("%s: %v", b.User, err)
	}
	return c
}

func (b *board) state(s protocol.CallState) {
	b.h.t.Helper()
	b.until(string(s), func() bool { return b.call().State == s })
}

func must[Req any](b *board, m protocol.Method[Req, protocol.Empty], r Req) {
	b.h.t.Helper()
	if _, err := client.Call(b.h.ctx, b.Client(), m, r); err != nil {
		b.h.t.Fatalf("%s: %s: %v", b.User, m.Info().Name, err)
	}
}

// connect has a call b, who accepts, and waits until pictures come at both.
func (h *house) connect(a, b *board) {
	h.t.Helper()
	must(a, protocol.PlaceCall, protocol.CallRequest{UserID: b.User, Type: protocol.CallTypeVideo})
	b.event("Invited", `"userId":"`+a.User+`"`)
	began := time.Now()
	must(b, protocol.AcceptCall, protocol.Empty{})
	a.event("UserEnter", `"userId":"`+b.User+`"`)
	b.event("UserEnter", `"userId":"`+a.User+`"`)
	h.t.Logf("connected %v after the accept", time.Since(began).Round(time.Millisecond))
	for _, x := range []*board{a, b} {
		x.pictures(1)
	}
}

// pictures waits until pictures come from n others.
func (b *board) pictures(n int) {
	b.h.t.Helper()
	b.until(fmt.Sprintf("seeing %d others", n), func() bool {
		seen := 0
		for _, u := range b.call().Users {
			if u.State == "connected" && u.FramesPerSecond > 0 {
				seen++
			}
		}
		return seen == n
	})
}

// picturesAfter waits until each of two boards in a call gets pictures, all of them
// counted after now: the figure of the second under way may have pictures of before
// in it, and the one that follows has none.
func (h *house) picturesAfter(a, b *board) {
	h.t.Helper()
	var last [2]float64
	var figures [2]int // that came since, and the one before
	for i, x := range []*board{a, b} {
		x.until("seeing new pictures", func() bool {
			for i, x := range []*board{a, b} { // both go on while one is waited for
				c := x.call()
				if len(c.Users) != 1 {
					h.t.Fatalf("%s: the call is %+v", x.User, c)
				}
				if now := c.Users[0].FramesPerSecond; figures[i] == 0 || now != last[i] {
					last[i] = now
					figures[i]++
				}
			}
			return figures[i] > 2 && last[i] > 0
		})
	}
}

func (h *house) hangup(a, b *board) {
	h.t.Helper()
	must(a, protocol.Hangup, protocol.Empty{})
	for _, x := range []*board{a, b} {
		x.event("CallEnd")
		x.state(protocol.CallIdle)
	}
}
