package board

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/media/fake"
	"github.com/herald-im/herald/media/sound"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/test/rig"
)

// media is a small picture, as an emulated board encodes ten times slower than a real one;
// and echo is off, as noise suppression takes a tone for noise.
const media = `front_camera = "/dev/video0"
back_camera = "/dev/video1"
width = 320
height = 180
frame_rate = 10
bitrate = 200
controls = "horizontal_movement=5"
microphone = "plughw:Ear,0"
speaker = "plughw:Ear,0"
hands_free = "plughw:Loud,0"
echo = "off"
`

// connect places a video call from the board, and has it accepted.
func (h *house) connect() {
	h.t.Helper()
	call(h.door, protocol.PlaceCall, protocol.CallRequest{UserID: "indoor", Type: protocol.CallTypeVideo})
	h.until("it rings", func() bool { return outside(h, protocol.GetCall, protocol.Empty{}).State == protocol.CallRinging })
	outside(h, protocol.AcceptCall, protocol.Empty{})
	h.door.event("onUserEnter", "indoor")
	h.until("pictures come", func() bool {
		u := outside(h, protocol.GetCall, protocol.Empty{}).Users
		return len(u) == 1 && u[0].FramesPerSecond > 1
	})
}

func (h *house) until(what string, f func() bool) {
	h.t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// seen are the pictures that the other board shows of the board's, for some seconds.
func (h *house) seen(watch string, seconds int) []*image.Gray {
	t := h.t
	t.Helper()
	line := append(h.net.Inside("out"), watch, h.indoor.Socket, "/v1/whep/remote/door", "tap0", fmt.Sprint(seconds))
	stream, err := exec.CommandContext(h.ctx, line[0], line[1:]...).Output()
	must(t, err)
	decode := exec.CommandContext(h.ctx, "ffmpeg", "-loglevel", "error", "-f", "h264", "-i", "-", "-f", "rawvideo", "-pix_fmt", "gray", "-s", "320x180", "-")
	decode.Stdin = bytes.NewReader(stream)
	raw, err := decode.Output()
	must(t, err)
	var out []*image.Gray
	for size := 320 * 180; len(raw) >= size; raw = raw[size:] {
		out = append(out, &image.Gray{Pix: raw[:size], Stride: 320, Rect: image.Rect(0, 0, 320, 180)})
	}
	return out
}

// moved is the part of the points that differ clearly from one picture to another.
func moved(a, b *image.Gray) float64 {
	n := 0
	for i := range a.Pix {
		if d := int(a.Pix[i]) - int(b.Pix[i]); d > 16 || d < -16 {
			n++
		}
	}
	return float64(n) / float64(len(a.Pix))
}

// heard is what the other board has played last.
func (h *house) heard(d time.Duration) []int16 {
	h.t.Helper()
	b, err := os.ReadFile(h.record)
	must(h.t, err)
	out := make([]int16, len(b)/2)
	for i := range out {
		out[i] = int16(binary.LittleEndian.Uint16(b[2*i:]))
	}
	return out[max(0, len(out)-int(d*sound.Rate/time.Second)):]
}

// listen tells the level and the parts of tones at the far end of a card's loop.
func (d *inside) listen(ear, device string, freqs ...int) (level float64, parts []float64) {
	t := d.h.t
	t.Helper()
	line := []string{ear, "hear", device, "1"}
	for _, f := range freqs {
		line = append(line, fmt.Sprint(f))
	}
	parts = make([]float64, len(freqs))
	fields := strings.Fields(do(t, d.h.machine, line...))
	if len(fields) != 1+len(freqs) {
		t.Fatal(fields)
	}
	_, err := fmt.Sscan(fields[0], &level)
	must(t, err)
	for i := range parts {
		_, err := fmt.Sscan(fields[1+i], &parts[i])
		must(t, err)
	}
	return level, parts
}

// TestCall: pictures and sound of a call, both ways, from real drivers.
func TestCall(t *testing.T) {
	watch, ear := rig.Program(t, "../watch"), rig.Program(t, "./ear")
	h := newHouse(t, media)
	tone, err := h.machine.Begin(nil, ear, "play", "plughw:Ear,1", "1000")
	must(t, err)
	h.connect()

	pictures := h.seen(watch, 4)
	if len(pictures) < 10 {
		t.Fatalf("%d pictures are seen", len(pictures))
	}
	still := 0
	for i := range pictures[1:] {
		if moved(pictures[i], pictures[i+1]) < 0.001 {
			still++
		}
	}
	first, last := pictures[0], pictures[len(pictures)-1]
	t.Logf("%d pictures, %d of them like the one before; from the first to the last %.3f of the points have changed", len(pictures), still, moved(first, last))
	if still > len(pictures)/2 || moved(first, last) < 0.05 {
		t.Error("the picture does not move")
	}

	h.until("the tone is played outside", func() bool { return fake.Typical(h.heard(time.Second), 1000) > 0.8 })
	h.until("the board plays the other's tone", func() bool {
		level, parts := h.door.listen(ear, "plughw:Ear,1", 440, 1000)
		t.Logf("the board plays at level %.0f: %.3f of it is the other's tone", level, parts[0])
		return level > 500 && parts[0] > 0.5
	})

	call(h.door, protocol.SetMicMute, protocol.MicMuteRequest{IsMute: new(true)})
	h.until("silence is played outside", func() bool { return loudness(h.heard(500*time.Millisecond)) < 50 })
	call(h.door, protocol.SetMicMute, protocol.MicMuteRequest{IsMute: new(false)})
	h.until("the tone is played again", func() bool { return fake.Typical(h.heard(500*time.Millisecond), 1000) > 0.8 })

	call(h.door, protocol.SetHandsFree, protocol.HandsFreeRequest{IsHandsFree: new(true)})
	h.until("the other speaker plays", func() bool { _, p := h.door.listen(ear, "plughw:Loud,1", 440); return p[0] > 0.5 })
	if level, _ := h.door.listen(ear, "plughw:Ear,1", 440); level > 50 {
		t.Errorf("the first speaker still plays at level %.0f", level)
	}
	call(h.door, protocol.SetHandsFree, protocol.HandsFreeRequest{IsHandsFree: new(false)})
	h.until("the first speaker plays again", func() bool { _, p := h.door.listen(ear, "plughw:Ear,1", 440); return p[0] > 0.5 })
	must(t, tone.Signal(15))
	must(t, tone.Wait(h.ctx))
	h.soundLatency(ear)
}

// soundLatency says how long sound takes from the far end of the card's loop into the
// board's microphone and out of the other board's speaker.
func (h *house) soundLatency(ear string) {
	t := h.t
	t.Helper()
	line := append(h.net.Inside("out"), ear, "clock", outsideAddr+":4000")
	clock := exec.CommandContext(h.ctx, line[0], line[1:]...)
	must(t, clock.Start())
	defer func() { _ = clock.Process.Kill(); _ = clock.Wait() }()
	tells, err := h.machine.Begin(nil, ear, "time", "plughw:Ear,1", outsideAddr+":4000")
	must(t, err)
	var ages []time.Duration
	h.until("the time is heard outside", func() bool {
		ago, ok, err := fake.ReadRecorded(h.record)
		must(t, err)
		if ok {
			ages = append(ages, ago)
		}
		return len(ages) >= 100
	})
	must(t, tells.Signal(15))
	must(t, tells.Wait(h.ctx))
	slices.Sort(ages)
	t.Logf("capture → far playout of sound: %v (median of %d; 90 %% within %v)", ages[50].Round(time.Millisecond), len(ages), ages[90].Round(time.Millisecond))
}

// TestCameras: the cameras of a call are closed, changed and pulled out while it lasts.
func TestCameras(t *testing.T) {
	h := newHouse(t, media)
	h.connect()
	fps := func() float64 { return outside(h, protocol.GetCall, protocol.Empty{}).Users[0].FramesPerSecond }
	used := func(path string) bool {
		return strings.Contains(h.door.sh("ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c '"+path+"$' || true"), "1")
	}
	call(h.door, protocol.CloseCamera, protocol.Empty{})
	h.until("no pictures come", func() bool { return fps() == 0 })
	if used("/dev/video0") {
		t.Error("the camera is open though it is closed")
	}
	call(h.door, protocol.OpenCamera, protocol.OpenCameraRequest{IsFront: new(true)})
	h.until("pictures come again", func() bool { return fps() > 1 })
	call(h.door, protocol.SwitchCamera, protocol.SwitchCameraRequest{IsFront: new(false)})
	h.until("the back camera is open", func() bool { return used("/dev/video1") && !used("/dev/video0") })
	h.until("its pictures come", func() bool { return fps() > 1 })

	h.door.sh("echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind")
	h.until("no pictures come from a camera that is gone", func() bool { return fps() == 0 })
	h.door.event("onMediaChanged", `"kind":"camera"`, `"state":"failed"`)
	if st := outside(h, protocol.GetCall, protocol.Empty{}); st.State != protocol.CallConnected {
		t.Errorf("the call is %s", st.State)
	}
	h.until("sound goes on", func() bool { return fake.Typical(h.heard(time.Second), 440) < 0.5 }) // the board's microphone hears nothing
	h.door.sh("echo vivid.0 > /sys/bus/platform/drivers/vivid/bind")
	h.door.event("onMediaChanged", `"kind":"camera"`, `"state":"running"`)
	h.until("pictures come from the camera that is back", func() bool { return fps() > 1 })
}

// loudness is the level of samples.
func loudness(pcm []int16) float64 {
	power := 0.0
	for _, x := range pcm {
		power += float64(x) * float64(x)
	}
	return math.Sqrt(power / float64(max(1, len(pcm))))
}
