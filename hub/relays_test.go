package hub

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

func withTurn(cfg *Config) { cfg.Turn.Listen = "127.0.0.1:0" }

// iceServers asks for the servers and says as what the board would take them.
func (x *term) iceServers() (stun, username, credential string) {
	x.t.Helper()
	var res protocol.ICEServersResponse
	if code := x.call("device.getIceServers", protocol.Empty{}, &res); code != 0 {
		x.t.Fatalf("device.getIceServers: %d", code)
	}
	if len(res.ICEServers) != 2 || len(res.ICEServers[0].URLs) != 1 || res.TTLSeconds != 6*3600 {
		x.t.Fatalf("%+v", res)
	}
	stun = res.ICEServers[0].URLs[0]
	at := strings.TrimPrefix(stun, "stun:")
	if want := []string{"turn:" + at + "?transport=udp", "turn:" + at + "?transport=tcp"}; !reflect.DeepEqual(res.ICEServers[1].URLs, want) {
		x.t.Errorf("%q", res.ICEServers[1].URLs)
	}
	return at, res.ICEServers[1].Username, res.ICEServers[1].Credential
}

// allocates tries what device.getIceServers gave.
func (s *served) allocates(username, credential string) error {
	s.t.Helper()
	relayed, err := s.relayed(username, credential)
	if err == nil {
		err = relayed.Close()
	}
	return err
}

// relayed is an allocation, until the test ends.
func (s *served) relayed(username, credential string) (net.PacketConn, error) {
	s.t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	quiet := logging.NewDefaultLoggerFactory()
	quiet.DefaultLogLevel = logging.LogLevelDisabled
	c, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: s.hub.TURNAddr().String(), Conn: conn, Username: username, Password: credential, LoggerFactory: quiet,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	if err := c.Listen(); err != nil {
		s.t.Fatal(err)
	}
	return c.Allocate()
}

// A block ends what is relayed for an account at once, and its password is good for
// nothing more although its time is not over.
func TestBlockEndsRelay(t *testing.T) {
	s := serve(t, sqlite(t), withTurn)
	_, username, credential := s.online("door", "t").iceServers()
	_, other, otherCredential := s.online("indoor", "t").iceServers()
	for range 2 {
		if _, err := s.relayed(username, credential); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.relayed(other, otherCredential); err != nil {
		t.Fatal(err)
	}
	if err := s.hub.write(func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.SetBlocked(ctx, s.app, "door", true, time.Now()),
			tx.AddOrder(ctx, store.Order{App: s.app, Kind: store.OrderBlock, User: "door"}, time.Now()))
	}); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for s.hub.relay.Stats().Allocations != 1 {
		if time.Now().After(deadline) {
			t.Fatalf("after the block: %+v", s.hub.relay.Stats())
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := s.allocates(username, credential); err == nil {
		t.Error("the relay serves an account that is blocked")
	}
	if err := s.allocates(other, otherCredential); err != nil {
		t.Errorf("another account suffers: %v", err)
	}
	if err := s.hub.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.SetBlocked(ctx, s.app, "door", false, time.Now())
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.allocates(username, credential); err != nil {
		t.Errorf("let in again: %v", err)
	}
}

// What a board was given is good for the relay, also after a restart of the hub and
// with a new key, and ends with the key that it was made with.
func TestIceServers(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		s := serve(t, location, withTurn)
		door := s.online("door", "t")
		at, username, credential := door.iceServers()
		if host, port, err := net.SplitHostPort(at); err != nil || host != protocol.IceHostHub || !strings.HasSuffix(s.hub.TURNAddr().String(), ":"+port) {
			t.Errorf("%q, and it listens on %v", at, s.hub.TURNAddr())
		}
		if !strings.HasSuffix(username, ":door") {
			t.Errorf("%q", username)
		}
		if err := s.allocates(username, credential); err != nil {
			t.Error(err)
		}
		if err := s.allocates(username, credential+"x"); err == nil {
			t.Error("a wrong password is good")
		}
		s.stop()
		s = serve(t, location, withTurn)
		if err := s.allocates(username, credential); err != nil {
			t.Errorf("after a restart: %v", err)
		}
		order := func(f func(ctx context.Context, tx *store.Tx) error) {
			t.Helper()
			if err := s.hub.write(f); err != nil {
				t.Fatal(err)
			}
			s.hub.relayKeys.mu.Lock()
			s.hub.relayKeys.at = time.Time{}
			s.hub.relayKeys.mu.Unlock()
		}
		order(func(ctx context.Context, tx *store.Tx) error {
			return tx.AddKey(ctx, s.app, NewKey("k2", time.Now().Add(time.Second)))
		})
		if err := s.allocates(username, credential); err != nil {
			t.Errorf("after a new key: %v", err)
		}
		order(func(ctx context.Context, tx *store.Tx) error { return tx.RemoveKey(ctx, s.app, "k1", time.Now()) })
		if err := s.allocates(username, credential); err == nil {
			t.Error("a password is good whose key was removed")
		}
	})
}

