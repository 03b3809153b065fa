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

// How much mixed sound waits for the device, in samples: two of the periods that it is
// asked to have, or as much as it takes at a time where that is more.
const (
	ahead     = 2 * blockSamples
	mostAhead = Rate / 5
)

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
	live   bool           // a device is open: moved tells that it is another
	voices []*Voice

	moved   chan struct{}
	current atomic.Pointer[opened] // that plays; others are about to be closed
	asked   atomic.Int64           // samples that it took at a time, up to mostAhead
}

// NewSpeaker makes the owner of a device; nil is no device.
func NewSpeaker(device PlaybackDevice, log *slog.Logger) *Speaker {
	s := &Speaker{device: device, block: make([]int16, blockSamples), sum: make([]int32, blockSamples), played: newPlayed(), moved: make(chan struct{}, 1)}
	s.Owner = owner.New("speaker", log, s.play)
	return s
}

// Select plays on another device from now on. The one before plays until it does, if
// the card lets two be open.
func (s *Speaker) Select(device PlaybackDevice) {
	s.mu.Lock()
	changed := s.device != device
	s.device = device
	move := changed && s.live && device != nil
	if move {
		select {
		case s.moved <- struct{}{}:
		default:
		}
	}
	s.mu.Unlock()
	if changed && !move {
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
	mixed := newRing(mostAhead + blockSamples)
	var playing atomic.Bool // the device runs
	var mixing sync.WaitGroup
	mixing.Go(func() { s.mix(mixed, &playing, t.Over()) })
	defer mixing.Wait()
	if s.Selected() == nil {
		t.Missing(ErrNoSpeaker)
		return
	}
	t.Keep(func(running func(...any)) error { return s.keep(t.Over(), mixed, &playing, running) })
}

// keep plays on the device that is selected, and on another as soon as that is, until
// over is closed or the device fails.
func (s *Speaker) keep(over <-chan struct{}, mixed *ring, playing *atomic.Bool, running func(...any)) (err error) {
	device := s.enter()
	var now *opened
	defer func() {
		s.leave()
		playing.Store(false)
		if now != nil {
			now.stream.Close()
		}
		if err != nil {
			err = fmt.Errorf("the speaker %s: %w", device.Name(), err)
		}
	}()
	for {
		if device == nil { // taken away just now: Select is about to renew the turn
			<-over
			return nil
		}
		next, err := s.open(device, mixed)
		if err != nil && now != nil { // the same card, perhaps, which takes one at a time
			now.stream.Close()
			now = nil
			next, err = s.open(device, mixed)
		}
		if err != nil {
			return err
		}
		before := now
		now = next
		s.current.Store(now)
		playing.Store(true)
		running("device", device.Name())
		if before != nil {
			before.stream.Close()
		}
		if err := now.watch(over, s.moved, silentTime); err != nil {
			return err
		}
		select {
		case <-over:
			return nil
		default:
		}
		device = s.enter()
	}
}

// enter is the device to be opened. From now on moved tells that it is another.
func (s *Speaker) enter() PlaybackDevice {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.moved:
	default:
	}
	s.live = true
	return s.device
}

// leave ends that. One that was selected meanwhile does not wait until what failed is
// tried again.
func (s *Speaker) leave() {
	s.mu.Lock()
	s.live = false
	missed := false
	select {
	case <-s.moved:
		missed = true
	default:
	}
	s.mu.Unlock()
	if missed {
		s.Renew()
	}
}

// open opens a device, which plays once it is the current one.
func (s *Speaker) open(device PlaybackDevice, mixed *ring) (*opened, error) {
	var self atomic.Pointer[opened]
	calls := new(atomic.Uint64)
	o, err := open(calls, func(stopped func(error)) (Stream, error) {
		return s.grants.note(device.Open(func(pcm []int16) {
			calls.Add(1)
			if me := self.Load(); me == nil || me != s.current.Load() {
				clear(pcm)
				return
			}
			s.asked.Store(min(int64(len(pcm)), mostAhead))
			mixed.readSome(pcm)
			s.played.write(pcm)
			mixed.signal()
		}, stopped))
	})
	self.Store(o)
	return o, err
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
		for want := max(ahead, int(s.asked.Load())); mixed.length() < want; {
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
	lead := int64(duration(float64(waiting)) + max(held, duration(float64(s.asked.Load()))))
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
