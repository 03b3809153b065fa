package video

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/herald-im/herald/media/owner"
	"golang.org/x/sys/unix"
)

// Auto is the first camera that is found.
const Auto = "auto"

const (
	maxCameras  = 16
	maxFormats  = 64
	captureBufs = 4   // of the driver: fewer lose pictures on a busy board, more are older
	minSide     = 16  // pixels, which encoders want at least
	maxRate     = 240 // pictures a second that a driver is believed to give
)

// silentTime is how long a camera may give no picture until it has failed.
var silentTime = 5 * time.Second // tests shorten it

// layout is how pictures lie in memory.
type layout struct {
	code          uint32 // FourCC
	width, height uint32
	stride        uint32 // bytes from one line to the next; 0: none
}

// taken is a buffer of the driver's with a picture in it.
type taken struct {
	data     []byte // until it is given back
	index    uint32
	sequence uint32 // of the capture; one that is missing was lost
	damaged  bool
	at       time.Time // of the capture
}

// driver is what is needed of V4L2.
type driver interface {
	Name() string
	Formats() []uint32
	Sizes(code uint32) []frameSize
	Rates(code, width, height uint32) []float64 // pictures a second
	// SetFormat and SetRate give what was granted; a rate of 0 is not known.
	SetFormat(layout) (layout, error)
	SetRate(rate float64) (float64, error)
	Controls() []control
	Control(id uint32) (int32, error)
	SetControl(id uint32, value int32) error
	Start(buffers uint32) error
	// Wait tells whether there is something to take before timeout.
	Wait(timeout time.Duration) (bool, error)
	Take() (taken, error)
	Give(index uint32) error
	Close() error
}

// openDriver is set by tests.
var openDriver = func(path string) (driver, error) { return openNode(path) }

// open opens a camera by its path, or Auto.
func open(path string) (driver, error) {
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
	return openDriver(path)
}

// Info is a camera that was found.
type Info struct {
	Path    string // what the configuration calls it by
	Name    string
	Formats []string // such as "YUYV 640×480 30/s"
}

// Cameras finds the machine's cameras. Nodes that capture no pictures are left out.
func Cameras() ([]Info, error) {
	paths, err := findNodes()
	if err != nil {
		return nil, fmt.Errorf("look for cameras: %w", err)
	}
	slices.SortFunc(paths, func(a, b string) int { // video2 before video10
		return cmp.Or(len(a)-len(b), strings.Compare(a, b))
	})
	var out []Info
	for _, path := range paths[:min(len(paths), 4*maxCameras)] {
		d, err := openDriver(path)
		if err != nil {
			continue // in use in a way that shares nothing, or no camera
		}
		i := Info{Path: path, Name: d.Name(), Formats: describe(d)}
		_ = d.Close()
		if len(i.Formats) > 0 && len(out) < maxCameras {
			out = append(out, i)
		}
	}
	return out, nil
}

// findNodes is set by tests.
var findNodes = func() ([]string, error) { return filepath.Glob("/dev/video*") }

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

// V4L2 is a camera by its path, or Auto. A link is followed anew at each Open.
func V4L2(path string) Device { return V4L2With(path, nil, slog.New(slog.DiscardHandler)) }

// V4L2With is V4L2 whose controls are set at each Open. What of them cannot be set is
// a warning.
func V4L2With(path string, settings Settings, log *slog.Logger) Device {
	return &v4l2{path: path, settings: settings, log: log.With("camera", path)}
}

type v4l2 struct {
	path     string
	settings Settings
	log      *slog.Logger
}

func (d *v4l2) Name() string { return d.path }

func (d *v4l2) Open(want Format) (Source, error) { return d.open(want, false, 0) }

// OpenUnits implements UnitDevice.
func (d *v4l2) OpenUnits(want Format, bitrate int) (Source, error) {
	return d.open(want, true, bitrate)
}

func (d *v4l2) open(want Format, units bool, bitrate int) (Source, error) {
	w, err := open(d.path)
	if err != nil {
		return nil, owner.Advised(err, advice)
	}
	s, err := d.start(w, want, units, bitrate)
	if err != nil {
		return nil, errors.Join(owner.Advised(err, advice), w.Close())
	}
	return s, nil
}

// advice is what can be done about the kernel's word.
var advice = map[unix.Errno]string{
	unix.EBUSY:  "another program uses it",
	unix.EACCES: "who may is the group of the device, often video",
	unix.EPERM:  "the service is not allowed to",
	unix.ENOENT: owner.NotThere,
	unix.ENOSPC: "the USB port has no room left for it beside other devices: a smaller picture or another port may help",
}

// start begins to capture.
func (d *v4l2) start(w driver, want Format, units bool, bitrate int) (Source, error) {
	chosen, err := choose(w, want, units)
	if err != nil {
		if !units && encodesBest(w, want) {
			return nil, ErrNoPictures
		}
		return nil, err
	}
	got, err := w.SetFormat(layout{code: chosen.pixel.code(), width: chosen.width, height: chosen.height})
	if err != nil {
		return nil, fmt.Errorf("set %s %d×%d: %w", chosen.pixel.fourcc, chosen.width, chosen.height, err)
	}
	pixel, ok := formatOf(got.code)
	if !ok || pixel.fourcc == h264FourCC && !units { // V4L2 lets it give another one than it was asked for
		return nil, fmt.Errorf("the camera gives %s, and not %s", fourccText(got.code), chosen.pixel.fourcc)
	}
	if got.width < minSide || got.height < minSide || got.width%2 != 0 || got.width > maxSide || got.height > maxSide || got.width*got.height > maxPixels {
		return nil, fmt.Errorf("the camera gives pictures of %d×%d", got.width, got.height)
	}
	rate := want.Rate
	if chosen.rate > 0 {
		rate = min(rate, chosen.rate)
	}
	if granted, err := w.SetRate(rate); err == nil && granted > 0 && granted <= maxRate { // many cameras cannot, and give what they give
		rate = granted
	}
	d.settings.apply(w, d.log)
	r := reader{w: w, pixel: pixel, encodes: !units && encodesBest(w, want), format: Format{int(got.width), int(got.height), rate}}
	if pixel.fourcc == h264FourCC {
		readyEncoder(w, bitrate, d.log)
		return startUnits(&r, want, bitrate)
	}
	return startPictures(&r, got.stride)
}

// Bounds of what a driver may grant.
const (
	maxSide   = 8192        // pixels, of a picture's longest side
	maxPixels = 9437184     // of a picture: what openh264 takes
	maxStride = 8 * maxSide // bytes
)
