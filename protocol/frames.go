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
