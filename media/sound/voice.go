package sound

import (
	"sync"
	"time"

	"github.com/pion/opus"
)

// How the jitter buffer behaves. Times in samples of Rate.
const (
	slots      = 64                // packets that may wait: 1.28 s of ours
	maxPayload = 1500              // bytes of one; Opus packets in RTP are no longer
	minTarget  = 40 * Rate / 1000  // that are gathered before a voice is heard
	maxTarget  = 400 * Rate / 1000 //
	growth     = 20 * Rate / 1000  // of the target when it was too short
	slack      = 40 * Rate / 1000  // over the target that is left alone
	shrinkEach = 2 * Rate          // sound heard after which one piece may be left out
	fadeOut    = 60 * Rate / 1000  // over which a gap fades to silence
	fadeIn     = 5 * Rate / 1000   // after it
	maxPacket  = 120 * Rate / 1000 // sound in one packet (RFC 6716 §3.1)
	calm       = 10                // level below which a piece may be left out unheard
	rewind     = 1000              // a jump of sequence numbers that is another stream
	staleAfter = 5 * Rate          // of silence after which a decoder begins anew
)

// Voice is the sound of one sender.
type Voice struct {
	speaker *Speaker
	name    string

	mu      sync.Mutex
	packets [slots]packet
	waiting int    // packets that wait
	next    uint16 // seq that is decoded next
	begun   bool   // next is known
	playing bool   // enough was gathered
	target  int    // samples to gather
	heard   int    // samples since the buffer was last shortened
	least   int    // the shortest that the buffer has been since
	pcm     []int16
	decoder opus.Decoder
	last    []int16 // the end of what was decoded last, for gaps
	gap     int     // samples of the present gap
	packed  int     // samples in a packet
	level   int
	stats   VoiceStats
	out     []int16
}

type packet struct {
	seq  uint16
	full bool
	data []byte
}

// VoiceStats is how well a voice arrives.
type VoiceStats struct {
	Received  uint64 // packets
	Lost      uint64 // that never came
	Late      uint64 // that came after their time, or twice
	Bad       uint64 // that are no Opus
	Concealed time.Duration
	Buffered  time.Duration // waiting at present
}

func newVoice(s *Speaker, name string) *Voice {
	v := &Voice{speaker: s, name: name, target: minTarget, packed: frameSamples}
	v.newDecoder()
	return v
}

func (v *Voice) newDecoder() {
	d, err := opus.NewDecoderWithOutput(Rate, 1)
	if err != nil {
		panic(err) // of fixed values
	}
	v.decoder = d
}

// Push takes an RTP packet's payload as it comes. It does not wait, and keeps a copy.
func (v *Voice) Push(seq uint16, payload []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(payload) == 0 || len(payload) > maxPayload {
		v.stats.Bad++
		return
	}
	v.stats.Received++
	if !v.begun {
		v.begun, v.next = true, seq
	}
	ahead := int(int16(seq - v.next))
	switch {
	case ahead > rewind || ahead < -rewind: // another stream
		v.restart(seq)
	case ahead < 0:
		if v.playing || ahead < -slots/2 {
			v.stats.Late++
			return
		}
		v.next = seq // they came out of order before anything was heard
	case ahead >= slots: // the reader has fallen behind: what is oldest goes
		v.skipTo(seq - slots + 1)
	}
	p := &v.packets[seq%slots]
	if p.full && p.seq == seq {
		v.stats.Late++
		return
	}
	if !p.full {
		v.waiting++
	}
	p.seq, p.full, p.data = seq, true, append(p.data[:0], payload...)
}

// restart begins with another stream.
func (v *Voice) restart(seq uint16) {
	for i := range v.packets {
		v.packets[i].full = false
	}
	v.waiting, v.next, v.playing = 0, seq, false
	v.newDecoder()
}

// skipTo leaves out what is before seq.
func (v *Voice) skipTo(seq uint16) {
	for int16(seq-v.next) > 0 {
		if p := &v.packets[v.next%slots]; p.full && p.seq == v.next {
			p.full = false
			v.waiting--
		}
		v.stats.Lost++
		v.next++
	}
}

// buffered is how many samples wait, as far as is known.
func (v *Voice) buffered() int { return v.waiting*v.packed + len(v.pcm) }

// read fills block with what is to be heard next; false: nothing is.
func (v *Voice) read(block []int16) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.playing {
		if v.waiting == 0 || v.waiting*v.packed < v.target {
			return v.conceal(block)
		}
		v.playing, v.heard, v.least = true, 0, maxTarget
		v.skipEmpty()
	}
	for len(v.pcm) < len(block) {
		if !v.decode() {
			break
		}
	}
	if len(v.pcm) < len(block) { // it has run dry: gather more the next time
		v.playing = false
		v.target = min(v.target+growth, maxTarget)
		k := copy(block, v.pcm)
		v.pcm = v.pcm[:0]
		v.conceal(block[k:])
		return true
	}
	copy(block, v.pcm)
	v.pcm = v.pcm[:copy(v.pcm, v.pcm[len(block):])]
	v.resume(block)
	v.level = level(block)
	v.shorten(len(block))
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
		v.stats.Lost++
		v.fill()
		return true
	}
	p.full = false
	v.waiting--
	if v.out == nil {
		v.out = make([]int16, maxPacket)
	}
	n, err := v.decoder.DecodeToInt16(p.data, v.out)
	if err != nil || n <= 0 || n > maxPacket {
		v.stats.Bad++
		v.newDecoder()
		v.fill()
		return true
	}
	v.packed = n
	v.pcm = append(v.pcm, v.out[:n]...)
	v.keep(v.out[:n])
	return true
}

// fill puts a concealed packet behind what was decoded.
func (v *Voice) fill() {
	at := len(v.pcm)
	v.pcm = append(v.pcm, make([]int16, v.packed)...)
	v.concealInto(v.pcm[at:])
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
	if v.gap > staleAfter && !v.playing && v.waiting == 0 {
		v.gap = staleAfter
	}
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
	v.stats.Concealed += time.Duration(audible) * time.Second / Rate
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

// shorten leaves out a piece when more waits than is needed: after a jam, or since
// the sender's clock is faster than the speaker's. Quiet sound goes first.
func (v *Voice) shorten(samples int) {
	v.heard += samples
	v.least = min(v.least, v.buffered())
	over := v.least - v.target
	switch {
	case v.heard < shrinkEach/8:
		return
	case over > 4*slack, over > slack && v.level < calm, over > slack && v.heard >= shrinkEach:
		v.cut()
	case v.heard < shrinkEach:
		return
	case over < 0 || v.target <= minTarget:
	default: // it has been enough for long: less may do
		v.target = max(minTarget, v.target-growth/4)
	}
	v.heard, v.least = 0, maxTarget*4
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

// Stats is how well it arrives.
func (v *Voice) Stats() VoiceStats {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.stats
	s.Buffered = time.Duration(v.buffered()) * time.Second / Rate
	return s
}

// Close takes the voice out of the mix.
func (v *Voice) Close() { v.speaker.remove(v) }
