package store

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// content is what a store holds: the path of names, the key and the value,
// and the buckets' sequences.
type content map[string]string

func contentOf(t testing.TB, db *DB) content {
	t.Helper()
	c := make(content)
	var visit func(path string, b *bbolt.Bucket) error
	visit = func(path string, b *bbolt.Bucket) error {
		c[path] = fmt.Sprint(b.Sequence())
		return b.ForEach(func(k, v []byte) error {
			if v == nil {
				return visit(path+"/"+string(k), b.Bucket(k))
			}
			c[fmt.Sprintf("%s/%x", path, k)] = string(v)
			return nil
		})
	}
	err := db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error { return visit(string(name), b) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sample makes a store such as a board has, and returns its file and content.
func sample(t testing.TB, items int) (file []byte, want content) {
	t.Helper()
	dir := t.TempDir()
	db, _ := open(t, dir)
	for i := range items {
		db.Go(func(tx *bbolt.Tx) error {
			root, err := tx.CreateBucketIfNotExists([]byte("accounts"))
			if err != nil {
				return err
			}
			for _, name := range []string{"1400000001/door", "1400000001/indoor"} {
				acct, err := root.CreateBucketIfNotExists([]byte(name))
				if err != nil {
					return err
				}
				box, err := acct.CreateBucketIfNotExists([]byte("outbox"))
				if err != nil {
					return err
				}
				n, err := box.NextSequence()
				if err != nil {
					return err
				}
				if err := box.Put(key(n), fmt.Appendf(nil, "%s %d %s", name, i, strings.Repeat("x", i%300))); err != nil {
					return err
				}
				cursors, err := acct.CreateBucketIfNotExists([]byte("cursors"))
				if err != nil {
					return err
				}
				if err := cursors.Put(fmt.Appendf(nil, "c2c:%d", i%50), key(uint64(i))); err != nil {
					return err
				}
			}
			return put("journal", fmt.Sprintf("event %d %s", i, strings.Repeat("y", i%200)))(tx)
		}, func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	for _, name := range []string{"device", "device"} { // in transactions of their own
		if err := db.Do(put(name, "terminal")); err != nil {
			t.Fatal(err)
		}
	}
	want = contentOf(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	return file, want
}

// revive opens a store over a damaged file, has it work, and returns what it
// holds of the old one.
func revive(t testing.TB, file []byte) (content, *Replaced) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	db, r := open(t, dir)
	c := contentOf(t, db)
	if err := db.Do(put("fresh", "works")); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if r != nil {
		kept, err := os.ReadFile(r.SetAside)
		if err != nil || !bytes.Equal(kept, file) {
			t.Error("the damaged file was not kept as it was", err)
		}
	}
	if _, r := open(t, dir); r != nil {
		t.Errorf("the second start found damage again: %+v", r)
	}
	return c, r
}

// pagesOf is how many pages of a file are in use.
func pagesOf(t testing.TB, file []byte) int {
	t.Helper()
	tr, err := openTree(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return int(tr.high)
}

const pageSize = 4096

func TestCutFiles(t *testing.T) {
	file, want := sample(t, 400)
	used := pagesOf(t, file)
	for name, size := range map[string]int{
		"empty": 0, "one byte": 1, "one page": pageSize, "two pages": 2 * pageSize, "three pages": 3 * pageSize,
		"half": used / 2 * pageSize, "within a page": used/2*pageSize + 100, "the last page": (used - 1) * pageSize,
	} {
		t.Run(name, func(t *testing.T) {
			c, r := revive(t, file[:size])
			if r == nil {
				// The pages cut off may have been free ones: then nothing is missing.
				if len(c) != len(want) {
					t.Fatalf("%d of %d are left, and nothing is said", len(c), len(want))
				}
				return
			}
			t.Logf("carried %d, lost %d, of %d", r.Carried, r.Lost, len(want))
			for k, v := range c {
				if want[k] != v {
					t.Errorf("%s: %q, not %q", k, v, want[k])
				}
			}
		})
	}
}

func TestGarbage(t *testing.T) {
	for name, file := range map[string][]byte{
		"text":  []byte(strings.Repeat("This is not a store. ", 1000)),
		"zeros": make([]byte, 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			c, r := revive(t, file)
			if r == nil || len(c) != 0 || r.Lost == 0 {
				t.Error(c, r)
			}
		})
	}
}

// TestEveryPageDamaged has each page wrong once, in several ways: the process
// must live, what is left must be what was there, and at most the page itself
// and what hangs on it may be missing.
func TestEveryPageDamaged(t *testing.T) {
	file, want := sample(t, 150)
	rnd := rand.New(rand.NewPCG(1, 2))
	ways := map[string]func(page []byte){
		"zeros": func(p []byte) { clear(p) },
		"noise": func(p []byte) {
			for i := range p {
				p[i] = byte(rnd.Uint32())
			}
		},
		"half a page": func(p []byte) { clear(p[len(p)/2:]) },
		"a header":    func(p []byte) { p[8+rnd.IntN(8)] ^= 1 << rnd.IntN(8) },
		"an element":  func(p []byte) { p[16+rnd.IntN(64)] ^= 1 << rnd.IntN(8) },
	}
	for way, damage := range ways {
		t.Run(way, func(t *testing.T) {
			replaced, least := 0, len(want)
			for n := range pagesOf(t, file) {
				bad := bytes.Clone(file)
				damage(bad[n*pageSize : (n+1)*pageSize])
				c, r := revive(t, bad)
				if r == nil {
					continue // a page not in use, a meta page, or a change that is one of content
				}
				replaced++
				least = min(least, len(c))
				if r.Lost == 0 {
					t.Errorf("page %d: nothing lost, and yet %+v", n, r)
				}
				for k, v := range c {
					if old, known := want[k]; (way == "zeros" || way == "a header") && (!known || old != v) {
						t.Errorf("page %d: %s: %q, not %q", n, k, v, old)
					}
				}
			}
			t.Logf("%d of %d pages noticed; at worst %d of %d entries are left", replaced, pagesOf(t, file), least, len(want))
			if replaced == 0 {
				t.Error("no damage was noticed")
			}
		})
	}
}

// TestRandomDamage changes bytes anywhere.
func TestRandomDamage(t *testing.T) {
	file, _ := sample(t, 150)
	rnd := rand.New(rand.NewPCG(3, 4))
	rounds := 100
	if testing.Short() {
		rounds = 30
	}
	for range rounds {
		bad := bytes.Clone(file[:pagesOf(t, file)*pageSize])
		for range 1 + rnd.IntN(8) {
			bad[rnd.IntN(len(bad))] ^= 1 << rnd.IntN(8)
		}
		revive(t, bad)
	}
}

func TestOneMetaPageIsEnough(t *testing.T) {
	file, want := sample(t, 50)
	for n := range 2 {
		bad := bytes.Clone(file)
		clear(bad[n*pageSize : (n+1)*pageSize])
		c, r := revive(t, bad)
		// Without the newest the transaction before it stands: as after a power failure.
		if r != nil || len(c) < len(want)-1 {
			t.Errorf("meta page %d: %d of %d, %+v", n, len(c), len(want), r)
		}
	}
}

func TestFewFilesAreKeptAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	var last string
	for i := range 6 {
		if err := os.WriteFile(path, fmt.Appendf(nil, "garbage %d", i), 0o600); err != nil {
			t.Fatal(err)
		}
		db, r := open(t, dir)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		last = r.SetAside
	}
	kept, err := filepath.Glob(path + ".aside-*")
	if err != nil || len(kept) != keptAside {
		t.Fatal(kept, err)
	}
	if b, err := os.ReadFile(last); err != nil || string(b) != "garbage 5" {
		t.Error(string(b), err)
	}
	for _, f := range kept {
		b, err := os.ReadFile(f)
		if err != nil || string(b) < "garbage 3" {
			t.Error(string(b), err)
		}
	}
}

// TestDamageWhileRunning cuts the file under an open store: the reads that meet
// it fail, the owner is told, and the next start replaces the file.
func TestDamageWhileRunning(t *testing.T) {
	for _, write := range []bool{false, true} {
		t.Run(fmt.Sprintf("write=%v", write), func(t *testing.T) {
			dir := t.TempDir()
			db, _ := open(t, dir)
			for i := range 200 {
				if err := db.Do(put(fmt.Sprint("b", i%4), strings.Repeat("x", 500))); err != nil {
					t.Fatal(err)
				}
			}
			before := contentOf(t, db)
			path := filepath.Join(dir, fileName)
			if err := os.Truncate(path, 2*pageSize); err != nil {
				t.Fatal(err)
			}
			var err error
			if write {
				err = db.Do(put("b1", "new"))
				if !TakenBack(err) {
					t.Error("not taken back", err)
				}
			} else {
				err = db.View(func(tx *bbolt.Tx) error {
					return tx.Bucket([]byte("b1")).ForEach(func(k, v []byte) error { _ = bytes.Clone(v); return nil })
				})
			}
			if err == nil {
				t.Fatal("the cut went unnoticed")
			}
			if told := <-db.Damaged(); !strings.Contains(told.Error(), "damaged") {
				t.Error(told)
			}
			if err := db.Do(put("b", "x")); !TakenBack(err) {
				t.Error("a damaged store still takes something", err)
			}
			if err := db.View(func(*bbolt.Tx) error { return nil }); err == nil {
				t.Error("a damaged store still reads")
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
			db, r := open(t, dir)
			if r == nil || !strings.Contains(r.Reason, "damaged") {
				t.Fatal(r)
			}
			if len(contentOf(t, db)) >= len(before) {
				t.Error("more than there was")
			}
			if _, err := os.Stat(filepath.Join(dir, noteName)); err == nil {
				t.Error("the note is still there")
			}
		})
	}
}

// TestNotedDamageThatIsNone: bbolt saw something that examine does not see. All that can be read is carried over, then.
func TestNotedDamageThatIsNone(t *testing.T) {
	file, want := sample(t, 200)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName), file, 0o600); err != nil {
		t.Fatal(err)
	}
	db, _ := open(t, dir)
	if err := db.reportDamage(fs.ErrInvalid); err == nil {
		t.Error("no error")
	}
	if err := <-db.Damaged(); err == nil {
		t.Error("nobody is told")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, r := open(t, dir)
	if r == nil || r.Lost != 0 || !strings.Contains(r.Reason, "invalid") {
		t.Fatalf("%+v", r)
	}
	got := contentOf(t, db)
	if len(got) != len(want) {
		t.Errorf("%d entries, not %d", len(got), len(want))
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %q, not %q", k, got[k], v)
		}
	}
}

// TestCrashWhileReplacing leaves what a crash in the middle would.
func TestCrashWhileReplacing(t *testing.T) {
	file, _ := sample(t, 50)
	clear(file[6*pageSize : 7*pageSize])
	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	for name, b := range map[string][]byte{path: file, path + ".aside-1": file, filepath.Join(dir, nextName): file[:5000]} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db, _, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Do(put("b", "x")); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, nextName)); err == nil {
		t.Error("the unfinished file is still there")
	}
}

