package mirror

import "github.com/herald-im/herald/protocol"

// Conv is how a conversation stands.
type Conv struct {
	No uint32 `cbor:"1,keyasint"` // in the keys of its rows
	// First is the seq from which on the mirror holds all that programs are shown.
	First uint64 `cbor:"2,keyasint"`
	// Read is the seq up to which the account has read, PeerRead that of the other
	// side, Cleared that up to which the conversation was deleted.
	Read     uint64 `cbor:"3,keyasint,omitempty"`
	PeerRead uint64 `cbor:"4,keyasint,omitempty"`
	Cleared  uint64 `cbor:"5,keyasint,omitempty"`
	// Base is how many messages below First are unread, by the hub's count; Count
	// how many from there on.
	Base  uint32 `cbor:"6,keyasint,omitempty"`
	Count uint32 `cbor:"7,keyasint,omitempty"`
	// Last is where the newest message is, and LastTime its time, Unix ms.
	Last     Pos   `cbor:"8,keyasint"`
	LastTime int64 `cbor:"9,keyasint,omitempty"`
	// DraftTime is when the draft was written, Unix ms; 0: there is none.
	DraftTime int64 `cbor:"10,keyasint,omitempty"`
	// Known says that the hub has told how it stands (or there was nothing to
	// tell), Stale that this may be wrong by now.
	Known bool `cbor:"11,keyasint,omitempty"`
	Stale bool `cbor:"12,keyasint,omitempty"`
	// Gone says that the account may read it no more.
	Gone bool `cbor:"13,keyasint,omitempty"`
	// Hidden are messages that were deleted before they came.
	Hidden []uint64 `cbor:"14,keyasint,omitempty"`
	Rows   int      `cbor:"15,keyasint,omitempty"`
	Bytes  int64    `cbor:"16,keyasint,omitempty"`
	// Of a group.
	GroupType string `cbor:"17,keyasint,omitempty"`
	Name      string `cbor:"18,keyasint,omitempty"`
	Face      string `cbor:"19,keyasint,omitempty"`
	// RecvOpt is what the account wants to have of it.
	RecvOpt protocol.RecvOpt `cbor:"20,keyasint,omitempty"`

	Log  string           `cbor:"-"`
	Kind protocol.LogKind `cbor:"-"`
	ID   string           `cbor:"-"` // the other's userId, or the groupId
	gen  uint32           // rises with each doubt about Base, and each change that a survey may not know
	last *Row             // at Last, if it is at hand; see LastRow
}

// Identify tells of which kind a log is, and whose: id is the other's userId, seen
// from self, the groupId, or the account whose own log it is.
func Identify(log, self string) (kind protocol.LogKind, id string) {
	kind, a, b := protocol.ParseLog(log)
	if kind == protocol.LogC2C {
		return kind, protocol.Peer(a, b, self)
	}
	return kind, a
}

func (c *Conv) identify(log, self string) {
	c.Log = log
	c.Kind, c.ID = Identify(log, self)
}

// Visible tells whether the conversation is in the list.
func (c *Conv) Visible() bool { return c.Last != Pos{} || c.DraftTime > 0 }

// Time is what the list is ordered by, Unix ms.
func (c *Conv) Time() int64 {
	if c.LastTime > 0 {
		return c.LastTime
	}
	return c.DraftTime
}

// Unread is how many messages are unread, at most protocol.MaxUnread.
func (c *Conv) Unread() int {
	if !c.counts() {
		return 0
	}
	return int(min(uint64(c.Base)+uint64(c.Count), protocol.MaxUnread))
}

// counts tells whether the conversation has an unread count at all.
func (c *Conv) counts() bool {
	return c.GroupType != protocol.GroupMeeting && c.RecvOpt != protocol.RecvNot
}

// Floor is the seq up to which nothing is unread.
func (c *Conv) Floor() uint64 { return max(c.Read, c.Cleared) }

// doubt says that the hub's count of what is below First may be wrong by now.
func (c *Conv) doubt() {
	c.Stale = true
	c.gen++
}

// unread tells whether an entry adds to the unread count, if it is above the floor.
func (m *Mirror) unread(e *protocol.Entry) bool {
	return e.Kind == protocol.EntryMessage && e.From != m.self && e.RevokedBy == ""
}

// low is the least position that is held for sure.
func (c *Conv) low() Pos {
	if c.First == 0 {
		return Pos{}
	}
	return Pos{c.First - 1, 1} // what this board alone has stands behind the entry before
}
