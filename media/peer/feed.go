package peer

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// Source is something whose media a Peer or a Viewer can be sent: *VideoTracks, *AudioTrack or *RemoteTrack.
type Source interface {
	// choose gives the feed for an end that takes these codecs, nil if there is none.
	choose(can []Codec) *feed
	kind() Kind
}

// feed hands the packets of one stream to those who follow it.
type feed struct {
	codec    Codec
	keyframe func()      // asks the stream's encoder for a key frame; may be nil; must not block
	watched  func(n int) // told the number of followers when it becomes 0 or leaves 0; may be nil

	mu        sync.Mutex
	next      uint64
	followers atomic.Pointer[[]follower] // replaced as a whole, so that publish takes no lock
}

type follower struct {
	id  uint64
	get func(*rtp.Packet)
}

// Follow calls get with each packet from now on, until stop. get must return at once, and neither it nor who it gives the
// packet to may change the packet. A call may still be under way when stop returns.
func (f *feed) Follow(get func(*rtp.Packet)) (stop func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := f.next
	f.next++
	f.set(append(slices.Clone(f.list()), follower{id, get}))
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.set(slices.DeleteFunc(slices.Clone(f.list()), func(o follower) bool { return o.id == id }))
	}
}

func (f *feed) list() []follower {
	if p := f.followers.Load(); p != nil {
		return *p
	}
	return nil
}

func (f *feed) set(list []follower) {
	before := len(f.list())
	f.followers.Store(&list)
	if f.watched != nil && (before == 0) != (len(list) == 0) {
		f.watched(len(list)) // under the lock, so that the last call tells the last number
	}
}

func (f *feed) publish(p *rtp.Packet) {
	for _, o := range f.list() {
		o.get(p)
	}
}

func (f *feed) askKeyframe() {
	if f.keyframe != nil {
		f.keyframe()
	}
}

// outgoingQueue is how many packets wait for a link that is slow, before packets are dropped. A key frame of 720p is about 60.
const outgoingQueue = 256

// outgoing sends one feed over one connection. It is pion's idea of a local track, made for a single sender: pion calls
// Bind with the codecs that both ends know and Unbind when the connection closes.
type outgoing struct {
	source Source
	stream string                 // names the group of tracks that belong together (msid)
	run    func(func()) (ok bool) // runs a goroutine of the connection

	queue chan *rtp.Packet
	done  chan struct{}

	mu   sync.Mutex
	feed *feed  // nil until bound
	stop func() // of following it; nil before begin
	over bool

	dropped atomic.Uint64 // packets that the link was too slow for
}

func newOutgoing(source Source, stream string) *outgoing {
	return &outgoing{source: source, stream: stream, queue: make(chan *rtp.Packet, outgoingQueue), done: make(chan struct{})}
}

// ID implements webrtc.TrackLocal.
func (o *outgoing) ID() string { return string(o.source.kind()) }

// StreamID implements webrtc.TrackLocal.
func (o *outgoing) StreamID() string { return o.stream }

// RID implements webrtc.TrackLocal: there is no simulcast.
func (o *outgoing) RID() string { return "" }

// Kind implements webrtc.TrackLocal.
func (o *outgoing) Kind() webrtc.RTPCodecType { return o.source.kind().pion() }

// Bind implements webrtc.TrackLocal: it picks the codec and readies what sends.
func (o *outgoing) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	params := ctx.CodecParameters()
	var can []Codec
	for _, p := range params {
		if c := codecOf(p.MimeType); c != "" {
			can = append(can, c)
		}
	}
	f := o.source.choose(can)
	if f == nil {
		return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
	}
	chosen := params[slices.IndexFunc(params, func(p webrtc.RTPCodecParameters) bool { return codecOf(p.MimeType) == f.codec })]

	o.mu.Lock()
	defer o.mu.Unlock()
	if o.feed != nil {
		return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec // never bound twice by a Peer
	}
	if !o.run(func() { o.send(ctx.WriteStream(), uint32(ctx.SSRC()), uint8(chosen.PayloadType)) }) {
		return webrtc.RTPCodecParameters{}, ErrClosed
	}
	o.feed = f
	return chosen, nil
}

// begin follows the feed, once there is a connection: a source begins with a key frame, which is not to be lost, as the next
// one may take its time.
func (o *outgoing) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.feed != nil && o.stop == nil && !o.over {
		o.stop = o.feed.Follow(o.take)
	}
}

// Unbind implements webrtc.TrackLocal.
func (o *outgoing) Unbind(webrtc.TrackLocalContext) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stop != nil {
		o.stop()
	}
	if o.feed != nil && !o.over {
		o.over = true
		close(o.done)
	}
	return nil
}

// current gives the feed that is sent, nil before it is chosen.
func (o *outgoing) current() *feed {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.feed
}

// askKeyframe passes on that the far end needs a key frame.
func (o *outgoing) askKeyframe() {
	if f := o.current(); f != nil {
		f.askKeyframe()
	}
}

// take queues a packet. When the link does not keep up the packet is dropped: the far end asks for a key frame by itself.
func (o *outgoing) take(p *rtp.Packet) {
	select {
	case o.queue <- p:
	default:
		o.dropped.Add(1)
	}
}

// send writes what is queued.
func (o *outgoing) send(to webrtc.TrackLocalWriter, ssrc uint32, payloadType uint8) {
	for {
		var p *rtp.Packet
		select {
		case <-o.done:
			return
		case p = <-o.queue:
		}
		// The extensions and the padding of a forwarded packet belong to the connection that it came over.
		h := rtp.Header{
			Version: 2, Marker: p.Marker, PayloadType: payloadType, SSRC: ssrc, SequenceNumber: p.SequenceNumber, Timestamp: p.Timestamp,
		}
		_, _ = to.WriteRTP(&h, p.Payload) // fails when not connected yet, or not any more
	}
}
