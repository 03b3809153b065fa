package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

var secret = []byte("a secret of this test")

// running is a server that runs.
type running struct {
	*Server
	t    *testing.T
	stop func()
}

func run(t *testing.T, change ...func(*Config)) *running {
	t.Helper()
	cfg := Config{
		Listen: "127.0.0.1:0", MinPort: 20000, MaxPort: 60000, Allocations: 100, PerUser: 4,
		Secret: func(time.Time) ([]byte, bool) { return secret, true },
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r := &running{Server: s, t: t}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// client is a TURN client with the given credentials.
func (r *running) client(network, username, password string) *turn.Client {
	r.t.Helper()
	var conn net.PacketConn
	if network == "tcp" {
		c, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			r.t.Fatal(err)
		}
		conn = turn.NewSTUNConn(c)
	} else {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			r.t.Fatal(err)
		}
		conn = c
	}
	quiet := logging.NewDefaultLoggerFactory()
	quiet.DefaultLogLevel = logging.LogLevelDisabled
	c, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: r.Addr().String(), TURNServerAddr: r.Addr().String(), Conn: conn,
		Username: username, Password: password, Realm: Realm, LoggerFactory: quiet,
	})
	if err == nil {
		err = c.Listen()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		c.Close()
		_ = conn.Close()
	})
	return c
}

func (r *running) of(network, user string) *turn.Client {
	name, password := Credentials(secret, user, time.Now().Add(time.Hour))
	return r.client(network, name, password)
}

// refused fails unless err is a STUN error with this code.
func refused(t *testing.T, err error, code stun.ErrorCode) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("error %d", code)) {
		t.Errorf("%v, not refused with %d", err, code)
	}
}

// Two clients reach each other through their relayed addresses, by UDP and TCP.
func TestRelays(t *testing.T) {
	for _, networks := range [][2]string{{"udp", "udp"}, {"udp", "tcp"}, {"tcp", "tcp"}} {
		t.Run(networks[0]+" "+networks[1], func(t *testing.T) {
			r := run(t)
			a, b := r.of(networks[0], "door"), r.of(networks[1], "indoor")
			if mapped, err := a.SendBindingRequest(); err != nil || mapped == nil {
				t.Fatalf("%v, %v", mapped, err)
			}
			at, err := a.Allocate()
			if err != nil {
				t.Fatal(err)
			}
			bt, err := b.Allocate()
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(a.CreatePermission(bt.LocalAddr()), b.CreatePermission(at.LocalAddr())); err != nil {
				t.Fatal(err)
			}
			if got := r.Stats(); got.Allocations != 2 {
				t.Errorf("%+v", got)
			}
			buf := make([]byte, 2000)
			for n := 1; n <= 1200; n += 333 {
				want := bytes.Repeat([]byte{byte(n)}, n)
				if _, err := at.WriteTo(want, bt.LocalAddr()); err != nil {
					t.Fatal(err)
				}
				if err := bt.SetReadDeadline(time.Now().Add(patience)); err != nil {
					t.Fatal(err)
				}
				got, from, err := bt.ReadFrom(buf)
				if err != nil || !bytes.Equal(buf[:got], want) || from.String() != at.LocalAddr().String() {
					t.Fatalf("%d bytes from %v, %v", got, from, err)
				}
			}
			if got := r.Stats(); got.BytesIn == 0 || got.BytesOut == 0 {
				t.Errorf("%+v", got)
			}
			if err := at.Close(); err != nil {
				t.Error(err)
			}
			wait(t, "an allocation that was given up is kept", func() bool { return r.Stats().Allocations == 1 })
			r.stop()
			if got := r.Stats(); got.Allocations != 0 || got.Connections != 0 {
				t.Errorf("after the end: %+v", got)
			}
			wait(t, "goroutines of the server are left", func() bool {
				return !strings.Contains(stacks(), "turn/v5.(*Server)") && !strings.Contains(stacks(), "/allocation.")
			})
		})
	}
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s\n%s", what, stacks())
		}
	}
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// The addresses are free again, and nothing of the server is left, also when its
// clients are not gone.
func TestEnds(t *testing.T) {
	before := runtime.NumGoroutine()
	r := run(t)
	var idle []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	wait(t, "nobody is let in", func() bool { return r.Stats().Connections == 3 })
	r.stop()
	wait(t, "goroutines are left", func() bool { return runtime.NumGoroutine() <= before })
	for _, c := range idle {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a connection is open")
		}
		_ = c.Close()
	}
	again, err := New(Config{Listen: r.Addr().String()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Listen: r.Addr().String()}, slog.New(slog.DiscardHandler)); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("an address that is taken: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestCredentials(t *testing.T) {
	now := time.Now()
	clock := now
	var mu sync.Mutex
	r := run(t, func(c *Config) {
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return clock }
		c.Secret = func(expires time.Time) ([]byte, bool) { return secret, expires.Before(now.Add(24 * time.Hour)) }
	})
	name, password := Credentials(secret, "door", now.Add(time.Hour))
	past, pastPassword := Credentials(secret, "door", now.Add(-time.Second))
	other, otherPassword := Credentials([]byte("another"), "door", now.Add(time.Hour))
	far, farPassword := Credentials(secret, "door", now.Add(25*time.Hour))
	bad, badPassword := Credentials(secret, "not a user", now.Add(time.Hour))
	for what, c := range map[string][2]string{
		"expired": {past, pastPassword}, "another secret": {other, otherPassword}, "wrong password": {name, "x"}, "no secret": {far, farPassword},
		"another's password": {strings.Replace(name, "door", "indoor", 1), password}, "no user": {bad, badPassword}, "no time": {"door", password},
		"padded": {"0" + name, passwordOf(secret, "0"+name)},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := r.client("udp", c[0], c[1]).Allocate()
			refused(t, err, stun.CodeUnauthorized)
		})
	}
	// What has expired serves on for what was made with it, and for nothing else.
	c := r.client("udp", name, password)
	relayed, err := c.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	clock = now.Add(grace)
	mu.Unlock()
	if err := c.CreatePermission(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4711}); err != nil {
		t.Errorf("a call that outlasts its credentials: %v", err)
	}
	if err := relayed.Close(); err != nil {
		t.Error(err)
	}
	_, err = r.client("udp", name, password).Allocate()
	refused(t, err, stun.CodeUnauthorized)
}

