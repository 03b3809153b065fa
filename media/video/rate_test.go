package video_test

import (
	"testing"

	"github.com/herald-im/herald/media/fake"
	"github.com/herald-im/herald/media/video"
)

// What is sent keeps to the bitrate.
func TestBitrate(t *testing.T) {
	for _, codec := range []video.Codec{video.H264, video.VP8} {
		t.Run(string(codec), func(t *testing.T) {
			s := video.NewSender(400_000, quiet)
			defer s.Close()
			s.Select(video.NewCamera(fake.NewCamera("front"), format(640, 480), quiet), true)
			units := collect(t, s, codec, 90)
			bytes := 0
			for _, u := range units[1:] {
				bytes += len(u.Data)
			}
			seconds := units[len(units)-1].At.Sub(units[0].At).Seconds()
			rate := float64(bytes) * 8 / seconds
			t.Logf("%.0f bit/s, the key frame %d bytes", rate, len(units[0].Data))
			if rate > 800_000 {
				t.Errorf("%.0f bit/s, and 400000 are wanted", rate)
			}
		})
	}
}
