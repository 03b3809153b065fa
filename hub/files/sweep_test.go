package files

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/herald-im/herald/hub/store"
)

// name makes a message name a file.
func (r *rig) name(f file, seq uint64) {
	r.t.Helper()
	r.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.AddFileRef(ctx, app, f.hash, r.talk, seq, r.cfg.Now())
	})
}

func (r *rig) sweepNow() {
	r.t.Helper()
	if err := r.sweep(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func TestSweepByAge(t *testing.T) {
	day := 24 * time.Hour
	r := newRig(t, func(c *Config) { c.MaxAge = 30 * day })
	named, unnamed, half := newFile(1000, 1), newFile(1001, 2), newFile(1002, 3)
	r.put("door", named)
	r.name(named, 1)
	r.put("door", unnamed)
	target := r.upURL("door", half)
	r.want("POST", r.post(target, 1002), 201)
	r.want("PATCH", r.patch(target, 0, half.data[:500]), 204)
	r.pass(23 * time.Hour)
	r.want("PATCH", r.patch(target, 500, half.data[500:600]), 204)
	r.sweepNow()
	r.wantComplete(2)
	r.pass(2 * time.Hour)
	r.sweepNow()
	r.wantComplete(1)
	r.get("door", named)
	if a := r.head(r.upURL("door", half)); a.status != 200 || a.offset() != 600 {
		t.Errorf("an upload that has moved is gone: %d", a.status)
	}
	r.want("a file that nobody named", r.do("GET", r.downURL("door", unnamed), nil, nil), 404)
	r.pass(day)
	r.sweepNow()
	r.kept(named)
	r.want("half an upload", r.head(r.upURL("door", half)), 404)
	if !strings.Contains(r.log.String(), "unfinished=1 unused=0 old=0 overMaxBytes=0 withoutRow=0 bytes=600 filesLeft=1 bytesLeft=1000") {
		t.Errorf("the operator is not told: %s", r.log)
	}
	// Another message names it: it is not old.
	r.pass(20 * day)
	r.name(named, 2)
	r.pass(20 * day)
	r.sweepNow()
	r.kept(named)
	r.pass(11 * day)
	r.sweepNow()
	r.kept()
	r.want("an old file", r.do("GET", r.downURL("door", named), nil, nil), 404)
	if s := r.Stats(); s.Files != 0 || s.Bytes != 0 {
		t.Errorf("%+v", s)
	}
	// It may come back, and is what the messages name.
	r.put("indoor", named)
	r.pass(25 * time.Hour)
	r.sweepNow()
	r.kept(named)
}

// What a message names that is kept nowhere is there as long as it was granted, also
// where that is longer than UnusedFor.
func TestSweepSparesWhatIsGranted(t *testing.T) {
	r := newRig(t, func(c *Config) { c.UnusedFor = time.Hour })
	f := newFile(1000, 1)
	r.put("door", f)
	r.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.GrantFile(ctx, app, f.hash, "room", r.cfg.Now().Add(24*time.Hour))
	})
	r.pass(23 * time.Hour)
	r.sweepNow()
	r.kept(f)
	r.pass(2 * time.Hour)
	r.sweepNow()
	r.kept()
}

func TestForEver(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxAge = -1 })
	f := newFile(1000, 1)
	r.put("door", f)
	r.name(f, 1)
	r.pass(100 * 365 * 24 * time.Hour)
	r.sweepNow()
	r.kept(f)
}

// Over max_bytes those go that were not used for longest: sent or fetched.
func TestSweepByBytes(t *testing.T) {
	const size = 100_000
	r := newRig(t, func(c *Config) { c.MaxBytes = 3*size + 10; c.UnusedFor = 1000 * time.Hour })
	var all []file
	for i := range 3 {
		f := newFile(size, uint64(i))
		r.put("door", f)
		r.name(f, uint64(i+1))
		all = append(all, f)
		r.pass(25 * time.Hour)
	}
	r.sweepNow()
	r.kept(all...)
	r.get("door", all[0]) // so it is the second that was not used for longest
	r.sweepNow()
	f := newFile(size, 9)
	r.put("door", f) // wakes the sweep
	for deadline := time.Now().Add(20 * time.Second); r.Stats().Files != 3; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing is removed: %+v", r.Stats())
		}
	}
	r.sweepNow() // after the one that was woken
	r.kept(all[0], all[2], f)
	r.want("GET", r.do("GET", r.downURL("door", all[1]), nil, nil), 404)
	// What would not fit if all others went is refused.
	if err := r.Room(4 * size); err == nil {
		t.Error("a file is taken that is larger than all room")
	}
	r.want("POST", r.post(r.upURLOf("door", hashOf(1), 4*size), 4*size), 507)
	r.want("POST", r.post(r.upURLOf("door", hashOf(2), 3*size), 3*size), 201)
}

// Who asks for room wakes the sweep only where it has something to remove.
func TestRoomWakesTheSweep(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxBytes = 150_000 })
	r.put("door", newFile(100_000, 1))
	r.stop() // nobody takes what is woken
	for _, have := range []int64{0, 50_000} {
		r.shelf.put("half", half{user: "door", size: 100_000, have: have})
		if err := r.Room(100_000); err != nil || len(r.full) != 0 {
			t.Errorf("with %d bytes of an upload: woken %d times: %v", have, len(r.full), err)
		}
	}
	r.shelf.put("half", half{user: "door", size: 100_000, have: 50_001})
	if err := r.Room(100_000); err == nil {
		t.Error("there is room for both uploads")
	}
	if err := r.Room(99_999); err != nil || len(r.full) != 1 {
		t.Errorf("woken %d times: %v", len(r.full), err)
	}
}

