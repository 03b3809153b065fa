package sound

import "math"

// How the microphone is lowered while the others speak.
const (
	speaking    = 25                // level of what is played that is speech
	holdBlocks  = 30                // blocks of 10 ms that it stays lowered, for the echo that is still under way
	attackTime  = 5 * Rate / 1000   // samples
	releaseTime = 300 * Rate / 1000 //
)

// ducker lowers the microphone while the others speak: half duplex.
type ducker struct {
	floor float64 // gain while they do
	gain  float64
	hold  int
}

func newDucker(decibels int) ducker {
	return ducker{floor: math.Pow(10, -float64(decibels)/20), gain: 1}
}

// apply lowers near while far, the level of what is played, is that of speech.
func (d *ducker) apply(near []int16, far int) {
	if far >= speaking {
		d.hold = holdBlocks
	}
	to, step := 1.0, math.Pow(d.floor, -1.0/releaseTime)
	if d.hold > 0 {
		d.hold--
		to, step = d.floor, math.Pow(d.floor, 1.0/attackTime)
	}
	for i, x := range near {
		if d.gain != to {
			if d.gain *= step; step < 1 && d.gain < to || step > 1 && d.gain > to {
				d.gain = to
			}
		}
		near[i] = int16(float64(x) * d.gain)
	}
}
