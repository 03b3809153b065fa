package video

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"log/slog"
	"sync"
	"time"
)

// keyframeEvery is how far apart key frames are that watchers ask for.
const keyframeEvery = 500 * time.Millisecond

// Sender is what the board sends of its cameras: the picture of the chosen one,
// encoded once in each codec that somebody follows.
type Sender struct {
	log *slog.Logger
	now func() time.Time

	mu       sync.Mutex
	camera   *Camera
	on       bool
	channels map[Codec]*channel
	bitrate  int
	closed   bool
	running  sync.WaitGroup
}

// channel is one codec of a Sender.
type channel struct {
	sender    *Sender
	codec     Codec
	followers map[int]func(AccessUnit)
	next      int
	changed   chan struct{} // takes one: look again at camera, bitrate and key frames
	stop      context.CancelFunc

	wantKey bool
	lastKey time.Time
	frames  uint64
}

// NewSender makes a sender without a camera. bitrate is in bit/s.
func NewSender(bitrate int, log *slog.Logger) *Sender {
	return &Sender{log: log, now: time.Now, bitrate: bitrate, channels: make(map[Codec]*channel)}
}

// Select chooses the camera, nil for none, and whether its picture is sent.
func (s *Sender) Select(c *Camera, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.camera == c && s.on == on {
		return
	}
	s.camera, s.on = c, on
	for _, ch := range s.channels {
		ch.wantKey = true
		ch.look()
	}
}

// Selected is the camera, and whether its picture is sent.
func (s *Sender) Selected() (*Camera, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.camera, s.on
}

// Follow has f get each picture in a codec, from a goroutine of the sender's; it
// must not block. The first one is a key frame. stop ends it.
func (s *Sender) Follow(c Codec, f func(AccessUnit)) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return func() {}
	}
	ch := s.channels[c]
	if ch == nil {
		ch = s.open(c)
	}
	id := ch.next
	ch.next++
	ch.followers[id] = f
	ch.wantKey = true
	ch.look()
	var once sync.Once
	return func() {
		once.Do(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(ch.followers, id)
			if len(ch.followers) == 0 && s.channels[c] == ch {
				delete(s.channels, c)
				ch.stop()
			}
		})
	}
}

// open begins to encode in a codec; called with mu held.
func (s *Sender) open(c Codec) *channel {
	ctx, cancel := context.WithCancel(context.Background())
	ch := &channel{
		sender: s, codec: c, followers: make(map[int]func(AccessUnit)), changed: make(chan struct{}, 1), stop: cancel,
	}
	s.channels[c] = ch
	s.running.Go(func() { ch.run(ctx) })
	return ch
}

// Keyframe asks for a key frame. There is at most one each 500 ms; one that is
// asked for sooner comes then.
func (s *Sender) Keyframe(c Codec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.channels[c]; ch != nil {
		ch.wantKey = true
	}
}

// SetBitrate changes the bitrate, in bit/s.
func (s *Sender) SetBitrate(bitrate int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bitrate = bitrate
}

// Frames is how many pictures were encoded since somebody follows; 0: none does.
func (s *Sender) Frames(c Codec) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.channels[c]; ch != nil {
		return ch.frames
	}
	return 0
}

// Close ends all encoding. Nothing of it is left when it returns.
func (s *Sender) Close() {
	s.mu.Lock()
	s.closed = true
	for _, ch := range s.channels {
		ch.stop()
	}
	clear(s.channels)
	s.mu.Unlock()
	s.running.Wait()
}

func (ch *channel) look() {
	select {
	case ch.changed <- struct{}{}:
	default:
	}
}

// run encodes until ctx is over, whatever camera is chosen.
func (ch *channel) run(ctx context.Context) {
	var enc *encoder
	defer func() {
		if enc != nil {
			ch.close(enc)
		}
	}()
	for ctx.Err() == nil {
		camera, on := ch.sender.Selected()
		if camera == nil || !on {
			select {
			case <-ch.changed:
			case <-ctx.Done():
			}
			continue
		}
		enc = ch.use(ctx, camera, enc)
	}
}

