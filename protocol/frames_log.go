package protocol

import "github.com/fxamacker/cbor/v2"

// What logs are written and read with.

// Append is a batch of an idempotent producer. Items are numbered First,
// First+1, …; one batch is in flight at a time. The hub stores them and the
// number of the last one in one transaction. It answers an item that it has
// already with the answer of then, and refuses a hole with a bye
// (CodeNetAuthInvalid), on which the terminal says hello and rewinds.
// A producer's first batch of an epoch begins at Base, whatever number that is.
type Append struct {
	Epoch uint32 `cbor:"1,keyasint"`
	Base  uint64 `cbor:"2,keyasint"` // number of the epoch's first item
	First uint64 `cbor:"3,keyasint"` // number of Items[0]
	Items []Item `cbor:"4,keyasint"`
}

// EpochAfter tells whether a producer began epoch a after b. Epochs count round
// (as serial numbers do, RFC 1982), so that nobody can use them up: whatever
// epoch the hub knows, there is one after it. Every epoch is after 0, which is none.
func EpochAfter(a, b uint32) bool {
	if a == 0 || b == 0 {
		return a > b
	}
	d := a - b
	return d != 0 && d < 1<<31 || d == 1<<31 && a > b
}

// ItemKind says what an Item asks for.
type ItemKind uint8

const (
	ItemVoid  ItemKind = 0 // nothing: holds the place of an item that was withdrawn
	ItemC2C   ItemKind = 1 // a message to the account To
	ItemGroup ItemKind = 2 // a message to the group To
	// ItemMark moves what the account has read or deleted; the body is a Mark.
	ItemMark ItemKind = 3
	// ItemRevoke takes a message back; the body is a Revoke with Log and MsgID.
	ItemRevoke ItemKind = 4
)

// Item is one thing queued on the board.
type Item struct {
	Kind     ItemKind        `cbor:"1,keyasint"`
	To       string          `cbor:"2,keyasint,omitempty"`
	Body     cbor.RawMessage `cbor:"3,keyasint,omitempty"` // a Message, a Mark or a Revoke
	Priority uint8           `cbor:"4,keyasint,omitempty"` // of group messages: 0 default, 1 high, 2 normal, 3 low
	// IDEpoch is the epoch in which the item got its message id, where that is
	// not the append's: the producer has begun a new one since. The hub makes
	// the id with it (see MsgIDPrefix), the same that programs were told.
	IDEpoch uint32 `cbor:"5,keyasint,omitempty"`
	// IDNumber is the number in the message's id, where that is not the item's
	// own: the message was accepted before it took its place among the items, as
	// one does whose files go up first. From FirstIDNumber on, so that it is no
	// item's number.
	IDNumber uint64 `cbor:"6,keyasint,omitempty"`
	// Waited says that the item was accepted while there was no link: it is not held
	// to what a group takes in a second, as long as such items are few.
	Waited bool `cbor:"7,keyasint,omitempty"`
}

// FirstIDNumber is the least Item.IDNumber.
const FirstIDNumber = 1 << 40

// Acks answers an append, item by item.
type Acks struct {
	Epoch   uint32 `cbor:"1,keyasint"`
	First   uint64 `cbor:"2,keyasint"` // number of the item that Results[0] answers
	Results []Ack  `cbor:"3,keyasint"`
}

// Ack is the answer to one item: where it stands now, or why it was refused.
// It stands for the entry at the terminal that sent it, which gets no push of it.
type Ack struct {
	Code Code   `cbor:"1,keyasint,omitempty"` // 0: stored
	Msg  string `cbor:"2,keyasint,omitempty"` // the sentence to Code
	Log  string `cbor:"3,keyasint,omitempty"` // empty: it is in no log (a void, a live room)
	Seq  uint64 `cbor:"4,keyasint,omitempty"`
	Time int64  `cbor:"5,keyasint,omitempty"` // the hub's, Unix milliseconds
}

// Push carries entries as they are written.
type Push struct {
	Logs []LogEntries `cbor:"1,keyasint"`
}

