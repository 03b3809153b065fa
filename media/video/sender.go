package video

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
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
	bitrate int       // what may be taken
	last    time.Time // of the capture of what was handed out last

	// Of the goroutine that encodes.
	steering steering
	thinning thinning
	scaler   scaler

	stats atomic.Pointer[Stats]
	count Stats // of the goroutine that encodes, to be put there
}

// Stats tells what becomes of the pictures in a codec.
type Stats struct {
	Width, Height int     // pixels, as they are sent
	Rate          float64 // pictures a second that are meant to be sent
	Bitrate       int     // that the encoder is told, bit/s
	Captured      uint64  // pictures that the camera gave to be encoded
	Encoded       uint64  // that were sent
	Keys          uint64  // of these, those that need none before them
	LeftOut       uint64  // to keep to a bitrate: by the choice of a lower rate, or by the encoder
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
		bitrate: s.bitrate,
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

// SetBitrate tells what the pictures in a codec may take, in bit/s, until nobody
// follows it any more. What is encoded is lowered to it at once, first in detail,
// then in rate and size; it never is more than what the sender was made with.
func (s *Sender) SetBitrate(c Codec, bitrate int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.channels[c]; ch != nil {
		ch.bitrate = min(bitrate, s.bitrate)
	}
}

// Stats of a codec; false: nobody follows it.
func (s *Sender) Stats(c Codec) (Stats, bool) {
	s.mu.Lock()
	ch := s.channels[c]
	s.mu.Unlock()
	if ch == nil {
		return Stats{}, false
	}
	if st := ch.stats.Load(); st != nil {
		return *st, true
	}
	return Stats{}, true
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
		ch.wish(camera)
		if f.Unit != nil {
			ch.close(enc) // it would go on from a picture that nobody has
			enc = nil
			ch.pass(camera, f)
			f.Release()
			continue
		}
		var err error
		enc, err = ch.picture(enc, f, camera.grantedRate())
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

// picture encodes a picture as the bitrate allows, or leaves it out. It returns the
// encoder that it has used.
func (ch *channel) picture(enc *encoder, f *Frame, rate float64) (*encoder, error) {
	s := ch.sender
	s.mu.Lock()
	bitrate, key := ch.bitrate, ch.wantKey
	s.mu.Unlock()
	full := Format{f.Image.Rect.Dx(), f.Image.Rect.Dy(), max(rate, 1)}
	p := ch.steering.plan(full, bitrate, time.Now())
	ch.count.Captured++
	ch.count.Rate, ch.count.Bitrate = p.rate, p.bitrate
	defer func() { st := ch.count; ch.stats.Store(&st) }()
	if part := p.rate / full.Rate; !ch.thinning.take(part) && !key {
		ch.count.LeftOut++
		return enc, nil
	}
	img := ch.scaler.scale(f.Image, p.num, p.den)
	enc, err := ch.fit(enc, Format{img.Rect.Dx(), img.Rect.Dy(), full.Rate}, p)
	if err != nil {
		return enc, err
	}
	ch.count.Width, ch.count.Height = img.Rect.Dx(), img.Rect.Dy()
	return enc, ch.frame(enc, img, f.At)
}

// fit gives the encoder that a picture needs, at the bitrate of a plan: enc, or a new
// one in its place.
func (ch *channel) fit(enc *encoder, want Format, p plan) (*encoder, error) {
	share := p.rate / want.Rate
	if enc != nil && enc.format == want {
		return enc, enc.codec.keepTo(p.bitrate, share)
	}
	ch.close(enc)
	return newEncoder(ch.codec, want, p.bitrate, share)
}

// close frees an encoder; nil is none.
func (ch *channel) close(enc *encoder) {
	if enc == nil {
		return
	}
	if err := enc.codec.close(); err != nil {
		ch.sender.log.Warn("an encoder could not be closed", "codec", ch.codec, "err", err)
	}
}

// frame encodes a picture and hands it out.
func (ch *channel) frame(enc *encoder, img *image.YCbCr, at time.Time) error {
	s := ch.sender
	s.mu.Lock()
	now := time.Now()
	force := ch.wantKey && now.Sub(ch.lastKey) >= keyframeEvery
	if force {
		ch.wantKey, ch.lastKey = false, now
	}
	s.mu.Unlock()
	data, key, err := enc.encode(img, at, force)
	if err != nil || len(data) == 0 {
		ch.count.LeftOut++
		if force {
			ch.again()
		}
		return err
	}
	// A pause of the camera, or of the wish to show it, is one of the stream too.
	since := time.Duration(float64(time.Second) / max(1, enc.format.Rate))
	if !ch.last.IsZero() {
		since = max(at.Sub(ch.last), time.Millisecond)
	}
	ch.last = at
	ch.count.Encoded++
	if key {
		ch.count.Keys++
	}
	s.mu.Lock()
	if key {
		ch.wantKey, ch.lastKey = false, now
	}
	to := slices.Collect(maps.Values(ch.followers))
	s.mu.Unlock()
	for _, follower := range to {
		follower(AccessUnit{Data: data, At: at, Since: since, Key: key})
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
