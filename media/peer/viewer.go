package peer

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// viewerConnects is how long a viewer may take to connect.
	viewerConnects = 10 * time.Second
	// viewerReturns is how long a viewer may stay disconnected; with disconnectedAfter that makes 10 s of silence.
	viewerReturns = 10*time.Second - disconnectedAfter
)

// Sources are what a Viewer is shown: local tracks, or what a Peer receives. Either may be nil.
type Sources struct {
	Audio, Video Source
}

// Viewer is a browser that watches (WHEP, draft-ietf-wish-whep).
type Viewer struct {
	peer  *Peer
	done  chan struct{}
	once  sync.Once
	mu    sync.Mutex
	timer *time.Timer // ends the viewer; nil once ended
}

// View answers a viewer's offer. The answer holds all candidates of ours, and needs none but the offer's: a viewer's checks
// tell where it is. Only host candidates are used, so there is nothing to wait for. Errors: ErrBadSDP, also for an offer that
// would send; ErrNoCodec when the viewer cannot take the codec of a source; ErrTooMany; ErrClosed; ctx's.
func (f *Factory) View(ctx context.Context, offer string, sources Sources) (answer string, viewer *Viewer, err error) {
	if sources.Audio == nil && sources.Video == nil {
		return "", nil, fmt.Errorf("%w: nothing to show", ErrState)
	}
	d, err := readSDP(offer, true)
	if err != nil {
		return "", nil, err
	}
	for _, s := range d.sections {
		if !s.rejected && s.direction != "recvonly" && s.direction != "inactive" {
			return "", nil, badSDP("a viewer's %s section is %s, and can be recvonly only", s.kind, s.direction)
		}
	}
	v := &Viewer{done: make(chan struct{})}
	v.peer, err = f.newPeer(ctx, Options{
		Audio: sources.Audio, Video: sources.Video, Callbacks: Callbacks{State: v.state},
	}, true)
	if err != nil {
		return "", nil, err
	}
	v.timer = time.AfterFunc(viewerConnects, v.Close)
	if answer, err = v.peer.Answer(ctx, offer); err != nil {
		v.Close()
		return "", nil, err
	}
	return answer, v, nil
}

// forwardedMost bounds what is forwarded to a viewer, in bit/s: twice the most that a board may be told to send.
const forwardedMost = 20_000_000

// viewerWire is the connection of a viewer: near, and for what others send not bound to what this board may send.
func viewerWire(c Config, video Source) *wire {
	most := c.MaxBitrate
	if _, ours := video.(*VideoTracks); !ours {
		most = max(most, forwardedMost)
	}
	w := newWire(c.MinBitrate, most)
	w.estimate.isNear()
	return w
}

// state is the Peer's callback: it sets the time that is left.
func (v *Viewer) state(s State) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.timer == nil {
		return
	}
	switch s {
	case StateConnected:
		v.timer.Stop()
	case StateDisconnected:
		v.timer.Reset(viewerReturns)
	case StateFailed, StateClosed:
		v.timer.Reset(0)
	}
}

func (v *Viewer) stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.timer != nil {
		v.timer.Stop()
		v.timer = nil
	}
}

// Done is closed when the viewer has ended: by Close, because it left, or because nothing was heard of it for 10 s.
func (v *Viewer) Done() <-chan struct{} { return v.done }

// Close ends the viewer's session. It returns as Peer.Close does.
func (v *Viewer) Close() {
	v.stop()
	v.peer.Close()
	v.once.Do(func() { close(v.done) })
}
