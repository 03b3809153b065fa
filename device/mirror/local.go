package mirror

import (
	"cmp"
	"slices"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

const (
	maxDrafts = 1000   // conversations with a draft
	maxNotes  = 10_000 // messages with a note
)

// Note is what programs have noted at a message, on this board.
type Note struct {
	Data string `cbor:"1,keyasint,omitempty"`
	Int  int64  `cbor:"2,keyasint,omitempty"`
}

// SetNote keeps a note at a message, within a transaction. An empty one takes it
// away.
func (m *Mirror) SetNote(tx *bbolt.Tx, msgID string, n Note) error {
	b := m.root(tx).Bucket(notesName)
	old := b.Get([]byte(msgID)) != nil
	if n == (Note{}) {
		if old {
			m.notes--
		}
		return b.Delete([]byte(msgID))
	}
	if !old && m.notes >= maxNotes {
		return protocol.Errorf(protocol.CodeNetReqCountLimit, "%d messages have local data already: take some away first, by setting it empty", maxNotes)
	}
	v, err := protocol.Marshal(n)
	if err != nil {
		return err
	}
	if !old {
		m.notes++
		m.noted.Store(true)
	}
	return b.Put([]byte(msgID), store.Seal(v))
}

// Note returns what was noted at a message.
func (m *Mirror) Note(tx *bbolt.Tx, msgID string) (n Note) {
	if !m.noted.Load() {
		return n
	}
	v, ok := store.Unseal(m.root(tx).Bucket(notesName).Get([]byte(msgID)))
	if !ok || protocol.Unmarshal(v, &n) != nil {
		return Note{}
	}
	return n
}

// SetDraft keeps what was written and not sent, within a transaction. at is the
// time, Unix ms. An empty text takes it away.
func (m *Mirror) SetDraft(tx *bbolt.Tx, log, text string, at int64) error {
	if c := m.InTx(log); text == "" && (c == nil || c.DraftTime == 0) {
		return nil
	} else if text != "" && (c == nil || c.DraftTime == 0) && m.drafts >= maxDrafts {
		return protocol.Errorf(protocol.CodeNetReqCountLimit, "%d conversations have drafts already: send or empty some first", maxDrafts)
	}
	c := m.edit(log, m.cursor(log)+1)
	visible := c.Visible()
	if err := m.setDraft(tx, c, text, max(at, 1)); err != nil {
		return err
	}
	return m.save(tx, c, visible)
}

func (m *Mirror) setDraft(tx *bbolt.Tx, c *Conv, text string, at int64) error {
	b := m.root(tx).Bucket(draftsName)
	had := c.DraftTime != 0
	if text == "" {
		if had {
			m.drafts--
		}
		c.DraftTime = 0
		return b.Delete([]byte(c.Log))
	}
	if !had {
		m.drafts++
	}
	c.DraftTime = at
	return b.Put([]byte(c.Log), store.Seal([]byte(text)))
}

// Draft returns what was written and not sent.
func (m *Mirror) Draft(tx *bbolt.Tx, c *Conv) string {
	if c.DraftTime == 0 {
		return ""
	}
	v, _ := store.Unseal(m.root(tx).Bucket(draftsName).Get([]byte(c.Log)))
	return string(v)
}

// List returns the conversations that are shown, the one with the newest message
// first: at most count after the place that next names, which is 0 for the
// first. after is the place behind the last of them; more says whether any follow.
// waiting are the times, Unix ms, of messages that are on their way, by log: they
// count, and a conversation that has nothing else is shown for them.
//
// A place is a time and a number: how many conversations of that time, which is
// nearly always 1, were returned. So a conversation that comes to the top
// meanwhile moves nothing.
func (m *Mirror) List(next uint64, count int, waiting map[string]int64) (list []*Conv, after uint64, more bool) {
	all := m.shown(waiting)
	begin := 0
	if next != 0 {
		at, skip := int64(next/sameTime), int(next%sameTime)
		for begin < len(all) && (all[begin].at > at || all[begin].at == at && skip > 0) {
			if all[begin].at == at {
				skip--
			}
			begin++
		}
	}
	end := min(begin+count, len(all))
	if begin == end {
		return nil, next, false
	}
	at, same := all[end-1].at, uint64(0)
	for i := end - 1; i >= 0 && all[i].at == at; i-- {
		same++
	}
	for _, l := range all[begin:end] {
		list = append(list, l.c)
	}
	return list, uint64(max(at, 0))*sameTime + min(same, sameTime-1), end < len(all)
}

// Empty is the conversation of a log of which there is nothing yet.
func (m *Mirror) Empty(log string) *Conv {
	c := new(Conv)
	c.identify(log, m.self)
	return c
}

// listed is a conversation with the time that it stands at in the list.
type listed struct {
	c  *Conv
	at int64
}

// shown are the conversations of the list, in its order.
func (m *Mirror) shown(waiting map[string]int64) []listed {
	var out []listed
	for _, c := range m.Convs() {
		if at, ok := waiting[c.Log]; ok || c.Visible() {
			out = append(out, listed{c, max(at, c.Time())})
		}
	}
	for log, at := range waiting {
		if m.Conv(log) == nil {
			out = append(out, listed{m.Empty(log), at})
		}
	}
	slices.SortFunc(out, func(a, b listed) int {
		if a.at != b.at {
			return cmp.Compare(b.at, a.at)
		}
		return cmp.Compare(a.c.Log, b.c.Log)
	})
	return out
}

// sameTime keeps a place below 2^53, which JSON can say exactly, until the year 2250.
const sameTime = 1000
