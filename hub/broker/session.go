package broker

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// session is a Peer and what the broker keeps about it.
type session struct {
	peer      Peer
	link      *link
	keepalive time.Duration
	gone      chan struct{} // closed when Gone has returned and the client id is free

	// Touched only by the connection's own goroutine.
	will         []byte // nil if there is none
	disconnected bool   // a DISCONNECT packet came

	filterMu sync.Mutex // held from the question whether a filter is granted until it counts
	filters  []string   // subscribed to; few, so a slice

	filterCount atomic.Int32 // len(filters), for Stats

	mu        sync.Mutex
	unacked   window
	fullSince time.Time // when unacked was first found full with no PUBACK since, or zero
	dropped   uint64    // messages that did not go to this peer
}

// deliver queues a packet for the peer or drops it; it says whether it was queued. The packet is
// the caller's alone, but may be delivered to many.
func (s *session) deliver(p *packet, qos byte) bool {
	b := s.link.broker
	s.mu.Lock()
	var err error
	if qos == 0 {
		err = s.link.offer(p.head0, p.payload)
	} else {
		err = s.deliverAcked(p)
	}
	if err == nil {
		s.mu.Unlock()
		b.count.messagesOut.Add(1)
		return true
	}
	stuck := false
	if errors.Is(err, errWindowFull) {
		if s.fullSince.IsZero() {
			s.fullSince = time.Now()
		}
		stuck = time.Since(s.fullSince) > b.limits.AckTimeout
	}
	first := s.dropped == 0
	s.dropped++
	s.mu.Unlock()

	switch {
	case errors.Is(err, errQueueFull):
		b.count.droppedQueue.Add(1)
	case errors.Is(err, errWindowFull):
		b.count.droppedUnacked.Add(1)
	default:
		b.count.droppedEnded.Add(1)
		first = false // not the peer's slowness
	}
	if first {
		b.complain.warn("dropping messages for a slow terminal", "client", s.peer.ClientID, "reason", err)
	}
	if stuck {
		s.link.abort(errNoAck)
	}
	return false
}

// deliverAcked is deliver for QoS 1; called with mu held, so that ids go out in the order of the queue.
func (s *session) deliverAcked(p *packet) error {
	id, ok := s.unacked.take(s.link.broker.limits.Unacked)
	if !ok {
		return errWindowFull
	}
	n := len(p.head1)
	p.head1[n-2], p.head1[n-1] = byte(id>>8), byte(id)
	if err := s.link.offer(p.head1, p.payload); err != nil {
		s.unacked.release(id)
		return err
	}
	return nil
}

// acked notes a PUBACK. One for an id that is not in use is ignored.
func (s *session) acked(id uint16) {
	s.mu.Lock()
	s.unacked.release(id)
	s.fullSince = time.Time{}
	s.mu.Unlock()
}

// window hands out packet ids from 1 to its size, each to one message at a time.
type window struct {
	used  []uint64 // a bit per id; nil until the first is taken
	count int
	last  int // the id taken last
}

// take returns a free id, going round so that an id rests as long as possible before it is used again.
func (w *window) take(size int) (uint16, bool) {
	if w.count >= size {
		return 0, false
	}
	if w.used == nil {
		w.used = make([]uint64, size/64+1)
	}
	for id := w.last%size + 1; ; id = id%size + 1 {
		if w.used[id/64]&(1<<(id%64)) == 0 {
			w.used[id/64] |= 1 << (id % 64)
			w.count++
			w.last = id
			return uint16(id), true
		}
	}
}

// release makes an id free again, if it was taken.
func (w *window) release(id uint16) {
	i, bit := int(id)/64, uint64(1)<<(id%64)
	if i < len(w.used) && w.used[i]&bit != 0 {
		w.used[i] &^= bit
		w.count--
	}
}
