package peer

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
)

// delayable is a track without a connection, to which packets are given by hand.
func delayable() *RemoteTrack {
	r := &RemoteTrack{}
	r.codec = H264
	r.ended = true // there is nobody to be asked
	return r
}

// A picture is later by what is asked at the time, its packets stay in order, and none is kept that nobody wants.
func TestDelayed(t *testing.T) {
	r := delayable()
	var by atomic.Int64
	by.Store(int64(80 * time.Millisecond))
	d := r.Delay(func() time.Duration { return time.Duration(by.Load()) })
	if d.choose([]Codec{VP8}) != nil || d.choose([]Codec{H264}) != &d.feed {
		t.Error("the codec is not the track's")
	}
	r.publish(&rtp.Packet{Header: rtp.Header{SequenceNumber: 99}}) // to nobody
	type seen struct {
		number uint16
		at     time.Time
	}
	got := make(chan seen, 64)
	stop := d.Follow(func(p *rtp.Packet) { got <- seen{p.SequenceNumber, time.Now()} })
	began := time.Now()
	for i := range 10 {
		if i == 5 {
			by.Store(0) // what comes now may not overtake
		}
		r.publish(&rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(i)}})
	}
	for i := range 10 {
		s := receive(t, got, "a packet")
		if int(s.number) != i {
			t.Errorf("packet %d instead of %d", s.number, i)
		}
		if late := s.at.Sub(began); late < 80*time.Millisecond {
			t.Errorf("packet %d after %v", i, late)
		}
	}
	r.publish(&rtp.Packet{Header: rtp.Header{SequenceNumber: 10}})
	if len(got) != 1 {
		t.Error("what is not to wait has waited")
	}
	<-got
	by.Store(int64(time.Hour))
	r.publish(&rtp.Packet{Header: rtp.Header{SequenceNumber: 11}})
	if receive(t, got, "a packet").number != 11 { // after maxDelay
		t.Error("another packet")
	}
	r.publish(&rtp.Packet{Header: rtp.Header{SequenceNumber: 12}})
	stop()
	if n := len(r.list()); n != 0 || d.queue != nil || d.timer != nil {
		t.Errorf("%d follow, %d packets are kept", n, len(d.queue))
	}
}

// What comes late, or unevenly, waits for less, so that it is even again.
func TestDelayedIsEven(t *testing.T) {
	r := delayable()
	const by = 200 * time.Millisecond
	d := r.Delay(func() time.Duration { return by })
	defer d.Follow(func(*rtp.Packet) {})()
	d.mu.Lock()
	d.timer = time.NewTimer(time.Hour) // nothing is given out in this test
	d.mu.Unlock()
	for i := range 6 {
		r.publish(&rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(i), Timestamp: uint32(i) * 90}}) // each millisecond
		time.Sleep(time.Duration(2+7*(i%3)) * time.Millisecond)                                          // they come late, and unevenly
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, w := range d.queue {
		if off := w.due.Sub(d.queue[0].due) - time.Duration(i)*time.Millisecond; off.Abs() > time.Microsecond {
			t.Errorf("packet %d is due %v off", i, off)
		}
	}
	if wait := time.Until(d.queue[0].due); wait > by {
		t.Errorf("the first waits for %v still", wait)
	}
}

// So many packets are kept and no more: what came first goes on before its time.
func TestDelayedIsBounded(t *testing.T) {
	r := delayable()
	d := r.Delay(func() time.Duration { return maxDelay })
	var numbers []uint16
	stop := d.Follow(func(p *rtp.Packet) { numbers = append(numbers, p.SequenceNumber) })
	defer stop()
	d.mu.Lock()
	d.timer = time.NewTimer(time.Hour) // nothing is due in this test
	d.mu.Unlock()
	for i := range 3 * maxDelayed {
		r.publish(&rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(i)}})
	}
	if len(d.queue) != maxDelayed {
		t.Errorf("%d packets are kept", len(d.queue))
	}
	if len(numbers) != 2*maxDelayed || !slices.IsSorted(numbers) || numbers[0] != 0 {
		t.Errorf("%d packets went on", len(numbers))
	}
}

func TestDelayedUnderWay(t *testing.T) {
	r := delayable()
	d := r.Delay(func() time.Duration { return time.Millisecond })
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := uint16(0); ; i++ {
			select {
			case <-over:
				return
			default:
				r.publish(&rtp.Packet{Header: rtp.Header{SequenceNumber: i}})
			}
		}
	})
	for range 200 { // followers come and go
		var last atomic.Int32
		last.Store(-1)
		stop := d.Follow(func(p *rtp.Packet) { last.Store(int32(p.SequenceNumber)) })
		for last.Load() < 0 {
			time.Sleep(time.Microsecond)
		}
		stop()
	}
	close(over)
	wg.Wait()
	if d.queue != nil || len(r.list()) != 0 {
		t.Error("something is kept")
	}
}
