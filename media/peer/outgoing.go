package peer

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const (
	// outgoingQueue is how many packets wait for a link that is slow. A key frame of 720p is about 60.
	outgoingQueue = 256
	// outgoingSound is the same for sound: half a second, as what is older is of no use to anybody.
	outgoingSound = 25
	// outgoingDelay is how long what waits may take to send: then the rest is left out, up to a key frame.
	outgoingDelay = 1500 * time.Millisecond
	// paceFactor is how much faster than the estimate pictures are sent: one that is larger than others is spread out,
	// so that it does not fill the bottleneck's queue at once.
	paceFactor = 2.5
	// paceFull is the same once the path was full: the estimate is near what it carries.
	paceFull = 1.5
	// paceSlack is how much ahead of that may be sent, so that few packets need a timer.
	paceSlack = 5 * time.Millisecond
	// fullAsks is how often a key frame is sent into a path that is full: it takes as much as ten other pictures.
	fullAsks = 2 * time.Second
	// skipAsks is how often a key frame is asked for by a link that was too slow.
	skipAsks = time.Second
)

// outgoing sends one feed over one connection. It is pion's idea of a local track, made for a single sender: pion calls
// Bind with the codecs that both ends know and Unbind when the connection closes.
type outgoing struct {
	source Source
	stream string                 // names the group of tracks that belong together (msid)
	run    func(func()) (ok bool) // runs a goroutine of the connection
	wire   *wire

	queue  chan numbered
	queued atomic.Int64 // bytes in it
	done   chan struct{}

	mu   sync.Mutex
	feed *feed  // nil until bound
	stop func() // of following it; nil before begin
	over bool

	// Of what is left out: on purpose, or because the link is too slow. Packets are given their numbers anew, so that the far
	// end misses none of these.
	takes   sync.Mutex
	paused  bool      // by who shares the encoder: sound alone
	skips   bool      // up to a key frame
	asked   time.Time // by ourselves
	granted time.Time // to the far end
	shift   uint16    // what is taken off a packet's number
	lastSeq uint16    // the highest that was queued or left out, as it came
	top     uint16    // the highest number that was given to a packet, and not taken back by flush
	some    bool      // one was
	barred  bool      // up to barrier, numbers as they came are none that may be sent: others have them now
	barrier uint16

	missedAt uint32 // time of the picture that was missed last
	missing  bool   // one was

	dropped atomic.Uint64 // packets that the link was too slow for
	missed  atomic.Uint64 // pictures of which one was dropped
	held    atomic.Uint64 // packets that were not sent while paused
	frames  atomic.Uint64 // pictures sent
}

// numbered is a packet with the number that it is sent with.
type numbered struct {
	*rtp.Packet
	before uint16 // the highest number of those that were queued before it
}

func newOutgoing(source Source, stream string, w *wire) *outgoing {
	return &outgoing{
		source: source, stream: stream, wire: w, queue: make(chan numbered, outgoingQueue), done: make(chan struct{}),
	}
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
	bound := o.feed != nil
	if !bound {
		o.feed = f
	}
	o.mu.Unlock()
	if bound {
		return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec // never bound twice by a Peer
	}
	// Without the lock: run takes the Peer's, and who has that asks us.
	if !o.run(func() { o.send(ctx.WriteStream(), uint32(ctx.SSRC()), uint8(chosen.PayloadType)) }) {
		return webrtc.RTPCodecParameters{}, ErrClosed
	}
	return chosen, nil
}

// begin follows the feed, once there is a connection: a source begins with a key frame, which is not to be lost, as the next
// one may take its time.
func (o *outgoing) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.feed != nil && o.stop == nil && !o.over {
		o.stop = o.feed.Follow(o.take)
		o.feed.join(o)
	}
}

