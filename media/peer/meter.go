package peer

import (
	"sync"
	"time"
)

// meterSlots is how many spans a meter remembers.
const meterSlots = 40

// meter tells how many bits a second have passed lately. Its owner guards it.
type meter struct {
	span  time.Duration // of a slot; 0: 50 ms
	slots [meterSlots]int
	last  int64     // slot of the last byte
	begun time.Time // when slot 0 began: the clock may be set
}

func (m *meter) turn(now time.Time) {
	if m.span == 0 {
		m.span = 50 * time.Millisecond
	}
	if m.begun.IsZero() {
		m.begun = now
	}
	slot := int64(now.Sub(m.begun) / m.span)
	for n := max(m.last+1, slot-meterSlots+1); n <= slot; n++ {
		m.slots[n%meterSlots] = 0
	}
	m.last = max(m.last, slot)
}

func (m *meter) add(bytes int, now time.Time) {
	m.turn(now)
	m.slots[m.last%meterSlots] += bytes
}

// rate is over the given time, at most 40 slots, in bit/s.
func (m *meter) rate(over time.Duration, now time.Time) float64 {
	if m.begun.IsZero() {
		return 0
	}
	m.turn(now)
	n := min(int64(over/m.span), meterSlots, m.last+1)
	sum := 0
	for i := m.last - n + 1; i <= m.last; i++ {
		sum += m.slots[i%meterSlots]
	}
	return float64(sum) * 8 / (time.Duration(n) * m.span).Seconds()
}

// traffic counts what passes one way, for any goroutine.
type traffic struct {
	mu      sync.Mutex
	packets uint64
	bytes   uint64
	meter   meter
}

func (t *traffic) add(bytes int, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.packets++
	t.bytes += uint64(bytes)
	t.meter.add(bytes, now)
}

func (t *traffic) read(now time.Time) (packets, bytes uint64, bitrate int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.packets, t.bytes, int(t.meter.rate(time.Second, now))
}
