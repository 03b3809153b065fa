package sound

// #include <stdlib.h>
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gen2brain/malgo"
	"github.com/herald-im/herald/media/owner"
)

// Cards are the machine's sound devices, by way of ALSA. The library is loaded when
// it is first needed: a machine without it has no sound, and all else works.
type Cards struct {
	mu       sync.Mutex
	ctx      *malgo.AllocatedContext
	overruns atomic.Uint64 // of all that capture
	listener listener
}

// ErrNoSound is in the chain of errors on a machine that has no sound at all.
var ErrNoSound = errors.New("no sound on this machine")

// errStopped is ALSA ending what is open.
var errStopped = errors.New("it has stopped")

// context is called with mu held.
func (c *Cards) context() (*malgo.AllocatedContext, error) {
	if c.ctx != nil {
		return c.ctx, nil
	}
	ctx, err := malgo.InitContext([]malgo.Backend{malgo.BackendAlsa}, malgo.ContextConfig{}, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: ALSA cannot be used (is libasound2 installed?): %w", ErrNoSound, err)
	}
	ctx.SetLogProc(func(message string) {
		switch {
		case strings.HasPrefix(message, saysOverrun):
			c.overruns.Add(1)
		case strings.HasPrefix(message, saysGone):
			c.listener.gone()
		}
	})
	c.ctx = ctx
	return ctx, nil
}

// Close frees the library. No device may be open.
func (c *Cards) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx != nil {
		c.ctx.SetLogProc(nil)
		_ = c.ctx.Uninit() // there is nothing to do about it
		c.ctx.Free()
		c.ctx = nil
	}
}

// maxDevices bounds what is listed.
const maxDevices = 64

// List finds the machine's devices.
func (c *Cards) List() ([]Info, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, err := c.context()
	if err != nil {
		return nil, err
	}
	out, err := list(ctx)
	if err != nil {
		return nil, err
	}
	for k, i := range out {
		var id malgo.DeviceID
		copy(id[:], i.number)
		// miniaudio tells of the cards as they are shared (dmix, dsnoop); what is granted
		// shows when one is open.
		if full, err := ctx.DeviceInfo(kind(i.Playback), id, malgo.Shared); err == nil {
			out[k].Formats = formatsText(full.Formats)
		}
	}
	return out, nil
}

func kind(playback bool) malgo.DeviceType {
	if playback {
		return malgo.Playback
	}
	return malgo.Capture
}

// list finds the devices without asking what they can.
func list(ctx *malgo.AllocatedContext) (out []Info, err error) {
	ids := readCardIDs()
	for _, playback := range []bool{false, true} {
		found, err := ctx.Devices(kind(playback))
		if err != nil {
			return nil, fmt.Errorf("list the sound devices: %w", err)
		}
		for _, d := range found[:min(len(found), maxDevices)] {
			i := Info{Name: d.Name(), Playback: playback, number: idText(d.ID)}
			if i.number == "null" {
				continue // ALSA's, which is no device
			}
			i.ID = plainID(i.number, ids)
			out = append(out, i)
		}
	}
	return out, nil
}

