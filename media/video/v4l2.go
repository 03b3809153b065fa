package video

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/blackjack/webcam"
	"github.com/pion/mediadevices/pkg/frame"
)

// Auto is the first camera that is found.
const Auto = "auto"

const (
	maxCameras  = 16
	maxFormats  = 64
	captureBufs = 4               // of the driver: fewer lose pictures on a busy board, more are older
	silentTime  = 5 * time.Second // without a picture after which a camera has failed
	minSide     = 16              // pixels, which encoders want at least
)

// pixelFormat is one that can be read. The order is the one in which they are liked:
// what needs no work first, what is compressed last.
type pixelFormat struct {
	fourcc  string
	decoder frame.Format
}

var pixelFormats = []pixelFormat{
	{"YU12", frame.FormatI420}, {"NV12", frame.FormatNV12}, {"NV21", frame.FormatNV21},
	{"YUYV", frame.FormatYUYV}, {"UYVY", frame.FormatUYVY}, {"MJPG", frame.FormatMJPEG}, {"JPEG", frame.FormatMJPEG},
}

func fourcc(s string) webcam.PixelFormat {
	return webcam.PixelFormat(uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24)
}

func fourccText(f webcam.PixelFormat) string {
	b := []byte{byte(f), byte(f >> 8), byte(f >> 16), byte(f >> 24)}
	for i := range b {
		if b[i] < ' ' || b[i] > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}

// driver is what is needed of V4L2.
type driver interface {
	GetSupportedFormats() map[webcam.PixelFormat]string
	GetSupportedFrameSizes(webcam.PixelFormat) []webcam.FrameSize
	GetSupportedFramerates(f webcam.PixelFormat, width, height uint32) []webcam.FrameRate
	SetImageFormat(f webcam.PixelFormat, width, height uint32) (webcam.PixelFormat, uint32, uint32, error)
	SetFramerate(rate float32) error
	SetBufferCount(n uint32) error
	StartStreaming() error
	WaitForFrame(seconds uint32) error
	GetFrame() ([]byte, uint32, error)
	ReleaseFrame(index uint32) error
	GetName() (string, error)
	Close() error
}

// openDriver is set by tests.
var openDriver = func(path string) (driver, error) { return webcam.Open(path) }

// Info is a camera that was found.
type Info struct {
	Path    string // what the configuration calls it by
	Name    string
	Formats []string // such as "YUYV 640×480 30/s"
}

// Cameras finds the machine's cameras. Nodes that capture no pictures are left out.
func Cameras() ([]Info, error) {
	paths, err := filepath.Glob("/dev/video*")
	if err != nil {
		return nil, fmt.Errorf("look for cameras: %w", err)
	}
	slices.SortFunc(paths, func(a, b string) int { // video2 before video10
		return cmp.Or(len(a)-len(b), strings.Compare(a, b))
	})
	var out []Info
	for _, path := range paths[:min(len(paths), 4*maxCameras)] {
		w, err := openDriver(path)
		if err != nil {
			continue // in use in a way that shares nothing, or no camera
		}
		i := Info{Path: path, Formats: describe(w)}
		i.Name, _ = w.GetName() // it goes without
		_ = w.Close()
		if len(i.Formats) > 0 && len(out) < maxCameras {
			out = append(out, i)
		}
	}
	return out, nil
}

// PathOf is the path of the camera among those found that a configuration means by
// device: Auto, a path, or a link to one such as those in /dev/v4l/by-id. One that was
// not found goes by its own name.
func PathOf(found []Info, device string) string {
	if device == Auto {
		if len(found) > 0 {
			return found[0].Path
		}
		return device
	}
	if real, err := filepath.EvalSymlinks(device); err == nil && slices.ContainsFunc(found, func(i Info) bool { return i.Path == real }) {
		return real
	}
	return device
}

// describe lists formats that can be read.
func describe(w driver) (out []string) {
	has := w.GetSupportedFormats()
	for _, f := range pixelFormats {
		code := fourcc(f.fourcc)
		if _, ok := has[code]; !ok {
			continue
		}
		for _, s := range w.GetSupportedFrameSizes(code) {
			if len(out) >= maxFormats {
				return out
			}
			text := fmt.Sprintf("%s %d×%d", f.fourcc, s.MaxWidth, s.MaxHeight)
			if rate := bestRate(w.GetSupportedFramerates(code, s.MaxWidth, s.MaxHeight)); rate > 0 {
				text += fmt.Sprintf(" %.4g/s", rate)
			}
			out = append(out, text)
		}
	}
	return out
}

// bestRate is the most pictures a second of a list of intervals; 0: not known.
func bestRate(intervals []webcam.FrameRate) (best float64) {
	for _, r := range intervals {
		if r.MinNumerator > 0 && r.MinDenominator > 0 {
			best = max(best, float64(r.MinDenominator)/float64(r.MinNumerator))
		}
	}
	return best
}

// choice is a format of a camera.
type choice struct {
	pixel         pixelFormat
	width, height uint32
	rate          float64
}

// choose finds what is nearest to what is wanted: first the size, then whether it
// can be had at the rate, then what is least work.
func choose(w driver, want Format) (best choice, err error) {
	has := w.GetSupportedFormats()
	bestCost := -1
	for order, f := range pixelFormats {
		code := fourcc(f.fourcc)
		if _, ok := has[code]; !ok {
			continue
		}
		for _, s := range w.GetSupportedFrameSizes(code) {
			width, height := fit(s.MinWidth, s.MaxWidth, s.StepWidth, uint32(want.Width)), fit(s.MinHeight, s.MaxHeight, s.StepHeight, uint32(want.Height))
			rate := bestRate(w.GetSupportedFramerates(code, width, height))
			cost := distance(int(width), want.Width) + distance(int(height), want.Height)
			cost *= 100
			if rate > 0 && rate < want.Rate*0.9 {
				cost += 20
			}
			if cost += order; bestCost < 0 || cost < bestCost {
				bestCost, best = cost, choice{f, width, height, rate}
			}
		}
	}
	if bestCost < 0 {
		var names []string
		for code := range has {
			names = append(names, fourccText(code))
		}
		slices.Sort(names)
		return best, fmt.Errorf("the camera has none of the formats that can be read, but %v", names)
	}
	return best, nil
}

// fit is the size that a camera has which is nearest to what is wanted.
func fit(least, most, step, want uint32) uint32 {
	v := min(max(want, least), most)
	if step > 1 {
		v = least + (v-least)/step*step
	}
	return v
}

// distance is how far a size is off.
func distance(has, want int) int { return max(has-want, want-has) }

// V4L2 is a camera by its path, or Auto.
func V4L2(path string) Device { return v4l2(path) }

type v4l2 string

func (d v4l2) Name() string { return string(d) }

func (d v4l2) Open(want Format) (Source, error) {
	path := string(d)
	if path == Auto {
		found, err := Cameras()
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, errors.New("no camera was found")
		}
		path = PathOf(found, path)
	}
	w, err := openDriver(path)
	if err != nil {
		return nil, err
	}
	c, err := start(w, want)
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return c, nil
}

