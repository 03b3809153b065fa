package hub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

func create(id, groupType string) protocol.CreateGroupRequest {
	return protocol.CreateGroupRequest{GroupType: groupType, GroupID: id, GroupName: "name of " + id}
}

func join(id string) protocol.JoinGroupRequest { return protocol.JoinGroupRequest{GroupID: id} }
func named(id string) protocol.GroupRequest    { return protocol.GroupRequest{GroupID: id} }

func (x *term) wants(t *testing.T, method string, req any, want protocol.Code) {
	t.Helper()
	if got := x.call(method, req, nil); got != want {
		t.Errorf("%s: %s %+v: code %d, want %d", x.login.user, method, req, got, want)
	}
}

// letIn makes a user a member, as an invitation or an admin's consent will.
func (r *rig) letIn(group, user string) {
	r.t.Helper()
	r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
		g, err := tx.LockGroup(ctx, r.app, group)
		if err != nil {
			return err
		}
		g.Members++
		if err := tx.UpdateGroup(ctx, r.app, g); err != nil {
			return err
		}
		l, err := tx.Log(ctx, r.app, protocol.GroupLog(group))
		if err == nil {
			err = tx.AddMember(ctx, r.app, &g, store.Member{User: user}, r.cfg.Now())
		}
		if err == nil {
			err = tx.SetReader(ctx, r.app, user, l.ID, l.Head, l.Head)
		}
		return err
	})
}

func TestGroupRules(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		owner, x, stranger := r.online("owner", "t"), r.online("x", "t"), r.online("stranger", "t")
		for _, kind := range []string{protocol.GroupWork, protocol.GroupPublic, protocol.GroupMeeting, protocol.GroupAVChatRoom} {
			owner.wants(t, "im.createGroup", create(kind, kind), 0)
			owner.wants(t, "im.createGroup", create(kind, kind), protocol.CodeSvrGroupGroupIDInUsedForSuper)
			x.wants(t, "im.createGroup", create(kind, kind), protocol.CodeSvrGroupGroupIDInUsed)
			owner.wants(t, "im.joinGroup", join(kind), protocol.CodeSvrGroupAlreadyMember)
			stranger.wants(t, "im.quitGroup", named(kind), protocol.CodeSvrGroupPermissionDeny)
			stranger.wants(t, "im.dismissGroup", named(kind), protocol.CodeSvrGroupPermissionDeny)
		}
		x.wants(t, "im.joinGroup", join("Work"), protocol.CodeGroupJoinPrivateGroupDeny)
		x.wants(t, "im.joinGroup", protocol.JoinGroupRequest{GroupID: "Public", Msg: "please"}, 0)
		x.wants(t, "im.joinGroup", join("Public"), 0) // again: no member yet
		if n, err := r.store.Applications(t.Context(), r.app, "Public"); n != 1 || err != nil {
			t.Errorf("%d applications, %v", n, err)
		}
		x.wants(t, "im.quitGroup", named("Public"), protocol.CodeSvrGroupPermissionDeny)
		x.wants(t, "im.joinGroup", join("Meeting"), 0)
		x.wants(t, "im.joinGroup", join("Meeting"), protocol.CodeSvrGroupAlreadyMember)
		x.wants(t, "im.joinGroup", join("AVChatRoom"), 0)
		for _, kind := range []string{"Public", "Meeting", "AVChatRoom"} {
			owner.wants(t, "im.quitGroup", named(kind), protocol.CodeSvrGroupSuperNotAllowQuit)
		}
		for _, kind := range []string{"Meeting", "AVChatRoom"} {
			x.wants(t, "im.dismissGroup", named(kind), protocol.CodeSvrGroupPermissionDeny)
			x.wants(t, "im.quitGroup", named(kind), 0)
			x.wants(t, "im.quitGroup", named(kind), protocol.CodeSvrGroupPermissionDeny)
			x.wants(t, "im.joinGroup", join(kind), 0)
		}
		owner.wants(t, "im.dismissGroup", named("Work"), protocol.CodeSvrGroupPermissionDeny)
		for _, kind := range []string{"Public", "Meeting", "AVChatRoom"} {
			owner.wants(t, "im.dismissGroup", named(kind), 0)
		}
		for _, kind := range []string{"Public", "Meeting", "AVChatRoom", "none"} {
			owner.wants(t, "im.dismissGroup", named(kind), protocol.CodeSvrGroupNotFound)
			x.wants(t, "im.quitGroup", named(kind), protocol.CodeSvrGroupNotFound)
			x.wants(t, "im.joinGroup", join(kind), protocol.CodeSvrGroupNotFound)
			if a := owner.append(toGroup(kind, "x"))[0]; a.Code != protocol.CodeSvrGroupNotFound {
				t.Errorf("a message to a dismissed %s: %+v", kind, a)
			}
		}
		if a := x.append(toGroup("Work", "x"))[0]; a.Code != protocol.CodeSvrGroupPermissionDeny {
			t.Errorf("a message of a stranger: %+v", a)
		}
		var res protocol.CreateGroupResponse
		if code := owner.call("im.createGroup", protocol.CreateGroupRequest{GroupType: "Work", GroupName: "w"}, &res); code != 0 ||
			!strings.HasPrefix(res.GroupID, protocol.HubGroupPrefix) || !protocol.ValidGroupID(res.GroupID) {
			t.Errorf("a group without an id: %q, code %d", res.GroupID, code)
		}
		owner.wants(t, "im.joinGroup", protocol.JoinGroupRequest{GroupID: "g", Msg: "\x00"}, protocol.CodeInvalidParameters)
	})
}

