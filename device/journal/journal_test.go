package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

var roomy = Limits{MaxEvents: 1000, MaxBytes: 1 << 20}

type fixture struct {
	*Journal
	db *store.DB
}

func open(t *testing.T, dir string, l Limits) fixture {
	t.Helper()
	db, _, err := store.Open(store.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	j, err := Open(db, l)
	if err != nil {
		t.Fatal(err)
	}
	return fixture{j, db}
}

func event(t *testing.T, n int) protocol.Occurrence {
	t.Helper()
	e, err := protocol.OnRecvC2CTextMessage.New(protocol.C2CTextEvent{MsgID: fmt.Sprint(n), Text: strings.Repeat("x", 100)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (f fixture) write(t *testing.T, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		if err := f.Write(event(t, n)); err != nil {
			t.Fatal(err)
		}
	}
}

func (f fixture) read(t *testing.T, after uint64, limit int) (pos []uint64) {
	t.Helper()
	events, err := f.Read(after, limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		pos = append(pos, e.Pos)
	}
	return pos
}

// kept counts anew what the store holds.
func (f fixture) kept(t *testing.T) (b bounds) {
	t.Helper()
	err := f.db.View(func(tx *bbolt.Tx) error {
		b = count(tx.Bucket(bucketName))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.trimmed = f.known.trimmed
	return b
}

func (f fixture) check(t *testing.T, first, last, trimmed uint64) {
	t.Helper()
	if b := f.kept(t); b != f.known || b != f.written {
		t.Errorf("kept %+v, known %+v, written %+v", b, f.known, f.written)
	}
	s := f.Status()
	if s.First != first || s.Last != last || s.Trimmed != trimmed {
		t.Errorf("%+v, not %d to %d with %d trimmed", s, first, last, trimmed)
	}
	if a, b := f.Bounds(); a != s.First || b != s.Last {
		t.Error(a, b, s)
	}
}

func TestPositionsRiseForEver(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, roomy)
	f.check(t, 1, 0, 0)
	f.write(t, 1, 3)
	f.check(t, 1, 3, 0)
	_ = f.db.Close()
	f = open(t, dir, roomy)
	f.check(t, 1, 3, 0)
	f.write(t, 4, 4)
	f.check(t, 1, 4, 0)
	if got := fmt.Sprint(f.read(t, 0, 10), f.read(t, 1, 2), f.read(t, 4, 10), f.read(t, 99, 10)); got != "[1 2 3 4] [2 3] [] []" {
		t.Error(got)
	}
	e, err := f.Read(3, 1)
	if err != nil || e[0].Info != protocol.OnRecvC2CTextMessage.Info() || string(e[0].JSON) != string(event(t, 4).JSON) {
		t.Error(e, err)
	}
	if err := f.Write(); err != nil {
		t.Error(err)
	}
	f.check(t, 1, 4, 0)
}

func TestFullJournalLosesTheOldest(t *testing.T) {
	for name, l := range map[string]Limits{"count": {10, 1 << 30}, "bytes": {1 << 30, 2400}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f := open(t, dir, l)
			f.write(t, 10, 34) // of one size each
			s := f.Status()
			if s.Bytes > l.MaxBytes || s.Last-s.First+1 > uint64(l.MaxEvents) || s.First < 10 || s.Last != 25 || s.Trimmed != s.First-1 {
				t.Errorf("%+v", s)
			}
			f.check(t, s.First, 25, s.Trimmed)
			if got := f.read(t, 0, 2); got[0] != s.First {
				t.Error(got, "with", s)
			}
			_ = f.db.Close()
			f = open(t, dir, l)
			f.check(t, s.First, 25, s.Trimmed)
			_ = f.db.Close()
			f = open(t, dir, Limits{3, 1 << 30}) // configured smaller
			f.write(t, 1, 1)
			f.check(t, 24, 26, 23)
		})
	}
}

func TestEventTooLargeForTheJournal(t *testing.T) {
	f := open(t, t.TempDir(), Limits{10, 50})
	f.write(t, 1, 2)
	f.check(t, 3, 2, 2)
}

func TestFailedTransactionLeavesNothing(t *testing.T) {
	f := open(t, t.TempDir(), Limits{5, 1 << 20})
	f.write(t, 1, 5)
	cause := errors.New("no such luck")
	for range 3 {
		changed := f.Changed()
		failed := make(chan error)
		f.db.Go(func(tx *bbolt.Tx) error {
			return errors.Join(f.Append(tx, event(t, 6), event(t, 7)), cause)
		}, func(err error) {
			f.Committed(err)
			failed <- err
		})
		if err := <-failed; !errors.Is(err, cause) {
			t.Fatal(err)
		}
		f.check(t, 1, 5, 0)
		select {
		case <-changed:
			t.Error("a failure woke readers")
		default:
		}
	}
	f.write(t, 6, 6)
	f.check(t, 2, 6, 1)
}

func TestChangedWakes(t *testing.T) {
	f := open(t, t.TempDir(), roomy)
	changed := f.Changed()
	seen := make(chan []uint64)
	go func() {
		<-changed
		seen <- f.read(t, 0, 10)
	}()
	f.write(t, 1, 1)
	if got := <-seen; len(got) != 1 {
		t.Error(got)
	}
	if f.Changed() == changed {
		t.Error("still the old channel")
	}
}

// TestReadWaitsForTheDisk: the store shows a transaction from its last write on,
// which is a sync before Committed.
func TestReadWaitsForTheDisk(t *testing.T) {
	f := open(t, t.TempDir(), roomy)
	f.write(t, 1, 2)
	done := make(chan []uint64)
	f.db.Go(func(tx *bbolt.Tx) error { return f.Append(tx, event(t, 3)) }, func(err error) {
		early := f.read(t, 0, 10)
		f.Committed(err)
		done <- early
	})
	if early := <-done; fmt.Sprint(early) != "[1 2]" {
		t.Error(early)
	}
	if got := f.read(t, 0, 10); fmt.Sprint(got) != "[1 2 3]" {
		t.Error(got)
	}
}

// TestOddEntries: events of another version, and damaged ones.
func TestOddEntries(t *testing.T) {
	f := open(t, t.TempDir(), roomy)
	f.write(t, 1, 1)
	err := f.db.Do(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketName)
		for i := range 100 {
			n, err := b.NextSequence()
			if err != nil {
				return err
			}
			v := store.Seal([]byte("im.onSomethingNew\x00{}"))
			if i == 50 {
				v[3] ^= 1
			}
			if err := b.Put(key(n), v); err != nil {
				return err
			}
		}
		f.written = count(b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, 102, 102)
	// A reader that goes on after the last position it got comes to the end.
	after, known, reads := uint64(0), 0, 0
	for ; reads < 20; reads++ {
		events, err := f.Read(after, 32)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			if e.Info != nil {
				known++
			}
			if e.Pos != after+1 && e.Pos != 53 {
				t.Errorf("%d follows %d", e.Pos, after)
			}
			after = e.Pos
		}
	}
	if after != 102 || known != 2 {
		t.Error(after, known)
	}
}

// TestNewJournalAfterDamage: positions of the old journal must not be taken for
// ones of the new.
func TestNewJournalAfterDamage(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, roomy)
	f.write(t, 1, 20)
	_ = f.db.Close()
	file := filepath.Join(dir, "herald.db")
	if err := os.WriteFile(file, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	f = open(t, dir, roomy)
	f.write(t, 1, 1)
	if first, last := f.Bounds(); first != last || first < 1<<40 || last >= 1<<53 {
		t.Error(first, last)
	}
	_, last := f.Bounds()
	_ = f.db.Close()
	f = open(t, dir, roomy)
	f.check(t, last, last, 0)
}
