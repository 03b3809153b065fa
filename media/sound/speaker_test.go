package sound

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/herald-im/herald/media/owner"
)

// silentDevice is a speaker that never asks for anything.
type silentDevice struct{}

func (silentDevice) Name() string { return "silent" }

func (silentDevice) Open(func([]int16), func(error)) (Stream, error) { return silentStream{}, nil }

type silentStream struct{}

func (silentStream) Close() {}

// The device may be taken away after a turn began and before it is opened, or while it
// moves to another: there is none then, which is no crash.
func TestTakenAwayWhileOpening(t *testing.T) {
	for _, running := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := NewSpeaker(silentDevice{}, quietly)
			away := func() { s.mu.Lock(); defer s.mu.Unlock(); s.device = nil }
			if !running {
				away()
			}
			over, ended := make(chan struct{}), make(chan error)
			go func() {
				ended <- s.keep(over, newRing(ahead), new(atomic.Bool), func(...any) {
					away()
					s.moved <- struct{}{}
				})
			}()
			synctest.Wait()
			close(over) // by Select, which renews the turn
			if err := <-ended; err != nil {
				t.Errorf("it ran: %t, %v", running, err)
			}
		})
	}
}

// asking is a speaker that asks for blocks of a size, by the clock.
type asking struct {
	size int
	mu   sync.Mutex
	pcm  []int16
}

func (a *asking) Name() string { return "asking" }

func (a *asking) Open(fill func([]int16), _ func(error)) (Stream, error) {
	s := stopping{make(chan struct{}), make(chan struct{})}
	go func() {
		defer close(s.ended)
		block := make([]int16, a.size)
		for {
			fill(block)
			a.mu.Lock()
			a.pcm = append(a.pcm, block...)
			a.mu.Unlock()
			select {
			case <-s.stop:
				return
			case <-time.After(time.Duration(a.size) * time.Second / Rate):
			}
		}
	}()
	return s, nil
}

type stopping struct{ stop, ended chan struct{} }

func (s stopping) Close() { close(s.stop); <-s.ended }

// Cards that take more at a time than they were asked to, as shared ones and those of
// HDMI do, are given all of it.
func TestLargeBlocks(t *testing.T) {
	packets := tone(t, 440, 60)[10:]
	for _, size := range []int{32, 441, 480, 960, 1024, 2048, 4096} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				device := &asking{size: size}
				s := NewSpeaker(device, quietly)
				v := s.Play()
				for i := range 250 {
					v.Push(uint16(i), uint32(i*frameSamples), packets[i%len(packets)])
					time.Sleep(FrameTime)
				}
				st := v.Stats()
				v.Close()
				synctest.Wait()
				t.Logf("%+v", st)
				if n := silences(device.pcm[2*Rate:4*Rate], time.Millisecond); n > 0 || st.Concealed > st.Total/100 {
					t.Errorf("%d gaps in 2 s; %+v", n, st)
				}
			})
		})
	}
}

// exclusive is a card that takes one at a time, fails at times, and takes time to open.
type exclusive struct {
	asking
	used  atomic.Bool
	opens int
}

func (e *exclusive) Open(fill func([]int16), stopped func(error)) (Stream, error) {
	time.Sleep(30 * time.Millisecond)
	if e.opens++; e.opens%7 == 6 || e.used.Swap(true) {
		return nil, errSilent
	}
	s, err := e.asking.Open(fill, stopped)
	return releasing{s, &e.used}, err
}

type releasing struct {
	Stream
	used *atomic.Bool
}

func (r releasing) Close() { r.Stream.Close(); r.used.Store(false) }

// However one speaker is exchanged for another, it ends with the one that is wanted, and
// with none once nobody plays.
func TestSelectStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		devices := []*exclusive{{asking: asking{size: 480}}, {asking: asking{size: 441}}, {asking: asking{size: 1024}}}
		s := NewSpeaker(devices[0], quietly)
		var voices []*Voice
		for range 2000 {
			if len(voices) < 3 && rng.IntN(2) == 0 {
				voices = append(voices, s.Play())
			} else if len(voices) > 0 {
				voices[0].Close()
				voices = voices[1:]
			}
			if n := rng.IntN(4); n == 3 {
				s.Select(nil)
			} else {
				s.Select(devices[n])
			}
			time.Sleep(time.Duration(rng.IntN(40)) * time.Millisecond)
		}
		voices = append(voices, s.Play())
		s.Select(devices[1])
		time.Sleep(time.Minute)
		if state, err := s.State(); state != owner.Running || err != nil {
			t.Errorf("%s, %v", state, err)
		}
		for i, d := range devices {
			if d.used.Load() != (i == 1) {
				t.Errorf("device %d is open: %t", i, d.used.Load())
			}
		}
		for _, v := range voices {
			v.Close()
		}
		time.Sleep(time.Minute)
		for i, d := range devices {
			if d.used.Load() {
				t.Errorf("device %d is still open", i)
			}
		}
	})
}
