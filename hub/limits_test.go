package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// TestListLimits: each list takes as many as it may hold, and refuses the next with
// the code for it, without touching what it holds.
func TestListLimits(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		const most = 3
		r := newRig(t, location, func(c *Config) {
			c.Friends, c.FriendApplications, c.FriendGroups, c.Blacklist, c.WorkMembers, c.PublicMembers = most, most, most, most, most, most
		})
		me, other := r.online("me", "t"), r.online("other", "t")
		var terms []*term
		for i := range most + 1 {
			terms = append(terms, r.online(fmt.Sprint("u", i), "t"))
		}
		add := func(x *term, user string, kind protocol.FriendType) protocol.Code {
			t.Helper()
			var res protocol.FriendResultResponse
			if code := x.call("im.addFriend", protocol.AddFriendRequest{UserID: user, AddType: kind}, &res); code != 0 {
				return code
			}
			var code protocol.Code
			if err := json.Unmarshal([]byte(res.Result.ResultCode), &code); err != nil {
				t.Fatal(err)
			}
			return code
		}
		check := func(what string, i int, got, beyond protocol.Code) {
			t.Helper()
			want := protocol.Code(0)
			if i >= most {
				want = beyond
			}
			if got != want {
				t.Errorf("%s: number %d: code %d, want %d", what, i+1, got, want)
			}
		}
		for i, x := range terms {
			check("own friends", i, add(me, x.login.user, protocol.FriendSingle), protocol.CodeSvrFriendshipCountLimit)
			check("the other's friends", i, add(x, "other", protocol.FriendBoth), protocol.CodeSvrFriendshipPeerFriendLimit)
			check("friend groups", i, me.call("im.createFriendGroup", protocol.NewFriendGroupRequest{GroupName: fmt.Sprint("g", i)}, nil), protocol.CodeSvrFriendshipGroupCountLimit)
		}
		var friends protocol.FriendsResponse
		if code := me.call("im.getFriendList", protocol.Empty{}, &friends); code != 0 || len(friends.InfoList) != most {
			t.Errorf("%d friends, code %d", len(friends.InfoList), code)
		}
		if code := other.call("im.getFriendList", protocol.Empty{}, &friends); code != 0 || len(friends.InfoList) != most {
			t.Errorf("%d friends of the other, code %d", len(friends.InfoList), code)
		}
		if code := terms[most].call("im.getFriendList", protocol.Empty{}, &friends); code != 0 || len(friends.InfoList) != 0 {
			t.Errorf("one beyond has %d friends, code %d: half a friendship", len(friends.InfoList), code)
		}

		picky := r.online("picky", "t")
		ask := protocol.AllowConfirm
		picky.mustCall("im.setSelfInfo", protocol.SelfInfoRequest{AllowType: &ask})
		for i, x := range terms {
			got := add(x, "picky", protocol.FriendBoth)
			if got == protocol.CodeSvrFriendshipAllowTypeNeedConfirm {
				got = 0
			}
			check("applications", i, got, protocol.CodeSvrFriendshipPendencyLimit)
		}

		for i, x := range terms {
			var res protocol.FriendResultsResponse
			me.call("im.addToBlackList", protocol.UserListRequest{UserIDList: []string{x.login.user}}, &res)
			var code protocol.Code
			if err := json.Unmarshal([]byte(res.ResultList[0].ResultCode), &code); err != nil {
				t.Fatal(err)
			}
			check("the blacklist", i, code, protocol.CodeSvrFriendshipBlacklistLimit)
		}

		other.mustCall("im.createGroup", create("public", protocol.GroupPublic))
		free := protocol.AddFree
		other.mustCall("im.setGroupInfo", protocol.SetGroupInfoRequest{GroupID: "public", GroupChange: protocol.GroupChange{GroupAddOpt: &free}})
		other.mustCall("im.createGroup", create("work", protocol.GroupWork))
		for i, x := range terms {
			check("members of a Public group", i+1, x.call("im.joinGroup", join("public"), nil), protocol.CodeSvrGroupFullMemberCount)
			code := other.call("im.inviteUserToGroup", protocol.InviteToGroupRequest{GroupID: "work", UserIDList: []string{x.login.user}}, nil)
			check("members of a Work group", i+1, code, protocol.CodeSvrGroupFullMemberCount)
		}
	})
}

