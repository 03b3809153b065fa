package sound

import (
	"math"
	"slices"
	"testing"

	"github.com/gen2brain/malgo"
)

// snr is by how many dB a sine is louder than what else there is.
func snr(pcm []int16, freq, rate float64) float64 {
	// The sine that fits best is taken away.
	var ss, cc, sc, xs, xc float64
	for i, x := range pcm {
		s, c := math.Sincos(2 * math.Pi * freq * float64(i) / rate)
		ss, cc, sc, xs, xc = ss+s*s, cc+c*c, sc+s*c, xs+float64(x)*s, xc+float64(x)*c
	}
	d := ss*cc - sc*sc
	a, b := (xs*cc-xc*sc)/d, (xc*ss-xs*sc)/d
	var signal, rest float64
	for i, x := range pcm {
		s, c := math.Sincos(2 * math.Pi * freq * float64(i) / rate)
		y := a*s + b*c
		signal, rest = signal+y*y, rest+(float64(x)-y)*(float64(x)-y)
	}
	return 10 * math.Log10(signal/rest)
}

func sine(freq float64, rate, n int) []int16 {
	out := make([]int16, n)
	for i := range out {
		out[i] = round(float32(16384 * math.Sin(2*math.Pi*freq*float64(i)/float64(rate))))
	}
	return out
}

func TestResample(t *testing.T) {
	for _, c := range []struct {
		from, to   int
		freq, want float64
	}{
		{44100, Rate, 1000, 75}, {44100, Rate, 10000, 60}, {16000, Rate, 1000, 75}, {8000, Rate, 1000, 70}, {96000, Rate, 1000, 75},
		{192000, Rate, 1000, 75}, {Rate, 44100, 1000, 75}, {Rate, 16000, 1000, 75}, {Rate, 96000, 1000, 75}, {48000, 47760, 1000, 75}, {48000, 48240, 3000, 70},
	} {
		var out []int16
		r := newResampler(c.from, c.to)
		pcm := sine(c.freq, c.from, 2*c.from)
		block := make([]int16, 100)
		for at := 0; at+441 <= len(pcm); at += 441 {
			r.write(pcm[at : at+441])
			for r.read(block) {
				out = append(out, block...)
			}
		}
		if n := len(out) - 2*c.to; n > 0 || n < -c.to/20 {
			t.Errorf("%d → %d: %d samples too many", c.from, c.to, n)
		}
		got := snr(out[c.to/10:], c.freq, float64(c.to))
		t.Logf("%d → %d Hz, a tone of %g Hz: %.1f dB", c.from, c.to, c.freq, got)
		if got < c.want {
			t.Errorf("%d → %d Hz, a tone of %g Hz: %.1f dB over the rest, want %g", c.from, c.to, c.freq, got, c.want)
		}
	}
	// What the lower rate has no place for is gone.
	r, block := newResampler(96000, Rate), make([]int16, Rate/2)
	r.write(sine(30000, 96000, 96000))
	r.read(block)
	if p := 10 * math.Log10(power(block[1000:])/(16384*16384/2)); p > -60 {
		t.Errorf("a tone of 30 kHz is heard at %.1f dB", p)
	}
}

// A tone goes through a device of any shape, there and back.
func TestShapes(t *testing.T) {
	for format := range formatSizes {
		for _, rate := range []int{8000, 16000, 44100, Rate, 96000} {
			for _, channels := range []int{1, 2, 6} {
				s := shape{format, channels, rate}
				in, out := newIntake(s), newOutlet(s)
				pcm := sine(1000, Rate, 2*Rate)
				var got []int16
				at := 0
				for at < Rate {
					b := make([]byte, rate/100*s.frame())
					out.fill(b, func(to []int16) { at += copy(to, pcm[at:]) })
					got = append(got, in.take(b)...)
				}
				want := 70.0
				if format == malgo.FormatU8 {
					want = 35
				}
				if q := snr(got[Rate/5:], 1000, Rate); q < want {
					t.Errorf("%s, %d Hz, %d channels: %.1f dB, want %g", formatNames[format], rate, channels, q, want)
				}
			}
		}
	}
}

func TestNames(t *testing.T) {
	ids := cardIDs(" 0 [Ear            ]: Loopback - Loopback\n                      Loopback 1\n 1 [Loud           ]: Loopback - Loopback\n                      Loopback 2\n12 [x]: a\nno [y]: b\n 3 [\n")
	if len(ids) != 3 || ids["0"] != "Ear" || ids["1"] != "Loud" || ids["12"] != "x" {
		t.Errorf("%v", ids)
	}
	var found []Info
	for _, playback := range []bool{false, true} {
		for _, n := range []string{":0,0", ":0,1", ":1,0", ":1,1", ":7,0", "default"} {
			found = append(found, Info{ID: plainID(n, ids), Name: "Loopback, Loopback PCM", Playback: playback, number: n})
		}
	}
	for want, id := range map[string]string{
		"Loud": "Loud", "Loud,0": "Loud", "Loud,1": "Loud,1", "hw:Loud,0": "Loud", "plughw:Loud,0": "Loud", "plughw:Loud,1": "Loud,1", ":1,0": "Loud",
		"plughw:1,0": "Loud", "hw:0,1": "Ear,1", "loopback": "Ear", ":7,0": ":7,0", "nothing": "nothing", "": "", "default": "default",
	} {
		if got := IDOf(found, true, want); got != id {
			t.Errorf("%q is %q, want %q", want, got, id)
		}
	}
	for want, names := range map[string]string{"Loud": "hw:1,0", "hw:Loud,0": "hw:Loud,0", "default": "default", ":1,1": "hw:1,1", "mine": "mine", "Loopback": "hw:0,0"} {
		if got := openable(found, false, want); got[0] != names {
			t.Errorf("%q opens %v, want %s first", want, got, names)
		}
	}
}

func BenchmarkResample10ms(b *testing.B) {
	r, pcm, out := newResampler(Rate, Rate), sine(1000, Rate, blockSamples), make([]int16, blockSamples)
	r.step = 1.0001
	for b.Loop() {
		for r.lacks(blockSamples) > 0 {
			r.write(pcm)
		}
		r.read(out)
	}
}

// As many samples as it says that it lacks are enough, however they are rounded.
func TestLacksIsEnough(t *testing.T) {
	for _, rate := range []int{8000, 16000, 32000, 44100, 64000, 96000, 192000} {
		for _, rates := range [][2]int{{rate, Rate}, {Rate, rate}} {
			for _, n := range []int{1, 48, 218, 437, 480, 1024} {
				r, out := newResampler(rates[0], rates[1]), make([]int16, n)
				for range 100_000 / n {
					r.write(make([]int16, max(0, r.lacks(n))))
					r.buf = slices.Clip(r.buf) // there is nothing behind it
					r.read(out)
				}
			}
		}
	}
}
