package calling

import (
	"slices"
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// A video call from a board without a camera is told of once, and goes on as one
// that sends no picture.
func TestNoCamera(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	door.media.mu.Lock()
	door.media.none = true
	door.media.mu.Unlock()
	door.must("call", `{"userId":"indoor","type":1}`)
	indoor.event("Invited:door")
	indoor.must("accept", ``)
	indoor.event("UserEnter:door")
	indoor.event("UserAudioAvailable:door:true")
	door.event("Error")
	door.event("UserVideoAvailable:indoor:true")
	if s := door.callStatus(); s.CameraOn || s.Type != protocol.CallTypeVideo {
		t.Errorf("%+v", s)
	}
	door.refused(protocol.CodeCallPermissionDenied, "openCamera", `{"isFront":true}`)
	door.must("setMicMute", `{"isMute":true}`)
	indoor.event("UserAudioAvailable:door:false") // what the connection began with is known by now
	indoor.quiet("UserVideoAvailable")
	door.look()
	if slices.ContainsFunc(door.seen, func(x string) bool { return strings.HasPrefix(x, "Error") }) {
		t.Error("told twice: ", door.seen)
	}
	h.over(door, indoor)
}
