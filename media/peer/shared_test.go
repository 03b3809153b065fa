package peer

import (
	"testing"
	"time"

	"github.com/pion/rtp"
)

func sharers(free ...int) []*sharer {
	var list []*sharer
	for _, f := range free {
		list = append(list, &sharer{free: f, next: pausedLeast})
	}
	return list
}

// The slowest who is worth it sets the bitrate; who is far slower, or below the least, gets sound alone, after a while.
func TestShare(t *testing.T) {
	for _, c := range []struct {
		free    []int
		bitrate int
		paused  []bool
	}{
		{[]int{900_000}, 900_000, []bool{false}},
		{[]int{1_000_000, 600_000, 400_000}, 400_000, []bool{false, false, false}},
		{[]int{1_000_000, 900_000, 150_000}, 900_000, []bool{false, false, true}},
		{[]int{300_000, 280_000, 150_000}, 150_000, []bool{false, false, false}},
		{[]int{90_000}, 100_000, []bool{false}},
		{[]int{50_000}, 100_000, []bool{true}},
		{[]int{50_000, 40_000}, 100_000, []bool{true, true}},
		{[]int{1_000_000, 50_000}, 1_000_000, []bool{false, true}},
		{nil, 1_000_000, nil},
	} {
		list := sharers(c.free...)
		now := time.Unix(1000, 0)
		for range 40 {
			now = now.Add(100 * time.Millisecond)
			share(list, 100_000, 1_000_000, now)
		}
		if got := share(list, 100_000, 1_000_000, now); got != c.bitrate {
			t.Errorf("%v: %d bit/s, and not %d", c.free, got, c.bitrate)
		}
		for i, p := range c.paused {
			if list[i].paused != p {
				t.Errorf("%v: the one of %d is paused: %v", c.free, c.free[i], list[i].paused)
			}
		}
	}
}

// A moment below does not pause; pictures come back once there is enough, each time later.
func TestShareAgain(t *testing.T) {
	list := sharers(50_000)
	h, now := list[0], time.Unix(1000, 0)
	pass := func(free int, d time.Duration) {
		h.free = free
		for end := now.Add(d); now.Before(end); now = now.Add(200 * time.Millisecond) {
			share(list, 100_000, 1_000_000, now)
		}
	}
	if pass(50_000, time.Second); h.paused {
		t.Error("paused at once")
	}
	if pass(500_000, time.Second); h.paused {
		t.Error("paused though it is fast")
	}
	last := time.Duration(0)
	for range 3 {
		pass(50_000, tooLittleFor+time.Second)
		if !h.paused {
			t.Fatal("not paused")
		}
		if pass(110_000, 2*time.Minute); !h.paused {
			t.Fatal("back with hardly enough")
		}
		pass(50_000, time.Second)
		took := time.Duration(0)
		h.until = now.Add(h.next / 2) // what was set when it was paused
		for h.paused && took < pausedMost {
			pass(200_000, 200*time.Millisecond)
			took += 200 * time.Millisecond
		}
		if took <= last {
			t.Errorf("back after %v, and after %v before", took, last)
		}
		last = took
	}
	for range 10 {
		pass(50_000, tooLittleFor+time.Second)
		h.until = now
		pass(200_000, time.Second)
	}
	if h.next > pausedMost {
		t.Errorf("the next pause is %v", h.next)
	}
	if pass(200_000, forgiven); h.paused {
		t.Fatal("paused though it is fast")
	}
	if pass(50_000, tooLittleFor+time.Second); !h.paused || h.until.Sub(now) > pausedLeast {
		t.Errorf("a pause of %v, after a long time without", h.until.Sub(now))
	}
}

// packets makes a picture of some packets.
func packets(seq *uint16, key bool, n int) (list []*rtp.Packet) {
	stamp := uint32(*seq)
	for i := range n {
		*seq++
		payload := make([]byte, 1000)
		payload[0], payload[1] = 0x7c, 0x01
		if i == 0 {
			payload[1] = 0x81
			if key {
				payload[1] = 0x85
			}
		}
		list = append(list, &rtp.Packet{Header: rtp.Header{SequenceNumber: *seq, Timestamp: stamp, Marker: i == n-1}, Payload: payload})
	}
	return list
}

// What a slow link cannot take is left out up to a key frame, and the numbers that it sends have no hole and none twice.
func TestSlowLinkSkipsToAKeyFrame(t *testing.T) {
	asked := 0
	source, err := NewVideoTrack(H264, Hooks{Keyframe: func() { asked++ }})
	if err != nil {
		t.Fatal(err)
	}
	o := newOutgoing(&VideoTracks{H264: source}, "s", newWire(100_000, 10_000_000))
	o.feed = &source.feed
	seq := uint16(65_500)
	put := func(key bool, n int) {
		for _, p := range packets(&seq, key, n) {
			o.take(p)
		}
	}
	var sent []*rtp.Packet
	drain := func() {
		for len(o.queue) > 0 {
			sent = append(sent, numberedPacket(o))
		}
	}
	put(true, 4)
	put(false, 4)
	drain()
	for range outgoingQueue { // nobody takes them
		put(false, 2)
	}
	if !o.skips || o.dropped.Load() == 0 || asked != 1 {
		t.Fatalf("%d are left out, and a key frame was asked for %d times", o.dropped.Load(), asked)
	}
	if n := o.missed.Load(); n != outgoingQueue {
		t.Errorf("%d pictures were missed, of which %d packets were left out", n, o.dropped.Load())
	}
	drain()
	before := len(sent)
	put(false, 4)
	if drain(); len(sent) != before {
		t.Error("a picture was sent that needs others")
	}
	stray := packets(&seq, false, 1)[0]
	put(false, 1) // left out, and the stray with it
	put(true, 4)
	o.take(stray) // late, and from before the key frame
	drain()
	o.pause(true)
	o.askKeyframe() // it gets none, whatever it asks for
	put(true, 4)
	put(false, 100)
	drain()
	o.pause(false)
	if asked != 2 {
		t.Errorf("a key frame was asked for %d times", asked)
	}
	put(false, 4)
	put(true, 4)
	drain()
	if n := len(sent) - before; n != 8 {
		t.Errorf("%d packets of two key frames of four", n)
	}
	for i, p := range sent {
		if want := sent[0].SequenceNumber + uint16(i); p.SequenceNumber != want {
			t.Fatalf("packet %d has number %d after %d", i, p.SequenceNumber, sent[max(i-1, 0)].SequenceNumber)
		}
	}
	if o.held.Load() == 0 {
		t.Error("what was held back is not counted")
	}
}