func TestGroupLimits(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		r := newRig(t, location, func(c *Config) { c.MeetingMembers, c.GroupsPerUser, c.GroupNameBytes = 2, 3, 12 })
		owner, x, y := r.online("owner", "t"), r.online("x", "t"), r.online("y", "t")
		owner.wants(t, "im.createGroup", create("123456789", "Meeting"), protocol.CodeGroupInvalidName)
		owner.wants(t, "im.createGroup", create("m", "Meeting"), 0)
		x.wants(t, "im.joinGroup", join("m"), 0)
		y.wants(t, "im.joinGroup", join("m"), protocol.CodeSvrGroupFullMemberCount)
		x.wants(t, "im.quitGroup", named("m"), 0)
		y.wants(t, "im.joinGroup", join("m"), 0)
		owner.wants(t, "im.createGroup", create("p", "Public"), 0)
		owner.wants(t, "im.createGroup", create("a", "AVChatRoom"), 0)
		owner.wants(t, "im.createGroup", create("b", "Work"), protocol.CodeSvrGroupCountLimit)
		y.wants(t, "im.createGroup", create("c", "AVChatRoom"), 0)
		owner.wants(t, "im.joinGroup", join("c"), protocol.CodeSvrGroupCountLimit)
		for i, opt := range []protocol.AddOpt{protocol.AddNobody, protocol.AddFree} {
			r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
				g, err := tx.LockGroup(ctx, r.app, "p")
				g.AddOpt = opt
				if err == nil {
					err = tx.UpdateGroup(ctx, r.app, g)
				}
				return err
			})
			want := []protocol.Code{protocol.CodeSvrGroupPermissionDeny, 0}[i]
			x.wants(t, "im.joinGroup", join("p"), want)
		}
		if a := x.append(toGroup("p", "hello"))[0]; a.Code != 0 {
			t.Errorf("a new member's message: %+v", a)
		}
	})
}

