package sound

import (
	"sync"
	"sync/atomic"
	"time"
)

// How the jitter buffer behaves. Times in samples of Rate.
const (
	fadeOut   = 80 * Rate / 1000  // over which a gap fades to silence
	fadeIn    = 5 * Rate / 1000   // after it
	maxPacket = 120 * Rate / 1000 // sound in one packet (RFC 6716 §3.1)
	rewind    = 1000              // a jump of sequence numbers that is another stream,
	leap      = 5 * Rate          // and one of the time between sending and arriving
	quantum   = Rate / 400        // of what Opus can make up: 2.5 ms
	pause     = 5 * Rate / 1000   // a leap of timestamps with none of numbers: silence (DTX)
)

// Voice is the sound of one sender. Its packets come by the net's time, and it is read
// by the speaker's. All may be called from any goroutine.
type Voice struct {
	remove func()       // takes it out of the mix; may be called again
	clock  func() int64 // samples of Rate since some time
	lead   atomic.Int64 // ns from reading it to hearing it; set by the reader

	mu        sync.Mutex
	store     store
	arrivals  arrivals
	begun     bool // a packet came
	fresh     bool // and nothing was heard since
	strange   bool // the last packet was of another stream,
	stranger  uint16
	newest    int64 // stamp of the newest packet
	playing   bool  // packets are heard one behind the other
	due       int64 // stamp of what is decoded next
	play      *resampler
	faded     int    // samples made up since the last packet
	unsettled uint64 // those of them that are the sender's silence if nothing was lost
	lostThen  uint64 // stats.lost when there was nothing left to play
	packed    int    // samples in a packet
	pacer     pacer
	decoder   *decoder
	out       []int16
	closed    bool
	level     int
	stats     voiceStats
}

// voiceStats counts. Times in samples.
type voiceStats struct {
	received, lost, late, twice, bad, recovered uint64 // packets
	total, concealed                            uint64
}

// VoiceStats is how well a voice arrives.
type VoiceStats struct {
	Packets   uint64        // that came
	Lost      uint64        // that never came
	Late      uint64        // that came after their time, or were too many: not heard
	Twice     uint64        // that came again
	Bad       uint64        // that are no Opus
	Recovered uint64        // of the lost, from the error correction in the packet after
	Concealed uint64        // samples of Rate that were made up,
	Total     uint64        // of all that were heard since the first packet
	Target    time.Duration // that is gathered at present, and
	Level     time.Duration // that really is: from the quickest packets' arrival to hearing
	Jitter    time.Duration // RFC 3550 §6.4.1
	Rate      float64       // that it is played at, 1 ± 0.005, to follow the sender's clock
}

// sampleClock counts samples of Rate from now on.
func sampleClock() func() int64 {
	begin := time.Now()
	return func() int64 {
		d := time.Since(begin)
		return int64(d/time.Second)*Rate + int64(d%time.Second*Rate/time.Second) // d*Rate leaves 64 bits after two days
	}
}

func newVoice() *Voice {
	v := &Voice{
		remove: func() {}, clock: sampleClock(),
		packed: frameSamples, out: make([]int16, maxPacket), play: newResampler(Rate, Rate),
	}
	v.newDecoder()
	return v
}

// newDecoder begins anew. Without memory for a decoder packets count as bad.
func (v *Voice) newDecoder() {
	v.decoder.close()
	d, err := newDecoder()
	if err != nil {
		d = new(decoder)
	}
	v.decoder = d
}

