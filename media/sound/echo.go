package sound

import (
	"errors"
	"fmt"
	"math"
	"sync"
)

// EchoCanceller takes the echo of what was played out of what the microphone hears,
// and may lessen noise and even loudness out. It is used by one goroutine.
type EchoCanceller interface {
	// Clean cleans near, a block of 10 ms, in place. far is what was played by then:
	// the echo of its samples begins in near up to 150 ms later, and always as much
	// later but after a device has lost sound.
	Clean(near, far []int16)
	// Delay is how much later, in ms; 0: not known yet.
	Delay() int
	Close()
}

// ErrNoCanceller is returned where an echo is to be cancelled by a program that was
// built without: see the build tag webrtcapm.
var ErrNoCanceller = errors.New("this program was built without an echo canceller")

// What is done about an echo.
const (
	EchoAuto   = "auto"   // cancel it where that is built in, else duck
	EchoCancel = "cancel" // take it out, so that both can speak at once
	EchoDuck   = "duck"   // lower the microphone while the others speak
	EchoOff    = "off"
)

// EchoOptions is what is done about the echo.
type EchoOptions struct {
	Mode string // one of the above; empty: EchoAuto
	Duck int    // dB by which ducking lowers the microphone, 6 to 60; 0: 30
}

// EchoStats tells how well the echo is dealt with.
type EchoStats struct {
	Mode string // that is in use: EchoCancel, EchoDuck or EchoOff
	// While the others speak, over some seconds, in dB: how much softer their echo is
	// at the microphone than what was played, and how much the canceller or the ducking
	// takes away of it. 0 until it was measured.
	ReturnLoss, Enhancement float64
	Delay                   int    // ms from giving sound to the device to its echo; 0: not known
	Leaps                   uint64 // times that the devices lost each other's time
}

// echo deals with the echo in what one microphone hears.
type echo struct {
	played  *Played
	options EchoOptions

	aligner aligner
	far     []int16
	before  []int16
	cancel  EchoCanceller // nil: none
	duck    ducker
	meter   echoMeter

	mu       sync.Mutex
	figures  EchoStats
	seen     int64 // samples captured, and
	playedAt int64 // how many were played by then; -1: none are
}

func newEcho(played *Played, o EchoOptions) (*echo, error) {
	switch o.Mode {
	case "":
		o.Mode = EchoAuto
	case EchoAuto, EchoCancel, EchoDuck, EchoOff:
	default:
		return nil, fmt.Errorf("an echo is dealt with by %s, %s, %s or %s, not %.32q", EchoAuto, EchoCancel, EchoDuck, EchoOff, o.Mode)
	}
	if o.Duck == 0 {
		o.Duck = 30
	}
	o.Duck = min(60, max(6, o.Duck))
	switch {
	case o.Mode == EchoAuto && Cancels:
		o.Mode = EchoCancel
	case o.Mode == EchoAuto:
		o.Mode = EchoDuck
	case o.Mode == EchoCancel && !Cancels:
		return nil, ErrNoCanceller
	}
	return &echo{
		played: played, options: o, figures: EchoStats{Mode: o.Mode},
		far: make([]int16, blockSamples), before: make([]int16, blockSamples),
	}, nil
}

// begin readies it for a device that opens; end frees what it took. Both, and all
// below, do nothing where there is no echo to deal with.
func (e *echo) begin() error {
	if e == nil || e.options.Mode == EchoOff {
		return nil
	}
	e.aligner, e.meter = newAligner(), echoMeter{}
	e.duck = newDucker(e.options.Duck)
	e.mu.Lock()
	e.seen, e.playedAt = 0, -1
	e.mu.Unlock()
	if e.options.Mode != EchoCancel {
		return nil
	}
	c, err := newCanceller()
	if err != nil {
		return fmt.Errorf("make the echo canceller: %w", err)
	}
	e.cancel = c
	return nil
}

func (e *echo) end() {
	if e != nil && e.cancel != nil {
		e.cancel.Close()
		e.cancel = nil
	}
}

// captured tells that the device has just given n samples.
func (e *echo) captured(n int) {
	if e == nil || e.options.Mode == EchoOff {
		return
	}
	played, ok := e.played.now()
	if !ok {
		played = -1
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.playedAt = played
	e.seen += int64(n)
}

// clean cleans a block. index is that of its first sample of all that were captured.
func (e *echo) clean(index int64, near []int16) {
	if e == nil || e.options.Mode == EchoOff {
		return
	}
	e.mu.Lock()
	seen, played := e.seen, e.playedAt
	e.mu.Unlock()
	leapt := e.aligner.read(e.played, index, seen, played, e.far)
	copy(e.before, near)
	if e.cancel != nil {
		e.cancel.Clean(near, e.far)
	} else {
		e.duck.apply(near, level(e.far))
	}
	e.meter.note(e.far, e.before, near)
	delay := 0
	if e.cancel != nil {
		delay = e.cancel.Delay()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.figures.Delay = delay
	e.figures.ReturnLoss, e.figures.Enhancement = e.meter.figures()
	if leapt {
		e.figures.Leaps++
	}
}

func (e *echo) stats() EchoStats {
	if e == nil {
		return EchoStats{Mode: EchoOff}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.figures
}

// echoMeter measures while only the others speak, as far as it can be told: what was
// played is loud and has been for a while.
type echoMeter struct{ far, before, after, tail float64 }

func (m *echoMeter) note(far, before, after []int16) {
	f := power(far)
	m.tail = max(f, m.tail*0.9)
	if m.tail < 1e4 { // -50 dB of full scale
		return
	}
	const w = 0.005 // 2 s
	m.far += w * (f - m.far)
	m.before += w * (power(before) - m.before)
	m.after += w * (power(after) - m.after)
}

func (m *echoMeter) figures() (loss, enhancement float64) {
	if m.far == 0 {
		return 0, 0
	}
	return decibels(m.far, m.before), decibels(m.before, m.after)
}

func decibels(a, b float64) float64 { return 10 * math.Log10((a+1)/(b+1)) }

// power is the mean square.
func power(pcm []int16) (sum float64) {
	for _, x := range pcm {
		sum += float64(x) * float64(x)
	}
	return sum / float64(len(pcm))
}
