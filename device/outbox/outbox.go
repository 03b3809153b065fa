// Package outbox keeps what an account has accepted and not yet handed to the
// hub. It is the board's end of the idempotent producer: each item has a number
// that rises by one, and leaves only on the hub's own answer.
package outbox

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/fxamacker/cbor/v2"
	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// Limits bound an outbox. An item beyond them is refused with
// CodeNetReqCountLimit: what was accepted is never given up for it.
type Limits struct {
	MaxItems int
	MaxBytes int64
}

// Item is one thing that waits.
type Item struct {
	Cseq     uint64
	Kind     protocol.ItemKind
	To       string
	Body     []byte // CBOR of a protocol.Message
	Priority uint8
	QueuedAt int64  // Unix seconds
	IDEpoch  uint32 // the producer's epoch when its message id was given out
}

// record is an item as it lies in the store.
type record struct {
	Kind     protocol.ItemKind `cbor:"1,keyasint"`
	To       string            `cbor:"2,keyasint"`
	Body     cbor.RawMessage   `cbor:"3,keyasint"`
	Priority uint8             `cbor:"4,keyasint,omitempty"`
	QueuedAt int64             `cbor:"5,keyasint"`
	IDEpoch  uint32            `cbor:"6,keyasint"`
}

// Producer is how the items are numbered toward the hub.
type Producer struct {
	Epoch uint32 // rises when hub and board have lost sight of each other
	Base  uint64 // number of the epoch's first item
}

var (
	itemsName   = []byte("outbox")
	producerKey = []byte("producer")
)

// Box is the outbox of one account.
type Box struct {
	db      *store.DB
	limits  Limits
	account func(tx *bbolt.Tx) *bbolt.Bucket

	// counted belongs to the committer's goroutine, and is counted again after
	// a transaction that failed.
	counted counts
	stale   bool

	mu       sync.Mutex
	known    counts // committed
	producer Producer
}

type counts struct {
	items int
	bytes int64
	next  uint64 // number of the next item
	first uint64 // number of the oldest item; next when empty
}

// Open finds what lies in an account's bucket, which account returns.
func Open(db *store.DB, account func(tx *bbolt.Tx) *bbolt.Bucket, limits Limits) (*Box, error) {
	b := &Box{db: db, limits: limits, account: account}
	err := db.Do(func(tx *bbolt.Tx) error {
		acct := account(tx)
		if _, err := acct.CreateBucketIfNotExists(itemsName); err != nil {
			return err
		}
		if v := acct.Get(producerKey); v != nil {
			if err := protocol.Unmarshal(v, &b.producer); err != nil {
				return fmt.Errorf("producer: %w", err)
			}
		} else {
			b.producer = Producer{Epoch: 1, Base: 1}
			if err := b.putProducer(acct, b.producer); err != nil {
				return err
			}
		}
		return b.count(tx)
	})
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	b.known = b.counted
	return b, nil
}

func (b *Box) putProducer(acct *bbolt.Bucket, p Producer) error {
	v, err := protocol.Marshal(p)
	if err != nil {
		return err
	}
	return acct.Put(producerKey, v)
}

func (b *Box) count(tx *bbolt.Tx) error {
	items := b.account(tx).Bucket(itemsName)
	c := counts{next: items.Sequence() + 1}
	c.first = c.next
	cur := items.Cursor()
	for k, v := cur.First(); k != nil; k, v = cur.Next() {
		if c.items == 0 {
			c.first = binary.BigEndian.Uint64(k)
		}
		c.items++
		c.bytes += int64(len(v))
	}
	b.counted, b.stale = c, false
	return nil
}

// Put accepts an item within a transaction and numbers it. The caller calls
// Committed with the transaction's result.
func (b *Box) Put(tx *bbolt.Tx, it *Item) error {
	if err := b.recount(tx); err != nil {
		return err
	}
	if b.counted.items >= b.limits.MaxItems || b.counted.bytes+int64(len(it.Body)) > b.limits.MaxBytes {
		return protocol.Errorf(protocol.CodeNetReqCountLimit,
			"the outbox is full: %d messages (%d bytes) wait for the hub", b.counted.items, b.counted.bytes)
	}
	it.IDEpoch = b.Producer().Epoch
	v, err := protocol.Marshal(record{it.Kind, it.To, it.Body, it.Priority, it.QueuedAt, it.IDEpoch})
	if err != nil {
		return err
	}
	items := b.account(tx).Bucket(itemsName)
	items.FillPercent = 1 // numbers only rise
	if it.Cseq, err = items.NextSequence(); err != nil {
		return err
	}
	if err := items.Put(key(it.Cseq), v); err != nil {
		return err
	}
	b.counted.items++
	b.counted.bytes += int64(len(v))
	b.counted.next = it.Cseq + 1
	return nil
}

