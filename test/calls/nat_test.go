package calls

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// town is a public network with a hub, and homes on it, each a network of its own
// behind a router that translates addresses. All of it is in network namespaces.
type town struct {
	*house
	prefix string
}

// sh runs a command; it fails the test.
func (n *town) sh(line string) {
	n.t.Helper()
	args := strings.Fields(line)
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v: %s", line, err, out)
	}
}

// inside is what runs a program in a namespace.
func (n *town) inside(space string) []string {
	return []string{"ip", "netns", "exec", n.prefix + space}
}

// in runs a command in a namespace.
func (n *town) in(space, line string) {
	n.t.Helper()
	n.sh(strings.Join(n.inside(space), " ") + " " + line)
}

func (n *town) space(name string) {
	n.t.Helper()
	n.sh("ip netns add " + n.prefix + name)
	n.t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", n.prefix+name).Run() }) // it may be gone
	n.in(name, "ip link set lo up")
}

// wire connects two namespaces. The ends are named as given there.
func (n *town) wire(a, aName, b, bName string) {
	n.t.Helper()
	n.sh(fmt.Sprintf("ip link add %s netns %s type veth peer name %s netns %s", aName, n.prefix+a, bName, n.prefix+b))
	n.in(a, "ip link set "+aName+" up")
	n.in(b, "ip link set "+bName+" up")
}

// nft loads rules into a namespace.
func (n *town) nft(space, rules string) {
	n.t.Helper()
	line := append(n.inside(space), "nft", "-f", "-")
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("nft: %v: %s", err, out)
	}
}

const hubAddr = "10.77.0.1"

// newTown makes the public network with a hub, whose relay is at its usual port.
func newTown(t *testing.T) *town {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is needed: scripts/deps test installs it", tool)
		}
	}
	n := &town{house: emptyHouse(t), prefix: fmt.Sprintf("hc%d-", os.Getpid()%100000)}
	if out, err := exec.Command("ip", "netns", "add", n.prefix+"try").CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %v: %s", err, out)
	}
	_ = exec.Command("ip", "netns", "del", n.prefix+"try").Run()
	n.space("pub")
	n.in("pub", "ip link add br0 type bridge")
	n.in("pub", "ip addr add "+hubAddr+"/24 dev br0")
	n.in("pub", "ip link set br0 up")

	n.hub.MQTT = hubAddr + ":1883"
	n.hub.Args = []string{"run", "--data", n.hub.Data, "--mqtt", n.hub.MQTT, "--http", "127.0.0.1:8080"}
	n.hub.Under = n.inside("pub")
	n.startHub("[mqtt]\nplain = true\n[turn]\nlisten = \"" + hubAddr + ":3478\"\n")
	return n
}

// home adds a home with a board in it. nat is how its router translates.
func (n *town) home(number int, user, nat string) *board {
	n.t.Helper()
	router, home := fmt.Sprintf("r%d", number), fmt.Sprintf("h%d", number)
	n.space(router)
	n.space(home)
	port := fmt.Sprintf("p%d", number)
	n.wire("pub", port, router, "wan0")
	n.in("pub", "ip link set "+port+" master br0")
	n.in(router, fmt.Sprintf("ip addr add 10.77.0.%d/24 dev wan0", 10+number))
	n.wire(router, "lan0", home, "eth0")
	n.in(router, fmt.Sprintf("ip addr add 10.78.%d.1/24 dev lan0", number))
	n.in(home, fmt.Sprintf("ip addr add 10.78.%d.2/24 dev eth0", number))
	n.in(home, fmt.Sprintf("ip route add default via 10.78.%d.1", number))
	n.in(router, "sysctl -q -w net.ipv4.ip_forward=1")
	n.nft(router, `table ip nat {
	chain post { type nat hook postrouting priority 100; oifname "wan0" `+nat+`; }
}
table ip filter {
	# A home router does not answer what nobody asked for, and thereby keeps no memory of it that would spoil the mapping.
	chain input { type filter hook input priority 0; iifname "wan0" ct state new drop; }
	chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept; iifname "lan0" accept; }
}`)
	return n.boardIn(home, user)
}

// boardIn starts a board in a namespace.
func (n *town) boardIn(space, user string) *board {
	n.t.Helper()
	b := n.newBoard(user, "")
	b.Under = n.inside(space)
	b.start()
	return b
}

// Routers of homes keep the port that a board sends from: the two find each other.
func TestBehindRouters(t *testing.T) {
	n := newTown(t)
	door, indoor := n.home(1, "door", "masquerade"), n.home(2, "indoor", "masquerade")
	n.connect(door, indoor)
	for _, b := range []*board{door, indoor} {
		t.Logf("%s: %+v", b.User, b.call().Users[0])
		if p := b.call().Users[0].Path; p == "" || strings.Contains(p, "relay") {
			t.Errorf("%s: the path is %s", b.User, p)
		}
	}
	n.hangup(door, indoor)

	// The cable of a home is cut: both ends know within 10 s.
	n.connect(indoor, door)
	cut := time.Now()
	n.in("h1", "ip link set eth0 down")
	for _, b := range []*board{door, indoor} {
		b.event("CallEnd", `"reason":"lost"`)
		if took := time.Since(cut); took > 10*time.Second+slack {
			t.Errorf("%s: the call ended %v after the cut", b.User, took)
		} else {
			t.Logf("%s: the call ended %v after the cut", b.User, took.Round(10*time.Millisecond))
		}
	}
}

// Routers that give each destination a port of its own, and between which nothing
// gets through: the hub's relay is all that is left.
func TestBehindSymmetricRouters(t *testing.T) {
	n := newTown(t)
	door, indoor := n.home(1, "door", "masquerade fully-random"), n.home(2, "indoor", "masquerade fully-random")
	n.nft("r1", `table ip between { chain forward { type filter hook forward priority -10; ip daddr 10.77.0.12 drop; ip saddr 10.77.0.12 drop; }
}`)
	n.connect(door, indoor)
	for _, b := range []*board{door, indoor} {
		t.Logf("%s: %+v", b.User, b.call().Users[0])
		if p := b.call().Users[0].Path; !strings.Contains(p, "relay") {
			t.Errorf("%s: the path is %s", b.User, p)
		}
	}
	n.hangup(door, indoor)
}

// A board whose address changes goes on with its call.
func TestAddressChanges(t *testing.T) {
	n := newTown(t)
	door, indoor := n.home(1, "door", "masquerade"), n.home(2, "indoor", "masquerade")
	n.connect(door, indoor)
	n.in("h1", "ip addr del 10.78.1.2/24 dev eth0") // and with it its routes
	n.in("h1", "ip addr add 10.78.1.77/24 dev eth0")
	n.in("h1", "ip route add default via 10.78.1.1")
	// The old path is dead; pictures that come are of a new one.
	n.picturesAfter(door, indoor)
	n.hangup(door, indoor)
}
