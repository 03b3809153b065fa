package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/herald-im/herald/protocol"
)

// inFolder are the files that the folder holds, by hash, and those in tmp.
func inFolder(t testing.TB, b *board) (hashes, tmp []string) {
	t.Helper()
	err := filepath.WalkDir(b.opts.Dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
		case filepath.Base(filepath.Dir(path)) == tmpDir:
			tmp = append(tmp, d.Name())
		default:
			hashes = append(hashes, d.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hashes, tmp
}

func file(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTake(t *testing.T) {
	noLeaks(t)
	b := newBoard(t, t.TempDir(), nil)
	for _, size := range []int{1, copyBuffer - 1, copyBuffer, copyBuffer + 1, 3<<20 + 7} {
		data := noise(uint64(size), size)
		f, err := b.Take(context.Background(), file(t, data), "m", int64(size))
		if err != nil || f != (File{hashOf(data), int64(size)}) {
			t.Fatalf("%d bytes: %+v, %v", size, f, err)
		}
		path, here := b.Path(f.Hash)
		got, err := os.ReadFile(path)
		if !here || err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: here %v, %v", size, here, err)
		}
		if want := filepath.Join(b.opts.Dir, f.Hash[:2], f.Hash); path != want {
			t.Errorf("it is at %s", path)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(file(t, []byte("by a link")), link); err != nil {
		t.Fatal(err)
	}
	if f, err := b.Take(context.Background(), link, "m", 100); err != nil || f.Hash != hashOf([]byte("by a link")) {
		t.Error(f, err)
	}
	// What is here may be sent again, and is there once.
	path, _ := b.Path(hashOf([]byte("by a link")))
	if f, err := b.Take(context.Background(), path, "m2", 100); err != nil || f.Hash != hashOf([]byte("by a link")) {
		t.Error(f, err)
	}
	if hashes, tmp := inFolder(t, b); len(hashes) != 6 || len(tmp) != 0 {
		t.Error(hashes, tmp)
	}
}

func TestTakeRefused(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	b := newBoard(t, dir, nil)
	at := func(name string, make func(path string) error) string {
		t.Helper()
		path := filepath.Join(other, name)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := func(to string) func(string) error {
		return func(path string) error { return os.Symlink(to, path) }
	}
	socket, err := net.Listen("unix", filepath.Join(other, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	open, err := os.Open(at("opened", func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) }))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	for name, tc := range map[string]struct {
		path string
		code protocol.Code
	}{
		"no file":           {filepath.Join(other, "no"), protocol.CodeFileNotFound},
		"no folder":         {filepath.Join(other, "no", "no"), protocol.CodeFileNotFound},
		"a file as folder":  {filepath.Join(at("f", func(p string) error { return os.WriteFile(p, []byte("x"), 0o600) }), "x"), protocol.CodeFileNotFound},
		"not absolute":      {"rig_test.go", protocol.CodeFileNotFound},
		"no path":           {"", protocol.CodeFileNotFound},
		"a NUL in it":       {other + "/a\x00b", protocol.CodeFileOpenFailed},
		"too long":          {"/" + strings.Repeat("x", 5000), protocol.CodeFileOpenFailed},
		"a folder":          {other, protocol.CodeFileOpenFailed},
		"a fifo":            {at("fifo", func(p string) error { return unix.Mkfifo(p, 0o600) }), protocol.CodeFileOpenFailed},
		"a socket":          {filepath.Join(other, "socket"), protocol.CodeFileOpenFailed},
		"a device":          {"/dev/zero", protocol.CodeFileOpenFailed},
		"a link in a ring":  {at("ring", link(filepath.Join(other, "ring"))), protocol.CodeFileOpenFailed},
		"of the kernel":     {"/proc/self/environ", protocol.CodeFileOpenFailed},
		"of the kernel too": {"/sys/kernel/mm/transparent_hugepage/enabled", protocol.CodeFileOpenFailed},
		"by a link there":   {at("environ", link("/proc/self/environ")), protocol.CodeFileOpenFailed},
		"by a descriptor":   {fmt.Sprintf("/proc/self/fd/%d", open.Fd()), protocol.CodeFileOpenFailed},
		"the daemon's own":  {filepath.Join(dir, "herald.db"), protocol.CodeFileOpenFailed},
		"by a link to it":   {at("own", link(filepath.Join(dir, "herald.db"))), protocol.CodeFileOpenFailed},
		"empty":             {at("empty", func(p string) error { return os.WriteFile(p, nil, 0o600) }), protocol.CodeFileSizeEmpty},
		"too large":         {at("large", func(p string) error { return os.WriteFile(p, make([]byte, 1001), 0o600) }), protocol.CodeFileTooLarge},
		"too large by far":  {at("sparse", func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Truncate(p, 1<<40)) }), protocol.CodeFileTooLarge},
		"no upload":         {"upload:no", protocol.CodeFileNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(tc.path, "/sys") {
				if _, err := os.Stat(tc.path); err != nil {
					t.Skip(err)
				}
			}
			_, err := b.Take(context.Background(), tc.path, "m", 1000)
			wantCode(t, err, tc.code)
		})
	}
	if os.Geteuid() != 0 {
		_, err := b.Take(context.Background(), at("forbidden", func(p string) error { return os.WriteFile(p, []byte("x"), 0) }), "m", 1000)
		wantCode(t, err, protocol.CodeFileOpenFailed)
	}
	for _, owner := range []string{"", "a\x00b", strings.Repeat("x", maxOwner+1)} {
		if _, err := b.Take(context.Background(), file(t, []byte("x")), owner, 10); err == nil {
			t.Errorf("%.10q owns a file", owner)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.Take(ctx, file(t, []byte("x")), "m", 10); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if hashes, tmp := inFolder(t, b); len(hashes) != 0 || len(tmp) != 0 || b.Stats() != (Stats{}) {
		t.Error(hashes, tmp, b.Stats())
	}
}

// growing is a file to which somebody writes while it is read.
type growing struct{ io.Reader }

// TestChangesMeanwhile: what is stored is what its hash says, whatever happened to
// the file while it was read, and no more than may be.
func TestChangesMeanwhile(t *testing.T) {
	b := newBoard(t, t.TempDir(), nil)
	path := file(t, noise(1, 4<<20))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for i := uint64(0); ; i++ {
			select {
			case <-stop:
				return
			default:
				_, _ = f.WriteAt(noise(i, 64<<10), int64(i*7919%(4<<20)))
			}
		}
	}()
	for i := range 10 {
		f, err := b.Take(context.Background(), path, "m", 8<<20)
		if err != nil {
			t.Fatal(i, err)
		}
		p, _ := b.Path(f.Hash)
		if got, err := os.ReadFile(p); err != nil || hashOf(got) != f.Hash || int64(len(got)) != f.Size {
			t.Errorf("%d: %d bytes, %v", i, len(got), err)
		}
	}
	close(stop)
	wg.Wait()
	_, err := b.keep(context.Background(), "it", growing{io.LimitReader(endless{}, 2<<20)}, "m", 10, 1<<20)
	wantCode(t, err, protocol.CodeFileTooLarge)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestOrderAfterRestart: what was used last before it stays.
func TestOrderAfterRestart(t *testing.T) {
	dir := t.TempDir()
	b := newBoard(t, dir, nil)
	var all []File
	for i := range 5 {
		f := b.put(t, noise(uint64(i), 20<<10), "m")
		b.Unpin("m")
		at := time.Now().Add(-time.Duration(10*i+30) * time.Hour) // the first one is the newest
		if err := os.Chtimes(b.path(f.Hash), at, at); err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	b = b.again(t, nil)
	if _, here := b.Path(all[4].Hash); !here { // the oldest is used
		t.Fatal("gone")
	}
	before, _ := os.Stat(b.path(all[4].Hash))
	b.Path(all[4].Hash)
	after, _ := os.Stat(b.path(all[4].Hash))
	if time.Since(before.ModTime()) > time.Hour || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("the time of use is %v, then %v: not once a day", before.ModTime(), after.ModTime())
	}
	b = b.again(t, func(o *Options) { o.Cache = 40 << 10 })
	for i, f := range all {
		if _, here := b.Path(f.Hash); here != (i == 0 || i == 4) {
			t.Errorf("file %d is here: %v", i, here)
		}
	}
}

func TestOwners(t *testing.T) {
	b := newBoard(t, t.TempDir(), func(o *Options) { o.Cache = 0 })
	one, two := b.put(t, []byte("one"), "draft"), b.put(t, []byte("two"), "draft")
	if err := b.Pin("message", one.Hash, two.Hash, one.Hash); err != nil {
		t.Fatal(err)
	}
	b.Unpin("draft")
	b.Unpin("draft")
	b.Unpin("nobody")
	if got := b.Owned("message"); !slices.Equal(got, []string{one.Hash, two.Hash}) || len(b.Owned("draft")) != 0 {
		t.Error(got)
	}
	if err := b.Pin("other", one.Hash, hashOf([]byte("no"))); !errors.Is(err, fs.ErrNotExist) || len(b.Owned("other")) != 0 {
		t.Error(err, b.Owned("other"))
	}
	for _, bad := range []string{"", "x", one.Hash + partSuffix} {
		if err := b.Pin("other", bad); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", bad, err)
		}
		if _, err := b.Store.Open(bad); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	b = b.again(t, func(o *Options) { o.Cache = 0 })
	if err := b.Pin("late", two.Hash); err != nil {
		t.Fatal(err)
	}
	var asked []string
	b.Sweep(func(owner string) bool {
		asked = append(asked, owner)
		return owner == "late"
	})
	slices.Sort(asked)
	if !slices.Equal(asked, []string{"late", "message"}) {
		t.Error(asked)
	}
	b = b.again(t, func(o *Options) { o.Cache = 0 })
	if _, here := b.Path(one.Hash); here {
		t.Error("what a dead owner owned is still here")
	}
	if _, here := b.Path(two.Hash); !here {
		t.Error("what a live owner owns is gone")
	}
	b.Unpin("late")
	if hashes, _ := inFolder(t, b); len(hashes) != 0 {
		t.Error(hashes)
	}
}

// TestLeftovers: what a crash or somebody else has left in the folder.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	b := newBoard(t, dir, nil)
	f, lost := b.put(t, []byte("kept"), "m"), b.put(t, []byte("lost"), "m")
	empty := b.put(t, []byte("cut"), "m")
	path := func(parts ...string) string { return filepath.Join(append([]string{b.opts.Dir}, parts...)...) }
	if err := errors.Join(
		os.Remove(b.path(lost.Hash)),
		os.Truncate(b.path(empty.Hash), 0),
		os.WriteFile(path(tmpDir, takePrefix+"123"), []byte("half"), 0o600),
		os.WriteFile(path(tmpDir, hashOf([]byte("part"))+partSuffix), []byte("pa"), 0o600),
		os.WriteFile(path("README"), []byte("of somebody"), 0o600),
		os.WriteFile(path(f.Hash[:2], "notes"), []byte("of somebody"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	b = b.again(t, nil)
	if s := b.Stats(); s != (Stats{Files: 2, Cached: 4096, Pinned: 4096}) {
		t.Errorf("%+v", s)
	}
	if _, tmp := inFolder(t, b); !slices.Equal(tmp, []string{hashOf([]byte("part")) + partSuffix}) {
		t.Error(tmp)
	}
	for _, p := range []string{path("README"), path(f.Hash[:2], "notes")} {
		if _, err := os.Stat(p); err != nil {
			t.Error(err)
		}
	}
	if got := b.Owned("m"); !slices.Equal(got, []string{f.Hash}) {
		t.Error(got)
	}
	// Somebody removes a file while the daemon runs.
	if err := os.Remove(b.path(f.Hash)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Store.Open(f.Hash); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if again := b.put(t, []byte("kept"), "m3"); again.Hash != f.Hash {
		t.Error(again)
	}
	b.Unpin("m")
	if s := b.Stats(); s.Pinned != 4096 {
		t.Errorf("m3 pins it still: %+v", s)
	}
	b.Unpin("m3")
	if s := b.Stats(); s.Pinned != 0 || s.Cached != 2*4096 {
		t.Errorf("%+v", s)
	}
}

// TestTakeMends: a file that is taken again is the fresh copy, whatever has become
// of the one that was here.
func TestTakeMends(t *testing.T) {
	b := newBoard(t, t.TempDir(), nil)
	data := noise(1, 5000)
	f := b.put(t, data, "m")
	for name, harm := range map[string]func(path string) error{
		"damaged": func(path string) error { return os.WriteFile(path, noise(2, 5000), 0o600) },
		"cut":     func(path string) error { return os.Truncate(path, 10) },
		"gone":    os.Remove,
	} {
		if err := harm(b.path(f.Hash)); err != nil {
			t.Fatal(err)
		}
		b.put(t, data, "n")
		if !bytes.Equal(b.content(t, f.Hash), data) {
			t.Error(name)
		}
	}
	if s := b.Stats(); s != (Stats{Files: 1, Pinned: 8192}) {
		t.Errorf("%+v", s)
	}
	if _, tmp := inFolder(t, b); len(tmp) != 0 {
		t.Error(tmp)
	}
}

// TestFinishPart leaves the file open: others read it.
func TestFinishPart(t *testing.T) {
	b := newBoard(t, t.TempDir(), nil)
	data := []byte("hello")
	for range 2 { // the second time it is there
		f, _, err := b.openPart(hashOf(data), 5)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := b.finishPart(hashOf(data), f); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if hashes, tmp := inFolder(t, b); len(tmp) != 0 || len(hashes) != 1 || b.Stats() != (Stats{Files: 1, Cached: 4096}) {
		t.Error(hashes, tmp, b.Stats())
	}
}

// TestManyAtOnce has the same and other files taken, used and let go at once, in a
// cache that is too small for them.
func TestManyAtOnce(t *testing.T) {
	noLeaks(t)
	b := newBoard(t, t.TempDir(), func(o *Options) { o.Cache = 16 << 10 })
	paths := make([]string, 5)
	for i := range paths {
		paths[i] = file(t, noise(uint64(i), 5000))
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 25 {
				owner := fmt.Sprintf("m%d", g)
				f, err := b.Take(context.Background(), paths[(g+i)%len(paths)], owner, 1<<20)
				if err != nil {
					t.Error(err)
					return
				}
				r, err := b.Store.Open(f.Hash)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := io.ReadAll(r); err != nil || hashOf(got) != f.Hash {
					t.Error("not what it was", err)
				}
				r.Close()
				b.Unpin(owner)
			}
		}()
	}
	wg.Wait()
	if s := b.Stats(); s.Pinned != 0 || s.Cached > 16<<10 || s.Cached != int64(s.Files)*8192 {
		t.Errorf("%+v", s)
	}
	if hashes, tmp := inFolder(t, b); len(hashes) != b.Stats().Files || len(tmp) != 0 {
		t.Error(hashes, tmp)
	}
}