// TestTextLimits: each text takes as many bytes as it may have, of whatever letters,
// and one more is refused; nothing is changed by that.
func TestTextLimits(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		me, other := r.online("me", "t"), r.online("other", "t")
		me.mustCall("im.createGroup", create("g", protocol.GroupPublic))
		me.mustCall("im.addFriend", protocol.AddFriendRequest{UserID: "other", AddType: protocol.FriendSingle})
		other.mustCall("im.addFriend", protocol.AddFriendRequest{UserID: "me", AddType: protocol.FriendSingle})
		n := 0
		for what, c := range map[string]struct {
			most int
			code protocol.Code
			call func(s string) protocol.Code
		}{
			"groupName": {30, protocol.CodeGroupInvalidName, func(s string) protocol.Code {
				return me.call("im.setGroupInfo", protocol.SetGroupInfoRequest{GroupID: "g", GroupChange: protocol.GroupChange{GroupName: &s}}, nil)
			}},
			"introduction": {240, protocol.CodeGroupInvalidIntroduction, func(s string) protocol.Code {
				return me.call("im.setGroupInfo", protocol.SetGroupInfoRequest{GroupID: "g", GroupChange: protocol.GroupChange{Introduction: &s}}, nil)
			}},
			"notification": {300, protocol.CodeGroupInvalidNotification, func(s string) protocol.Code {
				return me.call("im.setGroupInfo", protocol.SetGroupInfoRequest{GroupID: "g", GroupChange: protocol.GroupChange{Notification: &s}}, nil)
			}},
			"faceUrl": {100, protocol.CodeGroupInvalidFaceURL, func(s string) protocol.Code {
				return me.call("im.setGroupInfo", protocol.SetGroupInfoRequest{GroupID: "g", GroupChange: protocol.GroupChange{FaceURL: &s}}, nil)
			}},
			"nameCard": {50, protocol.CodeGroupInvalidNameCard, func(s string) protocol.Code {
				return me.call("im.setGroupMemberInfo", protocol.SetMemberInfoRequest{GroupID: "g", Info: protocol.MemberChange{UserID: "me", NameCard: s}}, nil)
			}},
			"friendRemark": {96, protocol.CodeFriendshipInvalidAddRemark, func(s string) protocol.Code {
				return me.call("im.setFriendInfo", protocol.SetFriendInfoRequest{UserID: "other", FriendRemark: s}, nil)
			}},
			"friend group": {30, 0, func(s string) protocol.Code {
				return me.call("im.createFriendGroup", protocol.NewFriendGroupRequest{GroupName: s}, nil)
			}},
			"nickName": {500, 0, func(s string) protocol.Code {
				return me.call("im.setSelfInfo", protocol.SelfInfoRequest{NickName: &s}, nil)
			}},
			"selfSignature": {500, 0, func(s string) protocol.Code {
				return me.call("im.setSelfInfo", protocol.SelfInfoRequest{SelfSignature: &s}, nil)
			}},
		} {
			for _, letter := range []string{"x", "é", "日", "😀"} {
				full := strings.Repeat(letter, c.most/len(letter)) + strings.Repeat("x", c.most%len(letter))
				if code := c.call(full); code != 0 {
					t.Errorf("%s of %d bytes (%s): code %d", what, len(full), letter, code)
				}
				before := r.dump()
				switch code := c.call(full + "x"); {
				case code == 0, c.code != 0 && code != c.code:
					t.Errorf("%s of %d bytes (%s): code %d, want %d", what, len(full)+1, letter, code, c.code)
				case r.dump() != before:
					t.Errorf("%s: refused, and yet something was done", what)
				}
				n++
			}
		}
		if n != 36 {
			t.Error(n)
		}
	})
}

// dump shows what is kept of accounts and groups.
func (r *rig) dump() string {
	r.t.Helper()
	ctx := context.Background()
	var b strings.Builder
	for _, user := range []string{"me", "other"} {
		p, err := r.store.Profile(ctx, r.app, user)
		if err != nil {
			r.t.Fatal(err)
		}
		friends, err := r.store.Friends(ctx, r.app, user)
		if err != nil {
			r.t.Fatal(err)
		}
		fmt.Fprintln(&b, p, friends)
	}
	var g store.Group
	var members []store.Member
	g, err := r.store.Group(ctx, r.app, "g")
	if err == nil {
		members, err = r.store.Members(ctx, r.app, "g")
	}
	if err != nil {
		r.t.Fatal(err)
	}
	fmt.Fprintln(&b, g, members)
	return b.String()
}
