// Package mirror keeps on the board what an account's programs look at most: of
// each conversation the newest messages, and how it stands — the last message,
// what is read, how many are unread, the draft. So history, the list and the
// counts are there without a link. What is older is at the hub.
//
// Of each log it holds all that programs are shown from a seq on (Conv.First) up
// to the log's cursor; a message that was deleted is simply not there. Nothing in
// it depends on the order in which reads, deletions and revokes arrive from
// other terminals: what is read or cleared only rises, what is deleted or taken
// back stays so.
//
// The unread are counted where they are held (Conv.Count); those below First the
// hub counts (Conv.Base), anew whenever something there may have changed
// (Conv.Stale).
package mirror

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// Limits bound the mirror. Beyond them the oldest messages leave it.
type Limits struct {
	MaxRows  int   // of a conversation; 0: 5000
	MaxBytes int64 // of all of them; 0: 64 MiB
}

// maxHidden is how many deletions of one conversation are remembered that came
// before their messages.
const maxHidden = 1000

var (
	rootName   = []byte("mirror")
	rowsName   = []byte("rows")
	idsName    = []byte("ids")
	convsName  = []byte("conversations")
	notesName  = []byte("notes")
	draftsName = []byte("drafts")
)

// Change says what became of a conversation in a transaction.
type Change uint8

const (
	Changed Change = iota + 1
	Appeared
	Vanished
)

// Cursors tell how far logs were applied; false: a log has no cursor.
type Cursors interface {
	At(log string) (uint64, bool)     // as the transaction under way sees it
	Cursor(log string) (uint64, bool) // on disk
}

// Mirror is what the board keeps of one account's conversations.
type Mirror struct {
	db      *store.DB
	account func(tx *bbolt.Tx) *bbolt.Bucket
	self    string
	limits  Limits
	cursors Cursors

	// What the transaction under way has changed; the committer's.
	written   map[string]*Conv
	changes   map[string]Change
	bytes     int64
	notes     int
	drafts    int
	nextNo    uint32
	committed totals
	noted     atomic.Bool // there is a note at some message, or was

	mu    sync.Mutex
	convs map[string]*Conv // committed; a Conv in it is never written to
	names map[uint32]string
	// doubtful are those of convs that the hub is to be asked about.
	doubtful map[string]struct{}
}

// totals are what a transaction that is taken back is put back to.
type totals struct {
	bytes         int64
	notes, drafts int
	nextNo        uint32
}

// Open reads an account's conversations from its bucket. There is to be one Mirror
// of an account at a time.
func Open(db *store.DB, account func(tx *bbolt.Tx) *bbolt.Bucket, self string, cursors Cursors, limits Limits) (*Mirror, error) {
	if limits.MaxRows == 0 {
		limits.MaxRows = 5000
	}
	if limits.MaxBytes == 0 {
		limits.MaxBytes = 64 << 20
	}
	m := &Mirror{
		db: db, account: account, self: self, limits: limits, cursors: cursors,
		written: make(map[string]*Conv), changes: make(map[string]Change),
	}
	err := db.Do(func(tx *bbolt.Tx) error {
		root, err := account(tx).CreateBucketIfNotExists(rootName)
		if err != nil {
			return err
		}
		for _, name := range [][]byte{rowsName, idsName, convsName, notesName, draftsName} {
			if _, err := root.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return m.load(root)
	})
	if err != nil {
		return nil, fmt.Errorf("mirror: %w", err)
	}
	return m, nil
}

// load reads the conversations. One that is damaged begins anew: the hub says how
// it stands, and its rows, which nothing names any more, are taken away.
func (m *Mirror) load(root *bbolt.Bucket) error {
	m.convs, m.names, m.doubtful = make(map[string]*Conv), make(map[uint32]string), make(map[string]struct{})
	var damaged [][]byte
	err := root.Bucket(convsName).ForEach(func(k, v []byte) error {
		c := new(Conv)
		v, ok := store.Unseal(v)
		c.identify(string(k), m.self)
		if !ok || protocol.Unmarshal(v, c) != nil || c.No == 0 || m.names[c.No] != "" || c.Kind == protocol.LogUnknown {
			damaged = append(damaged, slices.Clone(k))
			return nil
		}
		m.convs[c.Log], m.names[c.No] = c, c.Log
		m.weigh(c)
		m.committed.bytes += c.Bytes
		m.committed.nextNo = max(m.committed.nextNo, c.No)
		return nil
	})
	for _, k := range damaged {
		m.db.Log().Error("what the board knew of a conversation is damaged; the hub is asked", "log", string(k))
		if err == nil {
			err = root.Bucket(convsName).Delete(k)
		}
	}
	if err == nil {
		err = m.dropNameless(root)
	}
	m.committed.notes, m.committed.drafts = root.Bucket(notesName).Stats().KeyN, root.Bucket(draftsName).Stats().KeyN
	m.bytes, m.notes, m.drafts, m.nextNo = m.committed.bytes, m.committed.notes, m.committed.drafts, m.committed.nextNo
	m.noted.Store(m.notes > 0)
	return err
}

// dropNameless takes away the rows of conversations that are not known.
func (m *Mirror) dropNameless(root *bbolt.Bucket) error {
	rows, ids := root.Bucket(rowsName), root.Bucket(idsName)
	c := rows.Cursor()
	for k, _ := c.First(); k != nil; {
		no, _, ok := parseKey(k)
		if ok && m.names[no] != "" {
			k, _ = c.Seek(key(no+1, Pos{}))
			continue
		}
		if err := c.Delete(); err != nil {
			return err
		}
		k, _ = c.Seek(k)
	}
	if len(m.names) > 0 {
		return nil // an id that leads nowhere is found to do so when it is followed
	}
	for k, _ := ids.Cursor().First(); k != nil; k, _ = ids.Cursor().First() {
		if err := ids.Delete(slices.Clone(k)); err != nil {
			return err
		}
	}
	return nil
}

// cursor is how far a log was applied, as the transaction under way sees it.
func (m *Mirror) cursor(log string) uint64 {
	at, _ := m.cursors.At(log)
	return at
}

func (m *Mirror) root(tx *bbolt.Tx) *bbolt.Bucket  { return m.account(tx).Bucket(rootName) }
func (m *Mirror) rows(tx *bbolt.Tx) *bbolt.Bucket  { return m.root(tx).Bucket(rowsName) }
func (m *Mirror) ids(tx *bbolt.Tx) *bbolt.Bucket   { return m.root(tx).Bucket(idsName) }
func (m *Mirror) state(tx *bbolt.Tx) *bbolt.Bucket { return m.root(tx).Bucket(convsName) }

// Committed tells the result of the transaction in which the mirror was written,
// and returns what became of conversations. It is called on the committer's
// goroutine.
func (m *Mirror) Committed(err error) map[string]Change {
	if err != nil {
		if store.TakenBack(err) {
			clear(m.written)
			clear(m.changes)
			m.bytes, m.notes, m.drafts, m.nextNo = m.committed.bytes, m.committed.notes, m.committed.drafts, m.committed.nextNo
		}
		return nil
	}
	m.committed = totals{m.bytes, m.notes, m.drafts, m.nextNo}
	if len(m.written) == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for log, c := range m.written {
		m.convs[log], m.names[c.No] = c, log
		m.weigh(c)
	}
	out := m.changes
	m.written, m.changes = make(map[string]*Conv), make(map[string]Change)
	return out
}

// weigh notes whether the hub is to be asked about a conversation.
func (m *Mirror) weigh(c *Conv) {
	if c.Known && !c.Stale {
		delete(m.doubtful, c.Log)
		return
	}
	m.doubtful[c.Log] = struct{}{}
}

// Conv returns a conversation as it is on disk; nil if there is none. It must not
// be written to.
func (m *Mirror) Conv(log string) *Conv {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.convs[log]
}

// Convs returns all conversations, in no order. They must not be written to.
func (m *Mirror) Convs() []*Conv {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]*Conv, 0, len(m.convs))
	for _, c := range m.convs {
		out = append(out, c)
	}
	return out
}

