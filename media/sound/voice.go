package sound

import (
	"sync"
	"time"
)

// How the jitter buffer behaves. Times in samples of Rate.
const (
	slots      = 64                // packets that may wait: 1.28 s of ours
	maxPayload = 1500              // bytes of one; Opus packets in RTP are no longer
	minTarget  = 40 * Rate / 1000  // that are gathered before a voice is heard
	maxTarget  = 400 * Rate / 1000 //
	growth     = 20 * Rate / 1000  // of the target when it was too short
	slack      = 40 * Rate / 1000  // over the target that is left alone
	watched    = Rate / 4          // sound heard after which one piece may be left out or put in
	settled    = 2 * Rate          // sound heard after which less may be gathered
	low        = 10 * Rate / 1000  // waiting, one block, below which a piece is put in
	fadeOut    = 60 * Rate / 1000  // over which a gap fades to silence
	fadeIn     = 5 * Rate / 1000   // after it
	maxPacket  = 120 * Rate / 1000 // sound in one packet (RFC 6716 §3.1)
	rewind     = 1000              // a jump of sequence numbers that is another stream
)

// Voice is the sound of one sender.
type Voice struct {
	remove func() // takes it out of the mix; may be called again

	mu      sync.Mutex
	packets [slots]packet
	waiting int    // packets that wait
	next    uint16 // seq that is decoded next
	begun   bool   // next is known
	playing bool   // enough was gathered
	target  int    // samples to gather
	heard   int    // samples since the buffer was last looked at
	quiet   int    // samples since the target was last changed
	least   int    // the shortest that the buffer has been since
	pcm     []int16
	decoder *decoder
	closed  bool
	dry     bool    // it ran dry, and it is not known yet whether the net was late
	stamp   uint32  // RTP timestamp of the newest packet
	newest  uint16  // its seq
	filled  int     // samples made up since the last packet
	last    []int16 // the end of what was decoded last, for gaps
	gap     int     // samples of the present gap
	packed  int     // samples in a packet
	level   int
	stats   voiceStats
	out     []int16
}

type packet struct {
	seq  uint16
	full bool
	data []byte
}

// voiceStats is how well a voice arrives.
type voiceStats struct {
	received  uint64 // packets
	lost      uint64 // that never came
	late      uint64 // that came after their time, or twice
	bad       uint64 // that are no Opus
	concealed time.Duration
}

func newVoice() *Voice {
	v := &Voice{remove: func() {}, target: minTarget, packed: frameSamples, out: make([]int16, maxPacket)}
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
	if !v.begun {
		v.begun, v.next = true, seq
		v.newest, v.stamp = seq, timestamp
	}
	ahead := int(int16(seq - v.next))
	switch {
	case ahead > rewind || ahead < -rewind: // another stream
		v.restart(seq)
	case ahead < 0:
		if v.playing || ahead < -slots/2 {
			v.stats.late++
			return
		}
		v.next = seq // they came out of order before anything was heard
	case ahead >= slots: // the reader has fallen behind: what is oldest goes
		v.skipTo(seq - slots + 1)
	}
	p := &v.packets[seq%slots]
	if p.full && p.seq == seq {
		v.stats.late++
		return
	}
	if !p.full {
		v.waiting++
	}
	p.seq, p.full, p.data = seq, true, append(p.data[:0], payload...)
	v.judge(seq, timestamp)
}

// judge finds out why the buffer ran dry, from the packet that ends the gap: where
// the sender's timestamps go on without a leap the packet was late and more is
// gathered; where they leap the sender was silent (DTX) and nothing is amiss.
func (v *Voice) judge(seq uint16, timestamp uint32) {
	step := int16(seq - v.newest)
	if step <= 0 {
		return
	}
	if v.dry {
		v.dry = false
		if leap := timestamp - v.stamp; leap <= uint32(int(step)*v.packed) {
			v.target, v.quiet = min(v.target+growth, maxTarget), 0
		}
	}
	v.newest, v.stamp = seq, timestamp
}

// restart begins with another stream.
func (v *Voice) restart(seq uint16) {
	for i := range v.packets {
		v.packets[i].full = false
	}
	v.waiting, v.next, v.playing, v.dry = 0, seq, false, false
	v.newest, v.filled = seq-1, 0
	v.newDecoder()
}

// skipTo leaves out what is before seq.
func (v *Voice) skipTo(seq uint16) {
	for int16(seq-v.next) > 0 {
		if p := &v.packets[v.next%slots]; p.full && p.seq == v.next {
			p.full = false
			v.waiting--
		}
		v.stats.lost++
		v.next++
	}
}

// buffered is how many samples wait, as far as is known.
func (v *Voice) buffered() int { return v.waiting*v.packed + len(v.pcm) }

// read fills block with what is to be heard next; false: nothing is.
func (v *Voice) read(block []int16) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return false
	}
	if !v.playing {
		if v.waiting == 0 || v.waiting*v.packed < v.target {
			return v.conceal(block)
		}
		v.playing, v.heard, v.least = true, 0, maxTarget*4
		v.skipEmpty()
	}
	for len(v.pcm) < len(block) {
		if !v.decode() {
			break
		}
	}
	if len(v.pcm) < len(block) { // it has run dry
		v.playing, v.dry = false, true
		k := copy(block, v.pcm)
		v.pcm = v.pcm[:0]
		v.conceal(block[k:])
		return true
	}
	copy(block, v.pcm)
	v.pcm = v.pcm[:copy(v.pcm, v.pcm[len(block):])]
	v.resume(block)
	v.level = level(block)
	v.pace(len(block))
	return true
}

