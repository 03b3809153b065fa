package media

import (
	"maps"
	"slices"

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
	MicrophoneErr       error // why it failed
	SpeakerErr          error
	Captured, Played    sound.DeviceStats
	Echo                sound.EchoStats
}

// Figures tell how the chosen camera, nil without one, and the sound do.
func (e *Engine) Figures() (*CameraFigures, SoundFigures) {
	var s SoundFigures
	s.Microphone, s.MicrophoneErr = e.mic.State()
	s.Speaker, s.SpeakerErr = e.speaker.State()
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

// Links tells how each connection of the call does.
func (e *Engine) Links() []LinkStats {
	e.mu.Lock()
	links := slices.Collect(maps.Keys(e.links))
	e.mu.Unlock()
	out := make([]LinkStats, 0, len(links))
	for _, l := range links {
		out = append(out, l.Stats())
	}
	return out
}
