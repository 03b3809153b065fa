package video

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/jpeg"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/blackjack/webcam"
)

// fakeDriver is a V4L2 camera in memory.
type fakeDriver struct {
	sizes map[string][]webcam.FrameSize // by FourCC
	rates map[string]uint32             // pictures a second

	mu     sync.Mutex
	fourcc string
	w, h   uint32
	short  bool     // pictures are cut short
	silent bool     // no pictures come
	broken error    // of GetFrame
	next   [][]byte // what GetFrame gives first; nil: EAGAIN
	closed bool
	given  int
}

func (d *fakeDriver) GetSupportedFormats() map[webcam.PixelFormat]string {
	out := make(map[webcam.PixelFormat]string)
	for f := range d.sizes {
		out[fourcc(f)] = f
	}
	return out
}

func (d *fakeDriver) GetSupportedFrameSizes(f webcam.PixelFormat) []webcam.FrameSize {
	return d.sizes[fourccText(f)]
}

func (d *fakeDriver) GetSupportedFramerates(f webcam.PixelFormat, _, _ uint32) []webcam.FrameRate {
	if r := d.rates[fourccText(f)]; r > 0 {
		return []webcam.FrameRate{{MinNumerator: 1, MaxNumerator: 1, MinDenominator: r, MaxDenominator: r}}
	}
	return nil
}

func (d *fakeDriver) SetImageFormat(f webcam.PixelFormat, w, h uint32) (webcam.PixelFormat, uint32, uint32, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fourcc, d.w, d.h = fourccText(f), w, h
	return f, w, h, nil
}

func (d *fakeDriver) SetFramerate(float32) error      { return errors.New("not supported") }
func (d *fakeDriver) SetBufferCount(uint32) error     { return nil }
func (d *fakeDriver) StartStreaming() error           { return nil }
func (d *fakeDriver) GetName() (string, error)        { return "Fake Camera", nil }
func (d *fakeDriver) ReleaseFrame(index uint32) error { return nil }

func (d *fakeDriver) WaitForFrame(uint32) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.silent {
		return new(webcam.Timeout)
	}
	return nil
}

func (d *fakeDriver) GetFrame() ([]byte, uint32, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, 0, fs.ErrClosed
	}
	if d.broken != nil {
		return nil, 0, d.broken
	}
	if len(d.next) > 0 {
		b := d.next[0]
		if d.next = d.next[1:]; b == nil {
			return nil, 0, syscall.EAGAIN
		}
		return b, 0, nil
	}
	d.given++
	n := int(d.w * d.h * 2)
	if d.fourcc == "YU12" || d.fourcc == "NV12" {
		n = int(d.w * d.h * 3 / 2)
	}
	if d.short && d.given%2 == 1 {
		n /= 2
	}
	return make([]byte, n), 0, nil
}

func (d *fakeDriver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}

func size(w, h uint32) webcam.FrameSize {
	return webcam.FrameSize{MinWidth: w, MaxWidth: w, MinHeight: h, MaxHeight: h}
}

func TestChooseFormat(t *testing.T) {
	vga, hd := size(640, 480), size(1280, 720)
	for name, x := range map[string]struct {
		d    *fakeDriver
		want Format
		is   string
		w, h uint32
	}{
		"what needs no work": {&fakeDriver{sizes: map[string][]webcam.FrameSize{"MJPG": {vga}, "YUYV": {vga}, "NV12": {vga}}}, Format{640, 480, 30}, "NV12", 640, 480},
		"the right size, though compressed": {
			&fakeDriver{sizes: map[string][]webcam.FrameSize{"MJPG": {vga, hd}, "YUYV": {vga}}}, Format{1280, 720, 30}, "MJPG", 1280, 720},
		"the rate, though compressed": {
			&fakeDriver{sizes: map[string][]webcam.FrameSize{"MJPG": {hd}, "YUYV": {hd}}, rates: map[string]uint32{"MJPG": 30, "YUYV": 10}}, Format{1280, 720, 30}, "MJPG", 1280, 720},
		"the nearest": {&fakeDriver{sizes: map[string][]webcam.FrameSize{"YUYV": {size(320, 240), hd}}}, Format{640, 480, 30}, "YUYV", 320, 240},
		"a size in steps": {&fakeDriver{sizes: map[string][]webcam.FrameSize{"YUYV": {{MinWidth: 32, MaxWidth: 2592, StepWidth: 32, MinHeight: 32, MaxHeight: 1944, StepHeight: 2}}}},
			Format{650, 481, 30}, "YUYV", 640, 480},
	} {
		c, err := choose(x.d, x.want)
		if err != nil || c.pixel.fourcc != x.is || c.width != x.w || c.height != x.h {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	if _, err := choose(&fakeDriver{sizes: map[string][]webcam.FrameSize{"H264": {vga}}}, Format{640, 480, 30}); err == nil || !strings.Contains(err.Error(), "H264") {
		t.Error(err)
	}
}

// with has V4L2 open this driver.
func with(t *testing.T, d *fakeDriver) {
	old := openDriver
	openDriver = func(path string) (driver, error) {
		if path != "/dev/video0" {
			return nil, fs.ErrNotExist
		}
		return d, nil
	}
	t.Cleanup(func() { openDriver = old })
}

func TestCapture(t *testing.T) {
	for _, f := range []string{"YU12", "NV12", "YUYV"} {
		d := &fakeDriver{sizes: map[string][]webcam.FrameSize{f: {size(640, 480)}}, short: true}
		with(t, d)
		s, err := V4L2("/dev/video0").Open(Format{640, 480, 30})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // every other one is cut short, and left out
			frame, err := s.Read()
			if err != nil {
				t.Fatal(err)
			}
			if frame.Image.Rect.Dx() != 640 || frame.Image.Rect.Dy() != 480 || time.Since(frame.At) > time.Minute {
				t.Errorf("%v at %v", frame.Image.Rect, frame.At)
			}
			frame.Release()
		}
		d.mu.Lock()
		d.broken = errors.New("no such device")
		d.mu.Unlock()
		if _, err := s.Read(); err == nil || !strings.Contains(err.Error(), "no such device") {
			t.Error(err)
		}
		if err := s.Close(); err != nil || !d.closed {
			t.Error(err, d.closed)
		}
		if _, err := s.Read(); err == nil {
			t.Error("a picture of a camera that is closed")
		}
	}
}

// Close ends a Read that waits.
func TestCloseWhileSilent(t *testing.T) {
	d := &fakeDriver{sizes: map[string][]webcam.FrameSize{"YUYV": {size(640, 480)}}, silent: true}
	with(t, d)
	s, err := V4L2("/dev/video0").Open(Format{640, 480, 30})
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := s.Read()
		read <- err
	}()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-read; !errors.Is(err, errClosed) {
		t.Error(err)
	}
}

