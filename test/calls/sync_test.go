package calls

import (
	"bytes"
	"fmt"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/media/fake"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
	"github.com/herald-im/herald/test/rig"
)

// inSync is how far sound and picture may be apart. (ITU-R BT.1359 has people notice from
// 45 ms of sound too early and 125 ms of sound too late on.)
const inSync = 80 * time.Millisecond

// screen is how long it takes from the last packet of a picture until it is seen: Chromium
// on a quiet machine took 31 ms (test/browser says it each time).
const screen = 30 * time.Millisecond

// witness is what is seen and heard at one end of a call: of a board whose microphone is
// recorded at another, and whose camera is watched there.
type witness struct {
	n        *radio
	from, at *board
	record   string // what at plays
	watch    string // the program
}

// telling is the configuration of a board whose sound tells the time, and which records
// what it plays.
func telling(dir, user string) (config, record string) {
	record = filepath.Join(dir, user+".raw")
	return smallPictures + fmt.Sprintf("front_camera = \"fake\"\nback_camera = \"\"\nmicrophone = \"fake:clock\"\nspeaker = \"fake:%s\"\n", record), record
}

// heard is how old what is played now is, and false if that cannot be read.
func (w *witness) heard() (time.Duration, bool) {
	ago, ok, err := fake.ReadRecorded(w.record)
	return ago, ok && err == nil
}

// seen is how old each key frame was when the last of it had come, for some seconds.
func (w *witness) seen(seconds int) (ages []time.Duration) {
	t := w.n.t
	t.Helper()
	v, err := client.Call(w.n.ctx, w.at.Client(), protocol.StartRemoteView, protocol.RemoteViewRequest{UserID: w.from.User})
	if err != nil {
		t.Fatal(err)
	}
	times := filepath.Join(t.TempDir(), "times")
	line := append(w.n.Inside(w.at.User), w.watch, w.at.Socket, v.URL, "wlan0", fmt.Sprint(seconds), times)
	stream := output(t, exec.CommandContext(w.n.ctx, line[0], line[1:]...))
	text, err := os.ReadFile(times)
	if err != nil {
		t.Fatal(err)
	}
	var keys []byte // each can be decoded by itself
	var came []time.Time
	for line := range strings.Lines(string(text)) {
		var n int
		var ms int64
		if _, err := fmt.Sscan(line, &n, &ms); err != nil || n > len(stream) {
			t.Fatal(n, len(stream), err)
		}
		if bytes.Contains(stream[:n], []byte{0, 0, 1, 0x65}) || bytes.Contains(stream[:n], []byte{0, 0, 1, 0x25}) { // IDR
			keys, came = append(keys, stream[:n]...), append(came, time.UnixMilli(ms))
		}
		stream = stream[n:]
	}
	if len(keys) == 0 {
		t.Fatalf("no key frame among %d pictures in %d s", bytes.Count(text, []byte("\n")), seconds)
	}
	decode := exec.CommandContext(w.n.ctx, "ffmpeg", "-loglevel", "error", "-f", "h264", "-i", "-", "-f", "rawvideo", "-pix_fmt", "gray", "-s", "320x240", "-fps_mode", "passthrough", "-")
	decode.Stdin = bytes.NewReader(keys)
	raw := output(t, decode)
	const size = 320 * 240
	if len(came)*size != len(raw) {
		t.Fatalf("%d key frames came and %d were decoded", len(came), len(raw)/size)
	}
	for i, at := range came {
		img := &image.Gray{Pix: raw[i*size : (i+1)*size], Stride: 320, Rect: image.Rect(0, 0, 320, 240)}
		drawn, err := fake.ReadTimeCode(img, img.Rect)
		if err != nil {
			continue // a picture of few bits
		}
		ages = append(ages, at.Sub(drawn))
	}
	return ages
}

// output is what a command writes; it fails the test.
func output(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", cmd, err, &said)
	}
	return out
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// lag measures for some seconds how old sound and picture are where they are played and
// handed to a screen.
func (w *witness) lag(seconds int) (heard, seen time.Duration) {
	t := w.n.t
	t.Helper()
	stop, sounds := make(chan struct{}), make(chan []time.Duration)
	go func() {
		var all []time.Duration
		for {
			if d, ok := w.heard(); ok {
				all = append(all, d)
			}
			select {
			case <-stop:
				sounds <- all
				return
			case <-time.After(37 * time.Millisecond): // in step with nothing
			}
		}
	}()
	ages := w.seen(seconds)
	close(stop)
	all := <-sounds
	if len(all) < 20*seconds/2 || len(ages) < seconds/2 {
		t.Fatalf("%d readings of sound and %d of pictures in %d s", len(all), len(ages), seconds)
	}
	return median(all), median(ages)
}

// check fails the test if sound and picture are apart.
func (w *witness) check(seconds int) {
	t := w.n.t
	t.Helper()
	heard, seen := w.lag(seconds)
	apart := heard - seen - screen
	t.Logf("at %s the sound of %s is %v old where it is played, and the picture %v where it is handed to a screen, which takes %v: %v apart",
		w.at.User, w.from.User, heard.Round(time.Millisecond), seen.Round(time.Millisecond), screen, apart.Round(time.Millisecond))
	if d := apart.Abs(); d > inSync {
		t.Errorf("sound and picture are %v apart", d)
	}
}

// What is heard and what is seen belong together.
func TestInSync(t *testing.T) {
	n := newRadio(t)
	dir := t.TempDir()
	doorConfig, _ := telling(dir, "door")
	indoorConfig, record := telling(dir, "indoor")
	door, indoor := n.join("door", doorConfig), n.join("indoor", indoorConfig)
	w := &witness{n, door, indoor, record, rig.Program(t, "../watch")}
	n.connect(door, indoor)
	time.Sleep(3 * time.Second) // until the buffers are as they stay
	w.check(4)
	n.cables["door"].Set(rig.Fault{Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond})
	time.Sleep(5 * time.Second)
	w.check(4)
	n.hangup(door, indoor)
}
