package hub

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

func itemOf(kind protocol.ItemKind, body any) protocol.Item {
	b, err := protocol.Marshal(body)
	if err != nil {
		panic(err)
	}
	return protocol.Item{Kind: kind, Body: b}
}

func readUpTo(log string, seq uint64) protocol.Item {
	return itemOf(protocol.ItemMark, protocol.Mark{Kind: protocol.MarkRead, Log: log, UpTo: seq})
}

func clearUpTo(log string, seq uint64) protocol.Item {
	return itemOf(protocol.ItemMark, protocol.Mark{Kind: protocol.MarkCleared, Log: log, UpTo: seq})
}

func deleteOf(log string, seqs ...uint64) protocol.Item {
	return itemOf(protocol.ItemMark, protocol.Mark{Kind: protocol.MarkDeleted, Log: log, Seqs: seqs})
}

// said is an entry in words.
func said(t testing.TB, log string, e protocol.Entry) string {
	t.Helper()
	what := ""
	switch e.Kind {
	case protocol.EntryMark:
		m, err := protocol.DecodeMark(e.Body)
		if err != nil || e.MsgID != "" {
			t.Errorf("entry %+v: %v", e, err)
		}
		what = fmt.Sprintf("%s: mark %d of %s to %d %v", e.From, m.Kind, m.Log, m.UpTo, m.Seqs)
	case protocol.EntryRevoke:
		m, err := protocol.DecodeRevoke(e.Body)
		if err != nil || m.Log != "" || e.MsgID != "" {
			t.Errorf("entry %+v: %v", e, err)
		}
		what = fmt.Sprintf("%s: takes back %d of %s", e.From, m.Seq, m.Sender)
	case protocol.EntrySignaling:
		what = e.From + ": a step"
	default:
		if what = e.From + ": "; e.RevokedBy != "" {
			if len(e.Body) > 0 {
				t.Errorf("a message that was taken back says %x", e.Body)
			}
			what += "gone by " + e.RevokedBy
		} else {
			what += bodyOf(t, e)
		}
	}
	return fmt.Sprintf("%s:%d %s", log, e.Seq, what)
}

// news waits for a push and returns what it says.
func (x *term) news() []string {
	x.t.Helper()
	var out []string
	for _, l := range x.until(func(f *protocol.Frame) bool { return f.Push != nil }).Push.Logs {
		for _, e := range l.Entries {
			out = append(out, said(x.t, l.Log, e))
		}
	}
	return out
}

func (x *term) hears(want ...string) {
	x.t.Helper()
	var got []string
	for len(got) < len(want) {
		got = append(got, x.news()...)
	}
	if !reflect.DeepEqual(got, want) {
		x.t.Errorf("%s hears %q, want %q", x.peer.ClientID, got, want)
	}
}

// does sends one item and holds its answer to a code and the place of an entry;
// place "" is none.
func (x *term) does(it protocol.Item, code protocol.Code, place string) {
	x.t.Helper()
	a := x.append(it)[0]
	got := ""
	if a.Log != "" {
		got = fmt.Sprintf("%s:%d", a.Log, a.Seq)
	}
	if a.Code != code || got != place || (a.Code != 0) != (a.Msg != "") || a.Time == 0 {
		x.t.Errorf("%s: answer %+v, want code %d at %q", x.peer.ClientID, a, code, place)
	}
}

func (r *rig) reader(user, log string) store.Reader {
	r.t.Helper()
	out, err := r.store.Reader(r.t.Context(), r.app, user, log)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// together has the hub take all that f sends into one transaction, and returns of
// how many jobs that is.
func (r *rig) together(f func()) int {
	r.t.Helper()
	began, release := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- r.act(func(context.Context, Caller) error {
			close(began)
			<-release
			return nil
		})
	}()
	<-began
	f()
	jobs := r.queue.length() // the writer takes all that has gathered
	close(release)
	if err := <-done; err != nil {
		r.t.Fatal(err)
	}
	return jobs
}

