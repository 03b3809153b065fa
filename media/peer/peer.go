package peer

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// closeWait is how long Close waits for pion. What is not gone by then ends later, and is logged.
const closeWait = time.Second

// Options of a Peer.
type Options struct {
	RelayOnly bool // use only TURN servers: the far end does not learn our addresses
	NoVideo   bool // a call of sound alone
	// What we send. Without it we only receive that kind.
	Audio, Video Source
	Callbacks
}

func (o *Options) policy() webrtc.ICETransportPolicy {
	if o.RelayOnly {
		return webrtc.ICETransportPolicyRelay
	}
	return webrtc.ICETransportPolicyAll
}

// Callbacks of a Peer. Each may be nil. They come in order, from one goroutine of the Peer's. None begins after Close has
// returned; one that is under way then is not waited for, so that it may itself call Close, or wait for who does.
type Callbacks struct {
	// Candidate gives a candidate line of ours for the far end, "" after the last one.
	Candidate func(line string)
	State     func(State)
	Track     func(*RemoteTrack)
}

// Peer is the connection to one remote terminal of a call. Its methods may be called from any goroutine.
type Peer struct {
	factory *Factory
	options Options
	viewer  bool // send only, and answer with all candidates
	log     *slog.Logger
	pc      *webrtc.PeerConnection
	events  *events
	streams streams
	wire    *wire

	negotiation sync.Mutex // held through a step of offer and answer
	candidates  remoteCandidates
	begun       bool // a first Offer or Answer was made

	mu       sync.Mutex
	closing  bool
	state    State
	outgoing map[Kind]*outgoing
	remote   map[Kind]*RemoteTrack
	wg       sync.WaitGroup
	flow     func()        // closes flowing, once
	flowing  chan struct{} // closed once streams may be read and sent
	flowLate *time.Timer   // calls flow where nothing else does; nil until connected
	over     chan struct{} // closed when Close begins
	done     chan struct{} // closed when Close has done its work
}

// When streams are read and sent at the latest, after the connection stands: where the far end does not send, and where it
// cannot.
const (
	flowAfter   = time.Second
	viewedAfter = 50 * time.Millisecond
)

// NewPeer makes a Peer. It waits for the certificate, so the first may take seconds on a weak board.
// Errors: ErrClosed, ErrTooMany.
func (f *Factory) NewPeer(options Options) (*Peer, error) {
	return f.newPeer(context.Background(), options, false)
}

func (f *Factory) newPeer(ctx context.Context, options Options, viewer bool) (*Peer, error) {
	for want, source := range map[Kind]Source{Audio: options.Audio, Video: options.Video} {
		if source != nil && source.kind() != want {
			return nil, fmt.Errorf("a source of %s as %s", source.kind(), want)
		}
	}
	cert, err := f.certificate(ctx)
	if err != nil {
		return nil, err
	}
	p := &Peer{
		factory: f, options: options, viewer: viewer, log: f.log, events: newEvents(), state: StateNew,
		flowing: make(chan struct{}), over: make(chan struct{}), done: make(chan struct{}),
		outgoing: map[Kind]*outgoing{}, remote: map[Kind]*RemoteTrack{},
		wire: newWire(f.config.MinBitrate, f.config.MaxBitrate),
	}
	if viewer {
		p.wire = viewerWire(f.config, options.Video)
	}
	// Streams may flow once pion takes in those of the far end itself. If they were read or sent before, pion would begin to
	// read from the network at the end of the handshake, and if either end closed just then, nobody would take the first packet
	// that came, and closing would wait for its reader for ever.
	p.flow = sync.OnceFunc(func() {
		close(p.flowing)
		p.events.add(p.begin)
	})
	p.streams.tooMany, p.streams.one = p.hangUp, p.flow
	if err := f.add(p); err != nil {
		return nil, err
	}
	api, err := f.api(p)
	if err == nil {
		p.pc, err = api.NewPeerConnection(webrtc.Configuration{
			ICETransportPolicy: options.policy(), Certificates: []webrtc.Certificate{cert},
			BundlePolicy: webrtc.BundlePolicyMaxBundle, RTCPMuxPolicy: webrtc.RTCPMuxPolicyRequire,
			// Encrypted RTP header extensions: few know them, and ours tell nothing.
			RTPHeaderEncryptionPolicy: webrtc.RTPHeaderEncryptionPolicyDisable,
		})
	}
	if err != nil {
		f.remove(p)
		f.wg.Done()
		return nil, fmt.Errorf("making a connection: %w", err)
	}
	go func() {
		defer f.wg.Done()
		p.events.run()
	}()
	p.pc.OnICECandidate(p.localCandidate)
	p.pc.OnConnectionStateChange(func(webrtc.PeerConnectionState) { p.noteState() })
	p.pc.OnTrack(p.track)
	return p, nil
}

// goes runs f in a goroutine that Close waits for. It tells false when the Peer is closed.
func (p *Peer) goes(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return false
	}
	p.wg.Go(f)
	return true
}

// State tells the state now; callbacks may still be on their way there.
func (p *Peer) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

