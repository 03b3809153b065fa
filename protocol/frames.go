package protocol

import (
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Limits of the wire. A frame beyond one of them is refused whole.
const (
	MaxFrameBytes  = 256 << 10 // of one encoded frame, either way
	MaxBatchItems  = 512       // items in an append
	MaxBatchBytes  = 128 << 10 // of the items' bodies in an append
	MaxBodyBytes   = 16 << 10  // of one entry's or item's body
	MaxHeads       = 1000      // heads in a frame; more follow in the next
	MaxEras        = 16        // eras in a hello or a welcome
	MaxPushEntries = 512       // entries in a push or a range
	maxDepth       = 16        // nesting of CBOR, bodies among it
	maxBodyDepth   = 8         // nesting of a message's body: a push has more around it than the append that it came by
	maxNumber      = 1 << 62   // of items and epochs' beginnings: databases count with a sign
	maxElements    = 4096      // of any CBOR array
	maxPairs       = 256       // of any CBOR map
	maxFrameArrays = 8192      // elements of all arrays of a frame together, those deep in bodies not counted
)

// Frame is one MQTT payload: a CBOR map (RFC 8949) with integer keys, of which
// exactly one besides Exp and Boot is present. Unknown keys are ignored, so that
// a newer side may add some. herald.cddl describes it for other languages.
type Frame struct {
	// Exp is the hub's time, in Unix milliseconds, after which the frame is
	// to be dropped unread. 0: never.
	Exp int64 `cbor:"0,keyasint,omitempty"`
	// Boot names the terminal's connection on every frame upward: a random
	// number made for each connection. The hub handles frames of the boot of
	// the newest hello only, so that a late frame or will of an old
	// connection cannot hurt a new one.
	Boot uint64 `cbor:"1,keyasint,omitempty"`

	Hello   *Hello   `cbor:"2,keyasint,omitempty"`  // terminal → hub
	Welcome *Welcome `cbor:"3,keyasint,omitempty"`  // hub → terminal
	Append  *Append  `cbor:"4,keyasint,omitempty"`  // terminal → hub
	Acks    *Acks    `cbor:"5,keyasint,omitempty"`  // hub → terminal
	Push    *Push    `cbor:"6,keyasint,omitempty"`  // hub → user, terminal or live room
	Pull    *Pull    `cbor:"7,keyasint,omitempty"`  // terminal → hub
	Range   *Range   `cbor:"8,keyasint,omitempty"`  // hub → terminal
	Call    *Call    `cbor:"9,keyasint,omitempty"`  // terminal → hub
	Reply   *Reply   `cbor:"10,keyasint,omitempty"` // hub → terminal
	Beat    *Beat    `cbor:"11,keyasint,omitempty"` // terminal → hub
	Heads   *Heads   `cbor:"12,keyasint,omitempty"` // hub → terminal
	Signal  *Signal  `cbor:"13,keyasint,omitempty"` // either way; hub → live room
	Bye     *Bye     `cbor:"14,keyasint,omitempty"` // either way; the will
	Survey  *Survey  `cbor:"15,keyasint,omitempty"` // terminal → hub
	States  *States  `cbor:"16,keyasint,omitempty"` // hub → terminal

	// People, beside a push, a range, a signal or states, are those whom it is about.
	People []Person `cbor:"17,keyasint,omitempty"`
}

// Hello opens a session. It is the first frame of a connection and the answer
// to a bye with CodeNotLoggedIn (the hub does not know the boot).
type Hello struct {
	Version  uint   `cbor:"1,keyasint"`           // of the wire, see Version
	Program  string `cbor:"2,keyasint,omitempty"` // e.g. "herald 1.2.0"
	Platform string `cbor:"3,keyasint"`           // of one platform the newest login stays
	Epoch    uint32 `cbor:"4,keyasint"`           // of the producer
	Eras     []Era  `cbor:"5,keyasint,omitempty"` // the newest eras the terminal knows, oldest first, at most 16
	Digest   uint64 `cbor:"6,keyasint"`           // of the terminal's cursors, see Digest
	Logs     uint32 `cbor:"7,keyasint"`           // how many cursors are in Digest
}

// Welcome answers a hello. Heads follow in frames of their own, the last of
// them without More, if the digest differs from the hub's or the hub has begun
// an era since Common.
type Welcome struct {
	Boot     uint64     `cbor:"1,keyasint"`           // of the hello it answers
	Time     int64      `cbor:"2,keyasint"`           // the hub's, Unix milliseconds
	Hub      string     `cbor:"3,keyasint,omitempty"` // e.g. "herald-hub 1.2.0"
	Epoch    uint32     `cbor:"4,keyasint"`           // of the terminal's producer that the hub knows; 0: it knows none
	LastCseq uint64     `cbor:"5,keyasint"`           // the last item the hub has of that epoch
	Eras     []Era      `cbor:"6,keyasint"`           // the hub's newest eras, oldest first, at most 16
	Heads    bool       `cbor:"7,keyasint,omitempty"` // heads frames follow
	Live     []LiveRoom `cbor:"8,keyasint,omitempty"` // live rooms the user is a member of
	BeatMs   uint32     `cbor:"9,keyasint,omitempty"` // the hub wants beats no closer than this; 0: as the terminal likes
	// Common is the newest of the hello's eras that the hub has too, by
	// ordinal and ID; 0 if none is, or the hello had none. Where the hello had
	// some and Common is not the hub's newest era, the heads that follow bear Was.
	Common uint32 `cbor:"10,keyasint,omitempty"`
}

// Era marks a stretch of the hub's database between two starts of a hub. Each
// entry bears the ordinal of the era it was written in. When a database comes
// back from an older copy, entries that terminals have seen are gone and others
// take their numbers. So at the first hello after a start of the hub the hub
// looks for the newest era that both sides know (Common) and tells for each log
// the last entry that it has of that era or an earlier one (Head.Was): a
// terminal whose cursor is beyond it had seen entries that are gone, and puts
// its cursor back to there.
type Era struct {
	Ord uint32 `cbor:"1,keyasint"` // rises by one
	ID  uint64 `cbor:"2,keyasint"` // random
}

// LiveRoom is a room whose messages come on TopicLive.
type LiveRoom struct {
	Group string `cbor:"1,keyasint"`
	Epoch uint32 `cbor:"2,keyasint"`
}

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

// Survey asks how conversations stand: those that the terminal knows nothing of
// yet, or of whose older messages it does not know enough to count the unread.
type Survey struct {
	ID    uint32       `cbor:"1,keyasint"`
	Items []SurveyItem `cbor:"2,keyasint"`
}

// SurveyItem is one log of a Survey.
type SurveyItem struct {
	Log string `cbor:"1,keyasint"`
	// Before is the first seq that the terminal has by itself: State.Unread counts
	// what is below. 0: all.
	Before uint64 `cbor:"2,keyasint,omitempty"`
}

// States answers a survey. It may answer fewer logs than were asked for, from the
// first on, but one at least.
type States struct {
	ID    uint32  `cbor:"1,keyasint"`
	Items []State `cbor:"2,keyasint"`
}

// State is how a conversation stands for the account.
type State struct {
	Log string `cbor:"1,keyasint"`
	// Head is the log's last seq as of which the rest is true.
	Head uint64 `cbor:"2,keyasint"`
	// Read is the seq up to which the account has read, PeerRead that of the other
	// side of a conversation of two.
	Read     uint64 `cbor:"3,keyasint,omitempty"`
	PeerRead uint64 `cbor:"4,keyasint,omitempty"`
	// Cleared is the seq up to which the account has deleted the conversation.
	Cleared uint64 `cbor:"5,keyasint,omitempty"`
	// Unread counts the unread messages below SurveyItem.Before, at most MaxUnread.
	Unread uint32 `cbor:"6,keyasint,omitempty"`
	// Last is the newest entry that programs are shown, below Before.
	Last *Entry `cbor:"7,keyasint,omitempty"`
	// Of a group: its type and name, and its picture.
	Type string `cbor:"8,keyasint,omitempty"`
	Name string `cbor:"9,keyasint,omitempty"`
	Face string `cbor:"10,keyasint,omitempty"`
	// Gone says that the account may not read the log (any more): there is no more
	// to know of it.
	Gone bool `cbor:"11,keyasint,omitempty"`
	// RecvOpt of a group is what the account wants to have of it.
	RecvOpt RecvOpt `cbor:"12,keyasint,omitempty"`
}

const (
	// MaxUnread is the most that unread messages are counted to: beyond it nobody
	// looks at the number, and counting takes time.
	MaxUnread = 10_000
	// MaxSurvey is the most logs of a survey.
	MaxSurvey = 100
)

// Call asks the hub to run a method of the registry with route Hub.
type Call struct {
	ID     uint64          `cbor:"1,keyasint"` // chosen by the terminal, unique in its boot
	Method string          `cbor:"2,keyasint"` // e.g. "im.createGroup"
	Body   cbor.RawMessage `cbor:"3,keyasint,omitempty"`
}

// Reply answers a call.
type Reply struct {
	ID   uint64          `cbor:"1,keyasint"`
	Code Code            `cbor:"2,keyasint,omitempty"` // 0: Body holds the response
	Msg  string          `cbor:"3,keyasint,omitempty"`
	Body cbor.RawMessage `cbor:"4,keyasint,omitempty"`
	// Part is in place of a Body that is too long for one frame: the next part of it,
	// deflated as a whole.
	Part []byte `cbor:"5,keyasint,omitempty"`
	More bool   `cbor:"6,keyasint,omitempty"` // other parts follow, in replies of the same ID
}

// Beat says that the terminal lives, how its cursors stand, and which of them
// have moved since the last beat. The hub answers with heads: all of the
// account's where the digest differs, else an empty frame.
type Beat struct {
	Digest uint64   `cbor:"1,keyasint"`
	Logs   uint32   `cbor:"2,keyasint"`
	Moved  []Cursor `cbor:"3,keyasint,omitempty"` // at most MaxHeads; the rest with the next beat
}

// Cursor is how far a terminal has applied a log.
type Cursor struct {
	Log string `cbor:"1,keyasint"`
	Seq uint64 `cbor:"2,keyasint"`
}

// Heads tells how far the account's logs reach.
type Heads struct {
	Time  int64  `cbor:"1,keyasint"` // the hub's, Unix milliseconds
	Items []Head `cbor:"2,keyasint,omitempty"`
	More  bool   `cbor:"3,keyasint,omitempty"`
}

// Head is the last seq of a log that the account may read, and the cursor with
// which a terminal begins that has none for the log.
type Head struct {
	Log   string `cbor:"1,keyasint"`
	Seq   uint64 `cbor:"2,keyasint"`
	Start uint64 `cbor:"3,keyasint,omitempty"`
	// Was is the last seq written in Common or an earlier era (see Era); only
	// where Welcome.Common calls for it. Never beyond Seq.
	Was uint64 `cbor:"4,keyasint,omitempty"`
}

// Signal is transient: relayed, never stored, dropped when late. It carries the
// messages of live rooms, and from one terminal to another what they need to
// connect for a call. Upward it has To, ToTerm and Body alone; the hub says who
// sent it.
type Signal struct {
	Group string          `cbor:"1,keyasint,omitempty"` // the live room
	From  string          `cbor:"2,keyasint"`
	Term  string          `cbor:"3,keyasint,omitempty"`
	MsgID string          `cbor:"4,keyasint,omitempty"`
	Time  int64           `cbor:"5,keyasint"`
	Body  cbor.RawMessage `cbor:"6,keyasint,omitempty"` // a Message; with To a Peering
	// Rooms, when present, replaces the live rooms that the terminal listens to.
	Rooms *[]LiveRoom `cbor:"7,keyasint,omitempty"`
	// To is the account it goes to, where it is for one. ToTerm is its terminal;
	// empty: all that are online.
	To     string `cbor:"8,keyasint,omitempty"`
	ToTerm string `cbor:"9,keyasint,omitempty"`
	// Online says that Body is a message for those who are online alone: in no log,
	// not counted. It is of the conversation with From, or with Peer where From is
	// the account itself, or of Group.
	Online bool   `cbor:"10,keyasint,omitempty"`
	Peer   string `cbor:"11,keyasint,omitempty"`
	// Kind says what Body is of a live room, as it does in an entry. 0: a message.
	Kind EntryKind `cbor:"12,keyasint,omitempty"`
	// Priority of a group's message, as in an entry.
	Priority uint8 `cbor:"13,keyasint,omitempty"`
}

// Bye ends a session. From the hub it says why; from the terminal (and as its
// will) it says that the boot is over.
type Bye struct {
	Boot uint64 `cbor:"1,keyasint,omitempty"` // the session that ends; 0: the terminal's present one
	Code Code   `cbor:"2,keyasint,omitempty"`
	Msg  string `cbor:"3,keyasint,omitempty"`
	// Operator: a person at the hub ended it, and no other login did. A board that
	// is configured to be logged in may come back.
	Operator bool `cbor:"4,keyasint,omitempty"`
}

// CursorHash is what one cursor or head adds to a Digest: the sum, modulo 2^64,
// over a set of them in any order. Equal sums of equally many logs mean that
// nothing is missing; the odds of a false match are those of 64 bits.
func CursorHash(log string, seq uint64) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211 // FNV-1a, 64 bit
	h := uint64(offset)
	for i := 0; i < len(log); i++ {
		h = (h ^ uint64(log[i])) * prime
	}
	for i := 0; i < 8; i++ {
		h = (h ^ (seq >> (8 * i) & 0xff)) * prime
	}
	// FNV-1a of two numbers that differ in one bit differs by ± prime^8: in the
	// sum of two logs that move by one each that cancels every other time. So
	// the bits are mixed once more (the finalizer of splitmix64).
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

var encMode = func() cbor.EncMode {
	m, err := cbor.EncOptions{
		Sort: cbor.SortBytewiseLexical,
		// An empty list stays a list: null would read as an absent field, which
		// for Signal.Rooms is another meaning.
		NilContainers: cbor.NilContainerAsEmpty,
	}.EncMode()
	if err != nil {
		panic(err)
	}
	return m
}()

var decMode, bodyMode = newDecMode(maxDepth), newDecMode(maxBodyDepth)

func newDecMode(depth int) cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		MaxNestedLevels:  depth,
		MaxArrayElements: maxElements,
		MaxMapPairs:      maxPairs,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}

