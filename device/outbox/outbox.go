// Package outbox keeps what an account has accepted and not yet handed to the
// hub. It is the board's end of the idempotent producer: each item has a number
// that rises by one, and leaves only on the hub's own answer.
package outbox

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"

	"github.com/fxamacker/cbor/v2"
	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// Limits bound the outboxes of all accounts together: those of accounts that do
// not log in again keep what they have. An item beyond them is refused with
// CodeNetReqCountLimit: what was accepted is never given up for it.
type Limits struct {
	MaxItems int
	MaxBytes int64
}

// Item is one thing that waits. One of kind protocol.ItemVoid was lost to a
// damaged store: it holds its number's place.
type Item struct {
	Cseq     uint64
	Kind     protocol.ItemKind
	To       string
	Body     []byte // CBOR of a protocol.Message
	Priority uint8
	QueuedAt int64  // Unix seconds
	IDEpoch  uint32 // the producer's epoch when its message id was given out; 0: Put is to say
	IDNumber uint64 // the number in its message id, if that is not Cseq
	// Withdrawn says that it was taken back before it was sent: it holds its
	// number's place.
	Withdrawn bool

	encoded []byte // as it is to lie in the store
}

// record is an item as it lies in the store, sealed.
type record struct {
	Kind      protocol.ItemKind `cbor:"1,keyasint"`
	To        string            `cbor:"2,keyasint"`
	Body      cbor.RawMessage   `cbor:"3,keyasint"`
	Priority  uint8             `cbor:"4,keyasint,omitempty"`
	QueuedAt  int64             `cbor:"5,keyasint"`
	IDEpoch   uint32            `cbor:"6,keyasint"`
	IDNumber  uint64            `cbor:"7,keyasint,omitempty"`
	Withdrawn bool              `cbor:"8,keyasint,omitempty"`
}

// Number is the number in the item's message id.
func (it Item) Number() uint64 {
	if it.IDNumber != 0 {
		return it.IDNumber
	}
	return it.Cseq
}

var (
	itemsName = []byte("outbox")
	// firstKey holds the number of the oldest item, beside the items: so that
	// items lost to a damaged store are missed.
	firstKey = []byte("outbox.first")
)

// Box is the outbox of one account.
type Box struct {
	db      *store.DB
	limits  Limits
	account func(tx *bbolt.Tx) *bbolt.Bucket

	others  others // at Open: no other outbox changes meanwhile
	counted counts // what the transactions so far have left; the committer's

	mu       sync.Mutex
	known    counts // committed
	producer producer
	taken    uint64 // the last item that Batch has given out or is reading, or an earlier Box gave out: it may be at the hub
	held     uint64 // an item that is being withdrawn: Batch stops before it. 0: none
}

type counts struct {
	items int
	bytes int64
	next  uint64 // number of the next item
	first uint64 // number of the oldest item; next when empty
}

// others is what waits in the outboxes of the other accounts.
type others struct {
	items int
	bytes int64
	most  string // the account that has most of the bytes
}

// Open finds what lies in the account's bucket, which has its name and lies in
// the bucket accounts with those of the others, and begins a new epoch of the
// producer. There is to be one Box at a time.
func Open(db *store.DB, accounts []byte, name string, limits Limits) (*Box, error) {
	b := &Box{db: db, limits: limits, account: func(tx *bbolt.Tx) *bbolt.Bucket {
		return tx.Bucket(accounts).Bucket([]byte(name))
	}}
	err := db.Do(func(tx *bbolt.Tx) error {
		b.others = weighOthers(tx.Bucket(accounts), name)
		acct := b.account(tx)
		items, err := acct.CreateBucketIfNotExists(itemsName)
		if err != nil {
			return err
		}
		p := loadProducer(acct)
		r := repair{items: items, first: oldest(acct, db.Log()), epoch: p.numbering.Epoch, log: db.Log()}
		if err := r.run(); err != nil {
			return err
		}
		b.counted = count(items)
		if err := acct.Put(firstKey, store.Seal(key(b.counted.first))); err != nil {
			return err
		}
		b.producer = p.renewed(b.counted)
		return b.producer.store(acct)
	})
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	b.known, b.taken = b.counted, b.counted.next-1
	return b, nil
}

// oldest reads firstKey; 0 where that is damaged.
func oldest(acct *bbolt.Bucket, log *slog.Logger) uint64 {
	sealed := acct.Get(firstKey)
	if sealed == nil {
		return 1
	}
	v, ok := store.Unseal(sealed)
	if !ok || len(v) != 8 {
		log.Error("the number of an outbox's oldest message is damaged: whether older ones are lost is not known")
		return 0
	}
	return number(v)
}

