package video

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/herald-im/herald/media/h264"
	"github.com/herald-im/herald/media/owner"
)

// ErrNoCamera is returned where a picture is wanted and no camera is chosen.
var ErrNoCamera = errors.New("no camera is configured")

// ErrNoPictures is returned where a picture is wanted of a camera that gives nothing but
// what it has encoded itself.
var ErrNoPictures = errors.New("the camera gives H264 only, of which no picture can be made")

// picturesLull is how long nobody must have wanted pictures until a camera that encodes
// itself is opened for that again: each change is a pause of the stream.
var picturesLull = 10 * time.Second // tests shorten it

// Camera is the owner of one device: it is open while it has users.
//
// A device that encodes pictures itself does so while all users take that. One that
// does not has it opened for pictures, and the sender encodes for all.
type Camera struct {
	*owner.Owner
	device Device
	want   Format
	log    *slog.Logger

	mu      sync.Mutex
	users   map[*Slot]struct{}
	source  UnitSource // that runs; nil: none that encodes
	unfit   error      // why what the device encodes cannot be passed on
	over    overloads
	bitrate int       // wanted of a device that encodes, bit/s
	asked   time.Time // the source for a key frame
	watch   pictureWatch
	figures Figures
}

// What a camera that encodes may give beyond the bitrate that is wanted, and for how long:
// one that does not keep to it is opened for pictures, and the board's encoder does.
const overload = 1.5

var overloadTime = 2 * time.Second // tests shorten it

// How long the board encodes after that until the camera is tried again, once as much is
// wanted as it gave. It doubles each time: the picture stands still for a moment.
var (
	overloadPause    = 5 * time.Second // tests shorten it
	overloadPauseMax = 2 * time.Minute
)

// overloads remembers that a camera has not kept to the bitrate.
type overloads struct {
	rate  int           // bit/s, that it gave
	at    time.Time     // when
	pause time.Duration // for which the board encodes
}

func (o *overloads) note(rate int, now time.Time) {
	o.rate, o.at, o.pause = rate, now, min(max(2*o.pause, overloadPause), overloadPauseMax)
}

// past tells whether the camera may be tried again.
func (o *overloads) past(wanted int, now time.Time) bool {
	return wanted >= o.rate && now.Sub(o.at) >= o.pause
}

// errOverload says that a camera does not keep to the bitrate.
var errOverload = fmt.Errorf("%w: it takes more than the bitrate that is wanted", h264.ErrUnfit)

// pictureWatch is who wants pictures that the device has not encoded.
type pictureWatch struct {
	users int
	left  time.Time // when the last one did
}

// NewCamera makes the owner of a device. It is not opened yet.
func NewCamera(device Device, want Format, log *slog.Logger) *Camera {
	c := &Camera{device: device, want: want, log: log.With("camera", device.Name()), users: make(map[*Slot]struct{})}
	c.Owner = owner.New("camera", c.log, func(t *owner.Turn) {
		t.Keep(func(running func(...any)) error { return c.capture(t.Over(), running) })
		c.closed()
	})
	return c
}

// Name of its device.
func (c *Camera) Name() string { return c.device.Name() }

// granted is the format that the driver has granted.
func (c *Camera) granted() Format {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.figures.Granted
}

// grantedRate is how many pictures a second the camera gives.
func (c *Camera) grantedRate() float64 { return c.granted().Rate }

// Use begins to use the camera's pictures. It does not wait for it.
func (c *Camera) Use() *Slot { return c.use(false) }

// UseUnits is Use for who takes frames with a Unit, too.
func (c *Camera) UseUnits() *Slot { return c.use(true) }

func (c *Camera) use(units bool) *Slot {
	s := newSlot(c, units)
	c.mu.Lock()
	c.users[s] = struct{}{}
	if !units {
		c.watch.users++
		if c.source != nil && !c.source.Pictures() {
			s.fail(ErrNoPictures)
		}
	}
	c.mu.Unlock()
	s.release = c.Hold()
	return s
}

// unuse takes a slot away. From then on it is given no more pictures.
func (c *Camera) unuse(s *Slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.users, s)
	if !s.units {
		c.watch.users--
		c.watch.left = time.Now()
	}
}

// Keyframe asks a camera that encodes for a key frame. It tells false where the camera
// cannot be asked, or does not encode.
func (c *Camera) Keyframe() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.source != nil && c.source.Keyframe()
}

// SetBitrate asks a camera that encodes for a bitrate, in bit/s, now and when it is
// opened again. One that gives much more for 2 s, whether it can be asked or not, is
// opened for pictures, which are encoded until as much is wanted for a while.
func (c *Camera) SetBitrate(bitrate int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if bitrate == c.bitrate || distance(bitrate, c.bitrate)*fineBitrate < c.bitrate {
		return // not worth a word to the camera
	}
	c.bitrate = bitrate
	if c.source != nil {
		c.source.SetBitrate(bitrate)
	}
}

// fineBitrate is the part by which a bitrate has to differ to be told to a camera: 1/20.
const fineBitrate = 20

