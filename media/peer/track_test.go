package peer

import (
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4/pkg/media"
)

// A picture that came late is as late by its timestamp, and not the one after it.
func TestTimestampsAreOfTheCapture(t *testing.T) {
	track, err := NewVideoTrack(VP8, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	write := func(later time.Duration) {
		track.WriteSample(media.Sample{Data: []byte{1, 2, 3}, Duration: later})
	}
	write(20 * time.Millisecond)
	var stamps []uint32
	defer track.feed.Follow(func(p *rtp.Packet) { stamps = append(stamps, p.Timestamp) })()
	write(20 * time.Millisecond)
	for _, later := range []time.Duration{20 * time.Millisecond, 500 * time.Millisecond, 30 * time.Millisecond, 20 * time.Hour} {
		write(later)
		n := len(stamps)
		if got, want := stamps[n-1]-stamps[n-2], uint32(uint64(later.Seconds()*90000)); got != want {
			t.Errorf("%d ticks for %v, want %d", got, later, want)
		}
	}
}
