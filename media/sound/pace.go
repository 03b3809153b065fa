package sound

import "math"

// How what waits is kept near the target. Times in samples of Rate.
const (
	chase    = 8 * Rate          // in which a small difference is played away
	bend     = 0.005             // of the rate at most: not heard
	fine     = 20 * Rate / 1000  // a difference that the rate makes up for
	coarse   = 60 * Rate / 1000  // one that pieces are left out for, as often as can be
	often    = 60 * Rate / 1000  // sound between pieces then
	seldom   = 150 * Rate / 1000 // and else
	hopeless = 600 * Rate / 1000 // a difference that is dropped at once
	shortest = Rate / 400        // piece, 400 Hz
	longest  = Rate / 80         // 80 Hz: a voice's lowest
	match    = 5 * Rate / 1000   // that is compared to find a piece's length
	hush     = 10                // level that is silence to listeners
)

// pacer watches the level, which is the time from the quickest packets' arrival until
// they are heard.
type pacer struct {
	level   float64 // samples, smoothed
	known   bool
	since   int // samples heard since a piece was left out or put in, up to seldom
	waiting int // the least that has waited since then
}

// pace keeps the level near the target. Small differences, such as clocks that run
// apart make, it plays away by a rate that is a little off. Larger ones come of a jam
// or a jitter that has changed: it leaves out or puts in pieces of the voice's own
// period, which hardly sounds, or silence, which does not at all.
func (v *Voice) pace(now int64) {
	p, target := &v.pacer, float64(v.arrivals.target())
	level := float64(now - v.position() - v.arrivals.base)
	if !p.known {
		*p = pacer{level: level, known: true, waiting: v.buffered()}
	}
	p.level += (level - p.level) / 50
	p.since = min(seldom, p.since+blockSamples)
	p.waiting = min(p.waiting, v.buffered())
	off := p.level - target
	v.play.step = 1 + min(bend, max(-bend, off/chase))
	apart := seldom
	if math.Abs(off) > coarse {
		apart = often
	}
	if p.since < apart || math.Abs(off) < fine {
		return
	}
	moved := 0
	switch spare := p.waiting - 2*blockSamples; {
	case off > hopeless && spare > hopeless:
		p.level -= float64(v.drop(int(off)))
	case off > 0 && spare > shortest:
		moved = -v.leaveOut(min(spare, int(off)))
	case off < 0:
		moved = v.putIn()
	}
	p.since, p.waiting = 0, v.buffered()
	p.level += float64(moved)
}

// drop leaves out whole packets, about n samples, and returns how many.
func (v *Voice) drop(n int) int {
	before := v.due
	for int(v.due-before) < n-v.packed && v.store.waiting > 1 {
		v.skipTo(v.store.next + 1)
	}
	return int(v.due - before)
}

// ahead has n samples decoded, if nothing is missing among them.
func (v *Voice) ahead(n int) bool {
	for v.play.length() < n {
		if p := v.store.at(v.store.next); p == nil || !v.playing || p.stamp-v.due >= pause || !v.decode(0) {
			return false
		}
	}
	return true
}

// leaveOut leaves out up to n samples of what is heard next and returns how many.
func (v *Voice) leaveOut(n int) int {
	if !v.ahead(longest + match + match) {
		return 0
	}
	w := v.play.waiting()
	if level(w[:longest+match]) < hush {
		n = min(n, longest)
	} else if n = period(w, min(n, longest)); n == 0 {
		return 0
	}
	// The n samples after the first fade into those that follow them.
	k := min(n, match)
	for i := range k {
		w[i+n] = fade(w[i], w[i+n], i, k)
	}
	v.play.cut(n)
	return n
}

// putIn repeats a piece of what is heard next and returns its length.
func (v *Voice) putIn() int {
	if !v.ahead(longest + match + match) {
		return 0
	}
	w := v.play.waiting()
	n := period(w, longest)
	if n == 0 {
		n = longest
	}
	k := min(n, match)
	piece := make([]int16, n)
	copy(piece, w[:n])
	for i := range k {
		piece[i] = fade(w[n+i], w[i], i, k) // it follows what came before w[n]
	}
	v.play.insert(n, piece)
	return n
}

// fade is i parts of k of the way from a to b.
func fade(a, b int16, i, k int) int16 { return int16((int(a)*(k-i) + int(b)*i) / k) }

// period is after how many samples, up to most, pcm is likest to itself; 0: nowhere.
func period(pcm []int16, most int) int {
	best, found := 0.5, 0
	for lag := shortest; lag <= most; lag += 2 {
		var ab, aa, bb float64
		for i := 0; i < match; i += 3 {
			a, b := float64(pcm[i]), float64(pcm[i+lag])
			ab, aa, bb = ab+a*b, aa+a*a, bb+b*b
		}
		if c := ab / math.Sqrt(aa*bb+1); c > best {
			best, found = c, lag
		}
	}
	return found
}
