package files

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
)

// Options say where the files are and how many.
type Options struct {
	Dir     string // made with mode 0700 if missing
	Cache   int64  // bytes of files without an owner, with the partial ones
	Spool   int64  // bytes of files with one
	MinFree int64  // bytes of disk that files leave free
	// Private are files and folders out of which no program's file is taken, as
	// the daemon's own rights are more than a program's. Dir may be within one.
	Private []string
	DB      *store.DB
	Log     *slog.Logger

	now func() time.Time // of the tests
}

// File is what the store has under a hash.
type File struct {
	Hash string
	Size int64 // bytes
}

const (
	tmpDir     = "tmp"
	takePrefix = "take-"
	partSuffix = ".part"

	// block is what the smallest file takes: a bound in bytes is so a bound of
	// their number.
	block = 4096
	// touchAfter is how old the time of last use on the disk may be: to keep it
	// exact would wear the flash.
	touchAfter = 24 * time.Hour
	// tidyEvery is how often uploads that nobody claimed are looked for.
	tidyEvery = time.Hour
)

// Store is the folder. Its methods may be called by many goroutines.
type Store struct {
	opts Options

	mu       sync.Mutex // guards what follows, and the names in the folder
	entries  map[string]*entry
	idle     *list.List          // of the *entry that may be evicted, the one used last in front
	cached   int64               // bytes of all without an owner
	pinned   int64               // bytes of those with one, and of what is being taken
	promised int64               // bytes that there is to be room for, and that are not written yet
	owners   map[string][]string // hashes of each
	uploads  map[string]*upload
	complain time.Time // when it was last said that something cannot be removed

	cancel context.CancelFunc
	done   chan struct{}
}

// entry is a file in the folder, or a partial one in tmp.
type entry struct {
	name   string // the hash, or the hash and partSuffix
	size   int64
	used   time.Time // as the disk has it
	owners int
	at     *list.Element // in idle
	// promised are bytes of a partial one that are still to be written.
	promised int64
}

// room is what a file of so many bytes takes on the disk.
func room(size int64) int64 { return (size + block - 1) / block * block }

// Open reads what the folder holds and who owns it, and removes what a crash has
// left half done.
func Open(o Options) (*Store, error) {
	if o.now == nil {
		o.now = time.Now
	}
	s := &Store{
		opts: o, entries: make(map[string]*entry), idle: list.New(),
		owners: make(map[string][]string), uploads: make(map[string]*upload), done: make(chan struct{}),
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, tmpDir), 0o700); err != nil {
		return nil, fmt.Errorf("files: %w", err)
	}
	if err := s.scan(); err != nil {
		return nil, fmt.Errorf("files: read %s: %w", o.Dir, err)
	}
	if err := s.readOwners(); err != nil {
		return nil, fmt.Errorf("files: read who owns them: %w", err)
	}
	s.mu.Lock()
	s.evict()
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go s.tidy(ctx)
	return s, nil
}

// Close ends the store's own goroutine. What is being taken is its caller's.
func (s *Store) Close() {
	s.cancel()
	<-s.done
}

func (s *Store) tidy(ctx context.Context) {
	defer close(s.done)
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		s.dropUploads()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// scan fills the index from the folder. Nobody else is there yet.
func (s *Store) scan() error {
	var found []*entry
	add := func(name string, d fs.DirEntry) error {
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() || info.Size() == 0 {
			return os.RemoveAll(s.path(name)) // a crash of the file system
		}
		found = append(found, &entry{name: name, size: info.Size(), used: info.ModTime()})
		return nil
	}
	tops, err := os.ReadDir(s.opts.Dir)
	if err != nil {
		return err
	}
	for _, top := range tops {
		if len(top.Name()) != 2 && top.Name() != tmpDir || !top.IsDir() {
			continue
		}
		files, err := os.ReadDir(filepath.Join(s.opts.Dir, top.Name()))
		if err != nil {
			return err
		}
		for _, f := range files {
			name := f.Name()
			hash, part := strings.CutSuffix(name, partSuffix)
			switch {
			case top.Name() != tmpDir && protocol.ValidHash(name) && name[:2] == top.Name(),
				top.Name() == tmpDir && part && protocol.ValidHash(hash):
				err = add(name, f)
			case top.Name() == tmpDir && strings.HasPrefix(name, takePrefix):
				err = os.Remove(filepath.Join(s.opts.Dir, tmpDir, name))
			}
			if err != nil {
				return err
			}
		}
	}
	slices.SortFunc(found, func(a, b *entry) int { return cmp.Or(b.used.Compare(a.used), cmp.Compare(a.name, b.name)) })
	for _, e := range found {
		s.entries[e.name] = e
		s.cached += room(e.size)
		e.at = s.idle.PushBack(e)
	}
	return nil
}

// path is where a file is.
func (s *Store) path(name string) string {
	if strings.HasSuffix(name, partSuffix) {
		return filepath.Join(s.opts.Dir, tmpDir, name)
	}
	return filepath.Join(s.opts.Dir, name[:2], name)
}

// Path is where the file with a hash is, if it is here. A file without an owner
// may go at any later time; whoever has it open keeps it.
func (s *Store) Path(hash string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[hash] == nil || !protocol.ValidHash(hash) {
		return "", false
	}
	s.touch(s.entries[hash])
	return s.path(hash), true
}

// Open opens the file with a hash; fs.ErrNotExist is in the error's chain when it
// is not here.
func (s *Store) Open(hash string) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[hash]
	if e == nil || !protocol.ValidHash(hash) {
		return nil, fmt.Errorf("the file is not on this board: %w", fs.ErrNotExist)
	}
	f, err := os.Open(s.path(hash))
	if errors.Is(err, fs.ErrNotExist) { // somebody else has removed it
		s.forget(e)
	}
	if err != nil {
		return nil, fmt.Errorf("open a file of the store: %w", err)
	}
	s.touch(e)
	return f, nil
}

