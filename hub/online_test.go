package hub

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
)

func online(user, group, s string) protocol.SendOnlineRequest {
	return protocol.SendOnlineRequest{UserID: user, GroupID: group, Message: text(s), IDEpoch: 3, IDNumber: protocol.FirstIDNumber + 5}
}

// heard waits for a signal and says what is in it.
func (x *term) heard() string {
	x.t.Helper()
	f := x.until(func(f *protocol.Frame) bool { return f.Signal != nil && f.Signal.Rooms == nil })
	s := f.Signal
	m, err := protocol.DecodeMessage(s.Body)
	if err != nil || f.Exp != s.Time+10_000 || s.To != "" || !s.Online {
		x.t.Errorf("signal %+v until %d: %v", s, f.Exp, err)
	}
	if want := protocol.MsgID(protocol.MsgIDPrefix(x.r.app, s.From, s.Term, 3), protocol.FirstIDNumber+5); s.MsgID != want {
		x.t.Errorf("message %s, want %s", s.MsgID, want)
	}
	return fmt.Sprintf("%s/%s to %s%s: %s", s.From, s.Term, s.Peer, s.Group, m.Text)
}

func (x *term) hearsOnline(want string) {
	x.t.Helper()
	if got := x.heard(); got != want {
		x.t.Errorf("%s hears %q, want %q", x.peer.ClientID, got, want)
	}
}

func TestSendOnline(t *testing.T) {
	const method = "device.sendOnline"
	each(t, func(t *testing.T, r *rig) {
		a1, a2, b1, b2, carol := r.online("alice", "a1"), r.online("alice", "a2"), r.online("bob", "b1"), r.online("bob", "b2"), r.online("carol", "t")
		r.connect("away", "t")
		for _, req := range []protocol.SendOnlineRequest{online("bob", "", "typing"), online("alice", "", "me")} {
			body, err := protocol.Marshal(req)
			if err != nil {
				t.Fatal(err)
			}
			a1.send(&protocol.Frame{Call: &protocol.Call{ID: callIDs.Add(1), Method: method, Body: body}})
			if f := a1.next(); f.Reply == nil || f.Reply.Code != 0 { // and no signal before it
				t.Errorf("the sender gets %s", show(f))
			}
			a2.hearsOnline("alice/a1 to " + req.UserID + ": " + map[bool]string{true: "me", false: "typing"}[req.UserID == "alice"])
		}
		for _, x := range []*term{b1, b2} {
			x.hearsOnline("alice/a1 to bob: typing")
		}
		a1.mustCall(method, online("away", "", "x"))
		a2.hearsOnline("alice/a1 to away: x")
		a1.mustCall("im.createGroup", create("m", protocol.GroupMeeting))
		b1.mustCall("im.joinGroup", join("m"))
		a1.mustCall(method, online("", "m", "all"))
		for _, x := range []*term{a2, b1, b2} {
			x.hearsOnline("alice/a1 to m: all")
		}
		if n := r.head("group:m"); n != 2 {
			t.Errorf("the group's log has %d entries", n)
		}
		if heads := r.heads("alice"); len(heads) != 1 { // the group
			t.Errorf("alice reads %v", heads)
		}
		a1.mustCall("im.createGroup", create("room", protocol.GroupAVChatRoom))
		b1.mustCall("im.joinGroup", join("room"))
		g, err := r.store.Group(t.Context(), r.app, "room")
		if err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		r.live[protocol.TopicLive(r.app, "room", g.LiveEpoch)] = []*term{b1}
		r.mu.Unlock()
		a1.mustCall(method, online("", "room", "live"))
		b1.hearsOnline("alice/a1 to room: live")
		carol.quiet()

		b1.blacks("im.addToBlackList", "carol")
		wrong := func(change func(*protocol.SendOnlineRequest)) protocol.SendOnlineRequest {
			req := online("bob", "", "x")
			change(&req)
			return req
		}
		for _, c := range []struct {
			req  protocol.SendOnlineRequest
			code protocol.Code
		}{
			{online("bob", "", "x"), protocol.CodeSvrMsgInPeerBlacklist},
			{online("nobody", "", "x"), protocol.CodeSvrMsgToAccountNotFound},
			{online("", "m", "x"), protocol.CodeSvrGroupPermissionDeny},
			{online("", "room", "x"), protocol.CodeSvrGroupPermissionDeny},
			{online("", "none", "x"), protocol.CodeSvrGroupNotFound},
			{online("bob", "m", "x"), protocol.CodeInvalidParameters},
			{online("no/body", "", "x"), protocol.CodeInvalidIdentifier},
			{online("", "\x01", "x"), protocol.CodeGroupInvalidID},
			{online("alice", "", strings.Repeat("x", protocol.MaxTextBytes+1)), protocol.CodeSvrBodySizeLimit},
			{wrong(func(r *protocol.SendOnlineRequest) { r.Message = nil }), protocol.CodeInvalidMsgElem},
			{wrong(func(r *protocol.SendOnlineRequest) { r.IDEpoch = 0 }), protocol.CodeInvalidParameters},
			{wrong(func(r *protocol.SendOnlineRequest) { r.IDNumber = protocol.FirstIDNumber - 1 }), protocol.CodeInvalidParameters},
		} {
			carol.wants(t, method, c.req, c.code)
		}
		carol.wants(t, method, online("alice", "", "x"), 0)
		a1.hearsOnline("carol/t to alice: x")
		a2.hearsOnline("carol/t to alice: x")
		a1.mustCall("im.dismissGroup", named("m"))
		a1.wants(t, method, online("", "m", "x"), protocol.CodeSvrGroupNotFound)
		carol.quiet()
	})
}

