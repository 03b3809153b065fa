package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/herald-im/herald/device/store/disktest"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

func sound(t *testing.T, db *DB) {
	t.Helper()
	err := db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestFullDisk writes until the disk is full, and goes on when there is room.
func TestFullDisk(t *testing.T) {
	dir := disktest.Small(t, 4)
	db, _ := open(t, dir)
	var want []string
	fill := func() {
		for i := range 10_000 {
			v := fmt.Sprint(i, strings.Repeat("x", 3000))
			err := db.Do(put("b", v))
			if err == nil {
				want = append(want, v)
				continue
			}
			if !TakenBack(err) || !errors.Is(err, unix.ENOSPC) || protocol.AsError(err).Code != protocol.CodeDatabaseFailure {
				t.Fatal(err)
			}
			return
		}
		t.Fatal("the disk did not fill up")
	}
	check := func(when string) {
		t.Helper()
		got := values(t, db, "b")
		if strings.Join(got, "") != strings.Join(want, "") {
			t.Errorf("%s: %d values, not %d", when, len(got), len(want))
		}
		sound(t, db)
	}
	giveBack := disktest.Fill(t, dir)
	fill()
	for range 20 { // it stays usable, however often it fails
		if err := db.Do(put("b", strings.Repeat("y", 60_000))); !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
	check("full")
	giveBack()
	if err := db.Do(put("b", "resumed")); err != nil {
		t.Fatal(err)
	}
	want = append(want, "resumed")
	fill()
	check("full again")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, r := open(t, dir)
	if r != nil {
		t.Errorf("%+v", r)
	}
	check("opened on a full disk")
	select {
	case err := <-db.Damaged():
		t.Error(err)
	default:
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDiskStillDelivers has another program eat the disk to its last byte:
// what waits must still go out, which takes it off and writes events.
func TestFullDiskStillDelivers(t *testing.T) {
	dir := disktest.Small(t, 8)
	db, _, err := Open(Options{Dir: dir, MinFree: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	pad := filepath.Join(dir, "pad")
	if err := os.WriteFile(pad, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	n := 0
	for db.Room() == nil {
		if err := db.Do(put("outbox", strings.Repeat("x", 2000))); err != nil {
			t.Fatal("with room left:", err)
		}
		n++
	}
	if err := db.Room(); protocol.AsError(err).Code != protocol.CodeDatabaseFailure {
		t.Error(err)
	}
	giveBack := disktest.Fill(t, dir)
	const batch = 64
	var failed error
	i := 0
	for ; i+batch <= n && failed == nil; i += batch {
		failed = db.Do(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("outbox"))
			for j := range batch {
				if err := b.Delete(key(uint64(i + j + 1))); err != nil {
					return err
				}
				if err := put("journal", strings.Repeat("e", 130))(tx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if failed != nil {
		t.Errorf("after %d of %d: %v", i, n, failed)
	}
	giveBack()
	if err := os.Remove(pad); err != nil {
		t.Error(err)
	}
	if err := db.Room(); err != nil {
		t.Error(err)
	}
	sound(t, db)
}

// TestReserveStays: however the file grows, there is room on disk beyond what is
// in use before each transaction.
func TestReserveStays(t *testing.T) {
	db, _, err := Open(Options{Dir: t.TempDir(), MinFree: maxReserve, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	value := strings.Repeat("x", 20_000)
	for range 400 { // 8 MB: bolt cuts and stretches its file several times on the way
		if err := db.Do(put("b", value)); err != nil {
			t.Fatal(err)
		}
		err := db.Do(func(tx *bbolt.Tx) error {
			filled, err := db.file.Seek(tx.Size(), unix.SEEK_HOLE)
			if err != nil || filled < tx.Size()+maxReserve/2 {
				return fmt.Errorf("in use %d, filled to %d (%v)", tx.Size(), filled, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
