package peer

import (
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

// Received counts what came in in one kind of media.
type Received struct {
	Codec   Codec
	Packets uint64
	Lost    uint64 // packets missing by their numbers, after retransmission
}

// Stats tells how a connection does.
type Stats struct {
	RoundTrip time.Duration // as ICE last measured it; 0 before
	Path      *Path         // nil without one
	Received  map[Kind]Received
}

// Stats of the connection now.
func (p *Peer) Stats() Stats {
	s := Stats{Received: map[Kind]Received{}}
	p.mu.Lock()
	connected := p.state == StateConnected || p.state == StateDisconnected
	for kind, r := range p.remote {
		got := Received{Codec: r.codec, Packets: r.packets.Load()}
		// Packets that came twice count twice, so this may fall short.
		if expected := r.expected.Load(); expected > got.Packets {
			got.Lost = expected - got.Packets
		}
		s.Received[kind] = got
	}
	p.mu.Unlock()
	if !connected { // there is no path, and pion still writes what we would read
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