func count(items *bbolt.Bucket) counts {
	c := counts{next: items.Sequence() + 1}
	c.first = c.next
	if k, _ := items.Cursor().First(); k != nil {
		c.first = number(k)
	}
	c.items, c.bytes = weigh(items)
	return c
}

func weigh(items *bbolt.Bucket) (n int, bytes int64) {
	c := items.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		n++
		bytes += int64(len(v))
	}
	return n, bytes
}

func weighOthers(accounts *bbolt.Bucket, name string) (o others) {
	var most int64
	c := accounts.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		acct := accounts.Bucket(k)
		if acct == nil || string(k) == name || acct.Bucket(itemsName) == nil {
			continue
		}
		n, bytes := weigh(acct.Bucket(itemsName))
		o.items, o.bytes = o.items+n, o.bytes+bytes
		if bytes > most {
			most, o.most = bytes, string(k)
		}
	}
	return o
}

// Encode does the part of Put that needs no transaction.
func (b *Box) Encode(it *Item) (err error) {
	if it.IDEpoch == 0 {
		it.IDEpoch = b.Epoch()
	}
	it.encoded, err = Seal(*it)
	return err
}

// Seal makes of an item what lies in a store.
func Seal(it Item) ([]byte, error) {
	v, err := protocol.Marshal(record{it.Kind, it.To, it.Body, it.Priority, it.QueuedAt, it.IDEpoch, it.IDNumber, it.Withdrawn})
	if err != nil {
		return nil, err
	}
	return store.Seal(v), nil
}

// Unseal reads what Seal has made. An item that is damaged is void: what comes
// after it must not wait for ever.
func Unseal(v []byte) Item {
	var r record
	v, ok := store.Unseal(v)
	if !ok || protocol.Unmarshal(v, &r) != nil || r.Kind == protocol.ItemVoid {
		return Item{IDEpoch: r.IDEpoch, Withdrawn: r.Withdrawn}
	}
	return Item{
		Kind: r.Kind, To: r.To, Body: r.Body, Priority: r.Priority, QueuedAt: r.QueuedAt, IDEpoch: r.IDEpoch, IDNumber: r.IDNumber,
	}
}

// Put accepts an item within a transaction and numbers it. The caller calls
// Committed with the transaction's result.
func (b *Box) Put(tx *bbolt.Tx, it *Item) error {
	if it.encoded == nil {
		if err := b.Encode(it); err != nil {
			return err
		}
	}
	size := int64(len(it.encoded))
	if err := b.room(size); err != nil {
		return err
	}
	items := b.account(tx).Bucket(itemsName)
	items.FillPercent = 1 // numbers only rise
	var err error
	if it.Cseq, err = items.NextSequence(); err != nil {
		return err
	}
	if err := items.Put(key(it.Cseq), it.encoded); err != nil {
		return err
	}
	if b.counted.items == 0 {
		b.counted.first = it.Cseq
	}
	b.counted.items++
	b.counted.bytes += size
	b.counted.next = it.Cseq + 1
	return nil
}

func (b *Box) room(size int64) error {
	items, bytes := b.counted.items+b.others.items, b.counted.bytes+b.others.bytes
	switch {
	case items < b.limits.MaxItems && bytes+size <= b.limits.MaxBytes:
		return nil
	case b.others.items == 0:
		return protocol.Errorf(protocol.CodeNetReqCountLimit, "the outbox is full: %d messages (%d bytes) wait for the hub", items, bytes)
	}
	return protocol.Errorf(protocol.CodeNetReqCountLimit,
		"the outbox is full: %d messages (%d bytes) wait for the hub, %d (%d bytes) of them of other accounts, most of %s: log in as it to have them sent, or raise the limits of outbox",
		items, bytes, b.others.items, b.others.bytes, b.others.most)
}

// Remove takes off the n items from first on, which the hub has answered.
// removed tells of each whether it was still there.
func (b *Box) Remove(tx *bbolt.Tx, first uint64, n int) (removed []bool, err error) {
	acct := b.account(tx)
	items := acct.Bucket(itemsName)
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
		b.counted.first = number(k)
	}
	return removed, acct.Put(firstKey, store.Seal(key(b.counted.first)))
}

// ErrTaken says that an item cannot be withdrawn any more: it is, or may be, at
// the hub.
var ErrTaken = protocol.Errorf(protocol.CodeInProgress, "the message is on its way")

