package video_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/image/vp8"

	"github.com/herald-im/herald/media/fake"
	"github.com/herald-im/herald/media/owner"
	"github.com/herald-im/herald/media/video"
)

const patience = 20 * time.Second

var quiet = slog.New(slog.DiscardHandler)

func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not %s in %v", what, patience)
		}
	}
}

func format(w, h int) video.Format { return video.Format{Width: w, Height: h, Rate: 30} }

func state(c *video.Camera) owner.State { s, _ := c.State(); return s }

func TestCameraIsOpenWhileItIsUsed(t *testing.T) {
	before := runtime.NumGoroutine()
	dev := fake.NewCamera("front")
	c := video.NewCamera(dev, format(320, 240), quiet)
	if s := state(c); s != owner.Closed {
		t.Fatal(s)
	}
	for range 20 {
		a, b := c.Use(), c.Use()
		if err := c.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.Close()
		a.Close()
		if s := state(c); s != owner.Running {
			t.Fatal(s)
		}
		b.Close()
		if s := state(c); s != owner.Closed {
			t.Fatal(s)
		}
	}
	until(t, "closed", func() bool { _, open := dev.Opened(); return open == 0 })
	if times, _ := dev.Opened(); times != 20 {
		t.Errorf("opened %d times", times)
	}
	until(t, "without goroutines", func() bool { return runtime.NumGoroutine() <= before })
}

func TestCameraFailsAndComesBack(t *testing.T) {
	dev := fake.NewCamera("front")
	var mu sync.Mutex
	broken := errors.New("no such device")
	dev.Fail = func() error { mu.Lock(); defer mu.Unlock(); return broken }
	c := video.NewCamera(dev, format(320, 240), quiet)
	s := c.Use()
	defer s.Close()
	if err := c.Wait(t.Context()); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if st, err := c.State(); st != owner.Failed || !errors.Is(err, broken) {
		t.Fatal(st, err)
	}
	mu.Lock()
	broken = nil
	mu.Unlock()
	until(t, "running", func() bool { return state(c) == owner.Running })
	dev.Vanish()
	until(t, "failed", func() bool { return state(c) == owner.Failed })
	until(t, "running again", func() bool { return state(c) == owner.Running })
}

// Close ends a Next that waits.
func TestSlotIsClosedWhileItIsWaitedFor(t *testing.T) {
	dev := fake.NewCamera("front")
	dev.Stall.Store(true)
	slot := video.NewCamera(dev, format(160, 120), quiet).Use()
	ended := make(chan error, 1)
	go func() { _, err := slot.Next(context.Background()); ended <- err }()
	slot.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a picture")
		}
	case <-time.After(patience):
		t.Error("it still waits")
	}
}

// A user who does not take pictures does not hold up another one.
func TestSlowUser(t *testing.T) {
	c := video.NewCamera(fake.NewCamera("front"), format(160, 120), quiet)
	slow, fast := c.Use(), c.Use()
	defer slow.Close()
	defer fast.Close()
	var last time.Time
	for range 10 {
		f, err := fast.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		last = f.At
		f.Release()
	}
	f, err := slow.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	if age := last.Sub(f.At); age > 0 {
		t.Errorf("the slow one got a picture that is %v older than the newest", age)
	}
}

// collect gets the first n pictures of a sender.
func collect(t testing.TB, s *video.Sender, c video.Codec, n int) []video.AccessUnit {
	t.Helper()
	got := make(chan video.AccessUnit, n)
	stop := s.Follow(c, func(u video.AccessUnit) {
		select {
		case got <- u:
		default:
		}
	})
	defer stop()
	var out []video.AccessUnit
	for range n {
		select {
		case u := <-got:
			out = append(out, u)
		case <-time.After(patience):
			t.Fatalf("%d of %d pictures", len(out), n)
		}
	}
	return out
}

func TestEncodedTimeCode(t *testing.T) {
	for _, codec := range []video.Codec{video.H264, video.VP8} {
		t.Run(string(codec), func(t *testing.T) {
			s := video.NewSender(500_000, quiet)
			defer s.Close()
			s.Select(video.NewCamera(fake.NewCamera("front"), format(640, 480), quiet), true)
			units := collect(t, s, codec, 12)
			if !units[0].Key {
				t.Error("the first is no key frame")
			}
			bytes := 0
			for _, u := range units {
				bytes += len(u.Data)
			}
			img := decodeFirst(t, codec, units)
			at, err := fake.ReadTimeCode(img, img.Bounds())
			if err != nil {
				t.Fatal(err)
			}
			if at.UnixMilli() != units[0].At.UnixMilli() {
				t.Errorf("the picture says %v, and it is of %v", at, units[0].At)
			}
		})
	}
}

