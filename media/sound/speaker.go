package sound

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// ErrNoSpeaker is returned where sound is wanted and no speaker is configured.
var ErrNoSpeaker = errors.New("no speaker is configured")

// ahead is how much mixed sound waits for the device: two of its periods.
const ahead = 2 * blockSamples

// Speaker is the owner of a playback device and mixes the voices that play. The
// device is open while any voice plays. Where it fails the voices go on by the
// clock, so that they can be measured and a device that comes back plays at once.
type Speaker struct {
	owner

	users  sync.Mutex
	device PlaybackDevice
	voices []*Voice
	stop   chan struct{} // of what runs
	ended  chan struct{}
	block  []int16
	sum    []int32
}

// NewSpeaker makes the owner of a device; nil is no device.
func NewSpeaker(device PlaybackDevice, log *slog.Logger) *Speaker {
	s := &Speaker{device: device, ended: make(chan struct{}), block: make([]int16, blockSamples), sum: make([]int32, blockSamples)}
	close(s.ended)
	s.owner = begin(log)
	s.setName(device)
	return s
}

func (s *Speaker) setName(d PlaybackDevice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.name = ""; d != nil {
		s.name = d.Name()
	}
}

// Select plays on another device from now on.
func (s *Speaker) Select(device PlaybackDevice) {
	s.users.Lock()
	defer s.users.Unlock()
	if s.device == device {
		return
	}
	s.device = device
	s.setName(device)
	if len(s.voices) > 0 {
		s.shut()
		s.open()
	}
}

// Play adds a voice to the mix.
func (s *Speaker) Play(name string) *Voice {
	v := newVoice(s, name)
	s.users.Lock()
	defer s.users.Unlock()
	s.voices = append(s.voices, v)
	if len(s.voices) == 1 {
		s.open()
	}
	return v
}

func (s *Speaker) remove(v *Voice) {
	s.users.Lock()
	defer s.users.Unlock()
	for i, x := range s.voices {
		if x == v {
			s.voices = append(s.voices[:i:i], s.voices[i+1:]...)
			if len(s.voices) == 0 {
				s.shut()
			}
			return
		}
	}
}

// Drain waits until nothing of it is left, once no voice plays.
func (s *Speaker) Drain() {
	s.users.Lock()
	ended := s.ended
	s.users.Unlock()
	<-ended
}

// shut is called with users held.
func (s *Speaker) shut() {
	close(s.stop)
	s.set(Closed, nil)
}

// open is called with users held.
func (s *Speaker) open() {
	before, stop, ended, device := s.ended, make(chan struct{}), make(chan struct{}), s.device
	s.stop, s.ended = stop, ended
	s.set(Opening, nil)
	go func() {
		defer close(ended)
		<-before
		mixed := newRing(4 * blockSamples)
		var mixing sync.WaitGroup
		mixing.Go(func() { s.mix(mixed, stop) })
		if device == nil {
			s.set(Failed, ErrNoSpeaker)
			<-stop
		} else {
			s.keep(stop, func(stopped func(error)) (Stream, error) {
				mixed.reset()
				st, err := device.Open(mixed.readSome, stopped)
				if err != nil {
					return nil, fmt.Errorf("open the speaker %s: %w", device.Name(), err)
				}
				return st, nil
			}, nil)
		}
		mixing.Wait()
		s.users.Lock()
		if s.stop == stop {
			s.set(Closed, nil)
		}
		s.users.Unlock()
	}()
}

// mix keeps the device in sound until stop is closed. While there is no device the
// clock takes what it would have played.
func (s *Speaker) mix(mixed *ring, stop <-chan struct{}) {
	ticker := time.NewTicker(blockTime)
	defer ticker.Stop()
	played := time.Now()
	for {
		select {
		case <-stop:
			return
		case <-mixed.moved:
			played = time.Now()
		case now := <-ticker.C:
			if st, _ := s.State(); st == Running && now.Sub(played) < time.Second {
				continue
			}
			mixed.reset()
		}
		for mixed.length() < ahead {
			mixed.write(s.next())
		}
		select {
		case <-mixed.moved: // its own
		default:
		}
	}
}

// next mixes one block.
func (s *Speaker) next() []int16 {
	s.users.Lock()
	voices := s.voices
	s.users.Unlock()
	clear(s.sum)
	for _, v := range voices {
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
