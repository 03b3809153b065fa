package media

import (
	"errors"

	"github.com/herald-im/herald/media/owner"
	"github.com/herald-im/herald/media/sound"
	"github.com/herald-im/herald/media/video"
)

// Device is a camera, microphone or speaker that was found or is used.
type Device struct {
	Kind    string // "camera", "microphone" or "speaker"
	Device  string // what the configuration may call it by
	Name    string
	Use     string // "front", "back", "microphone", "speaker", "handsfree"; empty: none
	State   string // of one that is used: an owner.State
	Err     error  // why it failed
	Formats []string

	Controls []video.Control // of a camera
}

// Devices lists what was found, and what the configuration names. The error says
// what could not be looked for.
func (e *Engine) Devices() (out []Device, err error) {
	cameras, err := video.Cameras()
	for _, c := range cameras {
		controls, _ := video.Controls(c.Path) // it goes without
		out = append(out, Device{Kind: "camera", Device: c.Path, Name: c.Name, Formats: c.Formats, Controls: controls})
	}
	cards, soundErr := e.cards.List()
	for _, c := range cards {
		out = append(out, Device{Kind: soundKind(c.Playback), Device: c.ID, Name: c.Name, Formats: c.Formats})
	}
	use := func(kind, device, use string, state owner.State, err error) {
		if device == "" {
			return
		}
		for i := range out {
			if d := &out[i]; d.Kind == kind && d.Device == device && d.Use == "" {
				d.Use, d.State, d.Err = use, string(state), err
				return
			}
		}
		out = append(out, Device{Kind: kind, Device: device, Use: use, State: string(state), Err: err})
	}
	for _, c := range []struct {
		camera      *video.Camera
		device, use string
	}{{e.front, e.cfg.FrontCamera, "front"}, {e.back, e.cfg.BackCamera, "back"}} {
		if c.camera != nil {
			state, err := c.camera.State()
			use("camera", video.PathOf(cameras, c.device), c.use, state, err)
		}
	}
	state, stateErr := e.mic.State()
	use("microphone", sound.IDOf(cards, false, e.cfg.Microphone), "microphone", state, stateErr)
	for _, s := range []struct {
		device    sound.PlaybackDevice
		name, use string
	}{{e.ear, e.cfg.Speaker, "speaker"}, {e.loud, e.cfg.HandsFree, "handsfree"}} {
		state, stateErr := owner.Closed, error(nil)
		if e.speaker.Selected() == s.device {
			state, stateErr = e.speaker.State()
		}
		use("speaker", sound.IDOf(cards, true, s.name), s.use, state, stateErr)
	}
	return out, errors.Join(err, soundErr)
}

func soundKind(playback bool) string {
	if playback {
		return "speaker"
	}
	return "microphone"
}
