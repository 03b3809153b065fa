package hub

import (
	"testing"

	"github.com/herald-im/herald/protocol"
)

// TestFriendsOnly: where the operator wants it, messages to an account and invitations
// go between friends alone, and the refusal says which side is missing. Groups are
// not touched, and what one says to himself neither.
func TestFriendsOnly(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		r := newRig(t, location, func(c *Config) { c.FriendsOnly = true })
		anna, bert := r.online("anna", "t"), r.online("bert", "t")
		anna.mustCall("im.createGroup", create("g", protocol.GroupMeeting))
		bert.mustCall("im.joinGroup", join("g"))
		tries := func(what string, want protocol.Code) {
			t.Helper()
			ways := map[string]protocol.Code{
				"a message":        anna.append(c2c("bert", "hello"))[0].Code,
				"an online one":    anna.call("device.sendOnline", online("bert", "", "typing"), nil),
				"an invitation":    anna.call("im.invite", protocol.InviteRequest{Invitee: "bert", Data: "ring", Timeout: some(30)}, nil),
				"said to a group":  anna.append(toGroup("g", "hello"))[0].Code,
				"said to herself":  anna.append(c2c("anna", "hello"))[0].Code,
				"online, to many":  anna.call("device.sendOnline", online("", "g", "typing"), nil),
				"no such account":  anna.append(c2c("ghost", "hello"))[0].Code,
				"inviting no such": anna.call("im.invite", protocol.InviteRequest{Invitee: "ghost", Data: "ring", Timeout: some(30)}, nil),
			}
			for way, got := range ways {
				w := want
				switch way {
				case "said to a group", "said to herself", "online, to many":
					w = 0
				case "no such account", "inviting no such":
					if w = got; got == 0 {
						t.Errorf("%s: %s: it goes", what, way)
					}
				}
				if got != w {
					t.Errorf("%s: %s: code %d, want %d", what, way, got, w)
				}
			}
		}
		add := func(x *term, user string) {
			t.Helper()
			x.mustCall("im.addFriend", protocol.AddFriendRequest{UserID: user, AddType: protocol.FriendSingle})
		}
		tries("no friends", protocol.CodeSvrMsgBothNotFriend)
		add(anna, "bert")
		tries("she alone", protocol.CodeSvrMsgNotPeerFriend)
		add(bert, "anna")
		tries("both", 0)
		anna.mustCall("im.deleteFromFriendList", protocol.DeleteFriendsRequest{UserListRequest: protocol.UserListRequest{UserIDList: []string{"bert"}}, DeleteType: protocol.FriendSingle})
		tries("he alone", protocol.CodeSvrMsgNotSelfFriend)
	})
}
