package sound

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/mediadevices/pkg/codec"
	"github.com/pion/mediadevices/pkg/codec/opus"
	"github.com/pion/mediadevices/pkg/io/audio"
	"github.com/pion/mediadevices/pkg/prop"
	"github.com/pion/mediadevices/pkg/wave"
)

// voiceBitrate is Opus's for speech, in bit/s.
const voiceBitrate = 32_000

// Packet is one Opus packet.
type Packet struct {
	Data     []byte
	At       time.Time // of the capture
	Duration time.Duration
}

// Microphone is the owner of a capture device: it is open while somebody follows.
// What it hears is encoded once for all. While it is muted it sends silence, so
// that the other side can tell it from a connection that is lost, and so that it is
// heard again at once.
type Microphone struct {
	owner
	device CaptureDevice
	muted  atomic.Bool
	level  atomic.Int32

	users     sync.Mutex
	followers map[int]func(Packet)
	next      int
	stop      chan struct{}
	ended     chan struct{}
}

// ErrNoMicrophone is returned where sound is wanted and no microphone is configured.
var ErrNoMicrophone = errors.New("no microphone is configured")

// NewMicrophone makes the owner of a device; nil is no device.
func NewMicrophone(device CaptureDevice, log *slog.Logger) *Microphone {
	m := &Microphone{device: device, followers: make(map[int]func(Packet)), ended: make(chan struct{})}
	close(m.ended)
	m.owner = begin(log)
	if device != nil {
		m.name = device.Name()
	}
	return m
}

// SetMute silences it, or lets it be heard again.
func (m *Microphone) SetMute(muted bool) { m.muted.Store(muted) }

// Level is how loud it is, 0 to 100; 0 while it is muted or closed.
func (m *Microphone) Level() int { return int(m.level.Load()) }

// Follow has f get each packet, from a goroutine of the microphone's; it must not
// block. stop ends it.
func (m *Microphone) Follow(f func(Packet)) (stop func()) {
	m.users.Lock()
	defer m.users.Unlock()
	id := m.next
	m.next++
	m.followers[id] = f
	if len(m.followers) == 1 {
		m.open()
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			m.users.Lock()
			defer m.users.Unlock()
			delete(m.followers, id)
			if len(m.followers) == 0 {
				close(m.stop)
				m.set(Closed, nil)
				m.level.Store(0)
			}
		})
	}
}

// Drain waits until nothing of it is left, once nobody follows.
func (m *Microphone) Drain() {
	m.users.Lock()
	ended := m.ended
	m.users.Unlock()
	<-ended
}

// open is called with users held.
func (m *Microphone) open() {
	before, stop, ended := m.ended, make(chan struct{}), make(chan struct{})
	m.stop, m.ended = stop, ended
	m.set(Opening, nil)
	go func() {
		defer close(ended)
		<-before
		if m.device == nil {
			m.set(Failed, ErrNoMicrophone)
			<-stop
			m.set(Closed, nil)
			return
		}
		heard := newRing(10 * frameSamples)
		var encoding sync.WaitGroup
		encoding.Go(func() { m.encode(heard, stop) })
		m.keep(stop, func(stopped func(error)) (Stream, error) {
			s, err := m.device.Open(heard.write, stopped)
			if err != nil {
				return nil, fmt.Errorf("open the microphone %s: %w", m.name, err)
			}
			return s, nil
		}, nil)
		encoding.Wait()
		m.users.Lock()
		if m.stop == stop {
			m.set(Closed, nil)
		}
		m.users.Unlock()
	}()
}

// encode encodes what was heard until stop is closed.
func (m *Microphone) encode(heard *ring, stop <-chan struct{}) {
	frame := wave.NewInt16Interleaved(wave.ChunkInfo{Len: frameSamples, Channels: 1, SamplingRate: Rate})
	enc, err := newEncoder(func() (wave.Audio, error) { return frame, nil })
	if err != nil {
		m.set(Failed, err)
		<-stop
		return
	}
	defer func() { _ = enc.Close() }() // it frees memory and cannot fail
	for {
		if !heard.read(frame.Data) {
			select {
			case <-heard.moved:
			case <-stop:
				return
			}
			continue
		}
		if m.muted.Load() {
			clear(frame.Data)
		}
		m.level.Store(int32(level(frame.Data)))
		data, release, err := enc.Read()
		if err != nil {
			m.log.Error("sound could not be encoded", "err", err)
			continue
		}
		release()
		m.hand(Packet{Data: data, At: time.Now(), Duration: FrameTime})
	}
}

func (m *Microphone) hand(p Packet) {
	m.users.Lock()
	to := make([]func(Packet), 0, 8)
	for _, f := range m.followers {
		to = append(to, f)
	}
	m.users.Unlock()
	for _, f := range to {
		f(p)
	}
}

func newEncoder(next func() (wave.Audio, error)) (codec.ReadCloser, error) {
	p, err := opus.NewParams()
	if err != nil {
		return nil, fmt.Errorf("set the Opus encoder up: %w", err)
	}
	p.BitRate = voiceBitrate
	p.Latency = opus.Latency20ms
	enc, err := p.BuildAudioEncoder(
		audio.ReaderFunc(func() (wave.Audio, func(), error) {
			a, err := next()
			if err != nil {
				return nil, func() {}, io.EOF
			}
			return a, func() {}, nil
		}),
		prop.Media{Audio: prop.Audio{SampleRate: Rate, ChannelCount: 1}},
	)
	if err != nil {
		return nil, fmt.Errorf("make the Opus encoder: %w", err)
	}
	return enc, nil
}
