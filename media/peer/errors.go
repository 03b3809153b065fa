package peer

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrBadSDP says that a remote description is malformed, beyond the bounds (12 KiB, 8 media sections), or lacks what
	// makes a connection safe (a strong fingerprint, a fitting setup attribute).
	ErrBadSDP = errors.New("peer: bad SDP")
	// ErrNoCodec says that the remote end and this one share no codec for a kind of media that is wanted. The error
	// itself is a *NoCodecError, which tells what was offered.
	ErrNoCodec = errors.New("peer: no common codec")
	// ErrBadCandidate says that a remote candidate line is malformed, or that there were too many of them.
	ErrBadCandidate = errors.New("peer: bad ICE candidate")
	// ErrClosed is returned by methods of a Factory, Peer or Viewer that is closed.
	ErrClosed = errors.New("peer: closed")
	// ErrState says that a method was called out of its turn, such as Accept without an Offer before it.
	ErrState = errors.New("peer: not possible now")
)

// NoCodecError is an ErrNoCodec with what the far end named.
type NoCodecError struct {
	Kind    Kind     // the kind without a common codec
	Offered []string // the names of the far end's codecs, such as "H265/90000"; at most 32
}

func (e *NoCodecError) Error() string {
	if len(e.Offered) == 0 {
		return fmt.Sprintf("%v: %s is wanted and the remote end offers none", ErrNoCodec, e.Kind)
	}
	return fmt.Sprintf("%v for %s: the remote end offers only %s", ErrNoCodec, e.Kind, strings.Join(e.Offered, ", "))
}

func (e *NoCodecError) Unwrap() error { return ErrNoCodec }

func badSDP(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBadSDP, fmt.Sprintf(format, args...))
}
