package hub

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

// clock is a hub's, for tests to move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// steps are the signaling entries that a terminal is pushed next, as
// "action from list data".
func (x *term) steps(n int) (out []string) {
	x.t.Helper()
	for len(out) < n {
		f := x.until(func(f *protocol.Frame) bool { return f.Push != nil })
		for _, l := range f.Push.Logs {
			for _, e := range l.Entries {
				if e.Kind != protocol.EntrySignaling {
					continue
				}
				s, concerns, err := protocol.DecodeSignaling(e.Body)
				if err != nil || s.BusinessID != 1 || !strings.HasPrefix(e.MsgID, s.InviteID+"-") || !slices.Contains(concerns, s.Inviter) {
					x.t.Errorf("%+v %v", e, err)
				}
				out = append(out, fmt.Sprint(s.ActionType, e.From, s.InviteeList, s.Data))
			}
		}
	}
	return out
}

func (x *term) invite(invitee string, timeout int) string {
	x.t.Helper()
	var res protocol.InviteResponse
	if code := x.call("im.invite", protocol.InviteRequest{Invitee: invitee, Data: "ring", Timeout: &timeout}, &res); code != 0 || res.InviteID == "" {
		x.t.Fatalf("invite: %d", code)
	}
	return res.InviteID
}

func step(id, data string) protocol.InviteStepRequest {
	return protocol.InviteStepRequest{InviteID: id, Data: data}
}

// Every step reaches all terminals of both sides, in one order, and is done once.
func TestInvite(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		door, door2 := r.online("door", "t1"), r.online("door", "t2")
		indoor, indoor2, stranger := r.online("indoor", "t1"), r.online("indoor", "t2"), r.online("stranger", "t")
		id := door.invite("indoor", 30)
		stranger.wants(t, "im.accept", step(id, "me"), protocol.CodeSignalingNoPermission)
		stranger.wants(t, "im.cancel", step(id, "me"), protocol.CodeSignalingNoPermission)
		stranger.wants(t, "im.addInvitedSignaling", protocol.AddInvitedSignalingRequest{InviteID: id}, protocol.CodeSignalingNoPermission)
		stranger.wants(t, "im.getSignalingInfo", protocol.SignalingInfoRequest{InviteID: id}, protocol.CodeSignalingNoPermission)
		indoor.wants(t, "im.cancel", step(id, "me"), protocol.CodeSignalingNoPermission)
		door.wants(t, "im.accept", step(id, "me"), protocol.CodeSignalingNoPermission)
		indoor.wants(t, "im.addInvitedSignaling", protocol.AddInvitedSignalingRequest{InviteID: id}, 0)
		indoor.wants(t, "im.accept", step(id, "coming"), 0)
		for _, x := range []*term{indoor, indoor2} {
			x.wants(t, "im.accept", step(id, "again"), protocol.CodeSignalingInvalidInviteID)
			x.wants(t, "im.reject", step(id, "again"), protocol.CodeSignalingInvalidInviteID)
		}
		door.wants(t, "im.cancel", step(id, "late"), protocol.CodeSignalingInvalidInviteID)
		stranger.quiet()
		second := door2.invite("indoor", 0)
		indoor2.wants(t, "im.reject", step(second, "no"), 0)
		third := indoor.invite("door", 30)
		indoor.wants(t, "im.cancel", step(third, "never mind"), 0)
		door.wants(t, "im.accept", step(third, "late"), protocol.CodeSignalingInvalidInviteID)
		stranger.wants(t, "im.accept", step("ABC", "x"), protocol.CodeSignalingInvalidInviteID)
		want := []string{
			"1 door [indoor] ring", "3 indoor [indoor] coming", "1 door [indoor] ring", "4 indoor [indoor] no",
			"1 indoor [door] ring", "2 indoor [door] never mind",
		}
		e := entriesIn(t, r, "c2c:door:indoor")
		if got := actions(t, e); !reflect.DeepEqual(got, want) {
			t.Errorf("the log: %q", got)
		}
		info := protocol.SignalingInfoRequest{MsgID: e[1].MsgID, UserID: "indoor"}
		var res protocol.SignalingInfoResponse
		if code := door.call("im.getSignalingInfo", info, &res); code != 0 || res.SignalingInfo.ActionType != protocol.SignalingAccept ||
			res.SignalingInfo.Data != "coming" || res.SignalingInfo.InviteID != id || res.SignalingInfo.Inviter != "door" || res.SignalingInfo.Timeout != 30 {
			t.Errorf("%d %+v", code, res)
		}
		if code := indoor.call("im.getSignalingInfo", protocol.SignalingInfoRequest{InviteID: id}, &res); code != 0 || res.SignalingInfo.Data != "ring" {
			t.Errorf("%d %+v", code, res)
		}
		info.UserID = "door"
		stranger.wants(t, "im.getSignalingInfo", info, protocol.CodeSignalingInvalidInviteID)
		info.MsgID = id + "-99"
		indoor.wants(t, "im.getSignalingInfo", info, protocol.CodeSignalingInvalidInviteID)
	})
}

