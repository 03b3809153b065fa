package sound

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/mediadevices/pkg/codec"
	"github.com/pion/mediadevices/pkg/codec/opus"
	"github.com/pion/mediadevices/pkg/io/audio"
	"github.com/pion/mediadevices/pkg/prop"
	"github.com/pion/mediadevices/pkg/wave"

	"github.com/herald-im/herald/media/owner"
)

// voiceBitrate is Opus's for speech, in bit/s.
const voiceBitrate = 32_000

// Packet is one Opus packet.
type Packet struct {
	Data     []byte
	Duration time.Duration
}

// Microphone is the owner of a capture device: it is open while somebody follows.
// What it hears is encoded once for all. While it is muted it sends silence, so
// that the other side can tell it from a connection that is lost, and so that it is
// heard again at once.
type Microphone struct {
	*owner.Owner
	device CaptureDevice // nil: none
	muted  atomic.Bool
	level  atomic.Int32

	mu        sync.Mutex
	followers map[int]func(Packet)
	next      int
}

// ErrNoMicrophone is returned where sound is wanted and no microphone is configured.
var ErrNoMicrophone = errors.New("no microphone is configured")

// NewMicrophone makes the owner of a device; nil is no device.
func NewMicrophone(device CaptureDevice, log *slog.Logger) *Microphone {
	m := &Microphone{device: device, followers: make(map[int]func(Packet))}
	m.Owner = owner.New("microphone", log, func(t *owner.Turn) {
		if device == nil {
			t.Missing(ErrNoMicrophone)
			return
		}
		t.Keep(func(running func(...any)) error { return m.capture(t.Over(), running) })
	})
	return m
}

// SetMute silences it, or lets it be heard again.
func (m *Microphone) SetMute(muted bool) { m.muted.Store(muted) }

// Level is how loud it is, 0 to 100; 0 while it is muted or does not run.
func (m *Microphone) Level() int { return int(m.level.Load()) }

// Follow has f get each packet, from a goroutine of the microphone's; it must not
// block. A call of f may still be under way when stop returns.
func (m *Microphone) Follow(f func(Packet)) (stop func()) {
	release := m.Hold()
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.next
	m.next++
	m.followers[id] = f
	return func() {
		m.mu.Lock()
		delete(m.followers, id)
		m.mu.Unlock()
		release()
	}
}

// capture opens the device and encodes what it hears until it fails or over is closed.
func (m *Microphone) capture(over <-chan struct{}, running func(...any)) error {
	frame := wave.NewInt16Interleaved(wave.ChunkInfo{Len: frameSamples, Channels: 1, SamplingRate: Rate})
	enc, err := newEncoder(frame)
	if err != nil {
		return err
	}
	defer func() { _ = enc.Close() }() // it frees memory and cannot fail
	heard, silent := newRing(10*frameSamples), make(chan struct{})
	var encoding sync.WaitGroup
	defer func() {
		close(silent)
		encoding.Wait()
		m.level.Store(0)
	}()
	var calls atomic.Uint64
	err = hold(over, silentTime, &calls, func() { running("device", m.device.Name()) }, func(stopped func(error)) (Stream, error) {
		encoding.Go(func() {
			if err := m.encode(enc, frame, heard, silent); err != nil {
				stopped(err)
			}
		})
		return m.device.Open(func(pcm []int16) {
			calls.Add(1)
			heard.write(pcm)
			heard.signal()
		}, stopped)
	})
	if err != nil {
		return fmt.Errorf("the microphone %s: %w", m.device.Name(), err)
	}
	return nil
}

// encode encodes what was heard, by way of frame, until stop is closed.
func (m *Microphone) encode(enc codec.ReadCloser, frame *wave.Int16Interleaved, heard *ring, stop <-chan struct{}) error {
	for {
		if !heard.read(frame.Data) {
			select {
			case <-heard.moved:
			case <-stop:
				return nil
			}
			continue
		}
		if m.muted.Load() {
			clear(frame.Data)
		}
		m.level.Store(int32(level(frame.Data)))
		data, release, err := enc.Read()
		if err != nil {
			return fmt.Errorf("encode in Opus: %w", err)
		}
		release()
		m.hand(Packet{Data: data, Duration: FrameTime})
	}
}

func (m *Microphone) hand(p Packet) {
	m.mu.Lock()
	to := slices.Collect(maps.Values(m.followers))
	m.mu.Unlock()
	for _, f := range to {
		f(p)
	}
}

// newEncoder makes an encoder of what frame holds at each Read.
func newEncoder(frame wave.Audio) (codec.ReadCloser, error) {
	p, err := opus.NewParams()
	if err != nil {
		return nil, fmt.Errorf("set the Opus encoder up: %w", err)
	}
	p.BitRate = voiceBitrate
	p.Latency = opus.Latency20ms
	enc, err := p.BuildAudioEncoder(
		audio.ReaderFunc(func() (wave.Audio, func(), error) { return frame, func() {}, nil }),
		prop.Media{Audio: prop.Audio{SampleRate: Rate, ChannelCount: 1}},
	)
	if err != nil {
		return nil, fmt.Errorf("make the Opus encoder: %w", err)
	}
	return enc, nil
}
