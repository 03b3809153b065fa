// Package journal keeps the events for the programs of the board, so that each
// program reads each event once, at its own pace, from a position of its own.
//
// It is bounded: when it is full the oldest events leave it, and a program that
// had not read them is told of the gap.
package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// Limits bound the journal.
type Limits struct {
	MaxEvents int
	MaxBytes  int64
}

var (
	bucketName = []byte("journal")
	metaName   = []byte("journal.meta")
	trimmedKey = []byte("trimmed")
)

// Journal is the events kept in a store.
type Journal struct {
	db     *store.DB
	limits Limits

	// written is what the transactions so far have left; it belongs to the
	// committer's goroutine.
	written bounds

	mu      sync.Mutex
	known   bounds // committed
	changed chan struct{}
}

type bounds struct {
	first, last uint64 // first == last+1 when empty
	count       int
	bytes       int64
	trimmed     uint64
}

// Open finds what the store holds.
func Open(db *store.DB, limits Limits) (*Journal, error) {
	j := &Journal{db: db, limits: limits, changed: make(chan struct{})}
	err := db.Do(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucketName)
		if err != nil {
			return err
		}
		meta, err := tx.CreateBucketIfNotExists(metaName)
		if err != nil {
			return err
		}
		if err := begin(b, db.Replaced() != nil); err != nil {
			return err
		}
		j.written = count(b)
		j.written.trimmed = number(meta.Get(trimmedKey))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j.known = j.written
	return j, nil
}

// begin looks at where the positions go on. Where the store was replaced and no
// journal could be read of the old one, they begin anew far away: a program
// that resumes with a position of the old journal is told of a gap, instead of
// taking new events for ones it has read.
func begin(b *bbolt.Bucket, replaced bool) error {
	last := b.Sequence()
	if k, _ := b.Cursor().Last(); k != nil {
		last = max(last, number(k))
	} else if replaced && last == 0 {
		last = 1<<40 + rand.Uint64N(1<<40) // as JSON's numbers are exact up to 2^53
	}
	if last == b.Sequence() {
		return nil
	}
	return b.SetSequence(last)
}

func count(b *bbolt.Bucket) bounds {
	w := bounds{first: b.Sequence() + 1, last: b.Sequence()}
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if w.count == 0 {
			w.first = number(k)
		}
		w.count++
		w.bytes += int64(len(v))
	}
	return w
}

// Append writes events at the end of the journal within a transaction of the
// store. The caller calls Committed with the transaction's result.
func (j *Journal) Append(tx *bbolt.Tx, events ...protocol.Occurrence) error {
	if len(events) == 0 {
		return nil
	}
	b := tx.Bucket(bucketName)
	b.FillPercent = 1 // keys only rise
	for _, e := range events {
		pos, err := b.NextSequence()
		if err != nil {
			return err
		}
		v := make([]byte, 0, len(e.Info.Name)+1+len(e.JSON)+4)
		v = store.Seal(append(append(append(v, e.Info.Name...), 0), e.JSON...))
		if err := b.Put(key(pos), v); err != nil {
			return err
		}
		if j.written.count == 0 {
			j.written.first = pos
		}
		j.written.last = pos
		j.written.count++
		j.written.bytes += int64(len(v))
	}
	before := j.written.trimmed
	if err := j.trim(b); err != nil || j.written.trimmed == before {
		return err
	}
	return tx.Bucket(metaName).Put(trimmedKey, key(j.written.trimmed))
}

// trim takes the oldest events off a full journal.
func (j *Journal) trim(b *bbolt.Bucket) error {
	w := &j.written
	c := b.Cursor()
	k, v := c.First()
	for ; k != nil && (w.count > j.limits.MaxEvents || w.bytes > j.limits.MaxBytes); k, v = c.First() {
		w.bytes -= int64(len(v))
		if err := b.Delete(k); err != nil {
			return err
		}
		w.count--
		w.trimmed++
	}
	w.first = w.last + 1
	if k != nil {
		w.first = number(k)
	}
	return nil
}

// Committed tells the result of the transaction in which Append ran. It is
// called on the committer's goroutine.
func (j *Journal) Committed(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case store.TakenBack(err):
		j.written = j.known
	case err == nil && j.known != j.written:
		j.known = j.written
		close(j.changed)
		j.changed = make(chan struct{})
	}
}

// Write appends events in a transaction of their own and waits for the disk.
func (j *Journal) Write(events ...protocol.Occurrence) error {
	ch := make(chan error, 1)
	j.db.Go(func(tx *bbolt.Tx) error { return j.Append(tx, events...) }, func(err error) {
		j.Committed(err)
		ch <- err
	})
	return <-ch
}

// Bounds are the oldest position kept and the newest given out; first is last+1
// when the journal is empty.
func (j *Journal) Bounds() (first, last uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.known.first, j.known.last
}

// Status sums up the journal.
func (j *Journal) Status() protocol.JournalStatus {
	j.mu.Lock()
	defer j.mu.Unlock()
	return protocol.JournalStatus{First: j.known.first, Last: j.known.last, Bytes: j.known.bytes, Trimmed: j.known.trimmed}
}

// Changed is closed at the next append: take it, then Read, then wait.
func (j *Journal) Changed() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.changed
}

// Read returns the events after a position, oldest first, at most limit. An
// event of a kind that this version does not know has no Info. Positions that
// are left out are those of events that left the journal, or were damaged.
func (j *Journal) Read(after uint64, limit int) ([]Event, error) {
	_, last := j.Bounds() // the store shows what is written a moment before it is on disk
	var out []Event
	err := j.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketName).Cursor()
		for k, v := c.Seek(key(after + 1)); k != nil && number(k) <= last && len(out) < limit; k, v = c.Next() {
			v, ok := store.Unseal(v)
			name, data, whole := bytes.Cut(v, []byte{0})
			if !ok || !whole {
				continue
			}
			out = append(out, Event{
				Pos:        number(k),
				Occurrence: protocol.Occurrence{Info: protocol.LookupEvent(string(name)), JSON: bytes.Clone(data)},
			})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return out, nil
}

func key(n uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 0, 8), n) }

func number(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}
