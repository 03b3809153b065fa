package mirror

import (
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// Asked is one question to the hub of how a conversation stands.
type Asked struct {
	protocol.SurveyItem
	gen uint32
}

// Ask lists the logs of which the hub is to say how they stand, at most limit:
// of those that have a cursor, the ones that are not known or in doubt.
func (m *Mirror) Ask(logs []string, limit int) (out []Asked) {
	for _, log := range logs {
		if len(out) == limit {
			return out
		}
		if kind, _, _ := protocol.ParseLog(log); kind != protocol.LogC2C && kind != protocol.LogGroup {
			continue
		}
		switch c := m.Conv(log); {
		case c == nil:
			at, _ := m.cursors.Cursor(log)
			out = append(out, Asked{SurveyItem: protocol.SurveyItem{Log: log, Before: at + 1}})
		case !c.Known || c.Stale:
			out = append(out, Asked{protocol.SurveyItem{Log: log, Before: c.First}, c.gen})
		}
	}
	return out
}

// Settle takes the hub's answers, within a transaction.
func (m *Mirror) Settle(tx *bbolt.Tx, asked []Asked, states []protocol.State) error {
	for i, st := range states {
		if i >= len(asked) || st.Log != asked[i].Log {
			return nil // of another question
		}
		if err := m.settle(tx, asked[i], st); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mirror) settle(tx *bbolt.Tx, asked Asked, st protocol.State) error {
	made := m.seen(st.Log) == nil
	c := m.edit(st.Log, asked.Before)
	visible := c.Visible()
	same := made || c.gen == asked.gen && c.First == asked.Before
	c.Known = true
	if st.Gone {
		c.Gone, c.Stale = true, !same
		return m.save(tx, c, visible)
	}
	c.Gone = false
	if c.Kind == protocol.LogGroup {
		c.GroupType, c.Name, c.Face = st.Type, st.Name, st.Face
	}
	c.PeerRead = max(c.PeerRead, st.PeerRead)
	if st.Cleared > c.Cleared {
		if err := m.clear(tx, c, st.Cleared); err != nil {
			return err
		}
	}
	if st.Read > c.Read {
		c.Read = st.Read
		m.count(tx, c)
	}
	switch {
	case c.Floor()+1 >= c.First:
		c.Base, c.Stale = 0, false
	case same && st.Read >= c.Read && st.Cleared >= c.Cleared:
		c.Base, c.Stale = st.Unread, false
	default: // what this board has read is not known there yet, or more has happened since
		c.Stale = true
	}
	if err := m.settleLast(tx, c, st.Last); err != nil {
		return err
	}
	return m.save(tx, c, visible)
}

// settleLast keeps the newest message below what is held, for the list, where
// nothing is held.
func (m *Mirror) settleLast(tx *bbolt.Tx, c *Conv, last *protocol.Entry) error {
	if last == nil || last.Seq <= c.Cleared || last.Seq >= c.First {
		return nil
	}
	p := Pos{Seq: last.Seq}
	if p.Before(c.Last) {
		return nil
	}
	if c.Last != p && c.Last.Before(c.low()) && c.Last != (Pos{}) {
		if err := m.remove(tx, c, c.Last); err != nil {
			return err
		}
	}
	if err := m.put(tx, c, Row{Entry: *last, Pos: p}); err != nil {
		return err
	}
	c.Last, c.LastTime = p, last.Time
	return nil
}
