package calling

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/herald-im/herald/device"
	"github.com/herald-im/herald/protocol"
)

// wrong is a request that is to be refused, with a code and a sentence that has a
// word in it.
type wrong struct {
	code    protocol.Code
	method  string
	request string
	says    string
}

// standing is what a request that is refused must not change.
type standing struct {
	call        protocol.CallResponse
	machine     string
	used        int
	front       bool
	camera      bool
	muted       bool
	handsFree   bool
	connections int
	invitations []protocol.Invitation
	heard       []string
}

func (b *board) standing() (s standing) {
	b.t.Helper()
	s.call = b.callStatus()
	s.call.Seconds = 0
	s.machine, _ = get(b.t.Context(), b.Machine, func() (string, error) {
		return fmt.Sprintf("destroyed %v, front %v, muted %v", b.destroyed, b.front, b.muted), nil
	})
	b.media.mu.Lock()
	s.used, s.front, s.camera, s.muted, s.handsFree = b.media.begun, b.media.front, b.media.camera, b.media.muted, b.media.handFree
	b.media.mu.Unlock()
	b.house.net.mu.Lock()
	s.connections = b.house.net.open
	b.house.net.mu.Unlock()
	res, err := device.Ask(b.t.Context(), b.dev, protocol.GetInvitations, protocol.Empty{})
	if err != nil {
		b.t.Fatal(err)
	}
	s.invitations = res.Invitations
	b.lookAll()
	s.heard = slices.DeleteFunc(slices.Clone(b.seen), func(e string) bool { return strings.HasPrefix(e, "UserVoiceVolume") })
	return s
}

// refusesAll tries all that is wrong, and sees that nothing of it is done at this
// board or another one.
func (b *board) refusesAll(other *board, all []wrong) {
	b.t.Helper()
	before, there := b.standing(), other.standing()
	for _, x := range all {
		_, err := b.table.CallJSON(b.t.Context(), protocol.Caller{Who: "test"}, x.method, []byte(x.request))
		short := x.method + " " + x.request[:min(len(x.request), 100)]
		if err == nil {
			b.t.Errorf("%s: done", short)
			continue
		}
		if e := protocol.AsError(err); e.Code != x.code || !strings.Contains(e.Msg, x.says) || len(e.Msg) < 10 || len(e.Msg) > 300 {
			b.t.Errorf("%s: %d %q, and not %d with %q", short, e.Code, e.Msg, x.code, x.says)
		}
		if now := b.standing(); !reflect.DeepEqual(now, before) {
			b.t.Errorf("%s: it was\n%+v, and is\n%+v", short, before, now)
			before = now
		}
	}
	if now := other.standing(); !reflect.DeepEqual(now, there) {
		b.t.Errorf("%s: it was\n%+v, and is\n%+v", other.user, there, now)
	}
}

const long = "a23456789012345678901234567890123" // a userId may have 32

