package calls

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/test/rig"
)

// town is a public network with a hub, and homes on it, each a network of its own
// behind a router that translates addresses. All of it is in network namespaces.
type town struct {
	*house
	*rig.Network
}

const hubAddr = "10.77.0.1"

// newTown makes the public network with a hub, whose relay is at its usual port.
func newTown(t *testing.T) *town {
	t.Helper()
	n := &town{house: emptyHouse(t), Network: rig.NewNetwork(t, "nft")}
	n.Space("pub")
	n.In("pub", "ip link add br0 type bridge")
	n.In("pub", "ip addr add "+hubAddr+"/24 dev br0")
	n.In("pub", "ip link set br0 up")

	n.hub.MQTT = hubAddr + ":1883"
	n.hub.Args = []string{"run", "--data", n.hub.Data, "--mqtt", n.hub.MQTT, "--http", "127.0.0.1:8080"}
	n.hub.Under = n.Inside("pub")
	n.startHub("[mqtt]\nplain = true\n[turn]\nlisten = \"" + hubAddr + ":3478\"\n")
	return n
}

// home adds a home with a board in it. nat is how its router translates.
func (n *town) home(number int, user, nat string) *board {
	n.t.Helper()
	router, home := fmt.Sprintf("r%d", number), fmt.Sprintf("h%d", number)
	n.Space(router)
	n.Space(home)
	port := fmt.Sprintf("p%d", number)
	n.Wire("pub", port, router, "wan0")
	n.In("pub", "ip link set "+port+" master br0")
	n.In(router, fmt.Sprintf("ip addr add 10.77.0.%d/24 dev wan0", 10+number))
	n.Wire(router, "lan0", home, "eth0")
	n.In(router, fmt.Sprintf("ip addr add 10.78.%d.1/24 dev lan0", number))
	n.In(home, fmt.Sprintf("ip addr add 10.78.%d.2/24 dev eth0", number))
	n.In(home, fmt.Sprintf("ip route add default via 10.78.%d.1", number))
	n.In(router, "sysctl -q -w net.ipv4.ip_forward=1")
	n.NFT(router, `table ip nat {
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
	b.Under = n.Inside(space)
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
	n.In("h1", "ip link set eth0 down")
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
	n.NFT("r1", `table ip between { chain forward { type filter hook forward priority -10; ip daddr 10.77.0.12 drop; ip saddr 10.77.0.12 drop; }
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
	n.In("h1", "ip addr del 10.78.1.2/24 dev eth0") // and with it its routes
	n.In("h1", "ip addr add 10.78.1.77/24 dev eth0")
	n.In("h1", "ip route add default via 10.78.1.1")
	// The old path is dead; pictures that come are of a new one.
	n.picturesAfter(door, indoor)
	n.hangup(door, indoor)
}
