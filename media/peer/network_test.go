package peer

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAllowedInterfaces(t *testing.T) {
	containers := []string{"docker*", "veth*", "br-*", "virbr*", "cni*"}
	without := interfaces{exclude: containers}
	only := interfaces{allow: []string{"wlan*", "docker1"}, exclude: containers}
	for name, want := range map[string][2]bool{
		"eth0": {true, false}, "wlan0": {true, true}, "docker0": {false, false}, "docker1": {false, true}, "veth12ab": {false, false},
		"br-0123456789ab": {false, false}, "br0": {true, false}, "virbr0": {false, false}, "cni0": {false, false}, "wg0": {true, false},
	} {
		if got := [2]bool{without.allowed(name), only.allowed(name)}; got != want {
			t.Errorf("%s: without the excluded %v, by the list %v; want %v", name, got[0], got[1], want)
		}
	}
	// Who excludes none gets them all.
	if f := newFactory(t, Config{}); !f.interfaces.allowed("br-lan") {
		t.Error("an interface is excluded that nobody named")
	}
	config := testConfig(t)
	config.Interfaces = []string{"eth["}
	if _, err := New(config); err == nil {
		t.Error("a broken pattern is taken")
	}
}

// TestPortIsGiven: the port is the one that was asked for, and free again after Close.
func TestPortIsGiven(t *testing.T) {
	noLeak(t)
	f := newFactory(t, testConfig(t))
	config := testConfig(t)
	config.Port = f.Port()
	if _, err := New(config); err == nil {
		t.Fatal("a port was opened twice")
	}
	f.Close()
	again := newFactory(t, config)
	if again.Port() != config.Port {
		t.Errorf("port %d, want %d", again.Port(), config.Port)
	}
}

// TestRemoteAddresses: a candidate cannot make us send to many, nor to a machine's own programs unless calls go there.
func TestRemoteAddresses(t *testing.T) {
	for text, want := range map[string][2]bool{
		"192.0.2.1": {true, true}, "2001:db8::1": {true, true}, "127.0.0.1": {false, true}, "::1": {false, true}, "127.9.9.9": {false, true},
		"0.0.0.0": {}, "::": {}, "224.0.0.251": {}, "ff02::1": {},
	} {
		ip := net.ParseIP(text)
		if got := [2]bool{interfaces{}.worthTrying(ip), interfaces{loopback: true}.worthTrying(ip)}; got != want {
			t.Errorf("%s: %v, with loopback %v; want %v", text, got[0], got[1], want)
		}
	}
	s, err := listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, to := range []string{"255.255.255.255:9", "127.255.255.255:9", "[::ffff:127.255.255.255]:9"} {
		if _, err := s.WriteToAddrPort([]byte("x"), netip.MustParseAddrPort(to)); !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ENETUNREACH) {
			t.Errorf("sending to %s: %v", to, err)
		}
	}
	if _, err := s.WriteToAddrPort([]byte("x"), netip.MustParseAddrPort("127.0.0.1:9")); err != nil {
		t.Errorf("sending to one: %v", err)
	}
}
