package video

import (
	"bytes"
	"context"
	"fmt"
	"image/jpeg"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// keyframeEvery is how far apart key frames are that watchers ask for.
const keyframeEvery = 500 * time.Millisecond

// Sender is what the board sends of its cameras: the picture of the chosen one,
// encoded once in each codec that somebody follows.
type Sender struct {
	log     *slog.Logger
	bitrate int

	mu       sync.Mutex
	camera   *Camera
	on       bool
	channels map[Codec]*channel
	closed   bool
	running  sync.WaitGroup
}

// channel is one codec of a Sender.
type channel struct {
	sender    *Sender
	codec     Codec
	followers map[int]func(AccessUnit)
	next      int
	changed   chan struct{} // takes one: another camera may have been chosen
	stop      context.CancelFunc

	wantKey bool
	lastKey time.Time
	last    time.Time // of the capture of what was handed out last
}

// NewSender makes a sender without a camera. bitrate is in bit/s.
func NewSender(bitrate int, log *slog.Logger) *Sender {
	return &Sender{log: log, bitrate: bitrate, channels: make(map[Codec]*channel)}
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
		select {
		case ch.changed <- struct{}{}:
		default:
		}
	}
}

// Selected is the camera, and whether its picture is sent.
func (s *Sender) Selected() (*Camera, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.camera, s.on
}

// Follow has f get each picture in a codec, from a goroutine of the sender's; it
// must not block. A key frame comes at once, or within 500 ms of the one before it. A
// call of f may still be under way when stop returns.
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
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(ch.followers, id)
		if len(ch.followers) == 0 && s.channels[c] == ch {
			delete(s.channels, c)
			ch.stop()
		}
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

// run encodes until ctx is over, whatever camera is chosen.
func (ch *channel) run(ctx context.Context) {
	var enc *encoder
	defer func() { ch.close(enc) }()
	for ctx.Err() == nil {
		if camera, on := ch.sender.Selected(); camera != nil && on {
			enc = ch.use(ctx, camera, enc)
			continue
		}
		ch.close(enc)
		enc = nil
		select {
		case <-ch.changed:
		case <-ctx.Done():
		}
	}
}

// use encodes the pictures of one camera until another is chosen, and returns the
// encoder, which the next one may fit.
func (ch *channel) use(ctx context.Context, camera *Camera, enc *encoder) *encoder {
	slot := ch.watch(camera)
	defer slot.Close()
	for {
		select {
		case <-ctx.Done():
			return enc
		case <-ch.changed:
			if c, on := ch.sender.Selected(); c != camera || !on {
				return enc
			}
			continue
		case <-slot.ready:
		}
		f := slot.take()
		if f == nil {
			continue
		}
		if f.Unit != nil {
			ch.close(enc) // it would go on from a picture that nobody has
			enc = nil
			ch.pass(camera, f)
			f.Release()
			continue
		}
		var err error
		enc, err = ch.fit(enc, Format{f.Image.Rect.Dx(), f.Image.Rect.Dy(), camera.grantedRate()})
		if err == nil {
			err = ch.frame(enc, f)
		}
		f.Release()
		if err != nil {
			ch.sender.log.Error("a picture could not be encoded", "codec", ch.codec, "err", err)
			ch.close(enc)
			enc = nil
			select { // not again at once
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
}

// fit gives the encoder that a picture needs: enc, or a new one in its place.
func (ch *channel) fit(enc *encoder, want Format) (*encoder, error) {
	if enc != nil && enc.format == want {
		return enc, nil
	}
	ch.close(enc)
	return newEncoder(ch.codec, want, ch.sender.bitrate)
}

// close frees an encoder; nil is none.
func (ch *channel) close(enc *encoder) {
	if enc == nil {
		return
	}
	if err := enc.close(); err != nil {
		ch.sender.log.Warn("an encoder could not be closed", "codec", ch.codec, "err", err)
	}
}

// frame encodes a picture and hands it out.
func (ch *channel) frame(enc *encoder, f *Frame) error {
	s := ch.sender
	s.mu.Lock()
	now := time.Now()
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
	// A pause of the camera, or of the wish to show it, is one of the stream too.
	since := time.Duration(float64(time.Second) / max(1, enc.format.Rate))
	if !ch.last.IsZero() {
		since = max(f.At.Sub(ch.last), time.Millisecond)
	}
	ch.last = f.At
	s.mu.Lock()
	if key {
		ch.wantKey, ch.lastKey = false, now
	}
	to := slices.Collect(maps.Values(ch.followers))
	s.mu.Unlock()
	for _, follower := range to {
		follower(AccessUnit{Data: data, At: f.At, Since: since, Key: key})
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
// it if nothing else uses it. Errors: ErrNoCamera, why the camera failed, ctx's.
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
		return nil, fmt.Errorf("make a JPEG: %w", err)
	}
	return b.Bytes(), nil
}