// decodeFirst decodes the first of these pictures.
func decodeFirst(t *testing.T, codec video.Codec, units []video.AccessUnit) image.Image {
	t.Helper()
	if codec == video.VP8 {
		d := vp8.NewDecoder()
		d.Init(bytes.NewReader(units[0].Data), len(units[0].Data))
		if _, err := d.DecodeFrameHeader(); err != nil {
			t.Fatal(err)
		}
		img, err := d.DecodeFrame()
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is needed to decode H264: scripts/deps test installs it")
	}
	dir := t.TempDir()
	var all []byte
	for _, u := range units {
		all = append(all, u.Data...)
	}
	in, out := filepath.Join(dir, "in.h264"), filepath.Join(dir, "out.jpg")
	if err := os.WriteFile(in, all, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.Command("ffmpeg", "-loglevel", "error", "-i", in, "-frames:v", "1", "-q:v", "2", out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := jpeg.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// What is in the SPS is what SDP promises: 42e01f.
func TestProfile(t *testing.T) {
	s := video.NewSender(1_000_000, quiet)
	defer s.Close()
	s.Select(video.NewCamera(fake.NewCamera("front"), format(640, 480), quiet), true)
	u := collect(t, s, video.H264, 1)[0]
	i := bytes.Index(u.Data, []byte{0, 0, 1, 0x67})
	if i < 0 {
		t.Fatalf("no SPS in %x", u.Data[:min(len(u.Data), 64)])
	}
	profile, constraints, level := u.Data[i+4], u.Data[i+5], u.Data[i+6]
	if profile != 0x42 || constraints&0x40 == 0 || level > 0x1f {
		t.Errorf("profile %x, constraints %x, level %x", profile, constraints, level)
	}
}

// However many follow, a picture is encoded once.
func TestEncodeOnce(t *testing.T) {
	dev := fake.NewCamera("front")
	s := video.NewSender(500_000, quiet)
	defer s.Close()
	s.Select(video.NewCamera(dev, format(160, 120), quiet), true)
	var mu sync.Mutex
	got := make([]map[*byte]bool, 3)
	for i := range got {
		got[i] = make(map[*byte]bool)
		stop := s.Follow(video.H264, func(u video.AccessUnit) {
			mu.Lock()
			defer mu.Unlock()
			got[i][&u.Data[0]] = true
		})
		defer stop()
	}
	until(t, "followed", func() bool { mu.Lock(); defer mu.Unlock(); return len(got[2]) > 10 })
	mu.Lock()
	defer mu.Unlock()
	for b := range got[2] {
		if !got[0][b] || !got[1][b] {
			t.Fatal("a picture of their own")
		}
	}
	if times, open := dev.Opened(); times != 1 || open != 1 {
		t.Errorf("opened %d times, %d open", times, open)
	}
}

// A new follower gets a key frame; many requests get one each half a second.
func TestKeyframes(t *testing.T) {
	s := video.NewSender(500_000, quiet)
	defer s.Close()
	s.Select(video.NewCamera(fake.NewCamera("front"), format(160, 120), quiet), true)
	var mu sync.Mutex
	var keys []time.Time
	stop := s.Follow(video.H264, func(u video.AccessUnit) {
		s.Keyframe(video.H264)
		if u.Key {
			mu.Lock()
			keys = append(keys, u.At)
			mu.Unlock()
		}
	})
	defer stop()
	until(t, "four key frames", func() bool { mu.Lock(); defer mu.Unlock(); return len(keys) >= 4 })
	mu.Lock()
	for i := 1; i < len(keys); i++ {
		if d := keys[i].Sub(keys[i-1]); d < 400*time.Millisecond { // of the capture, and a picture apart at most
			t.Errorf("key frames %v apart", d)
		}
	}
	mu.Unlock()
}

func TestSwitchCamera(t *testing.T) {
	front, back := fake.NewCamera("front"), fake.NewCamera("back")
	a, b := video.NewCamera(front, format(160, 120), quiet), video.NewCamera(back, format(320, 240), quiet)
	s := video.NewSender(500_000, quiet)
	defer s.Close()
	s.Select(a, true)
	frames := make(chan video.AccessUnit, 1000)
	stop := s.Follow(video.H264, func(u video.AccessUnit) { frames <- u })
	defer stop()
	<-frames
	front.Stall.Store(true) // also one that gives no pictures any more
	s.Select(b, true)
	until(t, "the other camera", func() bool { _, open := back.Opened(); return open == 1 })
	until(t, "the first one closed", func() bool { _, open := front.Opened(); return open == 0 })
	until(t, "a key frame", func() bool { return (<-frames).Key })
	last := <-frames
	s.Select(b, false)
	until(t, "closed", func() bool { _, open := back.Opened(); return open == 0 })
	for len(frames) > 0 {
		last = <-frames
	}
	s.Select(b, true)
	until(t, "open again", func() bool { _, open := back.Opened(); return open == 1 })
	// The stream's clock has gone on in the meantime.
	if u := <-frames; u.Since != u.At.Sub(last.At) {
		t.Errorf("%v since the picture that came %v before", u.Since, u.At.Sub(last.At))
	}
}

func TestSnapshot(t *testing.T) {
	s := video.NewSender(500_000, quiet)
	defer s.Close()
	if _, err := s.Snapshot(t.Context()); !errors.Is(err, video.ErrNoCamera) {
		t.Error(err)
	}
	dev := fake.NewCamera("front")
	s.Select(video.NewCamera(dev, format(640, 480), quiet), false) // a picture without sending it
	b, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	img, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if at, err := fake.ReadTimeCode(img, img.Bounds()); err != nil || time.Since(at) > time.Minute {
		t.Error(at, err)
	}
	until(t, "closed", func() bool { _, open := dev.Opened(); return open == 0 })
	dev.Stall.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Snapshot(ctx); err == nil {
		t.Error("a picture of a camera that gives none")
	}
}

func TestNothingIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	dev := fake.NewCamera("front")
	s := video.NewSender(500_000, quiet)
	s.Select(video.NewCamera(dev, format(160, 120), quiet), true)
	for range 50 {
		for _, c := range []video.Codec{video.H264, video.VP8} {
			collect(t, s, c, 1)
		}
	}
	s.Close()
	until(t, "closed", func() bool { _, open := dev.Opened(); return open == 0 })
	until(t, "without goroutines", func() bool { return runtime.NumGoroutine() <= before })
}
