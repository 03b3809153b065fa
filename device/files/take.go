package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
)

const (
	copyBuffer = 128 << 10
	// step is how much more of a file there is asked to be room for at a time.
	step = 1 << 20
)

// Take copies the file at path into the store, owned by owner, and returns once
// it is on disk. Path is absolute, or "upload:" and a name that Receive gave. A
// file that changes meanwhile is what was read of it. Errors are *protocol.Error:
//
//	CodeFileNotFound       there is none
//	CodeFileOpenFailed     it may not be read, or is no regular file
//	CodeFileSizeEmpty      it has no bytes
//	CodeFileTooLarge       it has more than limit
//	CodeNetReqCountLimit   too many files wait to be sent (Options.Spool)
//	CodeDatabaseFailure    the disk has too little room
//	CodeIOOperationFailed  reading or writing it failed
//
// or ctx's.
func (s *Store) Take(ctx context.Context, path, owner string, limit int64) (File, error) {
	if name, ok := uploadName(path); ok {
		return s.claim(name, owner, limit)
	}
	src, err := s.openPath(path)
	if err != nil {
		return File{}, err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return File{}, ioError("read the file", err)
	}
	switch size := info.Size(); {
	case size == 0:
		return File{}, errEmpty(path)
	case size > limit:
		return File{}, errTooLarge(path, limit)
	}
	return s.keep(ctx, path, src, owner, info.Size(), limit)
}

// Put is Take for bytes that are in memory.
func (s *Store) Put(ctx context.Context, b []byte, owner string) (File, error) {
	return s.keep(ctx, "the file", bytes.NewReader(b), owner, int64(len(b)), int64(len(b)))
}

func errEmpty(what string) error {
	return protocol.Errorf(protocol.CodeFileSizeEmpty, "%q is empty", protocol.Clip(what))
}

func errTooLarge(what string, limit int64) error {
	return protocol.Errorf(protocol.CodeFileTooLarge, "%q is over the limit of %d bytes", protocol.Clip(what), limit)
}

// keep copies src, which says that it has so many bytes, into the store. 0: it
// does not say. What is what errors call it.
func (s *Store) keep(ctx context.Context, what string, src io.Reader, owner string, size, limit int64) (File, error) {
	if err := checkOwner(owner); err != nil {
		return File{}, err
	}
	tmp, err := os.CreateTemp(filepath.Join(s.opts.Dir, tmpDir), takePrefix)
	if err != nil {
		return File{}, ioError("keep the file", err)
	}
	h := &held{s: s}
	defer h.release()
	var f File
	if err = h.grow(size); err == nil {
		f, err = s.fill(ctx, what, tmp, src, limit, h)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = s.place(tmp.Name(), f, owner)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // else the next start does
		if ctx.Err() != nil {
			return File{}, ctx.Err()
		}
		return File{}, ioError("keep the file", err)
	}
	if err := s.commitPins(owner, f.Hash); err != nil {
		return File{}, err
	}
	return f, nil
}

// held is the room that a file takes in the spool while it is copied.
type held struct {
	s              *Store
	bytes, written int64
}

// grow holds room for so many bytes in all.
func (h *held) grow(size int64) error {
	s := h.s
	s.mu.Lock()
	defer s.mu.Unlock()
	more := room(size) - h.bytes
	if more <= 0 {
		return nil
	}
	if s.pinned+more > s.opts.Spool {
		return errSpool(s.pinned, s.opts.Spool)
	}
	if err := s.makeRoom(more); err != nil {
		return err
	}
	h.bytes += more
	s.pinned += more
	s.promised += more
	return nil
}

// wrote notes that so many of them are on the disk.
func (h *held) wrote(n int) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.s.promised -= int64(n)
	h.written += int64(n)
}

func (h *held) release() {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.s.pinned -= h.bytes
	h.s.promised -= h.bytes - h.written
}

func errSpool(now, limit int64) error {
	return protocol.Errorf(protocol.CodeNetReqCountLimit, "files of %d KiB wait to be sent already, and no more than %d KiB may (files.spool)", now>>10, limit>>10)
}

// fill copies src to dst and tells what came. Where the file system can share
// blocks (btrfs, XFS) nothing is copied: dst is what src was at one moment.
func (s *Store) fill(ctx context.Context, what string, dst *os.File, src io.Reader, limit int64, h *held) (f File, err error) {
	sum := sha256.New()
	write := io.Writer(dst)
	if file, ok := src.(*os.File); ok && unix.IoctlFileClone(int(dst.Fd()), int(file.Fd())) == nil {
		src, write = dst, io.Discard
	}
	buf := make([]byte, copyBuffer)
	for {
		if err := ctx.Err(); err != nil {
			return f, err
		}
		n, err := src.Read(buf)
		f.Size += int64(n)
		if f.Size > limit {
			return f, errTooLarge(what, limit)
		}
		if f.Size > h.bytes && h.grow(f.Size+step) != nil {
			if err := h.grow(f.Size); err != nil {
				return f, err
			}
		}
		sum.Write(buf[:n])
		if _, err := write.Write(buf[:n]); err != nil {
			return f, err
		}
		h.wrote(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return f, fmt.Errorf("read it: %w", err)
		}
	}
	if f.Size == 0 {
		return f, errEmpty(what)
	}
	f.Hash = hex.EncodeToString(sum.Sum(nil))
	return f, nil
}

// place gives a complete file its name and an owner.
func (s *Store) place(tmp string, f File, owner string) error {
	s.mu.Lock()
	// Also where there is one: it may have been damaged, and this one was just read.
	if err := s.rename(tmp, f.Hash); err != nil {
		s.mu.Unlock()
		return err
	}
	e := s.entries[f.Hash]
	if e == nil {
		e = s.add(f.Hash, f.Size)
	}
	s.resize(e, f.Size)
	s.addOwner(owner, e)
	s.touch(e)
	s.mu.Unlock()
	err := store.SyncDir(filepath.Dir(s.path(f.Hash)))
	if err != nil {
		s.drop(owner, f.Hash)
	}
	return err
}

// rename moves a complete file to its place. The lock is held.
func (s *Store) rename(tmp, hash string) error {
	to := s.path(hash)
	err := os.Mkdir(filepath.Dir(to), 0o700)
	if err == nil {
		err = store.SyncDir(s.opts.Dir)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.Rename(tmp, to)
}
