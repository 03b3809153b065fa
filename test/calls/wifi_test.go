package calls

import (
	"fmt"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/test/rig"
)

// radio is a network with a hub, and boards on cables that may be bad.
type radio struct {
	*house
	*rig.Network
	cables map[string]*rig.Cable // by user
	boards int
}

func newRadio(t *testing.T) *radio {
	t.Helper()
	n := &radio{house: emptyHouse(t), Network: rig.NewNetwork(t), cables: make(map[string]*rig.Cable)}
	n.Space("pub")
	n.In("pub", "ip link add br0 type bridge")
	n.In("pub", "ip addr add "+hubAddr+"/24 dev br0")
	n.In("pub", "ip link set br0 up")
	n.hub.MQTT = hubAddr + ":1883"
	n.hub.Args = []string{"run", "--data", n.hub.Data, "--mqtt", n.hub.MQTT, "--http", "127.0.0.1:8080"}
	n.hub.Under = n.Inside("pub")
	n.startHub("[mqtt]\nplain = true\n[turn]\nlisten = \"off\"\n")
	return n
}

// join adds a board at 10.77.0.10 and so on.
func (n *radio) join(user, config string) *board {
	n.t.Helper()
	n.boards++
	port := fmt.Sprintf("p%d", n.boards)
	n.Space(user)
	n.cables[user] = n.Cable("pub", port, user, "wlan0")
	n.In("pub", "ip link set "+port+" master br0")
	n.In(user, fmt.Sprintf("ip addr add 10.77.0.%d/24 dev wlan0", 10+n.boards))
	b := n.newBoard(user, config)
	b.Under = n.Inside(user)
	b.start()
	return b
}

// small pictures: two boards encode them on what the machine has left.
const smallPictures = "[media]\nwidth = 320\nheight = 240\nframe_rate = 15\n"

// A cut of 10 s does not end a call.
func TestOutage(t *testing.T) {
	n := newRadio(t)
	door, indoor := n.join("door", smallPictures), n.join("indoor", smallPictures)
	n.connect(door, indoor)
	n.cables["door"].Set(rig.Fault{Cut: true})
	time.Sleep(10 * time.Second)
	n.cables["door"].Set(rig.Fault{})
	back := time.Now()
	n.picturesAfter(door, indoor)
	t.Logf("three figures of pictures that came later, %v after the cut", time.Since(back).Round(10*time.Millisecond))
	if s := door.call(); s.State != protocol.CallConnected {
		t.Errorf("the call is %+v", s)
	}
	n.hangup(door, indoor)
}

// A board without power looks like one whose network is away: it is waited for a little longer than a network may be, and
// the panel is free again.
func TestPowerCut(t *testing.T) {
	n := newRadio(t)
	door, indoor := n.join("door", smallPictures), n.join("indoor", smallPictures)
	n.connect(door, indoor)
	n.cables["door"].Set(rig.Fault{Cut: true})
	cut := time.Now()
	door.Kill()
	indoor.event("CallEnd", `"reason":"lost"`)
	took := time.Since(cut)
	t.Logf("missed after %v", took.Round(10*time.Millisecond))
	if took < 10*time.Second || took > 12*time.Second+slack {
		t.Errorf("missed after %v", took)
	}
	indoor.state(protocol.CallIdle)
}

// A board that gets another address goes on with its call at once.
func TestAnotherAddress(t *testing.T) {
	n := newRadio(t)
	door, indoor := n.join("door", smallPictures), n.join("indoor", smallPictures)
	n.connect(door, indoor)
	for i, b := range []*board{door, indoor} {
		old, other := fmt.Sprintf("10.77.0.%d/24", 11+i), fmt.Sprintf("10.77.0.%d/24", 51+i)
		n.In(b.User, "ip addr del "+old+" dev wlan0")
		n.In(b.User, "ip addr add "+other+" dev wlan0")
		changed := time.Now()
		n.picturesAfter(door, indoor)
		t.Logf("%s: three figures of pictures that came since its address has changed, after %v", b.User, time.Since(changed).Round(10*time.Millisecond))
	}
	n.hangup(door, indoor)
}
