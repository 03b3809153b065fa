package rig

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Network is network namespaces of a test's own.
type Network struct {
	t      testing.TB
	prefix string // of their names
}

// NewNetwork makes none yet. The test is skipped where it may make none, or a tool is
// missing that it needs beside ip.
func NewNetwork(t testing.TB, tools ...string) *Network {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	for _, tool := range append(tools, "ip") {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is needed: scripts/deps test installs it", tool)
		}
	}
	n := &Network{t: t, prefix: fmt.Sprintf("hc%d-", os.Getpid()%100000)}
	if out, err := exec.Command("ip", "netns", "add", n.prefix+"try").CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %v: %s", err, out)
	}
	_ = exec.Command("ip", "netns", "del", n.prefix+"try").Run()
	return n
}

// Sh runs a command; it fails the test.
func (n *Network) Sh(line string) {
	n.t.Helper()
	args := strings.Fields(line)
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v: %s", line, err, out)
	}
}

// Inside is what runs a program in a namespace.
func (n *Network) Inside(space string) []string {
	return []string{"ip", "netns", "exec", n.prefix + space}
}

// In runs a command in a namespace.
func (n *Network) In(space, line string) {
	n.t.Helper()
	n.Sh(strings.Join(n.Inside(space), " ") + " " + line)
}

// Space makes a namespace, which goes with the test.
func (n *Network) Space(name string) {
	n.t.Helper()
	n.Sh("ip netns add " + n.prefix + name)
	n.t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", n.prefix+name).Run() }) // it may be gone
	n.In(name, "ip link set lo up")
}

// Wire connects two namespaces. The ends are named as given there.
func (n *Network) Wire(a, aName, b, bName string) {
	n.t.Helper()
	n.Sh(fmt.Sprintf("ip link add %s netns %s type veth peer name %s netns %s", aName, n.prefix+a, bName, n.prefix+b))
	n.In(a, "ip link set "+aName+" up")
	n.In(b, "ip link set "+bName+" up")
}

// NFT loads rules into a namespace.
func (n *Network) NFT(space, rules string) {
	n.t.Helper()
	line := append(n.Inside(space), "nft", "-f", "-")
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("nft: %v: %s", err, out)
	}
}