// Marshal encodes v as deterministic CBOR.
func Marshal(v any) ([]byte, error) { return encMode.Marshal(v) }

// Unmarshal decodes CBOR within the limits of the wire: depth, counts, no
// indefinite lengths, no tags, no key twice.
func Unmarshal(b []byte, v any) error { return unmarshal(decMode, b, v) }

// unmarshal keeps out of the error what may be of any length, a stranger's key:
// errors go into logs and answers.
func unmarshal(m cbor.DecMode, b []byte, v any) error {
	err := m.Unmarshal(b, v)
	var twice *cbor.DupMapKeyError
	if errors.As(err, &twice) {
		return fmt.Errorf("cbor: found duplicate map key at map element index %d", twice.Index)
	}
	return err
}

// EncodeFrame encodes a frame. It fails only for one that DecodeFrame would
// refuse: not of exactly one kind, or beyond a limit of the wire.
func EncodeFrame(f *Frame) ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	b, err := encMode.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	if len(b) > MaxFrameBytes {
		return nil, fmt.Errorf("encode frame: %d bytes are over the limit of %d", len(b), MaxFrameBytes)
	}
	return b, nil
}

// DecodeFrame decodes and checks a frame of strangers' bytes.
func DecodeFrame(b []byte) (*Frame, error) {
	if len(b) > MaxFrameBytes {
		return nil, fmt.Errorf("decode frame: %d bytes are over the limit of %d", len(b), MaxFrameBytes)
	}
	if err := checkElements(b); err != nil {
		return nil, fmt.Errorf("decode frame: %w", err)
	}
	f := new(Frame)
	if err := Unmarshal(b, f); err != nil {
		return nil, fmt.Errorf("decode frame: %w", err)
	}
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("decode frame: %w", err)
	}
	return f, nil
}
