package calling

import "github.com/herald-im/herald/protocol"

// tellDevices raises what has become of the devices of a call.
func (m *Machine) tellDevices(c *call) {
	for _, d := range c.deviceNews(m.media.Figures()) {
		raise(m, protocol.OnMediaChanged, d)
	}
}

// deviceNews is what has become of the devices since it looked last. Programs hear of one
// that fails, of one that works again, and of one that gives less than it should; not of
// one that opens and closes as it is meant to.
func (c *call) deviceNews(camera *protocol.CallCamera, sound *protocol.CallSound) (news []protocol.MediaChangedEvent) {
	var now []protocol.MediaChangedEvent
	if camera != nil && c.camera {
		now = append(now, protocol.MediaChangedEvent{Kind: "camera", State: camera.State, Error: camera.Error, Warning: camera.Warning})
	}
	if sound != nil {
		now = append(now, protocol.MediaChangedEvent{Kind: "microphone", State: sound.Microphone, Error: sound.MicrophoneError},
			protocol.MediaChangedEvent{Kind: "speaker", State: sound.Speaker, Error: sound.SpeakerError})
	}
	if c.devices == nil {
		c.devices = make(map[string]protocol.MediaChangedEvent)
	}
	for _, d := range now {
		well := d.Error == "" && d.Warning == ""
		if d.State != "running" && d.Error == "" { // it is on its way
			continue
		}
		before, seen := c.devices[d.Kind]
		c.devices[d.Kind] = d
		// The figures in a warning change all the time.
		same := seen && d.State == before.State && d.Error == before.Error && (d.Warning == "") == (before.Warning == "")
		if !same && (seen || !well) {
			news = append(news, d)
		}
	}
	return news
}
