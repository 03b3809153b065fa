package mirror

import (
	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// Row is one message as it lies in the mirror.
type Row struct {
	Entry protocol.Entry `cbor:"1,keyasint"`
	// Status is one of the document's; 0 stands for sent.
	Status uint8 `cbor:"2,keyasint,omitempty"`
	// Code and Msg say why the hub refused it.
	Code protocol.Code `cbor:"3,keyasint,omitempty"`
	Msg  string        `cbor:"4,keyasint,omitempty"`
	Pos  Pos           `cbor:"-"`
}

func (m *Mirror) decode(v []byte, p Pos) (Row, bool) {
	var r Row
	v, ok := store.Unseal(v)
	if !ok || protocol.Unmarshal(v, &r) != nil {
		return r, false
	}
	r.Pos = p
	return r, true
}

// put writes a row, new or in place of what is there.
func (m *Mirror) put(tx *bbolt.Tx, c *Conv, r Row) error {
	return m.write(tx, c, r, m.rows(tx).Get(key(c.No, r.Pos)))
}

// add writes a row where none is.
func (m *Mirror) add(tx *bbolt.Tx, c *Conv, r Row) error { return m.write(tx, c, r, nil) }

func (m *Mirror) write(tx *bbolt.Tx, c *Conv, r Row, old []byte) error {
	v, err := protocol.Marshal(r)
	if err != nil {
		return err
	}
	v = store.Seal(v)
	k := key(c.No, r.Pos)
	size := int64(len(k) + len(v))
	if old == nil {
		c.Rows++
	} else {
		size -= int64(len(k) + len(old))
	}
	if err := m.rows(tx).Put(k, v); err != nil {
		return err
	}
	c.Bytes += size
	m.bytes += size
	if old != nil || r.Entry.MsgID == "" {
		return nil
	}
	return m.ids(tx).Put([]byte(r.Entry.MsgID), k)
}

// remove takes a row away, if it is there, and what it added to the unread count. See
// purge.
func (m *Mirror) remove(tx *bbolt.Tx, c *Conv, p Pos) error {
	v := m.rows(tx).Get(key(c.No, p))
	if v == nil {
		return nil
	}
	return m.delete(tx, c, p, v)
}

// delete is remove for a row whose value is at hand.
func (m *Mirror) delete(tx *bbolt.Tx, c *Conv, p Pos, v []byte) error {
	k := key(c.No, p)
	size := int64(len(k) + len(v))
	c.Rows--
	c.Bytes -= size
	m.bytes -= size
	if r, ok := m.decode(v, p); ok {
		if m.unread(&r.Entry) && p.Sub == 0 && p.Seq > c.Floor() && p.Seq >= c.First {
			c.Count -= min(c.Count, 1)
		}
		if id := r.Entry.MsgID; id != "" {
			if err := m.ids(tx).Delete([]byte(id)); err != nil {
				return err
			}
		}
	}
	return m.rows(tx).Delete(k)
}

// walk goes over a conversation's rows from a position on, while f returns true.
// f must not change the bucket.
func (m *Mirror) walk(tx *bbolt.Tx, c *Conv, from Pos, f func(p Pos, v []byte) bool) {
	cur := m.rows(tx).Cursor()
	for k, v := cur.Seek(key(c.No, from)); k != nil; k, v = cur.Next() {
		no, p, ok := parseKey(k)
		if !ok || no != c.No || !f(p, v) {
			return
		}
	}
}

// back goes over a conversation's rows backwards from before a position, or from
// the newest where that is zero, while f returns true. It is for transactions that
// only read: in one that has deleted, bbolt's way back ends at the first page that
// is empty by it, or goes round for ever where all are. See last.
func (m *Mirror) back(tx *bbolt.Tx, c *Conv, before Pos, f func(p Pos, v []byte) bool) {
	cur := m.rows(tx).Cursor()
	end := key(c.No, before)
	if before == (Pos{}) {
		end = key(c.No+1, Pos{})
	}
	var k, v []byte
	if behind, _ := cur.Seek(end); behind == nil {
		k, v = cur.Last()
	} else {
		k, v = cur.Prev()
	}
	for ; k != nil; k, v = cur.Prev() {
		no, p, ok := parseKey(k)
		if !ok || no != c.No || !f(p, v) {
			return
		}
	}
}

// count counts the unread rows anew, after the floor has moved.
func (m *Mirror) count(tx *bbolt.Tx, c *Conv) {
	floor := c.Floor()
	switch {
	case c.First == 0 || floor+1 >= c.First:
		c.Base = 0
	case c.Base > 0 || !c.Known:
		c.doubt()
	}
	c.Count = 0
	m.walk(tx, c, Pos{Seq: max(floor+1, c.First)}, func(p Pos, v []byte) bool {
		if r, ok := m.decode(v, p); ok && p.Sub == 0 && m.unread(&r.Entry) {
			c.Count++
		}
		return true
	})
}

// last finds the newest position at or below a seq, also in a transaction that has
// deleted rows: it halves, as bbolt looks forward well.
func (m *Mirror) last(tx *bbolt.Tx, c *Conv, atMost uint64) (last Pos, ok bool) {
	cur := m.rows(tx).Cursor()
	from := func(seq uint64) bool { // is there any row from seq on, up to atMost
		no, p, is := parseKey(first(cur.Seek(key(c.No, Pos{Seq: seq}))))
		return is && no == c.No && p.Seq <= atMost
	}
	if !from(0) {
		return Pos{}, false
	}
	low, high := uint64(0), atMost // there is one from low on, and none above high
	for low < high {
		if mid := low + (high-low)/2 + 1; from(mid) {
			low = mid
		} else {
			high = mid - 1
		}
	}
	m.walk(tx, c, Pos{Seq: low}, func(p Pos, _ []byte) bool {
		if p.Seq == low {
			last, ok = p, true
		}
		return p.Seq == low
	})
	return last, ok
}

func first(k, _ []byte) []byte { return k }

// maxSeq is above any seq.
const maxSeq = 1 << 62

// newest finds the last message anew, after one was taken away.
func (m *Mirror) newest(tx *bbolt.Tx, c *Conv) {
	c.Last, c.LastTime, c.last = Pos{}, 0, nil
	for atMost := uint64(maxSeq); ; {
		p, ok := m.last(tx, c, atMost)
		if !ok {
			break
		}
		if r, ok := m.Row(tx, c, p); ok {
			c.Last, c.LastTime = p, r.Entry.Time
			return
		}
		if p.Seq == 0 { // damaged, and the only one
			break
		}
		atMost = p.Seq - 1
	}
	if c.First > 1 && c.Cleared+1 < c.First {
		c.doubt() // the hub may have an older one
	}
}

// trim takes the oldest rows away where a conversation, or all of them, have
// more than they may. It takes off more than there is too much, so that it is not
// called with each message.
func (m *Mirror) trim(tx *bbolt.Tx, c *Conv) error {
	if c.Rows > m.limits.MaxRows+max(m.limits.MaxRows/8, 16) {
		if err := m.dropOldest(tx, c, c.Rows-m.limits.MaxRows); err != nil {
			return err
		}
	}
	for m.bytes > m.limits.MaxBytes {
		big := m.biggest()
		if big == nil || big.Rows < 2 {
			return nil
		}
		victim := m.edit(big.Log, big.First)
		if err := m.dropOldest(tx, victim, max(victim.Rows/4, 1)); err != nil {
			return err
		}
		if victim != c {
			if err := m.save(tx, victim, victim.Visible()); err != nil {
				return err
			}
		}
	}
	return nil
}

// biggest is the conversation with the most bytes.
func (m *Mirror) biggest() (big *Conv) {
	for _, c := range m.Convs() {
		if w := m.written[c.Log]; w != nil {
			c = w
		}
		if big == nil || c.Bytes > big.Bytes {
			big = c
		}
	}
	for _, c := range m.written { // those made in this transaction, too
		if big == nil || c.Bytes > big.Bytes {
			big = c
		}
	}
	return big
}

// dropOldest takes a conversation's n oldest rows away, but never the last one.
// What is unread of them is counted on, as the hub would.
func (m *Mirror) dropOldest(tx *bbolt.Tx, c *Conv, n int) error {
	for _, d := range m.oldest(tx, c, n+1, func(Pos) bool { return true }) {
		if d.pos == c.Last {
			continue
		}
		before, drop := c.Count, m.remove
		if d.pos.Sub > 0 { // nobody has it any more
			drop = m.purge
		}
		if err := drop(tx, c, d.pos); err != nil {
			return err
		}
		c.Base += before - c.Count
		if d.pos.Seq >= c.First {
			c.First = d.pos.Seq + 1
		}
	}
	return nil
}

// stored is a row with its value.
type stored struct {
	pos   Pos
	value []byte
}

// oldest collects a conversation's oldest rows, at most n, while ok returns true.
// Values stay as they are while rows are deleted: bbolt copies what it moves.
func (m *Mirror) oldest(tx *bbolt.Tx, c *Conv, n int, ok func(Pos) bool) (out []stored) {
	m.walk(tx, c, Pos{}, func(p Pos, v []byte) bool {
		if len(out) == n || !ok(p) {
			return false
		}
		out = append(out, stored{p, v})
		return true
	})
	return out
}

// upTo collects a conversation's rows up to those of a seq.
func (m *Mirror) upTo(tx *bbolt.Tx, c *Conv, seq uint64) []stored {
	return m.oldest(tx, c, c.Rows, func(p Pos) bool { return p.Seq <= seq })
}

// purge is remove for a message that is deleted for good: its note goes with it.
func (m *Mirror) purge(tx *bbolt.Tx, c *Conv, p Pos) error {
	if r, ok := m.Row(tx, c, p); ok && m.notes > 0 {
		if err := m.SetNote(tx, r.Entry.MsgID, Note{}); err != nil {
			return err
		}
	}
	return m.remove(tx, c, p)
}

// purgeAll purges all of a conversation's rows up to those of a seq.
func (m *Mirror) purgeAll(tx *bbolt.Tx, c *Conv, seq uint64) error {
	for _, d := range m.upTo(tx, c, seq) {
		if err := m.purge(tx, c, d.pos); err != nil {
			return err
		}
	}
	return nil
}

// Page is a part of a conversation, the newest first.
type Page struct {
	Rows []Row
	More bool // there are older ones, and they are here
	// Below is where the hub's history goes on: what is below this seq is not held.
	// 0: there is nothing older.
	Below uint64
}

// Read returns at most count messages of a log before a position, from the newest
// where that is zero.
func (m *Mirror) Read(tx *bbolt.Tx, log string, before Pos, count int) (page Page) {
	c := m.Conv(log)
	if c == nil {
		at, _ := m.cursors.Cursor(log)
		return Page{Below: at + 1}
	}
	low := c.low()
	m.back(tx, c, before, func(p Pos, v []byte) bool {
		if p.Before(low) {
			return false
		}
		if len(page.Rows) == count {
			page.More = true
			return false
		}
		if r, ok := m.decode(v, p); ok {
			page.Rows = append(page.Rows, r)
		}
		return true
	})
	switch {
	case page.More:
	case c.First <= c.Cleared+1: // also where both are 0: the log is held whole
	case before != (Pos{}) && before.Seq < c.First:
		page.Below = before.Seq
		if before.Sub > 0 {
			page.Below++
		}
	default:
		page.Below = c.First
	}
	return page
}

// Row returns the row at a place.
func (m *Mirror) Row(tx *bbolt.Tx, c *Conv, p Pos) (Row, bool) {
	v := m.rows(tx).Get(key(c.No, p))
	if v == nil {
		return Row{}, false
	}
	return m.decode(v, p)
}

// maxAtHand is the longest body of a last message that is kept at hand.
const maxAtHand = 1024

// LastRow returns the newest message of a conversation. It stays at hand, so that
// the list is read without looking each of them up.
func (m *Mirror) LastRow(tx *bbolt.Tx, c *Conv) (Row, bool) {
	if c.Last == (Pos{}) {
		return Row{}, false
	}
	m.mu.Lock()
	last := c.last
	m.mu.Unlock()
	if last != nil {
		return *last, true
	}
	r, ok := m.Row(tx, c, c.Last)
	if ok {
		m.mu.Lock()
		c.setLast(r)
		m.mu.Unlock()
	}
	return r, ok
}

func (c *Conv) setLast(r Row) {
	if c.last = nil; len(r.Entry.Body) <= maxAtHand {
		c.last = &r
	}
}

// Find returns the message with an id, and its conversation.
func (m *Mirror) Find(tx *bbolt.Tx, msgID string) (*Conv, Row, bool) {
	no, p, ok := parseKey(m.ids(tx).Get([]byte(msgID)))
	if !ok {
		return nil, Row{}, false
	}
	m.mu.Lock()
	c := m.convs[m.names[no]]
	m.mu.Unlock()
	if c == nil {
		return nil, Row{}, false
	}
	r, ok := m.Row(tx, c, p)
	return c, r, ok && r.Entry.MsgID == msgID
}
