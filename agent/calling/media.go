package calling

import (
	"context"

	"github.com/herald-im/herald/protocol"
)

// Media is what calls need of the board's cameras, microphone and speaker. Its
// functions may be called from several goroutines.
type Media interface {
	// Begin readies the devices for a call. Its error joins those of devices that
	// cannot be used; the call goes on without them.
	Begin(ctx context.Context, camera bool) error
	// End gives the devices back.
	End()
	// Connect makes one end of a connection.
	Connect(c Connecting) (Peer, error)
	// SetCamera chooses the camera, and whether its picture is sent.
	SetCamera(front, on bool) error
	SetMute(muted bool)
	SetHandsFree(on bool)
	// Level is how loud the microphone is, 0 to 100.
	Level() int
	// Figures tell how the camera in use, nil without one, and the sound do.
	Figures() (*protocol.CallCamera, *protocol.CallSound)
	// ViewSelf shows the board's own picture to a viewer that made an SDP offer.
	ViewSelf(ctx context.Context, offer string) (View, error)
	// NetworkChanged is told whenever the board's addresses change.
	NetworkChanged(f func())
}

// Connecting is how to make a connection.
type Connecting struct {
	Video     bool
	RelayOnly bool
	// Candidate and State are called in order, and never from within a function of
	// the Peer.
	Candidate func(line string)
	State     func(PeerState)
}

// PeerState is how a connection stands.
type PeerState int

const (
	PeerConnected PeerState = iota + 1
	PeerDisconnected
	PeerFailed
	PeerClosed // by the other end
)

// Peer is one end of a connection.
type Peer interface {
	Offer(ctx context.Context) (sdp string, err error)
	Answer(ctx context.Context, offer string) (sdp string, err error)
	Accept(answer string) error
	AddCandidate(line string) error
	// SetServers gives it STUN and TURN servers in place of those it has, from the next
	// description on that looks for paths: the first, or one that restarts ICE.
	SetServers(servers []protocol.ICEServer) error
	// Restart makes an offer that has both look for new paths (ICE restart).
	Restart(ctx context.Context) (sdp string, err error)
	Stats() PeerStats
	// View offers what arrives to a viewer that made an SDP offer.
	View(ctx context.Context, offer string) (View, error)
	// Close ends it, and its views.
	Close()
}

// PeerStats is how well a connection goes.
type PeerStats struct {
	VideoCodec      string
	FramesPerSecond float64
	RoundTripMs     float64
	PacketsLost     int64
	Path            string
	Level           int // of the sound that arrives, 0 to 100

	SentBitrate, ReceivedBitrate, TargetBitrate int // bit/s
	LossPercent, JitterMs, BufferMs             float64
	ConcealedPercent                            float64
	FramesSent, FramesDropped                   uint64
	SoundOnly                                   bool
}

// View is a picture shown in a page.
type View interface {
	Answer() string // SDP
	Close()
	Done() <-chan struct{}
}
