package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
)

// errCrowded says that there will be room when other downloads have ended.
var errCrowded = errors.New("the cache is full of what is being downloaded")

// openPart opens the partial file of a download, or makes it, with room for the
// whole. Nobody else may have it open. The error is errCrowded, or says why the
// file cannot be kept.
func (s *Store) openPart(hash string, size int64) (f *os.File, have int64, err error) {
	if room(size) > s.opts.Cache {
		return nil, 0, protocol.Errorf(protocol.CodeNetReqCountLimit, "the file has %d KiB, more than all received files may have (files.cache, %d KiB)", size>>10, s.opts.Cache>>10)
	}
	name := hash + partSuffix
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[name]
	if e == nil {
		e = s.add(name, 0)
	}
	if e.size <= size {
		have = e.size
	}
	s.idle.Remove(e.at)
	e.at = nil
	s.resize(e, size)
	if s.cached-s.evictable() > s.opts.Cache {
		err = errCrowded
	} else {
		err = s.makeRoom(size - have)
	}
	if err == nil {
		s.evict()
		s.promise(e, size-have)
		f, err = os.OpenFile(s.path(name), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			err = ioError("keep the file", err)
		}
	}
	if err != nil {
		s.rest(e, have)
		return nil, 0, err
	}
	if err := f.Truncate(have); err != nil {
		_ = f.Close()
		s.rest(e, 0)
		return nil, 0, ioError("keep the file", err)
	}
	return f, have, nil
}

// partHas notes how much of an open partial file is written.
func (s *Store) partHas(hash string, have int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[hash+partSuffix]
	s.promise(e, e.size-have)
}

// rest has a partial file wait for its next download. The lock is held.
func (s *Store) rest(e *entry, have int64) {
	s.resize(e, have)
	s.promise(e, 0)
	e.at = s.idle.PushFront(e)
	if have == 0 {
		s.remove(e)
	}
}

// closePart closes a partial file of which so much is there.
func (s *Store) closePart(hash string, f *os.File, have int64) {
	_ = f.Close() // it is verified when it is whole
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest(s.entries[hash+partSuffix], have)
}

// finishPart gives a verified file its place. It stays open.
func (s *Store) finishPart(hash string, f *os.File) error {
	if err := f.Sync(); err != nil {
		return ioError("keep the file", err)
	}
	s.mu.Lock()
	e := s.entries[hash+partSuffix]
	if s.entries[hash] != nil { // a program has sent the same meanwhile
		s.rest(e, 0)
		s.mu.Unlock()
		return nil
	}
	if err := s.rename(s.path(e.name), hash); err != nil {
		s.mu.Unlock()
		return ioError("keep the file", err)
	}
	s.forget(e)
	s.add(hash, e.size)
	s.mu.Unlock()
	if err := store.SyncDir(filepath.Dir(s.path(hash))); err != nil {
		// It is here, and after a crash perhaps not: the hub has it still.
		s.opts.Log.Debug("the name of a received file is not synced", "err", fmt.Errorf("sync: %w", err))
	}
	return nil
}
