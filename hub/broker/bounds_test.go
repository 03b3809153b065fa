package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestAccess(t *testing.T) {
	d := newDesk()
	d.mayPublish = func(p *Peer, topic string) bool { return topic == "in/"+p.Username }
	d.maySubscribe = func(p *Peer, filter string) bool { return Match("to/"+p.Username+"/#", filter) }
	r := start(t, d, Limits{})
	w := r.login(t, hello{client: "c", user: "alice"})
	w.send(subscribe(3, 1, "to/alice", "to/bob", "#", "$SYS/#", "$share/g/to/alice", "to/alice/#/x", "to/alice/a+", "to/alice/laptop"))
	w.expect([]byte{0x90, 10, 0, 3, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1})
	for _, topic := range []string{"to/bob", "$SYS/broker/version"} {
		w.send(publish(1, "in/alice", "fine"))
		w.expect(puback(1))
		w.send(publish(2, topic, "secret text"), publish(3, "in/alice", "after"))
		w.closed()
		next(t, d.left, "Gone")
		w = r.login(t, hello{client: "c", user: "alice"})
	}
	w.send(publish(0, "to/bob", "QoS 0, which mochi would drop without a word"))
	w.closed()

	if n := len(d.received); n != 2 {
		t.Errorf("%d publishes got through", n)
	}
	if s := r.Stats(); s.DeniedPublishes != 3 || s.DeniedSubscribes != 6 {
		t.Errorf("%+v", s)
	}
	contains(t, r.log.String(), "publish denied", "user=alice topic=to/bob", "filter=to/bob", "filter=$SYS/#")
	if strings.Contains(r.log.String(), "secret text") {
		t.Error("a message's text is in the log")
	}
}

// Who asks for the forbidden again and again does not fill the log, and what was left out is said.
func TestDenialsDoNotFillTheLog(t *testing.T) {
	d := newDesk()
	d.maySubscribe = func(*Peer, string) bool { return false }
	r := start(t, d, Limits{})
	w := r.login(t, hello{client: "c"})
	for range 1000 {
		w.send(subscribe(1, 1, "x"))
		w.expect([]byte{0x90, 3, 0, 1, 0x80})
	}
	if lines := strings.Count(r.log.String(), "\n"); lines < 10 || lines > 500 {
		t.Errorf("%d lines", lines)
	}
	if n := r.Stats().DeniedSubscribes; n != 1000 {
		t.Errorf("counted %d", n)
	}
	if r.complain.suppressed.Load() == 0 {
		t.Error("nothing was noted as left out")
	}
}

func TestSubscriptionLimit(t *testing.T) {
	r := start(t, newDesk(), Limits{Subscriptions: 3})
	w := r.login(t, hello{client: "c"})
	w.send(subscribe(1, 0, "a", "b", "c", "d"))
	w.expect([]byte{0x90, 6, 0, 1, 0, 0, 0, 0x80})
	w.send(subscribe(2, 1, "a")) // again is not more
	w.expect([]byte{0x90, 3, 0, 2, 1})
	w.send(frame(headUnsubscribe, []byte{0, 3}, str("b")))
	w.expect([]byte{0xb0, 2, 0, 3})
	w.send(subscribe(4, 0, "d"))
	w.expect([]byte{0x90, 3, 0, 4, 0})
	if n := r.Stats().Subscriptions; n != 3 {
		t.Errorf("%d subscriptions", n)
	}
}

func TestPacketSize(t *testing.T) {
	d := newDesk()
	r := start(t, d, Limits{})
	w := r.login(t, hello{client: "c"})
	fits := strings.Repeat("x", 512<<10-5)
	w.send(publish(1, "a", fits))
	w.expect(puback(1))
	if got := next(t, d.received, "the publish"); got.payload != fits {
		t.Error("damaged")
	}
	w.send(publish(1, "a", fits+"x")[:100]) // its header is enough
	w.closed()
	w = r.login(t, hello{client: "c"})
	w.send(subscribe(1, 1, strings.Repeat("a/", 9000))[:100])
	w.closed()
	if n := r.Stats().Violations; n != 2 {
		t.Errorf("%d violations", n)
	}
}