func (p *Peer) noteState() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return
	}
	// Read under the lock: pion calls us from goroutines of their own, and the last to read has the newest.
	state := map[webrtc.PeerConnectionState]State{
		webrtc.PeerConnectionStateNew: StateNew, webrtc.PeerConnectionStateConnecting: StateConnecting,
		webrtc.PeerConnectionStateConnected: StateConnected, webrtc.PeerConnectionStateDisconnected: StateDisconnected,
		webrtc.PeerConnectionStateFailed: StateFailed, webrtc.PeerConnectionStateClosed: StateClosed,
	}[p.pc.ConnectionState()]
	if state == p.state || state == "" {
		return
	}
	p.state = state
	switch {
	case state != StateConnected:
	case p.flowLate == nil:
		after := flowAfter
		if p.viewer {
			after = viewedAfter
		}
		p.flowLate = time.AfterFunc(after, p.flow)
	default: // again, and perhaps by another way
		p.wire.estimate.moved(time.Now())
		for _, o := range p.outgoing {
			p.events.add(o.askKeyframe)
		}
	}
	if call := p.options.State; call != nil {
		p.events.add(func() { call(state) })
	}
}

// begin sends what there is to send, from a key frame on.
func (p *Peer) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.outgoing {
		o.begin()
		o.askKeyframe()
	}
}

func (p *Peer) source(kind Kind) Source {
	if kind == Audio {
		return p.options.Audio
	}
	return p.options.Video
}

// transceiver makes pion's pair of sender and receiver for a kind.
func (p *Peer) transceiver(kind Kind) error {
	source := p.source(kind)
	if source == nil {
		_, err := p.pc.AddTransceiverFromKind(kind.pion(), webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		return err
	}
	direction := webrtc.RTPTransceiverDirectionSendrecv
	if p.viewer {
		direction = webrtc.RTPTransceiverDirectionSendonly
	}
	o := newOutgoing(source, "herald", p.wire)
	o.run = p.goes
	t, err := p.pc.AddTransceiverFromTrack(o, webrtc.RTPTransceiverInit{Direction: direction})
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.outgoing[kind] = o
	p.mu.Unlock()
	p.goes(func() { p.readReports(t.Sender(), o) })
	return nil
}

// readReports reads what the far end says of what we send. pion needs it read, too, for sending lost packets again.
func (p *Peer) readReports(sender *webrtc.RTPSender, o *outgoing) {
	select {
	case <-p.flowing:
	case <-p.over:
		return
	}
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			switch packet.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				o.askKeyframe()
			}
		}
	}
}

// track is called by pion when the first packet of a remote stream has come.
func (p *Peer) track(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	r := newRemoteTrack(track, p.pc.WriteRTCP, p.wire.measuredRoundTrip)
	if r.codec == "" {
		return
	}
	p.mu.Lock()
	known := p.remote[r.kind()] != nil
	if !known {
		p.remote[r.kind()] = r
	}
	p.mu.Unlock()
	if known {
		// One stream of each kind is all that was negotiated; a second would be read by nobody.
		p.log.Debug("a second remote stream of one kind is ignored", "kind", r.kind())
		_ = receiver.Stop()
		return
	}
	p.goes(func() {
		b := make([]byte, 1500)
		for {
			if _, _, err := receiver.Read(b); err != nil { // sender reports: for pion's own use
				return
			}
		}
	})
	// Whoever is told of the track can follow it from its first packet, which begins a key frame: pion holds them until then.
	if call := p.options.Track; call != nil && p.events.add(func() { call(r); p.goes(r.read) }) {
		return
	}
	p.goes(r.read)
}

func (p *Peer) isClosing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closing
}

// hangUp ends a connection whose far end sends more than any call has.
func (p *Peer) hangUp() {
	p.events.add(func() {
		p.log.Warn("a connection is ended: the far end sends too many streams", "most", maxStreams)
		if call := p.options.State; call != nil {
			call(StateClosed)
		}
		p.Close()
	})
}

// Close ends the connection and tells the far end so. It returns when the goroutines of the Peer are gone, within a second,
// except for a callback that is under way. It may be called at any time, from a callback too, and more than once.
func (p *Peer) Close() {
	p.mu.Lock()
	if p.closing {
		p.mu.Unlock()
		<-p.done
		return
	}
	p.closing = true
	close(p.over)
	if p.flowLate != nil {
		p.flowLate.Stop()
	}
	p.state = StateClosed
	p.mu.Unlock()
	defer close(p.done)

	gone := make(chan struct{})
	go func() {
		defer close(gone)
		p.events.stop()
		if err := p.pc.GracefulClose(); err != nil {
			p.log.Debug("closing a connection", "err", err)
		}
		p.wg.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		for kind, o := range p.outgoing {
			if n := o.dropped.Load(); n > 0 {
				p.log.Debug("a link was too slow for what it was sent", "kind", kind, "packets_dropped", n)
			}
		}
	}()
	select {
	case <-gone:
	case <-time.After(closeWait):
		p.log.Warn("a connection takes long to close; it ends by itself")
	}
	p.factory.remove(p)
}
