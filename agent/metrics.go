package agent

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"

	"github.com/herald-im/herald/media"
	"github.com/herald-im/herald/media/owner"
	"github.com/herald-im/herald/media/peer"
	"github.com/herald-im/herald/media/video"
)

// mediaMetrics shows how the devices and the connections of a call do: of several
// connections the sum, or the worst. What each of them does is in device.getCall.
func mediaMetrics(set *metrics.Set, e *media.Engine) {
	gauge := func(name string, f func(*media.CameraFigures, media.SoundFigures) float64) {
		set.NewGauge(name, func() float64 {
			camera, sound := e.Figures()
			if camera == nil {
				camera = new(media.CameraFigures)
			}
			return f(camera, sound)
		})
	}
	running := func(s owner.State) float64 {
		if s == owner.Running {
			return 1
		}
		return 0
	}
	gauge(`herald_media_running{device="camera"}`, func(c *media.CameraFigures, _ media.SoundFigures) float64 { return running(c.State) })
	gauge(`herald_media_running{device="microphone"}`, func(_ *media.CameraFigures, s media.SoundFigures) float64 { return running(s.Microphone) })
	gauge(`herald_media_running{device="speaker"}`, func(_ *media.CameraFigures, s media.SoundFigures) float64 { return running(s.Speaker) })
	gauge("herald_media_camera_rate", func(c *media.CameraFigures, _ media.SoundFigures) float64 { return c.Rate })
	gauge("herald_media_camera_frames_total", func(c *media.CameraFigures, _ media.SoundFigures) float64 { return float64(c.Frames) })
	gauge("herald_media_camera_dropped_total", func(c *media.CameraFigures, _ media.SoundFigures) float64 { return float64(c.Dropped) })
	gauge("herald_media_camera_damaged_total", func(c *media.CameraFigures, _ media.SoundFigures) float64 { return float64(c.Damaged) })
	gauge(`herald_media_xruns_total{device="microphone"}`, func(_ *media.CameraFigures, s media.SoundFigures) float64 { return float64(s.Captured.Xruns) })
	gauge(`herald_media_xruns_total{device="speaker"}`, func(_ *media.CameraFigures, s media.SoundFigures) float64 { return float64(s.Played.Xruns) })
	gauge("herald_media_echo_removed_db", func(_ *media.CameraFigures, s media.SoundFigures) float64 { return s.Echo.Enhancement })
	gauge("herald_media_echo_return_loss_db", func(_ *media.CameraFigures, s media.SoundFigures) float64 { return s.Echo.ReturnLoss })
	for _, codec := range []video.Codec{video.H264, video.VP8} {
		stream := func(name string, f func(video.Stats) float64) {
			gauge(fmt.Sprintf("%s{codec=%q}", name, codec), func(c *media.CameraFigures, _ media.SoundFigures) float64 { return f(c.Streams[codec]) })
		}
		stream("herald_media_stream_width", func(s video.Stats) float64 { return float64(s.Width) })
		stream("herald_media_stream_height", func(s video.Stats) float64 { return float64(s.Height) })
		stream("herald_media_stream_rate", func(s video.Stats) float64 { return s.Rate })
		stream("herald_media_stream_bits_per_second", func(s video.Stats) float64 { return float64(s.Bitrate) })
		stream("herald_media_stream_frames_total", func(s video.Stats) float64 { return float64(s.Encoded) })
	}
	linkMetrics(set, e)
}

func linkMetrics(set *metrics.Set, e *media.Engine) {
	each := func(name string, f func(all, one float64) float64, of func(media.LinkStats) float64) {
		set.NewGauge(name, func() (out float64) {
			for i, l := range e.Links() {
				if x := of(l); i == 0 {
					out = x
				} else {
					out = f(out, x)
				}
			}
			return out
		})
	}
	sum := func(a, b float64) float64 { return a + b }
	most := func(a, b float64) float64 { return max(a, b) }
	least := func(a, b float64) float64 { return min(a, b) }
	set.NewGauge("herald_call_connections", func() float64 { return float64(len(e.Links())) })
	each("herald_call_sent_bits_per_second", sum, func(l media.LinkStats) (bits float64) {
		for _, s := range l.Sent {
			bits += float64(s.Bitrate)
		}
		return bits
	})
	each("herald_call_received_bits_per_second", sum, func(l media.LinkStats) (bits float64) {
		for _, r := range l.Received {
			bits += float64(r.Bitrate)
		}
		return bits
	})
	each("herald_call_target_bits_per_second", least, func(l media.LinkStats) float64 { return float64(l.Target) })
	each("herald_call_round_trip_seconds", most, func(l media.LinkStats) float64 { return l.RoundTrip.Seconds() })
	each("herald_call_loss_ratio", most, func(l media.LinkStats) float64 { return l.Loss })
	each("herald_call_jitter_seconds", most, func(l media.LinkStats) float64 { return l.Received[peer.Audio].Jitter.Seconds() })
	each("herald_call_buffer_seconds", most, func(l media.LinkStats) float64 { return l.Voice.Level.Seconds() })
	each("herald_call_concealed_ratio", most, func(l media.LinkStats) float64 {
		return float64(l.Voice.Concealed) / float64(max(l.Voice.Total, 1))
	})
	each("herald_call_frames_sent", sum, func(l media.LinkStats) float64 { return float64(l.Sent[peer.Video].Pictures) })
	each("herald_call_frames_dropped", sum, func(l media.LinkStats) float64 { return float64(l.Sent[peer.Video].Missed) })
	each("herald_call_frames_received", sum, func(l media.LinkStats) float64 { return float64(l.Received[peer.Video].Pictures) })
}