// Remove takes off the n items from first on, which the hub has answered.
// removed tells of each whether it was still there.
func (b *Box) Remove(tx *bbolt.Tx, first uint64, n int) (removed []bool, err error) {
	if err := b.recount(tx); err != nil {
		return nil, err
	}
	items := b.account(tx).Bucket(itemsName)
	removed = make([]bool, n)
	for i := range removed {
		k := key(first + uint64(i))
		v := items.Get(k)
		if v == nil {
			continue
		}
		removed[i] = true
		b.counted.items--
		b.counted.bytes -= int64(len(v))
		if err := items.Delete(k); err != nil {
			return nil, err
		}
	}
	b.counted.first = b.counted.next
	if k, _ := items.Cursor().First(); k != nil {
		b.counted.first = binary.BigEndian.Uint64(k)
	}
	return removed, nil
}

// Committed tells the result of the transaction in which Put or Remove ran. It
// is called on the committer's goroutine.
func (b *Box) Committed(err error) {
	if err != nil {
		b.stale = true
		return
	}
	if b.stale {
		return
	}
	b.mu.Lock()
	b.known = b.counted
	b.mu.Unlock()
}

func (b *Box) recount(tx *bbolt.Tx) error {
	if !b.stale {
		return nil
	}
	return b.count(tx)
}

// Head returns the oldest items, at most limit and of about maxBytes, but
// always one if there is any.
func (b *Box) Head(limit, maxBytes int) ([]Item, error) {
	var out []Item
	err := b.db.View(func(tx *bbolt.Tx) error {
		c := b.account(tx).Bucket(itemsName).Cursor()
		size := 0
		for k, v := c.First(); k != nil && len(out) < limit; k, v = c.Next() {
			if size += len(v); size > maxBytes && len(out) > 0 {
				return nil
			}
			var r record
			if err := protocol.Unmarshal(v, &r); err != nil {
				return fmt.Errorf("item %d: %w", binary.BigEndian.Uint64(k), err)
			}
			out = append(out, Item{binary.BigEndian.Uint64(k), r.Kind, r.To, r.Body, r.Priority, r.QueuedAt, r.IDEpoch})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	return out, nil
}

// Status sums up the outbox.
func (b *Box) Status() protocol.QueueStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return protocol.QueueStatus{Items: b.known.items, Bytes: b.known.bytes, MaxItems: b.limits.MaxItems, MaxBytes: b.limits.MaxBytes}
}

// Producer returns the present numbering.
func (b *Box) Producer() Producer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.producer
}

// Meet compares the numbering with what the hub knows of it: its epoch (0: none)
// and the last number it has of that epoch. Where the two have lost sight of
// each other — the hub's database or the board's came back from an older copy —
// a new epoch begins with the oldest item that waits, and renewed is true. lost
// is how many items the hub had answered and does not have any more.
func (b *Box) Meet(epoch uint32, last uint64) (renewed bool, lost uint64, err error) {
	b.mu.Lock()
	p, first, next := b.producer, b.known.first, b.known.next
	b.mu.Unlock()
	switch {
	case epoch == p.Epoch && last+1 >= first && last < next:
		return false, 0, nil // the usual case
	case epoch < p.Epoch && first == p.Base:
		return false, 0, nil // nothing of this epoch was ever answered
	case epoch == p.Epoch && last+1 < first:
		lost = first - 1 - last
	case epoch < p.Epoch:
		lost = first - p.Base
	}
	renew := Producer{Epoch: max(epoch, p.Epoch) + 1, Base: first}
	err = b.db.Do(func(tx *bbolt.Tx) error { return b.putProducer(b.account(tx), renew) })
	if err != nil {
		return false, 0, fmt.Errorf("outbox: %w", err)
	}
	b.mu.Lock()
	b.producer = renew
	b.mu.Unlock()
	return true, lost, nil
}

func key(n uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 0, 8), n) }
