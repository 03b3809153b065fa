package board

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/test/rig"
)

// TestUSBCamera: a USB camera that gives MJPEG is plugged in, used in a call, pulled out
// and plugged in again.
func TestUSBCamera(t *testing.T) {
	watch, usbcam := rig.Program(t, "../watch"), rig.Program(t, "./usbcam")
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
	_, err = h.machine.Begin(nil, usbcam)
	must(t, err)
	h.until("pictures come from the camera that is back", func() bool { return fps() > 1 })
}

// TestUSBCameraThatEncodes: what a camera encodes itself is sent as it is, and a picture
// for who cannot take that is there all the same.
func TestUSBCameraThatEncodes(t *testing.T) {
	watch, usbcam := rig.Program(t, "../watch"), rig.Program(t, "./usbcam")
	stream := filepath.Join(t.TempDir(), "stream.h264")
	out, err := exec.Command("ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=10", "-t", "6", "-pix_fmt", "yuv420p",
		"-c:v", "libx264", "-profile:v", "baseline", "-x264-params", "keyint=10:bframes=0:cabac=0", "-bsf:v", "h264_mp4toannexb", "-f", "h264", stream).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	h := newHouse(t, strings.NewReplacer("/dev/video0", "/dev/video2", "height = 180", "height = 240").Replace(media))
	_, err = h.machine.Begin(nil, usbcam, stream)
	must(t, err)
	h.door.until("the camera is there", func() bool { return strings.Contains(h.door.sh("ls /dev/video* || true"), "/dev/video2") })
	h.connect()
	pictures := h.seen(watch, 4)
	if len(pictures) < 10 || moved(pictures[0], pictures[len(pictures)-1]) < 0.01 {
		t.Errorf("%d pictures are seen, which do not move", len(pictures))
	}
	t.Log(do(t, h.machine, h.door.prog.Path, "status", "--socket", h.door.prog.Socket))
	if c := call(h.door, protocol.GetCall, protocol.Empty{}).Camera; c == nil || !c.Passthrough {
		t.Errorf("the camera: %+v", c)
	}
}
