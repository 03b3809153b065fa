package peer

import (
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

// newRelay starts a TURN server on loopback, which lets the user that is in force begin, and others go on.
func newRelay(t *testing.T) (server ICEServer, user *atomic.Value) {
	t.Helper()
	user = new(atomic.Value)
	user.Store("user")
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	relay, err := turn.NewServer(turn.ServerConfig{
		Realm: "herald.test", LoggerFactory: pionLog{testConfig(t).Log},
		AuthHandler: func(ra *turn.RequestAttributes) (string, []byte, bool) {
			return "user", turn.GenerateAuthKey(ra.Username, ra.Realm, "secret"), ra.Method != stun.MethodAllocate || ra.Username == user.Load()
		},
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn:            conn,
			RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"},
			PermissionHandler:     func(net.Addr, net.IP) bool { return true },
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = relay.Close() })
	return ICEServer{URLs: []string{"turn:" + conn.LocalAddr().String() + "?transport=udp"}, Username: "user", Password: "secret"}, user
}

func TestRelayOnly(t *testing.T) {
	noLeak(t)
	relay, _ := newRelay(t)
	cam := newCamera(t)
	options := cam.options()
	options.RelayOnly = true
	a := newEnd(t, newFactory(t, testConfig(t)), options)
	if err := a.SetServers([]ICEServer{relay}); err != nil {
		t.Fatal(err)
	}
	b := newEnd(t, newFactory(t, testConfig(t)), cam.options()) // has direct candidates, which must not be reached directly

	offer := must(a.Offer(t.Context()))
	var lines []string
	for line := receive(t, a.candidates, "a candidate"); line != ""; line = receive(t, a.candidates, "a candidate") {
		lines = append(lines, line)
		if !strings.Contains(line, "typ relay") || strings.Contains(line, "raddr") && !strings.Contains(line, "raddr 0.0.0.0 rport 0") {
			t.Errorf("candidate: %s", line)
		}
	}
	if len(lines) == 0 {
		t.Fatal("no relay candidate")
	}
	trickle(t, b, a)
	answer := must(b.Answer(t.Context(), offer))
	if err := a.Accept(answer); err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if err := b.AddCandidate(line); err != nil {
			t.Fatal(err)
		}
	}
	a.awaitState(StateConnected)
	b.awaitState(StateConnected)
	awaitPackets(t, b.awaitTracks(2)[Video], 10)
	if path := a.Stats().Path; path == nil || path.LocalType != "relay" {
		t.Errorf("a's path: %+v", path)
	}
	if path := b.Stats().Path; path == nil || path.RemoteType != "relay" {
		t.Errorf("b's path: %+v", path)
	}

	// An offer made later holds the candidates that are there.
	if offer := must(a.RestartOffer(t.Context())); strings.Contains(offer, "raddr 127") || strings.Contains(offer, "typ host") {
		t.Errorf("the offer tells our address: %s", offer)
	}
}

// TestNewCredentials: a call outlasts the credentials that it began with, and can still look for a new path.
func TestNewCredentials(t *testing.T) {
	noLeak(t)
	relay, user := newRelay(t)
	cam := newCamera(t)
	options := cam.options()
	options.RelayOnly = true
	a := newEnd(t, newFactory(t, testConfig(t)), options)
	if err := a.SetServers([]ICEServer{relay}); err != nil {
		t.Fatal(err)
	}
	b := newEnd(t, newFactory(t, testConfig(t)), cam.options())
	connect(t, a, b)

	user.Store("later")
	relay.Username = "later"
	if err := a.SetServers([]ICEServer{relay}); err != nil {
		t.Fatal(err)
	}
	answer := must(b.Answer(t.Context(), must(a.RestartOffer(t.Context()))))
	if err := a.Accept(answer); err != nil {
		t.Fatal(err)
	}
	a.awaitState(StateConnected)
	b.awaitState(StateConnected)
	awaitPackets(t, b.remoteTrack(Video), 10)
	if path := a.Stats().Path; path == nil || path.LocalType != "relay" {
		t.Errorf("the path: %+v", path)
	}
	if err := a.SetServers([]ICEServer{{URLs: []string{"turn:"}}}); err == nil {
		t.Error("a server without a name")
	}
	a.Close()
	if err := a.SetServers(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
