package fake

import (
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/herald-im/herald/media/sound"
)

const (
	period   = 10 * time.Millisecond
	samples  = int(sound.Rate * period / time.Second)
	recorded = 5 * sound.Rate // that a Speaker remembers
)

// clock calls f each period until it is closed, and makes up for periods that a
// busy machine has missed, as a driver's buffer does.
type clock struct {
	once sync.Once
	stop chan struct{}
	done chan struct{}
}

func startClock(f func() bool) *clock {
	c := &clock{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		ticker := time.NewTicker(period)
		defer ticker.Stop()
		for began, n := time.Now(), 0; ; {
			for due := int(time.Since(began) / period); n < due; n++ {
				if !f() {
					return
				}
			}
			select {
			case <-c.stop:
				return
			case <-ticker.C:
			}
		}
	}()
	return c
}

// Close ends it; f is not called any more when it returns.
func (c *clock) Close() {
	c.once.Do(func() { close(c.stop) })
	<-c.done
}

// breakable is a device that tests can break.
type breakable struct {
	mu     sync.Mutex
	fail   error
	broken error
	open   int
}

// Fail has Open return err; nil has it work again.
func (b *breakable) Fail(err error) { b.mu.Lock(); defer b.mu.Unlock(); b.fail = err }

// Break ends what is open with err, as when a plug is pulled.
func (b *breakable) Break(err error) { b.mu.Lock(); defer b.mu.Unlock(); b.broken = err }

// Opened is how many streams are open.
func (b *breakable) Opened() int { b.mu.Lock(); defer b.mu.Unlock(); return b.open }

func (b *breakable) start(f func(), stopped func(error)) (sound.Stream, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return nil, b.fail
	}
	b.open++
	c := startClock(func() bool {
		b.mu.Lock()
		err := b.broken
		b.broken = nil
		b.mu.Unlock()
		if err != nil {
			stopped(err)
			return false
		}
		f()
		return true
	})
	return &counted{c, b}, nil
}

type counted struct {
	*clock
	b *breakable
}

func (c *counted) Close() {
	c.clock.Close()
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.b.open--
}

// ErrUnplugged is what tests break devices with.
var ErrUnplugged = errors.New("the plug was pulled")

// Microphone hears a tone, and the speaker beside it if there is one.
type Microphone struct {
	breakable
	freq   float64
	clock  bool     // its pitch tells the time
	beside *Speaker // nil: none
	delay  int      // samples until it is heard
	gain   float64
}

// NewMicrophoneBeside makes a microphone that hears what a speaker plays, delay later
// (up to a second) and gain times as loud: an echo to be cancelled.
func NewMicrophoneBeside(s *Speaker, delay time.Duration, gain float64) *Microphone {
	return &Microphone{beside: s, delay: int(delay * sound.Rate / time.Second), gain: gain}
}

// NewMicrophone makes a microphone that hears a sine of a frequency in Hz, at -12 dB
// of full scale.
func NewMicrophone(freq float64) *Microphone { return &Microphone{freq: freq} }

// Name of the microphone.
func (m *Microphone) Name() string { return "fake microphone" }

// Open begins to hear.
func (m *Microphone) Open(get func([]int16), stopped func(error)) (sound.Stream, error) {
	pcm, n := make([]int16, samples), 0
	if m.beside != nil {
		at := m.beside.now()
		return m.start(func() {
			// What is heard now was played that long ago, whichever clock is ahead.
			if now := m.beside.now(); now-at > 2*samples || at-now > 2*samples {
				at = now
			}
			m.beside.heard(at-m.delay, pcm, m.gain)
			at += samples
			get(pcm)
		}, stopped)
	}
	if m.clock {
		began, phase := time.Now(), 0.0
		return m.start(func() {
			phase = DrawClock(pcm, began.Add(time.Duration(n)*period), phase)
			n++
			get(pcm)
		}, stopped)
	}
	return m.start(func() {
		for i := range pcm {
			pcm[i] = int16(8192 * math.Sin(2*math.Pi*m.freq*float64(n)/sound.Rate))
			n++
		}
		get(pcm)
	}, stopped)
}

// Speaker remembers the last five seconds that it has played.
type Speaker struct {
	breakable
	record sync.Mutex
	pcm    []int16
	total  int
}

// NewSpeaker makes a speaker.
func NewSpeaker() *Speaker { return new(Speaker) }

// Name of the speaker.
func (s *Speaker) Name() string { return "fake speaker" }

// Open begins to play.
func (s *Speaker) Open(fill func([]int16), stopped func(error)) (sound.Stream, error) {
	pcm := make([]int16, samples)
	return s.start(func() {
		fill(pcm)
		s.record.Lock()
		defer s.record.Unlock()
		if len(s.pcm) >= 2*recorded {
			s.pcm = s.pcm[:copy(s.pcm, s.pcm[len(s.pcm)-recorded:])]
		}
		s.pcm = append(s.pcm, pcm...)
		s.total += len(pcm)
	}, stopped)
}

// now is how many samples were played.
func (s *Speaker) now() int {
	s.record.Lock()
	defer s.record.Unlock()
	return s.total
}

// heard is what was played from a sample on, gain times as loud; what is not known of
// is silence.
func (s *Speaker) heard(from int, pcm []int16, gain float64) {
	s.record.Lock()
	defer s.record.Unlock()
	first := s.total - len(s.pcm)
	for i := range pcm {
		pcm[i] = 0
		if k := from + i - first; k >= 0 && k < len(s.pcm) {
			pcm[i] = int16(float64(s.pcm[k]) * gain)
		}
	}
}

// Recorded is what was played last, up to five seconds.
func (s *Speaker) Recorded(d time.Duration) []int16 {
	s.record.Lock()
	defer s.record.Unlock()
	n := min(len(s.pcm), int(d*sound.Rate/time.Second))
	return append([]int16(nil), s.pcm[len(s.pcm)-n:]...)
}

// Played is how much was played since the beginning.
func (s *Speaker) Played() time.Duration {
	s.record.Lock()
	defer s.record.Unlock()
	return time.Duration(s.total/samples) * period
}

// Typical is the median of Strength over parts of 50 ms: of sound that has gaps, after
// which a tone begins anew.
func Typical(pcm []int16, freq float64) float64 {
	const part = sound.Rate / 20
	var all []float64
	for ; len(pcm) >= part; pcm = pcm[part:] {
		all = append(all, Strength(pcm[:part], freq))
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// Strength is the part, 0 to 1, that a tone of a frequency in Hz has in the sound
// (Goertzel's algorithm).
func Strength(pcm []int16, freq float64) float64 {
	k := 2 * math.Cos(2*math.Pi*freq/sound.Rate)
	var s1, s2, power float64
	for _, x := range pcm {
		v := float64(x)
		s1, s2 = v+k*s1-s2, s1
		power += v * v
	}
	if power == 0 {
		return 0
	}
	tone := (s1*s1 + s2*s2 - k*s1*s2) * 2 / float64(len(pcm))
	return min(1, tone/power)
}