func idText(id malgo.DeviceID) string {
	b := id[:]
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// formatsText sums up formats, of which a device may have hundreds: each sample
// format once, with its rates and channels.
func formatsText(list []malgo.DataFormat) (out []string) {
	type span struct{ lowRate, highRate, lowChannels, highChannels uint32 }
	spans := make(map[string]span)
	for _, f := range list {
		name := formatNames[f.Format]
		if name == "" {
			name = "any"
		}
		s, seen := spans[name]
		if !seen {
			out = append(out, name)
			s = span{f.SampleRate, f.SampleRate, f.Channels, f.Channels}
		}
		s.lowRate, s.highRate = min(s.lowRate, f.SampleRate), max(s.highRate, f.SampleRate)
		s.lowChannels, s.highChannels = min(s.lowChannels, f.Channels), max(s.highChannels, f.Channels)
		spans[name] = s
	}
	for i, name := range out {
		s := spans[name]
		out[i] += between(s.lowRate, s.highRate, "Hz") + between(s.lowChannels, s.highChannels, "channels")
	}
	return out
}

func between(low, high uint32, unit string) string {
	switch {
	case high == 0:
		return ""
	case low == high:
		return fmt.Sprintf(" %d %s", low, unit)
	}
	return fmt.Sprintf(" %d–%d %s", low, high, unit)
}

// Microphone is a capture device by its card's id ("Loud"), as ALSA names it
// ("plughw:Loud,0"), by the start of its name, or "default".
func (c *Cards) Microphone(name string) CaptureDevice { return &card{cards: c, name: name} }

// Speaker is a playback device likewise.
func (c *Cards) Speaker(name string) PlaybackDevice { return &playback{card{cards: c, name: name}} }

type card struct {
	cards *Cards
	name  string
}

type playback struct{ card }

func (d *card) Name() string { return d.name }

// Open opens what the card really has; sound is brought to 48 kHz, mono, here.
func (d *card) Open(get func(pcm []int16), stopped func(error)) (Stream, error) {
	s := &stream{listener: &d.cards.listener, stopped: stopped, overruns: &d.cards.overruns}
	var in *intake
	return d.open(s, false, func(sh shape) { in = newIntake(sh) }, func(_, b []byte) { get(in.take(b)) })
}

// Open likewise.
func (d *playback) Open(fill func(pcm []int16), stopped func(error)) (Stream, error) {
	s := &stream{listener: &d.cards.listener, stopped: stopped}
	var out *outlet
	return d.open(s, true, func(sh shape) { out = newOutlet(sh) }, func(b, _ []byte) {
		s.watch(len(b) / out.frame())
		out.fill(b, fill)
	})
}

// The buffer that a card is asked for.
const (
	periodTime = 10 // ms
	periods    = 3
)

func (d *card) open(s *stream, playback bool, shaped func(shape), data func(out, in []byte)) (Stream, error) {
	d.cards.mu.Lock()
	defer d.cards.mu.Unlock()
	ctx, err := d.cards.context()
	if err != nil {
		return nil, err
	}
	names, err := d.names(ctx, playback)
	if err != nil {
		return nil, err
	}
	cfg := malgo.DefaultDeviceConfig(kind(playback))
	// Neither format, rate nor channels: what the card has.
	cfg.SampleRate, cfg.PeriodSizeInMilliseconds, cfg.Periods = 0, periodTime, periods
	cfg.PerformanceProfile = malgo.LowLatency
	for _, sub := range []*malgo.SubConfig{&cfg.Capture, &cfg.Playback} {
		sub.Format, sub.Channels = malgo.FormatUnknown, 0
	}
	calls := malgo.DeviceCallbacks{
		Data: func(out, in []byte, frames uint32) {
			s.frames.Add(uint64(frames))
			s.called.Store(time.Now().UnixNano())
			data(out, in)
		},
		Stop: func() { s.fail(errStopped) },
	}
	for _, name := range names {
		var failed error
		before := eventFDs()
		if s.dev, failed = initDevice(ctx, cfg, name, calls); failed == nil {
			err = nil
			s.wakers = slices.DeleteFunc(eventFDs(), func(fd int) bool { return slices.Contains(before, fd) })
			break
		}
		if err == nil || !strings.HasPrefix(name, "plughw:") { // which says least of why
			err = fmt.Errorf("it cannot be used: %w", owner.Advised(failed, advice))
		}
	}
	if err != nil {
		return nil, err
	}
	s.shape = shape{s.dev.CaptureFormat(), int(s.dev.CaptureChannels()), int(s.dev.SampleRate())}
	if playback {
		s.shape.format, s.shape.channels = s.dev.PlaybackFormat(), int(s.dev.PlaybackChannels())
	}
	if s.frame() == 0 || s.rate < 4000 || s.rate > 768000 {
		s.Close()
		return nil, fmt.Errorf("it cannot be used: %d Hz, %d channels of %s", s.rate, s.channels, formatNames[s.format])
	}
	shaped(s.shape)
	s.called.Store(time.Now().UnixNano())
	s.listener.add(s)
	if s.overruns != nil {
		s.before = s.overruns.Load()
	}
	if err := s.dev.Start(); err != nil {
		s.Close()
		return nil, fmt.Errorf("it cannot be started: %w", err)
	}
	return s, nil
}

// names are what ALSA may know the card by, the best first.
func (d *card) names(ctx *malgo.AllocatedContext, playback bool) ([]string, error) {
	var found []Info
	if i, ok := byCard(readCardIDs(), playback, d.name); ok {
		found = []Info{i}
	} else if !known(d.name) {
		var err error
		if found, err = list(ctx); err != nil {
			return nil, err
		}
	}
	return openable(found, playback, d.name), nil
}

func initDevice(ctx *malgo.AllocatedContext, cfg malgo.DeviceConfig, name string, calls malgo.DeviceCallbacks) (*malgo.Device, error) {
	if name != systemDefault {
		var id malgo.DeviceID
		if len(name) >= len(id) {
			return nil, fmt.Errorf("there is no sound device %.64s…", name)
		}
		copy(id[:], name)
		p := id.Pointer() // C's memory, and ours to free
		defer C.free(p)
		cfg.Capture.DeviceID, cfg.Playback.DeviceID = p, p
	}
	return malgo.InitDevice(ctx.Context, cfg, calls)
}

// advice is what can be done about ALSA's word.
var advice = map[malgo.Result]string{
	malgo.ErrBusy:         "another program uses it",
	malgo.ErrAccessDenied: "who may is the group of the device, often audio",
	malgo.ErrDoesNotExist: owner.NotThere,
	malgo.ErrNoDevice:     owner.NotThere,
}

// stream is a card that is open.
type stream struct {
	shape
	stopped  func(error)
	listener *listener
	wakers   []int // files that its thread is woken by
	dev      *malgo.Device
	called   atomic.Int64 // when it called back last, ns
	frames   atomic.Uint64
	overruns *atomic.Uint64 // nil: it plays
	before   uint64         // overruns when it was opened
	runs     atomic.Uint64  // times that it had nothing to play
	last     time.Time      // of its last callback; the driver's thread's

	mu    sync.Mutex
	ended bool
}

// watch notices when the card had nothing left to play: miniaudio lets it play on and
// says nothing. n frames are wanted of what is periods times as much.
func (s *stream) watch(n int) {
	now := time.Now()
	holds := time.Duration(max(n*periods, s.rate*periodTime*periods/1000)) * time.Second / time.Duration(s.rate)
	if !s.last.IsZero() && now.Sub(s.last) > holds {
		s.runs.Add(1)
	}
	s.last = now
}

// Granted says what the card gives, and how it went.
func (s *stream) Granted() DeviceStats {
	g := DeviceStats{
		Rate: s.rate, Channels: s.channels, Format: formatNames[s.format],
		Frames: s.frames.Load(), Xruns: s.runs.Load(),
	}
	if s.overruns != nil {
		g.Xruns = s.overruns.Load() - s.before
	}
	return g
}

// idle is how long it has not called back.
func (s *stream) idle() time.Duration { return time.Duration(time.Now().UnixNano() - s.called.Load()) }

// fail says that it has ended by itself, once.
func (s *stream) fail(err error) {
	s.mu.Lock()
	ended := s.ended
	s.ended = true
	s.mu.Unlock()
	if !ended {
		s.stopped(err)
	}
}

// Close ends the device. Its callbacks are over when it returns.
func (s *stream) Close() {
	s.mu.Lock()
	s.ended = true // what its callbacks say is no news
	s.mu.Unlock()
	s.listener.remove(s)
	if s.idle() > goneTime {
		wake(s.wakers)
	}
	s.dev.Uninit()
}