// use encodes the pictures of one camera until another is chosen, and returns the
// encoder, which the next one may fit.
func (ch *channel) use(ctx context.Context, camera *Camera, enc *encoder) *encoder {
	slot := camera.Use()
	defer slot.Close()
	chosen, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	go func() { // a camera that gives no pictures must not keep another one from being chosen
		defer close(watched)
		for {
			select {
			case <-ch.changed:
				if c, on := ch.sender.Selected(); c != camera || !on {
					cancel()
					ch.look()
					return
				}
			case <-chosen.Done():
				return
			}
		}
	}()
	defer func() { cancel(); <-watched }()
	var last time.Time
	bitrate := 0
	for {
		f, err := slot.Next(chosen)
		if err != nil {
			return enc
		}
		enc, bitrate, err = ch.fit(enc, f, camera, bitrate)
		if err == nil {
			err = ch.frame(enc, f, &last)
		}
		f.Release()
		if err != nil {
			ch.sender.log.Error("a picture could not be encoded", "codec", ch.codec, "err", err)
			if enc != nil {
				ch.close(enc)
				enc = nil
			}
			select { // not again at once
			case <-time.After(time.Second):
			case <-chosen.Done():
			}
		}
	}
}

// fit makes the encoder that a picture needs, and sets its bitrate.
func (ch *channel) fit(enc *encoder, f *Frame, camera *Camera, had int) (*encoder, int, error) {
	camera.mu.Lock()
	rate := camera.format.Rate
	camera.mu.Unlock()
	want := Format{f.Image.Rect.Dx(), f.Image.Rect.Dy(), rate}
	ch.sender.mu.Lock()
	bitrate := ch.sender.bitrate
	ch.sender.mu.Unlock()
	if enc != nil && enc.format == want {
		if bitrate == had || had == 0 {
			return enc, bitrate, nil
		}
		return enc, bitrate, enc.setBitrate(bitrate)
	}
	if enc != nil {
		ch.close(enc)
	}
	enc, err := newEncoder(ch.codec, want, bitrate)
	if err != nil {
		return nil, 0, err
	}
	return enc, bitrate, nil
}

func (ch *channel) close(enc *encoder) {
	if err := enc.close(); err != nil {
		ch.sender.log.Warn("an encoder could not be closed", "codec", ch.codec, "err", err)
	}
}

// frame encodes a picture and hands it out.
func (ch *channel) frame(enc *encoder, f *Frame, last *time.Time) error {
	s := ch.sender
	s.mu.Lock()
	now := s.now()
	force := ch.wantKey && now.Sub(ch.lastKey) >= keyframeEvery
	if force {
		ch.wantKey, ch.lastKey = false, now
	}
	s.mu.Unlock()
	if force {
		if err := enc.forceKey(); err != nil {
			return err
		}
	}
	data, key, err := enc.encode(f.Image)
	if err != nil || len(data) == 0 {
		if force {
			ch.again()
		}
		return err
	}
	// A pause of the camera is one of the stream too: its clock goes on.
	d := time.Duration(float64(time.Second) / max(1, enc.format.Rate))
	if !last.IsZero() {
		d = min(max(f.At.Sub(*last), time.Millisecond), 10*time.Second)
	}
	*last = f.At
	s.mu.Lock()
	if key {
		ch.lastKey = now
	}
	ch.frames++
	to := make([]func(AccessUnit), 0, 4)
	for _, follower := range ch.followers {
		to = append(to, follower)
	}
	s.mu.Unlock()
	for _, follower := range to {
		follower(AccessUnit{Data: data, At: f.At, Duration: d, Key: key})
	}
	return nil
}

// again asks for the key frame that the encoder has left out.
func (ch *channel) again() {
	ch.sender.mu.Lock()
	defer ch.sender.mu.Unlock()
	ch.wantKey, ch.lastKey = true, time.Time{}
}

// Snapshot is one picture of the chosen camera as a JPEG. The camera is opened for
// it if nothing else uses it.
func (s *Sender) Snapshot(ctx context.Context) ([]byte, error) {
	camera, _ := s.Selected()
	if camera == nil {
		return nil, ErrNoCamera
	}
	slot := camera.Use()
	defer slot.Close()
	if err := camera.Wait(ctx); err != nil {
		return nil, err
	}
	f, err := slot.Next(ctx)
	if err != nil {
		return nil, fmt.Errorf("camera %s: %w", camera.Name(), err)
	}
	defer f.Release()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, f.Image, &jpeg.Options{Quality: 85}); err != nil {
		return nil, errors.Join(errors.New("make a JPEG"), err)
	}
	return b.Bytes(), nil
}
