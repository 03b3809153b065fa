package device

import (
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// TestEachGroupEvent: each change in a group is one of the document's events, with whom
// it is about and who did it, as this board calls them; what is not for this account, or
// of a kind to come, is none.
func TestEachGroupEvent(t *testing.T) {
	h := newHub(t)
	h.friends = []protocol.FriendInfo{{UserID: "anna", FriendRemark: "sister", UserInfo: protocol.UserInfo{UserID: "anna", NickName: "Anna", FaceURL: "a.png"}}}
	b := start(t, config(t, h.addr))
	b.mustLogin()
	b.introduced()
	b.session.meet([]protocol.Person{{User: "anna", Nick: "Anna", Face: "a.png", Group: "g", Card: "Ann"}, {User: "bert", Nick: "Bert"}})
	const (
		anna   = `{"userId":"anna","nickName":"Anna","friendRemark":"sister","nameCard":"Ann","faceUrl":"a.png"}`
		bert   = `{"userId":"bert","nickName":"Bert","friendRemark":"","nameCard":"","faceUrl":""}`
		nobody = `{"userId":"","nickName":"","friendRemark":"","nameCard":"","faceUrl":""}` // the operator
		door   = `{"userId":"door","nickName":"","friendRemark":"","nameCard":"","faceUrl":""}`
	)
	name, muted := "New", true
	for what, c := range map[string]struct {
		from      string
		tip       protocol.Tip
		name, why string
	}{
		"made by me":        {"door", protocol.Tip{Kind: protocol.TipCreated}, "im.onGroupCreated", `{"groupId":"g"}`},
		"made by another":   {"anna", protocol.Tip{Kind: protocol.TipCreated}, "", ""},
		"joined":            {"anna", protocol.Tip{Kind: protocol.TipJoined, Users: []string{"anna"}}, "im.onMemberEnter", `{"groupId":"g","memberList":[` + anna + `]}`},
		"let in":            {"anna", protocol.Tip{Kind: protocol.TipJoined, Users: []string{"bert"}}, "im.onMemberEnter", `{"groupId":"g","opUser":` + anna + `,"memberList":[` + bert + `]}`},
		"invited":           {"anna", protocol.Tip{Kind: protocol.TipInvited, Users: []string{"bert", "door"}}, "im.onMemberInvited", `{"groupId":"g","opUser":` + anna + `,"memberList":[` + bert + `,` + door + `]}`},
		"by the operator":   {"", protocol.Tip{Kind: protocol.TipInvited, Users: []string{"bert"}}, "im.onMemberInvited", `{"groupId":"g","opUser":` + nobody + `,"memberList":[` + bert + `]}`},
		"put out":           {"anna", protocol.Tip{Kind: protocol.TipKicked, Users: []string{"door"}, Reason: "late"}, "im.onMemberKicked", `{"groupId":"g","opUser":` + anna + `,"memberList":[` + door + `],"reason":"late"}`},
		"I quit":            {"door", protocol.Tip{Kind: protocol.TipQuit, Users: []string{"door"}}, "im.onQuitFromGroup", `{"groupId":"g"}`},
		"another quits":     {"anna", protocol.Tip{Kind: protocol.TipQuit, Users: []string{"anna"}}, "im.onMemberLeave", `{"groupId":"g","member":` + anna + `}`},
		"nobody quits":      {"anna", protocol.Tip{Kind: protocol.TipQuit}, "", ""},
		"an admin":          {"anna", protocol.Tip{Kind: protocol.TipAdmin, Users: []string{"bert"}}, "im.onGrantAdministrator", `{"groupId":"g","opUser":` + anna + `,"memberList":[` + bert + `]}`},
		"no admin":          {"anna", protocol.Tip{Kind: protocol.TipNoAdmin, Users: []string{"bert"}}, "im.onRevokeAdministrator", `{"groupId":"g","opUser":` + anna + `,"memberList":[` + bert + `]}`},
		"muted":             {"anna", protocol.Tip{Kind: protocol.TipMuted, Users: []string{"bert"}, Seconds: 60}, "im.onMemberInfoChanged", `{"groupId":"g","opUser":` + anna + `,"infoList":[{"userId":"bert","muteTime":60}]}`},
		"may speak":         {"anna", protocol.Tip{Kind: protocol.TipMuted, Users: []string{"bert"}}, "im.onMemberInfoChanged", `{"groupId":"g","opUser":` + anna + `,"infoList":[{"userId":"bert","muteTime":0}]}`},
		"renamed":           {"anna", protocol.Tip{Kind: protocol.TipChanged, Change: &protocol.GroupChange{GroupName: &name, AllMuted: &muted}}, "im.onGroupInfoChanged", `{"groupId":"g","opUser":` + anna + `,"groupInfo":{"groupName":"New","allMuted":true}}`},
		"another owner":     {"anna", protocol.Tip{Kind: protocol.TipOwner, Users: []string{"bert"}}, "im.onGroupInfoChanged", `{"groupId":"g","opUser":` + anna + `,"groupInfo":{"owner":"bert"}}`},
		"dismissed":         {"anna", protocol.Tip{Kind: protocol.TipDismissed}, "im.onGroupDismissed", `{"groupId":"g","opUser":` + anna + `}`},
		"recycled":          {"", protocol.Tip{Kind: protocol.TipRecycled}, "im.onGroupRecycled", `{"groupId":"g","opUser":` + nobody + `}`},
		"of a kind to come": {"anna", protocol.Tip{Kind: 99, Users: []string{"bert"}}, "", ""},
	} {
		body, err := protocol.Marshal(c.tip)
		if err != nil {
			t.Fatal(err)
		}
		o, err := b.session.groupEvent("g", &protocol.Entry{Kind: protocol.EntryTip, From: c.from, Body: body})
		got := ""
		if o.Info != nil {
			got = o.Info.Name
		}
		want := c.why
		if c.name != "" {
			want = `{"eventType":"` + strings.TrimPrefix(c.name, "im.") + `",` + c.why[1:]
		}
		var info protocol.MessageInfo
		b.session.tipElem(&info, &protocol.Entry{Kind: protocol.EntryTip, From: c.from, Body: body})
		if list := info.Msg.GroupTip.InfoList; (list != nil) != (c.name == "im.onMemberInfoChanged") || list != nil && list[0].UserID != "bert" {
			t.Errorf("%s: in the history %+v", what, list)
		}
		if err != nil || got != c.name || string(o.JSON) != want {
			t.Errorf("%s: %v %s\n%s\nnot %s\n%s", what, err, got, o.JSON, c.name, want)
		}
	}
	if o, err := b.session.groupEvent("g", &protocol.Entry{Kind: protocol.EntryTip, Body: []byte{0xff}}); err == nil {
		t.Errorf("no tip: %+v", o)
	}
}
