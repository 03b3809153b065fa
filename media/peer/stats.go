package peer

import (
	"maps"
	"net"
	"strconv"
	"time"

	"github.com/pion/webrtc/v4"
)

// Path is the pair of addresses over which a connection runs.
type Path struct {
	LocalType, RemoteType string // host, srflx, prflx or relay (RFC 8445 §4)
	Local, Remote         string // address and port
}

// Sent counts what went out in one kind of media.
type Sent struct {
	Codec   Codec // "" while it is not chosen
	Packets uint64
	Bytes   uint64 // of payload
	Frames  uint64 // of video; packets of sound
	Dropped uint64 // packets that the link was too slow for
}

// Received counts what came in in one kind of media.
type Received struct {
	Codec   Codec
	Packets uint64
	Bytes   uint64 // of payload
	Lost    uint64 // packets missing by their numbers, after retransmission
}

// Stats tells how a connection does.
type Stats struct {
	State     State
	RoundTrip time.Duration // as ICE last measured it; 0 before
	Path      *Path         // nil without one
	Sent      map[Kind]Sent
	Received  map[Kind]Received
	// LostRemotely are packets of our video that the far end misses, as it last reported.
	LostRemotely uint64
}

// Stats of the connection now.
func (p *Peer) Stats() Stats {
	s := Stats{Sent: map[Kind]Sent{}, Received: map[Kind]Received{}, LostRemotely: p.lostRemotely.Load()}
	p.mu.Lock()
	s.State = p.state
	closing, outgoing, remote := p.closing, maps.Clone(p.outgoing), maps.Clone(p.remote)
	p.mu.Unlock() // before the locks of senders, which take ours when they begin
	for kind, o := range outgoing {
		sent := Sent{Packets: o.packets.Load(), Bytes: o.bytes.Load(), Frames: o.frames.Load(), Dropped: o.dropped.Load()}
		if f := o.current(); f != nil {
			sent.Codec = f.codec
		}
		s.Sent[kind] = sent
	}
	for kind, r := range remote {
		got := Received{Codec: r.codec, Packets: r.packets.Load(), Bytes: r.bytes.Load()}
		// Packets that came twice count twice, so this may fall short.
		if expected := r.expected.Load(); expected > got.Packets {
			got.Lost = expected - got.Packets
		}
		s.Received[kind] = got
	}
	if closing {
		return s
	}

	transport := p.pc.SCTP().Transport().ICETransport()
	if pair, err := transport.GetSelectedCandidatePair(); err == nil && pair != nil {
		s.Path = &Path{
			LocalType: pair.Local.Typ.String(), RemoteType: pair.Remote.Typ.String(),
			Local: address(pair.Local), Remote: address(pair.Remote),
		}
	}
	if pair, ok := transport.GetSelectedCandidatePairStats(); ok {
		s.RoundTrip = time.Duration(pair.CurrentRoundTripTime * float64(time.Second))
	}
	return s
}

func address(c *webrtc.ICECandidate) string {
	return net.JoinHostPort(c.Address, strconv.Itoa(int(c.Port)))
}
