package peer

import (
	"testing"
	"time"
	"unsafe"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// stepped is the time of a clock that somebody has set meanwhile: it says another hour, and no other time has passed. It needs
// to know how time.Time keeps both: seconds since 1885 from bit 30 on, and the monotonic time in another field.
func stepped(t *testing.T, at time.Time, by time.Duration) time.Time {
	t.Helper()
	out := at
	*(*uint64)(unsafe.Pointer(&out)) += uint64(int64(by/time.Second)) << 30
	if out.Sub(at) != 0 || out.Round(0).Sub(at.Round(0)) != by.Truncate(time.Second) {
		t.Fatal("time.Time is kept in another way")
	}
	return out
}

// TestTheClockIsSet: a board's clock is set while a call is under way, by years after it was without power. Nothing that is
// measured minds.
func TestTheClockIsSet(t *testing.T) {
	for name, by := range map[string]time.Duration{"an hour back": -time.Hour, "a second back": -time.Second, "years on": 50 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Run("estimate", func(t *testing.T) {
				s := newTrip(t)
				s.path.loss = 0.05
				s.pass(20*time.Second, nil)
				s.step = by
				least := 1 << 30
				s.path.loss = 0
				s.pass(20*time.Second, func(target int) { least = min(least, target) })
				if least < 1_800_000 {
					t.Errorf("down to %d bit/s", least)
				}
				if l := s.e.loss(); l != 0 {
					t.Errorf("a loss of %.3f, of before", l)
				}
			})
			t.Run("bitrate", func(t *testing.T) {
				var c traffic
				now := time.Now()
				for i := range 500 {
					if now = now.Add(20 * time.Millisecond); i == 250 {
						now = stepped(t, now, by)
					}
					c.add(1000, now)
				}
				if _, _, rate := c.read(now); rate < 350_000 || rate > 450_000 {
					t.Errorf("%d bit/s of 400,000", rate)
				}
			})
			t.Run("pictures", func(t *testing.T) {
				r := &RemoteTrack{trip: func() time.Duration { return 0 }, ended: true}
				r.codec = H264
				now := time.Now()
				newSequence(r).take(&rtp.Packet{Header: rtp.Header{Marker: true}, Payload: []byte{0x65}}, now)
				now = stepped(t, now.Add(3*time.Second), by)
				if got := r.stats(now); got.Pictures != 1 || got.Since != 3*time.Second {
					t.Errorf("%d pictures, the last one %v ago", got.Pictures, got.Since)
				}
			})
			t.Run("round trip", func(t *testing.T) {
				w := newWire(100_000, 1_000_000)
				w.kinds[5] = Video
				now := time.Now()
				report := rtcp.ReceptionReport{SSRC: 5, LastSenderReport: compactNTP(now)}
				now = now.Add(100 * time.Millisecond)
				w.reports([]rtcp.ReceptionReport{report}, now)
				w.reports([]rtcp.ReceptionReport{report}, stepped(t, now, by))
				if trip := w.measuredRoundTrip(); trip < 99*time.Millisecond || trip > 101*time.Millisecond {
					t.Errorf("a round trip of %v", trip)
				}
			})
		})
	}
}