// LogEntries are consecutive entries of one log, in order of seq.
type LogEntries struct {
	Log     string  `cbor:"1,keyasint"`
	Entries []Entry `cbor:"2,keyasint"`
}

// EntryKind says how to read an entry's body.
type EntryKind uint8

const (
	EntryMessage EntryKind = 1 // body: Message
	EntryTip     EntryKind = 2 // body: Tip; a change of the group
	// EntrySignaling is a step of an invitation. Only the hub writes it; its body is
	// a Signaling.
	EntrySignaling EntryKind = 3
	// EntryRevoke takes a message of the same log back; body: Revoke.
	EntryRevoke EntryKind = 4
	// EntryMark says what an account has read or deleted; body: Mark. That From has
	// read a conversation is in its log, where both see it; all else is in the log of
	// the account alone.
	EntryMark EntryKind = 5
	// EntryEvent is something that programs are told; body: HubEvent. Only the hub
	// writes it.
	EntryEvent EntryKind = 6
)

// Entry is one entry of a log. A terminal that does not know its Kind moves
// its cursor past it.
type Entry struct {
	Seq   uint64          `cbor:"1,keyasint"`
	Era   uint32          `cbor:"2,keyasint"`
	Time  int64           `cbor:"3,keyasint"` // the hub's, Unix milliseconds
	Kind  EntryKind       `cbor:"4,keyasint"`
	From  string          `cbor:"5,keyasint,omitempty"` // userId
	MsgID string          `cbor:"6,keyasint,omitempty"`
	Body  cbor.RawMessage `cbor:"7,keyasint,omitempty"`
	// Term is the terminal of From that sent it, so that this terminal does
	// not take its own message for news when it reads it by a pull.
	Term     string `cbor:"8,keyasint,omitempty"`
	Priority uint8  `cbor:"9,keyasint,omitempty"`
	// RevokedBy is the userId of who took the message back. Its body is gone.
	RevokedBy string `cbor:"10,keyasint,omitempty"`
}

// Shown tells whether the entry is something that people said: a page of
// history has these kinds only.
func (k EntryKind) Shown() bool {
	return k == EntryMessage || k == EntryTip || k == EntrySignaling
}

// Pull asks for the entries of a log after a seq.
type Pull struct {
	ID    uint32 `cbor:"1,keyasint"`
	Log   string `cbor:"2,keyasint"`
	After uint64 `cbor:"3,keyasint"`
	// Fresh says that the terminal has no cursor for this log: the hub begins
	// where the account's terminals had got to, or where the account may
	// begin to read.
	Fresh bool   `cbor:"4,keyasint,omitempty"`
	Limit uint16 `cbor:"6,keyasint,omitempty"` // entries at most; 0: the hub's own limit
	// Before asks for history instead: the newest entries that programs are shown
	// (EntryKind.Shown), with a seq below this, the newest first. What the account
	// has deleted is left out. After, Fresh and MsgID do not count then.
	Before uint64 `cbor:"7,keyasint,omitempty"`
	// MsgID asks for the one message with this id, in Entries alone. None: there
	// is no such message that the account may read.
	MsgID string `cbor:"8,keyasint,omitempty"`
}

// Range answers a pull. Entries begin right after From, which is where the
// terminal's cursor is to stand before it applies them; From differs from the
// pull's After where the account may not read earlier entries or the hub has
// dropped them. A code other than 0 refuses the pull.
type Range struct {
	ID      uint32  `cbor:"1,keyasint"`
	Log     string  `cbor:"2,keyasint"`
	From    uint64  `cbor:"3,keyasint"`
	Head    uint64  `cbor:"4,keyasint"` // the last seq the account may read
	Entries []Entry `cbor:"5,keyasint,omitempty"`
	Code    Code    `cbor:"6,keyasint,omitempty"`
	Msg     string  `cbor:"7,keyasint,omitempty"`
	// Truncated says that the terminal was away for more entries than the hub
	// gives at once: From is beyond its cursor, and what lies between is history.
	Truncated bool `cbor:"8,keyasint,omitempty"`
	// Least is, of history, the first seq that the account may read.
	Least uint64 `cbor:"9,keyasint,omitempty"`
}
