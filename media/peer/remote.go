package peer

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// keyframeInterval is how often a remote end is asked for a key frame at most.
const keyframeInterval = 500 * time.Millisecond

// brokenPackets is how many malformed packets a remote end may send one after the other before its track ends.
const brokenPackets = 100

// RemoteTrack is one kind of media of a remote terminal, as it comes. It is a Source: a Peer or a Viewer can be sent it, as
// it is. It ends with its Peer.
type RemoteTrack struct {
	feed
	track *webrtc.TrackRemote
	ask   func([]rtcp.Packet) error
	trip  func() time.Duration // round trip; 0: unknown

	mu    sync.Mutex
	asked time.Time
	later *time.Timer // a key frame asked for within the interval is asked of the remote at its end
	ended bool

	packets  atomic.Uint64
	expected atomic.Uint64             // as the sequence numbers tell
	whole    atomic.Uint64             // pictures that can be decoded
	lastGood atomic.Pointer[time.Time] // when the last of them came; nil: none
	jitter   atomic.Int64              // nanoseconds
	lag      atomic.Int64              // nanoseconds, see Received.Lag
}

func newRemoteTrack(track *webrtc.TrackRemote, ask func([]rtcp.Packet) error, trip func() time.Duration) *RemoteTrack {
	r := &RemoteTrack{track: track, ask: ask, trip: trip}
	r.codec = codecOf(track.Codec().MimeType)
	r.keyframe = r.RequestKeyframe
	return r
}

// Codec of the packets.
func (r *RemoteTrack) Codec() Codec { return r.codec }

// Kind of media.
func (r *RemoteTrack) Kind() Kind { return r.codec.Kind() }

func (r *RemoteTrack) kind() Kind { return r.codec.Kind() }

func (r *RemoteTrack) choose(can []Codec) *feed {
	if slices.Contains(can, r.codec) {
		return &r.feed
	}
	return nil
}

// RequestKeyframe asks the remote end for a key frame (PLI, RFC 4585 §6.3.1), at most one each 500 ms; one asked for
// sooner goes out at the end of that time.
func (r *RemoteTrack) RequestKeyframe() {
	if r.Kind() != Video {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || r.later != nil {
		return
	}
	if wait := time.Until(r.asked.Add(keyframeInterval)); wait > 0 {
		r.later = time.AfterFunc(wait, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.later = nil; !r.ended {
				r.askNow()
			}
		})
		return
	}
	r.askNow()
}

func (r *RemoteTrack) askNow() {
	r.asked = time.Now()
	_ = r.ask([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(r.track.SSRC())}}) // fails only when closed
}

// read hands out packets until the connection ends.
func (r *RemoteTrack) read() {
	defer r.end()
	var first, highest uint64 // sequence numbers, carried on beyond 16 bits
	broken := 0
	sequence := newSequence(r)
	for {
		p, _, err := r.track.ReadRTP()
		if err != nil {
			if broken++; errors.Is(err, io.EOF) || broken > brokenPackets {
				return
			}
			continue
		}
		broken = 0
		if codec := codecOf(r.track.Codec().MimeType); codec != r.codec {
			continue // the remote changed its codec in mid-stream; what follows this track expects the first
		}
		// Padding alone probes the path and is no media.
		if len(p.Payload) == 0 {
			continue
		}
		if r.packets.Load() == 0 {
			first = uint64(p.SequenceNumber) + 1<<16
			highest = first
		} else if ahead := int16(p.SequenceNumber - uint16(highest)); ahead > 0 {
			highest += uint64(ahead)
		}
		r.expected.Store(highest - first + 1)
		r.packets.Add(1)
		sequence.take(p, time.Now())
		r.publish(p)
	}
}

func (r *RemoteTrack) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	if r.later != nil {
		r.later.Stop()
		r.later = nil
	}
}

// Pictures is how many pictures have come that can be decoded: of which all packets are there, and all that they build on.
func (r *RemoteTrack) Pictures() uint64 { return r.whole.Load() }

// How long a packet that is missing may still come, until a key frame is asked for.
const (
	repairLeast = 250 * time.Millisecond
	repairMost  = 600 * time.Millisecond
	// repairAsks is how often a key frame is asked for while one is needed.
	repairAsks = 500 * time.Millisecond
)

// sequence follows the packets of a track. It belongs to the goroutine that reads them.
type sequence struct {
	track    *RemoteTrack
	pictures pictures
	asked    time.Time // for a key frame

	// For the jitter (RFC 3550 §6.4.1 and A.8).
	timed     bool
	arrived   time.Time
	timestamp uint32
	jitter    float64 // nanoseconds

	clock clock
}

func newSequence(r *RemoteTrack) *sequence {
	return &sequence{track: r, pictures: pictures{codec: r.codec}, asked: time.Now()}
}

func (o *sequence) take(p *rtp.Packet, now time.Time) {
	r := o.track
	rate := float64(r.codec.clockRate())
	if o.timed {
		took := float64(now.Sub(o.arrived)) - float64(int32(p.Timestamp-o.timestamp))/rate*float64(time.Second)
		if took = max(took, -took); took < float64(10*time.Second) { // a stream that paused has no jitter
			o.jitter += (took - o.jitter) / 16
			r.jitter.Store(int64(o.jitter))
		}
	}
	o.timed, o.arrived, o.timestamp = true, now, p.Timestamp
	lag, _ := o.clock.take(p.Timestamp, rate, now)
	r.lag.Store(int64(lag))
	if r.Kind() != Video {
		return
	}
	trip := r.trip()
	patience := min(max(3*trip+100*time.Millisecond, repairLeast), repairMost)
	lacks := o.pictures.add(p.SequenceNumber, p.Marker, p.Payload, now, patience)
	if whole := o.pictures.whole; whole != r.whole.Load() {
		r.whole.Store(whole)
		last := o.pictures.last
		r.lastGood.Store(&last)
	}
	if lacks && now.Sub(o.asked) >= max(repairAsks, 2*trip) {
		o.asked = now
		r.RequestKeyframe()
	}
}

// lagOver is over how long the earliest packet is looked for: others were held up on the way.
const lagOver = 2 * time.Second

// clock follows how far the clock of a stream falls behind ours.
type clock struct {
	begun     bool
	first     time.Time
	timestamp uint32
	media     time.Duration // since the first packet, by the stream's clock

	earliest [2]time.Duration // of this stretch of time, of the one before
	some     [2]bool
	since    time.Time
}

// take notes a packet. lag is that of the earliest one of late, and late how much later this one is.
func (c *clock) take(timestamp uint32, rate float64, now time.Time) (lag, late time.Duration) {
	if !c.begun {
		c.begun, c.first, c.timestamp, c.since = true, now, timestamp, now
	}
	ticks := int32(timestamp - c.timestamp)
	c.timestamp = timestamp
	c.media += time.Duration(float64(ticks) / rate * float64(time.Second))
	if now.Sub(c.since) >= lagOver {
		c.earliest[1], c.some[1] = c.earliest[0], c.some[0]
		c.some[0], c.since = false, now
	}
	own := now.Sub(c.first) - c.media
	if !c.some[0] || own < c.earliest[0] {
		c.earliest[0], c.some[0] = own, true
	}
	if lag = c.earliest[0]; c.some[1] {
		lag = min(lag, c.earliest[1])
	}
	return lag, own - lag
}
