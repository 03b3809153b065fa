package outbox

import (
	"encoding/binary"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// repair makes the numbers, from first on, whole again after a damaged store was read as far as
// that went: the hub takes no holes. A number whose item is gone gets a void, so
// that the program that sent it is told. In a store without damage there is
// nothing to do.
func repair(items *bbolt.Bucket, first uint64, most int, n Numbering) error {
	var drop [][]byte
	var holes [][2]uint64 // from, to (inclusive)
	next := first
	c := items.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if len(k) != 8 || binary.BigEndian.Uint64(k) > items.Sequence() || binary.BigEndian.Uint64(k) < first {
			drop = append(drop, append([]byte(nil), k...))
			continue
		}
		cseq := binary.BigEndian.Uint64(k)
		if cseq != next {
			holes = append(holes, [2]uint64{next, cseq - 1})
		}
		next = cseq + 1
	}
	if next <= items.Sequence() {
		holes = append(holes, [2]uint64{next, items.Sequence()})
	}
	for _, k := range drop {
		if err := items.Delete(k); err != nil {
			return err
		}
	}
	v, err := protocol.Marshal(record{Kind: protocol.ItemVoid, IDEpoch: n.Epoch})
	if err != nil {
		return err
	}
	v = store.Seal(v)
	for _, h := range holes {
		if h[1]-h[0] >= uint64(most) {
			// So many cannot have waited: one end of the hole is a number gone wrong.
			if err := widen(items, h); err != nil {
				return err
			}
			c := items.Cursor()
			if k, _ := c.First(); k != nil {
				first = binary.BigEndian.Uint64(k)
			} else {
				first = items.Sequence() + 1
			}
			return repair(items, first, most, n)
		}
		for cseq := h[0]; cseq <= h[1]; cseq++ {
			if err := items.Put(key(cseq), v); err != nil {
				return err
			}
		}
	}
	return nil
}

// widen gives up the smaller side of a hole that cannot be.
func widen(items *bbolt.Bucket, h [2]uint64) error {
	var below, above [][]byte
	c := items.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if binary.BigEndian.Uint64(k) < h[0] {
			below = append(below, append([]byte(nil), k...))
		} else {
			above = append(above, append([]byte(nil), k...))
		}
	}
	drop := below
	if len(above) < len(below) {
		drop = above
		if err := items.SetSequence(h[0] - 1); err != nil {
			return err
		}
	}
	for _, k := range drop {
		if err := items.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
