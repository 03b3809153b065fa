package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// vault keeps complete files. Of one hash one method is called at a time, but for
// open.
type vault interface {
	// put keeps what is in the file at path under its hash, for good when it returns,
	// and tells what the row's Storage is to be. The file at path may stay or go.
	put(ctx context.Context, hash, path string) (storage string, err error)
	// open reads a file. fs.ErrNotExist: it is not there.
	open(ctx context.Context, f store.StoredFile) (io.ReadSeekCloser, error)
	// remove removes a file; that it is not there is no error.
	remove(ctx context.Context, f store.StoredFile) error
	// list gives what is there of the hashes that begin with two digits, as far as
	// this vault has written it.
	list(ctx context.Context, digits string) ([]store.StoredFile, error)
	// close lets go of what is kept for the next call.
	close()
}

// disk is a directory with the files in it, each in one that has the first two
// digits of its hash for a name.
type disk struct{ dir string }

// onDisk is Storage of what is on disk: where follows from the hash.
const onDisk = "disk"

func (d *disk) path(hash string) string { return filepath.Join(d.dir, hash[:2], hash) }

// put makes a second name for the file and leaves the first, so that whatever
// breaks off before the row is written, the upload is found complete again. The
// file that has both names is never written to: uploads remove a name before
// they begin anew.
func (d *disk) put(_ context.Context, hash, path string) (string, error) {
	if err := syncPath(path); err != nil {
		return "", fmt.Errorf("write the file to disk: %w", err)
	}
	final := d.path(hash)
	switch err := os.Mkdir(filepath.Dir(final), 0o700); {
	case err == nil:
		if err := syncPath(d.dir); err != nil {
			return "", fmt.Errorf("write the directory of files: %w", err)
		}
	case !errors.Is(err, fs.ErrExist):
		return "", fmt.Errorf("make the file's directory: %w", err)
	}
	next := path + newSuffix
	err := os.Remove(next)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.Link(path, next)
	}
	from := next
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EMLINK):
		from = path // a file system without second names
	case err != nil:
		return "", fmt.Errorf("put the file into its place: %w", err)
	}
	if err := os.Rename(from, final); err != nil {
		return "", fmt.Errorf("put the file into its place: %w", err)
	}
	if from == next {
		// Of two names of one file rename leaves both.
		if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("put the file into its place: %w", err)
		}
	}
	if err := syncPath(filepath.Dir(final)); err != nil {
		return "", fmt.Errorf("write the file's directory: %w", err)
	}
	return onDisk, nil
}

// newSuffix is of names that are there for a moment only, beside the uploads, where
// a start removes what it does not know.
const newSuffix = ".new"

func (d *disk) open(_ context.Context, f store.StoredFile) (io.ReadSeekCloser, error) {
	file, err := os.Open(d.path(f.Hash))
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() != f.Size) {
		err = fmt.Errorf("the file on disk is not the one that was put there: %w", fs.ErrNotExist)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func (d *disk) has(f store.StoredFile) bool {
	info, err := os.Stat(d.path(f.Hash))
	return err == nil && info.Mode().IsRegular() && info.Size() == f.Size
}

func (d *disk) remove(_ context.Context, f store.StoredFile) error {
	if err := os.Remove(d.path(f.Hash)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the file: %w", err)
	}
	return nil
}

func (d *disk) list(_ context.Context, digits string) (out []store.StoredFile, err error) {
	entries, err := os.ReadDir(filepath.Join(d.dir, digits))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look through the directory of files: %w", err)
	}
	for _, e := range entries {
		if hash := e.Name(); e.Type().IsRegular() && protocol.ValidHash(hash) && hash[:2] == digits {
			out = append(out, store.StoredFile{Hash: hash, Storage: onDisk})
		}
	}
	return out, nil
}

func (d *disk) close() {}

// syncPath brings a file or a directory to disk.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// freeBytes is the room on a directory's disk that this process may use.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(dir, &st)
		switch {
		case err == nil:
			return int64(min(st.Bavail, 1<<40)) * int64(st.Bsize), nil
		case !errors.Is(err, unix.EINTR):
			return 0, err
		}
	}
}

// vaultOf is the vault that a file is in, which may be another one than new files
// go to.
func (s *Server) vaultOf(f store.StoredFile) (vault, error) {
	switch {
	case f.Storage == onDisk:
		return s.disk, nil
	case s.cfg.S3.Bucket != "":
		return s.vault, nil
	}
	return nil, fmt.Errorf("the file is in %q, and no bucket is configured (files.s3_bucket)", f.Storage)
}

func (s *Server) open(ctx context.Context, f store.StoredFile) (io.ReadSeekCloser, error) {
	v, err := s.vaultOf(f)
	if err != nil {
		return nil, err
	}
	content, err := v.open(ctx, f)
	switch {
	case err == nil:
		s.missing.drop(f.Hash)
	case errors.Is(err, fs.ErrNotExist):
		s.missing.add(f.Hash)
	}
	return content, err
}

// Present tells whether the bytes of a file are where its row says; if not, they are
// to be put anew. What is in a bucket is believed to be there until somebody asks for
// it in vain: to ask takes too long.
func (s *Server) Present(f store.StoredFile) bool {
	if f.Storage == onDisk {
		return s.disk.has(f)
	}
	_, err := s.vaultOf(f)
	return err == nil && !s.missing.has(f.Hash)
}