// InTx is a conversation as the transaction under way sees it; nil: none.
func (m *Mirror) InTx(log string) *Conv {
	if c := m.written[log]; c != nil {
		return c
	}
	return m.Conv(log)
}

// edit returns a conversation to be changed in the transaction under way. One
// that is not there is made: it holds nothing below first.
func (m *Mirror) edit(log string, first uint64) *Conv {
	if c := m.written[log]; c != nil {
		return c
	}
	c := m.InTx(log)
	if c != nil {
		m.mu.Lock()
		copied := *c
		m.mu.Unlock()
		copied.Hidden = slices.Clone(c.Hidden)
		c = &copied
	} else {
		m.nextNo++
		c = &Conv{No: m.nextNo, First: first}
		c.identify(log, m.self)
		// Below the first entry of a conversation of two there is nothing to ask for.
		c.Known = c.Kind == protocol.LogC2C && first <= 1
	}
	m.written[log] = c
	return c
}

// save writes a conversation down, and what became of it.
func (m *Mirror) save(tx *bbolt.Tx, c *Conv, visible bool) error {
	v, err := protocol.Marshal(c)
	if err != nil {
		return err
	}
	switch now, before := c.Visible(), m.changes[c.Log]; { // before: in this transaction, of which only the outcome is told
	case now && !visible && before == Vanished:
		m.changes[c.Log] = Changed
	case now && !visible:
		m.changes[c.Log] = Appeared
	case !now && visible && before == Appeared:
		delete(m.changes, c.Log)
	case !now && visible:
		m.changes[c.Log] = Vanished
	case now && before == 0:
		m.changes[c.Log] = Changed
	}
	return m.state(tx).Put([]byte(c.Log), store.Seal(v))
}

// Pos is a message's place in its conversation: at the entry of that seq, or, with
// Sub from 1 on, behind it: what this board alone has.
type Pos struct {
	Seq uint64 `cbor:"1,keyasint"`
	Sub uint32 `cbor:"2,keyasint,omitempty"`
}

// Before tells whether p comes before q.
func (p Pos) Before(q Pos) bool { return p.Seq < q.Seq || p.Seq == q.Seq && p.Sub < q.Sub }

func key(no uint32, p Pos) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 16), no)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(b, p.Seq), p.Sub)
}

func parseKey(b []byte) (no uint32, p Pos, ok bool) {
	if len(b) != 16 {
		return 0, p, false
	}
	return binary.BigEndian.Uint32(b), Pos{binary.BigEndian.Uint64(b[4:]), binary.BigEndian.Uint32(b[12:])}, true
}
