package hub

import (
	"testing"

	"github.com/herald-im/herald/protocol"
)

// TestApplicationOfAMember: who has become a member in another way than he has applied
// for waits for nobody any more.
func TestApplicationOfAMember(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		owner, ann, bob := r.online("owner", "t"), r.online("ann", "t"), r.online("bob", "t")
		owner.mustCall("im.createGroup", create("g", protocol.GroupPublic))
		ann.mustCall("im.joinGroup", join("g"))
		bob.mustCall("im.joinGroup", join("g"))
		free := protocol.AddFree
		owner.mustCall("im.setGroupInfo", protocol.SetGroupInfoRequest{GroupID: "g", GroupChange: protocol.GroupChange{GroupAddOpt: &free}})
		ann.mustCall("im.joinGroup", join("g"))
		r.operates("im.inviteUserToGroup", protocol.InviteToGroupRequest{GroupID: "g", UserIDList: []string{"bob"}})
		var list protocol.GroupApplicationsResponse
		if code := owner.call("device.listGroupApplications", protocol.Empty{}, &list); code != 0 || len(list.GroupApplicationList) != 0 || list.UnreadCount != 0 {
			t.Errorf("code %d, applications %+v", code, list)
		}
		for _, user := range []string{"ann", "bob"} {
			decide := protocol.DecideRequest{GroupID: "g", UserID: user, Agree: true}
			if code := owner.call("device.decideGroupApplication", decide, nil); code != protocol.CodeSvrGroupReqAlreadyBeenProcessed {
				t.Errorf("%s: code %d", user, code)
			}
		}
	})
}
