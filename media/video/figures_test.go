package video

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/media/owner"
)

func TestShort(t *testing.T) {
	hd, vga := Format{1280, 720, 30}, Format{640, 480, 30}
	for name, x := range map[string]struct {
		f    Figures
		want string
	}{
		"all of it":          {Figures{State: owner.Running, Wanted: hd, Granted: hd, Rate: 29}, ""},
		"not measured yet":   {Figures{State: owner.Running, Wanted: hd, Granted: hd}, ""},
		"not open yet":       {Figures{State: owner.Opening, Wanted: hd}, ""},
		"failed":             {Figures{State: owner.Failed, Wanted: hd, Granted: vga}, ""},
		"more":               {Figures{State: owner.Running, Wanted: vga, Granted: hd, Rate: 30}, ""},
		"small and slow":     {Figures{State: owner.Running, Wanted: hd, Granted: vga, Rate: 12.04}, "the camera gives 640×480 at 12 pictures/s, not 1280×720 at 30"},
		"small":              {Figures{State: owner.Running, Wanted: hd, Granted: vga}, "the camera gives 640×480 at 30 pictures/s, not 1280×720 at 30"},
		"slow in the dark":   {Figures{State: owner.Running, Wanted: hd, Granted: hd, Rate: 14.96}, "the camera gives 1280×720 at 15 pictures/s, not 1280×720 at 30"},
		"slow, so it grants": {Figures{State: owner.Running, Wanted: hd, Granted: Format{1280, 720, 7.5}}, "the camera gives 1280×720 at 7.5 pictures/s, not 1280×720 at 30"},
	} {
		if got := x.f.Short(); got != x.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// What was granted, though other than what was asked for, is what Format says.
func TestGranted(t *testing.T) {
	for _, x := range []struct {
		gives layout
		rate  float64
		want  Format
		pixel string
	}{
		{layout{code: fourcc("NV12"), width: 320, height: 240, stride: 384}, 25, Format{320, 240, 25}, "NV12"},
		{layout{code: fourcc("YUYV"), width: 640, height: 480}, 0, Format{640, 480, 15}, "YUYV"},
		{layout{code: fourcc("YUYV"), width: 640, height: 480}, 1e6, Format{640, 480, 15}, "YUYV"}, // nobody sees so many
	} {
		d := &fakeDriver{sizes: map[string][]frameSize{"YUYV": {size(1280, 720)}}, rates: map[string]float64{"YUYV": 15}, gives: &x.gives, rate: x.rate}
		with(t, d)
		s, err := V4L2("/dev/video0").Open(Format{1280, 720, 30})
		if err != nil {
			t.Fatal(err)
		}
		if s.Format() != x.want || pixelFormatOf(s) != x.pixel {
			t.Errorf("%v %s", s.Format(), pixelFormatOf(s))
		}
		_ = s.Close()
	}
	for _, gives := range []layout{{code: fourcc("RGB3"), width: 320, height: 240}, {code: fourcc("H264"), width: 320, height: 240}, {code: fourcc("YUYV"), width: 1 << 30, height: 1 << 30}} {
		with(t, &fakeDriver{sizes: map[string][]frameSize{"YUYV": {size(1280, 720)}}, gives: &gives})
		if _, err := V4L2("/dev/video0").Open(Format{1280, 720, 30}); err == nil {
			t.Errorf("%s %d×%d is taken", fourccText(gives.code), gives.width, gives.height)
		}
	}
}

// What cannot be used is counted also where nothing else comes.
func TestDamagedAlone(t *testing.T) {
	set(t, &silentTime, 50*time.Millisecond)
	d := &fakeDriver{sizes: map[string][]frameSize{"YUYV": {size(160, 120)}}, every: time.Millisecond, memory: make([]byte, 100)}
	c := camera(t, d, slog.New(slog.DiscardHandler))
	defer c.Use().Close()
	until(t, "failed", func() bool { return c.Figures().State == owner.Failed })
	if f := c.Figures(); f.Damaged == 0 || f.Frames != 0 || !strings.Contains(f.Err.Error(), "100 bytes of a picture that has 38400") {
		t.Errorf("%+v", f)
	}
}

// What is counted and measured, and the warning when it is less than is wanted.
func TestFigures(t *testing.T) {
	var said bytes.Buffer
	d := &fakeDriver{sizes: map[string][]frameSize{"YUYV": {size(160, 120)}}, every: time.Millisecond, short: true}
	c := camera(t, d, slog.New(slog.DiscardHandler))
	c.log = slog.New(slog.NewTextHandler(&said, nil))
	slow := c.Use()
	until(t, "counted", func() bool { f := c.Figures(); return f.Frames > 10 && f.Damaged > 10 && f.Dropped > 10 })
	if f := c.Figures(); f.State != owner.Running || f.Wanted != (Format{160, 120, 30}) || f.Granted != f.Wanted || f.PixelFormat != "YUYV" || f.Passthrough {
		t.Errorf("%+v", f)
	}
	m := meter{camera: c, source: &capture{reader: &reader{}}}
	for i := range 100 {
		m.frame(time.Unix(0, int64(i)*int64(time.Second)/12))
	}
	if f := c.Figures(); f.Rate < 11.9 || f.Rate > 12.1 {
		t.Errorf("%.3g/s", f.Rate)
	}
	if n := strings.Count(said.String(), "the camera gives 160×120 at 12 pictures/s, not 160×120 at 30"); n != 1 {
		t.Errorf("it says so %d times: %s", n, &said)
	}
	slow.Close()
	until(t, "closed", func() bool { f := c.Figures(); return f.State == owner.Closed && f.Rate == 0 })
}
