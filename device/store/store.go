// Package store holds the board's one bbolt file: it opens it, checks it,
// replaces a damaged one by what can still be read of it, compacts it, and
// commits. What lies in the file belongs to the rooms that use it (outbox,
// inbox, journal).
//
// All writing goes through one committer, which takes the operations that have
// gathered and runs them in one transaction: on flash, where a commit costs
// 5–50 ms, this is what makes many messages cheap.
package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	maxOps   = 512 // operations in one transaction
	maxQueue = 1024

	maxReserve = 1 << 20 // see reserve
)

// Options say where the file is and how it is used.
type Options struct {
	Dir     string // the state directory; made with mode 0700 if missing
	MinFree int64  // bytes of disk kept back; see Room
	Log     *slog.Logger
}

// DB is the open file.
type DB struct {
	bolt     *bbolt.DB
	file     *os.File // bolt's own
	lock     *os.File // of the directory
	opts     Options
	replaced *Replaced

	mu     sync.Mutex // guards closed, and the order of ops
	closed bool
	ops    chan *op
	done   chan struct{}

	brokenMu sync.Mutex
	broken   error // why bolt is not to be touched any more

	damaged chan error // broken, once

	opened       time.Time
	free, looked atomic.Int64 // of the disk: bytes, and when it was looked at (since opened); see Room
}

type op struct {
	run  func(*bbolt.Tx) error
	done func(error)
	err  error
}

// Open opens the file in opts.Dir, making it if it is not there. A damaged file
// is set aside and replaced by a new one with all that could be read of it:
// Replaced then says so. ErrInUse is in the error's chain when another process
// has it open.
func Open(opts Options) (*DB, *Replaced, error) {
	o, err := openOrReplace(opts)
	if err != nil {
		return nil, nil, err
	}
	db := &DB{
		bolt: o.bolt, file: o.file, lock: o.lock, opts: opts, replaced: o.replaced,
		ops: make(chan *op, maxQueue), done: make(chan struct{}), damaged: make(chan error, 1), opened: time.Now(),
	}
	db.free.Store(-1)
	go db.commit()
	return db, db.replaced, nil
}

// Replaced is what Open said.
func (db *DB) Replaced() *Replaced { return db.replaced }

// Log is where rooms say what they find damaged in the file.
func (db *DB) Log() *slog.Logger { return db.opts.Log }

// Room returns CodeDatabaseFailure when the disk has less free than MinFree.
// Whoever takes something new asks it first: what is kept back lets what was
// accepted still be delivered and taken off, which on a full disk needs room too.
func (db *DB) Room() error {
	free := db.free.Load()
	if now := int64(time.Since(db.opened)); now-db.looked.Load() > int64(lookAgain) || free < ample*db.opts.MinFree {
		free = FreeBytes(db.opts.Dir)
		db.free.Store(free)
		db.looked.Store(now)
	}
	if free < db.opts.MinFree {
		return protocol.Errorf(protocol.CodeDatabaseFailure,
			"the disk is full: %d KiB are free where %d KiB are kept back; make some room", free>>10, db.opts.MinFree>>10)
	}
	return nil
}

// Room is asked for with every message. A disk that has ample times MinFree is
// believed to have it for as long as lookAgain.
const (
	ample     = 8
	lookAgain = 50 * time.Millisecond
)

// FreeBytes is how much of the disk that a folder is on this process may fill.
func FreeBytes(dir string) int64 {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 1 << 62 // unknown: let the write itself tell
	}
	return int64(st.Bavail) * int64(st.Bsize)
}

// View reads in a transaction of its own.
func (db *DB) View(fn func(*bbolt.Tx) error) (err error) {
	if err := db.isBroken(); err != nil {
		return err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer db.catchDamage(&err)
	return db.bolt.View(fn)
}

// Do runs fn in the next transaction and returns once it is on disk.
//
// A *protocol.Error from fn refuses this operation alone: fn must not have
// written anything before it. Any other error takes the whole transaction back:
// then each of its operations gets an error for which TakenBack is true.
func (db *DB) Do(fn func(*bbolt.Tx) error) error {
	ch := make(chan error, 1)
	db.Go(fn, func(err error) { ch <- err })
	return <-ch
}

// Go is Do without waiting: done is called, on the committer's goroutine and
// in the order of the operations, when fn is on disk or has failed, and before
// any operation of the next transaction. It must neither block nor call Go or
// Do. On a closed store it is called at once, on the caller's goroutine.
func (db *DB) Go(fn func(*bbolt.Tx) error, done func(error)) {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		done(protocol.Errorf(protocol.CodeDatabaseFailure, "the board's store is closed"))
		return
	}
	db.ops <- &op{run: fn, done: done}
	db.mu.Unlock()
}

