package media

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/herald-im/herald/media/peer"
	"github.com/herald-im/herald/media/sound"
	"github.com/herald-im/herald/media/video"
)

const patience = 20 * time.Second

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not %s in %v", what, patience)
		}
	}
}

func fakes(t *testing.T) *Engine {
	t.Helper()
	e, err := New(Config{
		FrontCamera: Fake, BackCamera: Fake, Format: video.Format{Width: 320, Height: 240, Rate: 30}, Bitrate: 300_000,
		Microphone: Fake, Speaker: Fake, HandsFree: Fake, Loopback: true, StateDir: t.TempDir(),
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func cameraState(c *video.Camera) video.State { s, _ := c.State(); return s }

// A camera is open only while a call shows it.
func TestCameraOfACall(t *testing.T) {
	e := fakes(t)
	if err := e.Begin(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if cameraState(e.front) != video.Running {
		t.Error("the call's camera is not open")
	}
	if err := e.SetCamera(false, true); err != nil {
		t.Fatal(err)
	}
	until(t, "switched", func() bool { return cameraState(e.front) == video.Closed && cameraState(e.back) == video.Running })
	if err := e.SetCamera(false, false); err != nil {
		t.Fatal(err)
	}
	until(t, "closed", func() bool { return cameraState(e.back) == video.Closed })
	if err := e.SetCamera(true, true); err != nil {
		t.Fatal(err)
	}
	until(t, "open again", func() bool { return cameraState(e.front) == video.Running })
	e.End()
	until(t, "given back", func() bool {
		mic, _ := e.mic.State()
		speaker, _ := e.speaker.State()
		return cameraState(e.front) == video.Closed && mic == sound.Closed && speaker == sound.Closed
	})
}

// Two engines connect, see and hear each other.
func TestLink(t *testing.T) {
	a, b := fakes(t), fakes(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var left, right *Link
	state := make(chan peer.State, 64)
	connect := func(e *Engine, other **Link) *Link {
		l, err := e.Connect(Linking{Name: "x", Video: true, Candidate: func(line string) {
			if line != "" {
				_ = (*other).AddCandidate(line)
			}
		}, State: func(s peer.State) { state <- s }})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	left, right = connect(a, &right), connect(b, &left)
	offer, err := left.Offer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := right.Answer(ctx, offer)
	if err == nil {
		err = left.Accept(answer)
	}
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 2; {
		select {
		case s := <-state:
			if s == peer.StateConnected {
				n++
			}
		case <-ctx.Done():
			t.Fatal("not connected")
		}
	}
	for _, l := range []*Link{left, right} {
		until(t, "seen and heard", func() bool {
			s := l.Stats()
			return s.FramesPerSecond > 0 && s.Level > 20 && s.Received[peer.Video].Codec == peer.H264
		})
	}
	left.Close()
	right.Close()
	until(t, "closed", func() bool { return cameraState(a.front) == video.Closed && cameraState(b.front) == video.Closed })
}

func TestDevicesThatAreNotThere(t *testing.T) {
	e, err := New(Config{Format: video.Format{Width: 320, Height: 240, Rate: 30}, Bitrate: 300_000, StateDir: t.TempDir()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.Begin(t.Context(), true); err == nil {
		t.Error("without devices all is well")
	}
	e.End()
	if err := e.SetCamera(true, true); err == nil {
		t.Error("a camera that is not configured")
	}
	if _, _, err := e.View(t.Context(), "v=0"); err == nil {
		t.Error("a picture without a camera")
	}
	if list, err := e.Devices(); err != nil && len(list) > 0 {
		t.Log(list, err)
	}
}
