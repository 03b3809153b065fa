package outbox

import (
	"bytes"
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

var acctName = []byte("account")

func account(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket(acctName) }

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
	err = db.Do(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(acctName)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(db, account, l)
	if err != nil {
		t.Fatal(err)
	}
	return fixture{b, db}
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

// TestDamagedOutbox has items missing or changed, as after a damaged store was
// read as far as that went.
func TestDamagedOutbox(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(b *bbolt.Bucket) error
		want   string
		first  uint64
		next   uint64
	}{
		"nothing":   {func(*bbolt.Bucket) error { return nil }, "[a b c d e]", 3, 8},
		"a hole":    {func(b *bbolt.Bucket) error { return errors.Join(b.Delete(key(4)), b.Delete(key(5))) }, "[a (void) (void) d e]", 3, 8},
		"the first": {func(b *bbolt.Bucket) error { return b.Delete(key(3)) }, "[(void) b c d e]", 3, 8},
		"the last":  {func(b *bbolt.Bucket) error { return b.Delete(key(7)) }, "[a b c d (void)]", 3, 8},
		"all": {func(b *bbolt.Bucket) error {
			for n := range uint64(8) {
				if err := b.Delete(key(n)); err != nil {
					return err
				}
			}
			return nil
		}, "[(void) (void) (void) (void) (void)]", 3, 8},
		"a value": {func(b *bbolt.Bucket) error {
			v := append([]byte(nil), b.Get(key(5))...)
			v[10] ^= 4
			return b.Put(key(5), v)
		}, "[a b (void) d e]", 3, 8},
		"short key": {func(b *bbolt.Bucket) error { return b.Put([]byte("k"), []byte("v")) }, "[a b c d e]", 3, 8},
		"far key":   {func(b *bbolt.Bucket) error { return b.Put(key(1<<60), []byte("v")) }, "[a b c d e]", 3, 8},
		"early key": {func(b *bbolt.Bucket) error {
			return errors.Join(b.Put(key(1<<40), b.Get(key(7))), b.SetSequence(1<<40))
		}, "[a b c d e]", 3, 8},
		"far counter": {func(b *bbolt.Bucket) error { return b.SetSequence(1 << 60) }, "[a b c d e]", 3, 8},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f := open(t, dir, Limits{MaxItems: 1000, MaxBytes: 1 << 20})
			f.mustPut(t, "x", "x", "a", "b", "c", "d", "e")
			f.remove(t, 1, 2)
			if err := f.db.Do(func(tx *bbolt.Tx) error { return c.damage(account(tx).Bucket(itemsName)) }); err != nil {
				t.Fatal(err)
			}
			_ = f.db.Close()
			f = open(t, dir, Limits{MaxItems: 1000, MaxBytes: 1 << 20})
			if got := fmt.Sprint(f.texts(t)); got != c.want || f.known.first != c.first || f.known.next != c.next {
				t.Errorf("%s, %+v", got, f.known)
			}
			f.check(t)
			_, batch, err := f.Batch(10, 1<<20)
			for _, it := range batch {
				if it.IDEpoch == 0 || err != nil {
					t.Errorf("%+v, %v", it, err)
				}
			}
			f.mustPut(t, "new")
		})
	}
}

// TestDamagedFirst: where the number of the oldest item is damaged nothing may
// be invented before the first that is there.
func TestDamagedFirst(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(acct *bbolt.Bucket) error
		want   string
		next   uint64
	}{
		"three wait":  {func(*bbolt.Bucket) error { return nil }, "[c d e]", 6},
		"a hole":      {func(a *bbolt.Bucket) error { return a.Bucket(itemsName).Delete(key(4)) }, "[c (void) e]", 6},
		"a short key": {func(a *bbolt.Bucket) error { return a.Bucket(itemsName).Put([]byte{0}, nil) }, "[c d e]", 6},
		"none waits": {func(a *bbolt.Bucket) error {
			b := a.Bucket(itemsName)
			return errors.Join(b.Delete(key(3)), b.Delete(key(4)), b.Delete(key(5)))
		}, "[]", 6},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f := open(t, dir, roomy)
			f.mustPut(t, "a", "b", "c", "d", "e")
			f.remove(t, 1, 2)
			err := f.db.Do(func(tx *bbolt.Tx) error {
				v := append([]byte(nil), account(tx).Get(firstKey)...)
				v[7] ^= 1
				return errors.Join(account(tx).Put(firstKey, v), c.damage(account(tx)))
			})
			if err != nil {
				t.Fatal(err)
			}
			_ = f.db.Close()
			var log bytes.Buffer
			f = openLogging(t, dir, roomy, &log)
			if got := fmt.Sprint(f.texts(t)); got != c.want || f.known.next != c.next {
				t.Errorf("%s, %+v", got, f.known)
			}
			if !strings.Contains(log.String(), "oldest message is damaged") {
				t.Errorf("the log says %q", log.String())
			}
			f.check(t)
			_ = f.db.Close()
			log.Reset()
			if openLogging(t, dir, roomy, &log); log.Len() > 0 {
				t.Errorf("told again: %s", log.String())
			}
		})
	}
}

// TestDamageUnderLowerLimits: what an operator allows today says nothing of how
// many items were accepted before.
func TestDamageUnderLowerLimits(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, roomy)
	f.mustPut(t, "a", "b", "c", "d", "e", "f")
	err := f.db.Do(func(tx *bbolt.Tx) error {
		b := account(tx).Bucket(itemsName)
		return errors.Join(b.Delete(key(3)), b.Delete(key(4)))
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = f.db.Close()
	var log bytes.Buffer
	f = openLogging(t, dir, Limits{MaxItems: 1, MaxBytes: 1 << 20}, &log)
	if got := fmt.Sprint(f.texts(t)); got != "[a b (void) (void) e f]" {
		t.Error(got)
	}
	if !strings.Contains(log.String(), "lost=2") {
		t.Errorf("the log says %q", log.String())
	}
	if err := f.db.Do(func(tx *bbolt.Tx) error { return account(tx).Bucket(itemsName).SetSequence(1 << 60) }); err != nil {
		t.Fatal(err)
	}
	_ = f.db.Close()
	log.Reset()
	f = openLogging(t, dir, roomy, &log)
	if got := fmt.Sprint(f.texts(t)); got != "[a b (void) (void) e f]" || !strings.Contains(log.String(), "leap") {
		t.Errorf("%s, the log says %q", got, log.String())
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

func TestDamagedProducer(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir, roomy)
	f.mustPut(t, "a", "b")
	err := f.db.Do(func(tx *bbolt.Tx) error { return account(tx).Put(producerKey, []byte("?")) })
	if err != nil {
		t.Fatal(err)
	}
	_ = f.db.Close()
	f = open(t, dir, roomy)
	n, batch, err := f.Batch(10, 1<<20)
	if err != nil || len(batch) != 2 || n.Base != 1 || n.Epoch == 0 {
		t.Error(n, batch, err)
	}
	if renewed, lost, err := f.Meet(1<<30, 9); !renewed || lost != 0 || err != nil || f.Epoch() <= 1<<30 {
		t.Error(renewed, lost, err, f.Epoch())
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
