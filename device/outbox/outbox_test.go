package outbox

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

var roomy = Limits{MaxItems: 10_000, MaxBytes: 1 << 20}

var accounts = []byte("accounts")

func account(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket(accounts).Bucket([]byte("alice")) }

type fixture struct {
	*Box
	db *store.DB
}

func open(t testing.TB, dir string, l Limits) fixture {
	t.Helper()
	return openLogging(t, dir, l, io.Discard)
}

func openLogging(t testing.TB, dir string, l Limits, log io.Writer) fixture {
	t.Helper()
	db, _, err := store.Open(store.Options{Dir: dir, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return fixture{db: db}.as(t, "alice", l)
}

// as opens another account's outbox.
func (f fixture) as(t testing.TB, name string, l Limits) fixture {
	t.Helper()
	err := f.db.Do(func(tx *bbolt.Tx) error {
		root, err := tx.CreateBucketIfNotExists(accounts)
		if err == nil {
			_, err = root.CreateBucketIfNotExists([]byte(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(f.db, accounts, name, l)
	if err != nil {
		t.Fatal(err)
	}
	return fixture{b, f.db}
}

// do runs an operation as the device does.
func (f fixture) do(run func(tx *bbolt.Tx) error) error {
	ch := make(chan error, 1)
	f.db.Go(run, func(err error) {
		f.Committed(err)
		ch <- err
	})
	return <-ch
}

func (f fixture) put(text string) (Item, error) {
	body, err := protocol.Marshal(protocol.Message{Elem: protocol.ElemText, Text: text})
	if err != nil {
		return Item{}, err
	}
	it := &Item{Kind: protocol.ItemC2C, To: "bob", Body: body, QueuedAt: 7}
	err = f.do(func(tx *bbolt.Tx) error { return f.Put(tx, it) })
	return *it, err
}

func (f fixture) mustPut(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, err := f.put(text); err != nil {
			t.Fatal(err)
		}
	}
}

func (f fixture) remove(t testing.TB, first uint64, n int) (removed []bool) {
	t.Helper()
	err := f.do(func(tx *bbolt.Tx) (err error) {
		removed, err = f.Remove(tx, first, n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return removed
}

// check compares the counts with the store.
func (f fixture) check(t testing.TB) {
	t.Helper()
	err := f.db.View(func(tx *bbolt.Tx) error {
		if c := count(account(tx).Bucket(itemsName)); c != f.known || c != f.counted {
			t.Errorf("there are %+v, known %+v, counted %+v", c, f.known, f.counted)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func textOf(t testing.TB, it Item) string {
	t.Helper()
	if it.Kind == protocol.ItemVoid {
		return "(void)"
	}
	m, err := protocol.DecodeMessage(it.Body)
	if err != nil {
		t.Fatal(err)
	}
	return m.Text
}

func (f fixture) texts(t testing.TB) (out []string) {
	t.Helper()
	items, err := f.Head(1<<20, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for i, it := range items {
		if it.Cseq != items[0].Cseq+uint64(i) {
			t.Errorf("%d follows %d", it.Cseq, items[i-1].Cseq)
		}
		out = append(out, textOf(t, it))
	}
	return out
}

func TestItemsKeepWhatTheyAre(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, roomy)
	want, err := f.put("hello")
	if err != nil || want.Cseq != 1 || want.IDEpoch != f.Epoch() {
		t.Fatal(want, err)
	}
	_ = f.db.Close()
	f = open(t, dir, roomy)
	got, err := f.Head(10, 1<<20)
	want.encoded = nil
	if err != nil || len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(want) {
		t.Error(got, want, err)
	}
}

func TestLimits(t *testing.T) {
	for name, l := range map[string]Limits{"items": {3, 1 << 20}, "bytes": {100, 420}} {
		t.Run(name, func(t *testing.T) {
			f := open(t, t.TempDir(), l)
			text := strings.Repeat("x", 100)
			f.mustPut(t, text, text, text)
			before := f.Epoch()
			for range 3 {
				if _, err := f.put(text); protocol.AsError(err).Code != protocol.CodeNetReqCountLimit {
					t.Fatal(err)
				}
			}
			f.check(t)
			if s := f.Status(); s.Items != 3 || s.Bytes > l.MaxBytes || s.MaxItems != l.MaxItems || s.MaxBytes != l.MaxBytes {
				t.Errorf("%+v", s)
			}
			f.remove(t, 1, 1)
			if it, err := f.put(text); err != nil || it.Cseq != 4 || f.Epoch() != before {
				t.Error(it, err)
			}
			f.check(t)
		})
	}
}

// TestLimitsAreOfAllAccounts: what other accounts have left takes room.
func TestLimitsAreOfAllAccounts(t *testing.T) {
	text := strings.Repeat("x", 100)
	for name, l := range map[string]Limits{"items": {4, 1 << 20}, "bytes": {100, 560}} {
		t.Run(name, func(t *testing.T) {
			f := open(t, t.TempDir(), l)
			f.mustPut(t, text, text)
			f = f.as(t, "bob", l)
			f.mustPut(t, text)
			f = f.as(t, "carol", l)
			f.mustPut(t, text)
			_, err := f.put(text)
			if e := protocol.AsError(err); e == nil || e.Code != protocol.CodeNetReqCountLimit || !strings.Contains(e.Msg, "of alice: log in") {
				t.Fatal(err)
			}
			f.remove(t, 1, 1)
			f.mustPut(t, text)
			if s := f.Status(); s.Items != 1 {
				t.Errorf("%+v", s)
			}
			f = f.as(t, "alice", l)
			f.remove(t, 1, 2)
			f = f.as(t, "carol", l)
			f.mustPut(t, text, text)
		})
	}
}

// TestRefusalBesideSuccess: what is refused must not disturb the counts of what
// the same transaction took.
func TestRefusalBesideSuccess(t *testing.T) {
	f := open(t, t.TempDir(), Limits{MaxItems: 1, MaxBytes: 1 << 20})
	began, end := make(chan struct{}), make(chan struct{})
	f.db.Go(func(*bbolt.Tx) error { close(began); <-end; return nil }, func(error) {})
	<-began
	var wg sync.WaitGroup
	var errs [4]error
	for i := range errs {
		wg.Add(1)
		it := &Item{Kind: protocol.ItemC2C, To: "bob", Body: []byte{0xa0}}
		f.db.Go(func(tx *bbolt.Tx) error {
			if i == 2 {
				_, err := f.Remove(tx, 1, 1)
				return err
			}
			return f.Put(tx, it)
		}, func(err error) { f.Committed(err); errs[i] = err; wg.Done() })
	}
	close(end)
	wg.Wait()
	if errs[0] != nil || protocol.AsError(errs[1]).Code != protocol.CodeNetReqCountLimit || errs[2] != nil || errs[3] != nil {
		t.Error(errs)
	}
	f.check(t)
}

func TestFailedTransactionLeavesNothing(t *testing.T) {
	f := open(t, t.TempDir(), roomy)
	f.mustPut(t, "one", "two")
	cause := errors.New("no such luck")
	for range 2 {
		err := f.do(func(tx *bbolt.Tx) error {
			_, err := f.Remove(tx, 1, 2)
			return errors.Join(err, f.Put(tx, &Item{Kind: protocol.ItemC2C, Body: []byte{0xa0}}), cause)
		})
		if !errors.Is(err, cause) {
			t.Fatal(err)
		}
		f.check(t)
	}
	f.mustPut(t, "three")
	f.check(t)
	if got := fmt.Sprint(f.texts(t)); got != "[one two three]" {
		t.Error(got)
	}
}

func TestHeadAndBatch(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, roomy)
	text := strings.Repeat("x", 1000)
	f.mustPut(t, text, text, text, text)
	for _, c := range []struct{ limit, bytes, want int }{{10, 1 << 20, 4}, {2, 1 << 20, 2}, {10, 2500, 2}, {10, 1, 1}, {0, 1 << 20, 0}} {
		items, err := f.Head(c.limit, c.bytes)
		if err != nil || len(items) != c.want {
			t.Errorf("%+v: %d, %v", c, len(items), err)
		}
		n, batch, err := f.Batch(c.limit, c.bytes)
		if err != nil || len(batch) != c.want || n.Base != 1 || n.Epoch != f.Epoch() {
			t.Errorf("%+v: %+v, %d, %v", c, n, len(batch), err)
		}
	}
	first := f.Epoch()
	_ = f.db.Close()
	f = open(t, dir, roomy)
	f.mustPut(t, "new")
	if f.Epoch() == first {
		t.Error("the second opening has the epoch of the first")
	}
	n, batch, err := f.Batch(10, 1<<20)
	if err != nil || len(batch) != 4 || n != (Numbering{first, 1}) {
		t.Error(n, len(batch), err)
	}
	f.remove(t, 1, 4)
	n, batch, err = f.Batch(10, 1<<20)
	if err != nil || len(batch) != 1 || n != (Numbering{f.Epoch(), 5}) || batch[0].IDEpoch != n.Epoch {
		t.Error(n, batch, err)
	}
}

func TestRemove(t *testing.T) {
	f := open(t, t.TempDir(), roomy)
	f.mustPut(t, "1", "2", "3", "4", "5")
	for _, c := range []struct {
		first uint64
		n     int
		want  string
		left  string
	}{
		{1, 2, "[true true]", "[3 4 5]"},
		{1, 3, "[false false true]", "[4 5]"},
		{1, 3, "[false false false]", "[4 5]"},
		{5, 3, "[true false false]", "[4]"},
		{9, 1, "[false]", "[4]"},
		{4, 1, "[true]", "[]"},
	} {
		if got := fmt.Sprint(f.remove(t, c.first, c.n)); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
		if got := fmt.Sprint(f.texts(t)); got != c.left {
			t.Errorf("%+v: left %s", c, got)
		}
		f.check(t)
	}
	f.mustPut(t, "6")
	if items, err := f.Head(1, 1); err != nil || items[0].Cseq != 6 {
		t.Error(items, err)
	}
}

// TestBatchWaitsForTheDisk: the store shows a transaction from its last write
// on, which is a sync before Committed.
func TestBatchWaitsForTheDisk(t *testing.T) {
	f := open(t, t.TempDir(), roomy)
	f.mustPut(t, "a")
	done := make(chan int)
	it := &Item{Kind: protocol.ItemC2C, To: "bob", Body: []byte{0xa0}}
	f.db.Go(func(tx *bbolt.Tx) error { return f.Put(tx, it) }, func(error) {
		_, early, err := f.Batch(10, 1<<20)
		f.Committed(err)
		done <- len(early)
	})
	if early := <-done; early != 1 {
		t.Errorf("%d items", early)
	}
	if _, items, err := f.Batch(10, 1<<20); err != nil || len(items) != 2 {
		t.Error(items, err)
	}
}

// copyStore copies the file of a closed store.
func copyStore(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(from, "herald.db"))
	if err == nil {
		err = os.WriteFile(filepath.Join(to, "herald.db"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
