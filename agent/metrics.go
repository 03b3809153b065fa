package agent

import (
	"github.com/VictoriaMetrics/metrics"

	"github.com/herald-im/herald/media"
	"github.com/herald-im/herald/media/owner"
)

// mediaMetrics shows how the devices do. What a call's connections do is in
// device.getCall.
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
	gauge(`herald_media_xruns{device="microphone"}`, func(_ *media.CameraFigures, s media.SoundFigures) float64 { return float64(s.Captured.Xruns) })
	gauge(`herald_media_xruns{device="speaker"}`, func(_ *media.CameraFigures, s media.SoundFigures) float64 { return float64(s.Played.Xruns) })
	gauge("herald_media_echo_removed_db", func(_ *media.CameraFigures, s media.SoundFigures) float64 { return s.Echo.Enhancement })
}
