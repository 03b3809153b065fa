package mirror

import (
	"fmt"
	"testing"

	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

func (f *fixture) note(ids ...string) {
	f.t.Helper()
	f.do(func(tx *bbolt.Tx) error {
		for _, id := range ids {
			if err := f.SetNote(tx, id, Note{Int: 7}); err != nil {
				return err
			}
		}
		return nil
	})
}

// notedAt are those of the messages that have a note.
func (f *fixture) notedAt(ids ...string) (out []string) {
	f.t.Helper()
	err := f.db.View(func(tx *bbolt.Tx) error {
		for _, id := range ids {
			if f.Note(tx, id) != (Note{}) {
				out = append(out, id)
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// TestNotesGo: what was noted at a message goes with it, so that there is room for
// others; where the message is at the hub, the note stays.
func TestNotesGo(t *testing.T) {
	f := open(t, t.TempDir(), cursors{}, Limits{})
	own := func(id string) {
		f.do(func(tx *bbolt.Tx) error {
			return f.Insert(tx, talk, Row{Entry: protocol.Entry{Kind: protocol.EntryMessage, From: self, MsgID: id}})
		})
	}
	all := []string{"id-1", "id-2", "id-3", "id-4", "own-1", "own-2"}
	for seq := uint64(1); seq <= 4; seq++ {
		f.apply(talk, message(seq, other, fmt.Sprint(seq)))
	}
	own("own-1")
	own("own-2")
	f.note(all...)
	want := func(notes ...string) {
		t.Helper()
		if got := f.notedAt(all...); fmt.Sprint(got) != fmt.Sprint(notes) || f.notes != len(notes) {
			t.Errorf("%v, and %d, not %v", got, f.notes, notes)
		}
	}
	want(all...)
	f.mark(protocol.Mark{Kind: protocol.MarkDeleted, Log: talk, Seqs: []uint64{3}})
	f.do(func(tx *bbolt.Tx) error { return f.Delete(tx, talk, Pos{4, 1}) })
	want("id-1", "id-2", "id-4", "own-2")
	f.mark(protocol.Mark{Kind: protocol.MarkCleared, Log: talk, UpTo: 2})
	want("id-4", "own-2")
	f.do(func(tx *bbolt.Tx) error { return f.Skip(tx, talk, 4) })
	want("id-4", "own-2")
	f.mark(protocol.Mark{Kind: protocol.MarkCleared, Log: talk, UpTo: 4})
	own("own-1")
	f.note("own-1")
	f.do(func(tx *bbolt.Tx) error { return f.Forget(tx, talk, 4) })
	if got := f.notedAt("own-1"); got != nil {
		t.Error(got)
	}
}
