package video_test

import (
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/media/fake"
	"github.com/herald-im/herald/media/video"
)

// A bitrate that changes while pictures flow is kept to, without a new encoder while the size stays, and with a key frame
// where it changes.
func TestSetBitrate(t *testing.T) {
	for _, codec := range []video.Codec{video.H264, video.VP8} {
		t.Run(string(codec), func(t *testing.T) {
			s := video.NewSender(1_000_000, quiet)
			defer s.Close()
			s.Select(video.NewCamera(fake.NewCamera("front"), format(640, 480), quiet), true)
			var mu sync.Mutex
			var units []video.AccessUnit
			stop := s.Follow(codec, func(u video.AccessUnit) {
				mu.Lock()
				defer mu.Unlock()
				units = append(units, u)
			})
			defer stop()
			// take gives the pictures of so long, by the time of their capture.
			take := func(d time.Duration) (bitrate float64, keys int, pictures int) {
				mu.Lock()
				units = nil
				mu.Unlock()
				until(t, "sent", func() bool {
					mu.Lock()
					defer mu.Unlock()
					return len(units) > 1 && units[len(units)-1].At.Sub(units[0].At) >= d
				})
				mu.Lock()
				defer mu.Unlock()
				bytes := 0
				for _, u := range units {
					bytes += len(u.Data)
					if u.Key {
						keys++
					}
				}
				return float64(bytes) * 8 / units[len(units)-1].At.Sub(units[0].At).Seconds(), keys, len(units)
			}
			take(time.Second)
			full, _, _ := take(2 * time.Second)
			for _, to := range []int{600_000, 300_000, 120_000} {
				before, _ := s.Stats(codec)
				s.SetBitrate(codec, to)
				_, keys, _ := take(time.Second)
				got, _, pictures := take(2 * time.Second)
				st, ok := s.Stats(codec)
				t.Logf("%s at %d bit/s: %.0f bit/s, %d pictures in 2 s, %d key frames; %+v", codec, to, got, pictures, keys, st)
				if !ok || st.Bitrate != to {
					t.Errorf("it is told %d", st.Bitrate)
				}
				if got > 1.5*float64(to) {
					t.Errorf("%.0f bit/s, and %d are to be taken", got, to)
				}
				if changed := before.Width != 0 && before.Width != st.Width; changed != (keys > 0) {
					t.Errorf("%d key frames, and the size is %d×%d after %d×%d", keys, st.Width, st.Height, before.Width, before.Height)
				}
			}
			s.SetBitrate(codec, 9_000_000)
			until(t, "at full size again", func() bool { st, _ := s.Stats(codec); return st.Width == 640 && st.Rate == 30 })
			take(time.Second)
			again, _, _ := take(2 * time.Second)
			t.Logf("%s: %.0f bit/s at first, and %.0f at last", codec, full, again)
			if again > 1_500_000 {
				t.Errorf("%.0f bit/s at last", again)
			}
		})
	}
}
