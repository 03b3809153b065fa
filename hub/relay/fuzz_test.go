package relay

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// fed is a packet socket whose packets are the test's.
type fed struct {
	net.PacketConn
	packets chan []byte
	handled chan struct{}
	closed  chan struct{}
}

func (f *fed) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case f.handled <- struct{}{}:
	case <-f.closed:
		return 0, nil, net.ErrClosed
	}
	select {
	case p := <-f.packets:
		return copy(b, p), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}, nil
	case <-f.closed:
		return 0, nil, net.ErrClosed
	}
}

func (f *fed) WriteTo(b []byte, _ net.Addr) (int, error) { return len(b), nil }
func (f *fed) Close() error                              { close(f.closed); return f.PacketConn.Close() }

// FuzzPackets feeds a server what strangers may send: it must not break, nor give
// anybody an allocation.
func FuzzPackets(f *testing.F) {
	for _, m := range []*stun.Message{
		stun.MustBuild(stun.TransactionID, stun.BindingRequest),
		stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest)),
		stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), stun.NewUsername("1:a"), stun.NewRealm(Realm),
			stun.NewNonce("x"), stun.NewShortTermIntegrity("x")),
		stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication)),
		stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodConnectionBind, stun.ClassRequest)),
	} {
		f.Add(m.Raw)
	}
	f.Add([]byte{0x40, 0, 0xff, 0xff, 1})
	f.Add([]byte(strings.Repeat("\x40", 1600)))
	s, err := New(Config{
		Listen: "127.0.0.1:0", MinPort: 20000, MaxPort: 60000, Allocations: 10, PerUser: 10,
		Secret: func(time.Time) ([]byte, bool) { return secret, true },
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	feed := &fed{s.udp, make(chan []byte), make(chan struct{}), make(chan struct{})}
	s.udp = feed
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	f.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.Error(err)
		}
	})
	<-feed.handled
	f.Fuzz(func(t *testing.T, b []byte) {
		feed.packets <- b
		<-feed.handled
		if got := s.Stats(); got.Allocations != 0 {
			t.Errorf("a stranger has %+v", got)
		}
	})
}

// FuzzUsername: what is taken is what Credentials makes.
func FuzzUsername(f *testing.F) {
	for _, s := range []string{"1760021600:door", "door", ":", "0:a", "01:a", "-1:a", "1:a:b", "99999999999999999999:a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		expires, user, ok := parseUsername(s)
		if !ok {
			return
		}
		if again, _ := Credentials(secret, user, expires); again != s {
			t.Errorf("%q is taken for %q", s, again)
		}
	})
}
