package device

import (
	"encoding/binary"
	"sync"
	"time"
)

// built is a time before which no certificate of a hub is looked at: a board
// without a clock battery boots in 1970.
var built = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// hubClock tells the hub's time: what the hub last said plus the time since,
// by the monotonic clock. It never judges anything by the board's wall clock.
type hubClock struct {
	board func() time.Time

	mu       sync.Mutex
	told     time.Time // board's reading, with its monotonic part, when ms was told
	ms       int64     // Unix milliseconds of the hub; 0: never told since the start
	earliest time.Time // the hub's time that an earlier run of the daemon saw last
}

// tell sets the clock to what the hub says now.
func (c *hubClock) tell(ms int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told, c.ms = time.Now(), ms
}

// now is the hub's time in Unix milliseconds; known is false when the hub was
// not heard of since the start, and it is the board's guess.
func (c *hubClock) now() (ms int64, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ms == 0 {
		return c.guess().UnixMilli(), false
	}
	return c.ms + time.Since(c.told).Milliseconds(), true
}

func (c *hubClock) seconds() int64 { ms, _ := c.now(); return ms / 1000 }

// guess is the board's time, but never before what is certainly past.
func (c *hubClock) guess() time.Time {
	t := c.board()
	for _, past := range []time.Time{built, c.earliest} {
		if t.Before(past) {
			t = past
		}
	}
	return t
}

// certificates is the time by which the hub's certificate is judged.
func (c *hubClock) certificates() time.Time {
	ms, _ := c.now()
	return time.UnixMilli(ms)
}

// remember takes what stored gave in an earlier run.
func (c *hubClock) remember(v []byte) {
	if len(v) == 8 {
		c.earliest = time.UnixMilli(int64(binary.BigEndian.Uint64(v)))
	}
}

// stored is what remember takes in a later run.
func (c *hubClock) stored() []byte {
	ms, _ := c.now()
	return binary.BigEndian.AppendUint64(nil, uint64(ms))
}