// What no request of the methods of calls, and of those of invitations, may be.
func badRequests() []wrong {
	const bad, kind = protocol.CodeCallInvalidParameter, protocol.CodeInvalidParameters
	text := strings.Repeat("x", protocol.MaxTextBytes+1)
	out := []wrong{
		{bad, "calling.login", `{}`, "sdkAppId"},
		{kind, "calling.login", `{"sdkAppId":"x","userId":"door","userSig":"x"}`, "sdkAppId"},
		{kind, "calling.login", `{"sdkAppId":-1,"userId":"door","userSig":"x"}`, "sdkAppId"},
		{kind, "calling.login", `{"sdkAppId":1400000001,"userSig":"x"}`, "userId"},
		{protocol.CodeInvalidIdentifier, "calling.login", `{"sdkAppId":1400000001,"userId":"` + long + `","userSig":"x"}`, "userId"},
		{protocol.CodeSvrAccountUserSigEmpty, "calling.login", `{"sdkAppId":1400000001,"userId":"door"}`, "userSig"},
		{protocol.CodeSvrAccountUserSigCheckFailed, "calling.login", `{"sdkAppId":1400000001,"userId":"door","userSig":"` + text + `"}`, "userSig"},
		{bad, "calling.call", `{}`, "userId"},
		{bad, "calling.call", `{"userId":""}`, "userId"},
		{bad, "calling.call", `{"userId":"in door"}`, "userId"},
		{bad, "calling.call", `{"userId":"` + long + `"}`, "userId"},
		{kind, "calling.call", `{"userId":7}`, "userId"},
		{kind, "calling.call", `{"userId":["indoor"]}`, "userId"},
		{bad, "calling.call", `{"userId":"indoor","type":3}`, "type"},
		{bad, "calling.call", `{"userId":"indoor","type":-1}`, "type"},
		{kind, "calling.call", `{"userId":"indoor","type":"video"}`, "type"},
		{bad, "calling.call", `{"userId":"indoor","timeout":0}`, "timeout"},
		{bad, "calling.call", `{"userId":"indoor","timeout":3601}`, "timeout"},
		{kind, "calling.call", `{"userId":"indoor","timeout":1.5}`, "timeout"},
		{bad, "calling.groupCall", `{}`, "userIdList"},
		{bad, "calling.groupCall", `{"userIdList":[]}`, "userIdList"},
		{kind, "calling.groupCall", `{"userIdList":"indoor"}`, "userIdList"},
		{kind, "calling.groupCall", `{"userIdList":[7]}`, "userIdList"},
		{bad, "calling.groupCall", `{"userIdList":["indoor",""]}`, "userIdList"},
		{bad, "calling.groupCall", `{"userIdList":["indoor","` + long + `"]}`, "userIdList"},
		{bad, "calling.groupCall", `{"userIdList":["indoor","indoor"]}`, "twice"},
		{bad, "calling.groupCall", `{"userIdList":["a","b","c","d"],"type":1}`, "limit of 3"},
		{bad, "calling.groupCall", `{"userIdList":["a","b","c","d","e","f"]}`, "limit of 5"},
		{bad, "calling.groupCall", `{"userIdList":["` + strings.Join(users(33), `","`) + `"],"answer":"first"}`, "limit of 32"},
		{bad, "calling.groupCall", `{"userIdList":["indoor"],"type":3}`, "type"},
		{bad, "calling.groupCall", `{"userIdList":["indoor"],"timeout":-1}`, "timeout"},
		{bad, "calling.groupCall", `{"userIdList":["indoor"],"answer":"some"}`, "answer"},
		{kind, "calling.groupCall", `{"userIdList":["indoor"],"answer":1}`, "answer"},
		{bad, "calling.groupCall", `{"userIdList":["indoor"],"groupId":"\u0001"}`, "groupId"},
		{bad, "calling.groupCall", `{"userIdList":["indoor"],"groupId":"` + strings.Repeat("g", 49) + `"}`, "groupId"},
		{kind, "calling.groupCall", `{"userIdList":["indoor"],"groupId":7}`, "groupId"},
		{bad, "calling.startRemoteView", `{"rect":{"x":0}}`, "userId"},
		{bad, "calling.startRemoteView", `{"userId":"` + long + `"}`, "userId"},
		{kind, "calling.startRemoteView", `{"userId":true}`, "userId"},
		{bad, "calling.startRemoteView", `{"userId":"indoor","rect":{"w":-1}}`, "rect.w"},
		{bad, "calling.startRemoteView", `{"userId":"indoor","rect":{"h":1e6}}`, "rect.h"},
		{kind, "calling.startRemoteView", `{"userId":"indoor","rect":{"x":"0"}}`, "x"},
		{bad, "calling.stopRemoteView", `{}`, "userId"},
		{bad, "calling.stopRemoteView", `{"userId":"` + long + `"}`, "userId"},
		{kind, "calling.stopRemoteView", `{"userId":7}`, "userId"},
		{bad, "calling.openCamera", `{}`, "isFront"},
		{kind, "calling.openCamera", `{"isFront":"yes"}`, "isFront"},
		{bad, "calling.openCamera", `{"isFront":true,"rect":{"y":-1e9}}`, "rect.y"},
		{bad, "calling.switchCamera", `{}`, "isFront"},
		{kind, "calling.switchCamera", `{"isFront":0}`, "isFront"},
		{bad, "calling.setMicMute", `{}`, "isMute"},
		{kind, "calling.setMicMute", `{"isMute":"true"}`, "isMute"},
		{bad, "calling.setHandsFree", `{}`, "isHandsFree"},
		{kind, "calling.setHandsFree", `{"isHandsFree":1}`, "isHandsFree"},

		{kind, "im.invite", `{}`, "invitee"},
		{kind, "im.invite", `{"invitee":7,"data":"x"}`, "invitee"},
		{protocol.CodeInvalidIdentifier, "im.invite", `{"invitee":"` + long + `","data":"x"}`, "invitee"},
		{kind, "im.invite", `{"invitee":"indoor"}`, "data"},
		{kind, "im.invite", `{"invitee":"indoor","data":{}}`, "data"},
		{protocol.CodeMsgBodySizeLimit, "im.invite", `{"invitee":"indoor","data":"` + text + `"}`, "data"},
		{kind, "im.invite", `{"invitee":"indoor","data":"x","timeout":-1}`, "timeout"},
		{protocol.CodeSvrMsgToAccountNotFound, "im.invite", `{"invitee":"nobody","data":"x"}`, "nobody"},
		{kind, "im.invite", `{"invitee":"door","data":"x"}`, "invitee"},
		{kind, "im.inviteInGroup", `{}`, "groupId"},
		{kind, "im.inviteInGroup", `{"groupId":"family","data":"x"}`, "inviteeList"},
		{kind, "im.inviteInGroup", `{"groupId":"family","inviteeList":"indoor","data":"x"}`, "inviteeList"},
		{protocol.CodeGroupInvalidID, "im.inviteInGroup", `{"groupId":"` + strings.Repeat("g", 49) + `","inviteeList":["indoor"],"data":"x"}`, "groupId"},
		{protocol.CodeSvrGroupNotFound, "im.inviteInGroup", `{"groupId":"nowhere","inviteeList":["indoor"],"data":"x"}`, "nowhere"},
		{kind, "im.getSignalingInfo", `{}`, "msgId"},
		{kind, "im.getSignalingInfo", `{"msgId":7}`, "msgId"},
		{protocol.CodeSignalingInvalidInviteID, "im.getSignalingInfo", `{"inviteId":"nothing"}`, "nothing"},
		{kind, "im.addInvitedSignaling", `{}`, "inviteId"},
		{protocol.CodeSignalingInvalidInviteID, "im.addInvitedSignaling", `{"inviteId":"nothing"}`, "nothing"},
	}
	for _, step := range []string{"im.cancel", "im.accept", "im.reject"} {
		out = append(out,
			wrong{kind, step, `{}`, "inviteId"},
			wrong{kind, step, `{"inviteId":7,"data":"x"}`, "inviteId"},
			wrong{kind, step, `{"inviteId":"nothing"}`, "data"},
			wrong{protocol.CodeSignalingInvalidInviteID, step, `{"inviteId":"` + strings.Repeat("i", 200) + `","data":"x"}`, "inviteId"},
			wrong{protocol.CodeMsgBodySizeLimit, step, `{"inviteId":"nothing","data":"` + text + `"}`, "data"},
			wrong{protocol.CodeSignalingInvalidInviteID, step, `{"inviteId":"nothing","data":"x"}`, "nothing"},
		)
	}
	for _, m := range protocol.Methods() { // what is no object is no request of any
		if m.Module() == "calling" && !strings.HasSuffix(m.Name, "Listener") || strings.HasPrefix(m.Source, "invite") {
			out = append(out, wrong{kind, m.Name, `[]`, ""}, wrong{kind, m.Name, `{`, ""}, wrong{kind, m.Name, "{\"userId\":\"\xff\"}", ""})
		}
	}
	return out
}

