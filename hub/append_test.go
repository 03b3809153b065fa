package hub

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/herald-im/herald/hub/broker"
	"github.com/herald-im/herald/protocol"
)

func TestMessageReachesAllButTheSender(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		bob := r.online("bob", "b1")
		alice, second := r.online("alice", "a1"), r.online("alice", "a2")
		acks := alice.append(c2c("bob", "one"), c2c("bob", "two"), protocol.Item{})
		for i, a := range acks[:2] {
			if a.Code != 0 || a.Log != "c2c:alice:bob" || a.Seq != uint64(i)+1 || a.Time == 0 {
				t.Errorf("ack %d = %+v", i, a)
			}
		}
		if acks[2] != (protocol.Ack{}) {
			t.Errorf("ack of a void = %+v", acks[2])
		}
		want := []string{"c2c:alice:bob:1 one", "c2c:alice:bob:2 two"}
		f := bob.until(func(f *protocol.Frame) bool { return f.Push != nil })
		if got := entriesOf(t, f.Push); !reflect.DeepEqual(got, want) {
			t.Errorf("bob gets %q", got)
		}
		e := f.Push.Logs[0].Entries[1]
		id := protocol.MsgID(protocol.MsgIDPrefix(r.app, "alice", "a1", 1), 2)
		if e.From != "alice" || e.Term != "a1" || e.MsgID != id || e.Era != 1 || e.Kind != protocol.EntryMessage || e.Time != acks[1].Time {
			t.Errorf("entry %+v", e)
		}
		if got := second.pushed(); !reflect.DeepEqual(got, want) {
			t.Errorf("alice's other terminal gets %q", got)
		}
		alice.quiet()
		bob.quiet()
		second.quiet()
		bob.append(c2c("alice", "three"))
		if got := alice.pushed(); !reflect.DeepEqual(got, []string{"c2c:alice:bob:3 three"}) {
			t.Errorf("alice gets %q", got)
		}
	})
}

func TestAppendToOneself(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		a1, a2 := r.online("a", "t1"), r.online("a", "t2")
		if ack := a1.append(c2c("a", "note"))[0]; ack.Code != 0 || ack.Log != "c2c:a:a" || ack.Seq != 1 {
			t.Errorf("ack = %+v", ack)
		}
		if got := a2.pushed(); !reflect.DeepEqual(got, []string{"c2c:a:a:1 note"}) {
			t.Errorf("the other terminal gets %q", got)
		}
		a1.quiet()
	})
}

func TestItemsAreJudgedOneByOne(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.online("bob", "t")
		alice := r.online("alice", "t")
		long := protocol.Item{Kind: protocol.ItemC2C, To: "bob", Body: text(strings.Repeat("x", protocol.MaxTextBytes+1))}
		want := []protocol.Code{
			0, protocol.CodeSvrMsgToAccountNotFound, protocol.CodeSvrMsgToAccountNotFound, protocol.CodeSvrBodySizeLimit,
			protocol.CodeInvalidMsgElem, protocol.CodeSvrGroupNotFound, protocol.CodeSvrGroupNotFound, protocol.CodeInvalidParameters,
			protocol.CodeInvalidMsgElem, 0,
		}
		acks := alice.append(
			c2c("bob", "1"), c2c("nobody", "2"), c2c("no/body", "3"), long,
			protocol.Item{Kind: protocol.ItemC2C, To: "bob"}, toGroup("none", "x"), toGroup("\x01", "x"),
			protocol.Item{Kind: 77, To: "bob"}, protocol.Item{Kind: protocol.ItemC2C, To: "bob", Body: []byte{0xa0}}, c2c("bob", "2"))
		for i, a := range acks {
			if a.Code != want[i] || (a.Code != 0) != (a.Msg != "") {
				t.Errorf("item %d: %+v, want code %d", i, a, want[i])
			}
		}
		if acks[9].Seq != 2 {
			t.Errorf("the last message has seq %d", acks[9].Seq)
		}
		// The answers of then, also the refusals, once more.
		alice.first = 1
		alice.batch(c2c("bob", "1"), c2c("nobody", "2"), c2c("no/body", "3"), long,
			protocol.Item{Kind: protocol.ItemC2C, To: "bob"}, toGroup("none", "x"), toGroup("\x01", "x"),
			protocol.Item{Kind: 77, To: "bob"}, protocol.Item{Kind: protocol.ItemC2C, To: "bob", Body: []byte{0xa0}}, c2c("bob", "2"))
		if again := alice.acks(); !reflect.DeepEqual(again.Results, acks) {
			t.Errorf("again: %+v, first: %+v", again.Results, acks)
		}
	})
}