// jpegOf is a picture, with its header's size set to another one.
func jpegOf(t *testing.T, img image.Image, width, height uint16) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(b.Bytes(), []byte{0xff, 0xc0}) // SOF0: length 2, precision 1, height 2, width 2
	binary.BigEndian.PutUint16(b.Bytes()[i+5:], height)
	binary.BigEndian.PutUint16(b.Bytes()[i+7:], width)
	return b.Bytes()
}

// What cameras send that is no picture is left out, and costs no memory.
func TestDamagedPictures(t *testing.T) {
	gray, good := image.NewGray(image.Rect(0, 0, 640, 480)), image.NewYCbCr(image.Rect(0, 0, 641, 481), image.YCbCrSubsampleRatio420)
	whole := jpegOf(t, good, 641, 481)
	d := &fakeDriver{sizes: map[string][]webcam.FrameSize{"MJPG": {size(640, 480)}}, next: [][]byte{
		nil, {}, {0xff}, whole[:len(whole)/2], jpegOf(t, good, 65500, 65500), jpegOf(t, good, 0, 0), jpegOf(t, good, 8, 8),
		jpegOf(t, gray, 640, 480), whole,
	}}
	with(t, d)
	s, err := V4L2("/dev/video0").Open(Format{640, 480, 30})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := s.Read()
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if r := f.Image.Rect; r.Dx() != 640 || r.Dy() != 480 || len(d.next) > 0 {
		t.Errorf("%v, and %d are left", r, len(d.next))
	}
	if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 50 {
		t.Errorf("%d MB for them", mb)
	}
}

// A driver whose sizes make no sense is refused.
func TestSizesThatCannotBe(t *testing.T) {
	for _, s := range []webcam.FrameSize{size(0, 0), size(8, 480), size(641, 480)} {
		d := &fakeDriver{sizes: map[string][]webcam.FrameSize{"YUYV": {s}}}
		with(t, d)
		if c, err := V4L2("/dev/video0").Open(Format{640, 480, 30}); err == nil {
			t.Errorf("%d×%d is taken: %v", s.MaxWidth, s.MaxHeight, c.Format())
		}
		if !d.closed {
			t.Error("it is still open")
		}
	}
}

func TestPathOf(t *testing.T) {
	link := filepath.Join(t.TempDir(), "door")
	if err := os.Symlink("/dev/null", link); err != nil {
		t.Fatal(err)
	}
	found := []Info{{Path: "/dev/zero"}, {Path: "/dev/null"}}
	for device, want := range map[string]string{
		Auto: "/dev/zero", link: "/dev/null", "/dev/null": "/dev/null", "/dev/full": "/dev/full", "/dev/none": "/dev/none",
	} {
		if got := PathOf(found, device); got != want {
			t.Errorf("%s is %s, want %s", device, got, want)
		}
	}
	if got := PathOf(nil, Auto); got != Auto {
		t.Error(got)
	}
}

func TestNoCamera(t *testing.T) {
	with(t, &fakeDriver{})
	if _, err := V4L2("/dev/video7").Open(Format{640, 480, 30}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if s, err := V4L2(Auto).Open(Format{640, 480, 30}); err == nil {
		_ = s.Close()
	}
}

func TestDescribe(t *testing.T) {
	d := &fakeDriver{sizes: map[string][]webcam.FrameSize{"YUYV": {size(640, 480)}, "H264": {size(640, 480)}}, rates: map[string]uint32{"YUYV": 30}}
	if got := strings.Join(describe(d), ", "); got != "YUYV 640×480 30/s" {
		t.Error(got)
	}
}
