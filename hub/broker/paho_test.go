package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// pahoOptions are those of the agent.
func (r *runs) pahoOptions(client string) *paho.ClientOptions {
	return paho.NewClientOptions().
		AddBroker("tcp://" + r.addr).
		SetClientID(client).
		SetUsername("1/" + client).
		SetPassword("sig").
		SetProtocolVersion(4).
		SetCleanSession(false).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetOrderMatters(true)
}

// paho connects a real client. Every message goes to the channel.
func (r *runs) paho(t testing.TB, o *paho.ClientOptions) (paho.Client, chan paho.Message) {
	t.Helper()
	got := make(chan paho.Message, 1<<16)
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { got <- m })
	c := paho.NewClient(o)
	if err := settle(c.Connect()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Disconnect(0) })
	return c, got
}

func settle(token paho.Token) error {
	if !token.WaitTimeout(patience) {
		return errors.New("no answer")
	}
	return token.Error()
}

func TestPaho(t *testing.T) {
	d := newDesk()
	d.maySubscribe = func(_ *Peer, filter string) bool { return filter != "to/b" }
	r := start(t, d, Limits{})
	c, got := r.paho(t, r.pahoOptions("a").SetBinaryWill("in/a", []byte("dead"), 1, false))

	token := c.SubscribeMultiple(map[string]byte{"to/a": 1, "to/b": 1}, nil).(*paho.SubscribeToken)
	if err := settle(token); err == nil {
		t.Log("paho takes 0x80 for success") // see token.Result
	}
	if res := token.Result(); res["to/a"] != 1 || res["to/b"] != 0x80 {
		t.Errorf("%v", res)
	}
	if err := r.Publish("cfg/a", []byte("desired"), 1, true); err != nil {
		t.Fatal(err)
	}
	if err := settle(c.Subscribe("cfg/a", 1, nil)); err != nil {
		t.Fatal(err)
	}
	if m := next(t, got, "the retained message"); !m.Retained() || string(m.Payload()) != "desired" {
		t.Errorf("%v", m)
	}
	for i := range 100 {
		if err := settle(c.Publish("in/a", 1, false, fmt.Append(nil, i))); err != nil {
			t.Fatal(err)
		}
		if m := next(t, d.received, "a publish"); m.payload != fmt.Sprint(i) || m.peer.Username != "1/a" {
			t.Errorf("%+v", m)
		}
		if err := r.Publish("to/a", fmt.Append(nil, i), 1, false); err != nil {
			t.Fatal(err)
		}
		if m := next(t, got, "a message"); string(m.Payload()) != fmt.Sprint(i) || m.Topic() != "to/a" {
			t.Errorf("%v", m)
		}
	}
	c.Disconnect(100)
	if g := next(t, d.left, "Gone"); g.will != nil {
		t.Errorf("%+v", g)
	}
}

func TestPahoRefused(t *testing.T) {
	d := newDesk()
	d.authenticate = func(l Login) (any, error) { return nil, &Refusal{Code: BadCredentials} }
	r := start(t, d, Limits{})
	err := settle(paho.NewClient(r.pahoOptions("a")).Connect())
	if err == nil || !strings.Contains(err.Error(), "bad user name or password") {
		t.Errorf("%v", err)
	}
	// What paho does by itself after that: the same as MQTT 3.1.
	err = settle(paho.NewClient(r.pahoOptions("a").SetProtocolVersion(3)).Connect())
	if err == nil || !strings.Contains(err.Error(), "unacceptable protocol version") {
		t.Errorf("%v", err)
	}
}

func TestPahoNotice(t *testing.T) {
	d := newDesk()
	d.authenticate = func(Login) (any, error) {
		return nil, &Refusal{Err: errors.New("expired"), Notice: &Message{"why/a", []byte(strings.Repeat("70001 ", 100))}}
	}
	r := start(t, d, Limits{})
	for range 50 { // the message must win against the end of the connection each time
		lost := make(chan error, 1)
		o := r.pahoOptions("a").SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- err })
		_, got := r.paho(t, o)
		if m := next(t, got, "the notice"); m.Topic() != "why/a" || !strings.HasPrefix(string(m.Payload()), "70001") {
			t.Errorf("%v", m)
		}
		next(t, lost, "the end")
	}
}

func TestPahoTakeover(t *testing.T) {
	d := newDesk()
	r := start(t, d, Limits{})
	lost := make(chan error, 1)
	r.paho(t, r.pahoOptions("a").SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- err }))
	second, got := r.paho(t, r.pahoOptions("a"))
	next(t, lost, "the first to lose its connection")
	next(t, d.left, "Gone")
	if err := settle(second.Subscribe("to/a", 1, nil)); err != nil {
		t.Fatal(err)
	}
	if err := r.Publish("to/a", []byte("x"), 1, false); err != nil {
		t.Fatal(err)
	}
	next(t, got, "a message on the second")
}

// A client that acknowledges late, after its commit, still gets everything in order: up to Unacked
// messages are under way, more wait for nobody and are dropped (TestUnackedLimit). So the publisher
// here stays just within that bound, and goes round all ids several times.
func TestOrderWithLateAcks(t *testing.T) {
	const total, bound, commit = 20_000, 4096, 500
	r := start(t, newDesk(), Limits{Unacked: bound})
	c, got := r.paho(t, r.pahoOptions("a").SetAutoAckDisabled(true))
	if err := settle(c.Subscribe("to/a", 1, nil)); err != nil {
		t.Fatal(err)
	}
	publisher := make(chan error, 1)
	go func() {
		for i := range total {
			for r.unacked("a") >= bound {
				time.Sleep(100 * time.Microsecond) // nobody announces an ack
			}
			if err := r.Publish("to/a", binary.BigEndian.AppendUint64(nil, uint64(i)), 1, false); err != nil {
				publisher <- err
				return
			}
		}
		publisher <- nil
	}()
	var batch []paho.Message
	for i := range total {
		m := next(t, got, "a message")
		if n := binary.BigEndian.Uint64(m.Payload()); n != uint64(i) || m.Duplicate() {
			t.Fatalf("got %d at %d", n, i)
		}
		if batch = append(batch, m); len(batch) == commit {
			for _, m := range batch {
				m.Ack()
			}
			batch = nil
		}
	}
	if err := next(t, publisher, "the publisher"); err != nil {
		t.Error(err)
	}
	if s := r.Stats(); s.DroppedQueue+s.DroppedUnacked+s.DroppedEnded != 0 {
		t.Errorf("%+v", s)
	}
	eventually(t, "all to be acknowledged", func() bool { return r.unacked("a") == 0 })
}

func (r *runs) unacked(client string) int {
	r.mu.RLock()
	s := r.sessions[client]
	r.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unacked.count
}

// The hub's goodbye arrives before the end.
func TestPahoGoodbye(t *testing.T) {
	r := start(t, newDesk(), Limits{})
	for range 50 {
		lost := make(chan error, 1)
		c, got := r.paho(t, r.pahoOptions("a").SetKeepAlive(time.Minute).
			SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- err }))
		if err := settle(c.Subscribe("to/a", 1, nil)); err != nil {
			t.Fatal(err)
		}
		if err := r.Publish("to/a", []byte("kicked"), 1, false); err != nil {
			t.Fatal(err)
		}
		r.Disconnect("a", "1/a")
		if m := next(t, got, "the goodbye"); string(m.Payload()) != "kicked" {
			t.Errorf("%v", m)
		}
		next(t, lost, "the end")
	}
}
