package sound

import (
	"math"
	"sync"
)

// The kernel of a resampler: a sinc under Kaiser's window, in steps of 1/phases of a
// sample. What lies between two steps is rounded to one: 80 dB below a tone of 1 kHz.
const (
	phases = 1024
	reach  = 16 // samples on either side of the one that is made, at its own rate
	kaiser = 8  // of Kaiser's window: 80 dB
	edge   = 0.94
)

// kernel holds a row of weights for each phase.
type kernel struct {
	reach int
	rows  []float32 // phases+1 rows of 2*reach
}

// plain is the kernel where the rate falls by nothing to speak of.
var plain = sync.OnceValue(func() *kernel { return newKernel(1) })

// newKernel makes one that lets pass what is below cutoff, 1 being half of the input's
// rate.
func newKernel(cutoff float64) *kernel {
	cutoff *= edge
	k := &kernel{reach: int(math.Ceil(reach / math.Min(1, cutoff/edge)))}
	n := 2 * k.reach
	k.rows = make([]float32, (phases+1)*n)
	for p := range phases + 1 {
		row, sum := k.rows[p*n:(p+1)*n], 0.0
		for i := range row {
			x := float64(i-k.reach+1) - float64(p)/phases
			w := 0.0
			if r := x / float64(k.reach); r > -1 && r < 1 {
				w = bessel(kaiser*math.Sqrt(1-r*r)) * cutoff
				if x != 0 {
					w *= math.Sin(math.Pi*cutoff*x) / (math.Pi * cutoff * x)
				}
			}
			row[i], sum = float32(w), sum+w
		}
		for i := range row {
			row[i] /= float32(sum)
		}
	}
	return k
}

// bessel is I0, that Kaiser's window is made of.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for n := 1.0; term*term > 1e-12*sum; n++ {
		term *= x / 2 / n
		sum += term * term
	}
	return sum
}

// resampler holds samples and gives them at another rate, which may change at any
// time. At the same rate it hands them on as they are, later by 16 samples.
type resampler struct {
	kernel *kernel
	step   float64 // input samples to one of the output
	at     float64 // of the next one to be made, as an index of buf
	buf    []int16
}

// newResampler makes one from a rate to another, in Hz.
func newResampler(from, to int) *resampler {
	r := &resampler{kernel: plain(), step: float64(from) / float64(to)}
	if from > to {
		r.kernel = newKernel(float64(to) / float64(from))
	}
	r.reset()
	return r
}

// reset begins anew, behind silence.
func (r *resampler) reset() {
	r.buf = append(r.buf[:0], make([]int16, r.kernel.reach)...)
	r.at = float64(r.kernel.reach)
}

func (r *resampler) write(pcm []int16) { r.buf = append(r.buf, pcm...) }

// length is how many input samples wait, those that the kernel looks ahead at among
// them.
func (r *resampler) length() int { return len(r.buf) - int(r.at) }

// waiting are the samples that wait; they may be changed.
func (r *resampler) waiting() []int16 { return r.buf[int(r.at):] }

// cut leaves out n of the samples that wait, the oldest.
func (r *resampler) cut(n int) {
	i := int(r.at)
	r.buf = r.buf[:i+copy(r.buf[i:], r.buf[i+n:])]
}

// insert puts samples before the ones that wait, n of these excepted.
func (r *resampler) insert(n int, pcm []int16) {
	i := int(r.at) + n
	r.buf = append(r.buf, pcm...)
	copy(r.buf[i+len(pcm):], r.buf[i:])
	copy(r.buf[i:], pcm)
}

// place is where the output's sample i is made, as an index of buf. What is computed in
// another way is rounded in another way.
func (r *resampler) place(i int) float64 { return r.at + float64(float64(i)*r.step) }

// lacks is how many input samples n of the output still want.
func (r *resampler) lacks(n int) int {
	return int(r.place(n-1)) + r.kernel.reach + 1 - len(r.buf)
}

// read makes as many samples as out holds; false: too little waits, and nothing is
// made.
func (r *resampler) read(out []int16) bool {
	if r.lacks(len(out)) > 0 {
		return false
	}
	width := 2 * r.kernel.reach
	if r.step == 1 && r.at == math.Floor(r.at) {
		copy(out, r.buf[int(r.at):])
	} else {
		for i := range out {
			at := r.place(i)
			k := int(at)
			row := int((at-float64(k))*phases+0.5) * width
			first := k - r.kernel.reach + 1
			out[i] = dot(r.kernel.rows[row:row+width], r.buf[first:first+width])
		}
	}
	at := r.place(len(out))
	// The kernel looks back as far as ahead.
	if drop := int(at) - r.kernel.reach; drop > 0 {
		r.buf = r.buf[:copy(r.buf, r.buf[drop:])]
		at -= float64(drop)
	}
	r.at = at
	return true
}

func dot(weights []float32, pcm []int16) int16 {
	pcm = pcm[:len(weights)]
	var a, b float32
	for i := 0; i+1 < len(weights); i += 2 {
		a += weights[i] * float32(pcm[i])
		b += weights[i+1] * float32(pcm[i+1])
	}
	return round(a + b)
}

func round(x float32) int16 {
	if x < 0 {
		return int16(max(x-0.5, -32768))
	}
	return int16(min(x+0.5, 32767))
}