func TestMarkRead(t *testing.T) {
	const log = "c2c:alice:bob"
	each(t, func(t *testing.T, r *rig) {
		alice, other := r.online("alice", "a1"), r.online("alice", "a2")
		b1, b2 := r.online("bob", "b1"), r.online("bob", "b2")
		alice.append(c2c("bob", "1"), c2c("bob", "2"), c2c("bob", "3"))
		for _, x := range []*term{other, b1, b2} {
			x.pushed()
		}
		b1.does(readUpTo(log, 2), 0, log+":4")
		for _, x := range []*term{alice, other, b2} {
			x.hears(log + ":4 bob: mark 1 of c2c:alice:bob to 2 []")
		}
		b1.does(readUpTo(log, 1), 0, "") // it never falls
		b1.does(readUpTo(log, 2), 0, "")
		b2.does(readUpTo(log, 1<<40), 0, log+":5") // as far as there is something
		b1.hears(log + ":5 bob: mark 1 of c2c:alice:bob to 4 []")
		alice.hears(log + ":5 bob: mark 1 of c2c:alice:bob to 4 []")
		other.hears(log + ":5 bob: mark 1 of c2c:alice:bob to 4 []")
		b1.does(readUpTo(log, 5), 0, "") // a mark is no message
		alice.does(readUpTo(log, 5), 0, "")
		if got := r.reader("bob", log); got.Read != 5 {
			t.Errorf("bob has read up to %d", got.Read)
		}
		if got := r.reader("alice", log); got.Read != 5 {
			t.Errorf("alice has read up to %d", got.Read)
		}
		alice.does(c2c("alice", "note"), 0, "c2c:alice:alice:1")
		alice.does(readUpTo("c2c:alice:alice", 1), 0, "")
		other.hears("c2c:alice:alice:1 alice: note")
		for _, x := range []*term{alice, other, b1, b2} {
			x.quiet()
		}
	})
}

// In a group nobody else hears who has read.
func TestMarkReadInAGroup(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		owner, x1, x2 := r.online("owner", "t"), r.online("x", "t1"), r.online("x", "t2")
		owner.mustCall("im.createGroup", create("m", protocol.GroupMeeting))
		x1.mustCall("im.joinGroup", join("m"))
		owner.append(toGroup("m", "hi"))
		x1.does(readUpTo("group:m", 9), 0, "user:x:1")
		x2.until(func(f *protocol.Frame) bool { return f.Push != nil && f.Push.Logs[0].Log == "user:x" })
		x1.does(readUpTo("group:m", 9), 0, "")
		owner.append(toGroup("m", "ho"))
		x2.does(readUpTo("group:m", 4), 0, "user:x:2")
		x1.until(func(f *protocol.Frame) bool { return f.Push != nil && f.Push.Logs[0].Log == "user:x" })
		got := x1.pull(protocol.Pull{Log: "user:x"})
		if len(got.Entries) != 2 || said(t, "", got.Entries[0]) != ":1 x: mark 1 of group:m to 3 []" || said(t, "", got.Entries[1]) != ":2 x: mark 1 of group:m to 4 []" {
			t.Errorf("x's own log: %+v", got)
		}
		if _, heads := x1.hello(); !slices.Contains(heads, protocol.Head{Log: "user:x", Seq: 2}) {
			t.Errorf("heads: %v", heads)
		}
		if got := owner.pull(protocol.Pull{Log: "user:x"}); got.Code != protocol.CodeSvrGroupPermissionDeny {
			t.Errorf("another's own log: %+v", got)
		}
	})
}

func TestDeleteAndClear(t *testing.T) {
	const log = "c2c:alice:bob"
	each(t, func(t *testing.T, r *rig) {
		alice, b1, b2 := r.online("alice", "t"), r.online("bob", "b1"), r.online("bob", "b2")
		alice.append(items(1, 6)...)
		b1.pushed()
		b2.pushed()
		b1.does(deleteOf(log, 5, 2, 9, 2), 0, "user:bob:1") // 9 is not there
		b2.hears("user:bob:1 bob: mark 2 of c2c:alice:bob to 0 [2 5]")
		b1.does(deleteOf(log, 5, 2), 0, "")
		b2.does(deleteOf(log, 5, 2, 4, 100), 0, "user:bob:2")
		b1.hears("user:bob:2 bob: mark 2 of c2c:alice:bob to 0 [4]")
		alice.does(deleteOf(log, 6), 0, "user:alice:1") // one's own, too
		b1.does(clearUpTo(log, 3), 0, "user:bob:3")
		b2.hears("user:bob:3 bob: mark 3 of c2c:alice:bob to 3 []")
		b1.does(clearUpTo(log, 3), 0, "")
		b1.does(deleteOf(log, 1, 3), 0, "") // they are gone
		var left []string
		for _, e := range b1.pull(protocol.Pull{Log: log, Before: 100}).Entries {
			left = append(left, bodyOf(t, e))
		}
		if !reflect.DeepEqual(left, []string{"m6"}) {
			t.Errorf("bob is shown %q", left)
		}
		b1.does(clearUpTo(log, 1<<50), 0, "user:bob:4")
		b2.hears("user:bob:4 bob: mark 3 of c2c:alice:bob to 6 []")
		b1.does(clearUpTo(log, 7), 0, "")
		if n := len(alice.pull(protocol.Pull{Log: log, Before: 100}).Entries); n != 5 {
			t.Errorf("alice is shown %d messages", n)
		}
		if n := len(alice.pull(protocol.Pull{Log: log}).Entries); n != 6 { // deleting is for showing: the log is what it is
			t.Errorf("alice's log has %d entries", n)
		}
		alice.does(c2c("bob", "again"), 0, log+":7")
		if got := b1.pull(protocol.Pull{Log: log, Before: 100}); len(got.Entries) != 1 || got.Least != 7 || got.From != 7 {
			t.Errorf("after the next message: %+v", got)
		}
		alice.quiet()
	})
}

