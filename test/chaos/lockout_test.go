package chaos

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// back cuts a board's connection and waits until it is online again.
func (a *actor) back() {
	a.h.t.Helper()
	was := a.connects()
	a.proxy.Cut()
	a.h.poll(a.user+" to come back", func() bool { return a.connects() > was && a.status().Link == "up" })
}

// connects is how often a board's log says that its link is back.
func (a *actor) connects() int { return strings.Count(a.board.Output(), "the link is back") }

// TestWrongLogins: whoever tries an account's login as often as he likes,
// elsewhere or behind the board's own router, neither ends the board's session
// nor keeps it from the next.
func TestWrongLogins(t *testing.T) {
	h := newStreet(t, "")
	door, indoor := h.actor("door"), h.actor("indoor")
	talk := h.talk(door, indoor)
	good := h.login("door", door.status().Terminal)
	for i := range 2000 {
		k := good
		k.from = []string{"127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.1"}[i%4]
		k.client = protocol.ClientID(h.app, "door", fmt.Sprint("t", i%7))
		switch i % 3 {
		case 0:
			k.password = "wrong"
		case 1:
			k.password = h.ticket("mallory")
		case 2:
			k.password = strings.Repeat("A", 4000)
		}
		if i%5 == 0 {
			k.name = protocol.WhyPrefix + k.name
		}
		s, code := h.knock(k)
		if i%5 != 0 && code == 0 {
			t.Fatalf("login %d is let in", i)
		}
		s.close()
	}
	talk.goesOn()
	talk.unbroken()
	locked := good
	locked.from = "127.0.0.2"
	if _, code := h.knock(locked); code == 0 {
		t.Error("the address that failed so often is not locked: the test tests nothing")
	}
	door.back()
	indoor.back()
	talk.goesOn()
	talk.end()
}

// TestHalfOpen: somebody opens more connections than the hub has room for those
// that have not logged in, and says little by them. Boards log in all the same.
func TestHalfOpen(t *testing.T) {
	h := newStreet(t, "")
	door, indoor := h.actor("door"), h.actor("indoor")
	talk := h.talk(door, indoor)
	start := h.login("mallory", "m").packet()
	var open atomic.Int64
	var conns []net.Conn
	for i := range 2200 { // the hub's limit is 2048
		c := h.dial("127.0.0.3")
		conns = append(conns, c)
		_, _ = c.Write(start[:i%20]) // it may be turned away already
		open.Add(1)
		go func() {
			var b [1]byte
			_, _ = c.Read(b[:])
			open.Add(-1)
		}()
	}
	door.back()
	indoor.back()
	if n := open.Load(); n == 0 {
		t.Error("the boards came back only when the strangers were gone")
	} else {
		t.Logf("%d connections are half open", n)
	}
	talk.goesOn()
	for _, c := range conns {
		_ = c.Close()
	}
	talk.end()
}

// TestManyConnections: one account opens as many connections as it can, with
// another terminal each. It has its share, the newest of them.
func TestManyConnections(t *testing.T) {
	h := newStreet(t, "")
	door, indoor := h.actor("door"), h.actor("indoor")
	talk := h.talk(door, indoor)
	var all []*stranger
	for i := range 100 {
		name := fmt.Sprint("m", i)
		all = append(all, h.stranger("mallory", name))
	}
	all[0].awaitEnd()
	for _, s := range all[:36] {
		s.awaitEnd()
	}
	newest := all[len(all)-1]
	if acks := newest.append(1, 1, 1, text("mallory", "to all of me")); acks[0].Code != 0 {
		t.Errorf("%+v", acks)
	}
	all[50].frame("the message", func(f *protocol.Frame) bool { return f.Push != nil })
	h.warned("too many connections of one user", "mallory")
	talk.goesOn()
	talk.unbroken()
	talk.end()
}
