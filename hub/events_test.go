package hub

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

// toldOf lists what a terminal was told of since: tips as "tip KIND", events by their
// names.
func (x *term) toldOf() []string {
	x.t.Helper()
	x.r.settle()
	x.mu.Lock()
	frames := x.frames
	x.frames = nil
	x.mu.Unlock()
	out := []string{}
	one := func(kind protocol.EntryKind, body []byte) {
		switch kind {
		case protocol.EntryTip:
			var tip protocol.Tip
			if err := protocol.Unmarshal(body, &tip); err != nil {
				x.t.Fatal(err)
			}
			out = append(out, fmt.Sprintf("tip %d", tip.Kind))
		case protocol.EntryEvent:
			ev, o, err := protocol.DecodeHubEvent(body)
			if err != nil || o.Info == nil || !json.Valid(o.JSON) {
				x.t.Fatalf("%s: %v", ev.Name, err)
			}
			out = append(out, strings.TrimPrefix(ev.Name, "im."))
		}
	}
	for _, f := range frames {
		switch {
		case f.Push != nil:
			for _, l := range f.Push.Logs {
				for _, e := range l.Entries {
					one(e.Kind, e.Body)
				}
			}
		case f.Signal != nil && f.Signal.Rooms == nil:
			one(f.Signal.Kind, f.Signal.Body)
		}
	}
	return out
}

// TestWhoIsTold: each event reaches everyone who is to know, and nobody else.
func TestWhoIsTold(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		names := []string{"owner", "admin", "member", "stranger"}
		acting, eyes := map[string]*term{}, map[string]*term{}
		for _, name := range names {
			acting[name], eyes[name] = r.online(name, "t"), r.online(name, "eye")
		}
		told := func(what string, want map[string][]string) {
			t.Helper()
			for _, name := range names {
				w := want[name]
				if w == nil {
					w = []string{}
				}
				if got := eyes[name].toldOf(); !reflect.DeepEqual(got, w) {
					t.Errorf("%s: %s is told %q, want %q", what, name, got, w)
				}
			}
		}
		all := func(names []string, news ...string) map[string][]string {
			out := map[string][]string{}
			for _, name := range names {
				out[name] = news
			}
			return out
		}
		r.populate("g", protocol.GroupPublic)
		members := names[:3]
		owner, admin, member, stranger := acting["owner"], acting["admin"], acting["member"], acting["stranger"]
		name, secs, role, opt := "new", uint32(5), protocol.RoleAdmin, protocol.RecvQuiet
		told("nothing yet", nil)
		owner.mustCall("im.setGroupInfo", protocol.SetGroupInfoRequest{GroupID: "g", GroupChange: protocol.GroupChange{GroupName: &name}})
		told("changed", all(members, "tip 10"))
		owner.mustCall("im.setGroupInfo", protocol.SetGroupInfoRequest{GroupID: "g", GroupChange: protocol.GroupChange{GroupName: &name}})
		told("changed to what it is", nil)
		admin.mustCall("im.muteGroupMember", protocol.MuteRequest{GroupID: "g", UserID: "member", Seconds: &secs})
		told("muted", all(members, "tip 11"))
		member.mustCall("im.setGroupMemberInfo", protocol.SetMemberInfoRequest{GroupID: "g", Info: protocol.MemberChange{UserID: "member", NameCard: "card"}})
		told("named", all(members, "tip 12"))
		owner.mustCall("im.setGroupMemberRole", protocol.SetRoleRequest{GroupID: "g", UserID: "member", Role: &role})
		told("an admin", all(members, "tip 8"))
		role = protocol.RoleMember
		owner.mustCall("im.setGroupMemberRole", protocol.SetRoleRequest{GroupID: "g", UserID: "member", Role: &role})
		told("no admin", all(members, "tip 9"))
		member.mustCall("im.setReceiveMessageOpt", protocol.RecvOptRequest{GroupID: "g", Opt: &opt})
		told("an option", nil) // a mark, which no program is told of
		stranger.mustCall("im.joinGroup", join("g"))
		told("an application", all([]string{"owner", "admin"}, "onReceiveJoinApplication"))
		admin.mustCall("device.decideGroupApplication", protocol.DecideRequest{GroupID: "g", UserID: "stranger"})
		told("refused", map[string][]string{"stranger": {"onApplicationProcessed"}})
		stranger.mustCall("im.joinGroup", join("g"))
		told("an application", all([]string{"owner", "admin"}, "onReceiveJoinApplication"))
		owner.mustCall("device.decideGroupApplication", protocol.DecideRequest{GroupID: "g", UserID: "stranger", Agree: true})
		want := all(members, "tip 2")
		want["stranger"] = []string{"tip 2", "onApplicationProcessed"}
		told("let in", want)
		if code := admin.call("device.decideGroupApplication", protocol.DecideRequest{GroupID: "g", UserID: "stranger", Agree: true}, nil); code != protocol.CodeSvrGroupReqAlreadyBeenProcessed {
			t.Errorf("let in twice: %d", code)
		}
		admin.mustCall("im.kickGroupMember", protocol.KickRequest{GroupID: "g", MemberList: []string{"stranger"}})
		told("put out", all(names, "tip 6"))
		member.mustCall("im.quitGroup", named("g"))
		told("quit", all(members, "tip 3"))
		owner.mustCall("im.transferGroupOwner", protocol.MemberRequest{GroupID: "g", UserID: "admin"})
		told("transferred", all([]string{"owner", "admin"}, "tip 5"))
		r.operates(OpNotify, GroupNotice{GroupID: "g", CustomData: "x"})
		told("notified", all([]string{"owner", "admin"}, "onReceiveRESTCustomData"))
		r.operates(OpAttributes, GroupAttributes{GroupID: "g", Attributes: map[string]*string{"floor": &name}})
		told("an attribute", all([]string{"owner", "admin"}, "onGroupAttributeChanged"))
		r.operates(OpRecycle, Recycle{GroupID: "g"})
		told("recycled", all([]string{"owner", "admin"}, "tip 13"))

		owner.mustCall("im.createGroupWithMemberList", protocol.CreateGroupWithMembersRequest{
			GroupInfo:  protocol.NewGroup{CreateGroupRequest: create("w", protocol.GroupMeeting)},
			MemberList: []protocol.NewMember{{UserID: "member", Role: some(protocol.RoleAdmin)}},
		})
		told("made", map[string][]string{"owner": {"tip 1", "tip 7", "tip 8"}, "member": {"tip 7", "tip 8"}})
		owner.mustCall("im.dismissGroup", named("w"))
		told("dismissed", all([]string{"owner", "member"}, "tip 4"))

		r.friendships(t, acting, told)
	})
}