// What members read of a group's log, and from where.
func TestGroupLog(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		owner, second, x := r.online("owner", "t1"), r.online("owner", "t2"), r.online("x", "t")
		owner.mustCall("im.createGroup", create("m", protocol.GroupMeeting))
		if got := second.pushed(); !reflect.DeepEqual(got, []string{"group:m:1 tip 1 owner"}) {
			t.Errorf("the owner's other terminal gets %q", got)
		}
		owner.append(toGroup("m", "early"), toGroup("m", "bird"))
		second.pushed()
		x.mustCall("im.joinGroup", join("m"))
		if got := second.pushed(); !reflect.DeepEqual(got, []string{"group:m:4 tip 3 x"}) && !reflect.DeepEqual(got, []string{"group:m:4 tip 2 x"}) {
			t.Errorf("the owner gets %q", got)
		}
		if got := x.pull(protocol.Pull{Log: "group:m", Fresh: true}); got.From != 3 || got.Head != 4 || len(got.Entries) != 1 || bodyOf(t, got.Entries[0]) != "tip 2 x" {
			t.Errorf("a new member begins with %+v", got)
		}
		if got := x.pull(protocol.Pull{Log: "group:m"}); got.From != 0 || len(got.Entries) != 4 {
			t.Errorf("history of a Meeting: %+v", got)
		}
		if _, heads := x.hello(); len(heads) != 1 || heads[0] != (protocol.Head{Log: "group:m", Seq: 4, Start: 3}) {
			t.Errorf("heads %v", heads)
		}
		ack := x.append(toGroup("m", "hi"))[0]
		if ack.Log != "group:m" || ack.Seq != 5 {
			t.Errorf("ack %+v", ack)
		}
		owner.until(func(f *protocol.Frame) bool {
			return f.Push != nil && strings.HasSuffix(entriesOf(t, f.Push)[0], "5 hi")
		})
		x.mustCall("im.quitGroup", named("m"))
		owner.append(toGroup("m", "behind his back")) // 7, the tip is 6
		if got := x.pull(protocol.Pull{Log: "group:m", After: 5}); got.Head != 6 || len(got.Entries) != 1 || bodyOf(t, got.Entries[0]) != "tip 3 x" {
			t.Errorf("after leaving: %+v", got)
		}
		if got := x.pull(protocol.Pull{Log: "group:m", After: 6}); got.Code != 0 || len(got.Entries) != 0 {
			t.Errorf("beyond leaving: %+v", got)
		}
		x.mustCall("im.joinGroup", join("m")) // 8
		if got := x.pull(protocol.Pull{Log: "group:m", After: 6}); got.From != 7 || len(got.Entries) != 1 || bodyOf(t, got.Entries[0]) != "tip 2 x" {
			t.Errorf("after coming back: %+v", got)
		}
		owner.mustCall("im.dismissGroup", named("m")) // 9
		if got := x.pull(protocol.Pull{Log: "group:m", After: 8}); got.Head != 9 || len(got.Entries) != 1 || bodyOf(t, got.Entries[0]) != "tip 4 owner" {
			t.Errorf("after the end: %+v", got)
		}
		stranger := r.online("stranger", "t")
		if got := stranger.pull(protocol.Pull{Log: "group:m"}); got.Code != protocol.CodeSvrGroupNotFound {
			t.Errorf("a stranger and a dismissed group: %+v", got)
		}
		// The id is free again, and what was said under it stays with those who were there.
		stranger.mustCall("im.createGroup", create("m", protocol.GroupMeeting)) // 10
		if got := stranger.pull(protocol.Pull{Log: "group:m"}); got.From != 9 || got.Head != 10 || len(got.Entries) != 1 {
			t.Errorf("the new group of an old id: %+v", got)
		}
		later := r.online("later", "t")
		later.mustCall("im.joinGroup", join("m")) // 11
		if got := later.pull(protocol.Pull{Log: "group:m"}); got.From != 9 || got.Head != 11 || len(got.Entries) != 2 {
			t.Errorf("history of the new group of an old id: %+v", got)
		}
		if got := x.pull(protocol.Pull{Log: "group:m", After: 3}); got.Head != 9 {
			t.Errorf("the old member and the new group: %+v", got)
		}
	})
}

