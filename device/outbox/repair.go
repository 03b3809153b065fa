package outbox

import (
	"bytes"
	"encoding/binary"
	"log/slog"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// mostLost is the longest hole that is filled. Of a longer one an end is taken
// for a number gone wrong. It has nothing to do with the limits of today, which
// may be lower than those of the day when the items were accepted.
const mostLost = 1 << 17

// repair makes an outbox whole again.
type repair struct {
	items *bbolt.Bucket
	first uint64 // number of the oldest item; 0: not known, it is the first that is there
	epoch uint32 // of the items that are lost
	log   *slog.Logger

	lost, dropped int
}

// hole is a run of numbers without items.
type hole struct{ from, to uint64 } // inclusive

// run makes the numbers, from first on, whole again after a damaged store was read as far as
// that went: the hub takes no holes. A number whose item is gone gets a void, so
// that the program that sent it is told. In a store without damage there is
// nothing to do.
func (r *repair) run() error {
	strays, holes := r.look()
	if err := r.drop(strays); err != nil {
		return err
	}
	for _, h := range holes {
		if h.to-h.from >= mostLost {
			if err := r.widen(h); err != nil {
				return err
			}
			r.first = 0
			return r.run()
		}
		if err := r.fill(h); err != nil {
			return err
		}
	}
	if r.lost > 0 || r.dropped > 0 {
		r.log.Error("an outbox was damaged: messages are lost", "lost", r.lost, "dropped", r.dropped)
	}
	return nil
}

// look finds the keys that cannot be, and the holes.
func (r *repair) look() (strays [][]byte, holes []hole) {
	next, last := r.first, r.items.Sequence()
	c := r.items.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if len(k) != 8 || number(k) > last || number(k) < max(r.first, 1) {
			strays = append(strays, bytes.Clone(k))
			continue
		}
		if n := number(k); n > next && next > 0 {
			holes = append(holes, hole{next, n - 1})
		}
		next = number(k) + 1
	}
	if next > 0 && next <= last {
		holes = append(holes, hole{next, last})
	}
	return strays, holes
}

func (r *repair) drop(keys [][]byte) error {
	for _, k := range keys {
		if err := r.items.Delete(k); err != nil {
			return err
		}
	}
	r.dropped += len(keys)
	return nil
}

func (r *repair) fill(h hole) error {
	v, err := protocol.Marshal(record{Kind: protocol.ItemVoid, IDEpoch: r.epoch})
	if err != nil {
		return err
	}
	v = store.Seal(v)
	for cseq := h.from; cseq <= h.to; cseq++ {
		if err := r.items.Put(key(cseq), v); err != nil {
			return err
		}
		r.lost++
	}
	return nil
}

// widen gives up the smaller side of a hole that cannot be.
func (r *repair) widen(h hole) error {
	var below, above [][]byte
	c := r.items.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if number(k) < h.from {
			below = append(below, bytes.Clone(k))
		} else {
			above = append(above, bytes.Clone(k))
		}
	}
	drop := below
	if len(above) < len(below) {
		drop = above
		if err := r.items.SetSequence(h.from - 1); err != nil {
			return err
		}
	}
	r.log.Error("the numbers in an outbox leap: the side with fewer messages is given up",
		"from", h.from, "to", h.to, "below", len(below), "above", len(above))
	return r.drop(drop)
}

func number(k []byte) uint64 { return binary.BigEndian.Uint64(k) }