func TestMarksThatAreRefused(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.online("bob", "t")
		alice, owner := r.online("alice", "t"), r.online("owner", "t")
		owner.append(c2c("bob", "x"))
		owner.mustCall("im.createGroup", create("m", protocol.GroupMeeting))
		owner.mustCall("im.createGroup", create("room", protocol.GroupAVChatRoom))
		alice.mustCall("im.joinGroup", join("room"))
		for _, c := range []struct {
			it   protocol.Item
			code protocol.Code
		}{
			{readUpTo("c2c:alice:bob", 1), protocol.CodeInvalidParameters}, // nobody has said anything
			{readUpTo("c2c:bob:owner", 1), protocol.CodeInvalidParameters}, // another's
			{deleteOf("c2c:bob:owner", 1), protocol.CodeInvalidParameters},
			{clearUpTo("c2c:bob:owner", 1), protocol.CodeInvalidParameters},
			{readUpTo("user:alice", 1), protocol.CodeInvalidParameters},
			{readUpTo("c2c:alice:\x00", 1), protocol.CodeInvalidParameters},
			{deleteOf("c2c:alice:bob", make([]uint64, 101)...), protocol.CodeInvalidParameters},
			{protocol.Item{Kind: protocol.ItemMark}, protocol.CodeInvalidParameters},
			{protocol.Item{Kind: protocol.ItemMark, Body: text("x")}, protocol.CodeInvalidParameters},
			{readUpTo("group:m", 1), protocol.CodeSvrGroupPermissionDeny},
			{deleteOf("group:m", 1), protocol.CodeSvrGroupPermissionDeny},
			{readUpTo("group:none", 1), protocol.CodeSvrGroupPermissionDeny},
			{readUpTo("group:room", 1), protocol.CodeSvrGroupPermissionDeny},
			{deleteOf("group:room", 1), protocol.CodeSvrGroupNotAllowRemoveMsg},
		} {
			alice.does(c.it, c.code, "")
		}
		alice.quiet()
	})
}

// After leaving, one may still tidy up what one may read.
func TestMarksAfterLeaving(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		owner, x := r.online("owner", "t"), r.online("x", "t")
		owner.mustCall("im.createGroup", create("m", protocol.GroupMeeting)) // 1
		owner.append(toGroup("m", "before"))                                 // 2
		x.mustCall("im.joinGroup", join("m"))                                // 3
		x.mustCall("im.quitGroup", named("m"))                               // 4
		owner.append(toGroup("m", "behind his back"))                        // 5
		x.does(readUpTo("group:m", 5), 0, "user:x:1")
		if got := r.reader("x", "group:m"); got.Read != 4 {
			t.Errorf("read up to %d, which he may not read", got.Read)
		}
		x.does(deleteOf("group:m", 5), 0, "")
		x.does(deleteOf("group:m", 2, 5), 0, "user:x:2")
		owner.mustCall("im.dismissGroup", named("m"))
		x.does(clearUpTo("group:m", 5), 0, "user:x:3")
		if got := r.reader("x", "group:m"); got.Cleared != 4 {
			t.Errorf("deleted up to %d", got.Cleared)
		}
	})
}

// Of two terminals that mark the same in one transaction the first is heard of.
func TestMarksInOneTransaction(t *testing.T) {
	const log = "c2c:alice:bob"
	each(t, func(t *testing.T, r *rig) {
		alice, b1, b2 := r.online("alice", "t"), r.online("bob", "b1"), r.online("bob", "b2")
		alice.append(items(1, 3)...)
		b1.pushed()
		b2.pushed()
		jobs := r.together(func() {
			b1.batch(readUpTo(log, 3), deleteOf(log, 1, 2), clearUpTo(log, 1))
			b2.batch(readUpTo(log, 3), deleteOf(log, 2, 3), clearUpTo(log, 1))
		})
		if jobs != 2 {
			t.Errorf("a transaction of %d batches", jobs)
		}
		places := func(x *term) (out []string) {
			for _, a := range x.acks().Results {
				if a.Code != 0 {
					t.Errorf("%+v", a)
				}
				out = append(out, strings.TrimSuffix(fmt.Sprintf("%s:%d", a.Log, a.Seq), ":0"))
			}
			return out
		}
		if got := places(b1); !reflect.DeepEqual(got, []string{log + ":4", "user:bob:1", "user:bob:2"}) {
			t.Errorf("the first: %q", got)
		}
		if got := places(b2); !reflect.DeepEqual(got, []string{"", "user:bob:3", ""}) {
			t.Errorf("the second: %q", got)
		}
		got := b1.pull(protocol.Pull{Log: "user:bob"})
		var all []string
		for _, e := range got.Entries {
			all = append(all, said(t, "", e))
		}
		if !reflect.DeepEqual(all, []string{":1 bob: mark 2 of c2c:alice:bob to 0 [1 2]", ":2 bob: mark 3 of c2c:alice:bob to 1 []", ":3 bob: mark 2 of c2c:alice:bob to 0 [3]"}) {
			t.Errorf("bob's log: %q", all)
		}
	})
}

