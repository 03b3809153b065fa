package peer

import "time"

// beginsKey tells whether a packet begins a picture that can be decoded without others before it. The payload is a
// stranger's.
func beginsKey(c Codec, payload []byte) bool {
	switch c {
	case VP8:
		return beginsKeyVP8(payload)
	case H264:
		return beginsKeyH264(payload)
	}
	return true // each packet of sound stands alone
}

// beginsKeyVP8 reads the payload descriptor (RFC 7741 §4.2) and the first byte of the picture (RFC 6386 §9.1).
func beginsKeyVP8(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	first := b[0]
	n := 1
	if first&0x80 != 0 { // X: extensions
		if len(b) < 2 {
			return false
		}
		x := b[1]
		n = 2
		if x&0x80 != 0 { // I: picture id, of one byte or two
			if len(b) <= n {
				return false
			}
			if b[n]&0x80 != 0 {
				n++
			}
			n++
		}
		if x&0x40 != 0 { // L
			n++
		}
		if x&0x30 != 0 { // T, K
			n++
		}
	}
	// S: the start of a partition, which is the first (PID 0).
	return first&0x10 != 0 && first&0x07 == 0 && len(b) > n && b[n]&1 == 0
}

// Types of NAL units and of packets of them (RFC 6184 §5.2, H.264 table 7-1).
const (
	nalIDR   = 5
	nalSPS   = 7
	nalStapA = 24
	nalFuA   = 28
)

func beginsKeyH264(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	switch b[0] & 0x1f {
	case nalIDR, nalSPS:
		return true
	case nalStapA:
		for b = b[1:]; len(b) > 2; {
			size := int(b[0])<<8 | int(b[1])
			if b = b[2:]; size == 0 || size > len(b) {
				return false
			}
			if t := b[0] & 0x1f; t == nalIDR || t == nalSPS {
				return true
			}
			b = b[size:]
		}
	case nalFuA:
		return len(b) > 1 && b[1]&0x80 != 0 && b[1]&0x1f == nalIDR
	}
	return false
}

// orderWindow is how many packets behind a missing one are kept account of. A power of two.
const orderWindow = 512

// pictures follows which pictures of a stream can be decoded: those of which each packet is there, and each of the pictures
// that they build on. It belongs to one goroutine.
type pictures struct {
	codec   Codec
	begun   bool
	next    uint16 // the packet that is to come, in order
	highest uint16
	slots   [orderWindow]pictureSlot
	lacks   bool // something that later pictures build on: a key frame is needed

	whole uint64    // pictures that could be decoded
	last  time.Time // when the last of them was complete
	gaps  uint64    // packets that were given up
}

type pictureSlot struct {
	have, marker, key bool
	at                time.Time
}

// add takes a packet. patience is how long one that is missing may still come. It tells whether a key frame is needed.
func (o *pictures) add(seq uint16, marker bool, payload []byte, now time.Time, patience time.Duration) (lacks bool) {
	ahead := int16(seq - o.next)
	if !o.begun || ahead >= orderWindow || ahead < -orderWindow { // the first one, or a stream that goes on elsewhere
		if o.begun {
			o.gaps++
		}
		clear(o.slots[:])
		o.begun, o.lacks, o.next, o.highest, ahead = true, true, seq, seq, 0
	}
	if ahead < 0 {
		return o.lacks // too late, or for the second time
	}
	o.slots[seq%orderWindow] = pictureSlot{true, marker, beginsKey(o.codec, payload), now}
	if int16(seq-o.highest) > 0 {
		o.highest = seq
	}
	o.advance(now)
	for int16(o.highest-o.next) >= 0 {
		after := o.next // the first that is there
		for !o.slots[after%orderWindow].have {
			after++
		}
		if now.Sub(o.slots[after%orderWindow].at) < patience {
			break
		}
		o.gaps += uint64(after - o.next)
		o.lacks, o.next = true, after
		o.advance(now)
	}
	return o.lacks
}

// advance takes what is there in order.
func (o *pictures) advance(now time.Time) {
	for {
		s := &o.slots[o.next%orderWindow]
		if !s.have {
			return
		}
		if s.key {
			o.lacks = false
		}
		if s.marker && !o.lacks {
			o.whole++
			o.last = now
		}
		*s = pictureSlot{}
		o.next++
	}
}
