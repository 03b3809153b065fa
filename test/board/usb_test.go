package board

import (
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// TestUSBCamera: a USB camera that gives MJPEG is plugged in, used in a call, pulled out
// and plugged in again.
func TestUSBCamera(t *testing.T) {
	watch, usbcam := program(t, "watch"), program(t, "usbcam")
	h := newHouse(t, strings.Replace(media, "/dev/video0", "/dev/video2", 1))
	plug, err := h.machine.Begin(nil, usbcam)
	must(t, err)
	h.door.until("the camera is there", func() bool { return strings.Contains(h.door.sh("ls /dev/video* || true"), "/dev/video2") })
	t.Log(do(t, h.machine, h.door.prog.Path, "devices", "--socket", h.door.prog.Socket))
	h.connect()
	pictures := h.seen(watch, 4)
	if len(pictures) < 10 || moved(pictures[0], pictures[len(pictures)-1]) < 0.05 {
		t.Errorf("%d pictures are seen, which do not move", len(pictures))
	}
	fps := func() float64 { return outside(h, protocol.GetCall, protocol.Empty{}).Users[0].FramesPerSecond }
	must(t, plug.Signal(15))
	h.until("no pictures come from a camera that is gone", func() bool { return fps() == 0 })
	plug, err = h.machine.Begin(nil, usbcam)
	must(t, err)
	h.until("pictures come from the camera that is back", func() bool { return fps() > 1 })
}