func some[T any](v T) *T { return &v }

// operates has the hub do something for the operator, as an order does.
func (r *rig) operates(method string, body any) Outcome {
	r.t.Helper()
	out := r.outcome(method, body)
	if out.Code != 0 {
		r.t.Fatalf("%s: %+v", method, out)
	}
	return out
}

// outcome is what becomes of what the operator asks for.
func (r *rig) outcome(method string, body any) Outcome {
	r.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := Operate(r.t.Context(), r.store, r.app, []Operation{{Method: method, Body: b}}, patience)
	if err != nil || len(out) != 1 {
		r.t.Fatalf("%s: %+v, %v", method, out, err)
	}
	return out[0]
}

// friendships is the part of TestWhoIsTold about accounts.
func (r *rig) friendships(t *testing.T, acting map[string]*term, told func(string, map[string][]string)) {
	t.Helper()
	owner, member := acting["owner"], acting["member"]
	befriend := func(x *term, user string, kind protocol.FriendType) {
		x.mustCall("im.addFriend", protocol.AddFriendRequest{UserID: user, AddType: kind})
	}
	befriend(owner, "member", protocol.FriendSingle)
	told("a friend on one side", map[string][]string{"owner": {"onFriendListAdded"}})
	member.mustCall("im.setSelfInfo", protocol.SelfInfoRequest{NickName: some("nick")})
	told("a profile", map[string][]string{"owner": {"onFriendProfileChanged"}, "member": {"onSelfInfoUpdated"}})
	member.mustCall("im.setSelfInfo", protocol.SelfInfoRequest{SelfSignature: some("sig"), AllowType: some(protocol.AllowConfirm)})
	told("what friends do not see", map[string][]string{"member": {"onSelfInfoUpdated"}})
	owner.mustCall("im.setFriendInfo", protocol.SetFriendInfoRequest{UserID: "member", FriendRemark: "the member"})
	told("a remark", map[string][]string{"owner": {"onFriendProfileChanged"}})
	owner.mustCall("im.deleteFromFriendList", protocol.DeleteFriendsRequest{UserListRequest: protocol.UserListRequest{UserIDList: []string{"member"}}})
	told("no friend, on both sides, of which there was one", map[string][]string{"owner": {"onFriendListDeleted"}})
	befriend(owner, "member", protocol.FriendBoth)
	told("an application", map[string][]string{"owner": {"onFriendApplicationListAdded"}, "member": {"onFriendApplicationListAdded"}})
	member.mustCall("im.setFriendApplicationRead", protocol.Empty{})
	told("read", map[string][]string{"member": {"onFriendApplicationListRead"}})
	member.mustCall("device.decideFriendApplication", protocol.DecideFriendRequest{UserID: "owner", Type: protocol.ApplicationReceived, Do: protocol.FriendAccept})
	told("accepted", map[string][]string{
		"owner": {"onFriendApplicationListDeleted", "onFriendListAdded"}, "member": {"onFriendApplicationListDeleted", "onFriendListAdded"},
	})
	owner.mustCall("im.addToBlackList", protocol.UserListRequest{UserIDList: []string{"member"}})
	told("blacklisted", map[string][]string{"owner": {"onFriendListDeleted", "onBlackListAdded"}})
	owner.mustCall("im.addToBlackList", protocol.UserListRequest{UserIDList: []string{"member"}})
	told("blacklisted again", nil)
	owner.mustCall("im.deleteFromBlackList", protocol.UserListRequest{UserIDList: []string{"member"}})
	told("no more", map[string][]string{"owner": {"onBlackListDeleted"}})
	member.mustCall("im.deleteFromFriendList", protocol.DeleteFriendsRequest{UserListRequest: protocol.UserListRequest{UserIDList: []string{"owner"}}, DeleteType: protocol.FriendSingle})
	told("no friend", map[string][]string{"member": {"onFriendListDeleted"}})
	befriend(owner, "member", protocol.FriendBoth)
	told("applied again", map[string][]string{"owner": {"onFriendApplicationListAdded"}, "member": {"onFriendApplicationListAdded"}})
	befriend(member, "owner", protocol.FriendBoth) // each wants the other
	told("both want it", map[string][]string{
		"owner": {"onFriendApplicationListDeleted", "onFriendListAdded"}, "member": {"onFriendApplicationListDeleted", "onFriendListAdded"},
	})
}

