// Package store holds the board's one bbolt file: it opens it, sets a damaged
// one aside, compacts it, and commits. What lies in the file belongs to the
// rooms that use it (outbox, inbox, journal).
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
	"slices"
	"sync"

	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	maxOps   = 512 // operations in one transaction
	maxQueue = 1024
)

// Options say where the file is and how it is used.
type Options struct {
	Dir     string // the state directory; made with mode 0700 if missing
	MinFree int64  // bytes of disk kept back; see Room
	Log     *slog.Logger
}

// DB is the open file.
type DB struct {
	bolt *bbolt.DB
	opts Options

	mu     sync.Mutex // guards closed, and the order of ops
	closed bool
	ops    chan *op
	done   chan struct{}

	damaged chan error // the first damage found while running
}

type op struct {
	run  func(*bbolt.Tx) error
	done func(error)
	err  error
}

// Open opens the file in opts.Dir, making it if it is not there. A damaged file
// is set aside and replaced by a new one: Replaced then says so.
// ErrInUse is in the error's chain when another process has it open.
func Open(opts Options) (*DB, *Replaced, error) {
	b, replaced, err := openOrReplace(opts)
	if err != nil {
		return nil, nil, err
	}
	db := &DB{
		bolt: b, opts: opts,
		ops: make(chan *op, maxQueue), done: make(chan struct{}), damaged: make(chan error, 1),
	}
	go db.commit()
	return db, replaced, nil
}

// Room returns CodeDatabaseFailure when the disk has less free than MinFree.
// Whoever takes something new asks it first: what is kept back lets what was
// accepted still be delivered and taken off, which on a full disk needs room too.
func (db *DB) Room() error {
	if free := freeBytes(db.opts.Dir); free < db.opts.MinFree {
		return protocol.Errorf(protocol.CodeDatabaseFailure,
			"the disk is full: %d KiB are free where %d KiB are kept back; make some room", free>>10, db.opts.MinFree>>10)
	}
	return nil
}

func freeBytes(dir string) int64 {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 1 << 62 // unknown: let the write itself tell
	}
	return int64(st.Bavail) * int64(st.Bsize)
}

// View reads in a transaction of its own.
func (db *DB) View(fn func(*bbolt.Tx) error) (err error) {
	defer db.catchDamage(&err)
	return db.bolt.View(fn)
}

// Do runs fn in the next transaction and returns once it is on disk.
//
// A *protocol.Error from fn refuses this operation alone: fn must not have
// written anything before it. Any other error takes the whole transaction back.
func (db *DB) Do(fn func(*bbolt.Tx) error) error {
	ch := make(chan error, 1)
	db.Go(fn, func(err error) { ch <- err })
	return <-ch
}

// Go is Do without waiting: done is called, on the committer's goroutine and
// in the order of the operations, when fn is on disk or has failed. It must
// neither block nor call Go or Do.
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

// Damaged tells of damage found while running. The process should end: the
// next start sets the file aside.
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
	if err := db.bolt.Close(); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	return nil
}

func (db *DB) commit() {
	defer close(db.done)
	batch := make([]*op, 0, maxOps)
	for first := range db.ops {
		batch = append(batch[:0], first)
	gather:
		for len(batch) < maxOps {
			select {
			case o, ok := <-db.ops:
				if !ok {
					break gather
				}
				batch = append(batch, o)
			default:
				break gather
			}
		}
		db.transact(batch)
		for i, o := range batch {
			o.done(o.err)
			batch[i] = nil
		}
	}
}

// transact runs a batch in one transaction and leaves each operation's result
// in its err.
func (db *DB) transact(batch []*op) {
	if !slices.ContainsFunc(batch, func(o *op) bool { return o.run != nil }) {
		return
	}
	err := db.update(func(tx *bbolt.Tx) error {
		for _, o := range batch {
			if o.run == nil {
				continue
			}
			err := o.run(tx)
			var refused *protocol.Error
			if err != nil && !errors.As(err, &refused) {
				return err
			}
			o.err = err
		}
		return nil
	})
	if err == nil {
		return
	}
	for _, o := range batch {
		o.err = protocol.Errorf(protocol.CodeDatabaseFailure, "the board's store could not be written: %v", err)
	}
}

func (db *DB) update(fn func(*bbolt.Tx) error) (err error) {
	defer db.catchDamage(&err)
	return db.bolt.Update(fn)
}

// catchDamage turns a panic of bbolt into an error, leaves a note for the next
// start and tells the owner. Any other panic is a bug of ours and goes on.
func (db *DB) catchDamage(err *error) {
	p := recover()
	if p == nil {
		return
	}
	if !panicOfBolt() {
		panic(p)
	}
	*err = fmt.Errorf("the store is damaged: %v", p)
	note := filepath.Join(db.opts.Dir, noteName)
	if werr := os.WriteFile(note, []byte((*err).Error()), 0o600); werr != nil {
		db.opts.Log.Error("noting the damage failed", "err", werr)
	}
	select {
	case db.damaged <- *err:
	default:
	}
}
