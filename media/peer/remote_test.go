package peer

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// TestKeyframesAreAskedForSeldom: however often those who follow a track want a key frame, the far end is asked at once, once
// more at the end of the interval, and not after the track's end.
func TestKeyframesAreAskedForSeldom(t *testing.T) {
	asks := make(chan time.Time, 2000)
	r := &RemoteTrack{track: &webrtc.TrackRemote{}, ask: func([]rtcp.Packet) error { asks <- time.Now(); return nil }}
	r.codec = H264
	want := func() {
		for range 500 {
			r.RequestKeyframe()
		}
	}
	timer := func() *time.Timer {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.later
	}
	want()
	first := receive(t, asks, "the request")
	one := timer()
	if want(); one == nil || timer() != one {
		t.Error("more than one request waits")
	}
	if second := receive(t, asks, "the other one"); second.Sub(first) < keyframeInterval-time.Millisecond {
		t.Errorf("asked again after %v", second.Sub(first))
	}
	want()
	r.end()
	want()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.later != nil || len(asks) != 0 {
		t.Errorf("asked %d times too often", len(asks))
	}
}
