package calling

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/herald-im/herald/device"
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
	door.until("seeing the other one", func() bool { s := door.callStatus(); return len(s.Users) == 1 && s.Users[0].Video })
	if s := door.callStatus(); s.CameraOn || s.Type != protocol.CallTypeVideo {
		t.Errorf("%+v", s)
	}
	door.refused(protocol.CodeCallPermissionDenied, "openCamera", `{"isFront":true}`)
	door.must("setMicMute", `{"isMute":true}`)
	indoor.event("UserAudioAvailable:door:false") // what the connection began with is known by now
	indoor.quiet("UserVideoAvailable")
	door.event("Error")
	door.quiet("Error") // twice
	h.over(door, indoor)
}

// toVoice has somebody ask a user for a call without pictures, in the words of
// TUICalling.
func (b *board) toVoice(user string, room uint32) (invite string) {
	b.t.Helper()
	never := 0
	res, err := device.Ask(b.t.Context(), b.dev, protocol.Invite, protocol.InviteRequest{Invitee: user, Timeout: &never, Data: fmt.Sprintf(
		`{"version":4,"businessID":"av_call","platform":"Android","extInfo":"","call_type":2,"room_id":%d,`+
			`"data":{"cmd":"switchToAudio","room_id":%[1]d,"userIDs":[%q],"message":"","cmdInfo":""}}`, room, user)})
	if err != nil {
		b.t.Fatal(err)
	}
	return res.InviteID
}

// granted waits until an invitation is accepted, and returns what is said to that.
func (b *board) granted(invite string) (answer protocol.CallData) {
	b.t.Helper()
	b.until("granted", func() bool {
		events, err := b.dev.Journal().Read(0, 1000)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, e := range events {
			var d protocol.InviteeEvent
			if e.Info.Name == protocol.OnInviteeAccepted.Info().Name && json.Unmarshal(e.JSON, &d) == nil && d.InviteID == invite {
				answer, _ = protocol.DecodeCallData(d.Data)
				return true
			}
		}
		return false
	})
	return answer
}

// A video call goes on as a voice call when the other one wishes it: before it is
// answered, on either side, and while it is connected.
func TestToVoice(t *testing.T) {
	for _, when := range []string{"calling", "ringing", "connected"} {
		t.Run(when, func(t *testing.T) {
			h := newHouse(t)
			door, indoor := h.board("door"), h.board("indoor")
			door.must("call", `{"userId":"indoor","type":1}`)
			indoor.event("Invited:door")
			asking, asked := indoor, door
			switch when {
			case "ringing":
				asking, asked = door, indoor
			case "connected":
				indoor.must("accept", ``)
				indoor.event("UserVideoAvailable:door:true")
				door.event("UserVideoAvailable:indoor:true")
			}
			room := door.callStatus().RoomID
			answer := asking.granted(asking.toVoice(asked.user, room))
			if answer.Command != protocol.CommandToVoice || answer.Room != room {
				t.Errorf("the answer is %+v", answer)
			}
			asked.until("without a camera", func() bool {
				s := asked.callStatus()
				return s.Type == protocol.CallTypeVoice && !s.CameraOn
			})
			asked.media.mu.Lock()
			if asked.media.camera {
				t.Error("its picture is sent")
			}
			asked.media.mu.Unlock()
			if when == "connected" {
				asking.event("UserVideoAvailable:" + asked.user + ":false")
			} else {
				indoor.must("accept", ``)
			}
			door.state(protocol.CallConnected)
			indoor.state(protocol.CallConnected)
			asking.until("without a picture", func() bool {
				s := asking.callStatus()
				return s.State == protocol.CallConnected && s.Users[0].Audio && !s.Users[0].Video
			})
			asked.refused(protocol.CodeCallSceneUnsupported, "openCamera", `{"isFront":true}`)
			h.over(door, indoor)
		})
	}
}

// Who is not in the call, or means another one, changes nothing in it; neither does
// one of several.
func TestToVoiceOfAnotherCall(t *testing.T) {
	h := newHouse(t)
	door, indoor, stranger := h.board("door"), h.board("indoor"), h.board("stranger")
	pictures := func() {
		t.Helper()
		indoor.refused(protocol.CodeCallWrongState, "call", `{"userId":"door"}`)
		stranger.must("call", `{"userId":"door"}`)
		stranger.event("LineBusy:door") // what was asked before has been heard by now
		stranger.event("CallEnd:busy")
		if s := door.callStatus(); s.State != protocol.CallConnected || s.Type != protocol.CallTypeVideo || !s.CameraOn {
			t.Errorf("%+v", s)
		}
	}
	door.must("call", `{"userId":"indoor","type":1}`)
	indoor.event("Invited:door")
	indoor.must("accept", ``)
	door.event("UserEnter:indoor")
	room := door.callStatus().RoomID
	stranger.toVoice("door", room)
	pictures()
	indoor.toVoice("door", room+1)
	pictures()
	h.over(door, indoor, stranger)

	phone := h.board("phone")
	door.must("groupCall", `{"userIdList":["indoor","phone"],"type":1}`)
	for _, b := range []*board{indoor, phone} {
		b.event("Invited:door")
		b.must("accept", ``)
	}
	door.event("UserEnter:phone")
	indoor.toVoice("door", door.callStatus().RoomID)
	pictures()
	h.over(door, indoor, phone, stranger)
}

// A camera that cannot be ended is told of, and the call is a voice call all the same.
func TestToVoiceWithABrokenCamera(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	door.must("call", `{"userId":"indoor","type":1}`)
	indoor.event("Invited:door")
	indoor.must("accept", ``)
	door.event("UserEnter:indoor")
	door.media.mu.Lock()
	door.media.broken = true
	door.media.mu.Unlock()
	indoor.toVoice("door", door.callStatus().RoomID)
	door.event("Error")
	if s := door.callStatus(); s.Type != protocol.CallTypeVoice || s.State != protocol.CallConnected {
		t.Errorf("%+v", s)
	}
	h.over(door, indoor)
}