func TestConnectionLimits(t *testing.T) {
	r := start(t, newDesk(), Limits{Connections: 4, Pending: 2, PerAddress: 3})
	a := r.login(t, hello{client: "a"})
	r.dial(t)
	r.dial(t)
	eventually(t, "both to be accepted", func() bool { return r.Stats().Pending == 2 })
	r.dial(t).closed()
	contains(t, r.log.String(), "of one address")
	a.Close()
	eventually(t, "the first to be gone", func() bool { return r.Stats().Connections == 2 })
	r.dial(t).closed()
	contains(t, r.log.String(), "not logged in")
	if s := r.Stats(); s.TurnedAway != 2 || s.Accepted != 3 {
		t.Errorf("%+v", s)
	}
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1:5":                    "192.0.2.1",
		"[::ffff:192.0.2.1]:5":           "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:7":       "2001:db8:1:2::",
		"[2001:db8:1:2:ffff::1%eth0]:70": "2001:db8:1:2::",
		"pipe":                           "invalid IP",
	} {
		if got := Address(in); got.String() != want {
			t.Errorf("%s counts as %s, want %s", in, got, want)
		}
	}
}

// tired is a listener that often finds no file descriptor left.
type tired struct {
	net.Listener
	left atomic.Int32
}

func (l *tired) Accept() (net.Conn, error) {
	if l.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestAcceptErrors(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &tired{Listener: inner}
	l.left.Store(5)
	r := startOn(t, newDesk(), Limits{}, l)
	r.alive(t)
	if n := r.Stats().AcceptErrors; n != 5 {
		t.Errorf("%d accept errors", n)
	}
	contains(t, r.log.String(), "cannot accept connections", "too many open files")
}

func TestListenerThatBreaks(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Config{Listeners: []net.Listener{l}, Log: slog.New(slog.DiscardHandler)}, newDesk())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := b.Run(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run: %v", err)
	}
}

// A peer that does not read costs its queue and no more, holds up nobody, and is thrown out.
func TestPeerThatDoesNotRead(t *testing.T) {
	d := newDesk()
	limits := Limits{QueueBytes: 256 << 10, WriteTimeout: 300 * time.Millisecond, Unacked: 65535}
	r := start(t, d, limits)
	deaf, good := r.subscribed(t, "deaf", "all"), r.subscribed(t, "good", "all")
	if err := deaf.Conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	payload := strings.Repeat("x", 8000)
	var most int64
	for i := 0; len(d.left) == 0; i++ {
		if err := r.Publish("all", fmt.Append(nil, i, " ", payload), 1, false); err != nil {
			t.Fatal(err)
		}
		most = max(most, r.Stats().QueuedBytes)
		if _, _, _, got := good.message(); !strings.HasPrefix(got, fmt.Sprint(i, " ")) {
			t.Fatalf("the good one got %.10q at %d", got, i)
		}
		good.send(puback(uint16(i%65535 + 1)))
	}
	if r.Stats().DroppedQueue == 0 {
		t.Error("nothing was dropped")
	}
	if most > 256<<10+16<<10 {
		t.Errorf("%d bytes were queued", most)
	}
	if g := next(t, d.left, "Gone"); g.peer.ClientID != "deaf" {
		t.Errorf("%+v", g)
	}
	contains(t, r.log.String(), "dropping messages for a slow terminal", "terminal did not get all messages", "client=deaf")
}

// Nor does one that asks and asks and never reads the answers.
func TestPeerThatDoesNotReadAnswers(t *testing.T) {
	d := newDesk()
	r := start(t, d, Limits{QueueBytes: 64 << 10, WriteTimeout: 300 * time.Millisecond})
	w := r.login(t, hello{client: "c"})
	pings := []byte(strings.Repeat("\xc0\x00", 10_000))
	for {
		if _, err := w.Write(pings); err != nil {
			break // thrown out
		}
		if q := r.Stats().QueuedBytes; q > 100<<10 {
			t.Fatalf("%d bytes are queued", q)
		}
	}
	next(t, d.left, "Gone")
}

