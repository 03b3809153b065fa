package broker

import (
	"errors"
	"log/slog"
	"net"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

func TestPanicEndsOneConnection(t *testing.T) {
	d := newDesk()
	d.authenticate = func(l Login) (any, error) {
		if l.Username == "panic" {
			panic("authenticate")
		}
		return nil, nil
	}
	d.receive = func(*Peer, string, []byte) error { panic("receive") }
	d.maySubscribe = func(_ *Peer, filter string) bool {
		if filter == "panic" {
			panic("maySubscribe")
		}
		return true
	}
	d.gone = func(p *Peer, _ []byte) {
		if p.Username == "gone" {
			panic("gone")
		}
	}
	r := start(t, d, Limits{})
	w := r.dial(t)
	w.send(hello{client: "c", user: "panic"}.bytes())
	w.closed()
	for i, p := range [][]byte{publish(1, "a", "x"), subscribe(1, 1, "panic"), nil} {
		w := r.login(t, hello{client: "c", user: []string{"u", "u", "gone"}[i]})
		w.send(subscribe(9, 1, "a"))
		w.expect([]byte{0x90, 3, 0, 9, 1})
		if p == nil {
			w.Close()
			continue
		}
		w.send(p)
		w.closed()
		next(t, d.left, "Gone")
	}
	r.alive(t)
	eventually(t, "all to be forgotten", func() bool {
		s := r.Stats()
		return s.Panics == 4 && s.Connections == 0 && s.Sessions == 0 && s.Subscriptions == 0
	})
}

// Why nothing but level 4 may reach a decoder. If this fails, the library has been mended.
func TestLibraryPanics(t *testing.T) {
	b, err := New(Config{Log: slog.New(slog.DiscardHandler)}, newDesk())
	if err != nil {
		t.Fatal(err)
	}
	err = b.guard(newLink(b, fakeConn{remote: &net.TCPAddr{}}), func() error {
		pk := packets.Packet{ProtocolVersion: 5}
		return pk.SubscribeDecode(sevenBytes[2:])
	})
	if !errors.Is(err, errPanic) || b.Stats().Panics != 1 {
		t.Errorf("no panic was caught: %v", err)
	}
}

func TestStrangersBytes(t *testing.T) {
	d := newDesk()
	r := start(t, d, Limits{})
	for i, p := range [][]byte{
		sevenBytes,
		frame(headSubscribe, []byte{0, 1}),                     // no filter
		frame(headSubscribe, []byte{0, 1}, str("a")),           // no QoS
		subscribe(1, 3, "a"),                                   // QoS 3
		subscribe(0, 1, "a"),                                   // id 0
		frame(0x80, []byte{0, 1}, str("a"), []byte{0}),         // wrong flags
		publish(0, "a", "")[:1],                                // cut
		frame(0x34, str("a"), []byte{0, 1}),                    // QoS 2
		frame(0x36, str("a"), []byte{0, 1}),                    // QoS 3
		frame(0x32, str("a"), []byte{0, 0}),                    // id 0
		frame(0x38, str("a")),                                  // DUP with QoS 0
		frame(0x30, str("a\x00b")),                             // NUL
		frame(0x30, str("\xff\xfe")),                           // not UTF-8
		frame(0x30, []byte{0xff, 0xff, 'a'}),                   // topic longer than the packet
		frame(0x62, []byte{0, 1}),                              // PUBREL
		frame(0x50, []byte{0, 1}),                              // PUBREC
		frame(0xf0),                                            // AUTH of MQTT 5
		frame(0x20, []byte{0, 0}),                              // CONNACK
		hello{level: 5, client: "c"}.bytes(),                   // CONNECT again, as MQTT 5
		{0xc0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80}, // endless length
		{0, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff, 0xff},
		[]byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		before := r.dial(t)
		before.send(p)
		_ = before.Conn.(*net.TCPConn).CloseWrite()
		if head, _ := before.packet(); head != 0 && head != headConnack {
			t.Errorf("%d: got %#x before the login", i, head)
		}
		w := r.login(t, hello{client: "c"})
		w.send(p)
		_ = w.Conn.(*net.TCPConn).CloseWrite()
		if i == 0 { // at level 4 these bytes are an empty filter with QoS 0
			w.expect([]byte{0x90, 3, 0, 1, 0x80})
		}
		if head, body := w.packet(); head != 0 {
			t.Errorf("%d, % x: got %#x %x", i, p, head, body)
		}
		next(t, d.left, "Gone")
	}
	r.alive(t)
	if s := r.Stats(); s.Panics != 0 || s.MessagesIn != 0 || s.Violations != 21 {
		t.Errorf("%+v", s)
	}
}

type fakeConn struct {
	net.Conn
	remote net.Addr
}

func (c fakeConn) RemoteAddr() net.Addr { return c.remote }
