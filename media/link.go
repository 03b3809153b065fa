package media

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pion/rtp"

	"github.com/herald-im/herald/media/peer"
	"github.com/herald-im/herald/media/sound"
	"github.com/herald-im/herald/media/video"
)

// Linking is how to make a Link.
type Linking struct {
	Video     bool // also pictures
	RelayOnly bool
	// Candidate and State are called in order, from a goroutine of the link's.
	Candidate func(line string)
	State     func(peer.State)
	// Track is told what arrives before its first packet is handed out. It must not
	// block, nor use the Link. It may be nil.
	Track func(*peer.RemoteTrack)
}

// Link is one end of a connection with another terminal: what the board sends goes
// over it, and what arrives is played.
type Link struct {
	engine *Engine
	peer   *peer.Peer

	mu       sync.Mutex
	closed   bool
	audio    *peer.RemoteTrack
	video    *peer.RemoteTrack
	shown    *peer.Delayed // video, in sync with the voice
	voice    *sound.Voice
	stops    []func()
	measured time.Time
	counted  uint64
	rate     float64
	viewers  map[*peer.Viewer]struct{}
}

// Connect makes one end of a connection.
func (e *Engine) Connect(c Linking) (*Link, error) {
	l := &Link{engine: e, measured: time.Now(), viewers: make(map[*peer.Viewer]struct{})}
	o := peer.Options{
		RelayOnly: c.RelayOnly, NoVideo: !c.Video, Audio: e.micOut,
		Callbacks: peer.Callbacks{Candidate: c.Candidate, State: c.State, Track: func(t *peer.RemoteTrack) { l.track(c, t) }},
	}
	if c.Video {
		o.Video = e.tracks
	}
	var err error
	if l.peer, err = e.factory.NewPeer(o); err != nil {
		return nil, err
	}
	e.mu.Lock()
	closed := e.closed
	if !closed {
		e.links[l] = struct{}{}
	}
	e.mu.Unlock()
	if closed {
		l.Close()
		return nil, errClosed
	}
	return l, nil
}

// track plays, or counts, what arrives.
func (l *Link) track(c Linking, t *peer.RemoteTrack) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if c.Track != nil {
		c.Track(t)
	}
	if t.Kind() == peer.Video {
		l.video, l.shown = t, t.Delay(l.behind)
		return
	}
	voice := l.engine.speaker.Play()
	l.audio, l.voice = t, voice
	l.stops = append(l.stops, t.Follow(func(p *rtp.Packet) { voice.Push(p.SequenceNumber, p.Timestamp, p.Payload) }))
}

// screenLead is how much longer than sound a picture takes besides: a browser needs some 30 ms
// to decode and show it and its encoder some 10, while sound is 20 ms old when its packet is full.
const screenLead = 20 * time.Millisecond

// behind is how much later a picture is shown than it could be, so that it goes with what is
// heard then: the speaker gathers some sound first, as the network is uneven.
func (l *Link) behind() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.voice == nil {
		return 0
	}
	return l.voice.Wait() - screenLead
}

// Offer begins the connection; see package peer for its steps.
func (l *Link) Offer(ctx context.Context) (string, error) { return l.peer.Offer(ctx) }

// Answer answers an offer, or a later one that restarts ICE.
func (l *Link) Answer(ctx context.Context, offer string) (string, error) {
	return l.peer.Answer(ctx, offer)
}

// Accept takes the answer to an offer.
func (l *Link) Accept(answer string) error { return l.peer.Accept(answer) }

// AddCandidate takes a candidate of the other side.
func (l *Link) AddCandidate(line string) error { return l.peer.AddCandidate(line) }

// Restart makes an offer that restarts ICE.
func (l *Link) Restart(ctx context.Context) (string, error) { return l.peer.RestartOffer(ctx) }

// SetServers replaces the STUN and TURN servers, see peer.Peer.
func (l *Link) SetServers(servers []peer.ICEServer) error { return l.peer.SetServers(servers) }

// LinkStats is how well a connection goes.
type LinkStats struct {
	peer.Stats
	FramesPerSecond float64 // of the picture that arrives and can be decoded
	Level           int     // of the sound that arrives, 0 to 100
	Voice           sound.VoiceStats
	// Encoding is what becomes of the board's own pictures in the codec that this link is sent: for all who are sent it.
	Encoding video.Stats
}

// Stats of the connection now.
func (l *Link) Stats() LinkStats {
	s := LinkStats{Stats: l.peer.Stats()}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.measured) >= time.Second {
		pictures := s.Received[peer.Video].Pictures
		l.rate = float64(pictures-min(l.counted, pictures)) / now.Sub(l.measured).Seconds()
		l.measured, l.counted = now, pictures
	}
	s.FramesPerSecond = l.rate
	if l.voice != nil {
		s.Level, s.Voice = l.voice.Level(), l.voice.Stats()
	}
	if out := s.Sent[peer.Video]; out.Codec != "" {
		s.Encoding, _ = l.engine.sender.Stats(video.Codec(out.Codec))
	}
	return s
}

// View shows what arrives to a viewer on the board, as it came.
func (l *Link) View(ctx context.Context, offer string) (answer string, v *peer.Viewer, err error) {
	l.mu.Lock()
	var s peer.Sources
	if l.video != nil {
		s.Video = l.shown
	}
	if l.audio != nil {
		s.Audio = l.audio
	}
	closed := l.closed
	l.mu.Unlock()
	if closed || s.Video == nil && s.Audio == nil {
		return "", nil, fmt.Errorf("%w: nothing has arrived yet", peer.ErrState)
	}
	if answer, v, err = l.engine.factory.View(ctx, offer, s); err != nil {
		return "", nil, err
	}
	l.mu.Lock()
	closed = l.closed
	if !closed {
		for w := range l.viewers {
			select {
			case <-w.Done():
				delete(l.viewers, w)
			default:
			}
		}
		l.viewers[v] = struct{}{}
	}
	l.mu.Unlock()
	if closed {
		v.Close()
		return "", nil, peer.ErrClosed
	}
	return answer, v, nil
}

// Close ends the connection and its viewers. It may be called again.
func (l *Link) Close() {
	l.engine.mu.Lock()
	delete(l.engine.links, l)
	l.engine.mu.Unlock()
	l.mu.Lock()
	l.closed = true
	stops, viewers, voice := l.stops, l.viewers, l.voice
	l.stops, l.viewers, l.voice = nil, nil, nil
	l.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
	for v := range viewers {
		v.Close()
	}
	l.peer.Close()
	if voice != nil {
		voice.Close()
	}
}