// head is the last seq of a log.
func (r *rig) head(log string) uint64 {
	r.t.Helper()
	l, err := r.store.Log(r.t.Context(), r.app, log)
	if err != nil {
		r.t.Fatal(err)
	}
	return l.Head
}

func items(from, to int) []protocol.Item {
	var out []protocol.Item
	for i := from; i <= to; i++ {
		out = append(out, c2c("bob", fmt.Sprint("m", i)))
	}
	return out
}

func TestRepeatsHolesAndEpochs(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		bob := r.online("bob", "t")
		alice := r.online("alice", "t")
		appendAt := func(epoch uint32, base, first uint64, items []protocol.Item) *protocol.Acks {
			t.Helper()
			alice.send(&protocol.Frame{Append: &protocol.Append{Epoch: epoch, Base: base, First: first, Items: items}})
			f := alice.until(func(f *protocol.Frame) bool { return f.Acks != nil || f.Bye != nil })
			if f.Bye != nil && (f.Bye.Code != protocol.CodeNetAuthInvalid || f.Bye.Boot != alice.boot || f.Bye.Msg == "") {
				t.Errorf("bye = %+v", f.Bye)
			}
			return f.Acks
		}
		check := func(a *protocol.Acks, first uint64, seqs ...uint64) {
			t.Helper()
			if a == nil {
				t.Fatal("refused")
			}
			var got []uint64
			for _, x := range a.Results {
				if x.Code != 0 {
					t.Errorf("ack %+v", x)
				}
				got = append(got, x.Seq)
			}
			if a.First != first || !reflect.DeepEqual(got, seqs) {
				t.Errorf("acks from %d: seqs %v, want %v", a.First, got, seqs)
			}
		}
		if appendAt(1, 5, 6, items(6, 6)) != nil {
			t.Error("an epoch that begins behind its base is accepted")
		}
		check(appendAt(1, 5, 5, items(5, 8)), 5, 1, 2, 3, 4)     // begins at its base
		check(appendAt(1, 5, 5, items(5, 8)), 5, 1, 2, 3, 4)     // repeated
		check(appendAt(1, 5, 6, items(6, 7)), 6, 2, 3)           // a part repeated
		check(appendAt(1, 5, 7, items(7, 10)), 7, 3, 4, 5, 6)    // partly repeated
		check(appendAt(1, 5, 7, items(7, 11)), 7, 3, 4, 5, 6, 7) // all of which could come again
		if appendAt(1, 5, 13, items(13, 13)) != nil {
			t.Error("a hole is accepted")
		}
		if a := appendAt(1, 5, 5, items(5, 8)); a == nil || a.Results[0] != (protocol.Ack{}) || a.Results[2].Seq != 3 {
			t.Errorf("a repeat from before the last batch: %+v", a)
		}
		if !r.log.has("repeats items that were answered before") {
			t.Error("no warning of it")
		}
		if n := r.head("c2c:alice:bob"); n != 7 {
			t.Errorf("%d entries", n)
		}
		if appendAt(2, 13, 14, items(14, 14)) != nil {
			t.Error("a new epoch that begins behind its base is accepted")
		}
		check(appendAt(2, 13, 13, items(13, 13)), 13, 8)
		if appendAt(1, 5, 12, items(12, 12)) != nil {
			t.Error("the old epoch is accepted")
		}
		check(appendAt(2, 13, 14, items(14, 14)), 14, 9)
		w, _ := alice.hello()
		if w.Epoch != 2 || w.LastCseq != 14 {
			t.Errorf("welcome says %d, %d", w.Epoch, w.LastCseq)
		}
		var got []string
		for len(got) < 9 {
			got = append(got, bob.pushed()...)
		}
		if len(got) != 9 {
			t.Errorf("bob got %q", got)
		}
		bob.quiet()
	})
}

func TestIDEpochMakesTheMessageID(t *testing.T) {
	r := newRig(t, sqlite(t))
	bob, alice := r.online("bob", "t"), r.online("alice", "t")
	alice.epoch = 5
	it := c2c("bob", "x")
	it.IDEpoch = 3
	alice.append(c2c("bob", "w"), it, c2c("bob", "y"))
	f := bob.until(func(f *protocol.Frame) bool { return f.Push != nil })
	for i, epoch := range []uint32{5, 3, 5} {
		want := protocol.MsgID(protocol.MsgIDPrefix(r.app, "alice", "t", epoch), uint64(i)+1)
		if got := f.Push.Logs[0].Entries[i].MsgID; got != want {
			t.Errorf("message %d is %s, want %s", i, got, want)
		}
	}
}