// start begins to capture.
func start(w driver, want Format) (*capture, error) {
	chosen, err := choose(w, want)
	if err != nil {
		return nil, err
	}
	code := fourcc(chosen.pixel.fourcc)
	got, width, height, err := w.SetImageFormat(code, chosen.width, chosen.height)
	if err != nil {
		return nil, fmt.Errorf("set %s %d×%d: %w", chosen.pixel.fourcc, chosen.width, chosen.height, err)
	}
	if got != code {
		return nil, fmt.Errorf("the camera gives %s, and not %s", fourccText(got), chosen.pixel.fourcc)
	}
	if width < minSide || height < minSide || width%2 != 0 {
		return nil, fmt.Errorf("the camera gives pictures of %d×%d", width, height)
	}
	rate := want.Rate
	if chosen.rate > 0 {
		rate = min(rate, chosen.rate)
	}
	_ = w.SetFramerate(float32(rate)) // many cameras cannot, and give what they give
	decoder, err := frame.NewDecoder(chosen.pixel.decoder)
	if err != nil {
		return nil, err
	}
	if err := w.SetBufferCount(captureBufs); err != nil {
		return nil, err
	}
	if err := w.StartStreaming(); err != nil {
		return nil, err
	}
	c := &capture{w: w, pixel: chosen.pixel.decoder, decoder: decoder, format: Format{int(width), int(height), rate}}
	c.free.New = func() any { return new([]byte) }
	return c, nil
}

