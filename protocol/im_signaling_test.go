package protocol

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// The custom data of a step is what Tencent's clients write and read; what a later
// version adds is passed over.
func TestSignalingStepForm(t *testing.T) {
	body, err := EncodeSignaling(SignalingStep{
		InviteID: "I", GroupID: "g", Inviter: "a", InviteeList: []string{"b", "c"}, Data: `{"x":"<ü>"}`, Timeout: 30, ActionType: SignalingAccept,
	}, []string{"a", "b", "c"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := DecodeMessage(body)
	if err != nil || m.Elem != ElemCustom {
		t.Fatal(m, err)
	}
	const want = `{"businessID":1,"inviteID":"I","groupID":"g","inviter":"a","inviteeList":["b","c"],"data":"{\"x\":\"<ü>\"}",` +
		`"timeout":30,"actionType":3,"onlineUserOnly":false}`
	if m.Custom != want {
		t.Errorf("got  %s\nwant %s", m.Custom, want)
	}
	var more map[string]any
	if err := json.Unmarshal([]byte(m.Custom), &more); err != nil {
		t.Fatal(err)
	}
	more["new"] = []int{1}
	text, err := json.Marshal(more)
	if err != nil {
		t.Fatal(err)
	}
	body, err = Marshal(Signaling{ElemCustom, string(text), []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	s, concerns, err := DecodeSignaling(body)
	if err != nil || s.InviteID != "I" || s.ActionType != SignalingAccept || !reflect.DeepEqual(concerns, []string{"a"}) {
		t.Errorf("%+v %v %v", s, concerns, err)
	}
}

func TestSignalingRequests(t *testing.T) {
	seconds := func(n int) *int { return &n }
	for what, c := range map[string]struct {
		r    interface{ Validate() error }
		want string // in the error; "" for none
		code Code
	}{
		"invite":              {&InviteRequest{Invitee: "a", Data: "x"}, "", 0},
		"without end":         {&InviteRequest{Invitee: "a", Data: "x", Timeout: seconds(0)}, "", 0},
		"too long":            {&InviteRequest{Invitee: "a", Data: "x", Timeout: seconds(86401)}, "timeout", CodeInvalidParameters},
		"negative":            {&InviteRequest{Invitee: "a", Data: "x", Timeout: seconds(-1)}, "timeout", CodeInvalidParameters},
		"nobody":              {&InviteRequest{Data: "x"}, "invitee", CodeInvalidParameters},
		"bad userId":          {&InviteRequest{Invitee: "a/b", Data: "x"}, "invitee", CodeInvalidIdentifier},
		"no data":             {&InviteRequest{Invitee: "a"}, "data", CodeInvalidParameters},
		"too much data":       {&InviteRequest{Invitee: "a", Data: strings.Repeat("x", MaxTextBytes+1)}, "data", CodeMsgBodySizeLimit},
		"group":               {&InviteInGroupRequest{GroupID: "g", InviteeList: []string{"a", "b"}, Data: "x"}, "", 0},
		"no group":            {&InviteInGroupRequest{InviteeList: []string{"a"}, Data: "x"}, "groupId", CodeInvalidParameters},
		"no list":             {&InviteInGroupRequest{GroupID: "g", Data: "x"}, "inviteeList", CodeInvalidParameters},
		"twice":               {&InviteInGroupRequest{GroupID: "g", InviteeList: []string{"a", "a"}, Data: "x"}, "inviteeList", CodeInvalidParameters},
		"bad in list":         {&InviteInGroupRequest{GroupID: "g", InviteeList: []string{"a", "#"}, Data: "x"}, "inviteeList", CodeInvalidIdentifier},
		"too many":            {&InviteInGroupRequest{GroupID: "g", InviteeList: make([]string, MaxInvitees+1), Data: "x"}, "inviteeList", CodeInvalidParameters},
		"step":                {&InviteStepRequest{InviteID: "I-1", Data: "x"}, "", 0},
		"step of nothing":     {&InviteStepRequest{Data: "x"}, "inviteId", CodeInvalidParameters},
		"step of a bad id":    {&InviteStepRequest{InviteID: "I 1", Data: "x"}, "inviteId", CodeSignalingInvalidInviteID},
		"step without data":   {&InviteStepRequest{InviteID: "I"}, "data", CodeInvalidParameters},
		"added":               {&AddInvitedSignalingRequest{InviteID: "I"}, "", 0},
		"nothing added":       {&AddInvitedSignalingRequest{}, "inviteId", CodeInvalidParameters},
		"info of a message":   {&SignalingInfoRequest{MsgID: "m", UserID: "a"}, "", 0},
		"info in a group":     {&SignalingInfoRequest{MsgID: "m", GroupID: "g"}, "", 0},
		"info of an invite":   {&SignalingInfoRequest{InviteID: "I"}, "", 0},
		"info of nothing":     {&SignalingInfoRequest{}, "msgId", CodeInvalidParameters},
		"info in two":         {&SignalingInfoRequest{MsgID: "m", UserID: "a", GroupID: "g"}, "groupId", CodeInvalidParameters},
		"info from nowhere":   {&SignalingInfoRequest{MsgID: "m"}, "userId", CodeInvalidParameters},
		"info of a bad group": {&SignalingInfoRequest{MsgID: "m", GroupID: "\x00"}, "groupId", CodeGroupInvalidID},
	} {
		err := c.r.Validate()
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", what, err)
		case c.want != "" && (err == nil || AsError(err).Code != c.code || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s and code %d", what, err, c.want, c.code)
		}
	}
}
