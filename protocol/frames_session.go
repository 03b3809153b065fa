package protocol

// What opens a session, says that it lives, and ends it.

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
