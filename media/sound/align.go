package sound

import "math"

// How what was played is brought beside what was captured. Times in samples of Rate.
const (
	margin    = 5 * Rate / 1000  // that what was played is ahead of its echo at least
	wander    = Rate / 1000      // that the devices' clocks may run apart until that is made up for
	astray    = 15 * Rate / 1000 // beyond it they lost each other's time: samples are missing
	settling  = 8 * Rate         // until the mean of what is seen is steady
	sure      = 20               // blocks for which that has to be so
	mostDrift = 0.001            // that clocks run apart
)

// aligner gives for each block of a microphone's what was played at that time. Both
// devices are watched by how many samples they took or gave by the same time. That
// they do not do so smoothly is averaged away; that their clocks run apart is made up
// for by a rate that is a little off, which is steady, since a canceller cannot follow
// one that is not. On the same clock it is exactly 1.
type aligner struct {
	far     *resampler
	piece   []int16
	known   bool
	fed     int64   // index of the next sample of played that goes into far
	done    int64   // samples of the microphone's that were cleaned, or lost before
	off     float64 // samples played less those captured, smoothed
	wrong   int     // blocks for which off was far from what is seen
	base    float64 // difference that is left as it is, to be quiet
	drift   float64
	since   float64 // samples since drift was judged
	settled bool
}

func newAligner() aligner { return aligner{far: newResampler(Rate, Rate)} }

// read gives what was played beside a block, whose first sample is that index of what
// was captured. seen is how many samples were captured and played how many were given
// at one time, -1 if none are. It tells when the devices have lost each other's time.
func (a *aligner) read(p *Played, index, seen, played int64, far []int16) (leapt bool) {
	lost := index != a.done
	a.done = index + int64(len(far))
	if played < 0 {
		a.known = false
		clear(far)
		return false
	}
	off := float64(played - seen)
	switch {
	case !a.known:
		a.known = true
		a.seat(index, off)
	case lost:
		leapt = true
		a.seat(index, off)
	case math.Abs(off-a.off) > astray:
		if a.wrong++; a.wrong >= sure {
			leapt = true
			a.seat(index, off)
		}
	default:
		a.wrong = 0
		a.off += (off - a.off) / 200
	}
	a.since += float64(len(far))
	miss := a.wanted(index) - a.position() - a.base
	switch {
	case !a.settled && a.since > settling: // the mean is one by now
		a.settled, a.base, a.since = true, a.base+miss, 0
	case math.Abs(miss) > astray:
		leapt = true
		a.seat(index, off)
	case a.settled && math.Abs(miss) > wander:
		a.drift = min(mostDrift, max(-mostDrift, a.drift+miss/a.since))
		a.base, a.since = a.base+miss, 0
	}
	a.far.step = 1 + a.drift
	if n := a.far.lacks(len(far)); n > 0 {
		a.piece = sized(a.piece, n)
		p.read(a.fed, a.piece)
		a.fed += int64(n)
		a.far.write(a.piece)
	}
	a.far.read(far)
	return leapt
}

// wanted is the index of what was played that goes with an index of what was captured.
func (a *aligner) wanted(index int64) float64 { return float64(index) + a.off - float64(margin) }

// position is the index of what is read next.
func (a *aligner) position() float64 { return float64(a.fed-int64(len(a.far.buf))) + a.far.at }

// seat begins anew where off is the difference.
func (a *aligner) seat(index int64, off float64) {
	a.off, a.base, a.wrong, a.since, a.settled = off, 0, 0, 0, false
	a.far.reset()
	a.fed = int64(a.wanted(index))
}
