package hub

import (
	"testing"

	"github.com/herald-im/herald/protocol"
)

// TestBlacklistEndsApplications: who was put into a blacklist after one of the two has
// applied does not come into a friend list.
func TestBlacklistEndsApplications(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		confirm := protocol.AllowConfirm
		for _, c := range []struct {
			who  string // puts the other into the blacklist
			code protocol.Code
		}{{"ann", protocol.CodeSvrFriendshipInPeerBlacklist}, {"bob", protocol.CodeSvrFriendshipInSelfBlacklist}} {
			ann, bob := r.online("ann", "t"), r.online("bob", "t")
			bob.mustCall("im.setSelfInfo", protocol.SelfInfoRequest{AllowType: &confirm})
			ann.mustCall("im.addFriend", protocol.AddFriendRequest{UserID: "bob"})
			by, other := ann, "bob"
			if c.who == "bob" {
				by, other = bob, "ann"
			}
			by.mustCall("im.addToBlackList", protocol.UserListRequest{UserIDList: []string{other}})
			for _, do := range []int{protocol.FriendAccept, protocol.FriendAllow} {
				code := bob.call("device.decideFriendApplication", protocol.DecideFriendRequest{UserID: "ann", Type: protocol.ApplicationReceived, Do: do}, nil)
				if code != c.code {
					t.Errorf("%s in %s's blacklist, do %d: code %d", other, c.who, do, code)
				}
			}
			for _, x := range []*term{ann, bob} {
				var list protocol.FriendsResponse
				if code := x.call("im.getFriendList", protocol.Empty{}, &list); code != 0 || len(list.InfoList) != 0 {
					t.Errorf("%s has friends %+v, code %d", x.login.user, list.InfoList, code)
				}
			}
			bob.mustCall("device.decideFriendApplication", protocol.DecideFriendRequest{UserID: "ann", Type: protocol.ApplicationReceived, Do: protocol.FriendRefuse})
			by.mustCall("im.deleteFromBlackList", protocol.UserListRequest{UserIDList: []string{other}})
		}
	})
}

// TestFriendsHaveNoApplications: an application ends also when the two become friends
// in another way than by its acceptance.
func TestFriendsHaveNoApplications(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		confirm, anyone := protocol.AllowConfirm, protocol.AllowAny
		ann, bob, cat := r.online("ann", "t"), r.online("bob", "t"), r.online("cat", "t")
		bob.mustCall("im.setSelfInfo", protocol.SelfInfoRequest{AllowType: &confirm})
		ann.mustCall("im.addFriend", protocol.AddFriendRequest{UserID: "bob"})
		cat.mustCall("im.addFriend", protocol.AddFriendRequest{UserID: "bob"})
		bob.mustCall("im.setSelfInfo", protocol.SelfInfoRequest{AllowType: &anyone})
		ann.mustCall("im.addFriend", protocol.AddFriendRequest{UserID: "bob"})
		r.operates(OpBefriend, Befriend{UserID: "bob", FriendID: "cat", Both: true})
		for _, x := range []*term{ann, bob, cat} {
			var list protocol.FriendApplicationsResponse
			if code := x.call("device.listFriendApplications", protocol.Empty{}, &list); code != 0 || len(list.ApplicationList) != 0 || list.UnreadCount != 0 {
				t.Errorf("%s has applications %+v, code %d", x.login.user, list, code)
			}
		}
	})
}
