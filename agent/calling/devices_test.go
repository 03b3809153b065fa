package calling

import (
	"fmt"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// TestDeviceNews: programs hear once of each device that fails, works again, or gives
// less than it should.
func TestDeviceNews(t *testing.T) {
	c := &call{camera: true}
	for i, x := range []struct{ state, err, warning, mic, micErr, want string }{
		{"opening", "", "", "opening", "", "[]"},
		{"running", "", "", "running", "", "[]"},
		{"failed", "unplugged", "", "running", "", "[{camera failed unplugged }]"},
		{"failed", "unplugged", "", "running", "", "[]"},
		{"opening", "", "", "running", "", "[]"},
		{"running", "", "", "running", "", "[{camera running  }]"},
		{"running", "", "12 pictures/s, not 30", "running", "", "[{camera running  12 pictures/s, not 30}]"},
		{"running", "", "11.9 pictures/s, not 30", "running", "", "[]"},
		{"running", "", "", "failed", "gone", "[{camera running  } {microphone failed gone }]"},
		{"closed", "", "", "running", "", "[{microphone running  }]"},
	} {
		got := fmt.Sprint(c.deviceNews(
			&protocol.CallCamera{State: x.state, Error: x.err, Warning: x.warning}, &protocol.CallSound{Microphone: x.mic, MicrophoneError: x.micErr, Speaker: "running"}))
		if got != x.want {
			t.Errorf("%d: %s, not %s", i, got, x.want)
		}
	}
	if got := new(call).deviceNews(&protocol.CallCamera{State: "failed", Error: "gone"}, nil); got != nil {
		t.Errorf("a camera that the call does not show: %v", got)
	}
}