func TestWorkGroupIsInherited(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		owner, x, y := r.online("owner", "t"), r.online("x", "t"), r.online("y", "t")
		owner.mustCall("im.createGroup", create("w", protocol.GroupWork))
		r.letIn("w", "y")
		r.letIn("w", "x")
		x.append(toGroup("w", "hello"))
		owner.mustCall("im.quitGroup", named("w"))
		var got []string
		for len(got) < 3 {
			got = append(got, y.pushed()...)
		}
		if !reflect.DeepEqual(got, []string{"group:w:2 hello", "group:w:3 tip 3 owner", "group:w:4 tip 5 y"}) {
			t.Errorf("y gets %q", got)
		}
		if g, err := r.store.Group(t.Context(), r.app, "w"); err != nil || g.Owner != "y" || g.Members != 2 {
			t.Errorf("group = %+v, %v", g, err)
		}
		if got := owner.pull(protocol.Pull{Log: "group:w"}); got.Head != 3 {
			t.Errorf("who has left reads up to %d", got.Head)
		}
		if got := x.pull(protocol.Pull{Log: "group:w"}); got.From != 1 {
			t.Errorf("a later member reads from %d", got.From)
		}
		x.mustCall("im.quitGroup", named("w"))
		y.mustCall("im.quitGroup", named("w"))
		if got := y.pull(protocol.Pull{Log: "group:w", After: 5}); len(got.Entries) != 2 || bodyOf(t, got.Entries[1]) != "tip 4 y" {
			t.Errorf("the last one out: %+v", got)
		}
		y.wants(t, "im.quitGroup", named("w"), protocol.CodeSvrGroupNotFound)
	})
}

func TestLiveRoom(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		owner, x1, x2 := r.online("owner", "t"), r.online("x", "t1"), r.online("x", "t2")
		rooms := func(x *term) []protocol.LiveRoom {
			t.Helper()
			return *x.until(func(f *protocol.Frame) bool { return f.Signal != nil && f.Signal.Rooms != nil }).Signal.Rooms
		}
		owner.mustCall("im.createGroup", create("room", protocol.GroupAVChatRoom))
		x1.mustCall("im.joinGroup", join("room"))
		in := rooms(x2)
		if len(in) != 1 || in[0].Group != "room" || in[0].Epoch == 0 {
			t.Errorf("rooms %v", in)
		}
		if w, _ := x1.hello(); !reflect.DeepEqual(w.Live, in) {
			t.Errorf("welcome lists %v", w.Live)
		}
		topic := protocol.TopicLive(r.app, "room", in[0].Epoch)
		r.live[topic] = []*term{x1, x2, owner}
		ack := owner.append(toGroup("room", "hello"))[0]
		if ack.Code != 0 || ack.Log != "" || ack.Time == 0 {
			t.Errorf("ack %+v", ack)
		}
		f := x1.until(func(f *protocol.Frame) bool { return f.Signal != nil })
		s := f.Signal
		m, err := protocol.DecodeMessage(s.Body)
		if err != nil || m.Text != "hello" || s.Group != "room" || s.From != "owner" || s.Term != "t" || s.Rooms != nil || f.Exp <= s.Time ||
			s.MsgID != protocol.MsgID(protocol.MsgIDPrefix(r.app, "owner", "t", 1), 1) {
			t.Errorf("signal %+v", s)
		}
		owner.first = 1
		owner.append(toGroup("room", "hello")) // repeated
		x1.quiet()
		if _, err := r.store.Log(t.Context(), r.app, "group:room"); err == nil {
			t.Error("a live room has a log")
		}
		x2.until(func(f *protocol.Frame) bool { return f.Signal != nil })
		x2.mustCall("im.quitGroup", named("room"))
		if in := rooms(x1); in == nil || len(in) != 0 {
			t.Errorf("rooms after quitting: %v", in)
		}
		owner.append(toGroup("room", "not for x"))
		x1.quiet() // its subscription was ended, not only its membership
		x1.mustCall("im.joinGroup", join("room"))
		rooms(x2)
		owner.mustCall("im.dismissGroup", named("room"))
		if in := rooms(x1); len(in) != 0 {
			t.Errorf("rooms after the end: %v", in)
		}
		if g, err := r.store.Group(t.Context(), r.app, "room"); err != nil || g.LiveEpoch == in[0].Epoch {
			t.Errorf("the room's topic is that of before its end: %+v, %v", g, err)
		}
		if r.MaySubscribe(x1.peer, topic) {
			t.Error("the room of old may still be listened to")
		}
		owner.mustCall("im.createGroup", create("room", protocol.GroupAVChatRoom))
		if w, _ := owner.hello(); len(w.Live) != 1 || w.Live[0].Epoch == in[0].Epoch {
			t.Errorf("the new room has the old one's topic: %v", w.Live)
		}
	})
}