// capture is an open V4L2 camera.
type capture struct {
	w       driver
	pixel   frame.Format
	decoder frame.Decoder
	format  Format
	closing atomic.Bool
	reading sync.Mutex // the driver's memory goes with Close
	free    sync.Pool  // of *[]byte
}

func (c *capture) Format() Format { return c.format }

// Close ends the capture. It waits for a Read that is under way, which a camera that
// gives no pictures holds up for a second.
func (c *capture) Close() error {
	if c.closing.Swap(true) {
		return nil
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	return c.w.Close()
}

var errClosed = errors.New("the camera was closed")

func (c *capture) Read() (*Frame, error) {
	silent := time.Now()
	for {
		buf, at, err := c.raw()
		switch {
		case err != nil:
			return nil, err
		case buf == nil:
			if time.Since(silent) > silentTime {
				return nil, fmt.Errorf("the camera has given no picture for %v", silentTime)
			}
			continue
		}
		img, err := c.decode(*buf)
		if err != nil { // cut short, for instance: cameras send such
			c.free.Put(buf)
			if time.Since(silent) > silentTime {
				return nil, fmt.Errorf("no picture of the camera can be decoded: %w", err)
			}
			continue
		}
		return NewFrame(img, at, func() { c.free.Put(buf) }), nil
	}
}

// decode makes a picture that encoders can take. It may look into data, which is not
// to be used otherwise before the picture is released.
func (c *capture) decode(data []byte) (*image.YCbCr, error) {
	if c.pixel == frame.FormatMJPEG {
		// Two bytes that were damaged on the wire must not cost gigabytes.
		h, err := jpeg.DecodeConfig(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		if h.Width > 2*c.format.Width || h.Height > 2*c.format.Height {
			return nil, fmt.Errorf("a picture of %d×%d, not %d×%d", h.Width, h.Height, c.format.Width, c.format.Height)
		}
	}
	img, _, err := c.decoder.Decode(data, c.format.Width, c.format.Height)
	if err != nil {
		return nil, err
	}
	yuv, ok := img.(*image.YCbCr)
	if !ok {
		return nil, fmt.Errorf("a picture as %T", img)
	}
	switch yuv.SubsampleRatio {
	case image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio444:
	default:
		return nil, fmt.Errorf("a picture with %v", yuv.SubsampleRatio)
	}
	if yuv = even(yuv); yuv.Rect.Dx() < minSide || yuv.Rect.Dy() < minSide {
		return nil, fmt.Errorf("a picture of %v", yuv.Rect.Size())
	}
	return yuv, nil
}

// raw copies the next picture out of the driver's memory; nil: none came, in a second
// at most.
func (c *capture) raw() (*[]byte, time.Time, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.closing.Load() {
		return nil, time.Time{}, errClosed
	}
	var timeout *webcam.Timeout
	if err := c.w.WaitForFrame(1); errors.As(err, &timeout) {
		return nil, time.Time{}, nil
	} else if err != nil {
		return nil, time.Time{}, fmt.Errorf("wait for a picture: %w", err)
	}
	at := time.Now()
	data, index, err := c.w.GetFrame()
	if errors.Is(err, syscall.EAGAIN) { // woken for nothing
		return nil, at, nil
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("get a picture: %w", err)
	}
	buf := c.free.Get().(*[]byte)
	*buf = append((*buf)[:0], data...)
	if err := c.w.ReleaseFrame(index); err != nil {
		return nil, time.Time{}, fmt.Errorf("give a picture back: %w", err)
	}
	if len(*buf) == 0 {
		c.free.Put(buf)
		return nil, at, nil
	}
	return buf, at, nil
}

// even cuts a picture to an even size, as the encoders need it.
func even(img *image.YCbCr) *image.YCbCr {
	r := img.Rect
	w, h := r.Dx()&^1, r.Dy()&^1
	if w == r.Dx() && h == r.Dy() {
		return img
	}
	cut, ok := img.SubImage(image.Rect(r.Min.X, r.Min.Y, r.Min.X+w, r.Min.Y+h)).(*image.YCbCr)
	if !ok {
		return img
	}
	return cut
}
