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

// Unknown lists those of the logs that are conversations and not known at all.
func (m *Mirror) Unknown(logs []string) (out []string) {
	for _, log := range logs {
		kind, _, _ := protocol.ParseLog(log)
		if (kind == protocol.LogC2C || kind == protocol.LogGroup) && m.Conv(log) == nil {
			out = append(out, log)
		}
	}
	return out
}

// Doubtful lists conversations of which the hub is to say how they stand, at most
// limit.
func (m *Mirror) Doubtful(limit int) (out []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for log := range m.doubtful {
		if len(out) == limit {
			break
		}
		out = append(out, log)
	}
	return out
}

// Ask makes the questions about these logs.
func (m *Mirror) Ask(logs []string) []Asked {
	out := make([]Asked, len(logs))
	for i, log := range logs {
		if c := m.Conv(log); c != nil {
			out[i] = Asked{protocol.SurveyItem{Log: log, Before: c.First}, c.gen}
			continue
		}
		at, _ := m.cursors.Cursor(log)
		out[i].SurveyItem = protocol.SurveyItem{Log: log, Before: at + 1}
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
	c := m.edit(st.Log, m.cursor(st.Log)+1)
	visible := c.Visible()
	same := c.gen == asked.gen && c.First == asked.Before
	known := c.Known
	c.Known = true
	if st.Gone {
		c.Gone, c.Stale = true, !same
		return m.save(tx, c, visible)
	}
	c.Gone = false
	late := false
	if c.Kind == protocol.LogGroup {
		late = c.gen != asked.gen // the board may have been told more
		if !late || !known {
			c.GroupType, c.Name, c.Face = st.Type, st.Name, st.Face
		}
		if !late {
			c.RecvOpt = st.RecvOpt
		}
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
		c.Base, c.Stale = 0, late
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
	c.setLast(Row{Entry: *last, Pos: p})
	return nil
}
