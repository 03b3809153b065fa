package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/media/owner"
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

func cameraState(c *video.Camera) owner.State { s, _ := c.State(); return s }

// A camera is open only while a call shows it.
func TestCameraOfACall(t *testing.T) {
	e := fakes(t)
	if err := e.Begin(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if cameraState(e.front) != owner.Running {
		t.Error("the call's camera is not open")
	}
	if err := e.SetCamera(false, true); err != nil {
		t.Fatal(err)
	}
	until(t, "switched", func() bool { return cameraState(e.front) == owner.Closed && cameraState(e.back) == owner.Running })
	if err := e.SetCamera(false, false); err != nil {
		t.Fatal(err)
	}
	until(t, "closed", func() bool { return cameraState(e.back) == owner.Closed })
	if err := e.SetCamera(true, true); err != nil {
		t.Fatal(err)
	}
	until(t, "open again", func() bool { return cameraState(e.front) == owner.Running })
	e.End()
	until(t, "given back", func() bool {
		mic, _ := e.mic.State()
		speaker, _ := e.speaker.State()
		return cameraState(e.front) == owner.Closed && mic == owner.Closed && speaker == owner.Closed
	})
}

// connect makes a connection between two engines, and waits for it.
func connect(t *testing.T, a, b *Engine) (left, right *Link) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	state := make(chan peer.State, 64)
	end := func(e *Engine, other **Link) *Link {
		l, err := e.Connect(Linking{Video: true, Candidate: func(line string) {
			if line != "" {
				_ = (*other).AddCandidate(line)
			}
		}, State: func(s peer.State) { state <- s }})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	left, right = end(a, &right), end(b, &left)
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
	return left, right
}

// Two engines connect, see and hear each other.
func TestLink(t *testing.T) {
	a, b := fakes(t), fakes(t)
	left, right := connect(t, a, b)
	for _, l := range []*Link{left, right} {
		until(t, "seen and heard", func() bool {
			s := l.Stats()
			return s.FramesPerSecond > 0 && s.Level > 20 && s.Received[peer.Video].Codec == peer.H264
		})
	}
	left.Close()
	right.Close()
	until(t, "closed", func() bool { return cameraState(a.front) == owner.Closed && cameraState(b.front) == owner.Closed })
}

// Whoever closes an engine need not close its connections before.
func TestCloseWithLinks(t *testing.T) {
	before := runtime.NumGoroutine()
	a, b := fakes(t), fakes(t)
	left, _ := connect(t, a, b)
	until(t, "heard", func() bool { return left.Stats().Level > 20 })
	if err := a.Begin(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	a.Close()
	b.Close()
	until(t, "without goroutines", func() bool { return runtime.NumGoroutine() <= before })
	if _, err := a.Connect(Linking{}); err == nil {
		t.Error("a connection of an engine that is closed")
	}
	if err := a.Begin(t.Context(), false); err == nil {
		t.Error("a call of an engine that is closed")
	}
	left.Close()
}

// Each device's state is its own.
func TestDevices(t *testing.T) {
	e := fakes(t)
	states := func() string {
		t.Helper()
		list, err := e.Devices()
		if err != nil && !errors.Is(err, sound.ErrNoSound) {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, d := range list {
			if d.Use != "" {
				fmt.Fprintf(&b, "%s %s %s, ", d.Device, d.Use, d.State)
			}
		}
		return b.String()
	}
	const closed = "fake front closed, fake back closed, fake microphone closed, fake speaker closed, fake handsfree closed, "
	if got := states(); got != closed {
		t.Error(got)
	}
	if err := e.Begin(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if got := states(); got != "fake front running, fake back closed, fake microphone running, fake speaker running, fake handsfree closed, " {
		t.Error(got)
	}
	e.SetHandsFree(true)
	until(t, "hands-free", func() bool {
		return states() == "fake front running, fake back closed, fake microphone running, fake speaker closed, fake handsfree running, "
	})
	e.End()
	if got := states(); got != closed {
		t.Error(got)
	}
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
	list, _ := e.Devices()
	for _, d := range list {
		if d.Use != "" {
			t.Errorf("%+v is used", d)
		}
	}
}