// Push takes an RTP packet as it comes, with its timestamp in samples of Rate. It
// does not wait, and keeps a copy.
func (v *Voice) Push(seq uint16, timestamp uint32, payload []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return
	}
	if len(payload) == 0 || len(payload) > maxPayload {
		v.stats.bad++
		return
	}
	v.stats.received++
	now := v.clock()
	if !v.begun {
		v.begun = true
		v.restart(seq, timestamp)
	}
	stamp := v.newest + int64(int32(timestamp-uint32(v.newest)))
	ahead := int(int16(seq - v.store.next))
	off := now - stamp - v.arrivals.base
	if ahead > rewind || ahead < -rewind || v.arrivals.known && (off > leap || off < -leap) {
		// Another stream, if the next one is of it, too (as in RFC 3550 §A.1).
		if !v.strange || seq != v.stranger+1 {
			v.strange, v.stranger = true, seq
			v.stats.late++
			return
		}
		v.restart(seq, timestamp)
		stamp, ahead = v.newest, 0
	}
	v.strange = false
	switch p := &v.store.packets[seq%slots]; {
	case v.store.at(seq) != nil:
		v.stats.twice++
		return
	case ahead < 0 && v.fresh && ahead > -slots/2: // they came out of order before anything was heard
		v.store.next = seq
	case ahead < 0:
		if p.missed && p.seq == seq {
			p.missed = false
			v.stats.late++
			v.stats.lost--
			v.lostThen = min(v.lostThen, v.stats.lost)
			v.arrivals.note(now, stamp)
		} else {
			v.stats.twice++
		}
		return
	case ahead >= slots: // the reader has fallen behind: what is oldest goes
		v.skipTo(seq - slots + 1)
	}
	v.store.put(seq, stamp, payload)
	v.newest = max(v.newest, stamp)
	v.arrivals.note(now, stamp)
}

// restart begins with another stream.
func (v *Voice) restart(seq uint16, timestamp uint32) {
	v.store.clear(seq)
	v.newest = int64(timestamp) + 1<<32 // so that what is older is no less than 0
	v.arrivals.known = false
	v.playing, v.fresh, v.strange, v.unsettled = false, true, false, 0
	v.newDecoder()
}

// skipTo leaves out what is before seq.
func (v *Voice) skipTo(seq uint16) {
	for n := 0; int16(seq-v.store.next) > 0 && n <= rewind; n++ {
		if p := v.store.take(); p != nil {
			v.stats.late++
			v.due = p.stamp + int64(v.packed)
		} else {
			v.stats.lost++
			v.due += int64(v.packed)
		}
	}
}

// buffered is how many samples wait, as far as is known.
func (v *Voice) buffered() int { return v.store.waiting*v.packed + v.play.length() }

// position is the stamp of the sample that is read next.
func (v *Voice) position() int64 { return v.due - int64(v.play.length()) }

// read fills block with what is to be heard next; false: nothing is.
func (v *Voice) read(block []int16) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed || !v.begun {
		return false
	}
	now := v.clock()
	for v.play.lacks(len(block)) > 0 {
		if !v.decode(now) {
			v.makeUp()
		}
	}
	if v.playing {
		v.pace(now)
	}
	for v.play.lacks(len(block)) > 0 { // it may be played a little faster now
		if !v.decode(now) {
			v.makeUp()
		}
	}
	v.play.read(block)
	v.stats.total += uint64(len(block))
	v.level = level(block)
	return v.faded < fadeOut || v.level > 0
}

// ready tells whether the first packet that waits is to be heard now that nothing is
// played before it: once it has waited for the target, so that all that are delayed as
// much as that come in time. After it has become short the delay so grows at once,
// after a jam it shrinks, in a pause that is none of sound.
func (v *Voice) ready(now int64) bool {
	p, missing := v.store.first()
	if p == nil {
		return false
	}
	if begins := p.stamp - int64(v.play.length()); now-begins < v.arrivals.base+int64(v.arrivals.target()) && v.store.waiting < slots*3/4 {
		return false
	}
	v.stats.lost += uint64(missing)
	if !v.fresh {
		lost := v.stats.lost - v.lostThen
		switch late := lost == 0 && p.stamp-v.due < pause; {
		case late: // it should have been here long ago
			v.arrivals.short(now)
			v.stats.concealed += v.unsettled
		case lost > 0: // and the rest of the time the sender was silent
			v.stats.concealed += min(v.unsettled, lost*uint64(v.packed))
		}
	}
	for range missing {
		v.store.take()
	}
	v.due, v.playing, v.fresh, v.unsettled, v.pacer.known = p.stamp, true, false, 0, false
	return true
}