// touch notes that a file is used. The lock is held, as in all that follows.
func (s *Store) touch(e *entry) {
	if e.at != nil {
		s.idle.MoveToFront(e.at)
	}
	// A board without a clock battery boots in 1970: its time then says nothing.
	if now := s.opts.now(); now.Sub(e.used) >= touchAfter {
		if err := os.Chtimes(s.path(e.name), now, now); err == nil { // else it is only the order after a restart
			e.used = now
		}
	}
}

// own counts owners of a file, and moves it between spool and cache.
func (s *Store) own(e *entry, change int) {
	before := e.owners > 0
	e.owners += change
	switch after := e.owners > 0; {
	case !before && after:
		s.cached -= room(e.size)
		s.pinned += room(e.size)
		s.idle.Remove(e.at)
		e.at = nil
	case before && !after:
		s.pinned -= room(e.size)
		s.cached += room(e.size)
		e.at = s.idle.PushFront(e)
		s.evict()
	}
}

// resize changes what a file counts for.
func (s *Store) resize(e *entry, size int64) {
	more := room(size) - room(e.size)
	if e.owners > 0 {
		s.pinned += more
	} else {
		s.cached += more
	}
	e.size = size
}

// add puts a file into the index. It may have owners from before it went.
func (s *Store) add(name string, size int64) *entry {
	e := &entry{name: name, size: size, used: s.opts.now()}
	s.entries[name] = e
	s.cached += room(size)
	e.at = s.idle.PushFront(e)
	for _, hashes := range s.owners {
		if slices.Contains(hashes, name) {
			s.own(e, 1)
		}
	}
	return e
}

// forget takes a file out of the index.
func (s *Store) forget(e *entry) {
	delete(s.entries, e.name)
	s.promise(e, 0)
	if e.owners > 0 {
		s.pinned -= room(e.size)
	} else {
		s.cached -= room(e.size)
	}
	if e.at != nil {
		s.idle.Remove(e.at)
		e.at = nil
	}
}

// remove removes a file that nobody owns.
func (s *Store) remove(e *entry) {
	s.forget(e)
	err := os.Remove(s.path(e.name))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return
	}
	if now := s.opts.now(); now.Sub(s.complain) > time.Minute || now.Before(s.complain) {
		s.complain = now
		s.opts.Log.Warn("a file of the cache cannot be removed", "err", err)
	}
}

// evict removes what was not used for the longest time until the rest fits.
func (s *Store) evict() {
	for s.cached > s.opts.Cache && s.idle.Len() > 0 {
		s.remove(s.idle.Back().Value.(*entry))
	}
}

// makeRoom sees to it that so many bytes can be written and MinFree is left, if
// need be by removing what is cached. Else the error is CodeDatabaseFailure.
func (s *Store) makeRoom(size int64) error {
	for {
		free := store.FreeBytes(s.opts.Dir) - s.promised
		short := s.opts.MinFree + size - free
		if short <= 0 {
			return nil
		}
		if s.evictable() < short {
			return protocol.Errorf(protocol.CodeDatabaseFailure, "the disk is full: %d KiB are free, %d KiB are kept back and the file needs %d KiB; make some room",
				max(0, free)>>10, s.opts.MinFree>>10, size>>10)
		}
		s.remove(s.idle.Back().Value.(*entry))
	}
}

// evictable is how many bytes could be removed.
func (s *Store) evictable() (sum int64) {
	for at := s.idle.Front(); at != nil; at = at.Next() {
		sum += room(at.Value.(*entry).size)
	}
	return sum
}

// promise says how many bytes of a partial file are still to be written.
func (s *Store) promise(e *entry, size int64) {
	s.promised += size - e.promised
	e.promised = size
}
