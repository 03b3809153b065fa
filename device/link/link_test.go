package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

func params(addr string) Params {
	return Params{
		Addr: addr, App: testApp, User: "door", Terminal: "t1", Sig: "sig", Boot: 7,
		ConnectTimeout: 10 * time.Second, KeepAlive: 10 * time.Second,
	}
}

func dial(t testing.TB, p Params) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// noneLeft fails if goroutines of paho or of this package outlive a test.
func noneLeft(t testing.TB) {
	t.Helper()
	t.Cleanup(func() {
		var left []string
		for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
			buf := make([]byte, 1<<20)
			left = left[:0]
			for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
				if (strings.Contains(g, "paho.mqtt") || strings.Contains(g, "device/link.")) && !strings.Contains(g, "link.noneLeft") &&
					!strings.Contains(g, "_test.go") {
					left = append(left, g)
				}
			}
			if len(left) == 0 {
				return
			}
		}
		t.Errorf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
	})
}

func frame(n int) *protocol.Frame {
	return &protocol.Frame{Boot: 7, Beat: &protocol.Beat{Digest: uint64(n)}}
}

func TestConversation(t *testing.T) {
	noneLeft(t)
	b := startBroker(t, nil)
	c := dial(t, params(b.addr))
	const n = 200
	for i := range n {
		if err := c.Send(frame(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		pk := <-b.hook.published
		f, err := protocol.DecodeFrame(pk.Payload)
		if err != nil || pk.TopicName != protocol.TopicIn(testApp, "door", "t1") || pk.FixedHeader.Qos != 1 || f.Beat.Digest != uint64(i) {
			t.Fatalf("%d: %+v, %v", i, f, err)
		}
	}
	go func() {
		for i := range n {
			b.publish(t, fmt.Append(nil, i))
		}
	}()
	for i := range n {
		m := <-c.In()
		if string(m.Payload) != fmt.Sprint(i) {
			t.Fatalf("%s, not %d", m.Payload, i)
		}
		m.Ack()
	}
	// What is for all terminals of the user comes too.
	if err := b.server.Publish(protocol.TopicTo(testApp, "door"), []byte("all"), false, 1); err != nil {
		t.Fatal(err)
	}
	if m := <-c.In(); string(m.Payload) != "all" {
		t.Errorf("%s", m.Payload)
	}
	refused := make(chan string, 1)
	c.Listen([]string{protocol.TopicLive(testApp, "room", 3)}, nil, func(filter string) { refused <- filter })
	for granted := false; !granted; {
		if err := b.server.Publish(protocol.TopicLive(testApp, "room", 3), []byte("live"), false, 0); err != nil {
			t.Fatal(err)
		}
		select {
		case m := <-c.In():
			granted = string(m.Payload) == "live"
			m.Ack()
		default:
		}
	}
	c.Listen(nil, []string{protocol.TopicLive(testApp, "room", 3)}, nil)
	c.Close()
	c.Close()
	select {
	case filter := <-refused:
		t.Error("refused", filter)
	default:
	}
	if err := c.Send(frame(1)); err != nil {
		t.Error(err)
	}
}

func TestFrameTooLarge(t *testing.T) {
	b := startBroker(t, nil)
	c := dial(t, params(b.addr))
	if err := c.Send(&protocol.Frame{Call: &protocol.Call{Method: strings.Repeat("x", protocol.MaxFrameBytes)}}); err == nil {
		t.Error("sent")
	}
	b.publish(t, make([]byte, protocol.MaxFrameBytes))
	if m := <-c.In(); len(m.Payload) != protocol.MaxFrameBytes {
		t.Error(len(m.Payload))
	}
	b.publish(t, make([]byte, protocol.MaxFrameBytes+4096))
	<-c.Down()
	if c.Err() == nil || !strings.Contains(c.Err().Error(), "over the limit") {
		t.Error(c.Err())
	}
}

func TestRefused(t *testing.T) {
	noneLeft(t)
	for name, c := range map[string]struct {
		admit func(string) bool
		why   *protocol.Bye
		want  protocol.Code
		msg   string
	}{
		"with a reason": {func(u string) bool { return strings.HasPrefix(u, protocol.WhyPrefix) },
			&protocol.Bye{Code: protocol.CodeUserSigExpired, Msg: "it ran out"}, protocol.CodeUserSigExpired, "it ran out"},
		"and nobody says why": {func(string) bool { return false }, nil, protocol.CodeLoginAuthFailed, "did not say why"},
	} {
		t.Run(name, func(t *testing.T) {
			b := startBroker(t, nil)
			b.hook.admit, b.hook.why = c.admit, c.why
			_, err := Dial(t.Context(), params(b.addr))
			var r *Refused
			if !errors.As(err, &r) || r.Code != c.want || !strings.Contains(r.Msg, c.msg) {
				t.Error(err)
			}
		})
	}
}

func TestSubscriptionRefused(t *testing.T) {
	noneLeft(t)
	b := startBroker(t, nil)
	b.hook.subscribe = func(filter string) bool { return !strings.HasSuffix(filter, "/t1") }
	_, err := Dial(t.Context(), params(b.addr))
	if err == nil || !strings.Contains(err.Error(), "refuses "+protocol.TopicToTerminal(testApp, "door", "t1")) {
		t.Error(err)
	}
}

func TestRoomRefused(t *testing.T) {
	noneLeft(t)
	b := startBroker(t, nil)
	b.hook.subscribe = func(filter string) bool { return !strings.Contains(filter, "/live/") }
	c := dial(t, params(b.addr))
	room := protocol.TopicLive(testApp, "room", 3)
	refused := make(chan string)
	c.Listen([]string{room}, nil, func(filter string) { refused <- filter })
	if got := <-refused; got != room {
		t.Error(got)
	}
}

// TestDeadLink: a keepalive of 10 s finds a peer that is silently gone within 20 s.
func TestDeadLink(t *testing.T) {
	if testing.Short() {
		t.Skip("takes up to 20 s")
	}
	t.Parallel()
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprintf("busy=%v", busy), func(t *testing.T) {
			t.Parallel()
			b := startBroker(t, nil)
			p := startProxy(t, b.addr)
			c := dial(t, params(p.l.Addr().String()))
			p.kill()
			began := time.Now()
			tick := time.NewTicker(300 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-c.Down():
					if took := time.Since(began); took > 20*time.Second {
						t.Errorf("took %v", took)
					} else {
						t.Logf("took %v: %v", took, c.Err())
					}
					return
				case <-tick.C:
					if busy {
						_ = c.Send(frame(1))
					}
				}
			}
		})
	}
}

