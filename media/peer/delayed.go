package peer

import (
	"sync"
	"time"

	"github.com/pion/rtp"
)

const (
	// maxDelayed is how many packets a Delayed keeps: over half a second of 10 Mbit/s. What is beyond goes on at once.
	maxDelayed = 512
	// maxDelay is for how long it keeps one.
	maxDelay = 250 * time.Millisecond
)

// Delayed is a Source: what a RemoteTrack gives, some time later. Nothing is kept while nobody follows it.
type Delayed struct {
	feed
	track *RemoteTrack
	by    func() time.Duration

	mu    sync.Mutex
	clock clock
	queue []waiting
	stop  func() // nil: nobody follows
	timer *time.Timer
}

type waiting struct {
	packet *rtp.Packet
	due    time.Time
}

// Delay makes a Source of a track that is as much later as by says at the time, up to 250 ms: later than the track is where
// nothing holds its packets up, so that those that come late wait for less. The packets stay in order.
func (r *RemoteTrack) Delay(by func() time.Duration) *Delayed {
	d := &Delayed{track: r, by: by}
	d.codec, d.keyframe, d.watched = r.codec, r.RequestKeyframe, d.follow
	return d
}

func (d *Delayed) kind() Kind { return d.track.kind() }

func (d *Delayed) choose(can []Codec) *feed {
	if d.track.choose(can) == nil {
		return nil
	}
	return &d.feed
}

// follow begins with the first follower and ends with the last one.
func (d *Delayed) follow(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case n > 0 && d.stop == nil:
		d.clock = clock{}
		d.stop = d.track.Follow(d.take)
	case n == 0 && d.stop != nil:
		d.stop()
		d.stop, d.queue = nil, nil
		if d.timer != nil {
			d.timer.Stop()
			d.timer = nil
		}
	}
}

func (d *Delayed) take(p *rtp.Packet) {
	by := min(max(d.by(), 0), maxDelay)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop == nil {
		return
	}
	now := time.Now()
	_, late := d.clock.take(p.Timestamp, float64(d.codec.clockRate()), now)
	d.queue = append(d.queue, waiting{p, now.Add(by - late)}) // it waits for those before it
	d.give(now)
}

// give publishes what is due; called with mu held, which keeps the order. Followers return at once.
func (d *Delayed) give(now time.Time) {
	for len(d.queue) > 0 && (!d.queue[0].due.After(now) || len(d.queue) > maxDelayed) {
		d.publish(d.queue[0].packet)
		d.queue[0].packet = nil
		d.queue = d.queue[1:]
	}
	if len(d.queue) == 0 {
		d.queue = nil
		return
	}
	if d.timer == nil {
		d.timer = time.AfterFunc(d.queue[0].due.Sub(now), d.tick)
	}
}

func (d *Delayed) tick() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timer = nil
	if d.stop != nil {
		d.give(time.Now())
	}
}
