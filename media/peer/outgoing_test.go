package peer

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtp"
)

// arriving makes a stream as it comes over a bad network: a packet may be late, by fewer than the receiver's replay window, or
// be missing, or be far ahead of the one before.
func arriving(r *rand.Rand, n int, jumps bool) (seqs []uint64) {
	next := uint64(1<<16 + r.IntN(1<<16))
	type late struct{ seq, until uint64 }
	var behind []late
	for range n {
		switch x := r.IntN(1000); {
		case x < 60: // missing
		case x < 160:
			behind = append(behind, late{next, next + uint64(1+r.IntN(200))})
		default:
			seqs = append(seqs, next)
		}
		if next++; jumps && r.IntN(500) == 0 {
			next += uint64(r.IntN(1 << 14))
		}
		keep := behind[:0]
		for _, l := range behind {
			switch {
			case next > l.seq+replayWindow: // the encryption takes it no more
			case next >= l.until:
				seqs = append(seqs, l.seq)
			default:
				keep = append(keep, l)
			}
		}
		behind = keep
	}
	return seqs
}

// TestNumbersAreUsedOnce: the encryption relies on it that no number is used for two packets, whatever is late, missing, left
// out or thrown away while it waits.
func TestNumbersAreUsedOnce(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			source, err := NewVideoTrack(H264, Hooks{})
			if err != nil {
				t.Fatal(err)
			}
			o := newOutgoing(&VideoTracks{H264: source}, "s", newWire(100_000, 10_000_000))
			o.feed = &source.feed
			used := map[uint64]uint32{} // which packet had a number
			highest, begun := uint64(0), false
			send := func(n int) {
				for ; n > 0 && len(o.queue) > 0; n-- {
					p := numberedPacket(o)
					number := uint64(p.SequenceNumber) + 1<<16
					if begun { // carried on beyond 16 bits, as SRTP does (RFC 3711 §3.3.1)
						number = highest + uint64(int64(int16(p.SequenceNumber-uint16(highest))))
					}
					highest, begun = max(highest, number), true
					if before, twice := used[number]; twice {
						t.Fatalf("number %d is that of packet %d and of %d", uint16(number), before, p.Timestamp)
					}
					used[number] = p.Timestamp
				}
			}
			for _, seq := range arriving(r, 4000, seed%2 == 1) {
				payload := []byte{0x7c, 0x01}
				if r.IntN(20) == 0 {
					payload = []byte{0x65} // a key frame
				}
				o.take(&rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(seq), Timestamp: uint32(seq)}, Payload: payload})
				switch x := r.IntN(1000); {
				case x < 8:
					o.takes.Lock()
					o.flush(&o.dropped) // as where the link is too slow
					o.skips = true
					o.takes.Unlock()
				case x < 12:
					o.pause(!o.isPaused())
				case x < 500:
					send(r.IntN(5))
				}
			}
			send(outgoingQueue)
			if len(used) < 300 {
				t.Errorf("only %d packets were sent", len(used))
			}
		})
	}
}

// numberedPacket takes what is sent next.
func numberedPacket(o *outgoing) *rtp.Packet {
	p := <-o.queue
	o.queued.Add(-int64(len(p.Payload)))
	return p.Packet
}

// numbers is where packets are written: none may have the number of another one.
type numbers struct {
	t    *testing.T
	last map[uint16]uint32 // timestamps, by number
}

func (n *numbers) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	if at, twice := n.last[h.SequenceNumber]; twice {
		n.t.Errorf("number %d is that of packets of %d and of %d", h.SequenceNumber, at, h.Timestamp)
	}
	n.last[h.SequenceNumber] = h.Timestamp
	return len(payload), nil
}

func (n *numbers) Write(b []byte) (int, error) { return len(b), nil }

// Sound that a link did not take for a while is left out: it would be heard half a second late, and more.
func TestOldSoundIsLeftOut(t *testing.T) {
	source := NewAudioTrack(Hooks{})
	o := newOutgoing(source, "s", newWire(100_000, 1_000_000))
	o.feed = &source.feed
	numbers := make(map[uint16]bool)
	put := func(first, n int) {
		for i := range n {
			o.take(&rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(first + i), Timestamp: uint32(960 * (first + i))}, Payload: []byte{1}})
		}
	}
	put(0, 10*outgoingSound)
	if len(o.queue) > outgoingSound || o.dropped.Load() == 0 {
		t.Errorf("%d wait, %d are left out", len(o.queue), o.dropped.Load())
	}
	last := -1
	for range 2 {
		for len(o.queue) > 0 {
			p := numberedPacket(o)
			if numbers[p.SequenceNumber] || last >= 0 && p.SequenceNumber != uint16(last+1) {
				t.Errorf("number %d after %d", p.SequenceNumber, last)
			}
			numbers[p.SequenceNumber], last = true, int(p.SequenceNumber)
		}
		put(10*outgoingSound, 5)
	}
}

// Who looks at what others send is not bound to what this board may send, and begins with the most.
func TestViewersBeginWithTheMost(t *testing.T) {
	c := Config{MinBitrate: 100_000, MaxBitrate: 1_000_000}
	for _, x := range []struct {
		video Source
		most  int
	}{{&VideoTracks{}, c.MaxBitrate}, {delayable().Delay(func() time.Duration { return 0 }), forwardedMost}, {nil, forwardedMost}} {
		w := viewerWire(c, x.video)
		w.estimate.moved(time.Now())
		if target, _ := w.estimate.target(); target != x.most {
			t.Errorf("%T: %d bit/s", x.video, target)
		}
	}
}