func TestCutLink(t *testing.T) {
	noneLeft(t)
	b := startBroker(t, nil)
	p := startProxy(t, b.addr)
	c := dial(t, params(p.l.Addr().String()))
	p.cut()
	<-c.Down()
	if c.Err() == nil {
		t.Error("no reason")
	}
	if err := c.Send(frame(1)); err != nil {
		t.Error(err)
	}
}

// TestNobodyReads: an owner that has gone away must be able to close.
func TestNobodyReads(t *testing.T) {
	for name, before := range map[string]func(*proxy){
		"": func(*proxy) {}, "dead": (*proxy).kill, "cut": (*proxy).cut,
	} {
		t.Run(name, func(t *testing.T) {
			noneLeft(t)
			b := startBroker(t, nil)
			p := startProxy(t, b.addr)
			c := dial(t, params(p.l.Addr().String()))
			for range 3 * inQueue {
				b.publish(t, make([]byte, 1000))
			}
			m := <-c.In()
			before(p)
			go m.Ack() // may come at any time
			c.Close()
		})
	}
}

// TestCloseInAnyState closes at random moments, from two sides, while the link breaks.
func TestCloseInAnyState(t *testing.T) {
	noneLeft(t)
	b := startBroker(t, nil)
	for i := range 30 {
		p := startProxy(t, b.addr)
		c := dial(t, params(p.l.Addr().String()))
		go b.publish(t, []byte("x"))
		go p.cut()
		for range i * 50 {
			runtime.Gosched()
		}
		done := make(chan struct{})
		go func() { c.Close(); close(done) }()
		_ = c.Send(frame(1))
		c.Close()
		<-done
	}
}

// silent accepts connections and never answers.
func silent(t *testing.T) (addr string, accepted chan struct{}) {
	l := listen(t)
	accepted = make(chan struct{}, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			accepted <- struct{}{}
		}
	}()
	return l.Addr().String(), accepted
}

