package sound

// #include <stdlib.h>
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unsafe"

	"github.com/gen2brain/malgo"
)

// Cards are the machine's sound devices, by way of ALSA. The library is loaded when
// it is first needed: a machine without it has no sound, and all else works.
type Cards struct {
	mu  sync.Mutex
	ctx *malgo.AllocatedContext
}

// ErrNoSound is in the chain of errors on a machine that has no sound at all.
var ErrNoSound = errors.New("no sound on this machine")

// context is called with mu held.
func (c *Cards) context() (*malgo.AllocatedContext, error) {
	if c.ctx != nil {
		return c.ctx, nil
	}
	ctx, err := malgo.InitContext([]malgo.Backend{malgo.BackendAlsa}, malgo.ContextConfig{}, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: ALSA cannot be used (is libasound2 installed?): %w", ErrNoSound, err)
	}
	c.ctx = ctx
	return ctx, nil
}

// Close frees the library. No device may be open.
func (c *Cards) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx != nil {
		_ = c.ctx.Uninit() // there is nothing to do about it
		c.ctx.Free()
		c.ctx = nil
	}
}

// Info is a device that was found.
type Info struct {
	ID       string // of ALSA: ":1,0" is device 0 of card 1 by whatever plugin suits
	Name     string
	Playback bool
	Formats  []string
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
	var out []Info
	for _, kind := range []malgo.DeviceType{malgo.Capture, malgo.Playback} {
		found, err := ctx.Devices(kind)
		if err != nil {
			return nil, fmt.Errorf("list the sound devices: %w", err)
		}
		for _, d := range found[:min(len(found), maxDevices)] {
			i := Info{ID: idText(d.ID), Name: d.Name(), Playback: kind == malgo.Playback}
			if i.ID == "null" {
				continue // ALSA's, which is no device
			}
			if full, err := ctx.DeviceInfo(kind, d.ID, malgo.Shared); err == nil {
				i.Formats = formatsText(full.Formats)
			}
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

var formatNames = map[malgo.FormatType]string{
	malgo.FormatU8: "U8", malgo.FormatS16: "S16", malgo.FormatS24: "S24", malgo.FormatS32: "S32", malgo.FormatF32: "F32",
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

// systemDefault is the device that ALSA's own configuration chooses.
const systemDefault = "default"

// means tells whether a device is the one that a configuration calls want: by its id,
// or by how its name begins.
func means(want, id, name string) bool {
	return want != "" && (id == want || strings.HasPrefix(strings.ToLower(name), strings.ToLower(want)))
}

// IDOf is the id of the device among those found that a configuration means by want,
// which may also name a plugin for it, as plughw:1,0 does. One that was not found goes
// by its own name.
func IDOf(found []Info, playback bool, want string) string {
	for _, i := range found {
		card := strings.HasPrefix(i.ID, ":") && (want == "hw"+i.ID || want == "plughw"+i.ID)
		if i.Playback == playback && (card || means(want, i.ID, i.Name)) {
			return i.ID
		}
	}
	return want
}

// find gives the id of a device by its id or the start of its name; nil is the
// default one. Called with mu held.
func (c *Cards) find(ctx *malgo.AllocatedContext, kind malgo.DeviceType, want string) (*malgo.DeviceID, error) {
	if want == systemDefault {
		return nil, nil
	}
	found, err := ctx.Devices(kind)
	if err != nil {
		return nil, fmt.Errorf("list the sound devices: %w", err)
	}
	for i, d := range found {
		if means(want, idText(d.ID), d.Name()) {
			return &found[i].ID, nil
		}
	}
	// ALSA knows more names than it lists: those of asoundrc files among them.
	var id malgo.DeviceID
	if len(want) >= len(id) {
		return nil, fmt.Errorf("there is no sound device %.64s…", want)
	}
	copy(id[:], want)
	return &id, nil
}

// Microphone is a capture device by its ALSA id, the start of its name, or
// "default".
func (c *Cards) Microphone(name string) CaptureDevice { return &card{cards: c, name: name} }

// Speaker is a playback device likewise.
func (c *Cards) Speaker(name string) PlaybackDevice { return &playback{card{cards: c, name: name}} }

type card struct {
	cards *Cards
	name  string
}

type playback struct{ card }

func (d *card) Name() string { return d.name }

func (d *card) Open(get func(pcm []int16), stopped func(error)) (Stream, error) {
	return d.open(malgo.Capture, func(_, in []byte) { get(samples(in)) }, stopped)
}

func (d *playback) Open(fill func(pcm []int16), stopped func(error)) (Stream, error) {
	return d.open(malgo.Playback, func(out, _ []byte) { fill(samples(out)) }, stopped)
}

// samples looks at a driver's bytes as 16 bit samples: both are in the machine's
// order, and the driver's buffers are aligned.
func samples(b []byte) []int16 {
	if len(b) < 2 {
		return nil
	}
	return unsafe.Slice((*int16)(unsafe.Pointer(&b[0])), len(b)/2)
}

func (d *card) open(kind malgo.DeviceType, data func(out, in []byte), stopped func(error)) (Stream, error) {
	d.cards.mu.Lock()
	defer d.cards.mu.Unlock()
	ctx, err := d.cards.context()
	if err != nil {
		return nil, err
	}
	id, err := d.cards.find(ctx, kind, d.name)
	if err != nil {
		return nil, err
	}
	cfg := malgo.DefaultDeviceConfig(kind)
	cfg.SampleRate, cfg.PeriodSizeInMilliseconds, cfg.Periods = Rate, 10, 3
	cfg.PerformanceProfile = malgo.LowLatency
	for _, sub := range []*malgo.SubConfig{&cfg.Capture, &cfg.Playback} {
		sub.Format, sub.Channels = malgo.FormatS16, 1
	}
	if id != nil {
		p := id.Pointer() // C's memory, and ours to free
		defer C.free(p)
		cfg.Capture.DeviceID, cfg.Playback.DeviceID = p, p
	}
	s := &stream{}
	dev, err := malgo.InitDevice(ctx.Context, cfg, malgo.DeviceCallbacks{
		Data: func(out, in []byte, _ uint32) { data(out, in) },
		Stop: func() {
			if !s.isClosing() {
				stopped(fmt.Errorf("the sound device %s has stopped", d.name))
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("%s cannot be used: %w", d.name, err)
	}
	s.dev = dev
	if err := dev.Start(); err != nil {
		s.setClosing()
		dev.Uninit()
		return nil, fmt.Errorf("%s cannot be started: %w", d.name, err)
	}
	return s, nil
}

type stream struct {
	mu      sync.Mutex
	closing bool
	dev     *malgo.Device
}

func (s *stream) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

func (s *stream) setClosing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
}

// Close ends the device. Its callbacks are over when it returns.
func (s *stream) Close() {
	s.setClosing()
	s.dev.Uninit()
}
