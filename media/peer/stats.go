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
	Lost    uint64        // packets missing by their numbers, after retransmission
	Bytes   uint64        // with all headers, and of what was sent again
	Bitrate int           // of the last second, bit/s
	Jitter  time.Duration // RFC 3550 §6.4.1
	// Lag is how much later than by its own clock the stream arrives now, by its earliest packets of the last seconds, compared
	// with how its first one came. What sound and pictures differ in it they are out of step, if they began in step.
	Lag time.Duration
	// Of pictures: how many have come that can be decoded, and how long ago the last of them was complete, -1 without one.
	Pictures uint64
	Since    time.Duration
}

// Sent counts what went out in one kind of media.
type Sent struct {
	Codec   Codec  // empty before it is chosen
	Packets uint64 // with those sent again
	Bytes   uint64 // with all headers
	Bitrate int    // of the last second, bit/s
	// What the far end said last: which part of the packets did not arrive, 0 to 1, and how much their delay varies.
	Loss   float64
	Jitter time.Duration
	// Pictures that were sent, packets left out as the link was too slow, the pictures that these were of, and packets held back
	// while it gets sound alone.
	Pictures, Dropped, Missed, Held uint64
	Paused                          bool // pictures: the link gets sound alone for now
}

// Stats tells how a connection does.
type Stats struct {
	RoundTrip time.Duration // as the far end's reports tell, else as ICE last measured it; 0 before
	Path      *Path         // nil without one
	Received  map[Kind]Received
	Sent      map[Kind]Sent

	Target int           // what the link is thought to take, bit/s, between the bounds of the configuration
	Loss   float64       // part of all sent packets that did not arrive in the last 2 s, 0 to 1, before they were sent again
	Queue  time.Duration // how long the fastest packets wait at the bottleneck

	// Requests to send packets again (NACK), and for key frames (PLI, FIR).
	NacksSent, NacksReceived uint64
	PLIsSent, PLIsReceived   uint64
	// Resent packets were asked for again and sent; Unsent ones were not, as they would have filled a full path more.
	Resent, Unsent uint64
}

// Stats of the connection now.
func (p *Peer) Stats() Stats {
	now := time.Now()
	w := p.wire
	s := Stats{
		Received: map[Kind]Received{}, Sent: map[Kind]Sent{},
		NacksSent: w.nacksSent.Load(), NacksReceived: w.nacksReceived.Load(),
		PLIsSent: w.plisSent.Load(), PLIsReceived: w.plisReceived.Load(),
		Resent: w.resent.Load(), Unsent: w.unsent.Load(),
		RoundTrip: w.measuredRoundTrip(), Loss: w.estimate.loss(),
	}
	s.Target, _ = w.estimate.target()
	s.Queue = w.estimate.standing()
	p.mu.Lock()
	connected := p.state == StateConnected || p.state == StateDisconnected
	for kind, r := range p.remote {
		got := r.stats(now)
		_, got.Bytes, got.Bitrate = w.received[index(kind)].read(now)
		s.Received[kind] = got
	}
	for kind, o := range p.outgoing {
		out := Sent{
			Pictures: o.frames.Load(), Dropped: o.dropped.Load(), Missed: o.missed.Load(), Held: o.held.Load(), Paused: o.isPaused(),
		}
		if f := o.current(); f != nil {
			out.Codec = f.codec
		}
		said := w.saidOf(kind)
		out.Loss, out.Jitter = said.lost, said.jitter
		out.Packets, out.Bytes, out.Bitrate = w.sent[index(kind)].read(now)
		s.Sent[kind] = out
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
	if pair, ok := transport.GetSelectedCandidatePairStats(); ok && s.RoundTrip == 0 {
		s.RoundTrip = time.Duration(pair.CurrentRoundTripTime * float64(time.Second))
	}
	return s
}

func (r *RemoteTrack) stats(now time.Time) Received {
	got := Received{
		Codec: r.codec, Packets: r.packets.Load(), Jitter: time.Duration(r.jitter.Load()), Pictures: r.whole.Load(), Since: -1,
		Lag: time.Duration(r.lag.Load()),
	}
	// Packets that came twice count twice, so this may fall short.
	if expected := r.expected.Load(); expected > got.Packets {
		got.Lost = expected - got.Packets
	}
	if last := r.lastGood.Load(); last != nil {
		got.Since = max(now.Sub(*last), 0)
	}
	return got
}

func address(c *webrtc.ICECandidate) string {
	return net.JoinHostPort(c.Address, strconv.Itoa(int(c.Port)))
}