// model is what groups should be, in the simplest words.
type model struct {
	groups map[string]*modelGroup
}

type modelGroup struct {
	kind    string
	members []string // the owner first only by chance; in order of joining
	owner   string
}

func (m *model) run(method, user, id, kind string) protocol.Code {
	g := m.groups[id]
	if method == "im.createGroup" {
		switch {
		case g != nil && g.owner == user:
			return protocol.CodeSvrGroupGroupIDInUsedForSuper
		case g != nil:
			return protocol.CodeSvrGroupGroupIDInUsed
		}
		m.groups[id] = &modelGroup{kind, []string{user}, user}
		return 0
	}
	if g == nil {
		return protocol.CodeSvrGroupNotFound
	}
	at := slices.Index(g.members, user)
	switch method {
	case "im.joinGroup":
		switch {
		case at >= 0:
			return protocol.CodeSvrGroupAlreadyMember
		case g.kind == protocol.GroupWork:
			return protocol.CodeGroupJoinPrivateGroupDeny
		case g.kind == protocol.GroupPublic:
			return 0
		}
		g.members = append(g.members, user)
	case "im.quitGroup":
		switch {
		case at < 0:
			return protocol.CodeSvrGroupPermissionDeny
		case g.owner == user && g.kind != protocol.GroupWork:
			return protocol.CodeSvrGroupSuperNotAllowQuit
		}
		g.members = slices.Delete(g.members, at, at+1)
		if len(g.members) == 0 {
			delete(m.groups, id)
		} else if g.owner == user {
			g.owner = g.members[0]
		}
	case "im.dismissGroup":
		if g.kind == protocol.GroupWork || g.owner != user {
			return protocol.CodeSvrGroupPermissionDeny
		}
		delete(m.groups, id)
	case "send":
		if at < 0 {
			return protocol.CodeSvrGroupPermissionDeny
		}
	case "letIn":
		if at < 0 && g.kind != protocol.GroupAVChatRoom {
			g.members = append(g.members, user)
		}
	}
	return 0
}

func TestGroupsAgainstAModel(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		seed := rand.Uint64()
		rnd := rand.New(rand.NewPCG(seed, 1))
		pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
		m := &model{groups: make(map[string]*modelGroup)}
		terms := make(map[string]*term)
		users := []string{"a", "b", "c", "d", "e"}
		for _, u := range users {
			terms[u] = r.online(u, "t")
		}
		for step := range 1000 {
			user, id := pick(users...), pick("g1", "g2", "g3")
			method := pick("im.createGroup", "im.joinGroup", "im.joinGroup", "im.quitGroup", "im.dismissGroup", "send", "send", "letIn")
			kind := pick(protocol.GroupWork, protocol.GroupWork, protocol.GroupPublic, protocol.GroupMeeting, protocol.GroupAVChatRoom)
			if g := m.groups[id]; method == "im.dismissGroup" && rnd.IntN(3) > 0 || method == "letIn" && (g == nil || g.kind == protocol.GroupAVChatRoom || slices.Contains(g.members, user)) {
				continue
			}
			want := m.run(method, user, id, kind)
			var got protocol.Code
			switch method {
			case "im.createGroup":
				got = terms[user].call(method, create(id, kind), nil)
			case "im.joinGroup":
				got = terms[user].call(method, join(id), nil)
			case "send":
				got = terms[user].append(toGroup(id, "x"))[0].Code
			case "letIn":
				r.letIn(id, user)
			default:
				got = terms[user].call(method, named(id), nil)
			}
			if got != want {
				t.Fatalf("seed %d, step %d: %s %s %s %s: code %d, want %d", seed, step, user, method, id, kind, got, want)
			}
			r.compare(m, id, fmt.Sprintf("seed %d, step %d, after %s %s %s", seed, step, user, method, id))
		}
		for id, g := range m.groups { // of the last entry only those know who are in it now
			if a := terms[g.owner].append(toGroup(id, "last"))[0]; a.Code != 0 {
				t.Errorf("%s: %+v", id, a)
			}
			r.checkReaders(m, id)
		}
	})
}