// Ping returns once the committer has come by, without writing anything.
func (db *DB) Ping() {
	ch := make(chan struct{})
	db.Go(nil, func(error) { close(ch) })
	<-ch
}

// Damaged tells why the file cannot be used any more. The process should end:
// the next start replaces the file if it is damaged.
func (db *DB) Damaged() <-chan error { return db.damaged }

// Close commits what was handed over and closes the file.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		<-db.done
		return nil
	}
	db.closed = true
	close(db.ops)
	db.mu.Unlock()
	<-db.done
	var err error
	if db.isBroken() == nil {
		err = db.bolt.Close()
	} else {
		err = db.file.Close() // bolt may hold its locks for ever; this lets go of the file's
	}
	if err = errors.Join(err, db.lock.Close()); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	return nil
}

func (db *DB) commit() {
	defer close(db.done)
	batch := make([]*op, 0, maxOps)
	last, took := 0, time.Duration(0)
	for first := range db.ops {
		batch = db.gather(append(batch[:0], first), last, took)
		began := time.Now()
		db.transact(batch)
		last, took = len(batch), time.Since(began)
		for i, o := range batch {
			o.done(o.err)
			batch[i] = nil
		}
	}
}

const (
	crowd    = 4                    // operations in a transaction from which on their callers are waited for
	longWait = 2 * time.Millisecond // for them, at most
)

// gather takes what else is there. Callers whose operations were committed
// together come back together, but one by one: without a little patience the
// first of them would get a transaction of its own and the others wait for it.
// last is how many there were, and took how long their transaction was.
func (db *DB) gather(batch []*op, last int, took time.Duration) []*op {
	var late <-chan time.Time
	if last >= crowd {
		timer := time.NewTimer(min(took/2, longWait))
		defer timer.Stop()
		late = timer.C
	}
	for len(batch) < maxOps {
		if len(batch) >= last*3/4 {
			late = nil
		}
		if late == nil {
			select {
			case o, ok := <-db.ops:
				if !ok {
					return batch
				}
				batch = append(batch, o)
				continue
			default:
				return batch
			}
		}
		select {
		case o, ok := <-db.ops:
			if !ok {
				return batch
			}
			batch = append(batch, o)
		case <-late:
			late = nil
		}
	}
	return batch
}

// transact runs a batch in one transaction and leaves each operation's result
// in its err.
func (db *DB) transact(batch []*op) {
	if !slices.ContainsFunc(batch, func(o *op) bool { return o.run != nil }) {
		return
	}
	err := db.isBroken()
	if err == nil {
		err = db.update(batch)
	}
	if err == nil {
		return
	}
	failed := &failure{err, protocol.Errorf(protocol.CodeDatabaseFailure, "the board's store could not be written: %v", err)}
	for _, o := range batch {
		if o.run != nil {
			o.err = failed
		}
	}
}

// failure is what a transaction that was taken back ended with.
type failure struct {
	cause error
	said  *protocol.Error
}

func (f *failure) Error() string   { return f.said.Error() }
func (f *failure) Unwrap() []error { return []error{f.said, f.cause} }

// TakenBack tells whether an operation's error means that its transaction was
// taken back: nothing that was written in it stands.
func TakenBack(err error) bool {
	var f *failure
	return errors.As(err, &f)
}