func users(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint("u", i))
	}
	return out
}

// What is wrong gets its code and a sentence, and changes nothing: in whatever state
// a call is.
func TestBadInput(t *testing.T) {
	const state, scene = protocol.CodeCallWrongState, protocol.CodeCallSceneUnsupported
	call := []wrong{
		{state, "calling.call", `{"userId":"indoor"}`, "there is a call already"},
		{state, "calling.call", `{"userId":"nobody"}`, "there is a call already"},
		{state, "calling.groupCall", `{"userIdList":["indoor","phone"]}`, "there is a call already"},
	}
	nothingRings := []wrong{{state, "calling.accept", `{}`, "nothing rings"}, {state, "calling.reject", `{}`, "nothing rings"}}
	noCall := wrong{state, "calling.startRemoteView", `{"userId":"indoor"}`, "no call"}
	for when, more := range map[string][]wrong{
		"idle": {
			{protocol.CodeCallInvalidParameter, "calling.call", `{"userId":"door"}`, "oneself"},
			{protocol.CodeCallInvalidParameter, "calling.groupCall", `{"userIdList":["indoor","door"]}`, "oneself"},
			{state, "calling.hangup", ``, "no call"}, noCall, nothingRings[0], nothingRings[1],
		},
		"calling": {
			{scene, "calling.openCamera", `{"isFront":false}`, "voice"}, {scene, "calling.switchCamera", `{"isFront":false}`, "voice"},
			{scene, "calling.startRemoteView", `{"userId":"indoor"}`, "voice"}, call[0], call[1], call[2], nothingRings[0], nothingRings[1],
		},
		"ringing": {noCall, call[0], call[1], call[2]},
		"connected": {
			{protocol.CodeCallInvalidParameter, "calling.startRemoteView", `{"userId":"phone"}`, "phone"}, call[0], call[1], call[2], nothingRings[0], nothingRings[1],
		},
		"destroyed": nil,
	} {
		t.Run(when, func(t *testing.T) {
			h := newHouse(t)
			door, indoor := h.board("door"), h.board("indoor")
			more := append(more, wrong{protocol.CodeSvrAccountUserSigMismatchSDKAppID, "calling.login", `{"sdkAppId":7,"userId":"door","userSig":"` + h.sig("door") + `"}`, "sdkAppId"})
			switch when {
			case "calling":
				door.must("call", `{"userId":"indoor"}`)
				indoor.event("Invited:door")
			case "ringing":
				indoor.must("call", `{"userId":"door","type":1}`)
				door.event("Invited:indoor")
			case "connected":
				door.must("call", `{"userId":"indoor","type":1}`)
				indoor.event("Invited:door")
				indoor.must("accept", ``)
				door.event("UserVideoAvailable:indoor:true")
				indoor.event("UserVideoAvailable:door:true")
			case "destroyed":
				door.must("destroy", ``)
				more = nil
				for method, request := range map[string]string{
					"call": `{"userId":"indoor"}`, "groupCall": `{"userIdList":["indoor"]}`, "accept": ``, "reject": ``, "hangup": ``,
					"startRemoteView": `{"userId":"indoor"}`, "stopRemoteView": `{"userId":"indoor"}`, "openCamera": `{"isFront":false}`,
					"switchCamera": `{"isFront":false}`, "closeCamera": ``, "setMicMute": `{"isMute":true}`, "setHandsFree": `{"isHandsFree":true}`,
					"login": `{"sdkAppId":1400000001,"userId":"indoor","userSig":"` + h.sig("indoor") + `"}`, "logout": ``,
				} {
					more = append(more, wrong{protocol.CodeCallNotInitialized, "calling." + method, request, "calling.init"})
				}
			}
			door.refusesAll(indoor, append(badRequests(), more...))
			if when == "destroyed" {
				door.must("init", ``)
			}
			h.over(door, indoor)
		})
	}
}