func TestTotalQueue(t *testing.T) {
	r := start(t, newDesk(), Limits{QueueBytes: 1 << 20, TotalQueueBytes: 1 << 20, Unacked: 65535})
	for i := range 4 {
		w := r.subscribed(t, fmt.Sprint(i), "all")
		if err := w.Conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
	}
	payload := make([]byte, 100_000)
	for r.Stats().DroppedQueue == 0 {
		if err := r.Publish("all", payload, 1, false); err != nil {
			t.Fatal(err)
		}
		if q := r.Stats().QueuedBytes; q > 1<<20 {
			t.Fatalf("%d bytes are queued", q)
		}
	}
	ids := uint64(0)
	for i := range 4 {
		ids += uint64(r.unacked(fmt.Sprint(i)))
	}
	if n := r.Stats().MessagesOut; ids != n {
		t.Errorf("%d ids are in use for %d messages", ids, n)
	}
}

func TestUnackedLimit(t *testing.T) {
	d := newDesk()
	r := start(t, d, Limits{Unacked: 100, AckTimeout: time.Hour})
	w := r.subscribed(t, "c", "a")
	send := func(from, to int) {
		for i := from; i < to; i++ {
			if err := r.Publish("a", fmt.Append(nil, i), 1, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	var ids []uint16
	get := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			_, id, _, payload := w.message()
			if payload != fmt.Sprint(i) {
				t.Fatalf("got %q, want %d", payload, i)
			}
			ids = append(ids, id)
		}
	}
	send(0, 150)
	get(0, 100)
	if n := r.Stats().DroppedUnacked; n != 50 {
		t.Errorf("dropped %d", n)
	}
	eventually(t, "what has left to be no longer counted", func() bool { return r.Stats().QueuedBytes == 0 })
	for _, id := range ids[:30] {
		w.send(puback(id))
	}
	w.send(puback(60000), frame(headPingreq)) // an id that was never used changes nothing
	w.expect([]byte{0xd0, 0})
	ids = ids[30:]
	send(150, 190)
	get(150, 180) // exactly as many as were acknowledged
	seen := map[uint16]bool{}
	for _, id := range ids {
		if seen[id] || id < 1 || id > 100 {
			t.Errorf("id %d is used twice or out of range", id)
		}
		seen[id] = true
	}
	if n := r.Stats().DroppedUnacked; n != 60 {
		t.Errorf("dropped %d", n)
	}
	if err := r.Publish("a", []byte("QoS 0 needs no id"), 0, false); err != nil {
		t.Fatal(err)
	}
	w.message()
}

func TestPeerThatStopsAcknowledging(t *testing.T) {
	d := newDesk()
	r := start(t, d, Limits{Unacked: 1, AckTimeout: time.Nanosecond})
	w := r.subscribed(t, "c", "a")
	for range 3 { // fills it, finds it full, finds it still full
		if err := r.Publish("a", []byte("x"), 1, false); err != nil {
			t.Fatal(err)
		}
	}
	next(t, d.left, "Gone")
	w.Close()
}

// Only the time without any PUBACK counts.
func TestPeerThatAcknowledgesLate(t *testing.T) {
	r := start(t, newDesk(), Limits{Unacked: 1, AckTimeout: 100 * time.Millisecond})
	w := r.subscribed(t, "c", "a")
	for range 3 {
		for range 2 { // fills it, finds it full
			if err := r.Publish("a", []byte("x"), 1, false); err != nil {
				t.Fatal(err)
			}
		}
		_, id, _, _ := w.message()
		time.Sleep(110 * time.Millisecond) // the lateness
		w.send(puback(id), frame(headPingreq))
		w.expect([]byte{0xd0, 0})
	}
}

func TestRetained(t *testing.T) {
	d := newDesk()
	r := start(t, d, Limits{Retained: 3, RetainedBytes: 2000})
	put := func(topic, payload string, qos byte) error {
		return r.Publish(topic, []byte(payload), qos, true)
	}
	early := r.subscribed(t, "early", "cfg/#")
	early.send(frame(headPingreq)) // after it the subscription has been served to its end
	early.expect([]byte{0xd0, 0})
	for _, topic := range []string{"cfg/a", "cfg/b", "cfg/c"} {
		if err := put(topic, "old", 1); err != nil {
			t.Fatal(err)
		}
		if head, _, _, _ := early.message(); head != 0x32 { // not a retained one to who was there [MQTT-3.3.1-9]
			t.Errorf("%#x", head)
		}
	}
	if err := put("cfg/a", "new", 0); err != nil {
		t.Fatal(err)
	}
	if err := put("cfg/d", "one too many", 1); !errors.Is(err, ErrRetainedFull) {
		t.Error(err)
	}
	if err := put("cfg/b", strings.Repeat("x", 2000), 1); !errors.Is(err, ErrRetainedFull) {
		t.Error(err)
	}
	if err := put("cfg/c", "", 1); err != nil {
		t.Fatal(err)
	}

	late := r.login(t, hello{client: "late"})
	late.send(subscribe(1, 1, "cfg/b", "cfg/c", "cfg/a"))
	late.expect([]byte{0x90, 5, 0, 1, 1, 1, 1})
	if head, _, topic, payload := late.message(); head != 0x33 || topic != "cfg/b" || payload != "old" {
		t.Errorf("%#x %q %q", head, topic, payload)
	}
	if head, _, topic, payload := late.message(); head != 0x31 || topic != "cfg/a" || payload != "new" {
		t.Errorf("%#x %q %q", head, topic, payload)
	}
	late.send(subscribe(2, 0, "+/b"))
	late.expect([]byte{0x90, 3, 0, 2, 0})
	if head, _, topic, payload := late.message(); head != 0x31 || topic != "cfg/b" || payload != "old" {
		t.Errorf("%#x %q %q", head, topic, payload)
	}
	for _, topic := range []string{"cfg/a", "cfg/b"} {
		if err := put(topic, "", 1); err != nil {
			t.Fatal(err)
		}
	}
	if s := r.Stats(); s.Retained != 0 || s.RetainedBytes != 0 {
		t.Errorf("%+v", s)
	}
}

// Looking up a retained message and delivering it is one step for those who replace it.
func TestRetainedIsDeliveredUnderLock(t *testing.T) {
	r := start(t, newDesk(), Limits{})
	if err := r.Publish("cfg", []byte("x"), 1, true); err != nil {
		t.Fatal(err)
	}
	w := r.login(t, hello{client: "c"})
	r.Broker.mu.RLock()
	s := r.sessions["c"]
	r.Broker.mu.RUnlock()
	s.mu.Lock() // holds up the delivery
	w.send(subscribe(1, 1, "cfg"))
	w.expect([]byte{0x90, 3, 0, 1, 1})
	eventually(t, "the delivery to hold the lock", func() bool {
		free := r.retained.mu.TryLock()
		if free {
			r.retained.mu.Unlock()
		}
		return !free
	})
	s.mu.Unlock()
	w.message()
}

// While the hub replaces a retained message, who subscribes never ends with an old one.
func TestRetainedIsNeverOlder(t *testing.T) {
	r := start(t, newDesk(), Limits{})
	const last = 3000
	done := make(chan error, 1)
	go func() {
		for i := range last + 1 {
			if err := r.Publish("cfg", fmt.Appendf(nil, "%06d", i), 1, true); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for round := 0; ; round++ {
		w := r.login(t, hello{client: "c"})
		w.send(subscribe(1, 1, "cfg"))
		before := ""
		for range 5 {
			if before == fmt.Sprintf("%06d", last) {
				break
			}
			head, body := w.packet()
			if head == headSuback { // not always the first [MQTT-3.8.4]
				continue
			}
			_, id, _, payload := w.read(head, body)
			if payload < before {
				t.Fatalf("%s came after %s", payload, before)
			}
			before = payload
			w.send(puback(id))
		}
		w.Close()
		if before == fmt.Sprintf("%06d", last) {
			break
		}
	}
	if err := next(t, done, "the publisher"); err != nil {
		t.Error(err)
	}
}
