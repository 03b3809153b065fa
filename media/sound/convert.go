package sound

import (
	"encoding/binary"
	"math"

	"github.com/gen2brain/malgo"
)

// shape is how a device's samples come, as the card grants it.
type shape struct {
	format   malgo.FormatType
	channels int
	rate     int // Hz
}

var formatNames = map[malgo.FormatType]string{
	malgo.FormatU8: "U8", malgo.FormatS16: "S16", malgo.FormatS24: "S24", malgo.FormatS32: "S32", malgo.FormatF32: "F32",
}

var formatSizes = map[malgo.FormatType]int{
	malgo.FormatU8: 1, malgo.FormatS16: 2, malgo.FormatS24: 3, malgo.FormatS32: 4, malgo.FormatF32: 4,
}

// frame is the size of a sample of each channel, in bytes.
func (s shape) frame() int { return formatSizes[s.format] * s.channels }

// mono appends the channels' mean of a device's samples.
func (s shape) mono(to []int16, b []byte) []int16 {
	size, frame := formatSizes[s.format], s.frame()
	for ; len(b) >= frame; b = b[frame:] {
		sum := 0
		for c := range s.channels {
			sum += int(s.sample(b[c*size:]))
		}
		to = append(to, int16(sum/s.channels))
	}
	return to
}

// sample is the first of b, in the machine's order, which is that of ALSA's formats.
func (s shape) sample(b []byte) int16 {
	switch s.format {
	case malgo.FormatU8:
		return (int16(b[0]) - 128) << 8
	case malgo.FormatS16:
		return int16(binary.NativeEndian.Uint16(b))
	case malgo.FormatS24:
		return int16(binary.LittleEndian.Uint16(b[1:])) // miniaudio's is packed
	case malgo.FormatS32:
		return int16(binary.NativeEndian.Uint32(b) >> 16)
	}
	return round(math.Float32frombits(binary.NativeEndian.Uint32(b)) * 32768)
}

// all puts pcm on every channel of a device's samples. b has room for it.
func (s shape) all(b []byte, pcm []int16) {
	size := formatSizes[s.format]
	for _, x := range pcm {
		for range s.channels {
			switch s.format {
			case malgo.FormatU8:
				b[0] = byte(x>>8 + 128)
			case malgo.FormatS16:
				binary.NativeEndian.PutUint16(b, uint16(x))
			case malgo.FormatS24:
				b[0] = 0
				binary.LittleEndian.PutUint16(b[1:], uint16(x))
			case malgo.FormatS32:
				binary.NativeEndian.PutUint32(b, uint32(uint16(x))<<16)
			default:
				binary.NativeEndian.PutUint32(b, math.Float32bits(float32(x)/32768))
			}
			b = b[size:]
		}
	}
}

// intake turns what a device has heard into samples of ours.
type intake struct {
	shape
	rates *resampler // nil: the rate is ours
	pcm   []int16
}

func newIntake(s shape) *intake {
	in := &intake{shape: s}
	if s.rate != Rate {
		in.rates = newResampler(s.rate, Rate)
	}
	return in
}

// take gives the samples, which are good until the next call.
func (in *intake) take(b []byte) []int16 {
	in.pcm = in.mono(in.pcm[:0], b)
	if in.rates == nil {
		return in.pcm
	}
	in.rates.write(in.pcm)
	const step = Rate / 1000
	in.pcm = in.pcm[:0]
	for in.rates.lacks(step) <= 0 {
		in.pcm = append(in.pcm, make([]int16, step)...)
		in.rates.read(in.pcm[len(in.pcm)-step:])
	}
	return in.pcm
}

// outlet turns samples of ours into what a device plays.
type outlet struct {
	shape
	rates *resampler // nil: the rate is ours
	pcm   []int16
}

func newOutlet(s shape) *outlet {
	out := &outlet{shape: s}
	if s.rate != Rate {
		out.rates = newResampler(Rate, s.rate)
	}
	return out
}

// fill fills all of b with what fill gives.
func (out *outlet) fill(b []byte, fill func([]int16)) {
	n := len(b) / out.frame()
	if out.rates != nil {
		if lacks := out.rates.lacks(n); lacks > 0 {
			out.pcm = sized(out.pcm, lacks)
			fill(out.pcm)
			out.rates.write(out.pcm)
		}
		out.pcm = sized(out.pcm, n)
		out.rates.read(out.pcm)
	} else {
		out.pcm = sized(out.pcm, n)
		fill(out.pcm)
	}
	out.all(b, out.pcm)
}

// sized is pcm with room for n samples.
func sized(pcm []int16, n int) []int16 {
	if cap(pcm) < n {
		return make([]int16, n)
	}
	return pcm[:n]
}
