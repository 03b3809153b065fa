package inbox

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

var acctName = []byte("account")

func account(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket(acctName) }

type fixture struct {
	*Inbox
	db *store.DB
}

func open(t testing.TB, dir string) fixture {
	t.Helper()
	db, _, err := store.Open(store.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	err = db.Do(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(acctName)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	in, err := Open(db, account)
	if err != nil {
		t.Fatal(err)
	}
	return fixture{in, db}
}

func (f fixture) do(run func(tx *bbolt.Tx) error) error {
	ch := make(chan error, 1)
	f.db.Go(run, func(err error) {
		f.Committed(err)
		ch <- err
	})
	return <-ch
}

func entries(from, to uint64) (out []protocol.Entry) {
	for seq := from; seq <= to; seq++ {
		out = append(out, protocol.Entry{Seq: seq})
	}
	return out
}

// apply returns the seqs applied.
func (f fixture) apply(t testing.TB, log string, list []protocol.Entry) (applied []uint64, hole bool) {
	t.Helper()
	err := f.do(func(tx *bbolt.Tx) (err error) {
		hole, err = f.Apply(tx, log, list, func(e *protocol.Entry) error {
			applied = append(applied, e.Seq)
			return nil
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return applied, hole
}

// check compares what is known with what the store holds.
func (f fixture) check(t testing.TB) {
	t.Helper()
	again := &Inbox{account: account}
	if err := f.db.Do(func(tx *bbolt.Tx) error { return again.load(account(tx)) }); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(again.cursors) != fmt.Sprint(f.cursors) {
		t.Errorf("known %v, stored %v", f.cursors, again.cursors)
	}
	digest, logs := f.Digest()
	if digest != again.digest || int(logs) != len(again.cursors) {
		t.Errorf("digest %x of %d, not %x of %d", digest, logs, again.digest, len(again.cursors))
	}
}

func TestApply(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	for _, c := range []struct {
		list []protocol.Entry
		want string
		at   uint64
	}{
		{entries(1, 3), "[1 2 3] false", 3},
		{entries(1, 3), "[] false", 3},
		{entries(2, 5), "[4 5] false", 5},
		{entries(7, 8), "[] true", 5},
		{append(entries(6, 6), entries(8, 9)...), "[6] true", 6},
		{nil, "[] false", 6},
		{entries(7, 7), "[7] false", 7},
	} {
		applied, hole := f.apply(t, "c2c:a:b", c.list)
		if got := fmt.Sprint(applied, hole); got != c.want {
			t.Errorf("%v: %s, not %s", c.list, got, c.want)
		}
		if at, ok := f.Cursor("c2c:a:b"); !ok || at != c.at {
			t.Errorf("at %d, not %d", at, c.at)
		}
		f.check(t)
	}
	if applied, hole := f.apply(t, "group:g", entries(5, 6)); len(applied) != 0 || !hole {
		t.Error("a log without a cursor began in the middle", applied, hole)
	}
	if _, ok := f.Cursor("group:g"); ok {
		t.Error("and has a cursor")
	}
	_ = f.db.Close()
	f = open(t, dir)
	if at, ok := f.Cursor("c2c:a:b"); !ok || at != 7 {
		t.Error(at, ok)
	}
	f.check(t)
}

func TestSkip(t *testing.T) {
	f := open(t, t.TempDir())
	for _, c := range [][2]uint64{{0, 0}, {5, 5}, {3, 5}, {6, 6}} {
		if err := f.do(func(tx *bbolt.Tx) error { return f.Skip(tx, "group:g", c[0]) }); err != nil {
			t.Fatal(err)
		}
		if at, ok := f.Cursor("group:g"); !ok || at != c[1] {
			t.Errorf("skip to %d: at %d, not %d", c[0], at, c[1])
		}
	}
	f.check(t)
}

func TestFailureIsForgotten(t *testing.T) {
	f := open(t, t.TempDir())
	f.apply(t, "c2c:a:b", entries(1, 3))
	digest, _ := f.Digest()
	f.TakeMoved(10)
	cause := errors.New("no such luck")
	err := f.do(func(tx *bbolt.Tx) error {
		_, err := f.Apply(tx, "c2c:a:b", entries(4, 9), func(*protocol.Entry) error { return nil })
		if at, _ := f.Cursor("c2c:a:b"); at != 3 {
			t.Error("others see what is not committed")
		}
		return errors.Join(err, f.Skip(tx, "group:g", 4), cause)
	})
	if !errors.Is(err, cause) {
		t.Fatal(err)
	}
	if d, n := f.Digest(); d != digest || n != 1 || len(f.TakeMoved(10)) != 0 {
		t.Error(d, n)
	}
	f.check(t)
	if applied, hole := f.apply(t, "c2c:a:b", entries(4, 4)); len(applied) != 1 || hole {
		t.Error(applied, hole)
	}
}

func TestTakeMoved(t *testing.T) {
	f := open(t, t.TempDir())
	want := make(map[string]uint64)
	for i := range 5 {
		log := fmt.Sprint("group:", i)
		f.apply(t, log, entries(1, uint64(i+1)))
		want[log] = uint64(i + 1)
	}
	got := make(map[string]uint64)
	for _, n := range []int{2, 2, 1, 0} {
		moved := f.TakeMoved(2)
		if len(moved) != n {
			t.Errorf("%d, not %d", len(moved), n)
		}
		for _, c := range moved {
			got[c.Log] = c.Seq
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Error(got)
	}
	f.apply(t, "group:0", entries(2, 2))
	if moved := f.TakeMoved(9); len(moved) != 1 || moved[0] != (protocol.Cursor{Log: "group:0", Seq: 2}) {
		t.Error(moved)
	}
}

// meet names what was rewound, in order.
func (f fixture) meet(eras []protocol.Era, common uint32, heads []protocol.Head, check bool) (rewound []string, lost uint64, err error) {
	to, lost, err := f.Meet(eras, common, heads, check, func(*bbolt.Tx, map[string]uint64) error { return nil }, func(error) {})
	return slices.Sorted(maps.Keys(to)), lost, err
}

func TestMeet(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	era := func(ord uint32) protocol.Era { return protocol.Era{Ord: ord, ID: uint64(ord) * 100} }
	meet := func(eras []protocol.Era, common uint32, check bool, heads ...protocol.Head) string {
		t.Helper()
		rewound, lost, err := f.meet(eras, common, heads, check)
		if err != nil {
			t.Fatal(err)
		}
		f.check(t)
		return fmt.Sprint(rewound, lost, f.cursors, f.Eras(10))
	}
	for _, c := range []struct{ got, want string }{
		{meet([]protocol.Era{era(1)}, 0, false, protocol.Head{Log: "a", Seq: 9, Start: 4}, protocol.Head{Log: "b", Seq: 3}),
			"[] 0 map[a:4 b:0] [{1 100}]"},
		// Once there is a cursor, Start says nothing.
		{meet([]protocol.Era{era(1), era(2)}, 1, true, protocol.Head{Log: "a", Seq: 9, Start: 8, Was: 7}, protocol.Head{Log: "b", Seq: 3, Was: 3}),
			"[] 0 map[a:4 b:0] [{1 100} {2 200}]"},
		// The hub came back without era 2 and has begun another one.
		{meet([]protocol.Era{era(1), {Ord: 2, ID: 7}}, 1, true, protocol.Head{Log: "a", Seq: 5, Was: 3}),
			"[a b] 1 map[a:3] [{1 100} {2 7}]"},
		{meet([]protocol.Era{era(1), {Ord: 2, ID: 7}}, 2, false),
			"[] 0 map[a:3] [{1 100} {2 7}]"},
		// A hub that has nothing in common.
		{meet([]protocol.Era{{Ord: 1, ID: 9}}, 0, true, protocol.Head{Log: "a", Seq: 2}),
			"[a] 3 map[a:0] [{1 9}]"},
	} {
		if c.got != c.want {
			t.Errorf("%s\nnot %s", c.got, c.want)
		}
	}
	_ = f.db.Close()
	f = open(t, dir)
	if got := fmt.Sprint(f.cursors, f.Eras(10)); got != "map[a:0] [{1 9}]" {
		t.Error(got)
	}
	var many []protocol.Era
	for ord := range uint32(100) {
		many = append(many, era(ord+1))
	}
	meet(many, 0, false)
	if e := f.Eras(16); len(e) != 16 || e[15] != era(100) || len(f.Eras(1000)) != keptEras {
		t.Error(e)
	}
}

func TestDamagedCursors(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	f.apply(t, "group:a", entries(1, 3))
	f.apply(t, "group:b", entries(1, 4))
	if _, _, err := f.meet([]protocol.Era{{Ord: 1, ID: 1}}, 0, nil, false); err != nil {
		t.Fatal(err)
	}
	err := f.db.Do(func(tx *bbolt.Tx) error {
		b := account(tx).Bucket(cursorsName)
		v := slices.Clone(b.Get([]byte("group:a")))
		v[3] ^= 1
		return errors.Join(b.Put([]byte("group:a"), v), b.Put([]byte("group:c"), nil), account(tx).Put(erasKey, []byte("?")))
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = f.db.Close()
	f = open(t, dir)
	if got := fmt.Sprint(f.cursors, f.Eras(9)); got != "map[group:b:4] []" {
		t.Error(got)
	}
	f.check(t)
}

// TestDigest does anything in any order, with failures, several operations in a
// transaction, and restarts.
func TestDigest(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	rnd := rand.New(rand.NewPCG(1, 2))
	rounds := 400
	if testing.Short() {
		rounds = 100
	}
	for round := range rounds {
		fail := rnd.IntN(4) == 0
		ops := 1 + rnd.IntN(3)
		done := make(chan error, ops)
		for op := range ops {
			log, skip, n := fmt.Sprint("group:", rnd.IntN(6)), rnd.IntN(2) == 0, uint64(rnd.IntN(5))
			f.db.Go(func(tx *bbolt.Tx) error {
				at, _ := f.At(log)
				var err error
				if skip {
					err = f.Skip(tx, log, at+n-min(1, at))
				} else {
					_, err = f.Apply(tx, log, entries(at, at+n), func(*protocol.Entry) error { return nil })
				}
				if fail && op == ops-1 {
					err = errors.Join(err, errors.New("no such luck"))
				}
				return err
			}, func(err error) {
				f.Committed(err)
				done <- err
			})
		}
		for range ops {
			<-done
		}
		if rnd.IntN(10) == 0 {
			var heads []protocol.Head
			for log, at := range f.cursors {
				if rnd.IntN(3) > 0 {
					heads = append(heads, protocol.Head{Log: log, Seq: at + 2, Was: uint64(rnd.IntN(int(at) + 3))})
				}
			}
			if _, _, err := f.meet(nil, 0, heads, rnd.IntN(2) == 0); err != nil {
				t.Fatal(err)
			}
		}
		if rnd.IntN(50) == 0 {
			_ = f.db.Close()
			f = open(t, dir)
		}
		f.check(t)
		if t.Failed() {
			t.Fatal("round", round)
		}
	}
}
