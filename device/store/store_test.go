package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

func open(t testing.TB, dir string) (*DB, *Replaced) {
	t.Helper()
	db, r, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db, r
}

func key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// put appends a value to a bucket.
func put(name, value string) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(name))
		if err != nil {
			return err
		}
		n, err := b.NextSequence()
		if err != nil {
			return err
		}
		return b.Put(key(n), []byte(value))
	}
}

func values(t testing.TB, db *DB, name string) (out []string) {
	t.Helper()
	err := db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket([]byte(name)); b != nil {
			return b.ForEach(func(_, v []byte) error {
				out = append(out, string(v))
				return nil
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func txid(t testing.TB, db *DB) (id int) {
	t.Helper()
	if err := db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return id
}

// hold keeps the committer busy until the function returned is called.
func hold(db *DB) (release func()) {
	began, end := make(chan struct{}), make(chan struct{})
	go db.Go(func(*bbolt.Tx) error { close(began); <-end; return nil }, func(error) {})
	<-began
	return func() { close(end) }
}

func TestManyOperationsShareATransaction(t *testing.T) {
	db, _ := open(t, t.TempDir())
	release := hold(db)
	before := txid(t, db)
	var order []int
	var wg sync.WaitGroup
	for i := range 600 {
		wg.Add(1)
		db.Go(put("b", fmt.Sprint(i)), func(err error) {
			if err != nil {
				t.Error(err)
			}
			order = append(order, i)
			wg.Done()
		})
	}
	release()
	wg.Wait()
	if n := txid(t, db) - before; n > 3 { // the held one, 512, the rest
		t.Errorf("600 operations took %d transactions", n)
	}
	for i, v := range values(t, db, "b") {
		if v != fmt.Sprint(i) || order[i] != i {
			t.Fatalf("at %d: value %s, done %d", i, v, order[i])
		}
	}
	if err := db.Do(nil); err != nil {
		t.Error(err)
	}
	before = txid(t, db)
	db.Ping()
	if txid(t, db) != before {
		t.Error("Ping wrote")
	}
}

func TestRefusalIsForOneOnly(t *testing.T) {
	db, _ := open(t, t.TempDir())
	release := hold(db)
	var got [3]error
	var wg sync.WaitGroup
	wg.Add(3)
	refusal := protocol.Errorf(protocol.CodeNetReqCountLimit, "full")
	for i, run := range []func(*bbolt.Tx) error{put("b", "one"), func(*bbolt.Tx) error { return refusal }, put("b", "two")} {
		db.Go(run, func(err error) { got[i] = err; wg.Done() })
	}
	release()
	wg.Wait()
	if got[0] != nil || !errors.Is(got[1], refusal) || TakenBack(got[1]) || got[2] != nil {
		t.Error(got)
	}
	if v := values(t, db, "b"); len(v) != 2 {
		t.Error(v)
	}
}

func TestFailureTakesTheBatchBack(t *testing.T) {
	db, _ := open(t, t.TempDir())
	if err := db.Do(put("b", "before")); err != nil {
		t.Fatal(err)
	}
	release := hold(db)
	var got [3]error
	var wg sync.WaitGroup
	wg.Add(3)
	cause := errors.New("no such luck")
	for i, run := range []func(*bbolt.Tx) error{put("b", "one"), func(*bbolt.Tx) error { return cause }, put("b", "two")} {
		db.Go(run, func(err error) { got[i] = err; wg.Done() })
	}
	release()
	wg.Wait()
	for i, err := range got {
		if !TakenBack(err) || !errors.Is(err, cause) || protocol.AsError(err).Code != protocol.CodeDatabaseFailure {
			t.Error(i, err)
		}
	}
	if v := values(t, db, "b"); len(v) != 1 {
		t.Error(v)
	}
	if err := db.Do(put("b", "after")); err != nil {
		t.Error(err)
	}
}

func TestCloseCommitsWhatWasHandedOver(t *testing.T) {
	before := runtime.NumGoroutine()
	dir := t.TempDir()
	db, _ := open(t, dir)
	release := hold(db)
	var failed error
	for i := range 100 {
		db.Go(put("b", fmt.Sprint(i)), func(err error) { failed = errors.Join(failed, err) })
	}
	closed := make(chan error)
	go func() { closed <- db.Close() }()
	go func() { closed <- db.Close() }()
	release()
	for range 2 {
		if err := <-closed; err != nil {
			t.Error(err)
		}
	}
	if failed != nil {
		t.Error(failed)
	}
	if err := db.Do(put("b", "late")); protocol.AsError(err).Code != protocol.CodeDatabaseFailure || TakenBack(err) {
		t.Error(err)
	}
	db.Ping()
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines are left of %d", n, before)
	}
	db, r := open(t, dir)
	if v := values(t, db, "b"); len(v) != 100 || r != nil {
		t.Error(len(v), r)
	}
}

func TestSecondHandleIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if _, _, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler)}); !errors.Is(err, ErrInUse) {
		t.Fatal(err)
	}
}

func TestLockIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	first, _ := open(t, dir)
	opened := make(chan error)
	go func() {
		db, _, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			err = db.Close()
		}
		opened <- err
	}()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

func TestOddThingsInPlaceOfTheFile(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, fileName), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(Options{Dir: dir, Log: log}); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(Options{Dir: file, Log: log}); err == nil {
		t.Error("a file did for a directory")
	}
	if os.Getuid() == 0 {
		return // nothing is forbidden to root
	}
	dir = t.TempDir()
	db, _ := open(t, dir)
	_ = db.Close()
	if err := os.Chmod(filepath.Join(dir, fileName), 0o400); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(Options{Dir: dir, Log: log}); !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
}

// TestBugIsNotDamage runs itself as another process, which a bug of ours ends.
func TestBugIsNotDamage(t *testing.T) {
	if dir := os.Getenv("HERALD_TEST_BUG"); dir != "" {
		db, _ := open(t, dir)
		var nobody *DB
		_ = db.Do(func(*bbolt.Tx) error { return errors.New(nobody.opts.Dir) })
		t.Fatal("the bug went unnoticed")
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestBugIsNotDamage$")
	cmd.Env = append(os.Environ(), "HERALD_TEST_BUG="+dir)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "nil pointer dereference") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, noteName)); !errors.Is(err, os.ErrNotExist) {
		t.Error("it was noted as damage", err)
	}
	_, r := open(t, dir)
	if r != nil {
		t.Error(r)
	}
}

func TestPanicsAreTold(t *testing.T) {
	db, _ := open(t, t.TempDir())
	if err := db.Do(put("b", "one")); err != nil {
		t.Fatal(err)
	}
	tell := func(f func()) (damage bool) {
		defer func() {
			p := recover()
			damage = isFault(p) || panicOfBolt()
		}()
		f()
		t.Error("no panic")
		return false
	}
	err := db.View(func(tx *bbolt.Tx) error {
		for what, c := range map[string]struct {
			f      func()
			damage bool
		}{
			"an index of ours":                   {func() { _ = key(1)[len(fileName)+100:] }, false},
			"a nil pointer of ours":              {func() { _ = (*DB)(nil).opts.Dir + "" }, false},
			"ours, in a function of the library": {func() { _ = strings.Repeat("x", -len(fileName)) }, false},
			"ours, called by bbolt":              {func() { _ = tx.ForEach(func([]byte, *bbolt.Bucket) error { panic("ours") }) }, false},
			"an assertion of bbolt's":            {func() { _ = tx.Rollback() }, true},
			"an index of bbolt's":                {func() { _ = (&bbolt.Cursor{}).Delete() }, true},
		} {
			if got := tell(c.f); got != c.damage {
				t.Errorf("%s: %v", what, got)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