func (r *rig) compare(m *model, id, when string) {
	r.t.Helper()
	g, err := r.store.Group(r.t.Context(), r.app, id)
	want := m.groups[id]
	if want == nil {
		if err == nil && (!g.Dismissed || g.Members != 0) {
			r.t.Fatalf("%s: %+v is there", when, g)
		}
		return
	}
	list, err2 := r.store.Members(r.t.Context(), r.app, id)
	var members []string
	for _, m := range list {
		members = append(members, m.User)
		if (m.Role == protocol.RoleOwner) != (m.User == want.owner) {
			r.t.Fatalf("%s: role of %s is %d", when, m.User, m.Role)
		}
	}
	if err != nil || err2 != nil || g.Dismissed || g.Type != want.kind || g.Owner != want.owner || g.Members != len(want.members) || !slices.Equal(members, want.members) {
		r.t.Fatalf("%s: %+v with %v, want %+v (%v, %v)", when, g, members, want, err, err2)
	}
}

// checkReaders holds the members, and nobody else, to reach the log's end.
func (r *rig) checkReaders(m *model, id string) {
	r.t.Helper()
	g := m.groups[id]
	if g.kind == protocol.GroupAVChatRoom {
		return
	}
	head := r.head(protocol.GroupLog(id))
	for _, u := range []string{"a", "b", "c", "d", "e"} {
		reader, err := r.store.Reader(r.t.Context(), r.app, u, protocol.GroupLog(id))
		member := slices.Contains(g.members, u)
		if member && (err != nil || reader.Head != head) || !member && err == nil && reader.Head >= head {
			r.t.Errorf("%s: %s (member: %v) reads %+v of %d, %v", id, u, member, reader, head, err)
		}
	}
	es, err := r.store.Entries(r.t.Context(), logID(r, id), 0, head, 1<<20, 1<<30)
	if err != nil || uint64(len(es)) != head {
		r.t.Errorf("%s: %d entries of %d, %v", id, len(es), head, err)
	}
}

func logID(r *rig, group string) store.LogID {
	l, err := r.store.Log(r.t.Context(), r.app, protocol.GroupLog(group))
	if err != nil {
		r.t.Fatal(err)
	}
	return l.ID
}

// TestWorkGroupIsNotSilent: a Work group cannot be made silent, which nobody in it
// could undo.
func TestWorkGroupIsNotSilent(t *testing.T) {
	r := newRig(t, sqlite(t))
	ann := r.online("ann", "t")
	for _, kind := range []string{protocol.GroupWork, protocol.GroupPublic, protocol.GroupMeeting, protocol.GroupAVChatRoom} {
		want := protocol.Code(0)
		if kind == protocol.GroupWork {
			want = protocol.CodeSvrGroupPermissionDeny
		}
		info := protocol.NewGroup{CreateGroupRequest: protocol.CreateGroupRequest{GroupType: kind, GroupName: "x"}, AllMuted: true}
		if code := ann.call("im.createGroupWithMemberList", protocol.CreateGroupWithMembersRequest{GroupInfo: info}, nil); code != want {
			t.Errorf("%s: code %d, want %d", kind, code, want)
		}
	}
}
