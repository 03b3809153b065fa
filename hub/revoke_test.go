package hub

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// id is the message id of the terminal's item.
func (x *term) id(n uint64) string {
	return protocol.MsgID(protocol.MsgIDPrefix(x.r.app, x.login.user, x.login.terminal, x.epoch), n)
}

func revokeOf(log, msgID string) protocol.Item {
	return itemOf(protocol.ItemRevoke, protocol.Revoke{Log: log, MsgID: msgID})
}

func TestRevoke(t *testing.T) {
	const log = "c2c:alice:bob"
	databases.Each(t, func(t *testing.T, location string) {
		c := &clock{at: time.Now()}
		r := newRig(t, location, func(cfg *Config) { cfg.Now = c.now })
		a1, a2, bob, carol := r.online("alice", "a1"), r.online("alice", "a2"), r.online("bob", "t"), r.online("carol", "t")
		a1.append(c2c("bob", "secret"), c2c("bob", "late"))
		a2.pushed()
		bob.pushed()
		c.pass(2 * time.Minute) // still within
		bob.does(revokeOf(log, a1.id(1)), protocol.CodeSvrGroupRevokeMsgDeny, "")
		carol.does(revokeOf(log, a1.id(1)), protocol.CodeInvalidParameters, "") // she does not read it
		a2.does(revokeOf(log, a1.id(1)), 0, log+":3")
		for _, x := range []*term{a1, bob} {
			x.hears(log + ":3 alice: takes back 1 of alice")
		}
		want := []string{log + ":1 alice: gone by alice", log + ":2 alice: late", log + ":3 alice: takes back 1 of alice"}
		var got []string
		for _, e := range bob.pull(protocol.Pull{Log: log}).Entries {
			got = append(got, said(t, log, e))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the log has %q", got)
		}
		if e := bob.pull(protocol.Pull{Log: log, Before: 9}).Entries; len(e) != 2 || said(t, log, e[1]) != want[0] || e[1].MsgID != a1.id(1) {
			t.Errorf("history has %+v", e)
		}
		c.pass(time.Second)
		a1.does(revokeOf(log, a1.id(1)), 0, "") // it is as he wants it
		bob.does(revokeOf(log, a1.id(1)), protocol.CodeSvrGroupRevokeMsgDeny, "")
		a1.does(revokeOf(log, a1.id(2)), protocol.CodeRevokeTimeLimitExceed, "")
		a1.does(revokeOf(log, a1.id(77)), protocol.CodeInvalidParameters, "")
		a1.does(revokeOf("c2c:alice:carol", a1.id(2)), protocol.CodeInvalidParameters, "")
		a1.does(revokeOf("user:alice", a1.id(2)), protocol.CodeInvalidParameters, "")
		a1.does(revokeOf("", a1.id(2)), protocol.CodeInvalidParameters, "")
		a1.does(revokeOf(log, "x"), protocol.CodeInvalidParameters, "")
		a1.does(protocol.Item{Kind: protocol.ItemRevoke}, protocol.CodeInvalidParameters, "")
		var invited protocol.InviteResponse
		if code := a1.call("im.invite", protocol.InviteRequest{Invitee: "bob", Data: "x"}, &invited); code != 0 {
			t.Fatal(code)
		}
		step := bob.until(func(f *protocol.Frame) bool { return f.Push != nil }).Push.Logs[0].Entries[0]
		a1.does(revokeOf(log, step.MsgID), protocol.CodeSvrGroupNotAllowRevokeMsg, "")
	})
}

func TestRevokeInAGroup(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		c := &clock{at: time.Now()}
		r := newRig(t, location, func(cfg *Config) { cfg.Now, cfg.RevokeWindow = c.now, time.Minute })
		owner, admin, x, y := r.online("owner", "t"), r.online("admin", "t"), r.online("x", "t"), r.online("y", "t")
		owner.mustCall("im.createGroup", create("m", protocol.GroupMeeting)) // 1
		for _, u := range []*term{admin, x, y} {                             // 2, 3, 4
			u.mustCall("im.joinGroup", join("m"))
		}
		r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
			return tx.UpdateMember(ctx, r.app, "m", store.Member{User: "admin", Role: protocol.RoleAdmin})
		})
		x.append(toGroup("m", "5"), toGroup("m", "6"), toGroup("m", "7"), toGroup("m", "8"))
		y.mustCall("im.quitGroup", named("m")) // 9
		y.does(revokeOf("group:m", x.id(1)), protocol.CodeSvrGroupPermissionDeny, "")
		x.does(revokeOf("group:m", x.id(1)), 0, "group:m:10")
		c.pass(time.Minute + time.Second)
		x.does(revokeOf("group:m", x.id(2)), protocol.CodeSvrGroupRevokeMsgTimeLimit, "")
		x.does(revokeOf("group:m", owner.id(2)), protocol.CodeSvrGroupRevokeMsgNotFound, "")
		admin.does(revokeOf("group:m", x.id(2)), 0, "group:m:11")
		owner.does(revokeOf("group:m", x.id(3)), 0, "group:m:12")
		admin.does(revokeOf("group:m", x.id(3)), 0, "")
		owner.append(toGroup("m", "13"))
		x.does(revokeOf("group:m", owner.id(2)), protocol.CodeSvrGroupRevokeMsgDeny, "")
		owner.does(revokeOf("group:none", owner.id(2)), protocol.CodeSvrGroupNotFound, "")
		owner.mustCall("im.createGroup", create("room", protocol.GroupAVChatRoom))
		owner.does(revokeOf("group:room", owner.id(2)), protocol.CodeSvrGroupNotAllowRevokeMsg, "")
		want := []string{":5 x: gone by x", ":6 x: gone by admin", ":7 x: gone by owner", ":8 x: 8", ":9 y: tip 3 y",
			":10 x: takes back 5 of x", ":11 admin: takes back 6 of x", ":12 owner: takes back 7 of x", ":13 owner: 13"}
		var got []string
		for _, e := range x.pull(protocol.Pull{Log: "group:m", After: 4}).Entries {
			got = append(got, said(t, "", e))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the log has %q", got)
		}
		// y is told of nothing after the leaving.
		r.settle()
		y.mu.Lock()
		for _, f := range y.frames {
			if f.Push != nil {
				for _, e := range f.Push.Logs[0].Entries {
					if e.Seq > 9 {
						t.Errorf("y hears of %s", said(t, "", e))
					}
				}
			}
		}
		y.mu.Unlock()
		owner.mustCall("im.dismissGroup", named("m"))
		owner.does(revokeOf("group:m", owner.id(2)), protocol.CodeSvrGroupNotFound, "")
	})
}