// TestCrashBetweenTheNames leaves what a crash does on a file system without
// hard links, and what somebody does who removes the store.
func TestCrashBetweenTheNames(t *testing.T) {
	sound, _ := sample(t, 50)
	var file []byte
	var want content
	for page, r := 2, (*Replaced)(nil); r == nil; page++ { // the first that is in use
		file = slices.Clone(sound)
		clear(file[page*pageSize : (page+1)*pageSize])
		want, r = revive(t, file)
	}
	crash := func(t *testing.T, files map[string][]byte) (content, *Replaced) {
		dir := t.TempDir()
		for name, b := range files {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		db, r := open(t, dir)
		return contentOf(t, db), r
	}
	for name, next := range map[string][]byte{"whole": file, "half": file[:5000]} {
		got, r := crash(t, map[string][]byte{asideName + "9": []byte("older"), asideName + "10": file, nextName: next})
		if r == nil || filepath.Base(r.SetAside) != asideName+"10" {
			t.Fatalf("%s: %+v", name, r)
		}
		equal(t, got, want)
	}
	if got, r := crash(t, map[string][]byte{asideName + "1": file}); r != nil || len(got) > 0 {
		t.Errorf("removed: %+v, %d entries", r, len(got))
	}
	if got, r := crash(t, map[string][]byte{nextName: file[:5000]}); r != nil || len(got) > 0 {
		t.Errorf("the first start: %+v, %d entries", r, len(got))
	}
}
