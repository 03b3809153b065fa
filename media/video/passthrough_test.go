package video

import (
	"bytes"
	"context"
	"errors"
	"image/jpeg"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/herald-im/herald/media/h264"
	"github.com/herald-im/herald/media/h264/h264test"
	"github.com/herald-im/herald/media/owner"
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

// set sets a variable for a test. What uses it has ended at the test's end, see camera.
func set[T any](t testing.TB, v *T, to T) {
	old := *v
	*v = to
	t.Cleanup(func() { *v = old })
}

// camera is one whose driver is d.
func camera(t testing.TB, d *fakeDriver, log *slog.Logger) *Camera {
	t.Helper()
	with(t, d)
	return drained(t, NewCamera(V4L2With("/dev/video0", nil, log), Format{160, 120, 30}, log))
}

// drained has nothing of a camera left after a test.
func drained(t testing.TB, c *Camera) *Camera {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.Drain(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

// sending is a sender of a camera's pictures, and what it hands out.
func sending(t testing.TB, c *Camera) (*Sender, chan AccessUnit) {
	t.Helper()
	s := NewSender(100_000_000, quiet) // the cameras of tests are fast
	t.Cleanup(s.Close)
	s.Select(c, true)
	got := make(chan AccessUnit, 1000)
	t.Cleanup(s.Follow(H264, func(u AccessUnit) {
		select {
		case got <- u:
		default:
		}
	}))
	return s, got
}

func next(t testing.TB, got <-chan AccessUnit) AccessUnit {
	t.Helper()
	select {
	case u := <-got:
		return u
	case <-time.After(patience):
		t.Fatal("nothing comes")
	}
	return AccessUnit{}
}

func h264Camera(stream [][]byte, others ...string) *fakeDriver {
	d := &fakeDriver{
		sizes: map[string][]frameSize{"H264": {size(160, 120)}}, stream: stream, every: 2 * time.Millisecond,
		controls: []control{
			{id: ctlForceKey, kind: kindButton}, {id: ctlBitrate, kind: kindNumber, Control: Control{Min: 100_000, Max: 4_000_000, Step: 25_000}},
			{id: ctlH264Profile, kind: kindMenu, Control: Control{Max: 4}},
		},
	}
	for _, f := range others {
		d.sizes[f] = []frameSize{size(160, 120)}
	}
	return d
}

// What a camera has encoded reaches whoever follows, byte by byte and in order.
func TestPassthrough(t *testing.T) {
	stream := h264test.Encoded(t, 160, 120, 30)
	d := h264Camera(stream, "YUYV", "MJPG")
	c := camera(t, d, quiet)
	s, got := sending(t, c)
	u := next(t, got)
	if !u.Key {
		t.Error("the first is no key frame")
	}
	at := slices.IndexFunc(stream, func(b []byte) bool { return bytes.Equal(b, u.Data) })
	if at < 0 {
		t.Fatalf("another picture: %x", u.Data[:32])
	}
	for i := range 60 {
		before := u
		u = next(t, got)
		at = (at + 1) % len(stream)
		if !bytes.Equal(u.Data, stream[at]) {
			t.Fatalf("picture %d is another one: %x", i, u.Data[:32])
		}
		if u.Key != (at%10 == 0) || u.Since != max(time.Millisecond, u.At.Sub(before.At)) {
			t.Errorf("key %v, %v since the one %v before", u.Key, u.Since, u.At.Sub(before.At))
		}
	}
	if f := c.Figures(); !f.Passthrough || f.PixelFormat != "H264" || f.Frames < 60 || f.State != owner.Running {
		t.Errorf("%+v", f)
	}
	if st, ok := s.Stats(H264); !ok || st.Width != 160 || st.Height != 120 || st.Encoded < 60 || st.Captured != st.Encoded || st.Keys < 6 {
		t.Errorf("%+v", st)
	}
	s.SetBitrate(H264, 1_000_000) // what the links can take
	set := func() string { d.mu.Lock(); defer d.mu.Unlock(); return strings.Join(d.set, " ") }
	until(t, "told the bitrate", func() bool { return set() == "990a6b=1 9909cf=4000000 9909cf=1000000" })
	s.SetBitrate(H264, 1_010_000)
	for range 10 {
		next(t, got)
	}
	if s := set(); strings.Count(s, "9909cf") != 2 {
		t.Error(s)
	}
}

// A camera that does not repeat its parameter sets gets them put in.
func TestPassthroughPutsParameterSetsIn(t *testing.T) {
	stream := h264test.Encoded(t, 160, 120, 30)
	sets := h264test.Only(stream[0], h264.SPS, h264.PPS)
	var bare [][]byte
	for _, buf := range stream {
		bare = append(bare, h264test.Without(buf, h264.SPS, h264.PPS))
	}
	d := h264Camera(bare)
	d.next = [][]byte{sets}
	_, got := sending(t, camera(t, d, quiet))
	for keys := 0; keys < 3; {
		if u := next(t, got); u.Key {
			keys++
			if k := h264test.Kinds(u.Data); !bytes.Equal(k, []byte{h264.SPS, h264.PPS, h264.IDR}) {
				t.Fatal(k)
			}
		}
	}
}

// What receivers could not show is not sent: the camera is opened for pictures, which
// the board encodes. So it is with what is no H264, and what has no IDR.
func TestPassthroughFallsBack(t *testing.T) {
	set(t, &keyPatience, 200*time.Millisecond)
	for name, stream := range map[string]func() [][]byte{
		"B": func() [][]byte { return h264test.X264(t, "-c:v", "libx264", "-profile:v", "main", "-bf", "2") },
		"high 10": func() [][]byte {
			return h264test.X264(t, "-c:v", "libx264", "-profile:v", "high10", "-pix_fmt", "yuv420p10le")
		},
		"no IDR":  func() [][]byte { return h264test.Encoded(t, 160, 120, 10)[1:] },
		"garbage": func() [][]byte { return [][]byte{[]byte("garbage"), {1, 2, 3}} },
	} {
		t.Run(name, func(t *testing.T) {
			c := camera(t, h264Camera(stream(), "YUYV"), quiet)
			_, got := sending(t, c)
			until(t, "opened for pictures", func() bool { f := c.Figures(); return f.PixelFormat == "YUYV" && f.State == owner.Running })
			until(t, "encoded by the board", func() bool { u := next(t, got); return u.Key && bytes.Contains(u.Data, []byte("\x00\x00\x01\x67\x42")) })
			if f := c.Figures(); f.Passthrough {
				t.Errorf("%+v", f)
			}
		})
	}
}

// One that has nothing else says why it gives nothing.
func TestPassthroughWithoutAnythingElse(t *testing.T) {
	var said lines
	c := camera(t, h264Camera(h264test.X264(t, "-c:v", "libx264", "-profile:v", "main", "-bf", "2")), slog.New(slog.NewTextHandler(&said, nil)))
	defer c.UseUnits().Close()
	var err error
	until(t, "failed", func() bool { var s owner.State; s, err = c.State(); return s == owner.Failed })
	for _, want := range []string{"H264", "reordered (B)"} {
		if !strings.Contains(err.Error(), want) {
			t.Error(err)
		}
	}
	if s := said.String(); strings.Contains(s, "the board encodes") {
		t.Error(s)
	}
}

// lines is a log that is read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *lines) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// Who wants pictures gets them, and those who watch go on; afterwards the camera
// encodes again.
func TestPicturesDuringPassthrough(t *testing.T) {
	set(t, &picturesLull, 100*time.Millisecond)
	stream := h264test.Encoded(t, 160, 120, 30)
	c := camera(t, h264Camera(stream, "YUYV"), quiet)
	s, got := sending(t, c)
	var before []byte
	changes := 0
	defer s.Follow(H264, func(u AccessUnit) {
		whose := func(b []byte) bool {
			return slices.ContainsFunc(stream, func(x []byte) bool { return bytes.Equal(x, b) })
		}
		if before != nil && whose(before) != whose(u.Data) {
			if changes++; !u.Key {
				t.Errorf("change %d of the encoder, and no key frame", changes)
			}
		}
		before = u.Data
	})()
	next(t, got)
	for range 2 {
		until(t, "passed through", func() bool { return c.Figures().Passthrough })
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		b, err := s.Snapshot(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jpeg.Decode(bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		until(t, "a key frame", func() bool { return next(t, got).Key })
	}
	vp8 := make(chan AccessUnit, 100)
	stop := s.Follow(VP8, func(u AccessUnit) {
		select {
		case vp8 <- u:
		default:
		}
	})
	next(t, vp8)
	if c.Figures().Passthrough {
		t.Error("still")
	}
	stop()
	until(t, "passed through", func() bool { return c.Figures().Passthrough })
	until(t, "a key frame", func() bool { return next(t, got).Key })
}

// A camera with H264 alone says that it gives no pictures, and disturbs nobody.
func TestNoPicturesToBeHad(t *testing.T) {
	c := camera(t, h264Camera(h264test.Encoded(t, 160, 120, 30)), quiet)
	s := NewSender(100_000_000, quiet)
	defer s.Close()
	s.Select(c, true)
	for range 2 { // closed, and then open
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if _, err := s.Snapshot(ctx); !errors.Is(err, ErrNoPictures) {
			t.Fatal(err)
		}
		cancel()
		got := make(chan AccessUnit, 1000)
		defer s.Follow(H264, func(u AccessUnit) { got <- u })()
		next(t, got)
	}
	until(t, "running", func() bool { return c.Figures().Frames > 100 })
	if f := c.Figures(); !f.Passthrough {
		t.Errorf("%+v", f)
	}
}

// A camera that takes much more than is wanted is encoded by the board, until as much is
// wanted or it is closed.
func TestPassthroughKeepsToTheBitrate(t *testing.T) {
	set(t, &overloadTime, 100*time.Millisecond)
	set(t, &overloadPause, 50*time.Millisecond)
	d := h264Camera(h264test.Encoded(t, 160, 120, 30), "YUYV")
	d.controls = nil // its bitrate cannot be set
	c := camera(t, d, quiet)
	for range 2 {
		s := NewSender(50_000_000, quiet)
		s.Select(c, true)
		got := make(chan AccessUnit, 1000)
		stop := s.Follow(H264, func(u AccessUnit) {
			select {
			case got <- u:
			default:
			}
		})
		s.SetBitrate(H264, 20_000)
		until(t, "passed through", func() bool { next(t, got); return c.Figures().Passthrough })
		until(t, "encoded", func() bool { next(t, got); return c.Figures().PixelFormat == "YUYV" })
		for began := time.Now(); time.Since(began) < 3*overloadPause; {
			next(t, got)
		}
		if c.Figures().Passthrough {
			t.Error("it passes through again, and no more is wanted than before")
		}
		s.SetBitrate(H264, 50_000_000)
		until(t, "passed through again", func() bool { next(t, got); return c.Figures().Passthrough })
		s.SetBitrate(H264, 20_000)
		until(t, "encoded again", func() bool { next(t, got); return c.Figures().PixelFormat == "YUYV" })
		stop()
		s.Close()
		if err := c.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_, got := sending(t, c)
	for began := time.Now(); time.Since(began) < 5*overloadTime; {
		next(t, got)
	}
	if !c.Figures().Passthrough {
		t.Error("it takes no more than is wanted")
	}
}

// A key frame is asked for where it is wanted, and where something was lost.
func TestKeyframeOfTheCamera(t *testing.T) {
	stream := h264test.Encoded(t, 160, 120, 11)
	long := append([][]byte{}, stream[0])
	for range 50 {
		long = append(long, stream[1:10]...)
	}
	d := h264Camera(long)
	c := camera(t, d, quiet)
	s, got := sending(t, c)
	next(t, got)
	asked := func() int { d.mu.Lock(); defer d.mu.Unlock(); return d.keys }
	before := asked()
	s.Keyframe(H264)
	until(t, "asked", func() bool { return asked() > before })
	until(t, "a key frame", func() bool { return next(t, got).Key })
	for name, harm := range map[string]func(){"a loss": func() { d.skip = 3 }, "damage": func() { d.damage = true }} {
		before = asked()
		d.mu.Lock()
		harm()
		d.mu.Unlock()
		until(t, "asked after "+name, func() bool { return asked() > before })
		until(t, "a key frame", func() bool { return next(t, got).Key })
	}
	before = asked()
	slot := c.UseUnits() // in the middle of the stream
	defer slot.Close()
	f, err := slot.Next(t.Context())
	if err != nil || !f.Unit.Key || asked() == before {
		t.Error("no key frame was asked for", err)
	}
}

// A camera whose buffers have no picture in them any more has failed, though buffers come.
func TestBuffersWithoutPictures(t *testing.T) {
	set(t, &silentTime, 200*time.Millisecond)
	for name, next := range map[string][]byte{"nothing": {}, "parameter sets": h264test.Only(h264test.Encoded(t, 160, 120, 1)[0], h264.SPS, h264.PPS), "a delimiter": []byte("\x00\x00\x01\x09\x10")} {
		d := h264Camera(h264test.Encoded(t, 160, 120, 1))
		with(t, d)
		s, err := V4L2With("/dev/video0", nil, quiet).(UnitDevice).OpenUnits(Format{160, 120, 30}, 0)
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.Read()
		if err != nil || !f.Unit.Key {
			t.Fatal(err)
		}
		d.mu.Lock()
		d.stream = [][]byte{next}
		d.mu.Unlock()
		read := make(chan error, 1)
		go func() { _, err := s.Read(); read <- err }()
		select {
		case err := <-read:
			if err == nil || errors.Is(err, h264.ErrUnfit) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(patience):
			t.Errorf("%s: it is still waited for", name)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// One who is busy for too long goes on with the next key frame.
func TestSlowUserOfUnits(t *testing.T) {
	stream := h264test.Encoded(t, 160, 120, 30)
	c := camera(t, h264Camera(stream), quiet)
	slow := c.UseUnits()
	defer slow.Close()
	until(t, "some left out", func() bool { return c.Figures().Dropped > 20 })
	last := -1
	for n := 0; n < 40; n++ {
		f, err := slow.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(stream, func(b []byte) bool { return bytes.Equal(b, f.Unit.Data) })
		if at != (last+1)%len(stream) && !f.Unit.Key {
			t.Errorf("picture %d after %d, and it is no key frame", at, last)
		}
		last = at
		f.Release()
	}
}

// unplug has a camera say what it says when its plug is pulled.
func unplug(d *fakeDriver) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = unix.ENODEV
}

// A camera that was unplugged comes back when it is there again, also as another node.
func TestHotPlug(t *testing.T) {
	sizes := map[string][]frameSize{"YUYV": {size(160, 120)}}
	var mu sync.Mutex
	nodes := map[string]*fakeDriver{"/dev/video0": {sizes: sizes, every: time.Millisecond}}
	set(t, &openDriver, func(path string) (driver, error) {
		mu.Lock()
		defer mu.Unlock()
		if d := nodes[path]; d != nil {
			return d.open(), nil
		}
		return nil, unix.ENOENT
	})
	set(t, &findNodes, func() (out []string, err error) {
		mu.Lock()
		defer mu.Unlock()
		for path := range nodes {
			out = append(out, path)
		}
		return out, nil
	})
	c := drained(t, NewCamera(V4L2(Auto), Format{160, 120, 30}, quiet))
	_, got := sending(t, c)
	first := next(t, got)
	mu.Lock()
	gone := nodes["/dev/video0"]
	delete(nodes, "/dev/video0")
	mu.Unlock()
	unplug(gone)
	until(t, "failed", func() bool { s, _ := c.State(); return s == owner.Failed })
	until(t, "closed", func() bool { gone.mu.Lock(); defer gone.mu.Unlock(); return gone.closed })
	mu.Lock()
	nodes["/dev/video3"] = &fakeDriver{sizes: sizes, every: time.Millisecond}
	mu.Unlock()
	until(t, "running again", func() bool { s, _ := c.State(); return s == owner.Running })
	until(t, "a picture", func() bool { return next(t, got).At.After(first.At.Add(100 * time.Millisecond)) })
}

// A driver that does not let go holds up nobody.
func TestFrozenDriver(t *testing.T) {
	d := &fakeDriver{sizes: map[string][]frameSize{"YUYV": {size(160, 120)}}, every: time.Millisecond, blocks: make(chan struct{})}
	frozen := camera(t, d, quiet)
	s := NewSender(500_000, quiet)
	defer s.Close()
	s.Select(frozen, true)
	got := make(chan AccessUnit, 1000)
	defer s.Follow(H264, func(u AccessUnit) {
		select {
		case got <- u:
		default:
		}
	})()
	next(t, got)
	other := &fakeDriver{sizes: map[string][]frameSize{"YUYV": {size(320, 240)}}, every: time.Millisecond}
	old := openDriver
	set(t, &openDriver, func(path string) (driver, error) {
		if path == "/dev/video1" {
			return other, nil
		}
		return old(path)
	})
	c := NewCamera(V4L2("/dev/video1"), Format{320, 240, 30}, quiet)
	s.Select(c, true) // the first one is closed, which does not end
	until(t, "the other camera", func() bool { u := next(t, got); return u.Key && c.Figures().Frames > 0 })
	frozen.Use().Close() // nor does this wait
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := frozen.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	close(d.blocks)
	s.Close()
	if err := errors.Join(c.Drain(t.Context()), frozen.Drain(t.Context())); err != nil {
		t.Error(err)
	}
}

// BenchmarkPassthroughWhole is what the whole way of such a picture takes of the
// processor: the driver (which is none here), camera, sender, whoever follows.
func BenchmarkPassthroughWhole(b *testing.B) {
	stream := h264test.Encoded(b, 1280, 720, 30)
	d := &fakeDriver{sizes: map[string][]frameSize{"H264": {size(1280, 720)}}, stream: stream, every: time.Second / 120}
	with(b, d)
	c := drained(b, NewCamera(V4L2("/dev/video0"), Format{1280, 720, 30}, quiet))
	_, got := sending(b, c)
	next(b, got)
	var before, after unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		next(b, got)
	}
	if err := unix.Getrusage(unix.RUSAGE_SELF, &after); err != nil {
		b.Fatal(err)
	}
	used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(used)/1000/float64(b.N), "cpu-µs/picture")
	b.ReportMetric(float64(used)/float64(b.N)*30/1e9*100, "%core-at-30/s")
}
