package hub

import (
	"sync"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// meanwhile is a rig's wire on which something happens while a welcome is on its way.
type meanwhile struct {
	*rig
	do func()
}

func (m *meanwhile) Publish(topic string, payload []byte, qos byte, retain bool) error {
	if f, err := protocol.DecodeFrame(payload); err == nil && f.Welcome != nil {
		m.do()
	}
	return m.rig.Publish(topic, payload, qos, retain)
}

// TestRoomJoinedDuringHello: a terminal that says hello just as another one of its
// account joins a live room is told of the room last.
func TestRoomJoinedDuringHello(t *testing.T) {
	r := newRig(t, sqlite(t))
	owner, here := r.online("owner", "t"), r.online("ann", "here")
	owner.mustCall("im.createGroup", create("room", protocol.GroupAVChatRoom))
	r.settle()
	enter := sync.OnceFunc(func() {
		here.mustCall("im.joinGroup", join("room"))
		r.settle()
	})
	r.Hub.wire = &meanwhile{r, enter}
	there := r.connect("ann", "there")
	there.send(&protocol.Frame{Hello: &protocol.Hello{Version: protocol.Version, Program: "test", Platform: "other", Epoch: 1}})
	r.settle()
	var rooms []protocol.LiveRoom
	there.mu.Lock()
	for _, f := range there.frames {
		switch {
		case f.Welcome != nil:
			rooms = f.Welcome.Live
		case f.Signal != nil && f.Signal.Rooms != nil:
			rooms = *f.Signal.Rooms
		}
	}
	there.mu.Unlock()
	if len(rooms) != 1 || rooms[0].Group != "room" {
		t.Errorf("the terminal goes by the rooms %v", rooms)
	}
}
