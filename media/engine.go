package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/webrtc/v4/pkg/media"

	"github.com/herald-im/herald/media/fake"
	"github.com/herald-im/herald/media/heap"
	"github.com/herald-im/herald/media/peer"
	"github.com/herald-im/herald/media/sound"
	"github.com/herald-im/herald/media/video"
)

// Fake is the name of the devices that need no hardware.
const Fake = "fake"

// Config is the board's devices and how they connect. A device that is empty is none.
type Config struct {
	FrontCamera, BackCamera        string // V4L2 devices, video.Auto, Fake, or fake:PATH for a clip
	Format                         video.Format
	Controls                       video.Settings // of both cameras
	Bitrate                        int            // of the picture at most, bit/s
	MinBitrate                     int            // below which a link gets sound alone, bit/s; 0: 100,000
	Microphone, Speaker, HandsFree string         // ALSA devices, or Fake; fake:PATH records what is played
	Echo                           sound.EchoOptions

	Port                          int // UDP; 0: a free one
	Interfaces, ExcludeInterfaces []string
	Loopback                      bool // connect over the board itself, too
	StateDir                      string
}

// Engine is all of the board's media: devices, encoders, connections. Nothing is
// open while nobody uses it but the UDP port.
type Engine struct {
	cfg     Config
	log     *slog.Logger
	factory *peer.Factory
	cards   *sound.Cards
	front   *video.Camera // nil: none
	back    *video.Camera
	sender  *video.Sender
	tracks  *peer.VideoTracks
	mic     *sound.Microphone
	micOut  *peer.AudioTrack
	speaker *sound.Speaker
	ear     sound.PlaybackDevice // what Speaker names
	loud    sound.PlaybackDevice // what HandsFree names; nil: the same

	watching sync.WaitGroup
	unwatch  context.CancelFunc

	mu         sync.Mutex
	closed     bool
	calls      int
	held       []func() // gives back what Begin holds
	isFront    bool
	cameraOn   bool
	open       *video.Camera // that is held for the call; nil: none
	giveCamera func()        // gives it back
	changed    func()
	links      map[*Link]struct{}
}

