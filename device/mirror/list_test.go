package mirror

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

func TestList(t *testing.T) {
	f := open(t, t.TempDir(), cursors{}, Limits{})
	for n := range uint64(30) {
		e := message(1, "x", "hello")
		e.MsgID = fmt.Sprint("m", n)
		e.Time = int64(1000 + n/4) // several at a time
		f.apply(protocol.C2CLog(self, fmt.Sprintf("u%02d", n)), e)
	}
	var seen []string
	next, more := uint64(0), true
	for range 40 {
		var list []*Conv
		list, next, more = f.List(next, 3, nil)
		for _, c := range list {
			seen = append(seen, c.ID)
		}
		if !more {
			break
		}
	}
	if len(seen) != 30 || len(slices.Compact(slices.Sorted(slices.Values(seen)))) != 30 || seen[0] != "u28" || seen[29] != "u03" {
		t.Error(seen)
	}
	if list, _, more := f.List(next, 3, nil); len(list) != 0 || more {
		t.Error(list, more)
	}
	waiting := map[string]int64{protocol.C2CLog(self, "u03"): 5000, protocol.C2CLog(self, "new"): 4000}
	if list, _, _ := f.List(0, 3, waiting); len(list) != 3 || list[0].ID != "u03" || list[1].ID != "new" || list[2].ID != "u28" {
		t.Error("messages on their way do not count")
	}
	for n := range maxDrafts + 1 {
		log, refused := protocol.C2CLog(self, fmt.Sprintf("d%d", n)), make(chan error, 1)
		f.db.Go(func(tx *bbolt.Tx) error { return f.SetDraft(tx, log, "unsent", 5) }, func(err error) {
			f.Committed(err)
			refused <- err
		})
		if err := <-refused; (err != nil) != (n == maxDrafts) {
			t.Fatal(n, err)
		}
	}
	if ch := f.do(func(tx *bbolt.Tx) error { return f.SetDraft(tx, protocol.C2CLog(self, "d0"), "", 5) }); len(ch) != 1 {
		t.Error(ch)
	}
	if list, _, _ := f.List(0, 2000, nil); len(list) != 30+maxDrafts-1 {
		t.Error(len(list))
	}
}

func BenchmarkPage(b *testing.B) {
	const n = 1_000_000
	f := open(b, b.TempDir(), cursors{}, Limits{MaxRows: 2 * n, MaxBytes: 1 << 40})
	for seq := uint64(1); seq <= n; {
		var part []protocol.Entry
		for range 2000 {
			part = append(part, message(seq, other, "a text of about the usual length, which is short"))
			seq++
		}
		f.apply(talk, part...)
	}
	b.ResetTimer()
	for i := range b.N {
		if got, _ := f.page(talk, Pos{Seq: uint64(21 + i*7919%n)}, 20); len(got) != 20 {
			b.Fatal(len(got))
		}
	}
}

// TestOutcomeIsTold: what became of a conversation in a transaction is how it stands
// behind it against before, not the last step.
func TestOutcomeIsTold(t *testing.T) {
	f := open(t, t.TempDir(), cursors{}, Limits{})
	draft := func(tx *bbolt.Tx, texts ...string) error {
		for _, text := range texts {
			if err := f.SetDraft(tx, talk, text, 1); err != nil {
				return err
			}
		}
		return nil
	}
	for _, c := range []struct {
		texts []string
		want  map[string]Change
	}{
		{[]string{"a", ""}, map[string]Change{}},
		{[]string{"a", "", "b"}, map[string]Change{talk: Appeared}},
		{[]string{"", "c"}, map[string]Change{talk: Changed}},
		{[]string{"", "d", ""}, map[string]Change{talk: Vanished}},
		{[]string{"e", "f"}, map[string]Change{talk: Appeared}},
	} {
		if got := f.do(func(tx *bbolt.Tx) error { return draft(tx, c.texts...) }); !maps.Equal(got, c.want) {
			t.Errorf("%q: %v, not %v", c.texts, got, c.want)
		}
	}
}
