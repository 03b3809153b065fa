package video

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
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
)

// fakeDriver is a V4L2 camera in memory.
type fakeDriver struct {
	sizes    map[string][]frameSize // by FourCC
	rates    map[string]float64     // pictures a second
	controls []control
	gives    *layout       // in place of what is asked for
	rate     float64       // that is granted; 0: it cannot be set
	every    time.Duration // between pictures
	blocks   chan struct{} // Close waits for it

	mu     sync.Mutex
	fourcc string
	w, h   uint32
	short  bool     // pictures are cut short
	silent bool     // no pictures come
	broken error    // of GetFrame
	next   [][]byte // what Take gives first; nil: EAGAIN
	stream [][]byte // what it gives then, over and over; nil: raw pictures
	memory []byte   // the raw pictures, if they are not to be black
	skip   int      // the number of the next picture leaves so many out
	damage bool     // the next picture is said to be damaged
	closed bool
	given  int
	number uint32
	set    []string // controls that were set, "id=value"
	keys   int      // that were asked for
}

func (d *fakeDriver) Formats() (out []uint32) {
	for f := range d.sizes {
		out = append(out, fourcc(f))
	}
	return out
}

func (d *fakeDriver) Sizes(code uint32) []frameSize { return d.sizes[fourccText(code)] }

func (d *fakeDriver) Rates(code, _, _ uint32) []float64 {
	if r := d.rates[fourccText(code)]; r > 0 {
		return []float64{r / 2, r}
	}
	return nil
}

func (d *fakeDriver) SetFormat(want layout) (layout, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gives != nil {
		want = *d.gives
	}
	d.fourcc, d.w, d.h = fourccText(want.code), want.width, want.height
	return want, nil
}

func (d *fakeDriver) SetRate(float64) (float64, error) {
	if d.rate == 0 {
		return 0, errors.New("not supported")
	}
	return d.rate, nil
}

func (d *fakeDriver) Controls() []control { return d.controls }

func (d *fakeDriver) Control(uint32) (int32, error) { return 7, nil }

func (d *fakeDriver) SetControl(id uint32, value int32) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id == ctlForceKey {
		d.keys++
		d.given = 0 // all streams of tests begin with an IDR
		return nil
	}
	d.set = append(d.set, fmt.Sprintf("%x=%d", id, value))
	return nil
}

func (d *fakeDriver) Start(uint32) error { return nil }
func (d *fakeDriver) Name() string       { return "Fake Camera" }
func (d *fakeDriver) Give(uint32) error  { return nil }

func (d *fakeDriver) Wait(time.Duration) (bool, error) {
	if d.every > 0 {
		time.Sleep(d.every) // a camera's clock
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.silent, nil
}

func (d *fakeDriver) Take() (taken, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return taken{}, fs.ErrClosed
	}
	if d.broken != nil {
		return taken{}, d.broken
	}
	t := taken{at: time.Now(), sequence: d.number + uint32(d.skip), damaged: d.damage}
	d.number, d.skip, d.damage = t.sequence+1, 0, false
	if len(d.next) > 0 {
		t.data = d.next[0]
		if d.next = d.next[1:]; t.data == nil {
			return taken{}, syscall.EAGAIN
		}
		return t, nil
	}
	if d.memory != nil {
		t.data = d.memory
		return t, nil
	}
	if d.fourcc == h264FourCC {
		t.data = d.stream[d.given%len(d.stream)]
		d.given++
		return t, nil
	}
	d.given++
	n := int(d.w * d.h * 2)
	if d.fourcc == "YU12" || d.fourcc == "NV12" {
		n = int(d.w * d.h * 3 / 2)
	}
	if d.short && d.given%2 == 1 {
		n /= 2
	}
	t.data = make([]byte, n)
	return t, nil
}