func TestLimits(t *testing.T) {
	r := run(t, func(c *Config) { c.Allocations, c.PerUser = 3, 2 })
	var first net.PacketConn
	for range 2 {
		c, err := r.of("udp", "door").Allocate()
		if err != nil {
			t.Fatal(err)
		}
		first = c
	}
	_, err := r.of("udp", "door").Allocate()
	refused(t, err, stun.CodeAllocQuotaReached)
	if _, err := r.of("tcp", "indoor").Allocate(); err != nil {
		t.Fatal(err)
	}
	_, err = r.of("udp", "phone").Allocate()
	refused(t, err, stun.CodeAllocQuotaReached)
	if got := r.Stats(); got.Allocations != 3 || got.Refused != 2 {
		t.Errorf("%+v", got)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	wait(t, "an allocation that was given up is kept", func() bool { return r.Stats().Allocations == 2 })
	if _, err := r.of("udp", "door").Allocate(); err != nil {
		t.Errorf("after one was given up: %v", err)
	}
	if _, err := r.of("udp", "x").AllocateTCP(); err == nil {
		t.Error("TCP is relayed")
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	r := run(t)
	for range connsPerHost + 1 {
		c, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, "they are not let in", func() bool { return r.Stats().Connections == connsPerHost })
}

// A client that brings nothing whole is cut off before it costs much.
func TestDribble(t *testing.T) {
	r := run(t)
	ours, theirs := net.Pipe()
	defer ours.Close()
	c := &conn{Conn: theirs, s: r.Server, since: time.Now()}
	go func() {
		for {
			if _, err := ours.Write([]byte{0}); err != nil {
				return
			}
		}
	}()
	n := 0
	for buf := make([]byte, 10); ; n++ {
		if _, err := c.Read(buf); err != nil {
			break
		}
	}
	if n != askReads {
		t.Errorf("%d reads without an allocation", n)
	}
	c = &conn{Conn: theirs, s: r.Server, since: time.Now().Add(-askTime)}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a client that has asked for nothing in time: %v", err)
	}
}

// What only the hub's machine reaches is not for its clients.
func TestForbiddenPeers(t *testing.T) {
	alone := run(t)
	open := &Server{v4: home{announce: netip.MustParseAddr("203.0.113.7")}, udp: alone.udp}
	own := netip.Addr{}
	if a := outbound("udp4", "192.0.2.1:9"); a.IsValid() {
		own = a
	}
	for _, text := range []string{
		"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "0.1.2.3", "::ffff:0.0.0.0", "169.254.169.254", "::ffff:169.254.169.254",
		"fe80::1", "224.0.0.251", "ff02::fb", "255.255.255.255", "240.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
	} {
		if open.mayReach(netip.MustParseAddr(text)) {
			t.Errorf("%s can be reached", text)
		}
	}
	if open.mayPeer(nil, nil) || open.mayPeer(nil, net.IP{1, 2}) {
		t.Error("no address can be reached")
	}
	for _, text := range []string{"192.168.1.7", "10.0.0.1", "203.0.113.7", "198.51.100.1", "2001:db8::1", "64:ff9b::c633:6401"} {
		if !open.mayReach(netip.MustParseAddr(text)) {
			t.Errorf("%s cannot be reached", text)
		}
	}
	if !alone.mayReach(netip.MustParseAddr("127.0.0.1")) || alone.mayReach(netip.MustParseAddr("169.254.1.1")) {
		t.Error("a hub that is alone on its machine")
	}
	port := alone.Addr().Port()
	for text, want := range map[string]bool{
		"127.0.0.1:53": false, fmt.Sprint("127.0.0.1:", port): false, fmt.Sprint("[::ffff:127.0.0.1]:", port): false, "127.0.0.1:40000": true,
		"203.0.113.7:53": false, "203.0.113.7:40000": true, "198.51.100.1:53": true,
	} {
		if got := open.maySend(netip.MustParseAddrPort(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if own.IsValid() && open.maySend(netip.AddrPortFrom(own, 53)) {
		t.Errorf("the machine's own services at %s can be reached", own)
	}
}

// The same over the wire, of a hub that others reach.
func TestForbiddenOverTheWire(t *testing.T) {
	if a := outbound("udp4", "192.0.2.1:9"); !a.IsValid() {
		t.Skip("this machine has no network")
	}
	victim, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	r := run(t, func(c *Config) { c.Listen = "0.0.0.0:0" })
	r.Server.udp.LocalAddr()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	name, password := Credentials(secret, "door", time.Now().Add(time.Hour))
	quiet := logging.NewDefaultLoggerFactory()
	quiet.DefaultLogLevel = logging.LogLevelDisabled
	client, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: fmt.Sprint("127.0.0.1:", r.Addr().Port()), Conn: c, Username: name, Password: password, LoggerFactory: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Allocate(); err != nil {
		t.Fatal(err)
	}
	refused(t, client.CreatePermission(victim.LocalAddr()), stun.CodeForbidden)
	refused(t, client.CreatePermission(&net.UDPAddr{IP: net.IPv4(169, 254, 169, 254), Port: 80}), stun.CodeForbidden)
	if err := client.CreatePermission(&net.UDPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 80}); err != nil {
		t.Error(err)
	}
}

// Where the relay's address is a router's, it is only announced.
func TestAnnouncedAddress(t *testing.T) {
	r := run(t, func(c *Config) { c.Address = netip.MustParseAddr("203.0.113.7"); c.MinPort, c.MaxPort = 50000, 50100 })
	relayed, err := r.of("udp", "door").Allocate()
	if err != nil {
		t.Fatal(err)
	}
	a := relayed.LocalAddr().(*net.UDPAddr).AddrPort()
	if a.Addr() != r.cfg.Address || a.Port() < 50000 || a.Port() > 50100 {
		t.Errorf("%v", a)
	}
	if _, err := New(Config{Listen: "127.0.0.1:0", Address: netip.MustParseAddr("2001:db8::1")}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an address of another family")
	}
}
