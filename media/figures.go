package media

import (
	"errors"

	"github.com/herald-im/herald/media/owner"
	"github.com/herald-im/herald/media/sound"
	"github.com/herald-im/herald/media/video"
)

// CameraFigures are of the chosen camera.
type CameraFigures struct {
	Name string
	video.Figures
	Streams map[video.Codec]video.Stats // of what is sent of it
}

// SoundFigures are of the microphone and the speaker.
type SoundFigures struct {
	Microphone, Speaker owner.State
	Err                 error // why one of them failed
	Captured, Played    sound.DeviceStats
	Echo                sound.EchoStats
}

// Figures tell how the chosen camera, nil without one, and the sound do.
func (e *Engine) Figures() (*CameraFigures, SoundFigures) {
	var s SoundFigures
	var micErr, speakerErr error
	s.Microphone, micErr = e.mic.State()
	s.Speaker, speakerErr = e.speaker.State()
	s.Err = errors.Join(micErr, speakerErr)
	s.Captured, s.Played, s.Echo = e.mic.Device(), e.speaker.Device(), e.mic.EchoStats()
	camera, _ := e.sender.Selected()
	if camera == nil {
		return nil, s
	}
	c := &CameraFigures{Name: camera.Name(), Figures: camera.Figures(), Streams: make(map[video.Codec]video.Stats)}
	for _, codec := range []video.Codec{video.H264, video.VP8} {
		if stream, sent := e.sender.Stats(codec); sent {
			c.Streams[codec] = stream
		}
	}
	return c, s
}
