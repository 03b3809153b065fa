package calling

import (
	"testing"

	"github.com/herald-im/herald/protocol"
)

func TestCall(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	door.must("call", `{"userId":"indoor","type":1}`)
	door.state(protocol.CallCalling)
	indoor.event("Invited:door")
	indoor.state(protocol.CallRinging)
	indoor.must("accept", ``)
	for _, b := range []*board{door, indoor} {
		b.state(protocol.CallConnected)
	}
	indoor.event("UserEnter:door")
	indoor.event("UserAudioAvailable:door:true")
	indoor.event("UserVideoAvailable:door:true")
	door.event("UserEnter:indoor")
	if s := door.callStatus(); len(s.Users) != 1 || s.Users[0].UserID != "indoor" || s.Users[0].State != "connected" || s.Users[0].Path != "host/host" || !s.CameraOn || s.Type != protocol.CallTypeVideo || s.Inviter != "door" {
		t.Errorf("%+v", s)
	}
	indoor.must("hangup", ``)
	indoor.event("CallEnd:hangup")
	door.event("UserLeave:indoor")
	door.event("CallEnd:hangup")
	for _, b := range []*board{door, indoor} {
		b.state(protocol.CallIdle)
	}
	h.left(door, indoor)
}
