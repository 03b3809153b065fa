package files

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/herald-im/herald/device/store/disktest"
	"github.com/herald-im/herald/protocol"
)

func TestSpoolIsBounded(t *testing.T) {
	b := newBoard(t, t.TempDir(), func(o *Options) { o.Spool = 40 << 10 })
	one := b.put(t, noise(1, 20<<10), "a")
	_, err := b.Take(context.Background(), file(t, noise(2, 21<<10)), "b", 1<<20)
	wantCode(t, err, protocol.CodeNetReqCountLimit)
	// Of a length that nobody knows, too.
	_, _, err = b.Receive(context.Background(), bytes.NewReader(noise(2, 21<<10)), "", 1<<20)
	wantCode(t, err, protocol.CodeNetReqCountLimit)
	two := b.put(t, noise(2, 20<<10), "b") // just fits
	_, err = b.Put(context.Background(), []byte("x"), "c")
	wantCode(t, err, protocol.CodeNetReqCountLimit)
	b.Unpin("a")
	three := b.put(t, []byte("x"), "c")
	wantCode(t, b.Pin("d", one.Hash), protocol.CodeNetReqCountLimit)
	if err := b.Pin("d", two.Hash, three.Hash); err != nil { // they are pinned already
		t.Error(err)
	}
	if s := b.Stats(); s != (Stats{Files: 3, Cached: 20 << 10, Pinned: 24 << 10}) {
		t.Errorf("%+v", s)
	}
	if _, tmp := inFolder(t, b); len(tmp) != 0 {
		t.Error(tmp)
	}
}

// TestEviction: the cache stays within its bound, what was used last stays, and
// what is pinned always does.
func TestEviction(t *testing.T) {
	b := newBoard(t, t.TempDir(), func(o *Options) { o.Cache = 100 << 10 })
	pinned := b.put(t, noise(100, 64<<10), "pinned")
	var all []File
	for i := range 20 {
		f := b.put(t, noise(uint64(i), 20<<10), "m")
		b.Unpin("m")
		all = append(all, f)
		if _, here := b.Path(all[0].Hash); !here { // it is used all the time
			t.Fatalf("file 0 is gone after %d", i)
		}
		if s := b.Stats(); s.Cached > 100<<10 {
			t.Fatalf("%+v", s)
		}
	}
	for i, f := range all {
		if _, here := b.Path(f.Hash); here != (i == 0 || i >= 16) {
			t.Errorf("file %d is here: %v", i, here)
		}
	}
	if _, here := b.Path(pinned.Hash); !here {
		t.Error("what was pinned is gone")
	}
	if hashes, _ := inFolder(t, b); len(hashes) != 6 {
		t.Error(len(hashes))
	}
	// After a restart too, also when the bound is another one.
	b = b.again(t, func(o *Options) { o.Cache = 50 << 10 })
	if hashes, _ := inFolder(t, b); len(hashes) != 3 || b.Stats() != (Stats{Files: 3, Cached: 40 << 10, Pinned: 64 << 10}) {
		t.Error(len(hashes), b.Stats())
	}
	b.Unpin("pinned") // it is more than the whole cache
	if _, here := b.Path(pinned.Hash); here || b.Stats().Pinned != 0 {
		t.Errorf("%+v", b.Stats())
	}
}

