package video

import (
	"errors"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// The kernel knows an ioctl by the size of what it takes, too (linux/videodev2.h).
func TestSizesOfTheKernel(t *testing.T) {
	wide := unsafe.Sizeof(uintptr(0)) == 8
	pick := func(of64, of32 uintptr) uintptr {
		if wide {
			return of64
		}
		return of32
	}
	for name, x := range map[string][2]uintptr{
		"capability": {unsafe.Sizeof(capability{}), 104}, "fmtdesc": {unsafe.Sizeof(formatDesc{}), 64}, "frmsizeenum": {unsafe.Sizeof(sizeEnum{}), 44},
		"frmivalenum": {unsafe.Sizeof(intervalEnum{}), 52}, "format": {unsafe.Sizeof(format{}), pick(208, 204)}, "pix_format": {unsafe.Sizeof(pixFormat{}), 48},
		"pix_format_mplane": {unsafe.Sizeof(pixFormatPlanes{}), 192}, "streamparm": {unsafe.Sizeof(streamParm{}), 204},
		"requestbuffers": {unsafe.Sizeof(requestBuffers{}), 20}, "buffer": {unsafe.Sizeof(buffer{}), pick(88, 68)}, "plane": {unsafe.Sizeof(plane{}), pick(64, 60)},
		"queryctrl": {unsafe.Sizeof(queryControl{}), 68}, "querymenu": {unsafe.Sizeof(queryMenu{}), 44}, "control": {unsafe.Sizeof(controlValue{}), 8},
	} {
		if x[0] != x[1] {
			t.Errorf("v4l2_%s takes %d bytes, and not %d", name, x[1], x[0])
		}
	}
	if wide && (setFormat != 0xc0d05605 || dequeueBuffer != 0xc0585611 || streamOn != 0x40045612 || queryCap != 0x80685600) {
		t.Errorf("%x %x %x %x", setFormat, dequeueBuffer, streamOn, queryCap)
	}
}

// TestRealCamera reads the camera that HERALD_CAMERA names, in each of its formats, and
// sets a control of it.
func TestRealCamera(t *testing.T) {
	path := os.Getenv("HERALD_CAMERA")
	if path == "" {
		t.Skip("HERALD_CAMERA names no camera, such as /dev/video0")
	}
	found, err := Cameras()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range found {
		t.Logf("%s: %s: %v", i.Path, i.Name, i.Formats)
	}
	if !slices.ContainsFunc(found, func(i Info) bool { return i.Path == PathOf(found, path) }) {
		t.Errorf("%s is not among them", path)
	}
	d, err := openNode(path)
	if err != nil {
		t.Fatal(err)
	}
	has := d.Formats()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	all := pixelFormats
	defer func() { pixelFormats = all }()
	for _, f := range all {
		if !slices.Contains(has, f.code()) {
			continue
		}
		for _, want := range []Format{{640, 480, 30}, {1280, 720, 10}} {
			pixelFormats = []pixelFormat{f}
			readCamera(t, path, want)
		}
	}
	pixelFormats = all
	firstPicture(t, path)
	realControls(t, path)
}

// firstPicture logs how long the first picture takes of the driver alone, and of a Camera.
func firstPicture(t *testing.T, path string) {
	t.Helper()
	want := Format{640, 480, 30}
	const rounds = 61
	var alone, whole []time.Duration
	for range rounds {
		began := time.Now()
		n, err := openNode(path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := choose(n, want, false)
		if err == nil {
			_, err = n.SetFormat(layout{code: c.pixel.code(), width: c.width, height: c.height})
		}
		if err == nil {
			_, _ = n.SetRate(want.Rate)
			err = n.Start(captureBufs)
		}
		if err == nil {
			_, err = n.Wait(5 * time.Second)
		}
		if err == nil {
			_, err = n.Take()
		}
		alone = append(alone, time.Since(began))
		if err := errors.Join(err, n.Close()); err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		camera := NewCamera(V4L2(path), want, quiet)
		slot := camera.Use()
		f, err := slot.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		whole = append(whole, time.Since(began))
		f.Release()
		slot.Close()
		if err := camera.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(alone)
	slices.Sort(whole)
	t.Logf("the first picture: %v of the driver alone, %v of the camera (medians of %d), %.2f times as long as the driver alone; %v, %v",
		alone[rounds/2], whole[rounds/2], rounds, float64(whole[rounds/2])/float64(alone[rounds/2]), alone, whole)
}

func readCamera(t *testing.T, path string, want Format) {
	t.Helper()
	began := time.Now()
	s, err := V4L2(path).Open(want)
	if err != nil {
		t.Errorf("%v: %v", want, err)
		return
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	opened := time.Since(began)
	var first, last, now time.Time
	const count = 15
	for i := range count {
		f, err := s.Read()
		if err != nil {
			t.Errorf("%v: %v", want, err)
			return
		}
		if now, last = time.Now(), f.At; i == 0 {
			first = f.At
			t.Logf("%s %v: open in %v, the first picture after %v", pixelFormatOf(s), s.Format(), opened, time.Since(began))
		}
		if f.Image != nil && (f.Image.Rect.Dx() != s.Format().Width || f.Image.Rect.Dy() != s.Format().Height) {
			t.Errorf("a picture of %v", f.Image.Rect)
		}
		f.Release()
	}
	t.Logf("%s %v: %.4g pictures/s, the last one %v old", pixelFormatOf(s), s.Format(), (count-1)/last.Sub(first).Seconds(), now.Sub(last))
}

func realControls(t *testing.T, path string) {
	t.Helper()
	controls, err := Controls(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range controls {
		t.Logf("%s: %d (%d to %d by %d, %d) %v", c.Name, c.Value, c.Min, c.Max, c.Step, c.Default, c.Menu)
	}
	i := slices.IndexFunc(controls, func(c Control) bool { return c.Name == "brightness" })
	if i < 0 {
		return
	}
	c := controls[i]
	var said strings.Builder
	set := func(v int64) {
		s, err := V4L2With(path, Settings{"brightness": v}, slog.New(slog.NewTextHandler(&said, nil))).Open(Format{640, 480, 30})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	defer set(c.Value)
	set(c.Min + c.Step)
	if controls, err = Controls(path); err != nil || controls[i].Value != c.Min+c.Step {
		t.Errorf("%v, %v: %s", controls[i], err, &said)
	}
	set(c.Max + 1000)
	if !strings.Contains(said.String(), "set="+strconv.FormatInt(c.Max, 10)) {
		t.Error(&said)
	}
}