// update does not use bbolt's own Update: after a panic that one goes over the
// whole file again, on a goroutine whose panic nobody can stop.
func (db *DB) update(batch []*op) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer db.catchDamage(&err)
	tx, err := db.bolt.Begin(true)
	if err != nil { // closed, or without its mapping since memory ran out
		db.breakOff(err)
		return err
	}
	db.reserve(tx.Size())
	for _, o := range batch {
		if o.run == nil {
			continue
		}
		err := o.run(tx)
		var refused *protocol.Error
		if err != nil && !errors.As(err, &refused) {
			return errors.Join(err, tx.Rollback())
		}
		o.err = err
	}
	id := tx.ID()
	if err := tx.Commit(); err != nil {
		return db.uncertain(id, err)
	}
	return nil
}

// reserve fills the file with zeros beyond what is in use, while the disk has
// room: when another program eats it to its last byte, what waits can still be
// taken off. It also makes commits cheaper: where a block is allocated, or was
// only promised by fallocate, a sync has to write the file system's journal too.
// Bolt may cut or stretch the file as it grows, so what is there is asked for.
func (db *DB) reserve(used int64) {
	want := min(db.opts.MinFree, maxReserve)
	filled, err := db.file.Seek(used, unix.SEEK_HOLE)
	if err != nil { // the file ends before
		filled = used
	}
	if filled >= used+want/2 {
		return
	}
	// A full disk takes less or nothing: it is tried again with the next
	// transaction, whose own commit tells whether it still fits. That also syncs.
	_, _ = db.file.WriteAt(make([]byte, used+want-filled), filled)
}

// uncertain looks at what a commit that failed has left. When the disk failed
// at the very last step, readers see the transaction although it may not be on
// disk: nothing true can be said about it, nor built on it.
func (db *DB) uncertain(id int, why error) error {
	seen := 0
	err := db.bolt.View(func(tx *bbolt.Tx) error {
		seen = tx.ID()
		return nil
	})
	switch {
	case err != nil: // bolt has lost its mapping
		db.breakOff(errors.Join(why, err))
	case seen >= id:
		db.breakOff(fmt.Errorf("it is not known whether the last write is on disk: %w", why))
	}
	return why
}

func (db *DB) isBroken() error {
	db.brokenMu.Lock()
	defer db.brokenMu.Unlock()
	return db.broken
}

// breakOff ends all use of bolt. The first reason stays.
func (db *DB) breakOff(why error) {
	db.brokenMu.Lock()
	defer db.brokenMu.Unlock()
	if db.broken != nil {
		return
	}
	db.broken = why
	db.damaged <- why
}

// reportDamage ends all use of the file and notes why for the next start. It
// returns an error that says so.
func (db *DB) reportDamage(what error) error {
	err := fmt.Errorf("the store is damaged: %w", what)
	note := filepath.Join(db.opts.Dir, noteName)
	if werr := os.WriteFile(note, []byte(err.Error()), 0o600); werr != nil {
		db.opts.Log.Error("noting the damage failed", "err", werr)
	}
	db.breakOff(err)
	return err
}

// catchDamage turns a panic of bbolt, or a fault in the mapping, into an error,
// leaves a note for the next start and tells the owner. Any other panic is a
// bug of ours and goes on.
func (db *DB) catchDamage(err *error) {
	p := recover()
	if p == nil {
		return
	}
	if !isFault(p) && !panicOfBolt() {
		panic(p)
	}
	*err = db.reportDamage(fmt.Errorf("%v", p))
}

// isFault tells a fault at an address, as debug.SetPanicOnFault raises it, from
// a nil pointer: within a transaction only the file's mapping has them.
func isFault(p any) bool {
	_, ok := p.(interface{ Addr() uintptr })
	return ok
}

// panicOfBolt tells whether the panic being recovered began in bbolt's code, or
// in the standard library on its behalf. It is called by the deferred function
// that recovers.
func panicOfBolt() bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	panicking := false
	for {
		f, more := frames.Next()
		pkg, _, _ := strings.Cut(f.Function, "/")
		switch {
		case strings.HasPrefix(f.Function, "runtime."):
			panicking = panicking || f.Function == "runtime.gopanic" || f.Function == "runtime.sigpanic"
		case !panicking:
		case strings.HasPrefix(f.Function, "go.etcd.io/bbolt"):
			return true
		case strings.Contains(f.Function, "/") && strings.Contains(pkg, "."), strings.HasPrefix(f.Function, "main."):
			return false
		}
		if !more {
			return false
		}
	}
}
