// Package inbox keeps how far an account on this board has applied each of its
// logs, and decides about each entry that comes: the next in order is applied,
// one at or below the cursor was applied before, and one beyond the next leaves
// a hole that has to be read from the hub first.
package inbox

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

var (
	cursorsName = []byte("cursors")
	erasKey     = []byte("eras")
)

// keptEras is how many of the hub's eras are remembered.
const keptEras = 64

// Inbox is the cursors of one account.
type Inbox struct {
	db      *store.DB
	account func(tx *bbolt.Tx) *bbolt.Bucket

	// written is what the transaction under way has changed: it belongs to the
	// committer's goroutine, and becomes known, or is forgotten, with the
	// transaction's result.
	written map[string]change

	mu      sync.Mutex // guards what follows: what is committed
	cursors map[string]uint64
	digest  uint64
	moved   map[string]struct{} // since the last beat
	eras    []protocol.Era
}

// change is what becomes of a cursor.
type change struct {
	seq  uint64
	gone bool
}

// Open reads an account's cursors from its bucket, which account returns. There
// is to be one Inbox of an account at a time.
func Open(db *store.DB, account func(tx *bbolt.Tx) *bbolt.Bucket) (*Inbox, error) {
	in := &Inbox{db: db, account: account, written: make(map[string]change), moved: make(map[string]struct{})}
	err := db.Do(func(tx *bbolt.Tx) error {
		acct := account(tx)
		if _, err := acct.CreateBucketIfNotExists(cursorsName); err != nil {
			return err
		}
		in.eras = loadEras(acct)
		return in.load(acct)
	})
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	return in, nil
}

// loadEras reads the eras. Where they are damaged it is as if the account had
// never met the hub: nothing is compared at the next hello.
func loadEras(acct *bbolt.Bucket) (eras []protocol.Era) {
	v, ok := store.Unseal(acct.Get(erasKey))
	if !ok || protocol.Unmarshal(v, &eras) != nil {
		return nil
	}
	return eras
}

// load reads the cursors. One that is damaged is none: the hub says where to go
// on.
func (in *Inbox) load(acct *bbolt.Bucket) error {
	b := acct.Bucket(cursorsName)
	in.cursors, in.digest = make(map[string]uint64), 0
	var drop [][]byte
	err := b.ForEach(func(k, v []byte) error {
		v, ok := store.Unseal(v)
		if !ok || len(v) != 8 || len(k) > protocol.MaxLogName {
			drop = append(drop, append([]byte(nil), k...))
			return nil
		}
		seq := binary.BigEndian.Uint64(v)
		in.cursors[string(k)] = seq
		in.digest += protocol.CursorHash(string(k), seq)
		return nil
	})
	for _, k := range drop {
		if err == nil {
			err = b.Delete(k)
		}
	}
	return err
}

// Committed tells the result of the transaction in which the inbox was
// written. It is called on the committer's goroutine.
func (in *Inbox) Committed(err error) {
	if err != nil {
		if store.TakenBack(err) {
			clear(in.written)
		}
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for log, c := range in.written {
		if old, ok := in.cursors[log]; ok {
			in.digest -= protocol.CursorHash(log, old)
		}
		if c.gone {
			delete(in.cursors, log)
			delete(in.moved, log)
			continue
		}
		in.digest += protocol.CursorHash(log, c.seq)
		in.cursors[log] = c.seq
		in.moved[log] = struct{}{}
	}
	clear(in.written)
}

// At is a log's cursor as the transaction under way sees it. It is called within
// one.
func (in *Inbox) At(log string) (seq uint64, ok bool) {
	if c, ok := in.written[log]; ok {
		return c.seq, !c.gone
	}
	return in.Cursor(log)
}

// Cursor returns how far a log was applied; ok is false for a log without a
// cursor.
func (in *Inbox) Cursor(log string) (seq uint64, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	seq, ok = in.cursors[log]
	return seq, ok
}

// Logs names the logs that have a cursor.
func (in *Inbox) Logs() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	out := make([]string, 0, len(in.cursors))
	for log := range in.cursors {
		out = append(out, log)
	}
	return out
}

// Digest sums up the cursors, see protocol.CursorHash.
func (in *Inbox) Digest() (digest uint64, logs uint32) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.digest, uint32(len(in.cursors))
}

// TakeMoved returns cursors that have moved since they were last taken, at most limit.
func (in *Inbox) TakeMoved(limit int) []protocol.Cursor {
	in.mu.Lock()
	defer in.mu.Unlock()
	var out []protocol.Cursor
	for log := range in.moved {
		if len(out) == limit {
			break
		}
		out = append(out, protocol.Cursor{Log: log, Seq: in.cursors[log]})
		delete(in.moved, log)
	}
	return out
}

