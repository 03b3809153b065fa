package board

import (
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

const media = `front_camera = "/dev/video0"
back_camera = "/dev/video1"
width = 320
height = 180
frame_rate = 10
bitrate = 200
microphone = "plughw:Ear,0"
speaker = "plughw:Ear,0"
hands_free = "plughw:Loud,0"
`

// TestCall: a call from the board to one outside.
func TestCall(t *testing.T) {
	h := newHouse(t, media)
	call(h.door, protocol.PlaceCall, protocol.CallRequest{UserID: "indoor", Type: protocol.CallTypeVideo})
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if outside(h, protocol.GetCall, protocol.Empty{}).State == protocol.CallRinging {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it does not ring")
		}
	}
	outside(h, protocol.AcceptCall, protocol.Empty{})
	h.door.event("onUserEnter", "indoor")
	for range 10 {
		time.Sleep(2 * time.Second)
		t.Logf("%+v", outside(h, protocol.GetCall, protocol.Empty{}).Users)
	}
	t.Log(do(t, h.machine, h.door.prog.Path, "status", "--socket", h.door.prog.Socket))
}
