package peer

import (
	"sync"
	"time"

	"github.com/pion/rtcp"
)

// How the estimate of a path behaves. It is told apart from noise by what a bottleneck cannot help: a queue that stands, so
// that even the fastest of many packets is late, and loss of more than every tenth packet. Jitter delays some packets of
// each moment and never all; radio loses some at any rate.
const (
	// standingOver is the delay beyond the path's own at which even the fastest packet of the last 300 ms counts as queued.
	standingOver = 40 * time.Millisecond
	// standingClear is when the queue counts as gone. In between nothing changes.
	standingClear = 20 * time.Millisecond
	// standingReports is over how many reports the fastest packet is looked for. There are ten reports a second.
	standingReports = 3
	// baseEpoch is how long the delay of the path itself is remembered: up to twice that.
	baseEpoch = 20 * time.Second
	// stuckAfter is after how long a queue that will not drain is taken to be the delay of a longer path.
	stuckAfter = 6 * time.Second

	downTo   = 0.85 // of what arrives, when a queue stands
	lossOver = 0.10 // of packets in 2 s: less does not lower the estimate
	lossSome = 0.02 // from here on it rises half as fast

	growth       = 0.08 // a second
	growthFast   = 0.25 // a second, where nothing was wrong for calmAfter: the probe for a path that has become wider
	growthProven = 1.0  // a second, where more gets through than is estimated
	growthNear   = 0.03 // a second, near where a queue stood last
	calmAfter    = 4 * time.Second
	nearFor      = 15 * time.Second // how long it is remembered where that was

	// historyPackets is how many sent packets are remembered until they are reported: some seconds. A power of two.
	historyPackets = 2048
	// packetOverhead is what a packet takes beside RTP, in bytes: SRTP's tag, UDP and IP.
	packetOverhead = 10 + 8 + 20
	// floorBitrate is the least that is estimated, in bit/s, so that it can rise again.
	floorBitrate = 30_000
)

// sentPacket is one that was sent.
type sentPacket struct {
	at    time.Time
	size  int // bytes, with what is around it
	seq   uint16
	state packetState
}

type packetState uint8

const (
	unknown packetState = iota
	flying
	missed // reported as not arrived; it may still come
	arrived
)

// estimator tells how much a path carries, from the far end's reports of what has arrived and when (transport-wide
// congestion control feedback, draft-holmer-rmcat-transport-wide-cc-extensions-01).
type estimator struct {
	mu       sync.Mutex
	min, max int // of what target tells, bit/s
	rate     float64
	near     bool      // see isNear
	heard    bool      // a report has come: the far end can
	fed      time.Time // when the last one came
	idle     bool      // sound alone is sent: a rate that is too high does no harm until pictures come

	sent  [historyPackets]sentPacket
	began time.Time // whence times are told: the clock may be set

	epoch     int64 // of the reports' 24 bit times, in 64 ms
	epochSet  bool
	base      [2]time.Duration // least delays: this epoch's, the last one's; 0: none. Delays are between two clocks: any number
	baseSet   [2]bool
	baseSince time.Time
	fastest   [standingReports]time.Duration // of the last reports
	fastSet   int

	queue     time.Duration // standing
	overSince time.Time     // since when it is more than standingOver; zero: it is not
	someSince time.Time     // and standingClear
	lastQueue time.Duration // when it was lowered last
	lowered   time.Time
	ceiling   float64 // what arrived when a queue stood last
	updated   time.Time
	roundTrip time.Duration

	flows    [standingReports]flow // of the reports that the queue is told by: while it stands, that is what the path carries
	flowed   int
	lastFlow time.Duration // when the last packet arrived, by the far end's clock
	count    uint8         // of the last report
	outcome  [20]outcome
	slot     int64

	// What became of packets that were sent since the estimate was lowered last: of late more than of before.
	fresh      outcome
	freshSince time.Time
}

