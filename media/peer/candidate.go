package peer

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

// Bounds of what a remote end may trickle.
const (
	maxCandidates     = 64 // of one generation, that is between two ICE restarts
	maxCandidateBytes = 512
)

// remoteCandidates keeps those that come before the description that they belong to. Used under Peer.negotiation.
type remoteCandidates struct {
	ufrag   string // of the remote description in force, "" before the first
	taken   int
	waiting []candidate
}

type candidate struct{ line, ufrag string }

// described tells that a remote description is in force, and gives the candidates that waited for it.
func (r *remoteCandidates) described(ufrag string) (ready []string) {
	if ufrag != r.ufrag {
		r.ufrag, r.taken = ufrag, 0
	}
	for _, c := range r.waiting {
		if c.ufrag == "" || c.ufrag == ufrag {
			ready = append(ready, c.line)
		}
	}
	r.taken += len(ready)
	r.waiting = nil
	return ready
}

// parseCandidate checks a line of RFC 8839 §5.1, with or without "a=" and "candidate:". Its errors are ErrBadCandidate.
func parseCandidate(line string) (candidate, error) {
	if len(line) > maxCandidateBytes {
		return candidate{}, fmt.Errorf("%w: %d bytes", ErrBadCandidate, len(line))
	}
	value := strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(line), "a="), "candidate:")
	c, err := ice.UnmarshalCandidate(value)
	if errors.Is(err, ice.ErrUnknownCandidateTyp) || errors.Is(err, ice.ErrDetermineNetworkType) {
		return candidate{}, nil // of a kind that is newer than we are
	}
	if err != nil {
		return candidate{}, fmt.Errorf("%w: %w", ErrBadCandidate, err)
	}
	known := candidate{line: "candidate:" + value}
	if ext, ok := c.GetExtension("ufrag"); ok {
		known.ufrag = ext.Value
	}
	return known, nil
}

// AddCandidate takes a candidate line of the far end; "" says that there are no more. It may come before the description
// that it belongs to. Errors: ErrBadCandidate, also for the 65th; ErrClosed.
func (p *Peer) AddCandidate(line string) error {
	if strings.TrimSpace(line) == "" {
		return nil
	}
	c, err := parseCandidate(line)
	if err != nil || c.line == "" {
		return err
	}
	p.negotiation.Lock()
	defer p.negotiation.Unlock()
	if p.isClosing() {
		return ErrClosed
	}
	r := &p.candidates
	if r.taken+len(r.waiting) >= maxCandidates {
		return fmt.Errorf("%w: more than %d", ErrBadCandidate, maxCandidates)
	}
	// While our offer is open a candidate may belong to the answer that is on its way.
	open := p.pc.SignalingState() == webrtc.SignalingStateHaveLocalOffer
	if r.ufrag == "" || c.ufrag != "" && c.ufrag != r.ufrag || c.ufrag == "" && open {
		r.waiting = append(r.waiting, c)
		return nil
	}
	r.taken++
	if err := p.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c.line}); err != nil {
		if p.isClosing() {
			return ErrClosed
		}
		return fmt.Errorf("%w: %w", ErrBadCandidate, err)
	}
	return nil
}

// localCandidate hands a candidate of ours to the callback.
func (p *Peer) localCandidate(c *webrtc.ICECandidate) {
	call := p.options.Candidate
	if call == nil {
		return
	}
	line := ""
	if c != nil {
		if p.options.RelayOnly && c.Typ != webrtc.ICECandidateTypeRelay {
			return
		}
		line = p.hide(c.ToJSON().Candidate)
	}
	if !p.events.add(func() { call(line) }) && line != "" && !p.isClosing() {
		p.log.Warn("a candidate of ours is lost: too many callbacks wait")
	}
}

var relatedAddress = regexp.MustCompile(`raddr \S+ rport \d+`)

// hide takes our own address out of relay candidates when the far end shall not learn it (RFC 8838 §12 lets us).
func (p *Peer) hide(text string) string {
	if !p.options.RelayOnly {
		return text
	}
	return relatedAddress.ReplaceAllString(text, "raddr 0.0.0.0 rport 0")
}