// New opens the UDP port. Devices are opened when they are needed.
func New(cfg Config, log *slog.Logger) (*Engine, error) {
	heap.Tune()
	e := &Engine{cfg: cfg, log: log, cards: new(sound.Cards), isFront: true, links: make(map[*Link]struct{})}
	var err error
	e.factory, err = peer.New(peer.Config{
		Port: cfg.Port, Interfaces: cfg.Interfaces, ExcludeInterfaces: cfg.ExcludeInterfaces, IncludeLoopback: cfg.Loopback,
		MinBitrate: cfg.MinBitrate, MaxBitrate: cfg.Bitrate,
		CertFile: filepath.Join(cfg.StateDir, "dtls.pem"), Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("open the port for calls (media.port): %w", err)
	}
	e.front, e.back = e.newCamera(cfg.FrontCamera, "front"), e.newCamera(cfg.BackCamera, "back")
	e.sender = video.NewSender(cfg.Bitrate, log)
	if err := e.makeTracks(); err != nil {
		e.factory.Close()
		return nil, err
	}
	e.mic = sound.NewMicrophone(e.microphone(cfg.Microphone), log)
	e.ear, e.loud = e.playback(cfg.Speaker), e.playback(cfg.HandsFree)
	e.speaker = sound.NewSpeaker(e.ear, log)
	if cfg.Microphone != Fake && cfg.Microphone != fakeClock { // a fake one hears no echo, and its tone is no speech
		if err := e.mic.SetEcho(e.speaker.Played(), cfg.Echo); err != nil {
			e.factory.Close()
			return nil, fmt.Errorf("set up what is done about the echo (media.echo): %w", err)
		}
	}
	e.chooseCamera()
	var ctx context.Context
	ctx, e.unwatch = context.WithCancel(context.Background())
	e.watching.Go(func() {
		if err := e.factory.Watch(ctx, e.networkChanged); err != nil {
			log.Warn("a change of the network will not be noticed", "err", err)
		}
	})
	return e, nil
}

// camera is one of the two; nil: there is none.
func (e *Engine) camera(front bool) *video.Camera {
	if front {
		return e.front
	}
	return e.back
}

func (e *Engine) newCamera(name, use string) *video.Camera {
	switch name {
	case "":
		return nil
	case Fake:
		return video.NewCamera(fake.NewCamera(use), e.cfg.Format, e.log)
	}
	if path, ok := strings.CutPrefix(name, Fake+":"); ok {
		return video.NewCamera(fake.NewClip(use, path), e.cfg.Format, e.log)
	}
	return video.NewCamera(video.V4L2With(name, e.cfg.Controls, e.log), e.cfg.Format, e.log)
}

const (
	fakeTone  = 440             // what a fake microphone hears, in Hz
	fakeClock = Fake + ":clock" // one that hears what time it is
)

func (e *Engine) microphone(name string) sound.CaptureDevice {
	switch name {
	case "":
		return nil
	case Fake:
		return fake.NewMicrophone(fakeTone)
	case fakeClock:
		return fake.NewClock()
	}
	return e.cards.Microphone(name)
}

func (e *Engine) playback(name string) sound.PlaybackDevice {
	switch name {
	case "":
		return nil
	case Fake:
		return fake.NewSpeaker()
	}
	if path, ok := strings.CutPrefix(name, Fake+":"); ok {
		return fake.NewRecorder(path)
	}
	return e.cards.Speaker(name)
}

// makeTracks makes what peers and viewers are sent: encoders run while somebody
// sends what they make.
func (e *Engine) makeTracks() error {
	e.tracks = new(peer.VideoTracks)
	for codec, to := range map[peer.Codec]**peer.VideoTrack{peer.H264: &e.tracks.H264, peer.VP8: &e.tracks.VP8} {
		var track *peer.VideoTrack
		follow := following(func() func() {
			return e.sender.Follow(video.Codec(codec), func(u video.AccessUnit) {
				track.WriteSample(media.Sample{Data: u.Data, Duration: u.Since})
			})
		})
		track, err := peer.NewVideoTrack(codec, peer.Hooks{
			Keyframe: func() { e.sender.Keyframe(video.Codec(codec)) }, Watched: follow,
			Bitrate: func(bitrate int) { e.sender.SetBitrate(video.Codec(codec), bitrate) },
		})
		if err != nil {
			return err
		}
		*to = track
	}
	e.micOut = peer.NewAudioTrack(peer.Hooks{Loss: func(percent int) { e.mic.SetLoss(percent) }, Watched: following(func() func() {
		return e.mic.Follow(func(p sound.Packet) {
			e.micOut.WriteSample(media.Sample{Data: p.Data, Duration: p.Duration})
		})
	})})
	return nil
}

// following follows while there are followers.
func following(follow func() (stop func())) func(followers int) {
	var mu sync.Mutex
	var stop func()
	return func(n int) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case n > 0 && stop == nil:
			stop = follow()
		case n == 0 && stop != nil:
			stop()
			stop = nil
		}
	}
}

// closeWait is how long Close waits for drivers that do not let go.
const closeWait = 5 * time.Second

// Close ends all connections and gives all devices back. It waits for drivers, but no
// longer than 5 s.
func (e *Engine) Close() {
	e.unwatch()
	e.mu.Lock()
	e.closed = true
	held, links := e.held, slices.Collect(maps.Keys(e.links))
	e.held, e.calls = nil, 0
	e.mu.Unlock()
	for _, l := range links {
		l.Close()
	}
	e.factory.Close()
	for _, give := range held {
		give()
	}
	e.chooseCamera()
	e.sender.Close()
	e.watching.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	err := errors.Join(e.mic.Drain(ctx), e.speaker.Drain(ctx))
	if err == nil {
		e.cards.Close() // not while a driver may still use it
	}
	for _, c := range []*video.Camera{e.front, e.back} {
		if c != nil {
			err = errors.Join(err, c.Drain(ctx))
		}
	}
	if err != nil {
		e.log.Warn("a device is left to its driver", "err", err)
	}
}