// skipEmpty begins with the first packet that is there.
func (v *Voice) skipEmpty() {
	for range slots {
		if p := &v.packets[v.next%slots]; p.full && p.seq == v.next {
			return
		}
		v.next++
	}
}

// decode decodes the next packet, or makes up for one that is lost; false: there is
// none, and none behind it.
func (v *Voice) decode() bool {
	if v.waiting == 0 {
		return false
	}
	p := &v.packets[v.next%slots]
	present := p.full && p.seq == v.next
	v.next++
	if !present {
		v.stats.lost++
		v.fill()
		return true
	}
	p.full = false
	v.waiting--
	n, err := v.decoder.decode(p.data, v.out)
	if err != nil || n <= 0 || n > maxPacket {
		v.stats.bad++
		v.fill()
		return true
	}
	v.packed, v.filled = n, 0
	v.pcm = append(v.pcm, v.out[:n]...)
	v.keep(v.out[:n])
	return true
}

// fill puts a packet made up behind what was decoded: from the error correction in
// the packet after it if that is there, else as the decoder guesses, for a short time.
func (v *Voice) fill() {
	pcm := v.out[:v.packed]
	n, err := 0, error(nil)
	switch p := &v.packets[v.next%slots]; {
	case v.filled >= fadeOut:
	case p.full && p.seq == v.next:
		n, err = v.decoder.recover(p.data, pcm)
	default:
		n, err = v.decoder.conceal(pcm)
	}
	if err != nil {
		n = 0
	}
	clear(pcm[n:])
	v.filled += len(pcm)
	v.stats.concealed += time.Duration(n) * time.Second / Rate
	v.pcm = append(v.pcm, pcm...)
	v.keep(pcm)
}

// keep remembers the end of what was decoded.
func (v *Voice) keep(pcm []int16) {
	n := min(len(pcm), blockSamples)
	v.last = append(v.last[:0], pcm[len(pcm)-n:]...)
}

// conceal fills block while nothing comes; false once there is only silence.
func (v *Voice) conceal(block []int16) bool {
	silent := v.gap >= fadeOut || len(v.last) == 0
	v.concealInto(block)
	v.level = level(block)
	v.gap = min(v.gap, Rate)
	return !silent
}

// concealInto repeats the last sound, ever softer.
func (v *Voice) concealInto(pcm []int16) {
	audible := 0
	for i := range pcm {
		if v.gap >= fadeOut || len(v.last) == 0 {
			pcm[i] = 0
		} else {
			// Forth and back, so that there is no step where it is repeated.
			n := len(v.last)
			k := v.gap % (2 * n)
			if k < n {
				k = n - 1 - k
			} else {
				k -= n
			}
			pcm[i] = int16(int(v.last[k]) * (fadeOut - v.gap) / fadeOut)
			audible++
		}
		v.gap++
	}
	v.stats.concealed += time.Duration(audible) * time.Second / Rate
}

// resume fades in after a gap.
func (v *Voice) resume(block []int16) {
	if v.gap == 0 {
		return
	}
	if v.gap > fadeIn {
		for i := range min(fadeIn, len(block)) {
			block[i] = int16(int(block[i]) * i / fadeIn)
		}
	}
	v.gap = 0
}

// pace keeps what waits near the target. More than is needed waits after a jam, or
// since the sender's clock is the faster one: a piece is left out. Less waits where
// it is the slower one: a piece is put in before the buffer runs dry. At most 5 ms in
// each 250 ms, which is far more than clocks differ and not heard in speech.
func (v *Voice) pace(samples int) {
	v.heard += samples
	v.quiet += samples
	v.least = min(v.least, v.buffered())
	if v.heard < watched {
		return
	}
	switch {
	case v.least > v.target+slack:
		v.cut()
	case v.least < low:
		v.stretch()
	case v.quiet >= settled && v.target > minTarget: // it has been enough for long
		v.target, v.quiet = max(minTarget, v.target-growth/4), 0
	}
	v.heard, v.least = 0, maxTarget*4
}

// stretch puts 5 ms into what is heard next, with a soft join. Where there is too
// little to do so it does nothing.
func (v *Voice) stretch() {
	const piece = fadeIn
	for len(v.pcm) < 2*piece {
		if !v.decode() {
			return
		}
	}
	n := len(v.pcm)
	v.pcm = append(v.pcm, v.out[:piece]...) // room; its content is written below
	copy(v.pcm[2*piece:], v.pcm[piece:n])
	// A B … becomes A, B faded into A, B …
	for i := range piece {
		b, a := int(v.pcm[2*piece+i]), int(v.pcm[i])
		v.pcm[piece+i] = int16((b*(piece-i) + a*i) / piece)
	}
}

// cut takes 5 ms out of what is heard next, with a soft join.
func (v *Voice) cut() {
	const piece = fadeIn
	for len(v.pcm) < 2*piece {
		if !v.decode() {
			return
		}
	}
	for i := range piece {
		a, b := int(v.pcm[i]), int(v.pcm[i+piece])
		v.pcm[i+piece] = int16((a*(piece-i) + b*i) / piece)
	}
	v.pcm = v.pcm[:copy(v.pcm, v.pcm[piece:])]
}

// Level is how loud the voice is at present, 0 to 100.
func (v *Voice) Level() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.level
}

// Close takes the voice out of the mix and frees its decoder. It may be called again.
func (v *Voice) Close() {
	v.remove()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed, v.level = true, 0
	v.decoder.close()
}
