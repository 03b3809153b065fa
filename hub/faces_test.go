package hub

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// crowd makes accounts with names and pictures.
func (r *rig) crowd(n, face int) (users []string) {
	r.t.Helper()
	r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
		for i := range n {
			user := fmt.Sprint("u", i)
			users = append(users, user)
			if err := tx.CreateUser(ctx, r.app, user, r.cfg.Now()); err != nil {
				return err
			}
			if err := tx.SetProfile(ctx, r.app, user, store.Profile{Nick: "nick of " + user, Face: strings.Repeat("f", face)}); err != nil {
				return err
			}
		}
		return nil
	})
	return users
}

// TestNamesOfACrowd: who many entries are about does not keep them from being read.
func TestNamesOfACrowd(t *testing.T) {
	r := newRig(t, sqlite(t))
	owner := r.online("owner", "t")
	users := r.crowd(1200, 450)
	owner.mustCall("im.createGroup", create("g", protocol.GroupMeeting))
	for i := 0; i < len(users); i += protocol.MaxMembersAtOnce {
		r.operates("im.inviteUserToGroup", protocol.InviteToGroupRequest{GroupID: "g", UserIDList: users[i : i+protocol.MaxMembersAtOnce]})
	}
	owner.send(&protocol.Frame{Pull: &protocol.Pull{ID: 1, Log: "group:g", Limit: protocol.MaxPushEntries}})
	f := owner.until(func(f *protocol.Frame) bool { return f.Range != nil })
	if n := len(f.Range.Entries); n != 1+len(users)/protocol.MaxMembersAtOnce || len(f.People) == 0 || len(f.People) > protocol.MaxPeople {
		t.Errorf("%d entries, %d people", n, len(f.People))
	}
}

// TestCardOfWhoComesBack: who joins again has no name in the group, though he had one.
func TestCardOfWhoComesBack(t *testing.T) {
	r := newRig(t, sqlite(t))
	owner, member := r.online("owner", "t"), r.online("member", "t")
	owner.mustCall("im.createGroup", create("g", protocol.GroupMeeting))
	member.mustCall("im.joinGroup", join("g"))
	member.mustCall("im.setGroupMemberInfo", protocol.SetMemberInfoRequest{GroupID: "g", Info: protocol.MemberChange{UserID: "member", NameCard: "cook"}})
	card := func(text string) string {
		t.Helper()
		member.append(toGroup("g", text))
		f := owner.until(func(f *protocol.Frame) bool {
			return f.Push != nil && f.Push.Logs[0].Entries[0].Kind == protocol.EntryMessage
		})
		for _, p := range f.People {
			if p.User == "member" {
				return p.Card
			}
		}
		return ""
	}
	if got := card("one"); got != "cook" {
		t.Errorf("called %q", got)
	}
	member.mustCall("im.quitGroup", named("g"))
	member.mustCall("im.joinGroup", join("g"))
	if got := card("two"); got != "" {
		t.Errorf("called %q after joining again", got)
	}
}

// TestManyFriends: as many friends as there may be are listed, though no frame holds
// them.
func TestManyFriends(t *testing.T) {
	r := newRig(t, sqlite(t))
	me := r.online("me", "t")
	users := r.crowd(3000, 60)
	r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
		for _, user := range users {
			if err := tx.AddFriend(ctx, r.app, "me", store.Friend{User: user}, r.cfg.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	var res protocol.FriendsResponse
	if code := me.call("im.getFriendList", protocol.Empty{}, &res); code != 0 || len(res.InfoList) != len(users) {
		t.Errorf("code %d, %d friends", code, len(res.InfoList))
	}
}

// TestNoNameAnyMore: who has taken his name and picture back is told of with neither, or
// those who are no friends of his would show them for ever.
func TestNoNameAnyMore(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		me, peer := r.online("me", "t"), r.online("peer", "t")
		met := func() []protocol.Person {
			t.Helper()
			me.append(c2c("peer", "x"))
			return peer.until(func(f *protocol.Frame) bool { return f.Push != nil }).People
		}
		if got := met(); len(got) != 0 {
			t.Errorf("who has never had a name is told of as %+v", got)
		}
		name, none := "Me", ""
		me.mustCall("im.setSelfInfo", protocol.SelfInfoRequest{NickName: &name, FaceURL: &name})
		if got := met(); len(got) != 1 || got[0].Nick != name || got[0].Face != name {
			t.Errorf("told of as %+v", got)
		}
		me.mustCall("im.setSelfInfo", protocol.SelfInfoRequest{NickName: &none, FaceURL: &none})
		if got := met(); len(got) != 1 || got[0] != (protocol.Person{User: "me"}) {
			t.Errorf("without a name told of as %+v", got)
		}
	})
}
