package media

import (
	"github.com/herald-im/herald/media/owner"
	"github.com/herald-im/herald/media/video"
)

// CameraFigures are of the chosen camera.
type CameraFigures struct {
	Name string
	video.Figures
}

// SoundFigures are of the microphone and the speaker.
type SoundFigures struct{ Microphone, Speaker owner.State }

// Figures tell how the chosen camera, nil without one, and the sound do.
func (e *Engine) Figures() (*CameraFigures, SoundFigures) {
	var s SoundFigures
	s.Microphone, _ = e.mic.State()
	s.Speaker, _ = e.speaker.State()
	camera, _ := e.sender.Selected()
	if camera == nil {
		return nil, s
	}
	return &CameraFigures{camera.Name(), camera.Figures()}, s
}