// Withdraw takes an item back within a transaction: it holds its place and asks
// for nothing. ErrTaken: it is too late.
func (b *Box) Withdraw(tx *bbolt.Tx, cseq uint64) error {
	items := b.account(tx).Bucket(itemsName)
	old := items.Get(key(cseq))
	if old == nil {
		return ErrTaken
	}
	b.mu.Lock()
	taken := cseq <= b.taken
	if !taken && (b.held == 0 || cseq < b.held) {
		b.held = cseq
	}
	b.mu.Unlock()
	if taken {
		return ErrTaken
	}
	it := decode(cseq, old)
	void := Item{Kind: protocol.ItemVoid, IDEpoch: it.IDEpoch, Withdrawn: true}
	if err := b.Encode(&void); err != nil {
		return err
	}
	b.counted.bytes += int64(len(void.encoded)) - int64(len(old))
	return items.Put(key(cseq), void.encoded)
}

// Committed tells the result of the transaction in which Put or Remove ran. It
// is called on the committer's goroutine.
func (b *Box) Committed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = 0
	switch {
	case err == nil:
		b.known = b.counted
	case store.TakenBack(err):
		b.counted = b.known
	}
}

// Head returns the oldest items, at most limit and of about maxBytes, but
// always one if there is any.
func (b *Box) Head(limit, maxBytes int) ([]Item, error) {
	return b.read(limit, maxBytes, ^uint64(0))
}

// Batch returns the oldest items as Head does, as far as they are of one
// numbering, and that. No other than the one who calls Meet may call it.
func (b *Box) Batch(limit, maxBytes int) (Numbering, []Item, error) {
	b.mu.Lock()
	n, until := b.producer.of(b.known.first)
	// The store shows what is written a moment before it is on disk.
	until = min(until, b.known.next, b.known.first+uint64(limit))
	if b.held != 0 {
		until = min(until, b.held)
	}
	before := b.taken
	b.taken = max(before, until-1) // nobody may withdraw what is being read
	b.mu.Unlock()
	items, err := b.read(limit, maxBytes, until)
	for i := range items {
		before = max(before, items[i].Cseq)
		if items[i].IDEpoch == 0 { // damaged: this is the likely one
			items[i].IDEpoch = n.Epoch
		}
	}
	b.mu.Lock()
	b.taken = before
	b.mu.Unlock()
	return n, items, err
}

// Newest returns the newest items, at most limit, the newest first.
func (b *Box) Newest(limit int) (out []Item, err error) {
	b.mu.Lock()
	next := b.known.next
	b.mu.Unlock()
	err = b.db.View(func(tx *bbolt.Tx) error {
		c := b.account(tx).Bucket(itemsName).Cursor()
		for k, v := c.Last(); k != nil && len(out) < limit; k, v = c.Prev() {
			if cseq := number(k); cseq < next {
				out = append(out, decode(cseq, v))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	return out, nil
}

func (b *Box) read(limit, maxBytes int, until uint64) (out []Item, err error) {
	err = b.db.View(func(tx *bbolt.Tx) error {
		c := b.account(tx).Bucket(itemsName).Cursor()
		size := 0
		for k, v := c.First(); k != nil && len(out) < limit; k, v = c.Next() {
			cseq := number(k)
			if size += len(v); size > maxBytes && len(out) > 0 || cseq >= until {
				return nil
			}
			out = append(out, decode(cseq, v))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	return out, nil
}

func decode(cseq uint64, v []byte) Item {
	it := Unseal(v)
	it.Cseq = cseq
	return it
}

// Next is the number of the item that is accepted next.
func (b *Box) Next() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known.next
}

// Status sums up the outbox.
func (b *Box) Status() protocol.QueueStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return protocol.QueueStatus{Items: b.known.items, Bytes: b.known.bytes, MaxItems: b.limits.MaxItems, MaxBytes: b.limits.MaxBytes}
}

// Each goes over the items in an account's bucket.
func Each(acct *bbolt.Bucket, f func(Item)) {
	items := acct.Bucket(itemsName)
	if items == nil {
		return
	}
	c := items.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		f(decode(number(k), v))
	}
}

// Waiting counts the items in an account's bucket.
func Waiting(acct *bbolt.Bucket) int {
	if items := acct.Bucket(itemsName); items != nil {
		return items.Stats().KeyN
	}
	return 0
}

func key(n uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 0, 8), n) }