// The key of a password is found by when it was given out.
func TestRelaySecrets(t *testing.T) {
	h := &Hub{}
	h.cfg.Turn.fill()
	at := time.Unix(1760000000, 0)
	keys := []store.Key{{ID: "k1", Secret: "a", Created: at}, {ID: "k2", Secret: "b", Created: at.Add(time.Hour)}}
	of := func(keys []store.Key, given time.Time) string {
		secret, ok := h.secretOf(keys, given.Add(h.cfg.Turn.CredentialsFor))
		if !ok {
			return ""
		}
		return string(secret)
	}
	a, b := of(keys[:1], at), of(keys[1:], at)
	if a == b || a == "" || len(a) != 32 {
		t.Errorf("%x %x", a, b)
	}
	for given, want := range map[time.Duration]string{0: a, 59 * time.Minute: a, time.Hour: a, time.Hour + keyAge: b, 2 * time.Hour: b} {
		if got := of(keys, at.Add(given)); got != want {
			t.Errorf("given out after %v: another key's secret", given)
		}
	}
	keys[0].Removed = true
	if of(keys, at) != b || of(keys[:1], at) != "" {
		t.Error("a key that was removed")
	}
}

func TestTurnHost(t *testing.T) {
	s := serve(t, sqlite(t), withTurn)
	port := s.hub.TURNAddr().Port()
	for public, want := range map[string]string{
		"": protocol.IceHostHub + ":P", "turn.example": "turn.example:P", "turn.example:7": "turn.example:7", "2001:db8::7": "[2001:db8::7]:P",
		"[2001:db8::7]:7": "[2001:db8::7]:7", "203.0.113.7": "203.0.113.7:P",
	} {
		s.hub.cfg.Turn.Public = public
		if got := s.hub.turnHost(); got != strings.Replace(want, "P", netip.AddrPortFrom(netip.IPv4Unspecified(), port).String()[len("0.0.0.0:"):], 1) {
			t.Errorf("%q: %q", public, got)
		}
	}
}

// A second hub on a machine does without, unless it was told where to listen.
func TestTurnPortTaken(t *testing.T) {
	s := serve(t, sqlite(t), withTurn)
	taken := s.hub.TURNAddr().String()
	second := serve(t, sqlite(t), func(cfg *Config) { cfg.Turn.Listen, cfg.Turn.MayLack = taken, true })
	if second.hub.TURNAddr().IsValid() || !second.log.has("turn.listen") {
		t.Errorf("%v", second.hub.TURNAddr())
	}
	var res protocol.ICEServersResponse
	if code := second.online("door", "t").call("device.getIceServers", protocol.Empty{}, &res); code != 0 || res.ICEServers == nil || len(res.ICEServers) != 0 {
		t.Errorf("%d %+v", code, res)
	}
	_, err := New(Config{Store: sqlite(t), MQTT: "127.0.0.1:0", HTTP: "127.0.0.1:0", Turn: Turn{Listen: taken}}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "turn.listen") {
		t.Errorf("an address that was asked for: %v", err)
	}
}
