package peer

import "testing"

func TestAllowedInterfaces(t *testing.T) {
	byDefault := interfaces{exclude: DefaultExclude}
	only := interfaces{allow: []string{"wlan*", "docker1"}, exclude: DefaultExclude}
	for name, want := range map[string][2]bool{
		"eth0": {true, false}, "wlan0": {true, true}, "docker0": {false, false}, "docker1": {false, true}, "veth12ab": {false, false},
		"br-0123456789ab": {false, false}, "br0": {true, false}, "virbr0": {false, false}, "cni0": {false, false}, "wg0": {true, false},
	} {
		if got := [2]bool{byDefault.allowed(name), only.allowed(name)}; got != want {
			t.Errorf("%s: by default %v, by the list %v; want %v", name, got[0], got[1], want)
		}
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
