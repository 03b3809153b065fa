package peer

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// keyframeInterval is how often a remote end is asked for a key frame at most.
const keyframeInterval = 500 * time.Millisecond

// brokenPackets is how many malformed packets a remote end may send before its track ends.
const brokenPackets = 100

// RemoteTrack is one kind of media of a remote terminal, as it comes. It is a Source: a Peer or a Viewer can be sent it, as
// it is. It ends with its Peer.
type RemoteTrack struct {
	feed
	track *webrtc.TrackRemote
	ask   func([]rtcp.Packet) error

	mu    sync.Mutex
	asked time.Time
	later *time.Timer // a key frame asked for within the interval is asked of the remote at its end
	ended bool

	packets  atomic.Uint64
	expected atomic.Uint64 // as the sequence numbers tell
}

func newRemoteTrack(track *webrtc.TrackRemote, ask func([]rtcp.Packet) error) *RemoteTrack {
	r := &RemoteTrack{track: track, ask: ask}
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
	for {
		p, _, err := r.track.ReadRTP()
		if err != nil {
			if broken++; errors.Is(err, io.EOF) || broken > brokenPackets {
				return
			}
			continue
		}
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