// decode puts the next packet behind what is played, or what makes up for one that is
// lost; false: there is none, or not yet.
func (v *Voice) decode(now int64) bool {
	if !v.playing && !v.ready(now) {
		return false
	}
	first, missing := v.store.first()
	if first == nil || missing == 0 && first.stamp-v.due >= pause {
		v.playing, v.lostThen = false, v.stats.lost
		return false
	}
	if missing > 0 {
		v.store.take()
		v.stats.lost++
		v.fill(first, missing)
		return true
	}
	p := v.store.take()
	n, err := v.decoder.decode(p.data, v.out)
	if err != nil || n <= 0 || n > maxPacket {
		v.stats.bad++
		v.stats.concealed += uint64(v.packed)
		v.conceal(v.packed)
		v.due += int64(v.packed)
		return true
	}
	v.due, v.packed = p.stamp+int64(n), n
	v.add(v.out[:n])
	return true
}

// add puts what was sent behind what is played. It fades in after silence.
func (v *Voice) add(pcm []int16) {
	if v.faded >= fadeOut {
		for i := range min(fadeIn, len(pcm)) {
			pcm[i] = int16(int(pcm[i]) * i / fadeIn)
		}
	}
	v.faded = 0
	v.play.write(pcm)
}

// fill puts one packet made up behind what is played: from the error correction in the
// packet after it where that is the one.
func (v *Voice) fill(after *packet, missing int) {
	n := int(min(int64(v.packed), max(0, after.stamp-v.due))) / quantum * quantum
	if n == 0 {
		return
	}
	v.due += int64(n)
	if missing == 1 && hasFEC(after.data) {
		if k, err := v.decoder.recover(after.data, v.out[:n]); err == nil && k == n {
			v.stats.recovered++
			v.add(v.out[:n])
			return
		}
	}
	v.stats.concealed += uint64(n)
	v.conceal(n)
}

// makeUp puts a block behind what is played while nothing comes. Whether that is lost
// sound or the sender's silence shows in the packet after.
func (v *Voice) makeUp() {
	v.unsettled += uint64(blockSamples)
	v.conceal(blockSamples)
}

// conceal puts n samples behind what is played as the decoder guesses them, ever
// softer. n is a multiple of quantum.
func (v *Voice) conceal(n int) {
	pcm := v.out[:n]
	if v.faded < fadeOut {
		k, err := v.decoder.conceal(pcm)
		if err != nil {
			k = 0
		}
		clear(pcm[k:])
		for i := range pcm {
			pcm[i] = int16(int(pcm[i]) * max(0, fadeOut-v.faded-i) / fadeOut)
		}
	} else {
		clear(pcm)
	}
	v.faded = min(v.faded+n, fadeOut)
	v.play.write(pcm)
}

// Level is how loud the voice is at present, 0 to 100.
func (v *Voice) Level() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.level
}

// Stats of the voice until now.
func (v *Voice) Stats() VoiceStats {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := VoiceStats{
		Packets: v.stats.received, Lost: v.stats.lost, Late: v.stats.late, Twice: v.stats.twice, Bad: v.stats.bad,
		Recovered: v.stats.recovered, Concealed: v.stats.concealed, Total: v.stats.total,
		Jitter: duration(v.arrivals.jitter), Rate: v.play.step,
	}
	if v.begun {
		s.Target, s.Level = duration(float64(v.arrivals.target())), duration(max(0, v.pacer.level))
	}
	return s
}

func duration(samples float64) time.Duration {
	return time.Duration(samples * float64(time.Second) / Rate)
}

// Wait is how long what comes now waits until it is heard, as far as the speaker's driver
// tells: 0 while nothing is.
func (v *Voice) Wait() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed || !v.playing {
		return 0
	}
	waits := float64(v.arrivals.target())
	if v.pacer.known { // more than that, after a jam
		waits = max(0, v.pacer.level)
	}
	return duration(waits) + time.Duration(v.lead.Load())
}

// Close takes the voice out of the mix and frees its decoder. It may be called again.
func (v *Voice) Close() {
	v.remove()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed, v.level = true, 0
	v.decoder.close()
}