// TestGroupRate: a group takes so many messages a second, by priority; what waited on a
// board does not count, within bounds.
func TestGroupRate(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := newRates(40)
	take := func(n int, priority uint8, waited bool) (taken int) {
		for range n {
			if r.take(now, "u", "g", priority, waited) {
				taken++
			}
		}
		return taken
	}
	for _, c := range []struct {
		priority uint8
		want     int // in a second of its own, and after the others
		after    int
	}{{protocol.PriorityLow, 30, 30}, {protocol.PriorityDefault, 40, 10}, {protocol.PriorityNormal, 40, 0}, {protocol.PriorityHigh, 50, 10}} {
		if got := take(100, c.priority, false); got != c.after {
			t.Errorf("priority %d: %d after the others, want %d", c.priority, got, c.after)
		}
		other := newRates(40)
		n := 0
		for range 100 {
			if other.take(now, "u", "g", c.priority, false) {
				n++
			}
		}
		if n != c.want {
			t.Errorf("priority %d: %d, want %d", c.priority, n, c.want)
		}
	}
	if !r.take(now, "u", "another group", 0, false) {
		t.Error("one group's messages count in another")
	}
	if got := take(waitedBurst+10, 0, true); got != waitedBurst {
		t.Errorf("%d that waited, want %d", got, waitedBurst)
	}
	now = now.Add(time.Second)
	if got := take(100, 0, false); got != 40 {
		t.Errorf("%d in the next second", got)
	}
	if got := take(100, 0, true); got != 4 {
		t.Errorf("%d more that waited", got)
	}
	if unlimited := newRates(-1); !unlimited.take(now, "u", "g", 0, false) || len(unlimited.groups.rows) != 0 {
		t.Error("a rate where there is to be none")
	}
}
