package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

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
