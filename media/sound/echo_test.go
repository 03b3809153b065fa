package sound

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// talk makes something like speech, seconds long: pulses of a wandering pitch (or
// noise, for consonants) through the formants of changing vowels, in syllables, words
// and pauses. A voice is a seed.
func talk(seed uint64, seconds float64, pitch float64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 7))
	vowels := [][3]float64{{730, 1090, 2440}, {270, 2290, 3010}, {300, 870, 2240}, {530, 1840, 2480}, {570, 840, 2410}}
	out := make([]float64, 0, int(seconds*Rate))
	var s [3][2]float64
	phase := 0.0
	for len(out) < int(seconds*Rate) {
		n := int((0.12 + 0.15*rng.Float64()) * Rate) // a syllable
		vowel, f0, noisy, loud := vowels[rng.IntN(len(vowels))], pitch*(0.85+0.3*rng.Float64()), rng.IntN(4) == 0, 0.5+0.5*rng.Float64()
		if rng.IntN(6) == 0 {
			loud = 0 // a pause
		}
		for i := range n {
			x := 0.0
			if phase += f0 / Rate; phase >= 1 {
				phase--
				x = 1
			}
			if noisy && i < n/3 {
				x = rng.NormFloat64() / 6
			}
			x += rng.NormFloat64() / 100
			y := 0.0
			for k, f := range vowel {
				r := math.Exp(-math.Pi * (60 + 40*float64(k)) / Rate)
				v := x + 2*r*math.Cos(2*math.Pi*f/Rate)*s[k][0] - r*r*s[k][1]
				s[k][1], s[k][0] = s[k][0], v
				y += v / float64(1+k)
			}
			out = append(out, y*loud*math.Sin(math.Pi*float64(i)/float64(n)))
		}
	}
	out = out[:int(seconds*Rate)]
	sum := 0.0
	for _, x := range out {
		sum += x * x
	}
	gain := 2500 / math.Sqrt(sum/float64(len(out)))
	for i := range out {
		out[i] = math.Max(-30000, math.Min(30000, out[i]*gain))
	}
	return out
}

// room is what a microphone hears of a speaker in it, gain times as loud: after the
// devices' delay, the direct sound, some reflections and the decay of a small room.
func room(played []float64, delay int, gain float64) []float64 {
	rng := rand.New(rand.NewPCG(3, 3))
	h := make([]float64, Rate*150/1000)
	sum := 0.0
	for i := range h {
		h[i] = rng.NormFloat64() * math.Exp(-6.9*float64(i)/float64(len(h))) * 0.08 // RT60 150 ms
		if i == 40 {
			h[i] += 1
		}
		if i > 40 && rng.IntN(800) == 0 {
			h[i] += 0.3 * math.Exp(-6.9*float64(i)/float64(len(h)))
		}
		sum += h[i] * h[i]
	}
	for i := range h {
		h[i] *= gain / math.Sqrt(sum)
	}
	out := make([]float64, len(played))
	for i, p := range convolve(played, h) {
		if i+delay < len(out) {
			out[i+delay] = p
		}
	}
	return out
}

// convolve by blocks of a Fourier transform, since it is some seconds by 7200.
func convolve(x, h []float64) []float64 {
	n := 1
	for n < 2*len(h) {
		n *= 2
	}
	step := n - len(h)
	H := make([]complex128, n)
	for i, v := range h {
		H[i] = complex(v, 0)
	}
	fourier(H, false)
	out := make([]float64, len(x)+n)
	for at := 0; at < len(x); at += step {
		X := make([]complex128, n)
		for i := range step {
			if at+i < len(x) {
				X[i] = complex(x[at+i], 0)
			}
		}
		fourier(X, false)
		for i := range X {
			X[i] *= H[i]
		}
		fourier(X, true)
		for i, v := range X {
			out[at+i] += real(v)
		}
	}
	return out[:len(x)]
}

func fourier(x []complex128, back bool) {
	n := len(x)
	for i, j := 1, 0; i < n; i++ {
		bit := n >> 1
		for ; j&bit != 0; bit >>= 1 {
			j ^= bit
		}
		if j ^= bit; i < j {
			x[i], x[j] = x[j], x[i]
		}
	}
	for size := 2; size <= n; size *= 2 {
		angle := -2 * math.Pi / float64(size)
		if back {
			angle = -angle
		}
		w := complex(math.Cos(angle), math.Sin(angle))
		for at := 0; at < n; at += size {
			f := complex(1, 0)
			for k := range size / 2 {
				a, b := x[at+k], x[at+k+size/2]*f
				x[at+k], x[at+k+size/2] = a+b, a-b
				f *= w
			}
		}
	}
	if back {
		for i := range x {
			x[i] /= complex(float64(n), 0)
		}
	}
}

// scene is a conversation in a room.
type scene struct {
	far, near []float64 // nil: nobody speaks
	echoed    []float64 // what the microphone hears of far
	noise     float64
	drift     float64 // by how much the microphone's clock is the faster one
}

