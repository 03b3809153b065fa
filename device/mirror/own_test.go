package mirror

import (
	"fmt"
	"testing"

	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

func (f *fixture) insert(log, id string) {
	f.t.Helper()
	e := message(0, self, id)
	e.MsgID, e.Time = id, int64(1000*f.at[log]+500)
	f.do(func(tx *bbolt.Tx) error { return f.Insert(tx, log, Row{Entry: e, Status: protocol.StatusFailed}) })
}

func (f *fixture) skip(log string, from uint64) {
	f.t.Helper()
	f.do(func(tx *bbolt.Tx) error { return f.Skip(tx, log, from) })
	f.at[log] = from
}

// TestOwnOutliveSkip: what this board alone has stays, in its order, when what the
// hub has is let go of.
func TestOwnOutliveSkip(t *testing.T) {
	f := open(t, t.TempDir(), cursors{}, Limits{})
	f.apply(talk, message(1, other, "1"))
	f.insert(talk, "x")
	f.insert(talk, "y")
	f.apply(talk, message(2, other, "2"))
	f.insert(talk, "z")
	f.apply(talk, message(3, other, "3"))
	f.skip(talk, 100)
	f.want(talk, 3, "z", "y", "x")
	if c := f.Conv(talk); c.Last != (Pos{Seq: 3}) || c.LastTime != 3000 || c.Rows != 4 {
		t.Errorf("%+v", c) // the list shows the newest still
	}
	f.apply(talk, message(101, other, "101"))
	f.want(talk, 4, "101", "z", "y", "x")
	f.insert(talk, "last")
	f.do(f.Doubt)
	f.want(talk, 4, "last", "z", "y", "x")
	if c := f.Conv(talk); c.Last != (Pos{101, 4}) || c.LastTime != 101_500 || c.Rows != 4 {
		t.Errorf("%+v", c)
	}
	f.insert(talk, "more")
	f.apply(talk, message(102, other, "102"))
	f.want(talk, 5, "102", "more", "last", "z", "y", "x")
	err := f.db.View(func(tx *bbolt.Tx) error {
		if _, r, ok := f.Find(tx, "y"); !ok || r.Pos != (Pos{101, 2}) || r.Entry.Seq != 101 || r.Status != protocol.StatusFailed {
			t.Errorf("%v %+v", ok, r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f = f.again(Limits{})
	f.mark(protocol.Mark{Kind: protocol.MarkCleared, Log: talk, UpTo: 102})
	f.want(talk, 0)
	if c := f.Conv(talk); c.Rows != 0 || c.Bytes != 0 {
		t.Errorf("%+v", c)
	}
	// The hub's last message still comes into the list.
	f.apply(group, message(1, other, "1"))
	f.insert(group, "x")
	f.apply(group, message(2, other, "2"), message(3, other, "3"), read(4, self, group, 3))
	f.do(f.Doubt)
	last := message(3, other, "3")
	f.do(func(tx *bbolt.Tx) error {
		return f.Settle(tx, f.Ask([]string{group}), []protocol.State{{Log: group, Head: 4, Read: 3, Last: &last}})
	})
	if c := f.Conv(group); c.Last.Seq != 3 || c.Rows != 2 {
		t.Errorf("%+v", c)
	}
	if texts, page := f.page(group, Pos{}, 9); fmt.Sprint(texts) != "[x]" || page.Below != 5 {
		t.Error(texts, page)
	}
}

// TestOwnAreBounded: the message that stays for the list does not keep those behind
// it from leaving.
func TestOwnAreBounded(t *testing.T) {
	f := open(t, t.TempDir(), cursors{}, Limits{MaxBytes: 3000})
	f.apply(group, message(1, other, "1"))
	for n := range 40 {
		f.insert(group, fmt.Sprint("own-", n))
	}
	f.note("own-0", "own-39")
	f.apply(group, message(2, other, "2"))
	f.do(f.Doubt)
	if c := f.Conv(group); c.Rows != 41 || c.Last != (Pos{Seq: 2}) {
		t.Fatalf("%+v", c)
	}
	for seq := uint64(1); seq <= 30; seq++ {
		f.apply(talk, message(seq, other, "a text of the usual length"))
	}
	if c := f.Conv(group); c.Rows >= 41 || c.Last != (Pos{Seq: 2}) || f.bytes > 3000 {
		t.Errorf("%d bytes, %+v", f.bytes, c)
	}
	if got := f.notedAt("own-0", "own-39"); fmt.Sprint(got) != "[own-39]" {
		t.Error(got) // nobody has the message any more
	}
}
