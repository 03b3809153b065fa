package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

const (
	fileName = "herald.db"
	noteName = "herald.db.damaged" // left by a run that met damage

	openTimeout = time.Second
	initialMmap = 1 << 20
	compactOver = 8 << 20 // a file over this that is more than half free is compacted at start
	keptAside   = 3       // damaged files kept for whoever wants to look into them
)

// Replaced says that a damaged file was set aside.
type Replaced struct {
	Reason   string
	SetAside string // path; empty if there was nothing to keep
}

// ErrInUse says that another process has the file open.
var ErrInUse = errors.New("in use by another herald")

func openOrReplace(opts Options) (*bbolt.DB, *Replaced, error) {
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("state directory: %w", err)
	}
	path := filepath.Join(opts.Dir, fileName)
	replaced, err := setAsideIfNoted(opts.Dir, path)
	if err != nil {
		return nil, nil, err
	}
	b, err := openBolt(path)
	if err != nil && !errors.Is(err, ErrInUse) && !isEnvironment(err) {
		if replaced, err = setAside(path, err); err != nil {
			return nil, nil, err
		}
		b, err = openBolt(path)
	}
	if err != nil {
		return nil, nil, err
	}
	b, err = compact(b, path, opts.Log)
	return b, replaced, err
}

// isEnvironment tells errors that say nothing about the file's content:
// setting it aside would lose messages over a wrong permission or a full disk.
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

func openBolt(path string) (b *bbolt.DB, err error) {
	// A read beyond the end of a cut file is a fault in the mapping.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil { // what bbolt does at some kinds of damage
			b, err = nil, fmt.Errorf("open %s: %v", path, p)
		}
	}()
	b, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         openTimeout,
		FreelistType:    bbolt.FreelistMapType,
		NoFreelistSync:  true, // saves a page or more in every commit; the list is rebuilt at open
		InitialMmapSize: initialMmap,
	})
	if err != nil && errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("%s: %w", path, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return b, nil
}

// setAsideIfNoted acts on the note of a run that met damage in its
// transactions, where it could not replace the file under its users.
func setAsideIfNoted(dir, path string) (*Replaced, error) {
	note := filepath.Join(dir, noteName)
	reason, err := os.ReadFile(note)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("note of damage: %w", err)
	}
	r, err := setAside(path, errors.New(string(reason)))
	if err != nil {
		return nil, err
	}
	if err := os.Remove(note); err != nil {
		return nil, fmt.Errorf("note of damage: %w", err)
	}
	return r, nil
}

func setAside(path string, why error) (*Replaced, error) {
	r := &Replaced{Reason: why.Error(), SetAside: fmt.Sprintf("%s.aside-%d", path, time.Now().UnixNano())}
	if err := os.Rename(path, r.SetAside); errors.Is(err, os.ErrNotExist) {
		r.SetAside = ""
	} else if err != nil {
		return nil, fmt.Errorf("set the damaged store aside: %w", err)
	}
	old, err := filepath.Glob(path + ".aside-*")
	if err != nil {
		return nil, fmt.Errorf("set the damaged store aside: %w", err)
	}
	// Glob sorts; but a board without a clock makes names that do not tell
	// the age, so the new file is kept whatever its place.
	for _, f := range old {
		if len(old) <= keptAside {
			break
		}
		if f == r.SetAside {
			continue
		}
		if err := os.Remove(f); err != nil {
			return nil, fmt.Errorf("remove an old damaged store: %w", err)
		}
		old = old[1:]
	}
	return r, nil
}

// compact rewrites a file that is mostly free pages: bbolt never gives them
// back, and a board that was offline for a week would keep that week's size.
func compact(b *bbolt.DB, path string, log *slog.Logger) (*bbolt.DB, error) {
	info, err := os.Stat(path)
	if err != nil || info.Size() <= compactOver {
		return b, nil
	}
	stats := b.Stats()
	free := int64(stats.FreePageN+stats.PendingPageN) * int64(b.Info().PageSize)
	if free <= info.Size()/2 || freeBytes(filepath.Dir(path)) < info.Size()-free+compactOver {
		return b, nil
	}
	tmp := path + ".compact"
	if err := copyInto(tmp, b); err != nil {
		_ = os.Remove(tmp)
		log.Warn("compacting the store failed, going on with the large one", "err", err)
		return b, nil
	}
	if err := b.Close(); err != nil {
		return nil, fmt.Errorf("compact: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return nil, fmt.Errorf("compact: %w", err)
	}
	log.Info("compacted the store", "bytes", info.Size(), "free", free)
	return openBolt(path)
}

func copyInto(tmp string, src *bbolt.DB) error {
	_ = os.Remove(tmp)
	dst, err := bbolt.Open(tmp, 0o600, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	if err := bbolt.Compact(dst, src, 1<<20); err != nil {
		_ = dst.Close()
		return err
	}
	return dst.Close()
}

// panicOfBolt tells whether the panic being recovered began in bbolt's code.
// It is called by the deferred function that recovers.
func panicOfBolt() bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	panicking := false
	for {
		f, more := frames.Next()
		switch {
		case strings.HasPrefix(f.Function, "runtime."):
			panicking = panicking || f.Function == "runtime.gopanic" || f.Function == "runtime.sigpanic"
		case panicking:
			return strings.HasPrefix(f.Function, "go.etcd.io/bbolt")
		}
		if !more {
			return false
		}
	}
}