// Who came later cannot take back what he cannot read.
func TestRevokeBeforeJoining(t *testing.T) {
	r := newRig(t, sqlite(t))
	owner := r.online("owner", "t")
	owner.mustCall("im.createGroup", create("w", protocol.GroupWork)) // 1
	owner.append(toGroup("w", "2"))
	admin := r.online("admin", "t")
	r.letIn("w", "admin")
	r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
		return tx.UpdateMember(ctx, r.app, "w", store.Member{User: "admin", Role: protocol.RoleAdmin})
	})
	admin.does(revokeOf("group:w", owner.id(1)), protocol.CodeSvrGroupRevokeMsgNotFound, "")
}

// A message and what takes it back may come in one batch, among others.
func TestRevokeInOneTransaction(t *testing.T) {
	const log = "c2c:alice:bob"
	each(t, func(t *testing.T, r *rig) {
		bob, a1, a2 := r.online("bob", "t"), r.online("alice", "a1"), r.online("alice", "a2")
		if jobs := r.together(func() {
			bob.batch(c2c("alice", "hello"))
			a1.batch(c2c("bob", "one"), revokeOf(log, a1.id(1)), c2c("alice", "note"), c2c("bob", "two"), revokeOf(log, bob.id(1)), revokeOf(log, a1.id(4)))
			a2.batch(revokeOf(log, a1.id(1)), c2c("bob", "three"), revokeOf(log, a2.id(2)))
		}); jobs != 3 {
			t.Errorf("a transaction of %d batches", jobs)
		}
		var places []uint64
		for _, x := range []*term{bob, a1, a2} {
			for _, a := range x.acks().Results {
				places = append(places, uint64(a.Code)*1000+a.Seq)
			}
		}
		if want := []uint64{1, 2, 3, 1, 4, 10032000, 5, 0, 6, 7}; !reflect.DeepEqual(places, want) {
			t.Errorf("answers %v", places)
		}
		next := uint64(2)
		for next <= 7 {
			for _, l := range bob.until(func(f *protocol.Frame) bool { return f.Push != nil }).Push.Logs {
				for _, e := range l.Entries {
					if e.Seq != next {
						t.Errorf("entry %d is pushed where %d is next", e.Seq, next)
					}
					next = e.Seq + 1
				}
			}
		}
		want := []string{":1 bob: hello", ":2 alice: gone by alice", ":3 alice: takes back 2 of alice", ":4 alice: gone by alice",
			":5 alice: takes back 4 of alice", ":6 alice: gone by alice", ":7 alice: takes back 6 of alice"}
		var got []string
		for _, e := range bob.pull(protocol.Pull{Log: log}).Entries {
			got = append(got, said(t, "", e))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the log has %q", got)
		}
		// A repeat of it does nothing more.
		a1.first = 1
		a1.append(c2c("bob", "one"), revokeOf(log, a1.id(1)))
		if n := r.head(log); n != 7 {
			t.Errorf("%d entries", n)
		}
	})
}

func TestIDNumber(t *testing.T) {
	r := newRig(t, sqlite(t))
	bob, alice := r.online("bob", "t"), r.online("alice", "t")
	numbered := func(epoch uint32, n uint64) protocol.Item {
		it := c2c("bob", "x")
		it.IDEpoch, it.IDNumber = epoch, n
		return it
	}
	alice.epoch = 5
	alice.does(numbered(0, protocol.FirstIDNumber-1), protocol.CodeInvalidParameters, "")
	alice.does(numbered(0, protocol.FirstIDNumber), 0, "c2c:alice:bob:1")
	alice.does(numbered(3, protocol.FirstIDNumber+7), 0, "c2c:alice:bob:2")
	alice.does(numbered(3, 0), 0, "c2c:alice:bob:3")
	for _, want := range []string{
		protocol.MsgID(protocol.MsgIDPrefix(r.app, "alice", "t", 5), protocol.FirstIDNumber),
		protocol.MsgID(protocol.MsgIDPrefix(r.app, "alice", "t", 3), protocol.FirstIDNumber+7),
		protocol.MsgID(protocol.MsgIDPrefix(r.app, "alice", "t", 3), 4),
	} {
		if e := bob.until(func(f *protocol.Frame) bool { return f.Push != nil }).Push.Logs[0].Entries[0]; e.MsgID != want {
			t.Errorf("the message is %s, want %s", e.MsgID, want)
		}
	}
	low := toGroup("none", "x")
	low.Priority = 4
	alice.does(low, protocol.CodeInvalidParameters, "")
	low.Priority = 3
	alice.does(low, protocol.CodeSvrGroupNotFound, "")
}