// Unbind implements webrtc.TrackLocal.
func (o *outgoing) Unbind(webrtc.TrackLocalContext) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stop != nil {
		o.feed.leave(o)
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

// askKeyframe passes on that the far end needs a key frame. One that is sent nothing needs none.
func (o *outgoing) askKeyframe() {
	o.takes.Lock()
	now := time.Now()
	not := o.paused || now.Sub(o.granted) < fullAsks && o.wire.estimate.full(now)
	if !not {
		o.granted = now
	}
	o.takes.Unlock()
	if f := o.current(); f != nil && !not {
		f.askKeyframe()
	}
}

// pause stops the stream, or has it go on from a key frame.
func (o *outgoing) pause(on bool) {
	o.takes.Lock()
	was := o.paused
	o.paused = on
	if on {
		o.skips = true
		o.flush(&o.held)
	}
	o.takes.Unlock()
	o.wire.estimate.setIdle(on)
	if was && !on {
		o.askKeyframe()
	}
}

// flush empties the queue. What follows has the numbers from the highest on that has left it otherwise.
func (o *outgoing) flush(count *atomic.Uint64) {
	for some := false; ; some = true {
		select {
		case p := <-o.queue:
			o.queued.Add(-int64(len(p.Payload)))
			count.Add(1)
			if count == &o.dropped {
				o.miss(p.Packet)
			}
			if !some {
				o.top = p.before
			}
			continue
		default:
		}
		if some {
			o.renumber()
		}
		return
	}
}

// renumber gives the number after the highest that was used to the packet after the highest that has come. What was missing
// before that is missing for ever.
func (o *outgoing) renumber() {
	o.shift = o.lastSeq - o.top
	o.barred, o.barrier = true, o.lastSeq
}

// take queues a packet. When the link does not keep up, what waits is left out, and all that comes up to a key frame.
func (o *outgoing) take(p *rtp.Packet) {
	o.takes.Lock()
	defer o.takes.Unlock()
	video := o.source.kind() == Video
	if behind := int16(p.SequenceNumber - o.barrier); o.barred && behind <= 0 {
		return // a straggler: no number may be used for two packets, which the encryption relies on
	} else if behind > replayWindow { // what is older than the barrier is not let in any more
		o.barred = false
	}
	switch {
	case o.paused:
		o.held.Add(1)
		o.leftOut(p)
		return
	case video && o.skips:
		if !beginsKey(o.feed.codec, p.Payload) {
			o.drop(p)
			o.askAgain()
			return
		}
		o.skips = false
	}
	if o.tooSlow() {
		o.flush(&o.dropped)
		if video {
			o.skips = true
			o.askAgain()
		}
		o.drop(p)
		return
	}
	number := p.SequenceNumber - o.shift
	if !o.some {
		o.some, o.lastSeq, o.top = true, p.SequenceNumber-1, number-1
	}
	before := o.top
	if int16(p.SequenceNumber-o.lastSeq) > 0 {
		o.lastSeq, o.top = p.SequenceNumber, number
	}
	// The extensions and the padding of a forwarded packet belong to the connection that it came over.
	out := &rtp.Packet{Header: rtp.Header{
		Version: 2, Marker: p.Marker, SequenceNumber: number, Timestamp: p.Timestamp,
	}, Payload: p.Payload}
	select {
	case o.queue <- numbered{out, before}:
		o.queued.Add(int64(len(p.Payload)))
	default: // never: tooSlow has looked, and nobody else queues
		o.dropped.Add(1)
	}
}

// drop leaves out a packet that the link is too slow for.
func (o *outgoing) drop(p *rtp.Packet) {
	o.dropped.Add(1)
	o.miss(p)
	o.leftOut(p)
}

// miss counts the picture of a packet that is dropped, once.
func (o *outgoing) miss(p *rtp.Packet) {
	if !o.missing || p.Timestamp != o.missedAt {
		o.missing, o.missedAt = true, p.Timestamp
		o.missed.Add(1)
	}
}

// leftOut notes a packet that is not sent, so that the next one has its number.
func (o *outgoing) leftOut(p *rtp.Packet) {
	if !o.some {
		return
	}
	if int16(p.SequenceNumber-o.lastSeq) > 0 {
		o.lastSeq = p.SequenceNumber
	}
	o.renumber()
}

// askAgain asks for the key frame that a skip waits for; called with takes held.
func (o *outgoing) askAgain() {
	now := time.Now()
	if now.Sub(o.asked) < skipAsks {
		return
	}
	o.asked = now
	o.feed.askKeyframe()
}

func (o *outgoing) tooSlow() bool {
	if o.source.kind() == Audio {
		return len(o.queue) >= outgoingSound
	}
	return len(o.queue) >= outgoingQueue || time.Duration(o.queued.Load()*8)*time.Second/time.Duration(o.pace()) > outgoingDelay
}

// pace is at how many bit/s packets are sent at most.
func (o *outgoing) pace() int {
	target, free := o.wire.estimate.target()
	if free < o.wire.estimate.max {
		return int(paceFull * float64(target))
	}
	return int(paceFactor * float64(target))
}

// send writes what is queued.
func (o *outgoing) send(to webrtc.TrackLocalWriter, ssrc uint32, payloadType uint8) {
	paced := o.source.kind() == Video
	timer := time.NewTimer(0)
	defer timer.Stop()
	var free time.Time // when the next one may go
	for {
		var p numbered
		select {
		case <-o.done:
			return
		case p = <-o.queue:
		}
		o.queued.Add(-int64(len(p.Payload)))
		if paced {
			now := time.Now()
			if wait := free.Sub(now); wait > paceSlack {
				timer.Reset(wait)
				select {
				case <-timer.C:
				case <-o.done:
					return
				}
				now = free
			}
			if free.Before(now) {
				free = now
			}
			free = free.Add(time.Duration(len(p.Payload)*8) * time.Second / time.Duration(o.pace()))
		}
		p.PayloadType, p.SSRC = payloadType, ssrc
		if p.Marker {
			o.frames.Add(1)
		}
		_, _ = to.WriteRTP(&p.Header, p.Payload) // fails when not connected yet, or not any more
	}
}