// outcome counts what became of packets in 100 ms.
type outcome struct{ arrived, lost int }

// flow is what arrived in a time, by the far end's clock.
type flow struct {
	bytes int
	took  time.Duration
}

func newEstimator(least, most int) *estimator {
	e := &estimator{min: least, max: most}
	e.rate = float64(e.start())
	return e
}

// fedFor is for how long what a transport-wide report says counts more than what receiver reports say.
const fedFor = 10 * time.Second

// startBitrate is what is tried first, in bit/s.
const startBitrate = 800_000

func (e *estimator) start() int {
	if e.near {
		return e.max
	}
	return max(min(startBitrate, e.max), e.min)
}

// isNear says that the far end is on the board or near it: the most is tried first, so that one who comes lowers nobody's
// picture.
func (e *estimator) isNear() {
	e.near = true
	e.rate = float64(e.start())
}

// clock is a time since the first that was told.
func (e *estimator) clock(at time.Time) time.Duration {
	if e.began.IsZero() {
		e.began = at
	}
	return at.Sub(e.began)
}

// note remembers a packet that is sent now; size is of RTP.
func (e *estimator) note(seq uint16, size int, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sent[seq%historyPackets] = sentPacket{at: now, size: size + packetOverhead, seq: seq, state: flying}
}

// moved forgets the path: the connection has another one now.
func (e *estimator) moved(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.baseSet, e.fastSet, e.overSince, e.someSince, e.queue = [2]bool{}, 0, time.Time{}, time.Time{}, 0
	e.ceiling, e.flowed = 0, 0
	e.rate = min(e.rate, float64(e.start()))
	e.lowered = now
	e.outcome = [20]outcome{}
}

// target is what may be sent, in bit/s, between the bounds; free is the same without the lower bound.
func (e *estimator) target() (target, free int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	free = min(int(e.rate), e.max)
	return max(free, e.min), free
}

// setIdle tells whether sound alone is sent.
func (e *estimator) setIdle(on bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.idle = on
}

// loss is the part of the packets of the last 2 s that did not arrive.
func (e *estimator) loss() float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all outcome
	for _, o := range e.outcome {
		all.arrived += o.arrived
		all.lost += o.lost
	}
	ratio, _ := all.ratio()
	return ratio
}

// ratio is the part that was lost, of so many packets.
func (o outcome) ratio() (lost float64, packets int) {
	if packets = o.arrived + max(o.lost, 0); packets == 0 {
		return 0, 0
	}
	return float64(max(o.lost, 0)) / float64(packets), packets
}

// report takes a report of the far end's. It may hold anything.
func (e *estimator) report(fb *rtcp.TransportLayerCC, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard, e.fed = true, now
	e.turn(now)
	o := &e.outcome[e.slot%int64(len(e.outcome))]
	start := e.reference(fb.ReferenceTime)
	var fastest time.Duration
	some := false
	bytes, first, firstBytes, last := 0, time.Duration(0), 0, time.Duration(0)
	eachStatus(fb, func(seq uint16, came bool, after time.Duration) {
		p := &e.sent[seq%historyPackets]
		if p.seq != seq || !e.became(p, came, o) {
			return
		}
		if bytes == 0 || start+after < first {
			first, firstBytes = start+after, p.size
		}
		last = max(last, start+after)
		bytes += p.size
		// The clocks are not the same: only differences of this mean anything.
		delay := start + after - e.clock(p.at)
		if !some || delay < fastest {
			fastest, some = delay, true
			e.roundTrip = max(now.Sub(p.at), 0)
		}
	})
	if !some {
		return
	}
	// What came before the report is counted in if it was reported, too.
	f := flow{bytes: bytes - firstBytes, took: last - first}
	if e.flowed > 0 && fb.FbPktCount == e.count+1 && last > e.lastFlow && last-e.lastFlow < time.Second {
		f = flow{bytes: bytes, took: last - e.lastFlow}
	}
	if e.count, e.lastFlow = fb.FbPktCount, last; f.took > 0 {
		e.flows[e.flowed%len(e.flows)] = f
		e.flowed++
	}
	e.delayed(fastest, now)
	e.adjust(now)
}