// A file that somebody uploads at this moment is not removed under his hands.
func TestSweepSparesWhatIsUploaded(t *testing.T) {
	r := newRig(t)
	f := newFile(1000, 1)
	r.put("door", f)
	r.pass(25 * time.Hour)
	release := r.turns.try(f.hash)
	r.sweepNow()
	r.kept(f)
	release()
	// His upload makes it wanted again.
	r.put("indoor", f)
	r.sweepNow()
	r.kept(f)
	r.pass(25 * time.Hour)
	r.sweepNow()
	r.kept()
}

// Bytes without a row go only after they were without one for a while, as this
// process has seen it.
func TestOrphans(t *testing.T) {
	r := newRig(t)
	f, lost, late := newFile(1000, 1), newFile(1001, 2), newFile(1002, 3)
	r.put("door", f)
	r.name(f, 1)
	r.put("door", lost)
	r.put("door", late)
	r.write(func(ctx context.Context, tx *store.Tx) error {
		row, err := tx.File(ctx, app, lost.hash)
		if err == nil {
			err = tx.DeleteFile(ctx, app, row)
		}
		if err == nil {
			row, err = tx.File(ctx, app, late.hash)
		}
		if err == nil {
			err = tx.DeleteFile(ctx, app, row)
		}
		return err
	})
	r.pass(48 * time.Hour)
	r.sweepNow() // sees them first
	r.wantComplete(3)
	r.pass(25 * time.Hour)
	r.put("indoor", late) // uploaded anew
	r.name(late, 2)
	r.sweepNow()
	r.kept(f, late)
}

// smallDisk mounts a file system of a few MiB. Without root the test is skipped.
func smallDisk(t *testing.T, option string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, option); err != nil {
		if os.Getenv("CI") == "true" && os.Geteuid() == 0 {
			t.Fatalf("a small file system cannot be mounted: %v", err)
		}
		t.Skipf("a small file system cannot be mounted (this needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A disk that is full refuses with a status that says so, keeps what has come, and
// goes on once there is room. Nothing half is ever served.
func TestDiskFull(t *testing.T) {
	for name, minFree := range map[string]int64{"to the last byte": -1, "with room kept back": 2 << 20} {
		t.Run(name, func(t *testing.T) {
			dir := smallDisk(t, "size=8m")
			r := newRig(t, func(c *Config) { c.Dir, c.MinFree = filepath.Join(dir, "files"), minFree })
			f := newFile(5<<20, 1)
			target := r.upURL("door", f)
			r.want("POST", r.post(target, 5<<20), 201)
			eaten := filepath.Join(dir, "eaten")
			overwrite(t, eaten, strings.Repeat("x", 4<<20))
			// The hub answers while the client still sends, and closes: the answer may be lost.
			a, err := try("PATCH", target, patchHeader(0), strings.NewReader(string(f.data)))
			if err == nil {
				r.want("PATCH", a, 507)
				if strings.Contains(string(a.body), dir) || a.header.Get("Retry-After") == "" {
					t.Errorf("%s %v", a.body, a.header)
				}
			}
			at := r.want("HEAD", r.head(target), 200).offset()
			if at < 1<<20 || at > 4<<20 {
				t.Errorf("the hub has %d", at)
			}
			if minFree > 0 {
				if free, err := freeBytes(dir); err != nil || free < minFree-lookEvery {
					t.Errorf("%d bytes are free: %v", free, err)
				}
				if err := r.Room(1 << 20); err == nil {
					t.Error("another upload may begin")
				}
				r.want("POST", r.post(r.upURLOf("door", hashOf(1), 1<<20), 1<<20), 507)
			}
			if a := r.do("GET", r.downURL("door", f), nil, nil); a.status != 403 {
				t.Errorf("half a file is served: %d", a.status)
			}
			a, err = try("PATCH", target, patchHeader(at), strings.NewReader(string(f.data[at:])))
			if err == nil && a.status != 507 {
				t.Errorf("it is still full: %d", a.status)
			}
			at = r.want("HEAD", r.head(target), 200).offset()
			if err := os.Remove(eaten); err != nil {
				t.Fatal(err)
			}
			r.want("PATCH", r.patch(target, at, f.data[at:]), 204)
			r.kept(f)
			r.get("door", f)
		})
	}
}

// Not a single file more fits on the disk: a beginning leaves nothing behind.
func TestNoInodes(t *testing.T) {
	dir := smallDisk(t, "size=8m,nr_inodes=6") // the root, files, uploads, an upload's two, and one more
	r := newRig(t, func(c *Config) { c.Dir = filepath.Join(dir, "files") })
	f := newFile(1000, 1)
	r.want("POST", r.post(r.upURL("door", f), 1000), 201)
	r.want("POST", r.post(r.upURLOf("door", hashOf(1), 1000), 1000), 507)
	r.want("HEAD", r.head(r.upURLOf("door", hashOf(1), 1000)), 404)
	if names := r.onDisk(); len(names) != 1 {
		t.Errorf("on disk: %q", names)
	}
	// Nor can the one that is complete be moved, as that takes a directory and a name.
	r.want("PATCH", r.patch(r.upURL("door", f), 0, f.data), 507)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "nr_inodes=20"); err != nil {
		t.Fatal(err)
	}
	r.want("HEAD", r.head(r.upURL("door", f)), 200)
	r.kept(f)
}