func TestSilentServer(t *testing.T) {
	for name, secure := range map[string]*TLS{"plain": nil, "TLS": {}} {
		t.Run(name, func(t *testing.T) {
			noneLeft(t)
			addr, _ := silent(t)
			p := params(addr)
			p.ConnectTimeout, p.TLS = 300*time.Millisecond, secure
			if _, err := Dial(t.Context(), p); err == nil {
				t.Error("connected")
			} else if !strings.Contains(err.Error(), addr) {
				t.Error(err)
			}
		})
	}
}

func TestCancelWhileConnecting(t *testing.T) {
	noneLeft(t)
	addr, accepted := silent(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-accepted
		cancel()
	}()
	if _, err := Dial(ctx, params(addr)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// And before anything has begun.
	if _, err := Dial(ctx, params(addr)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNobodyThere(t *testing.T) {
	noneLeft(t)
	l := listen(t)
	_ = l.Close()
	if _, err := Dial(t.Context(), params(l.Addr().String())); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Error(err)
	}
}

// TestHostileBroker has a server say what no broker says.
func TestHostileBroker(t *testing.T) {
	connack, suback := "\x20\x02\x00\x00", func(id string) string { return "\x90\x03" + id + "\x01" }
	for name, answers := range map[string][]string{
		"nothing at all":               {""},
		"not MQTT":                     {"HTTP/1.1 400 Bad Request\r\n\r\n"},
		"a header without end":         {"\x20\xff\xff\xff\xff\xff\xff"},
		"256 MB":                       {"\x20\xff\xff\xff\x7f"},
		"a strange refusal":            {"\x20\x02\x00\x99"},
		"a SUBACK with many answers":   {connack, "\x90\x06\x00\x01\x01\x01\x01\x01"},
		"a SUBACK without an answer":   {connack, "\x90\x02\x00\x01"},
		"a SUBACK to no question":      {connack, suback("\x77\x77")},
		"a publish that is cut short":  {connack, "\x32\x03\x00\x10a"},
		"a packet of kind 0":           {connack, "\x00\x00"},
		"a huge publish":               {connack, "\x32\xff\xff\xff\x7f"},
		"an answer to a ping not sent": {connack, "\xd0\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			noneLeft(t)
			l := listen(t)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				buf := make([]byte, 4096)
				for _, a := range answers {
					if _, err := c.Read(buf); err != nil {
						return
					}
					if _, err := io.WriteString(c, a); err != nil {
						return
					}
				}
				if len(answers[len(answers)-1]) == 0 {
					return
				}
				_, _ = io.Copy(io.Discard, c)
			}()
			p := params(l.Addr().String())
			p.ConnectTimeout = time.Second
			if c, err := Dial(t.Context(), p); err == nil {
				c.Close()
				t.Error("connected")
			} else {
				t.Log(err)
			}
			_ = l.Close()
			<-ended
		})
	}
}

var _ net.Conn = (*conn)(nil)

// TestBrokenWhileSending: who sends as the link breaks does not wait for paho to find
// that nobody takes it.
func TestBrokenWhileSending(t *testing.T) {
	noneLeft(t)
	l := listen(t)
	socket := make(chan *net.TCPConn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		b := make([]byte, 4096)
		for n, answer := range []string{"\x20\x02\x00\x00", "\x90\x03\x00\x01\x01", "\x90\x03\x00\x02\x01"} {
			if _, err := c.Read(b); err != nil {
				t.Error(n, err)
			}
			_, _ = c.Write([]byte(answer))
		}
		socket <- c.(*net.TCPConn)
	}()
	p := params(l.Addr().String())
	p.KeepAlive = time.Minute
	c := dial(t, p)
	broken := <-socket
	sent, over := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(over)
		for {
			f := frame(0)
			f.Beat.Moved = make([]protocol.Cursor, 100)
			for i := range f.Beat.Moved {
				f.Beat.Moved[i].Log = strings.Repeat("x", 200)
			}
			if err := c.Send(f); err != nil {
				t.Error(err)
			}
			select {
			case <-c.Down():
				return
			case sent <- struct{}{}:
			default:
			}
		}
	}()
	for full := false; !full; { // until what is sent is not taken any more
		select {
		case <-sent:
		case <-time.After(300 * time.Millisecond):
			full = true
		}
	}
	_ = broken.SetLinger(0)
	_ = broken.Close()
	<-c.Down()
	select {
	case <-over:
	case <-time.After(writeLimit / 2):
		t.Error("who sends waits after the link is down")
	}
}