// became notes what became of a packet; it tells whether it is known only now that it has arrived.
func (e *estimator) became(p *sentPacket, came bool, o *outcome) bool {
	late, fresh := p.state == missed, p.at.After(e.lowered)
	switch {
	case p.state == unknown, p.state == arrived, late && !came:
		return false
	case !came:
		p.state = missed
		o.lost++
		if fresh {
			e.fresh.lost++
		}
		return false
	}
	p.state = arrived
	o.arrived++
	if late {
		o.lost--
	}
	if fresh {
		e.fresh.arrived++
		if late {
			e.fresh.lost--
		}
	}
	return true
}

// turn begins the slots of a new time.
func (e *estimator) turn(now time.Time) {
	slot := e.clock(now).Milliseconds() / 100
	for n := max(e.slot+1, slot-int64(len(e.outcome))+1); n <= slot; n++ {
		e.outcome[n%int64(len(e.outcome))] = outcome{}
	}
	e.slot = max(e.slot, slot)
}

// reference is a report's time, carried on beyond its 24 bits.
func (e *estimator) reference(ticks uint32) time.Duration {
	t := int64(ticks & (1<<24 - 1))
	if e.epochSet {
		t = e.epoch + (t-e.epoch+1<<23)&(1<<24-1) - 1<<23
	}
	e.epoch, e.epochSet = t, true
	return time.Duration(t) * 64 * time.Millisecond
}

// delayed takes the delay of the fastest packet of a report.
func (e *estimator) delayed(d time.Duration, now time.Time) {
	if now.Sub(e.baseSince) >= baseEpoch {
		e.base[1], e.baseSet[1] = e.base[0], e.baseSet[0]
		e.baseSet[0], e.baseSince = false, now
	}
	if !e.baseSet[0] || d < e.base[0] {
		e.base[0], e.baseSet[0] = d, true
	}
	e.fastest[e.fastSet%standingReports] = d
	e.fastSet++
	standing := d
	for _, f := range e.fastest[:min(e.fastSet, standingReports)] {
		standing = min(standing, f)
	}
	base := e.base[0]
	if e.baseSet[1] {
		base = min(base, e.base[1])
	}
	e.queue = standing - base
	since(&e.overSince, e.queue > standingOver, now)
	since(&e.someSince, e.queue > standingClear, now)
	if !e.someSince.IsZero() && now.Sub(e.someSince) >= stuckAfter {
		// Where it is a queue after all, it shows as soon as that is gone.
		e.base[0], e.baseSet = standing, [2]bool{true, false}
		e.baseSince, e.overSince, e.someSince, e.queue = now, time.Time{}, time.Time{}, 0
	}
}

// since keeps since when something is so.
func since(t *time.Time, is bool, now time.Time) {
	switch {
	case !is:
		*t = time.Time{}
	case t.IsZero():
		*t = now
	}
}

// through is what arrived lately, in bit/s.
func (e *estimator) through() float64 {
	var all flow
	for _, f := range e.flows[:min(e.flowed, len(e.flows))] {
		all.bytes += f.bytes
		all.took += f.took
	}
	if all.took <= 0 {
		return 0
	}
	return float64(all.bytes) * 8 / all.took.Seconds()
}

