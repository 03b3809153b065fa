package protocol

import "slices"

// Limits of peering.
const (
	MaxSDP        = 12 << 10 // bytes of a session description
	MaxCandidate  = 512      // bytes of one candidate
	MaxCandidates = 64       // in one peering signal
)

// PeeringKind says what a Peering is about.
type PeeringKind uint8

const (
	PeeringJoin       PeeringKind = 1 // the sender is in the call and waits for an offer
	PeeringOffer      PeeringKind = 2 // SDP, and the candidates that are known
	PeeringAnswer     PeeringKind = 3 // likewise
	PeeringCandidates PeeringKind = 4 // more candidates (trickle ICE, RFC 8838)
	PeeringMedia      PeeringKind = 5 // what the sender sends has changed
	PeeringLeave      PeeringKind = 6 // the sender has left the call
	PeeringAbsent     PeeringKind = 7 // the hub's, of the one who was asked to join again: his link has ended and he is not back
)

// Peering is the body of a Signal from one terminal to another: how the two that
// are in one call connect. It is transient; what is lost is said again.
type Peering struct {
	Kind PeeringKind `cbor:"1,keyasint"`
	// Inviter and Room name the call: whoever began it, and the room_id that he
	// gave it.
	Inviter string `cbor:"2,keyasint"`
	Room    uint32 `cbor:"3,keyasint"`
	// Session names the connection of the two: a random number of whoever offers.
	// An offer of the same session changes it (ICE restart), another one replaces it.
	Session uint64 `cbor:"4,keyasint,omitempty"`
	// Round counts the offers of a session from 1; an answer repeats it.
	Round uint32 `cbor:"5,keyasint,omitempty"`
	SDP   string `cbor:"6,keyasint,omitempty"` // RFC 8866
	// Candidates as in SDP, without "a=" (RFC 8839). All are of the one bundle.
	Candidates []string `cbor:"7,keyasint,omitempty"`
	// Audio and Video say what the sender sends at present.
	Audio bool `cbor:"8,keyasint,omitempty"`
	Video bool `cbor:"9,keyasint,omitempty"`
	// Reason of a leave that is no hangup, a sentence.
	Reason string `cbor:"10,keyasint,omitempty"`
}

// DecodePeering reads a Peering of a stranger's bytes. A kind that this version
// does not know is no error.
func DecodePeering(b []byte) (p Peering, err error) {
	if err := checkBody("peering", b); err != nil {
		return p, err
	}
	if err := unmarshal(bodyMode, b, &p); err != nil {
		return p, invalid("the peering signal cannot be read: %v", err)
	}
	switch {
	case p.Kind == 0:
		return p, invalid("the peering signal has no kind")
	case !ValidUserID(p.Inviter):
		return p, invalid("the peering signal's inviter %q is no userId", Clip(p.Inviter))
	case len(p.SDP) > MaxSDP:
		return p, invalid("the session description has %d bytes, over %d", len(p.SDP), MaxSDP)
	case len(p.Candidates) > MaxCandidates:
		return p, invalid("%d candidates are over the limit of %d", len(p.Candidates), MaxCandidates)
	case slices.ContainsFunc(p.Candidates, func(c string) bool { return len(c) > MaxCandidate }):
		return p, invalid("a candidate is over the limit of %d bytes", MaxCandidate)
	case len(p.Reason) > 256:
		return p, invalid("the reason is over the limit of 256 bytes")
	}
	return p, nil
}
