package hub

import (
	"context"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// TestNameInAGroupEnds: who comes back into a group, or into a later one of the same
// id, has not the name there that he had before.
func TestNameInAGroupEnds(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		owner, ann := r.online("owner", "t"), r.online("ann", "t")
		begin := func() { owner.mustCall("im.createGroup", create("g", protocol.GroupMeeting)) }
		enter := func() {
			t.Helper()
			ann.mustCall("im.joinGroup", join("g"))
			if people := r.peopleOf(context.Background(), "g", []string{"ann"}); len(people) != 0 {
				t.Errorf("she is known as %+v", people)
			}
			ann.mustCall("im.setGroupMemberInfo", protocol.SetMemberInfoRequest{GroupID: "g", Info: protocol.MemberChange{UserID: "ann", NameCard: "Ann"}})
			if people := r.peopleOf(context.Background(), "g", []string{"ann"}); len(people) != 1 || people[0].Card != "Ann" {
				t.Errorf("she is known as %+v", people)
			}
		}
		begin()
		enter()
		ann.mustCall("im.quitGroup", named("g"))
		enter()
		owner.mustCall("im.kickGroupMember", protocol.KickRequest{GroupID: "g", MemberList: []string{"ann"}})
		enter()
		owner.mustCall("im.dismissGroup", named("g"))
		begin()
		enter()
	})
}
