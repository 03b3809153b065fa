package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	fileName = "herald.db"
	noteName = fileName + ".damaged" // left by a run that met damage
	nextName = fileName + ".next"    // a file in the making; removed at start

	lockTimeout = time.Second
	lockRetry   = 20 * time.Millisecond
	initialMmap = 1 << 20
	compactOver = 8 << 20 // a file over this that is more than half free is compacted at start
)

// ErrInUse says that another process has the state directory.
var ErrInUse = errors.New("in use by another herald")

// opened is what openOrReplace has got hold of.
type opened struct {
	bolt     *bbolt.DB
	file     *os.File // bolt's own
	lock     *os.File
	replaced *Replaced
}

func openOrReplace(opts Options) (o opened, err error) {
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return o, fmt.Errorf("state directory: %w", err)
	}
	if o.lock, err = lockDir(opts.Dir); err != nil {
		return o, err
	}
	defer func() {
		if err != nil {
			_ = o.lock.Close()
		}
	}()
	path, next := filepath.Join(opts.Dir, fileName), filepath.Join(opts.Dir, nextName)
	if err := takeBack(opts.Dir, path, next); err != nil {
		return o, fmt.Errorf("take back the store that was set aside: %w", err)
	}
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return o, fmt.Errorf("remove an unfinished store: %w", err)
	}
	why, err := examine(opts.Dir, path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = create(opts.Dir, path, next)
	case err == nil && why != nil:
		o.replaced, err = replace(opts.Dir, path, next, why, opts.Log)
	}
	if err != nil {
		return o, err
	}
	o.bolt, o.file, err = openBolt(path)
	if err != nil && !isEnvironment(err) {
		if o.replaced, err = replace(opts.Dir, path, next, err, opts.Log); err != nil {
			return o, err
		}
		o.bolt, o.file, err = openBolt(path)
	}
	if err != nil {
		return o, err
	}
	return o, compact(&o, path, next, opts.Log)
}

// lockDir keeps other processes away, for as long as the file returned is open.
// A lock on the store's file alone would not do: that file may be replaced.
func lockDir(dir string) (*os.File, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockTimeout) // one that is just ending may still have it
	defer cancel()
	retry := time.NewTicker(lockRetry)
	defer retry.Stop()
	for {
		err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return d, nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			_ = d.Close()
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
		select {
		case <-ctx.Done():
			_ = d.Close()
			return nil, fmt.Errorf("%s: %w", dir, ErrInUse)
		case <-retry.C:
		}
	}
}

// isEnvironment tells errors that say nothing about the file's content:
// replacing it would lose messages over a wrong permission or a full disk.
func isEnvironment(err error) bool {
	for _, e := range []error{
		os.ErrPermission, unix.ENOSPC, unix.EROFS, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EDQUOT, unix.EISDIR, unix.EIO,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// examine looks for damage: why says what it is, or what the last run noted.
func examine(dir, path string) (why, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open the store: %s is not a file", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) // what bbolt will ask for
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	defer f.Close()
	note, err := os.ReadFile(filepath.Join(dir, noteName))
	if err == nil {
		return errors.New(string(note)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("note of damage: %w", err)
	}
	t, err := openTree(f)
	if err == nil {
		err = t.walk(checker{})
	}
	return err, nil
}

// openBolt opens a file that was examined.
func openBolt(path string) (b *bbolt.DB, f *os.File, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil { // what bbolt does at some kinds of damage
			_ = f.Close()
			b, f, err = nil, nil, fmt.Errorf("open %s: %v", path, p)
		}
	}()
	b, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         lockTimeout,
		FreelistType:    bbolt.FreelistMapType,
		NoFreelistSync:  true, // saves a page or more in every commit; the list is rebuilt at open
		InitialMmapSize: initialMmap,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			var err error
			f, err = os.OpenFile(name, flag, mode)
			return f, err
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", path, err)
	}
	return b, f, nil
}

// create makes an empty store under the name next, and gives it its own when it
// is whole: so a file that is not whole is always a damaged one.
func create(dir, path, next string) error {
	b, _, err := openBolt(next)
	if err != nil {
		return err
	}
	if err = b.Close(); err == nil {
		err = moveTo(next, path)
	}
	if err != nil {
		return fmt.Errorf("make the store: %w", err)
	}
	return forgetNote(dir)
}

func forgetNote(dir string) error {
	if err := os.Remove(filepath.Join(dir, noteName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("note of damage: %w", err)
	}
	return nil
}

// moveTo gives a file that is on disk its name, and has that on disk too:
// otherwise the power could fail and bring back the old file, after messages
// had gone into the new one.
func moveTo(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// SyncDir has the names in a folder on disk.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) { // some file systems cannot
		return err
	}
	return nil
}

// compact rewrites a file that is mostly free pages: bbolt never gives them
// back, and a board that was offline for a week would keep that week's size.
// Where that does not work out the large file stays in use.
func compact(o *opened, path, next string, log *slog.Logger) error {
	var used int64
	err := o.bolt.View(func(tx *bbolt.Tx) error {
		used = tx.Size()
		return nil
	})
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	stats := o.bolt.Stats()
	free := int64(stats.FreePageN+stats.PendingPageN) * int64(o.bolt.Info().PageSize)
	if used <= compactOver || free <= used/2 || FreeBytes(filepath.Dir(path)) < used-free+compactOver {
		return nil
	}
	if err := copyInto(next, o.bolt); err != nil {
		_ = os.Remove(next)
		log.Warn("compacting the store failed, going on with the large one", "err", err)
		return nil
	}
	if err := o.bolt.Close(); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	if err := moveTo(next, path); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	log.Info("compacted the store", "bytes", used, "free", free)
	o.bolt, o.file, err = openBolt(path)
	return err
}

func copyInto(next string, src *bbolt.DB) error {
	dst, _, err := openBolt(next)
	if err != nil {
		return err
	}
	return errors.Join(bbolt.Compact(dst, src, 1<<20), dst.Close())
}
