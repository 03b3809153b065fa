package media

import (
	"github.com/herald-im/herald/media/sound"
	"github.com/herald-im/herald/media/video"
)

// Device is a camera, microphone or speaker that was found or is used.
type Device struct {
	Kind    string // "camera", "microphone" or "speaker"
	Device  string // what the configuration calls it by
	Name    string
	Use     string // "front", "back", "microphone", "speaker", "handsfree"; empty: none
	State   string // of one that is used
	Err     error  // why it failed
	Formats []string
}

// Devices lists what was found, and what the configuration names. The error says
// what could not be looked for.
func (e *Engine) Devices() (out []Device, err error) {
	cameras, err := video.Cameras()
	for _, c := range cameras {
		out = append(out, Device{Kind: "camera", Device: c.Path, Name: c.Name, Formats: c.Formats})
	}
	cards, soundErr := e.cards.List()
	for _, c := range cards {
		kind := "microphone"
		if c.Playback {
			kind = "speaker"
		}
		out = append(out, Device{Kind: kind, Device: c.ID, Name: c.Name, Formats: c.Formats})
	}
	if err == nil {
		err = soundErr
	}
	use := func(kind, device, use string, state string, err error) {
		if device == "" {
			return
		}
		for i := range out {
			if d := &out[i]; d.Kind == kind && d.Device == device && d.Use == "" {
				d.Use, d.State, d.Err = use, state, err
				return
			}
		}
		out = append(out, Device{Kind: kind, Device: device, Use: use, State: state, Err: err})
	}
	for _, c := range []struct {
		camera      *video.Camera
		device, use string
	}{{e.front, e.cfg.FrontCamera, "front"}, {e.back, e.cfg.BackCamera, "back"}} {
		if c.camera != nil {
			s, err := c.camera.State()
			use("camera", c.device, c.use, string(s), err)
		}
	}
	s, stateErr := e.mic.State()
	use("microphone", e.cfg.Microphone, "microphone", string(s), stateErr)
	s, stateErr = e.speaker.State()
	loud := sound.Closed
	use("speaker", e.cfg.Speaker, "speaker", string(s), stateErr)
	use("speaker", e.cfg.HandsFree, "handsfree", string(loud), nil)
	return out, err
}