// errClosed is returned by an Engine that was closed.
var errClosed = errors.New("the media engine is closed")

// readyWait is how long a device may take until a call goes on without it.
const readyWait = 5 * time.Second

// Begin readies the devices for a call. Its error joins those of devices that
// cannot be used; they are tried again as long as the call lasts.
func (e *Engine) Begin(ctx context.Context, camera bool) error {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return errClosed
	}
	e.calls++
	if e.calls == 1 {
		e.held = append(e.held, e.mic.Hold(), e.speaker.Hold())
	}
	e.cameraOn = camera
	e.mu.Unlock()
	cam := e.chooseCamera()
	err := errors.Join(e.mic.Wait(ctx), e.speaker.Wait(ctx))
	switch {
	case !camera:
	case cam == nil:
		err = errors.Join(err, video.ErrNoCamera)
	default:
		err = errors.Join(err, cam.Wait(ctx))
	}
	return err
}

// End gives back what Begin took.
func (e *Engine) End() {
	e.mu.Lock()
	e.calls = max(0, e.calls-1)
	var held []func()
	if e.calls == 0 {
		held, e.held = e.held, nil
	}
	e.mu.Unlock()
	for _, give := range held {
		give()
	}
	e.chooseCamera()
	if held != nil {
		heap.Trim() // a board idles for days until the next call
	}
}

// chooseCamera has the sender take the chosen camera. Outside of calls its picture
// is there for viewers on the board. In a call that shows it, it is open ahead of
// the first who wants its picture; in one that does not, it is closed.
func (e *Engine) chooseCamera() *video.Camera {
	e.mu.Lock()
	defer e.mu.Unlock()
	cam := e.camera(e.isFront)
	e.sender.Select(cam, e.calls == 0 || e.cameraOn)
	open := cam
	if e.calls == 0 || !e.cameraOn {
		open = nil
	}
	if open != e.open {
		before := e.giveCamera
		if e.open, e.giveCamera = open, nil; open != nil {
			e.giveCamera = open.Hold()
		}
		if before != nil {
			before()
		}
	}
	return cam
}

// SetCamera chooses a camera, and whether a call shows it.
func (e *Engine) SetCamera(front, on bool) error {
	if e.camera(front) == nil && on {
		name := "media.back_camera"
		if front {
			name = "media.front_camera"
		}
		return fmt.Errorf("%w: %s is empty", video.ErrNoCamera, name)
	}
	e.mu.Lock()
	e.isFront, e.cameraOn = front, on
	e.mu.Unlock()
	e.chooseCamera()
	return nil
}

// SetMute silences the microphone, or lets it be heard again.
func (e *Engine) SetMute(muted bool) { e.mic.SetMute(muted) }

// SetHandsFree chooses between the two playback devices.
func (e *Engine) SetHandsFree(on bool) {
	if on && e.loud != nil {
		e.speaker.Select(e.loud)
		return
	}
	e.speaker.Select(e.ear)
}

// Level is how loud the microphone is, 0 to 100.
func (e *Engine) Level() int { return e.mic.Level() }

// Snapshot is one picture of the chosen camera as a JPEG.
func (e *Engine) Snapshot(ctx context.Context) ([]byte, error) { return e.sender.Snapshot(ctx) }

// NetworkChanged has f called whenever the board's addresses have become others.
func (e *Engine) NetworkChanged(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.changed = f
}

func (e *Engine) networkChanged() {
	e.mu.Lock()
	f := e.changed
	e.mu.Unlock()
	if f != nil {
		f()
	}
}

// View shows the board's own picture to a viewer on it (WHEP).
func (e *Engine) View(ctx context.Context, offer string) (answer string, v *peer.Viewer, err error) {
	if cam, _ := e.sender.Selected(); cam == nil {
		return "", nil, video.ErrNoCamera
	}
	return e.factory.View(ctx, offer, peer.Sources{Video: e.tracks})
}
