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

	"github.com/herald-im/herald/media/owner"
)

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
	loss   atomic.Int32
	frames atomic.Uint64
	grants grants

	mu        sync.Mutex
	followers map[int]func(Packet)
	next      int
	echo      *echo // nil: none
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

// SetLoss tells how many percent of the packets are lost on their way to whoever
// hears them worst: the more, the more is sent for what is lost.
func (m *Microphone) SetLoss(percent int) { m.loss.Store(int32(min(100, max(0, percent)))) }

// SetEcho says what is done about the echo of what was played. It holds from the
// next opening of the device on. Errors: ErrNoCanceller; an unknown mode.
func (m *Microphone) SetEcho(played *Played, o EchoOptions) error {
	e, err := newEcho(played, o)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.echo = e
	return nil
}

// EchoStats tells how well the echo is cancelled.
func (m *Microphone) EchoStats() EchoStats {
	m.mu.Lock()
	e := m.echo
	m.mu.Unlock()
	return e.stats()
}

// Device tells what its device gives.
func (m *Microphone) Device() DeviceStats { return m.grants.stats() }

// Encoded is how many packets were made.
func (m *Microphone) Encoded() uint64 { return m.frames.Load() }

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
	enc, err := newEncoder()
	if err != nil {
		return err
	}
	defer enc.close()
	m.mu.Lock()
	echo := m.echo
	m.mu.Unlock()
	if err := echo.begin(); err != nil {
		return err
	}
	defer echo.end()
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
			if err := m.encode(enc, echo, heard, silent); err != nil {
				stopped(err)
			}
		})
		return m.grants.note(m.device.Open(func(pcm []int16) {
			calls.Add(1)
			heard.write(pcm)
			echo.captured(len(pcm))
			heard.signal()
		}, stopped))
	})
	if err != nil {
		return fmt.Errorf("the microphone %s: %w", m.device.Name(), err)
	}
	return nil
}

// encode encodes what was heard until stop is closed.
func (m *Microphone) encode(enc *encoder, echo *echo, heard *ring, stop <-chan struct{}) error {
	frame := make([]int16, frameSamples)
	for {
		index, ok := heard.read(frame)
		if !ok {
			select {
			case <-heard.moved:
			case <-stop:
				return nil
			}
			continue
		}
		for k := 0; k < frameSamples; k += blockSamples {
			echo.clean(index+int64(k), frame[k:k+blockSamples]) // muted, too, so that it knows the room
		}
		if m.muted.Load() {
			clear(frame)
		}
		m.level.Store(int32(level(frame)))
		if err := enc.expect(int(m.loss.Load())); err != nil {
			return err
		}
		data, err := enc.encode(frame)
		if err != nil {
			return err
		}
		m.frames.Add(1)
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
