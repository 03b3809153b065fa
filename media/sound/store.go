package sound

const (
	slots      = 64   // packets that may wait: 1.28 s of ours
	maxPayload = 1500 // bytes of one; Opus packets in RTP are no longer
)

// packet is one that waits, or one that did not come in time.
type packet struct {
	seq    uint16
	full   bool
	missed bool  // it was given up
	stamp  int64 // samples of Rate, without the wrap of RTP's timestamps
	data   []byte
}

// store holds the packets that wait, by number.
type store struct {
	packets [slots]packet
	waiting int
	next    uint16 // that is heard next
}

// at is the packet with a number; nil: it is not there.
func (s *store) at(seq uint16) *packet {
	if p := &s.packets[seq%slots]; p.full && p.seq == seq {
		return p
	}
	return nil
}

// first is the next packet that is there, and how many before it are not.
func (s *store) first() (p *packet, missing int) {
	if s.waiting == 0 {
		return nil, 0
	}
	for ; missing < slots; missing++ {
		if p = s.at(s.next + uint16(missing)); p != nil {
			return p, missing
		}
	}
	return nil, 0
}

func (s *store) put(seq uint16, stamp int64, data []byte) {
	p := &s.packets[seq%slots]
	if !p.full {
		s.waiting++
	}
	*p = packet{seq: seq, full: true, stamp: stamp, data: append(p.data[:0], data...)}
}

// take passes on to the packet after the next one, which is returned; nil: it is missed.
// What it holds is good until the next put.
func (s *store) take() *packet {
	p := &s.packets[s.next%slots]
	there := p.full && p.seq == s.next
	if there {
		p.full = false
		s.waiting--
	} else if !p.full {
		p.seq, p.missed = s.next, true
	}
	s.next++
	if !there {
		return nil
	}
	return p
}

// clear forgets all and begins with seq.
func (s *store) clear(seq uint16) {
	for i := range s.packets {
		s.packets[i].full, s.packets[i].missed = false, false
	}
	s.waiting, s.next = 0, seq
}
