package outbox

import (
	"fmt"
	"math/rand/v2"

	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// Numbering is how items are numbered toward the hub.
type Numbering struct {
	Epoch uint32 `cbor:"1,keyasint"`
	Base  uint64 `cbor:"2,keyasint"` // number of the epoch's first item
}

// producer is the numbering of new items, from its base on, and the one of
// those before, as far as they wait.
//
// Each Box has an epoch of its own. A board whose flash, in a power failure,
// went back to an earlier state gives out numbers a second time: in the epoch of
// then the hub would take new messages for ones that it has, and they would be
// lost. For the same reason epochs rise by a random number, so that one that is
// begun again is not the one that is forgotten. What waits keeps its epoch:
// the hub may have it already.
type producer struct {
	numbering Numbering
	before    Numbering // Epoch 0: none
	told      uint64    // of items before it, losses are told of already
}

type producerRecord struct {
	Epoch       uint32 `cbor:"1,keyasint"`
	Base        uint64 `cbor:"2,keyasint"`
	BeforeEpoch uint32 `cbor:"3,keyasint,omitempty"`
	BeforeBase  uint64 `cbor:"4,keyasint,omitempty"`
	Told        uint64 `cbor:"5,keyasint,omitempty"`
}

var producerKey = []byte("producer")

// epochStep is the most that an epoch rises by.
const epochStep = 1 << 20

func nextEpoch(after uint32) uint32 {
	for {
		if e := after + 1 + rand.Uint32N(epochStep); e != 0 { // they count round, see protocol.EpochAfter
			return e
		}
	}
}

// later is the epoch that was begun last.
func later(a, b uint32) uint32 {
	if protocol.EpochAfter(a, b) {
		return a
	}
	return b
}

// loadProducer reads what an account's bucket says. Where that is damaged the
// hub's own epoch, at Meet, makes up for it.
func loadProducer(acct *bbolt.Bucket) (p producer) {
	var r producerRecord
	if v := acct.Get(producerKey); v == nil || protocol.Unmarshal(v, &r) != nil {
		return p
	}
	return producer{Numbering{r.Epoch, r.Base}, Numbering{r.BeforeEpoch, r.BeforeBase}, r.Told}
}

func (p producer) store(acct *bbolt.Bucket) error {
	v, err := protocol.Marshal(producerRecord{p.numbering.Epoch, p.numbering.Base, p.before.Epoch, p.before.Base, p.told})
	if err != nil {
		return err
	}
	return acct.Put(producerKey, v)
}

// renewed begins a new epoch, unless what waits is of two already.
func (p producer) renewed(c counts) producer {
	switch {
	case p.numbering.Epoch == 0:
		return producer{numbering: Numbering{nextEpoch(0), c.first}, told: c.first}
	case c.first < p.numbering.Base:
		return p
	}
	return producer{Numbering{nextEpoch(p.numbering.Epoch), c.next}, p.numbering, p.told}
}

// of returns the numbering of the oldest item, and the number before which it ends.
func (p producer) of(first uint64) (n Numbering, until uint64) {
	if first < p.numbering.Base {
		return p.before, p.numbering.Base
	}
	return p.numbering, ^uint64(0)
}

// Epoch is that of new items.
func (b *Box) Epoch() uint32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.producer.numbering.Epoch
}

// Meet compares the numbering with what the hub knows of it: its epoch (0: none)
// and the last number it has of that epoch. Where the two have lost sight of
// each other — the hub's database or the board's came back from an older copy —
// a new epoch begins with the oldest item that waits, and renewed is true. lost
// is how many items the hub had answered and does not have any more.
func (b *Box) Meet(epoch uint32, last uint64) (renewed bool, lost uint64, err error) {
	b.db.Ping() // what was under way is counted
	b.mu.Lock()
	p, c := b.producer, b.known
	b.mu.Unlock()
	fits := p.fits(c, epoch, last)
	if !protocol.EpochAfter(epoch, p.numbering.Epoch) { // else the board has gone back, and does not know
		lost = c.first - min(c.first, max(last+1, p.told))
	}
	if fits && lost == 0 {
		return false, 0, nil
	}
	next := p
	ch := make(chan error, 1)
	b.db.Go(func(tx *bbolt.Tx) error {
		next.told = c.first
		if !fits {
			next = producer{numbering: Numbering{nextEpoch(later(epoch, p.numbering.Epoch)), b.counted.first}, told: c.first}
		}
		return next.store(b.account(tx))
	}, func(err error) {
		if err == nil { // here, so that no Put comes in between
			b.mu.Lock()
			b.producer = next
			b.mu.Unlock()
		}
		ch <- err
	})
	if err := <-ch; err != nil {
		return false, 0, fmt.Errorf("outbox: %w", err)
	}
	return !fits, lost, nil
}

// fits tells whether what waits can be sent as it is numbered, so that the hub
// takes each item once, when the hub knows epoch up to last.
func (p producer) fits(c counts, epoch uint32, last uint64) bool {
	n, _ := p.of(c.first)
	switch {
	case protocol.EpochAfter(epoch, n.Epoch): // the board has gone back: the hub knows numbers that it does not
		return false
	case epoch != n.Epoch: // the hub has seen nothing of n, or has forgotten it
		return c.first == n.Base
	case last+1 < c.first: // the hub has gone back
		return false
	}
	// At or beyond our next number the board has gone back, unless an epoch has
	// begun since: then the hub has what waits of this one.
	return last < c.next || n != p.numbering
}