// set moves a cursor within a transaction.
func (in *Inbox) set(tx *bbolt.Tx, log string, seq uint64) error {
	v := store.Seal(binary.BigEndian.AppendUint64(make([]byte, 0, 12), seq))
	if err := in.account(tx).Bucket(cursorsName).Put([]byte(log), v); err != nil {
		return err
	}
	in.written[log] = change{seq: seq}
	return nil
}

// Apply takes entries of one log, in order of seq, within a transaction: it
// moves the cursor past those that are next in order and hands each to apply.
// hole is true when an entry lies beyond the next: then the entries from the
// cursor on have to be pulled.
func (in *Inbox) Apply(tx *bbolt.Tx, log string, entries []protocol.Entry, apply func(*protocol.Entry) error) (hole bool, err error) {
	at, _ := in.At(log)
	before := at
	for i := range entries {
		e := &entries[i]
		if e.Seq <= at {
			continue
		}
		if e.Seq != at+1 {
			hole = true
			break
		}
		if err := apply(e); err != nil {
			return false, err
		}
		at = e.Seq
	}
	if at == before {
		return hole, nil
	}
	return hole, in.set(tx, log, at)
}

// Skip moves a log's cursor forward to where the hub says that a range begins,
// within a transaction: the entries left out are such that the account may not
// read or that the hub has dropped.
func (in *Inbox) Skip(tx *bbolt.Tx, log string, from uint64) error {
	if at, ok := in.At(log); ok && from <= at {
		return nil
	}
	return in.set(tx, log, from)
}

// Eras are the newest eras of the hub that this board knows, oldest first, at
// most limit.
func (in *Inbox) Eras(limit int) []protocol.Era {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]protocol.Era(nil), in.eras[max(0, len(in.eras)-limit):]...)
}

// Meet takes the hub's eras and heads at the beginning of a session, in one
// transaction: logs without a cursor get one where the hub says; eras, the
// hub's newest, take the place of those after common. With check, a cursor
// beyond a head's Was is put back to it: the hub has lost what lies between.
// rewound names those logs and says where their cursors are now, 0 where there is
// none any more, and lost is how many entries that makes. also runs in the same
// transaction, settled with its result.
func (in *Inbox) Meet(
	eras []protocol.Era, common uint32, heads []protocol.Head, check bool,
	also func(tx *bbolt.Tx, rewound map[string]uint64) error, settled func(error),
) (rewound map[string]uint64, lost uint64, err error) {
	merged := in.merge(eras, common)
	v, err := protocol.Marshal(merged)
	if err != nil {
		return nil, 0, fmt.Errorf("inbox: %w", err)
	}
	ch := make(chan error, 1)
	in.db.Go(func(tx *bbolt.Tx) error {
		rewound, lost = make(map[string]uint64), 0
		if check {
			if lost, err = in.dropUnlisted(tx, heads, rewound); err != nil {
				return err
			}
		}
		for _, h := range heads {
			at, ok := in.At(h.Log)
			switch {
			case !ok:
				err = in.set(tx, h.Log, h.Start)
			case check && at > h.Was:
				rewound[h.Log], lost = h.Was, lost+at-h.Was
				err = in.set(tx, h.Log, h.Was)
			}
			if err != nil {
				return err
			}
		}
		if err := also(tx, rewound); err != nil {
			return err
		}
		return in.account(tx).Put(erasKey, store.Seal(v))
	}, func(err error) {
		in.Committed(err)
		settled(err)
		if err == nil {
			in.mu.Lock()
			in.eras = merged
			in.mu.Unlock()
		}
		ch <- err
	})
	if err := <-ch; err != nil {
		return nil, 0, fmt.Errorf("inbox: %w", err)
	}
	return rewound, lost, nil
}

// dropUnlisted takes away the cursors of logs that the hub does not have at all.
func (in *Inbox) dropUnlisted(tx *bbolt.Tx, heads []protocol.Head, dropped map[string]uint64) (lost uint64, err error) {
	listed := make(map[string]bool, len(heads))
	for _, h := range heads {
		listed[h.Log] = true
	}
	logs := in.Logs()
	for log := range in.written {
		logs = append(logs, log)
	}
	for _, log := range logs {
		seq, ok := in.At(log)
		if !ok || listed[log] {
			continue
		}
		if err := in.account(tx).Bucket(cursorsName).Delete([]byte(log)); err != nil {
			return 0, err
		}
		in.written[log] = change{gone: true}
		dropped[log], lost = 0, lost+seq
	}
	return lost, nil
}

func (in *Inbox) merge(eras []protocol.Era, common uint32) []protocol.Era {
	in.mu.Lock()
	defer in.mu.Unlock()
	var merged []protocol.Era
	for _, e := range in.eras {
		if e.Ord <= common {
			merged = append(merged, e)
		}
	}
	for _, e := range eras {
		if e.Ord > common {
			merged = append(merged, e)
		}
	}
	return merged[max(0, len(merged)-keptEras):]
}
