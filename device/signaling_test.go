package device

import (
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// TestSignalingEvents: what each step of an invitation means to whom.
func TestSignalingEvents(t *testing.T) {
	b := start(t, config(t, newHub(t).addr))
	b.mustLogin() // as door
	s, err := b.current()
	if err != nil {
		t.Fatal(err)
	}
	now, _ := s.d.clock.now()
	entry := func(step protocol.SignalingStep, from, term string, concerns ...string) *protocol.Entry {
		step.InviteID, step.Data = "I", "x"
		body, err := protocol.EncodeSignaling(step, concerns)
		if err != nil {
			t.Fatal(err)
		}
		return &protocol.Entry{Seq: 1, Time: now, Kind: protocol.EntrySignaling, From: from, Term: term, MsgID: "I-1", Body: body}
	}
	ring := protocol.SignalingStep{Inviter: "indoor", InviteeList: []string{"door", "phone"}, ActionType: protocol.SignalingInvite, Timeout: 30}
	mine := protocol.SignalingStep{Inviter: "door", InviteeList: []string{"indoor"}, ActionType: protocol.SignalingInvite, Timeout: 30}
	with := func(s protocol.SignalingStep, a protocol.SignalingAction, list ...string) protocol.SignalingStep {
		s.ActionType, s.InviteeList = a, list
		return s
	}
	late, stranger := entry(ring, "indoor", "t", "indoor", "door", "phone"), entry(ring, "indoor", "t", "indoor", "phone")
	late.Time -= 31_000
	endless := ring
	endless.Timeout = 0
	old := entry(endless, "indoor", "t", "indoor", "door", "phone")
	old.Time -= 1000_000
	forged := entry(ring, "indoor", "t", "indoor", "door")
	forged.Kind = protocol.EntryMessage
	broken := entry(ring, "indoor", "t", "indoor", "door")
	broken.Body, _ = protocol.Marshal(protocol.Message{Elem: protocol.ElemCustom, Custom: "no JSON"})
	for what, c := range map[string]struct {
		e    *protocol.Entry
		want string
	}{
		"invited":                   {entry(ring, "indoor", "t", "indoor", "door", "phone"), "custom onReceiveNewInvitation"},
		"too late":                  {late, "custom"},
		"late, but for ever":        {old, "custom onReceiveNewInvitation"},
		"not invited":               {stranger, "custom"},
		"a message that looks so":   {forged, "custom"},
		"no step":                   {broken, "custom"},
		"my other terminal invites": {entry(mine, "door", "other", "door", "indoor"), "custom"},
		"I invite":                  {entry(mine, "door", s.d.terminal, "door", "indoor"), ""},
		"accepted":                  {entry(with(mine, protocol.SignalingAccept, "indoor"), "indoor", "t", "door", "indoor"), "custom onInviteeAccepted"},
		"another invitee rejects":   {entry(with(ring, protocol.SignalingReject, "phone"), "phone", "t", "indoor", "door", "phone"), "custom onInviteeRejected"},
		"my other terminal accepts": {entry(with(ring, protocol.SignalingAccept, "door"), "door", "other", "indoor", "door"), "custom onInviteeAccepted"},
		"I accept":                  {entry(with(ring, protocol.SignalingAccept, "door"), "door", s.d.terminal, "indoor", "door"), ""},
		"cancelled":                 {entry(with(ring, protocol.SignalingCancel, "door"), "indoor", "t", "indoor", "door"), "custom onInvitationCancelled"},
		"timed out":                 {entry(with(mine, protocol.SignalingTimeout, "indoor"), "door", "", "door", "indoor"), "custom onInvitationTimeout"},
		"of a later version":        {entry(with(ring, 99, "door"), "indoor", "t", "indoor", "door"), "custom"},
	} {
		var got []string
		told := telling{s: s}
		told.entry("c2c:door:indoor", c.e)
		for _, ev := range told.events {
			name := ev.Info.Type()
			if name == "onRecvNewMessage" {
				continue // of each that is custom, too
			}
			if name == "onRecvC2CCustomMessage" {
				name = "custom"
			} else if !strings.Contains(string(ev.JSON), `"inviteId":"I"`) {
				t.Errorf("%s: %s", what, ev.JSON)
			}
			got = append(got, name)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}
