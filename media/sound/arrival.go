package sound

import "math"

// How much is gathered before a voice is heard. Times in samples of Rate.
const (
	minTarget = 40 * Rate / 1000
	maxTarget = 120 * Rate / 1000
	growth    = 20 * Rate / 1000 // when the target was too short
	decay     = growth / 4       // in each settled time without need
	settled   = 2 * Rate
)

// How delays are counted: as shares of all, the old ones ever less. 98 of 100 packets
// are to come in time, and what was seen counts half after 20 s (as in WebRTC's NetEq).
const (
	bucket   = 5 * Rate / 1000
	buckets  = 64
	forget   = 0.9993
	inTime   = 0.98
	spans    = 8
	spanTime = Rate / 4
)

// arrivals measures how regularly a stream comes: each packet's delay is its time of
// arrival less its timestamp, from the least of the last two seconds on. Clocks that
// run apart and ways that become longer so move the least, and are no jitter.
type arrivals struct {
	known  bool
	share  [buckets]float64
	weight float64 // that what was seen before has when the next one is counted
	least  [spans]int64
	span   int64   // number of the newest one
	base   int64   // the least delay
	last   int64   // delay of the packet before
	jitter float64 // as in RFC 3550 §6.4.1
	floor  int     // of the target, after it was too short
	raised int64   // when floor was changed
}

// delayed notes a packet.
func (a *arrivals) note(now, stamp int64) {
	delay := now - stamp
	if !a.known {
		*a = arrivals{known: true, last: delay, base: delay, span: now / spanTime, floor: minTarget, raised: now}
		for i := range a.least {
			a.least[i] = math.MaxInt64
		}
	}
	d := float64(delay - a.last)
	a.jitter += (math.Abs(d) - a.jitter) / 16
	a.last = delay
	for n := now / spanTime; a.span < n; {
		if n-a.span > spans {
			a.span = n - spans
		}
		a.span++
		a.least[a.span%spans] = math.MaxInt64
	}
	here := &a.least[a.span%spans]
	*here = min(*here, delay)
	a.base = delay
	for _, l := range a.least {
		a.base = min(a.base, l)
	}
	k := min(buckets-1, (delay-a.base)/bucket)
	for i := range a.share {
		a.share[i] *= a.weight
	}
	a.share[k] += 1 - a.weight
	a.weight = min(forget, 1-(1-a.weight)/(2-a.weight)) // 0, 1/2, 2/3, 3/4, …: all alike at first
	if now-a.raised > settled && a.floor > minTarget {
		a.floor, a.raised = max(minTarget, a.floor-decay), now
	}
}

// short says that the target was too short.
func (a *arrivals) short(now int64) {
	a.floor, a.raised = min(maxTarget, a.target()+growth), now
}

// target is how much is to be gathered.
func (a *arrivals) target() int {
	sum, k := 0.0, 0
	for ; k < buckets-1; k++ {
		if sum += a.share[k]; sum >= inTime {
			break
		}
	}
	// A block is read at a time: its end is wanted that much too soon.
	return max(minTarget, a.floor, min(maxTarget, (k+1)*bucket+blockSamples))
}