// wantsUnits tells how the device is best used now.
func (c *Camera) wantsUnits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wantsUnitsLocked()
}

func (c *Camera) wantsUnitsLocked() bool {
	if _, can := c.device.(UnitDevice); !can || c.unfit != nil && !(errors.Is(c.unfit, errOverload) && c.over.past(c.bitrate, time.Now())) {
		return false
	}
	if c.source != nil && !c.source.Pictures() {
		return true // it gives nothing else
	}
	return c.watch.users == 0 && (c.watch.left.IsZero() || time.Since(c.watch.left) > picturesLull)
}

// errAnew ends a capture that is to be begun again in another way.
var errAnew = errors.New("the camera is opened in another way")

// capture opens the device and hands out its pictures until it fails or over is
// closed. The device is closed when it returns.
func (c *Camera) capture(over <-chan struct{}, running func(...any)) error {
	for {
		err := c.session(over, running)
		if errors.Is(err, h264.ErrUnfit) {
			c.mu.Lock()
			c.unfit = err
			c.mu.Unlock()
			err = errAnew
		}
		if !errors.Is(err, errAnew) {
			c.mu.Lock()
			c.unfit, c.over = nil, overloads{} // another one may be plugged in, or more be wanted
			c.mu.Unlock()
			return err
		}
	}
}

// open opens the device: as is wanted now, or as it can be.
func (c *Camera) open() (src Source, units bool, err error) {
	c.mu.Lock()
	units, bitrate := c.wantsUnitsLocked(), c.bitrate
	if units && c.unfit != nil {
		c.unfit = nil // it was an overload, which is past
	}
	unfit := c.unfit
	c.mu.Unlock()
	d, can := c.device.(UnitDevice)
	if !units {
		src, err = c.device.Open(c.want)
		units = can && unfit == nil && errors.Is(err, ErrNoPictures) // for those who take what there is
	}
	if units {
		src, err = d.OpenUnits(c.want, bitrate)
	}
	switch {
	case err != nil && unfit != nil:
		return nil, units, fmt.Errorf("open the camera %s: %w; %v", c.Name(), err, unfit) // it is not unfit anew
	case err != nil:
		return nil, units, fmt.Errorf("open the camera %s: %w", c.Name(), err)
	case unfit != nil:
		c.log.Warn("what the camera encodes is not sent: the board encodes its pictures", "err", unfit)
	}
	return src, units, nil
}

// session opens the device in one way. Errors: errAnew, h264.ErrUnfit, why it failed.
func (c *Camera) session(over <-chan struct{}, running func(...any)) error {
	src, units, err := c.open()
	if err != nil {
		return err
	}
	failed := make(chan struct{})
	closed := make(chan struct{})
	go func() { // Close ends a Read that waits
		defer close(closed)
		select {
		case <-over:
		case <-failed:
		}
		if err := src.Close(); err != nil {
			c.log.Warn("the camera could not be closed", "err", err)
		}
	}()
	defer func() {
		c.sourceIs(nil)
		close(failed)
		<-closed
	}()
	us, _ := src.(UnitSource)
	c.sourceIs(us)
	m := meter{camera: c, source: src}
	for first := true; ; first = false {
		f, err := src.Read()
		if err != nil {
			m.lost()
			return fmt.Errorf("read the camera %s: %w", c.Name(), err)
		}
		if first {
			got := src.Format()
			c.opened(src, us != nil)
			running("width", got.Width, "height", got.Height, "rate", got.Rate, "format", pixelFormatOf(src))
		}
		m.frame(f.At)
		if us != nil {
			if err := m.unit(f); err != nil {
				f.Release()
				return err
			}
		}
		c.hand(f)
		if want := c.wantsUnits(); want != units && (us != nil || want && encodes(src)) {
			return errAnew
		}
	}
}

// encodes tells whether the device of a source that gives pictures would rather be
// opened for units. One that does not say is not.
func encodes(src Source) bool {
	s, ok := src.(interface{ Encodes() bool })
	return ok && s.Encodes()
}

// sourceIs says what runs, and tells those whom it serves nothing.
func (c *Camera) sourceIs(us UnitSource) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.source = us
	if us != nil && c.bitrate > 0 {
		us.SetBitrate(c.bitrate)
	}
	if us == nil || us.Pictures() {
		return
	}
	for s := range c.users {
		if !s.units {
			c.log.Warn("somebody wants pictures of a camera that gives H264 only")
			s.fail(ErrNoPictures)
		}
	}
}

// hand gives a picture to all users that take it.
func (c *Camera) hand(f *Frame) {
	c.mu.Lock()
	for s := range c.users {
		if f.Unit == nil || s.units {
			dropped, waits := s.put(f)
			c.figures.Dropped += uint64(dropped)
			if waits && c.source != nil && f.At.Sub(c.asked) >= keyframeEvery {
				c.source.Keyframe()
				c.asked = f.At
			}
		}
	}
	c.mu.Unlock()
	f.Release()
}
