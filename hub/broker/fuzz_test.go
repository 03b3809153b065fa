package broker

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

// fuzzed is a broker without listeners; connections come through a pipe to where accepted ones go.
func fuzzed(f *testing.F) (*Broker, *desk) {
	d := newDesk()
	d.authenticate = func(l Login) (any, error) {
		if l.Username == "why" {
			return nil, &Refusal{Notice: &Message{"why", []byte("so")}}
		}
		return nil, nil
	}
	d.receive = func(*Peer, string, []byte) error { return nil }
	d.mayPublish = func(_ *Peer, topic string) bool { return !strings.HasPrefix(topic, "no") }
	d.maySubscribe = d.mayPublish
	b, err := New(Config{Log: slog.New(slog.DiscardHandler), Limits: Limits{
		ConnectTimeout: time.Second, DrainTimeout: 100 * time.Millisecond, PacketBytes: 4096,
	}}, d)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(b.stop)
	return b, d
}

// feed gives bytes to a new connection, after a login if there is one, and waits until the broker is
// done with it.
func feed(t *testing.T, b *Broker, login, in []byte) {
	ours, theirs := net.Pipe()
	b.admit(ours)
	_ = theirs.SetDeadline(time.Now().Add(patience))
	if login != nil {
		got := make([]byte, len(connackOK))
		if _, err := theirs.Write(login); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(theirs, got); err != nil || !bytes.Equal(got, connackOK) {
			t.Fatalf("login: %x, %v", got, err)
		}
	}
	read := make(chan error)
	go func() {
		_, err := io.Copy(io.Discard, theirs)
		read <- err
	}()
	_, _ = theirs.Write(in) // fails if the broker has had enough
	theirs.Close()
	<-read
	eventually(t, "the connection to be over", func() bool { return b.Stats().Connections == 0 })
}

// survived checks that the broker has caught nothing, keeps nothing, and lets the next one in.
func survived(t *testing.T, b *Broker, d *desk) {
	if s := b.Stats(); s.Panics != 0 || s.Sessions != 0 || s.Pending != 0 || s.QueuedBytes != 0 || s.Subscriptions != 0 {
		t.Fatalf("%+v", s)
	}
	for len(d.left) > 0 {
		<-d.left
	}
	ours, theirs := net.Pipe()
	defer theirs.Close()
	b.admit(ours)
	_ = theirs.SetDeadline(time.Now().Add(patience))
	go func() { _, _ = theirs.Write(hello{client: "next"}.bytes()) }()
	got := make([]byte, 4)
	if _, err := io.ReadFull(theirs, got); err != nil || !bytes.Equal(got, connackOK) {
		t.Fatalf("the next one got %x, %v", got, err)
	}
	theirs.Close()
	next(t, d.left, "Gone of the next one")
}

func FuzzConnect(f *testing.F) {
	for _, h := range []hello{
		{client: "c", user: "u", password: "p", willTopic: "w", will: "x", keepalive: 60},
		{client: "c", user: "why"}, {level: 5, client: "c"}, {name: "MQIsdp", level: 3, client: "c"}, {},
		{client: "c", willTopic: "no", will: "x"},
	} {
		f.Add(h.bytes())
		f.Add(append(h.bytes(), sevenBytes...))
	}
	f.Add(sevenBytes)
	f.Add([]byte{0x10, 0xff, 0xff, 0xff, 0x7f})
	b, d := fuzzed(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		feed(t, b, nil, in)
		survived(t, b, d)
	})
}

func FuzzSession(f *testing.F) {
	for _, p := range [][]byte{
		sevenBytes, subscribe(1, 1, "a/#", "no", "+/b"), publish(1, "a", "x"), publish(0, "no", "x"), puback(1),
		frame(headUnsubscribe, []byte{0, 1}, str("a/#")), frame(headPingreq), frame(headDisconnect),
		hello{level: 5, client: "c"}.bytes(), frame(0x62, []byte{0, 1}), frame(0xf0, []byte{0, 0}),
		bytes.Join([][]byte{subscribe(1, 1, "r/+"), publish(2, "a", "x"), subscribe(2, 0, "#"), frame(headUnsubscribe, []byte{0, 1}, str("#"))}, nil),
	} {
		f.Add(p)
	}
	b, d := fuzzed(f)
	if err := b.Publish("r/x", []byte("retained"), 1, true); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		feed(t, b, hello{client: "c", user: "u", willTopic: "w", will: "x"}.bytes(), in)
		survived(t, b, d)
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("a/+/#", "a/b/c")
	f.Add("$SYS/#", "$SYS")
	f.Fuzz(func(t *testing.T, filter, topic string) {
		got := Match(filter, topic)
		if validTopic(filter) && validTopic(topic) && got != (filter == topic) {
			t.Errorf("Match(%q, %q) = %v without a wildcard", filter, topic, got)
		}
		if validTopic(topic) && !Match("#", topic) {
			t.Errorf("%q is not under #", topic)
		}
		if validTopic(filter) && !validFilter(filter) {
			t.Errorf("%q is a topic and no filter", filter)
		}
	})
}