// A batch that comes again is answered as before, and does nothing, also by
// another hub.
func TestMarksAndRevokesAgain(t *testing.T) {
	const log = "c2c:alice:bob"
	databases.Each(t, func(t *testing.T, location string) {
		r := newRig(t, location)
		alice, bob := r.online("alice", "t"), r.online("bob", "t")
		alice.append(items(1, 4)...)
		batch := []protocol.Item{
			readUpTo(log, 2), c2c("alice", "x"), deleteOf(log, 1), readUpTo(log, 2), revokeOf(log, bob.id(2)), clearUpTo(log, 1), revokeOf(log, alice.id(1)), {},
		}
		first := bob.append(batch...)
		var codes []protocol.Code
		for _, a := range first {
			codes = append(codes, a.Code)
		}
		if want := []protocol.Code{0, 0, 0, 0, 0, 0, protocol.CodeSvrGroupRevokeMsgDeny, 0}; !reflect.DeepEqual(codes, want) {
			t.Fatalf("codes %v", codes)
		}
		head, own := r.head(log), r.head("user:bob")
		again := func(when string) {
			t.Helper()
			bob.first = 1
			if got := bob.append(batch...); !reflect.DeepEqual(got, first) {
				t.Errorf("%s: %+v, first %+v", when, got, first)
			}
			if r.head(log) != head || r.head("user:bob") != own {
				t.Errorf("%s: the logs have grown", when)
			}
		}
		again("again")
		r.stop()
		r = newRig(t, location)
		bob = r.online("bob", "t")
		again("after a restart")
		if got := r.reader("bob", log); got.Read != 2 || got.Cleared != 1 {
			t.Errorf("after a restart: %+v", got)
		}
		if e := bob.pull(protocol.Pull{Log: log, After: 5, Limit: 1}).Entries; len(e) != 1 || said(t, "", e[0]) != ":6 bob: gone by bob" {
			t.Errorf("after a restart: %+v", e)
		}
	})
}

// After a commit that seemed to fail, all who read the logs are told again.
func TestMarksAreToldAgain(t *testing.T) {
	const log = "c2c:alice:bob"
	r := newRig(t, sqlite(t))
	alice, b1, b2 := r.online("alice", "t"), r.online("bob", "b1"), r.online("bob", "b2")
	owner := r.online("owner", "t")
	owner.mustCall("im.createGroup", create("m", protocol.GroupMeeting)) // 1
	b1.mustCall("im.joinGroup", join("m"))                               // 2
	alice.append(c2c("bob", "1"))
	r.settle()
	for _, x := range []*term{alice, b1, b2, owner} {
		x.mu.Lock()
		x.frames = nil
		x.mu.Unlock()
	}
	batch := []protocol.Item{readUpTo(log, 1), deleteOf(log, 1), toGroup("m", "x"), revokeOf("group:m", b1.id(3)), readUpTo(log, 1)}
	b1.append(batch...)
	check := func() {
		t.Helper()
		alice.hears(log + ":2 bob: mark 1 of c2c:alice:bob to 1 []")
		var got []string
		for len(got) < 4 {
			got = append(got, b2.news()...)
		}
		slices.Sort(got)
		if want := []string{log + ":2 bob: mark 1 of c2c:alice:bob to 1 []", "group:m:3", "group:m:4 bob: takes back 3 of bob", "user:bob:1 bob: mark 2 of c2c:alice:bob to 0 [1]"}; len(got) != 4 ||
			got[0] != want[0] || !strings.HasPrefix(got[1], want[1]) || got[2] != want[2] || got[3] != want[3] {
			t.Errorf("bob's other terminal hears %q", got)
		}
		for seq := 3; seq <= 4; {
			seq += len(owner.news())
		}
		b1.quiet()
	}
	check()
	j := &appendJob{s: r.table.find("bob", "b1"), boot: b1.boot, epoch: 1, base: 1, first: 1, again: true}
	for _, it := range batch {
		j.items = append(j.items, item{Item: it})
	}
	if err := r.queue.push(j); err != nil {
		t.Fatal(err)
	}
	b1.acks()
	check()
}
