package broker

import (
	"fmt"
	"net"
	"testing"
)

// Who opens connections and says nothing gets his share of them and no more.
func TestPendingOfOneAddress(t *testing.T) {
	r := start(t, newDesk(), Limits{Pending: 4, PendingPerAddress: 2})
	a, b := r.dial(t), r.dial(t)
	eventually(t, "both to be accepted", func() bool { return r.Stats().Pending == 2 })
	r.dial(t).closed()
	contains(t, r.log.String(), "of one address that have not logged in")
	a.Close()
	eventually(t, "one to be gone", func() bool { return r.Stats().Pending == 1 })
	r.login(t, hello{client: "a"})
	r.login(t, hello{client: "b"}) // one who has logged in takes none of it
	b.Close()
	eventually(t, "all to be decided", func() bool { return r.Stats().Pending == 0 })
	r.Broker.mu.Lock()
	defer r.Broker.mu.Unlock()
	if len(r.pendingAt) != 0 {
		t.Errorf("%v", r.pendingAt)
	}
}

// Of one user's connections the newest stay.
func TestConnectionsOfOneUser(t *testing.T) {
	d := newDesk()
	r := start(t, d, Limits{PerUser: 2})
	first := r.login(t, hello{client: "1", user: "mallory"})
	second := r.login(t, hello{client: "2", user: "mallory"})
	other := r.login(t, hello{client: "3", user: "alice"})
	third := r.login(t, hello{client: "4", user: "mallory"})
	first.closed()
	next(t, d.left, "Gone")
	contains(t, r.log.String(), "too many connections of one user", "user=mallory client=1")
	for _, w := range []*wire{second, other, third} {
		w.send(publish(1, "a", "x"))
		w.expect(puback(1))
	}
	second.Close()
	next(t, d.left, "Gone")
	r.login(t, hello{client: "1", user: "mallory"})
	third.send(publish(1, "a", "x"))
	third.expect(puback(1))
}

// However much waits for those who do not read, who reads gets his messages.
func TestOthersQueuesSilenceNobody(t *testing.T) {
	r := start(t, newDesk(), Limits{QueueBytes: 1 << 20, TotalQueueBytes: 1 << 20, Unacked: 65535})
	for i := range 4 {
		w := r.subscribed(t, fmt.Sprint(i), "deaf")
		if err := w.Conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
	}
	w := r.subscribed(t, "reader", "small")
	for size := 64 << 10; size > 0; size /= 2 { // whatever room is left is filled
		for before := r.Stats().DroppedQueue; r.Stats().DroppedQueue < before+4; {
			if err := r.Publish("deaf", make([]byte, size), 1, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 3 {
		for range 2 {
			if err := r.Publish("small", fmt.Append(nil, i), 0, false); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if _, _, _, payload := w.message(); payload != fmt.Sprint(i) {
				t.Errorf("got %q, want %d", payload, i)
			}
		}
	}
	if q := r.Stats().QueuedBytes; q > 1<<20+4*queueShare {
		t.Errorf("%d bytes are queued", q)
	}
}