func entriesIn(t *testing.T, r *rig, log string) []protocol.Entry {
	t.Helper()
	l, err := r.store.Log(t.Context(), r.app, log)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := r.store.Entries(t.Context(), l.ID, 0, l.Head, 1000, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func actions(t *testing.T, entries []protocol.Entry) (out []string) {
	t.Helper()
	for _, e := range entries {
		if e.Kind != protocol.EntrySignaling {
			continue
		}
		s, _, err := protocol.DecodeSignaling(e.Body)
		if err != nil {
			t.Error(err)
		}
		out = append(out, fmt.Sprint(s.ActionType, " ", e.From, " ", s.InviteeList, " ", s.Data))
	}
	return out
}

func TestInviteIsPushed(t *testing.T) {
	r := newRig(t, sqlite(t))
	door, door2 := r.online("door", "t1"), r.online("door", "t2")
	indoor := r.online("indoor", "t1")
	id := door.invite("indoor", 30)
	indoor.wants(t, "im.accept", step(id, "yes"), 0)
	if got := door2.steps(2); got[0] != "1door[indoor]ring" || got[1] != "3indoor[indoor]yes" {
		t.Errorf("%q", got)
	}
	id = door.invite("indoor", 30)
	if got := door2.steps(1); got[0] != "1door[indoor]ring" {
		t.Errorf("%q", got)
	}
	if got := indoor.steps(1); got[0] != "1door[indoor]ring" {
		t.Errorf("%q", got)
	}
	door.wants(t, "im.cancel", step(id, "no"), 0)
	if got := door2.steps(1); got[0] != "2door[indoor]no" {
		t.Errorf("%q", got)
	}
}

// In a group each invitee answers for himself; what is open then can be cancelled
// or times out.
func TestInviteInGroup(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		door, a, b, c := r.online("door", "t"), r.online("a", "t"), r.online("b", "t"), r.online("c", "t")
		door.mustCall("im.createGroup", create("g", protocol.GroupMeeting))
		door.mustCall("im.createGroup", create("live", protocol.GroupAVChatRoom))
		for _, x := range []*term{a, b} {
			x.mustCall("im.joinGroup", join("g"))
		}
		in := func(group string, list ...string) protocol.InviteInGroupRequest {
			return protocol.InviteInGroupRequest{GroupID: group, InviteeList: list, Data: "ring"}
		}
		door.wants(t, "im.inviteInGroup", in("none", "a"), protocol.CodeSvrGroupNotFound)
		door.wants(t, "im.inviteInGroup", in("live", "a"), protocol.CodeSvrGroupPermissionDeny)
		door.wants(t, "im.inviteInGroup", in("g", "a", "c"), protocol.CodeInvalidParameters)
		door.wants(t, "im.inviteInGroup", in("g", "door"), protocol.CodeInvalidParameters)
		c.wants(t, "im.inviteInGroup", in("g", "a"), protocol.CodeSvrGroupPermissionDeny)
		invite := func() string {
			t.Helper()
			var res protocol.InviteResponse
			if code := door.call("im.inviteInGroup", in("g", "a", "b"), &res); code != 0 {
				t.Fatal(code)
			}
			return res.InviteID
		}
		id := invite()
		a.wants(t, "im.accept", step(id, "a"), 0)
		door.wants(t, "im.cancel", step(id, "enough"), 0)
		b.wants(t, "im.accept", step(id, "b"), protocol.CodeSignalingInvalidInviteID)
		id = invite()
		b.wants(t, "im.reject", step(id, "b"), 0)
		a.wants(t, "im.reject", step(id, "a"), 0)
		door.wants(t, "im.cancel", step(id, "late"), protocol.CodeSignalingInvalidInviteID)
		id = invite()
		b.mustCall("im.quitGroup", named("g"))
		b.wants(t, "im.accept", step(id, "b"), protocol.CodeSignalingNoPermission)
		want := []string{
			"1 door [a b] ring", "3 a [a] a", "2 door [b] enough", "1 door [a b] ring", "4 b [b] b", "4 a [a] a", "1 door [a b] ring",
		}
		if got := actions(t, entriesIn(t, r, "group:g")); !reflect.DeepEqual(got, want) {
			t.Errorf("%q", got)
		}
		door.mustCall("im.dismissGroup", named("g"))
		a.wants(t, "im.accept", step(id, "a"), protocol.CodeSignalingNoPermission)
		c.mustCall("im.createGroup", create("g", protocol.GroupMeeting)) // whose members it is nothing to
		door.wants(t, "im.cancel", step(id, "gone"), 0)
		door.wants(t, "im.cancel", step(id, "gone"), protocol.CodeSignalingInvalidInviteID)
		if got := actions(t, entriesIn(t, r, "group:g")); !reflect.DeepEqual(got, want) {
			t.Errorf("in the new group: %q", got)
		}
	})
}