// Whom the hub does not know is not called: the call that was begun for it ends, and
// nothing of it is left.
func TestUnknownUser(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	h.group("family", door)
	for _, x := range []wrong{
		{protocol.CodeSvrMsgToAccountNotFound, "call", `{"userId":"nobody","type":1}`, "nobody"},
		{protocol.CodeSvrMsgToAccountNotFound, "groupCall", `{"userIdList":["nobody"]}`, "nobody"},
		{protocol.CodeSvrMsgToAccountNotFound, "groupCall", `{"userIdList":["nobody","nothing"]}`, "no"},
		{protocol.CodeSvrGroupNotFound, "groupCall", `{"userIdList":["indoor"],"groupId":"nowhere"}`, "nowhere"},
		{protocol.CodeCallSignalingFailed, "groupCall", `{"userIdList":["indoor"],"groupId":"family"}`, "indoor"},
	} {
		err := door.call(x.method, x.request)
		if e := protocol.AsError(err); err == nil || e.Code != x.code || !strings.Contains(e.Msg, x.says) {
			t.Errorf("%s: %v, and not %d with %q", x.request, err, x.code, x.says)
		}
		door.event("CallEnd:error")
		door.state(protocol.CallIdle)
		h.left(door)
		if s := door.standing(); len(s.invitations) != 0 || s.camera && s.used > 0 {
			t.Errorf("%s: %+v", x.request, s)
		}
	}
	door.must("groupCall", `{"userIdList":["nobody","indoor"]}`) // one of them can be called
	indoor.event("Invited:door")
	door.event("Error")
	indoor.quiet("CallEnd")
	h.over(door, indoor)
}
