package sound

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/herald-im/herald/media/owner"
)

// ErrNoSpeaker is returned where sound is wanted and no speaker is configured.
var ErrNoSpeaker = errors.New("no speaker is configured")

// ahead is how much mixed sound waits for the device: two of its periods.
const ahead = 2 * blockSamples

// Speaker is the owner of a playback device and mixes the voices that play. The
// device is open while any voice plays. Where it fails the voices go on by the
// clock, so that they can be measured and a device that comes back plays at once.
type Speaker struct {
	*owner.Owner
	block []int16 // of mix
	sum   []int32

	played *Played
	grants grants

	mu     sync.Mutex
	device PlaybackDevice // nil: none
	voices []*Voice
}

// NewSpeaker makes the owner of a device; nil is no device.
func NewSpeaker(device PlaybackDevice, log *slog.Logger) *Speaker {
	s := &Speaker{device: device, block: make([]int16, blockSamples), sum: make([]int32, blockSamples), played: newPlayed()}
	s.Owner = owner.New("speaker", log, s.play)
	return s
}

// Select plays on another device from now on.
func (s *Speaker) Select(device PlaybackDevice) {
	s.mu.Lock()
	changed := s.device != device
	s.device = device
	s.mu.Unlock()
	if changed {
		s.Renew()
	}
}

// Selected is the device that it plays on, or would; nil: none.
func (s *Speaker) Selected() PlaybackDevice {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.device
}

// Played is what its device was given: what a microphone beside it hears as echo.
func (s *Speaker) Played() *Played { return s.played }

// Device tells what its device gives.
func (s *Speaker) Device() DeviceStats { return s.grants.stats() }

// Play adds a voice to the mix, until it is closed.
func (s *Speaker) Play() *Voice {
	v := newVoice()
	release := s.Hold()
	v.remove = func() {
		s.mu.Lock()
		s.voices = slices.DeleteFunc(slices.Clone(s.voices), func(x *Voice) bool { return x == v }) // next may be reading them
		s.mu.Unlock()
		release()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.voices = append(s.voices, v)
	return v
}

// play is one turn.
func (s *Speaker) play(t *owner.Turn) {
	mixed := newRing(4 * blockSamples)
	var playing atomic.Bool // the device runs
	var mixing sync.WaitGroup
	mixing.Go(func() { s.mix(mixed, &playing, t.Over()) })
	defer mixing.Wait()
	device := s.Selected()
	if device == nil {
		t.Missing(ErrNoSpeaker)
		return
	}
	t.Keep(func(running func(...any)) error {
		var calls atomic.Uint64
		defer playing.Store(false)
		began := func() {
			playing.Store(true)
			running("device", device.Name())
		}
		err := hold(t.Over(), silentTime, &calls, began, func(stopped func(error)) (Stream, error) {
			return s.grants.note(device.Open(func(pcm []int16) {
				calls.Add(1)
				mixed.readSome(pcm)
				s.played.write(pcm)
				mixed.signal()
			}, stopped))
		})
		if err != nil {
			return fmt.Errorf("the speaker %s: %w", device.Name(), err)
		}
		return nil
	})
}

// mix keeps the device in sound until over is closed. While there is no device the
// clock takes what it would have played.
func (s *Speaker) mix(mixed *ring, playing *atomic.Bool, over <-chan struct{}) {
	ticker := time.NewTicker(blockTime)
	defer ticker.Stop()
	unheard := make([]int16, blockSamples)
	played := time.Now()
	for {
		select {
		case <-over:
			return
		case <-mixed.moved:
			played = time.Now()
		case now := <-ticker.C:
			if playing.Load() && now.Sub(played) < time.Second {
				continue
			}
			mixed.read(unheard)
		}
		for mixed.length() < ahead {
			mixed.write(s.next(mixed.length()))
		}
	}
}

// held is about how much a device holds of what it was given: all of its buffer but
// what it is about to ask for.
const held = (periods - 1) * periodTime * time.Millisecond

// next mixes one block, which is given to the device after the samples that wait.
func (s *Speaker) next(waiting int) []int16 {
	s.mu.Lock()
	voices := s.voices
	s.mu.Unlock()
	clear(s.sum)
	lead := int64(duration(float64(waiting)) + held)
	for _, v := range voices {
		v.lead.Store(lead)
		if !v.read(s.block) {
			continue
		}
		for i, x := range s.block {
			s.sum[i] += int32(x)
		}
	}
	for i, x := range s.sum {
		s.block[i] = limit(x)
	}
	return s.block
}

// limit bends what is too loud instead of breaking it off: up to half of full
// scale nothing is changed, beyond it ever less is let through.
func limit(x int32) int16 {
	const knee, top = 16384, 32767
	a := int64(x) // products below leave 32 bits when many are loud
	if a < 0 {
		a = -a
	}
	if a > knee {
		over := a - knee
		a = knee + over*(top-knee)/(over+top-knee)
	}
	if x < 0 {
		a = -a
	}
	return int16(a)
}