// adjust lowers the estimate at once, or raises it a little.
func (e *estimator) adjust(now time.Time) {
	passed := min(now.Sub(e.updated), 300*time.Millisecond)
	e.updated = now
	if now.Sub(e.freshSince) > time.Second {
		e.fresh.arrived, e.fresh.lost, e.freshSince = e.fresh.arrived/2, max(e.fresh.lost, 0)/2, now
	}
	loss, packets := e.fresh.ratio()
	through := e.through()
	settled := now.Sub(e.lowered) >= e.roundTrip+200*time.Millisecond // what was changed last has shown
	switch {
	case e.queue > standingOver:
		if settled && (e.lowered.Before(e.overSince) || e.queue > e.lastQueue*9/10) {
			e.ceiling = through
			e.lower(downTo*through, now)
		} else if settled {
			e.lastQueue, e.lowered = e.queue, now // it drains
		}
	case loss > lossOver && packets >= 30:
		if settled && now.Sub(e.lowered) >= time.Second {
			e.lower(e.rate*(1-loss/2), now)
		}
	case e.queue < standingClear && now.Sub(e.lowered) >= time.Second:
		if e.idle {
			e.rate = max(e.rate, 0.9*through)
		}
		e.rate *= 1 + e.grows(through, loss, now)*passed.Seconds()
	}
	e.rate = min(max(e.rate, floorBitrate), float64(e.max))
}

func (e *estimator) grows(through, loss float64, now time.Time) float64 {
	calm := now.Sub(e.lowered)
	near := e.ceiling > 0 && calm < nearFor && e.rate > 0.8*e.ceiling && e.rate < 1.1*e.ceiling
	switch {
	case e.idle:
		return growthFast
	case loss >= lossSome:
		return growth / 2
	case through > e.rate: // by a camera that encodes as it likes
		return growthProven
	case near:
		return growthNear
	case calm >= calmAfter && through > e.rate/2: // it is known that what is estimated gets through
		return growthFast
	}
	return growth
}

func (e *estimator) lower(to float64, now time.Time) {
	e.rate = min(e.rate, to)
	e.lowered, e.lastQueue = now, e.queue
	e.fresh, e.freshSince = outcome{}, now
}

// reported takes what the far end says in a receiver report, which counts where it cannot do better.
func (e *estimator) reported(loss float64, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.heard && now.Sub(e.fed) < fedFor {
		return
	}
	passed := min(now.Sub(e.updated), 5*time.Second)
	e.updated = now
	switch {
	case loss > lossOver:
		e.lower(e.rate*(1-loss/2), now)
	case loss < lossSome:
		e.rate *= 1 + growth*passed.Seconds()
	}
	e.rate = min(max(e.rate, floorBitrate), float64(e.max))
}

// eachStatus tells what a report says of each packet, and when it came after the report's reference time. It stops where
// the report contradicts itself, and at as many packets as are remembered.
func eachStatus(fb *rtcp.TransportLayerCC, f func(seq uint16, came bool, after time.Duration)) {
	seq, deltas := fb.BaseSequenceNumber, fb.RecvDeltas
	left := min(int(fb.PacketStatusCount), historyPackets)
	var at time.Duration
	one := func(symbol uint16) bool {
		came := symbol == rtcp.TypeTCCPacketReceivedSmallDelta || symbol == rtcp.TypeTCCPacketReceivedLargeDelta
		if came {
			if len(deltas) == 0 || deltas[0] == nil {
				return false
			}
			at += time.Duration(deltas[0].Delta) * time.Microsecond
			deltas = deltas[1:]
		}
		f(seq, came, at)
		seq++
		left--
		return left > 0
	}
	for _, chunk := range fb.PacketChunks {
		switch c := chunk.(type) {
		case *rtcp.RunLengthChunk:
			for range c.RunLength {
				if left <= 0 || !one(c.PacketStatusSymbol) {
					return
				}
			}
		case *rtcp.StatusVectorChunk:
			for _, symbol := range c.SymbolList {
				if left <= 0 || !one(symbol) {
					return
				}
			}
		default:
			return
		}
	}
}

// full tells that the path is full, or was just now.
func (e *estimator) full(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.overSince.IsZero() || !e.lowered.IsZero() && now.Sub(e.lowered) < time.Second
}

// standing is how long the queue at the bottleneck is.
func (e *estimator) standing() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return max(e.queue, 0)
}
