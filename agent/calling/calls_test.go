package calling

import (
	"fmt"
	"testing"
	"time"

	"github.com/herald-im/herald/device"
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

func TestReject(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	door.must("call", `{"userId":"indoor"}`)
	indoor.event("Invited:door")
	indoor.must("reject", ``)
	indoor.event("CallEnd:rejected")
	door.event("Reject:indoor")
	door.event("CallEnd:rejected")
	h.over(door, indoor)
}

func TestCancel(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	door.must("call", `{"userId":"indoor"}`)
	indoor.event("Invited:door")
	door.must("hangup", ``)
	door.event("CallEnd:cancelled")
	indoor.event("CallingCancel:door")
	indoor.event("CallEnd:cancelled")
	h.over(door, indoor)
}

func TestNoAnswer(t *testing.T) {
	h := newHouse(t)
	h.timing.grace = time.Hour // it is the hub that says so
	door, indoor := h.board("door"), h.board("indoor")
	door.must("call", `{"userId":"indoor","timeout":1}`)
	indoor.event("Invited:door")
	indoor.event("CallingTimeOut")
	indoor.event("CallEnd:noAnswer")
	door.event("NoResp:indoor")
	door.event("CallEnd:noAnswer")
	h.over(door, indoor)
}

func TestBusy(t *testing.T) {
	h := newHouse(t)
	door, indoor, phone := h.board("door"), h.board("indoor"), h.board("phone")
	door.must("call", `{"userId":"indoor"}`)
	indoor.event("Invited:door")
	phone.must("call", `{"userId":"indoor"}`) // while it rings
	phone.event("LineBusy:indoor")
	phone.event("CallEnd:busy")
	indoor.must("accept", ``)
	door.state(protocol.CallConnected)
	phone.must("call", `{"userId":"door"}`) // and while they talk
	phone.event("LineBusy:door")
	phone.event("CallEnd:busy")
	door.state(protocol.CallConnected)
	indoor.quiet("Invited:phone")
	h.over(door, indoor, phone)
}

func TestDeny(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor", func(c *Config) { c.Deny = Users{"nuisance", "door"} })
	door.must("call", `{"userId":"indoor"}`)
	door.event("Reject:indoor")
	door.event("CallEnd:rejected")
	indoor.quiet("Invited", "CallEnd")
	h.over(door, indoor)
}

func TestAutoAnswer(t *testing.T) {
	for _, camera := range []bool{false, true} {
		h := newHouse(t)
		door := h.board("door")
		indoor := h.board("indoor", func(c *Config) { c.AutoAnswer, c.AutoCamera = Users{"door"}, camera })
		door.must("call", `{"userId":"indoor","type":1}`)
		door.state(protocol.CallConnected)
		indoor.state(protocol.CallConnected)
		if s := indoor.callStatus(); s.CameraOn != camera {
			t.Errorf("the camera is on: %v", s.CameraOn)
		}
		if s := door.callStatus(); s.Users[0].Video != camera || !s.Users[0].Audio {
			t.Errorf("%+v", s.Users[0])
		}
		h.over(door, indoor)
		phone := h.board("phone")
		phone.must("call", `{"userId":"indoor"}`)
		indoor.event("Invited:phone")
		indoor.state(protocol.CallRinging)
		h.over(phone, indoor)
	}
}

// A mesh of four, with and without a group.
func TestGroupCall(t *testing.T) {
	for _, group := range []string{"", "family"} {
		t.Run("group "+group, func(t *testing.T) {
			h := newHouse(t)
			door, indoor, phone, attic := h.board("door"), h.board("indoor"), h.board("phone"), h.board("attic")
			all := []*board{door, indoor, phone, attic}
			if group != "" {
				h.group(group, door, indoor, phone, attic)
			}
			door.must("groupCall", `{"userIdList":["indoor","phone","attic"],"type":1,"groupId":"`+group+`"}`)
			for _, b := range all[1:] {
				b.event("Invited:door")
			}
			both(func() { indoor.must("accept", ``) }, func() { phone.must("accept", ``) })
			door.event("UserEnter:indoor")
			attic.must("accept", ``)
			for _, b := range all {
				b.until("connected with all", func() bool { return b.connectedWith() == 3 })
			}
			attic.must("hangup", ``)
			for _, b := range all[:3] {
				b.event("UserLeave:attic")
			}
			door.must("hangup", ``) // the others go on
			for _, b := range all[1:3] {
				b.event("UserLeave:door")
				b.state(protocol.CallConnected)
			}
			indoor.must("hangup", ``)
			phone.event("CallEnd:hangup")
			h.over(all...)
		})
	}
}

func (b *board) connectedWith() (n int) {
	for _, u := range b.callStatus().Users {
		if u.State == "connected" {
			n++
		}
	}
	return n
}

// group makes a group of these boards.
func (h *house) group(id string, owner *board, others ...*board) {
	h.t.Helper()
	_, err := device.Ask(h.t.Context(), owner.dev, protocol.CreateGroup, protocol.CreateGroupRequest{GroupType: "Meeting", GroupID: id, GroupName: id})
	for _, b := range others {
		if err == nil {
			_, err = device.Ask(h.t.Context(), b.dev, protocol.JoinGroup, protocol.JoinGroupRequest{GroupID: id})
		}
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestInviteeList(t *testing.T) {
	h := newHouse(t)
	door, indoor, phone, attic := h.board("door"), h.board("indoor"), h.board("phone"), h.board("attic")
	h.group("family", door, indoor, phone, attic)
	door.must("groupCall", `{"userIdList":["indoor","phone","attic"],"groupId":"family","timeout":2}`)
	for _, b := range []*board{indoor, phone, attic} {
		b.event("Invited:door")
	}
	indoor.must("accept", ``)
	door.event("GroupCallInviteeListUpdate:phone+attic")
	attic.event("GroupCallInviteeListUpdate:phone+attic")
	phone.must("reject", ``)
	door.event("Reject:phone")
	door.event("GroupCallInviteeListUpdate:attic")
	indoor.event("GroupCallInviteeListUpdate:attic")
	attic.event("CallingTimeOut")
	door.event("NoResp:attic")
	door.event("GroupCallInviteeListUpdate:")
	indoor.event("GroupCallInviteeListUpdate:")
	door.state(protocol.CallConnected)
	h.over(door, indoor, phone, attic)
}

// The first to answer has the call, the others stop to ring.
func TestRingGroup(t *testing.T) {
	for _, group := range []string{"", "family"} {
		t.Run("group "+group, func(t *testing.T) {
			h := newHouse(t)
			door, indoor, phone, attic := h.board("door"), h.board("indoor"), h.board("phone"), h.board("attic")
			if group != "" {
				h.group(group, door, indoor, phone, attic)
			}
			ring := `{"userIdList":["indoor","phone","attic"],"answer":"first","groupId":"` + group + `"}`
			door.must("groupCall", ring)
			for _, b := range []*board{indoor, phone, attic} {
				b.event("Invited:door")
			}
			phone.must("accept", ``)
			for _, b := range []*board{indoor, attic} {
				b.event("CallingCancel:door")
				b.event("CallEnd:cancelled")
			}
			door.event("UserEnter:phone")
			if s := door.callStatus(); len(s.Users) != 1 {
				t.Errorf("%+v", s)
			}
			h.over(door, indoor, phone, attic)

			// Two at once: one of them has it.
			door.must("groupCall", ring)
			for _, b := range []*board{indoor, phone, attic} {
				b.state(protocol.CallRinging)
			}
			both(func() { _ = indoor.call("accept", ``) }, func() { _ = attic.call("accept", ``) })
			door.state(protocol.CallConnected)
			door.until("settled", func() bool {
				a, b := indoor.callStatus().State, attic.callStatus().State
				return phone.callStatus().State == protocol.CallIdle && (a == protocol.CallConnected && b == protocol.CallIdle || a == protocol.CallIdle && b == protocol.CallConnected)
			})
			h.over(door, indoor, phone, attic)
		})
	}
}

func TestControls(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	door.must("call", `{"userId":"indoor","type":1}`)
	indoor.event("Invited:door")
	indoor.must("accept", ``)
	indoor.event("UserVideoAvailable:door:true")
	door.event("UserEnter:indoor")
	door.must("closeCamera", ``)
	indoor.event("UserVideoAvailable:door:false")
	door.must("openCamera", `{"isFront":false,"rect":{"x":0,"y":0,"w":10,"h":10}}`)
	indoor.event("UserVideoAvailable:door:true")
	door.must("switchCamera", `{"isFront":true}`)
	door.must("setMicMute", `{"isMute":true}`)
	indoor.event("UserAudioAvailable:door:false")
	door.must("setMicMute", `{"isMute":false}`)
	indoor.event("UserAudioAvailable:door:true")
	door.must("setHandsFree", `{"isHandsFree":true}`)
	door.must("startRemoteView", `{"userId":"indoor","rect":{"x":0,"y":0,"w":10,"h":10}}`)
	door.must("stopRemoteView", `{"userId":"indoor"}`)
	if s := door.callStatus(); !s.CameraOn || s.MicMuted || !s.HandsFree {
		t.Errorf("%+v", s)
	}
	h.over(door, indoor)
}

func TestDestroyAndInit(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	door.must("call", `{"userId":"indoor"}`)
	indoor.event("Invited:door")
	indoor.must("destroy", ``) // rejects what rings
	door.event("Reject:indoor")
	h.left(door, indoor)
	for _, method := range []string{"accept", "reject", "hangup", "closeCamera", "logout"} {
		indoor.refused(protocol.CodeCallNotInitialized, method, ``)
	}
	indoor.refused(protocol.CodeCallNotInitialized, "call", `{"userId":"door"}`)
	door.must("call", `{"userId":"indoor"}`) // rings nowhere
	indoor.until("told of both", func() bool { return indoor.recorded(protocol.OnReceiveNewInvitation.Info().Name) == 2 })
	indoor.quiet("Invited")
	indoor.must("init", ``) // and now it does
	indoor.event("Invited:door")
	indoor.must("accept", ``)
	door.state(protocol.CallConnected)
	door.must("logout", ``)
	door.refused(protocol.CodeNotLoggedIn, "call", `{"userId":"indoor"}`)
	indoor.event("CallEnd:hangup")
	door.must("login", `{"sdkAppId":1400000001,"userId":"door","userSig":"`+h.sig("door")+`"}`)
	door.must("call", `{"userId":"indoor"}`)
	indoor.event("Invited:door")
	h.over(door, indoor)
}

// Devices that fail are told of, and the call goes on without them.
func TestDevicesFail(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	door.media.mu.Lock()
	door.media.fail = errNoCamera
	door.media.mu.Unlock()
	door.must("call", `{"userId":"indoor","type":1}`)
	door.event("Error")
	indoor.event("Invited:door")
	indoor.must("accept", ``)
	door.event("UserEnter:indoor")
	h.over(door, indoor)
}

var errNoCamera = protocol.Errorf(protocol.CodeIOOperationFailed, "the camera /dev/video0 is not there")

// Somebody who is not in the call is not heard.
func TestStrangers(t *testing.T) {
	h := newHouse(t)
	door, indoor, stranger := h.board("door"), h.board("indoor"), h.board("stranger")
	door.must("call", `{"userId":"indoor"}`)
	indoor.event("Invited:door")
	indoor.must("accept", ``)
	door.event("UserEnter:indoor")
	room := door.callStatus().RoomID
	_, terminal := door.dev.Identity()
	offer := protocol.Peering{Kind: protocol.PeeringOffer, Inviter: "door", Room: room, Session: 1, Round: 1, SDP: "fake"}
	for _, p := range []protocol.Peering{offer, {Kind: protocol.PeeringJoin, Inviter: "door", Room: room}, {Kind: protocol.PeeringLeave, Inviter: "door", Room: room}} {
		if err := stranger.dev.Signal("indoor", "", p); err != nil { // the hub drops it
			t.Fatal(err)
		}
		indoor.peering("stranger", "x", p) // and so would the board
		indoor.peering("door", "other", p) // also another terminal of the other one
		p.Room++
		indoor.peering("door", terminal, p) // or another call
	}
	indoor.must("setMicMute", `{"isMute":true}`) // what was said before has been heard by now
	door.event("UserAudioAvailable:indoor:false")
	if s := indoor.callStatus(); s.State != protocol.CallConnected || len(s.Users) != 1 {
		t.Errorf("%+v", s)
	}
	h.net.mu.Lock()
	open := h.net.open
	h.net.mu.Unlock()
	if open != 2 {
		t.Errorf("%d connections", open)
	}
	h.over(door, indoor, stranger)
}

// Somebody in the call who begins connection after connection has few of them made.
func TestManyOffers(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	h.inCall(door, indoor)
	room := door.callStatus().RoomID
	_, terminal := door.dev.Identity()
	for n := range 200 {
		indoor.peering("door", terminal, protocol.Peering{
			Kind: protocol.PeeringOffer, Inviter: "door", Room: room, Session: uint64(1000 + n), Round: 1, SDP: fmt.Sprint("none ", n),
		})
	}
	indoor.callStatus() // what was said before has been heard
	h.net.mu.Lock()
	made := h.net.made
	h.net.mu.Unlock()
	if made < 3 || made > 2+maxBegins+1 {
		t.Errorf("%d connections were made", made)
	}
	h.idle(door, indoor) // what was offered were no descriptions
}

// A logout takes back what rings before it goes.
func TestLogoutWhileRinging(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	door.must("call", `{"userId":"indoor"}`)
	indoor.event("Invited:door")
	door.must("logout", ``)
	indoor.event("CallingCancel:door")
	h.left(door, indoor)
}

// However soon a call ends, its devices are given back.
func TestHangupAtOnce(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	for i := range 20 {
		hold := make(chan struct{})
		door.media.mu.Lock()
		door.media.hold = hold
		door.media.mu.Unlock()
		if i%2 == 0 { // every other time they are there before the call ends
			close(hold)
		}
		placed := make(chan error, 1)
		go func() { placed <- door.call("call", `{"userId":"indoor","type":1}`) }()
		door.until("placing", func() bool { return door.callStatus().State == protocol.CallCalling })
		_ = door.call("hangup", ``)
		<-placed
		if i%2 == 1 {
			close(hold)
		}
		h.over(door, indoor)
	}
}