func TestFullDisk(t *testing.T) {
	disk := disktest.Small(t, 8)
	b := newBoard(t, t.TempDir(), func(o *Options) { o.Dir, o.MinFree = disk, 1<<20 })
	cached := b.put(t, noise(1, 3<<20), "m")
	b.Unpin("m")
	pinned := b.put(t, noise(2, 3<<20), "n")
	// 2 MiB are free, of which 1 is kept back: what is cached makes room.
	third := b.put(t, noise(3, 3<<20), "o")
	if _, here := b.Path(cached.Hash); here {
		t.Error("what is cached has stayed")
	}
	_, err := b.Take(context.Background(), file(t, noise(4, 3<<20)), "p", 1<<30)
	wantCode(t, err, protocol.CodeDatabaseFailure)
	_, _, err = b.Receive(context.Background(), bytes.NewReader(noise(4, 3<<20)), "", 1<<30)
	wantCode(t, err, protocol.CodeDatabaseFailure)
	for _, f := range []File{pinned, third} {
		if _, here := b.Path(f.Hash); !here {
			t.Error("what is pinned is gone")
		}
	}
	// Somebody else eats what is kept back while a file is copied.
	eaten, err := os.Create(filepath.Join(disk, "eaten"))
	if err != nil {
		t.Fatal(err)
	}
	defer eaten.Close()
	b.opts.MinFree = -1 << 30
	for err = nil; err == nil; {
		_, err = eaten.Write(make([]byte, 64<<10))
	}
	_, err = b.Put(context.Background(), noise(5, 1<<20), "q")
	wantCode(t, err, protocol.CodeDatabaseFailure)
	if hashes, tmp := inFolder(t, b); len(tmp) != 0 || b.Stats() != (Stats{Files: 2, Pinned: 6 << 20}) {
		t.Error(hashes, tmp, b.Stats())
	}
}

// blocked is a file that is read to its end once it is opened.
type blocked struct {
	io.Reader
	reached, open chan struct{}
}

func (r *blocked) Read(p []byte) (int, error) {
	select {
	case <-r.reached:
	default:
		close(r.reached)
	}
	<-r.open
	return r.Reader.Read(p)
}

// TestPromised: what is being written has its room, also while it is not written.
func TestPromised(t *testing.T) {
	disk := disktest.Small(t, 8)
	b := newBoard(t, t.TempDir(), func(o *Options) { o.Dir, o.MinFree = disk, 1<<20 })
	data, other := noise(1, 4<<20), noise(2, 4<<20)
	src := &blocked{bytes.NewReader(data), make(chan struct{}), make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		_, err := b.keep(context.Background(), "it", src, "m", 4<<20, 4<<20)
		done <- err
	}()
	<-src.reached
	_, err := b.Put(context.Background(), other, "n")
	wantCode(t, err, protocol.CodeDatabaseFailure)
	_, _, err = b.openPart(hashOf(other), 4<<20)
	wantCode(t, err, protocol.CodeDatabaseFailure)
	close(src.open)
	if err := <-done; err != nil {
		t.Error(err)
	}
	b.put(t, noise(3, 2<<20), "n") // all that is left
	b.Unpin("m")
	b.Unpin("n")

	// What is cached makes room for the first, and the first is in the second's way.
	f, have, err := b.openPart(hashOf(other), 4<<20)
	if err != nil || have != 0 {
		t.Fatal(have, err)
	}
	_, err = b.Put(context.Background(), data, "m")
	wantCode(t, err, protocol.CodeDatabaseFailure)
	if _, err := f.Write(other[:3<<20]); err != nil {
		t.Fatal(err)
	}
	b.partHas(hashOf(other), 3<<20)
	b.put(t, noise(4, 1<<20), "m") // it needs 1 MiB more, and not 4
	b.closePart(hashOf(other), f, 3<<20)
	if b.promised != 0 {
		t.Error(b.promised)
	}
}

// TestNothingLeavesInVain: where the whole cache would not be enough it stays.
func TestNothingLeavesInVain(t *testing.T) {
	disk := disktest.Small(t, 8)
	b := newBoard(t, t.TempDir(), func(o *Options) { o.Dir, o.MinFree, o.Cache = disk, 1<<20, 4<<20 })
	cached := b.put(t, noise(1, 1<<20), "m")
	b.Unpin("m")
	_, err := b.Put(context.Background(), noise(2, 8<<20), "n")
	wantCode(t, err, protocol.CodeDatabaseFailure)
	f, _, err := b.openPart(hashOf([]byte("one")), 3<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.openPart(hashOf([]byte("two")), 2<<20); !errors.Is(err, errCrowded) {
		t.Error(err)
	}
	b.closePart(hashOf([]byte("one")), f, 0)
	if _, here := b.Path(cached.Hash); !here {
		t.Error("what was cached has left for nothing")
	}
}