// hear has the microphone's echo deal with what is heard, and returns what was heard
// and what came out.
func (s scene) hear(t testing.TB, o EchoOptions) (before, after []int16, e *echo) {
	t.Helper()
	now := int64(0)
	played := newPlayed()
	played.clock = func() int64 { return now }
	e, err := newEcho(played, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.begin(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.end)
	rng := rand.New(rand.NewPCG(5, 5))
	block, out := make([]int16, blockSamples), make([]int16, blockSamples)
	given, taken := 0, 0
	for taken+blockSamples < int(float64(len(s.far))*(1-s.drift)) {
		now += int64(blockSamples) / 20
		for ; given+blockSamples <= int(now) && given+blockSamples <= len(s.far); given += blockSamples {
			for i := range out {
				out[i] = int16(s.far[given+i])
			}
			played.write(out)
		}
		if float64(taken+blockSamples) > float64(now)*(1+s.drift) {
			continue
		}
		for i := range block {
			at := float64(taken+i) / (1 + s.drift)
			k := int(at)
			f := at - float64(k)
			x := rng.NormFloat64() * s.noise
			if s.echoed != nil && k+1 < len(s.echoed) {
				x += s.echoed[k]*(1-f) + s.echoed[k+1]*f
			}
			if s.near != nil {
				x += s.near[taken+i]
			}
			block[i] = int16(math.Max(-32768, math.Min(32767, x)))
		}
		taken += blockSamples
		before = append(before, block...)
		e.captured(blockSamples)
		e.clean(int64(taken-blockSamples), block)
		after = append(after, block...)
	}
	return before, after, e
}

// loss is by how many dB b is softer than a.
func loss(a, b []int16) float64 { return decibels(power(a), power(b)) }

const bulk = 40 * Rate / 1000

func needCanceller(t testing.TB) {
	t.Helper()
	if !Cancels {
		if _, err := newEcho(newPlayed(), EchoOptions{Mode: EchoCancel}); !errors.Is(err, ErrNoCanceller) {
			t.Error(err)
		}
		t.Skip("built without the tag webrtcapm")
	}
}

// After two seconds the echo is at least 20 dB softer, whatever the devices' delay.
func TestEchoIsCancelled(t *testing.T) {
	needCanceller(t)
	far := talk(1, 8, 120)
	for _, delay := range []int{bulk, 2 * bulk, 3 * bulk} {
		s := scene{far: far, echoed: room(far, delay, 0.5), noise: 10}
		before, after, e := s.hear(t, EchoOptions{Mode: EchoAuto})
		worst := math.Inf(1)
		for at := 2 * Rate; at+Rate <= len(after); at += Rate {
			worst = min(worst, loss(before[at:at+Rate], after[at:at+Rate]))
		}
		t.Logf("%d ms: %.1f dB, %.1f dB in the worst second: %+v", delay*1000/Rate, loss(before[2*Rate:], after[2*Rate:]), worst, e.stats())
		if worst < 20 {
			t.Errorf("%d ms: %.1f dB in the worst second, want 20", delay*1000/Rate, worst)
		}
		if st := e.stats(); st.Mode != EchoCancel || st.Enhancement < 20 || st.ReturnLoss < 3 || st.ReturnLoss > 12 {
			t.Errorf("%+v", st)
		}
	}
}

// Devices of two clocks, 100 ppm apart, for a minute.
func TestEchoOfTwoClocks(t *testing.T) {
	needCanceller(t)
	seconds := 60.0
	if testing.Short() || raceDetector {
		seconds = 35
	}
	far := talk(1, seconds, 120)
	for _, drift := range []float64{100e-6, -100e-6} {
		s := scene{far: far, echoed: room(far, bulk, 0.5), noise: 10, drift: drift}
		before, after, e := s.hear(t, EchoOptions{Mode: EchoCancel})
		got := loss(before[2*Rate:], after[2*Rate:])
		t.Logf("%g: %.1f dB: %+v, drift found %.6f", drift, got, e.stats(), e.aligner.drift)
		if got < 20 {
			t.Errorf("%g: %.1f dB, want 20", drift, got)
		}
		if e.stats().Leaps > 0 || math.Abs(e.aligner.drift+drift) > 50e-6 {
			t.Errorf("%g: %+v, and the clocks are found to be %g apart", drift, e.stats(), e.aligner.drift)
		}
	}
}

// While both speak the one beside the microphone stays intelligible.
func TestDoubleTalk(t *testing.T) {
	needCanceller(t)
	const seconds, both = 12, 4 // alone for 4 s first
	far, near := talk(1, seconds, 120), talk(2, seconds, 210)
	clear(near[:both*Rate])
	echoed := room(far, bulk, 0.5)
	_, alone, _ := scene{far: make([]float64, len(far)), near: near, noise: 10}.hear(t, EchoOptions{Mode: EchoCancel})
	before, after, _ := scene{far: far, near: near, echoed: echoed, noise: 10}.hear(t, EchoOptions{Mode: EchoCancel})
	alone, before, after = alone[both*Rate:], before[both*Rate:], after[both*Rate:]
	was, is, snr := likeness(alone, before), likeness(alone, after), segments(alone, after)
	_, ducked, _ := scene{far: far, near: near, echoed: echoed, noise: 10}.hear(t, EchoOptions{Mode: EchoDuck})
	t.Logf("likeness to the voice alone %.2f, before %.2f; %.1f dB softer on average where it speaks; ducking: %.1f dB", is, was, snr, segments(alone, ducked[both*Rate:]))
	if is < 0.7 || snr > 6 {
		t.Errorf("likeness to the voice alone %.2f, want 0.7; %.1f dB softer, want 6 at most", is, snr)
	}
}

// likeness is the greatest correlation of two sounds, 0 to 1, b being up to 20 ms late
// or early.
func likeness(a, b []int16) (best float64) {
	n := min(len(a), len(b)) - Rate/25
	for lag := -Rate / 50; lag < Rate/50; lag += 4 {
		var ab, aa, bb float64
		for i := Rate / 50; i < n; i += 3 {
			x, y := float64(a[i]), float64(b[i+lag])
			ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
		}
		best = max(best, ab/math.Sqrt(aa*bb+1))
	}
	return best
}

// segments is by how many dB b is softer than a, the mean over the pieces of 100 ms in
// which a is speech.
func segments(a, b []int16) float64 {
	sum, n := 0.0, 0
	for at := 0; at+Rate/10 <= min(len(a), len(b)); at += Rate / 10 {
		if p := power(a[at : at+Rate/10]); p > 300*300 {
			sum += loss(a[at:at+Rate/10], b[at:at+Rate/10])
			n++
		}
	}
	return sum / float64(max(1, n))
}

func TestDucking(t *testing.T) {
	far := talk(1, 6, 120)
	clear(far[3*Rate:])
	near := talk(2, 6, 210)
	before, after, e := scene{far: far, echoed: room(far, bulk, 0.5), near: near, noise: 10}.hear(t, EchoOptions{Mode: EchoDuck, Duck: 24})
	while, then := loss(before[Rate/2:3*Rate], after[Rate/2:3*Rate]), loss(before[4*Rate:], after[4*Rate:])
	t.Logf("%.1f dB softer while the others speak, %.1f dB after: %+v", while, then, e.stats())
	if while < 18 || while > 25 || math.Abs(then) > 0.1 {
		t.Errorf("%.1f dB softer while the others speak, want about 24; %.1f dB after, want 0", while, then)
	}
}

// When the encoder has been held up so long that sound was lost, what was played still
// lies beside what was captured at that time.
func TestEchoAfterOverflow(t *testing.T) {
	now := int64(0)
	played := newPlayed()
	played.clock = func() int64 { return now }
	e, err := newEcho(played, EchoOptions{Mode: EchoDuck})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.begin(); err != nil {
		t.Fatal(err)
	}
	defer e.end()
	const round = 20_000 // that samples are numbered to
	heard, block := newRing(10*frameSamples), make([]int16, blockSamples)
	for n := range 300 {
		for i := range block {
			block[i] = int16((n*blockSamples + i) % round)
		}
		played.write(block)
		heard.write(block)
		now += int64(blockSamples)
		e.captured(blockSamples)
		if n >= 100 && n < 150 || n >= 200 && n < 220 { // then 300 and 10 ms are lost
			continue
		}
		for {
			index, ok := heard.read(block)
			if !ok {
				break
			}
			near := int(block[0])
			e.clean(index, block)
			if ahead := (near - int(e.far[0]) + round) % round; n > 50 && ahead != margin {
				t.Fatalf("after %d blocks what was played is %d samples ahead, want %d", n, ahead, margin)
			}
		}
	}
	if st := e.stats(); st.Leaps != 2 {
		t.Errorf("%+v: want two leaps", st)
	}
}

func TestEchoModes(t *testing.T) {
	if _, err := newEcho(newPlayed(), EchoOptions{Mode: "loud"}); err == nil {
		t.Error("a mode that there is none of was taken")
	}
	e, err := newEcho(newPlayed(), EchoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := e.stats().Mode, map[bool]string{true: EchoCancel, false: EchoDuck}[Cancels]; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	far := talk(1, 1, 120)
	before, after, _ := scene{far: far, echoed: far}.hear(t, EchoOptions{Mode: EchoOff})
	for i := range after {
		if before[i] != after[i] {
			t.Fatal("the sound was changed")
		}
	}
}

func BenchmarkEchoCancel10ms(b *testing.B) {
	needCanceller(b)
	c, err := newCanceller()
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	far := talk(1, 4, 120)
	echoed := room(far, bulk, 0.5)
	f, n := make([]int16, blockSamples), make([]int16, blockSamples)
	at := 0
	for b.Loop() {
		for i := range f {
			f[i], n[i] = int16(far[at+i]), int16(echoed[at+i])
		}
		c.Clean(n, f)
		at = (at + blockSamples) % (len(far) - blockSamples)
	}
}