func TestRecord(t *testing.T) {
	acks := []protocol.Ack{
		{Log: "a", Seq: 1, Time: 9}, {Log: "a", Seq: 2, Time: 9}, {Log: "a", Seq: 4, Time: 9}, {Code: 7, Msg: "no"}, {Code: 7, Msg: "no"},
		{}, {}, {Log: "b", Seq: 3, Time: 9}, {Log: "b", Seq: 4, Time: 10}, {Time: 3}, {Time: 3},
	}
	r := newRecord(8, acks)
	if len(r.Runs) != 7 {
		t.Errorf("%d runs: %+v", len(r.Runs), r.Runs)
	}
	b, err := protocol.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back record
	if err := protocol.Unmarshal(b, &back); err != nil || back.First != 8 || !reflect.DeepEqual(back.acks(), acks) {
		t.Errorf("%+v, %v", back.acks(), err)
	}
}

// What a push holds must be what the protocol would have made of it.
func TestPushEncoding(t *testing.T) {
	entry := func(seq uint64, size int) *protocol.Entry {
		return &protocol.Entry{Seq: seq, Era: 2, Time: 1772366400000, Kind: protocol.EntryMessage, From: "alice", Term: "t1",
			MsgID: "abcdefghijklmnop-1", Priority: 2, Body: text(strings.Repeat("x", size))}
	}
	runs := []*run{
		{log: "c2c:a:b", entries: []*protocol.Entry{entry(1, 10), entry(2, 300)}},
		{log: "group:" + strings.Repeat("g", 40), entries: []*protocol.Entry{entry(7, 8000)}},
		{log: "c2c:a:b", entries: []*protocol.Entry{entry(3, 0)}},
	}
	for _, r := range runs {
		if err := r.encode(); err != nil {
			t.Fatal(err)
		}
	}
	got := encodePushes(runs, nil)
	want, err := protocol.EncodeFrame(&protocol.Frame{Push: &protocol.Push{Logs: []protocol.LogEntries{
		{Log: runs[0].log, Entries: []protocol.Entry{*runs[0].entries[0], *runs[0].entries[1], *runs[2].entries[0]}},
		{Log: runs[1].log, Entries: []protocol.Entry{*runs[1].entries[0]}},
	}}})
	if err != nil || len(got) != 1 || string(got[0]) != string(want) {
		t.Errorf("%d frames\n%x\n%x, %v", len(got), got[0], want, err)
	}
	var many []*protocol.Entry
	for i := range 1200 {
		many = append(many, entry(uint64(i)+1, i%4*80))
	}
	r := &run{log: "c2c:a:b", entries: many}
	if err := r.encode(); err != nil {
		t.Fatal(err)
	}
	next := uint64(1)
	for _, b := range encodePushes([]*run{r}, nil) {
		f, err := protocol.DecodeFrame(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > chunkBytes+1000 || len(f.Push.Logs[0].Entries) > protocol.MaxPushEntries {
			t.Errorf("a push of %d bytes and %d entries", len(b), len(f.Push.Logs[0].Entries))
		}
		for _, e := range f.Push.Logs[0].Entries {
			if e.Seq != next {
				t.Fatalf("entry %d where %d should be", e.Seq, next)
			}
			next++
		}
	}
	if next != 1201 {
		t.Errorf("%d entries pushed", next-1)
	}
}

// The operator's limit holds for all that a message carries.
func TestMessageLimit(t *testing.T) {
	r := newRig(t, sqlite(t), func(c *Config) { c.MessageBytes = 256 })
	r.online("bob", "t")
	alice := r.online("alice", "t")
	padded, err := protocol.Marshal(map[int]any{1: protocol.ElemText, 2: "x", 99: strings.Repeat("y", 1000)})
	if err != nil {
		t.Fatal(err)
	}
	acks := alice.append(c2c("bob", strings.Repeat("x", 256)), c2c("bob", strings.Repeat("x", 257)),
		protocol.Item{Kind: protocol.ItemC2C, To: "bob", Body: padded})
	for i, want := range []protocol.Code{0, protocol.CodeSvrBodySizeLimit, protocol.CodeSvrBodySizeLimit} {
		if acks[i].Code != want {
			t.Errorf("message %d: %+v, want %d", i, acks[i], want)
		}
	}
}

// A report that the broker has no room for is not asked for again and again.
func TestReportWithoutRoom(t *testing.T) {
	r := newRig(t, sqlite(t))
	alice := r.online("alice", "t")
	r.wire = fullWire{r.wire}
	if err := r.Receive(alice.peer, protocol.TopicReported(r.app, "alice"), []byte("{}")); err != nil {
		t.Error(err)
	}
	if !r.log.has("too many retained") {
		t.Error("it is not in the log")
	}
}

type fullWire struct{ wire }

func (fullWire) Publish(_ string, _ []byte, _ byte, retain bool) error {
	if retain {
		return broker.ErrRetainedFull
	}
	return nil
}
