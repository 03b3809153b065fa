package sound

import "math"

// How what was played is brought beside what was captured. Times in samples of Rate.
const (
	margin    = 5 * Rate / 1000  // that what was played is ahead of its echo at least
	wander    = Rate / 1000      // that the devices' clocks may run apart until that is made up for
	astray    = 15 * Rate / 1000 // beyond it they lost each other's time: samples are missing
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
	known   bool
	fed     int64   // index of the next sample of played that goes into far
	done    int64   // samples of the microphone's that were cleaned
	off     float64 // samples played less those captured, smoothed
	wrong   int     // blocks for which off was far from what is seen
	base    float64 // difference that is left as it is, to be quiet
	drift   float64
	since   float64 // samples since drift was judged
	shift   int     // that what was played is delayed by, besides margin
	delay   int     // from giving to its echo; 0: not known
	finding delayFinder
}

func newAligner() aligner { return aligner{far: newResampler(Rate, Rate)} }

// read gives what was played beside the next block. seen is how many samples were
// captured and played how many were given at one time, -1 if none are. It tells when
// the devices have lost each other's time.
func (a *aligner) read(p *Played, seen, played int64, far []int16) (leapt bool) {
	at := a.done
	a.done += int64(len(far))
	if played < 0 {
		a.known = false
		clear(far)
		return false
	}
	off := float64(played - seen)
	switch {
	case !a.known:
		a.known = true
		a.seat(at, off)
	case math.Abs(off-a.off) > astray:
		if a.wrong++; a.wrong >= sure {
			leapt = true
			a.seat(at, off)
		}
	default:
		a.wrong = 0
		a.off += (off - a.off) / 200
	}
	a.since += float64(len(far))
	miss := a.wanted(at) - a.position() - a.base
	switch {
	case math.Abs(miss) > astray:
		leapt = true
		a.seat(at, off)
	case math.Abs(miss) > wander:
		a.drift = min(mostDrift, max(-mostDrift, a.drift+miss/a.since))
		a.base, a.since = a.base+miss, 0
	}
	a.far.step = 1 + a.drift
	if n := a.far.lacks(len(far)); n > 0 {
		piece := make([]int16, n)
		p.read(a.fed, piece)
		a.fed += int64(n)
		a.far.write(piece)
	}
	a.far.read(far)
	return leapt
}

// wanted is the index of what was played that goes with what was captured at.
func (a *aligner) wanted(at int64) float64 { return float64(at) + a.off - float64(margin+a.shift) }

// position is the index of what is read next.
func (a *aligner) position() float64 { return float64(a.fed-int64(len(a.far.buf))) + a.far.at }

// seat begins anew where off is the difference.
func (a *aligner) seat(at int64, off float64) {
	a.off, a.base, a.wrong, a.since = off, 0, 0, 0
	a.far.reset()
	a.fed = int64(a.wanted(at))
}

// watch looks for the echo of far in near. It tells when far comes later or sooner
// from now on, so that its echo is within the canceller's reach.
func (a *aligner) watch(near, far []int16) (moved bool) {
	lag, found := a.finding.note(near, far)
	if !found {
		return false
	}
	a.delay = lag + a.shift + margin
	if lag >= early && lag <= late {
		return false
	}
	shift := max(0, a.shift+lag-(early+late)/4)
	if shift == a.shift {
		return false
	}
	a.shift = shift
	a.finding = delayFinder{}
	a.seat(a.done, a.off)
	return true
}

// Where an echo is to begin after what is given as far, in samples of Rate.
const (
	early = 3 * Rate / 1000
	late  = 60 * Rate / 1000
)

// The search works at a twelfth of the rate: 4 kHz.
const (
	coarser  = Rate / 4000
	piece    = blockSamples / coarser
	lags     = 4000 * 300 / 1000 // 300 ms
	lookTime = 100               // blocks between two looks
	clearly  = 6                 // times the mean that the highest correlation is above
)

// delayFinder finds after how long far is heard in near, by their correlation.
type delayFinder struct {
	far       [lags + piece]float32 // the newest last
	sums      [lags]float32
	last      [2]float32
	blocks    int
	candidate int
}

func (d *delayFinder) note(near, far []int16) (lag int, found bool) {
	var n, f [piece]float32
	coarsen(n[:], near, &d.last[0])
	coarsen(f[:], far, &d.last[1])
	copy(d.far[:], d.far[piece:])
	copy(d.far[lags:], f[:])
	if power(far) < 1e4 && power(near) < 1e4 {
		return 0, false
	}
	for l := range d.sums {
		window := d.far[lags-l : lags-l+piece]
		var sum float32
		for i, x := range n {
			sum += x * window[i]
		}
		d.sums[l] = d.sums[l]*0.998 + sum
	}
	if d.blocks++; d.blocks%lookTime != 0 {
		return 0, false
	}
	best, total := 0, 0.0
	for l, s := range d.sums {
		x := math.Abs(float64(s))
		total += x
		if x > math.Abs(float64(d.sums[best])) {
			best = l
		}
	}
	before := d.candidate
	d.candidate = best
	if math.Abs(float64(d.sums[best])) < clearly*total/lags || best < before-8 || best > before+8 {
		return 0, false
	}
	return best * coarser, true
}

// coarsen takes the mean of each few samples, and of these the differences, which evens
// out how loud low voices are.
func coarsen(to []float32, pcm []int16, last *float32) {
	for i := range to {
		var sum float32
		for _, x := range pcm[i*coarser : (i+1)*coarser] {
			sum += float32(x)
		}
		to[i], *last = sum-*last, sum
	}
}
