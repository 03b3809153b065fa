package mirror

import (
	"slices"

	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// Apply takes entries of a log, which are next in order, within a transaction.
func (m *Mirror) Apply(tx *bbolt.Tx, log string, entries []*protocol.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	kind, user, _ := protocol.ParseLog(log)
	switch {
	case kind == protocol.LogUser && user == m.self:
		for _, e := range entries {
			if e.Kind == protocol.EntryMark {
				if err := m.ownMark(tx, e); err != nil {
					return err
				}
			}
		}
		return nil
	case kind != protocol.LogC2C && kind != protocol.LogGroup:
		return nil
	}
	c := m.edit(log, entries[0].Seq)
	visible := c.Visible()
	for _, e := range entries {
		if err := m.entry(tx, c, e); err != nil {
			return err
		}
	}
	if err := m.trim(tx, c); err != nil {
		return err
	}
	return m.save(tx, c, visible)
}

func (m *Mirror) entry(tx *bbolt.Tx, c *Conv, e *protocol.Entry) error {
	switch {
	case e.Kind.Shown():
		return m.message(tx, c, e)
	case e.Kind == protocol.EntryRevoke:
		r, err := protocol.DecodeRevoke(e.Body)
		if err != nil {
			return nil // of a newer hub; the cursor goes past it
		}
		return m.revoke(tx, c, r, e.From)
	case e.Kind == protocol.EntryMark:
		mark, err := protocol.DecodeMark(e.Body)
		if err != nil || mark.Kind != protocol.MarkRead || mark.Log != c.Log {
			return nil
		}
		if e.From == m.self && mark.UpTo > c.Read {
			c.Read = mark.UpTo
			m.count(tx, c)
		}
		if e.From != m.self {
			c.PeerRead = max(c.PeerRead, mark.UpTo)
		}
	}
	return nil
}

// message puts an entry into the mirror.
func (m *Mirror) message(tx *bbolt.Tx, c *Conv, e *protocol.Entry) error {
	if e.Kind == protocol.EntryTip {
		m.tip(c, e)
	}
	if i := slices.Index(c.Hidden, e.Seq); i >= 0 {
		c.Hidden = slices.Delete(c.Hidden, i, i+1)
		return nil
	}
	if e.Seq <= c.Cleared {
		return nil
	}
	p := Pos{Seq: e.Seq}
	if err := m.add(tx, c, Row{Entry: *e, Pos: p}); err != nil {
		return err
	}
	if m.unread(e) && e.Seq > c.Floor() {
		c.Count++
	}
	if c.Last.Before(p) {
		if island := c.Last; island != (Pos{}) && island.Before(c.low()) { // it stood there for the list alone
			if err := m.remove(tx, c, island); err != nil {
				return err
			}
		}
		c.Last, c.LastTime = p, e.Time
		c.setLast(Row{Entry: *e, Pos: p})
	}
	return nil
}

// tip learns from a change of a group what it is called.
func (m *Mirror) tip(c *Conv, e *protocol.Entry) {
	var t protocol.Tip
	if protocol.Unmarshal(e.Body, &t) != nil {
		return
	}
	switch t.Kind {
	case protocol.TipCreated:
		if c.RecvOpt != protocol.RecvNormal { // of an earlier group, or told before by another log
			c.RecvOpt = protocol.RecvNormal
			c.doubt()
		}
		c.GroupType, c.Name, c.Face = t.Type, t.Name, t.Face
		c.Known, c.Gone = c.Known || c.First <= e.Seq, false
	case protocol.TipJoined, protocol.TipInvited:
		if slices.Contains(t.Users, m.self) { // what was not readable before may be now
			c.Gone, c.RecvOpt = false, protocol.RecvNormal
			if t.Type != "" {
				c.GroupType, c.Name, c.Face = t.Type, t.Name, t.Face
			}
			c.doubt()
		}
	case protocol.TipChanged:
		if x := t.Change; x != nil {
			c.gen++ // a survey that is on its way may not know it
			if x.GroupName != nil {
				c.Name = *x.GroupName
			}
			if x.FaceURL != nil {
				c.Face = *x.FaceURL
			}
		}
	}
}

// revoke takes a message back. Of a revoke that this terminal has asked for itself
// the id alone is known: the rest is looked up, if the message is here.
func (m *Mirror) revoke(tx *bbolt.Tx, c *Conv, r protocol.Revoke, by string) error {
	if no, p, ok := parseKey(m.ids(tx).Get([]byte(r.MsgID))); r.Seq == 0 && ok && no == c.No && p.Sub == 0 {
		r.Seq = p.Seq
	}
	p := Pos{Seq: r.Seq}
	row, held := m.Row(tx, c, p)
	if held {
		r.Sender = row.Entry.From
	}
	if held && row.Entry.RevokedBy == "" {
		counted := m.unread(&row.Entry) && r.Seq > c.Floor() && r.Seq >= c.First
		row.Entry.RevokedBy, row.Entry.Body = by, nil
		if p == c.Last {
			c.setLast(row)
		}
		if err := m.put(tx, c, row); err != nil {
			return err
		}
		if counted {
			c.Count -= min(c.Count, 1)
		}
	}
	if r.Seq == 0 || r.Seq < c.First && r.Seq > c.Floor() && r.Sender != m.self {
		c.doubt()
	}
	return nil
}

// ownMark takes what the account has read or deleted, of its own log.
func (m *Mirror) ownMark(tx *bbolt.Tx, e *protocol.Entry) error {
	mark, err := protocol.DecodeMark(e.Body)
	if err != nil || e.From != m.self {
		return nil // of a newer hub
	}
	return m.Mark(tx, mark)
}

// Mark takes what the account has read or deleted, here or on another terminal,
// within a transaction.
func (m *Mirror) Mark(tx *bbolt.Tx, mark protocol.Mark) error {
	c := m.edit(mark.Log, m.cursor(mark.Log)+1)
	visible := c.Visible()
	switch mark.Kind {
	case protocol.MarkRead:
		if mark.UpTo > c.Read {
			c.Read = mark.UpTo
			m.count(tx, c)
		}
	case protocol.MarkCleared:
		if err := m.clear(tx, c, mark.UpTo); err != nil {
			return err
		}
	case protocol.MarkDeleted:
		for _, seq := range mark.Seqs {
			if err := m.hide(tx, c, seq); err != nil {
				return err
			}
		}
	case protocol.MarkOption:
		c.RecvOpt = mark.Opt
		c.doubt() // a survey that is on its way may not know it
	}
	return m.save(tx, c, visible)
}

func (m *Mirror) clear(tx *bbolt.Tx, c *Conv, upTo uint64) error {
	if upTo <= c.Cleared {
		return nil
	}
	if err := m.purgeAll(tx, c, upTo); err != nil {
		return err
	}
	c.Cleared = upTo
	c.Hidden = slices.DeleteFunc(c.Hidden, func(seq uint64) bool { return seq <= upTo })
	m.count(tx, c)
	m.newest(tx, c)
	return m.setDraft(tx, c, "", 0)
}

// hide takes one message away for good.
func (m *Mirror) hide(tx *bbolt.Tx, c *Conv, seq uint64) error {
	switch {
	case seq > m.cursor(c.Log):
		if !slices.Contains(c.Hidden, seq) && len(c.Hidden) < maxHidden {
			c.Hidden = append(c.Hidden, seq)
		}
		return nil
	case seq < c.First && seq > c.Floor():
		c.doubt()
	}
	p := Pos{Seq: seq}
	if err := m.purge(tx, c, p); err != nil {
		return err
	}
	if c.Last == p {
		m.newest(tx, c)
	}
	return nil
}

// Delete takes a message of this board alone away, within a transaction.
func (m *Mirror) Delete(tx *bbolt.Tx, log string, p Pos) error {
	c := m.edit(log, m.cursor(log)+1)
	visible := c.Visible()
	if err := m.purge(tx, c, p); err != nil {
		return err
	}
	if c.Last == p {
		m.newest(tx, c)
	}
	return m.save(tx, c, visible)
}

// Insert puts a message that the hub does not have behind what is there, within a
// transaction: one that was refused (status StatusFailed), or one that a program
// has put there.
func (m *Mirror) Insert(tx *bbolt.Tx, log string, r Row) error {
	at := m.cursor(log)
	c := m.edit(log, at+1)
	visible := c.Visible()
	p := Pos{Seq: at, Sub: 1}
	if last, ok := m.last(tx, c, maxSeq); ok && last.Seq >= at {
		p = Pos{Seq: last.Seq, Sub: last.Sub + 1}
	}
	r.Entry.Seq, r.Pos = p.Seq, p
	if err := m.add(tx, c, r); err != nil {
		return err
	}
	if c.Last.Before(p) {
		c.Last, c.LastTime = p, r.Entry.Time
		c.setLast(r)
	}
	if err := m.trim(tx, c); err != nil {
		return err
	}
	return m.save(tx, c, visible)
}

// Forget deletes of a conversation whose log has nothing up to a seq, or was deleted
// up to there, what this board alone has: messages that it did not send, the draft.
func (m *Mirror) Forget(tx *bbolt.Tx, log string, upTo uint64) error {
	c := m.InTx(log)
	if c == nil {
		return nil
	}
	c = m.edit(log, c.First)
	visible := c.Visible()
	if err := m.purgeAll(tx, c, upTo); err != nil {
		return err
	}
	m.newest(tx, c)
	if err := m.setDraft(tx, c, "", 0); err != nil {
		return err
	}
	return m.save(tx, c, visible)
}

// Skip forgets what is held of a log below a seq from which on its entries come
// next: what lies between is not here. What this board alone has stays, and stands
// before them; the last message stays for the list, until another comes.
func (m *Mirror) Skip(tx *bbolt.Tx, log string, from uint64) error {
	c := m.InTx(log)
	if c == nil {
		return nil
	}
	c = m.edit(log, from+1)
	visible, counted, last := c.Visible(), c.Count, c.Last
	var keep []Row
	for _, d := range m.upTo(tx, c, from) {
		if r, ok := m.decode(d.value, d.pos); ok && (r.Pos.Sub > 0 || r.Pos == last) {
			keep = append(keep, r)
		}
		if err := m.delete(tx, c, d.pos, d.value); err != nil {
			return err
		}
	}
	c.Base += counted - c.Count // until the hub has counted anew
	c.First = max(c.First, from+1)
	sub := uint32(0)
	for _, r := range keep {
		if was := r.Pos; was.Sub > 0 {
			sub++
			r.Pos, r.Entry.Seq = Pos{from, sub}, from
			if was == last {
				c.Last = r.Pos
				c.setLast(r)
			}
		}
		if err := m.add(tx, c, r); err != nil {
			return err
		}
	}
	c.doubt()
	return m.save(tx, c, visible)
}

// Doubt lets go of all that the hub has, too: what other terminals have read and
// deleted was missed. The hub is asked how each conversation stands.
func (m *Mirror) Doubt(tx *bbolt.Tx) error {
	for _, c := range m.Convs() {
		if err := m.Skip(tx, c.Log, m.cursor(c.Log)); err != nil {
			return err
		}
	}
	return nil
}

// Rewind forgets what is held of logs beyond the seqs to which their cursors were
// put back: the hub has lost it. A log that is put back to 0 is forgotten whole.
func (m *Mirror) Rewind(tx *bbolt.Tx, to map[string]uint64) error {
	for log, was := range to {
		c := m.InTx(log)
		if c == nil {
			continue
		}
		c = m.edit(log, was+1)
		visible := c.Visible()
		var drop []Pos
		m.walk(tx, c, Pos{Seq: was + 1}, func(p Pos, _ []byte) bool {
			drop = append(drop, p)
			return true
		})
		for _, p := range drop {
			if err := m.remove(tx, c, p); err != nil {
				return err
			}
		}
		c.First, c.Read, c.PeerRead, c.Cleared = min(c.First, was+1), min(c.Read, was), min(c.PeerRead, was), min(c.Cleared, was)
		c.Hidden = nil
		m.count(tx, c)
		m.newest(tx, c)
		c.doubt()
		if err := m.save(tx, c, visible); err != nil {
			return err
		}
	}
	return nil
}
