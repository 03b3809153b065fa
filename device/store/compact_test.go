package store

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/herald-im/herald/device/store/disktest"
)

// mostlyFree makes a store in dir that was large once.
func mostlyFree(t *testing.T, dir string, bytes int) content {
	t.Helper()
	db, _ := open(t, dir)
	const size, batch = 8 << 10, 256
	n := bytes / size
	for first := 0; first < n; first += batch {
		err := db.Do(func(tx *bbolt.Tx) error {
			for range batch {
				if err := put("b", strings.Repeat("x", size))(tx); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := db.Do(func(tx *bbolt.Tx) error {
		for i := range n {
			if err := tx.Bucket([]byte("b")).Delete(key(uint64(i + 1))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Do(put("b", "kept")); err != nil {
		t.Fatal(err)
	}
	want := contentOf(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return want
}

func sizeOf(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func equal(t *testing.T, got, want content) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d entries, not %d", len(got), len(want))
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %.20q, not %.20q", k, got[k], v)
		}
	}
}

func TestCompactAtStart(t *testing.T) {
	dir := t.TempDir()
	want := mostlyFree(t, dir, 20<<20)
	if n := sizeOf(t, dir); n < 20<<20 {
		t.Fatalf("only %d bytes to begin with", n)
	}
	// A crash in the middle of an earlier attempt left this.
	if err := os.WriteFile(filepath.Join(dir, nextName), []byte("half a store"), 0o600); err != nil {
		t.Fatal(err)
	}
	db, r := open(t, dir)
	if r != nil {
		t.Errorf("%+v", r)
	}
	if n := sizeOf(t, dir); n > compactOver {
		t.Errorf("still %d bytes", n)
	}
	equal(t, contentOf(t, db), want)
	if err := db.Do(put("b", "goes on")); err != nil {
		t.Error(err)
	}
	err := db.View(func(tx *bbolt.Tx) error {
		if k, _ := tx.Bucket([]byte("b")).Cursor().Last(); string(k) != string(key(20<<20/(8<<10)+2)) {
			t.Errorf("the numbering went on with %x", k)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, nextName)); !errors.Is(err, os.ErrNotExist) {
		t.Error("something is left over", err)
	}
}

func TestNoRoomToCompact(t *testing.T) {
	dir := disktest.Small(t, 32)
	want := mostlyFree(t, dir, 16<<20)
	disktest.Fill(t, dir)
	size := sizeOf(t, dir)
	db, r, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if r != nil || sizeOf(t, dir) != size {
		t.Errorf("%+v, %d bytes", r, sizeOf(t, dir))
	}
	equal(t, contentOf(t, db), want)
}