// An invitation times out once, by the hub's clock, also one whose time ran out
// while no hub ran.
func TestInviteTimesOut(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		c := &clock{at: time.Now()}
		r := newRig(t, location, func(cfg *Config) { cfg.Now = c.now })
		door, indoor := r.online("door", "t"), r.online("indoor", "t")
		id := door.invite("indoor", 30)
		c.pass(29 * time.Second)
		r.lookAtTimeouts()
		r.settle()
		c.pass(time.Second)
		indoor.wants(t, "im.accept", step(id, "late"), protocol.CodeSignalingInvalidInviteID) // whether or not the timer came by
		r.lookAtTimeouts()
		if got := door.steps(1); got[0] != "5door[indoor]" {
			t.Errorf("%q", got)
		}
		never := door.invite("indoor", 0)
		meanwhile := door.invite("indoor", 60)
		r.stop()
		c.pass(time.Hour)
		r = newRig(t, location, func(cfg *Config) { cfg.Now = c.now })
		indoor = r.online("indoor", "t")
		for i := range 1000 { // the timer's goroutine has begun by itself
			if len(actions(t, entriesIn(t, r, "c2c:door:indoor"))) == 5 {
				break
			}
			if i == 999 {
				t.Error("what ran out meanwhile is not timed out")
			}
			time.Sleep(5 * time.Millisecond)
		}
		indoor.wants(t, "im.accept", step(meanwhile, "late"), protocol.CodeSignalingInvalidInviteID)
		indoor.wants(t, "im.accept", step(never, "at last"), 0)
		c.pass(keepInvites + time.Hour)
		door = r.online("door", "t")
		last := door.invite("indoor", 1)
		c.pass(time.Minute)
		r.lookAtTimeouts()
		door.steps(1)
		r.settle()
		if _, err := r.store.Invite(t.Context(), r.app, id); err == nil {
			t.Error("an invitation of a month ago is kept")
		}
		if i, err := r.store.Invite(t.Context(), r.app, last); err != nil || i.Open != 0 {
			t.Errorf("%+v, %v", i, err)
		}
	})
}

// Of steps that are taken at once, one is done: whatever each caller hears, the
// log says the same.
func TestInviteRaces(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		door := r.online("door", "t")
		in1, in2 := r.online("indoor", "t1"), r.online("indoor", "t2")
		for range 30 {
			id := door.invite("indoor", 30)
			codes := make([]protocol.Code, 3)
			var wg sync.WaitGroup
			for i, f := range []func() protocol.Code{
				func() protocol.Code { return door.call("im.cancel", step(id, "c"), nil) },
				func() protocol.Code { return in1.call("im.accept", step(id, "a"), nil) },
				func() protocol.Code { return in2.call("im.reject", step(id, "r"), nil) },
			} {
				wg.Go(func() { codes[i] = f() })
			}
			wg.Wait()
			won := 0
			for _, c := range codes {
				if c == 0 {
					won++
				} else if c != protocol.CodeSignalingInvalidInviteID {
					t.Errorf("codes %v", codes)
				}
			}
			if won != 1 {
				t.Fatalf("%d have won: %v", won, codes)
			}
		}
		if n := len(actions(t, entriesIn(t, r, "c2c:door:indoor"))); n != 60 {
			t.Errorf("%d steps of 30 invitations", n)
		}
	})
}

func TestInviteLimits(t *testing.T) {
	r := newRig(t, sqlite(t))
	door, indoor := r.online("door", "t"), r.online("indoor", "t")
	door.wants(t, "im.invite", protocol.InviteRequest{Invitee: "door", Data: "x"}, protocol.CodeInvalidParameters)
	door.wants(t, "im.invite", protocol.InviteRequest{Invitee: "nobody", Data: "x"}, protocol.CodeSvrMsgToAccountNotFound)
	door.wants(t, "im.invite", protocol.InviteRequest{Invitee: "indoor", Data: strings.Repeat("\"", 5000)}, protocol.CodeMsgBodySizeLimit)
	var first string
	for range protocol.MaxOpenInvites {
		first = door.invite("indoor", 0)
	}
	door.wants(t, "im.invite", protocol.InviteRequest{Invitee: "indoor", Data: "x"}, protocol.CodeNetReqCountLimit)
	indoor.wants(t, "im.reject", step(first, "x"), 0)
	door.invite("indoor", 0)
	// An item of a terminal's cannot pass for a step.
	body, err := protocol.EncodeSignaling(protocol.SignalingStep{InviteID: first, Inviter: "indoor", InviteeList: []string{"door"}, ActionType: 1}, []string{"door"})
	if err != nil {
		t.Fatal(err)
	}
	indoor.append(protocol.Item{Kind: protocol.ItemC2C, To: "door", Body: body})
	e := entriesIn(t, r, "c2c:door:indoor")
	if last := e[len(e)-1]; last.Kind != protocol.EntryMessage {
		t.Errorf("%+v", last)
	}
}