// heads lists the logs that an account reads.
func (r *rig) heads(user string) (names []string) {
	r.t.Helper()
	list, err := r.store.Readable(r.t.Context(), r.app, user)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, x := range list {
		names = append(names, x.Log)
	}
	return names
}

// What was stored before an online message is there before it, also at the sender's
// other terminals.
func TestOnlineMessageKeepsItsPlace(t *testing.T) {
	r := newRig(t, sqlite(t))
	r.online("alice", "a1")
	a2, b := r.online("alice", "a2"), r.online("bob", "b")
	stored := &run{log: "c2c:alice:bob", sender: "alice", terminal: "a1", readers: []string{"alice", "bob"}, entries: []*protocol.Entry{
		{Seq: 1, Era: 1, Time: 1, Kind: protocol.EntryMessage, From: "alice", Term: "a1", MsgID: "m", Body: text("first")},
	}}
	second := &onlineMessage{sender: "alice", terminal: "a1", receivers: []string{"alice", "bob"}, signal: protocol.Signal{
		From: "alice", Term: "a1", Peer: "bob", Time: 1, Online: true, MsgID: "n", Body: text("second"),
	}}
	in := make(chan *results, 1)
	in <- &results{out: []emission{stored, second}}
	close(in)
	(&emitter{hub: r.Hub}).run(in)
	for _, x := range []*term{a2, b} {
		if f := x.next(); f.Push == nil {
			t.Errorf("%s gets first %s", x.peer.ClientID, show(f))
		}
		if f := x.next(); f.Signal == nil {
			t.Errorf("%s gets then %s", x.peer.ClientID, show(f))
		}
	}
}

// Who is put out in the same transaction in which he has sent an online message
// writes no more after it: what was asked of the group for the one does not hold for
// the other.
func TestOnlineMessageAndKickInOneTransaction(t *testing.T) {
	r := newRig(t, sqlite(t))
	owner, x := r.online("owner", "t"), r.online("x", "t")
	owner.mustCall("im.createGroup", create("m", protocol.GroupMeeting))
	x.mustCall("im.joinGroup", join("m"))
	begun, release := make(chan struct{}), make(chan struct{})
	held := make(chan error, 1)
	go func() {
		held <- r.act(func(context.Context, Caller) error { close(begun); <-release; return nil })
	}()
	<-begun
	call := func(x *term, method string, req any) {
		t.Helper()
		body, err := protocol.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		x.send(&protocol.Frame{Call: &protocol.Call{ID: callIDs.Add(1), Method: method, Body: body}})
	}
	call(x, "device.sendOnline", online("", "m", "here"))
	call(owner, "im.kickGroupMember", protocol.KickRequest{GroupID: "m", MemberList: []string{"x"}})
	x.batch(toGroup("m", "still here"))
	if n := r.queue.length(); n != 3 {
		t.Errorf("%d jobs have gathered", n)
	}
	close(release)
	if err := <-held; err != nil {
		t.Fatal(err)
	}
	owner.hearsOnline("x/t to m: here")
	if a := x.acks(); a.Results[0].Code != protocol.CodeSvrGroupPermissionDeny {
		t.Errorf("%+v", a.Results)
	}
}
