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
	bytesKey   = []byte("bytes")
	trimmedKey = []byte("trimmed")
)

// Journal is the events kept in a store.
type Journal struct {
	db     *store.DB
	limits Limits

	// written is what the transactions so far have left; it belongs to the
	// committer's goroutine and is read again after a failed one.
	written bounds
	stale   bool

	mu      sync.Mutex
	known   bounds // committed
	changed chan struct{}
}

type bounds struct {
	first, last uint64 // first == last+1 when empty
	bytes       int64
	trimmed     uint64
}

// Open finds what the store holds.
func Open(db *store.DB, limits Limits) (*Journal, error) {
	j := &Journal{db: db, limits: limits, changed: make(chan struct{})}
	err := db.Do(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketName, metaName} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return j.reload(tx)
	})
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j.known = j.written
	return j, nil
}

func (j *Journal) reload(tx *bbolt.Tx) error {
	b, meta := tx.Bucket(bucketName), tx.Bucket(metaName)
	w := bounds{last: b.Sequence(), bytes: int64(number(meta.Get(bytesKey))), trimmed: number(meta.Get(trimmedKey))}
	w.first = w.last + 1
	if k, _ := b.Cursor().First(); k != nil {
		w.first = binary.BigEndian.Uint64(k)
	}
	j.written, j.stale = w, false
	return nil
}

// Append writes events at the end of the journal within a transaction of the
// store. The caller calls Committed with the transaction's result.
func (j *Journal) Append(tx *bbolt.Tx, events ...protocol.Occurrence) error {
	if len(events) == 0 {
		return nil
	}
	if j.stale {
		if err := j.reload(tx); err != nil {
			return err
		}
	}
	b := tx.Bucket(bucketName)
	b.FillPercent = 1 // keys only rise
	for _, e := range events {
		pos, err := b.NextSequence()
		if err != nil {
			return err
		}
		v := make([]byte, 0, len(e.Info.Name)+1+len(e.JSON))
		v = append(append(append(v, e.Info.Name...), 0), e.JSON...)
		if err := b.Put(key(pos), v); err != nil {
			return err
		}
		j.written.last = pos
		j.written.bytes += int64(len(v))
	}
	if err := j.trim(b); err != nil {
		return err
	}
	meta := tx.Bucket(metaName)
	if err := meta.Put(bytesKey, key(uint64(j.written.bytes))); err != nil {
		return err
	}
	return meta.Put(trimmedKey, key(j.written.trimmed))
}

// trim takes the oldest events off a full journal.
func (j *Journal) trim(b *bbolt.Bucket) error {
	w := &j.written
	for w.first <= w.last && (w.last-w.first+1 > uint64(j.limits.MaxEvents) || w.bytes > j.limits.MaxBytes) {
		k := key(w.first)
		w.bytes -= int64(len(b.Get(k)))
		if err := b.Delete(k); err != nil {
			return err
		}
		w.first++
		w.trimmed++
	}
	return nil
}

// Committed tells the result of the transaction in which Append ran. It is
// called on the committer's goroutine.
func (j *Journal) Committed(err error) {
	if err != nil {
		j.stale = true
		return
	}
	if j.stale {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.known == j.written {
		return
	}
	j.known = j.written
	close(j.changed)
	j.changed = make(chan struct{})
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

// Read returns the events after a position, oldest first, at most limit.
// Events of a kind that this version does not know are passed over.
func (j *Journal) Read(after uint64, limit int) ([]Event, error) {
	var out []Event
	err := j.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketName).Cursor()
		for k, v := c.Seek(key(after + 1)); k != nil && len(out) < limit; k, v = c.Next() {
			name, data, ok := bytes.Cut(v, []byte{0})
			info := protocol.LookupEvent(string(name))
			if !ok || info == nil {
				continue
			}
			out = append(out, Event{
				Pos:        binary.BigEndian.Uint64(k),
				Occurrence: protocol.Occurrence{Info: info, JSON: bytes.Clone(data)},
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
