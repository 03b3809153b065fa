package device

import (
	"testing"

	"github.com/herald-im/herald/device/mirror"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

func (b *board) note(msgID string, n int64) error {
	_, err := b.setLocalCustomData(b.t.Context(), protocol.Caller{}, protocol.CustomDataRequest{MsgID: msgID, LocalCustomInt: n})
	return err
}

// TestNoteOfUnknown: what was noted at a message that the board no longer knows can
// be taken away.
func TestNoteOfUnknown(t *testing.T) {
	b := start(t, config(t, newHub(t).addr))
	b.mustLogin()
	s := b.session
	if err := s.write(func(tx *bbolt.Tx) error { return s.mirror.SetNote(tx, "long gone", mirror.Note{Int: 1}) }); err != nil {
		t.Fatal(err)
	}
	if err := b.note("long gone", 2); err == nil {
		t.Error("noted at a message that is not known")
	}
	if err := b.note("long gone", 0); err != nil {
		t.Error(err)
	}
	_ = b.db.View(func(tx *bbolt.Tx) error {
		if n := s.mirror.Note(tx, "long gone"); n != (mirror.Note{}) {
			t.Error(n)
		}
		return nil
	})
}
