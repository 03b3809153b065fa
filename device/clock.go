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
// by the monotonic clock. The board's wall clock counts where the hub was not
// heard of, and where the hub's certificate would have run out.
type hubClock struct {
	board func() time.Time

	mu       sync.Mutex
	told     time.Time // when ms was told; its monotonic part counts
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

// certificates are the times by which the hub's certificate is judged. What a
// hub says once, with a clock that is years ahead, must not lock the board out
// for good: where the board's own clock has been set, that will do as well.
func (c *hubClock) certificates() []time.Time {
	ms, _ := c.now()
	times := []time.Time{time.UnixMilli(ms)}
	if own := c.board(); own.After(built) {
		times = append(times, own)
	}
	return times
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