func (d *fakeDriver) Close() error {
	if d.blocks != nil {
		<-d.blocks
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}

// open opens it once more.
func (d *fakeDriver) open() *fakeDriver {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed, d.given = false, 0
	return d
}

func size(w, h uint32) frameSize { return frameSize{least: [2]uint32{w, h}, most: [2]uint32{w, h}} }

func TestChooseFormat(t *testing.T) {
	vga, hd := size(640, 480), size(1280, 720)
	for name, x := range map[string]struct {
		d     *fakeDriver
		want  Format
		is    string
		w, h  uint32
		units bool
	}{
		"what needs no work": {&fakeDriver{sizes: map[string][]frameSize{"MJPG": {vga}, "YUYV": {vga}, "NV12": {vga}}}, Format{640, 480, 30}, "NV12", 640, 480, false},
		"the right size, though compressed": {
			&fakeDriver{sizes: map[string][]frameSize{"MJPG": {vga, hd}, "YUYV": {vga}}}, Format{1280, 720, 30}, "MJPG", 1280, 720, false},
		"the rate, though compressed": {
			&fakeDriver{sizes: map[string][]frameSize{"MJPG": {hd}, "YUYV": {hd}}, rates: map[string]float64{"MJPG": 30, "YUYV": 10}}, Format{1280, 720, 30}, "MJPG", 1280, 720, false},
		"the nearest": {&fakeDriver{sizes: map[string][]frameSize{"YUYV": {size(320, 240), hd}}}, Format{640, 480, 30}, "YUYV", 320, 240, false},
		"a size in steps": {&fakeDriver{sizes: map[string][]frameSize{"YUYV": {{least: [2]uint32{32, 32}, most: [2]uint32{2592, 1944}, step: [2]uint32{32, 2}}}}},
			Format{650, 481, 30}, "YUYV", 640, 480, false},
		"raw, at nearly the rate": {
			&fakeDriver{sizes: map[string][]frameSize{"MJPG": {hd}, "YUYV": {hd}}, rates: map[string]float64{"MJPG": 30, "YUYV": 25}}, Format{1280, 720, 30}, "YUYV", 1280, 720, false},
		"raw, at a rate that is not known": {
			&fakeDriver{sizes: map[string][]frameSize{"MJPG": {hd}, "YUYV": {hd}}, rates: map[string]float64{"MJPG": 30}}, Format{1280, 720, 30}, "YUYV", 1280, 720, false},
		"the size rather than the rate": {
			&fakeDriver{sizes: map[string][]frameSize{"MJPG": {hd}, "YUYV": {vga}}, rates: map[string]float64{"MJPG": 5, "YUYV": 30}}, Format{1280, 720, 30}, "MJPG", 1280, 720, false},
		"what passes through": {
			&fakeDriver{sizes: map[string][]frameSize{"H264": {hd}, "YU12": {hd}}}, Format{1280, 720, 30}, "H264", 1280, 720, true},
		"not where pictures are needed": {
			&fakeDriver{sizes: map[string][]frameSize{"H264": {hd}, "MJPG": {hd}}}, Format{1280, 720, 30}, "MJPG", 1280, 720, false},
		"not what is too large for receivers": {
			&fakeDriver{sizes: map[string][]frameSize{"H264": {size(1920, 1080)}, "MJPG": {size(1920, 1080)}}}, Format{1280, 720, 30}, "MJPG", 1920, 1080, true},
	} {
		c, err := choose(x.d, x.want, x.units)
		if err != nil || c.pixel.fourcc != x.is || c.width != x.w || c.height != x.h {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	if _, err := choose(&fakeDriver{sizes: map[string][]frameSize{"H264": {vga}}}, Format{640, 480, 30}, false); err == nil || !strings.Contains(err.Error(), "H264") {
		t.Error(err)
	}
}

// with has V4L2 open this driver.
func with(t testing.TB, d *fakeDriver) {
	old := openDriver
	openDriver = func(path string) (driver, error) {
		if path != "/dev/video0" {
			return nil, fs.ErrNotExist
		}
		return d.open(), nil
	}
	t.Cleanup(func() { openDriver = old })
}

func TestCapture(t *testing.T) {
	for _, f := range []string{"YU12", "NV12", "YUYV"} {
		d := &fakeDriver{sizes: map[string][]frameSize{f: {size(640, 480)}}, short: true}
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
	d := &fakeDriver{sizes: map[string][]frameSize{"YUYV": {size(640, 480)}}, silent: true}
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
	d := &fakeDriver{sizes: map[string][]frameSize{"MJPG": {size(640, 480)}}, next: [][]byte{
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

// Some cameras leave out a JPEG's end, or put something behind it. One that is cut short
// is none for that.
func TestJPEGsWithoutAnEnd(t *testing.T) {
	whole := photo(t, 640, 480)
	end := len(whole) - 2
	for name, x := range map[string]struct {
		data []byte
		good bool
	}{
		"whole": {whole, true}, "no end": {whole[:end], true}, "half an end": {whole[:end+1], true}, "zeros behind it": {append(bytes.Clone(whole), 0, 0, 0), true},
		"zeros in its place": {append(bytes.Clone(whole[:end]), make([]byte, 1000)...), true}, "something behind it": {append(bytes.Clone(whole), 0x55, 0xaa), true},
		"half of it": {whole[:end/2], false}, "half of it, and zeros": {append(bytes.Clone(whole[:end/2]), make([]byte, 1000)...), false},
		"a header": {whole[:200], false},
	} {
		d := &fakeDriver{sizes: map[string][]frameSize{"MJPG": {size(640, 480)}}, next: [][]byte{x.data, photo(t, 320, 240)}}
		with(t, d)
		s, err := V4L2("/dev/video0").Open(Format{640, 480, 30})
		if err != nil {
			t.Fatal(err)
		}
		if f, err := s.Read(); err != nil || (f.Image.Rect.Dx() == 640) != x.good {
			t.Errorf("%s: %v, %v", name, f, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A driver whose sizes make no sense is refused.
func TestSizesThatCannotBe(t *testing.T) {
	for pixels, s := range map[string]frameSize{
		"YUYV": size(0, 0), "UYVY": size(8, 480), "YU12": size(641, 480), "NV12": size(640, 481), "MJPG": size(maxSide+2, 480), "YV12": size(4096, 3072),
	} {
		d := &fakeDriver{sizes: map[string][]frameSize{pixels: {s}}}
		with(t, d)
		if c, err := V4L2("/dev/video0").Open(Format{640, 480, 30}); err == nil {
			t.Errorf("%s of %d×%d is taken: %v", pixels, s.most[0], s.most[1], c.Format())
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
	d := &fakeDriver{sizes: map[string][]frameSize{"YUYV": {size(640, 480)}, "H264": {size(640, 480)}}, rates: map[string]float64{"YUYV": 30}}
	if got := strings.Join(describe(d), ", "); got != "YUYV 640×480 30/s, H264 640×480" {
		t.Error(got)
	}
}
