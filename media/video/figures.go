package video

import (
	"fmt"
	"time"

	"github.com/herald-im/herald/media/owner"
)

// Figures is how a camera does. Counts are since the process began.
type Figures struct {
	State       owner.State
	Err         error // why it failed
	Wanted      Format
	Granted     Format  // by the driver when it was last open; its rate may be more than what comes
	PixelFormat string  // "YUYV", "H264"; empty: not known
	Passthrough bool    // the camera encodes, and what it makes is sent as it is
	Rate        float64 // pictures a second, measured while it runs; 0: not yet
	Frames      uint64  // captured
	Dropped     uint64  // of these, what a user was too busy to take; each user counts
	Damaged     uint64  // that came and could not be used
}

// measureTime is over how long the rate is measured.
const measureTime = 3 * time.Second

// Figures of the camera now.
func (c *Camera) Figures() Figures {
	state, err := c.State()
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.figures
	f.State, f.Err, f.Wanted = state, err, c.want
	if state != owner.Running {
		f.Rate, f.Passthrough = 0, false
	}
	return f
}

// Short says in a sentence what the camera delivers less of than is wanted, such as "the
// camera gives 640×480 at 12 pictures/s, not 1280×720 at 30"; empty: nothing, as far as
// is known.
func (f Figures) Short() string {
	if f.Granted == (Format{}) || f.State != owner.Running {
		return ""
	}
	rate := f.Granted.Rate
	if f.Rate > 0 {
		rate = f.Rate
	}
	small := f.Granted.Width < f.Wanted.Width || f.Granted.Height < f.Wanted.Height
	slow := rate > 0 && rate < f.Wanted.Rate*clearlyShort
	if !small && !slow {
		return ""
	}
	return fmt.Sprintf("the camera gives %d×%d at %.3g pictures/s, not %d×%d at %.3g",
		f.Granted.Width, f.Granted.Height, rate, f.Wanted.Width, f.Wanted.Height, f.Wanted.Rate)
}

// opened notes what the driver has granted.
func (c *Camera) opened(src Source, encoded bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &c.figures
	f.Granted, f.PixelFormat, f.Passthrough, f.Rate = src.Format(), pixelFormatOf(src), encoded, 0
}

// closed notes that the device is closed.
func (c *Camera) closed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.figures.Rate, c.figures.Passthrough = 0, false
}

// pixelFormatOf is what the pictures of a source come as, if it says so.
func pixelFormatOf(src Source) string {
	if s, ok := src.(interface{ PixelFormat() string }); ok {
		return s.PixelFormat()
	}
	return ""
}

// meter counts and measures what comes of a source.
type meter struct {
	camera  *Camera
	source  Source
	damaged uint64 // counted already
	since   time.Time
	count   int
	warned  bool

	bitrate int // that is wanted
	from    time.Time
	bytes   int
}

// unit looks whether a camera that encodes keeps to the bitrate.
func (m *meter) unit(f *Frame) error {
	c := m.camera
	c.mu.Lock()
	want, other := c.bitrate, c.source != nil && c.source.Pictures()
	c.mu.Unlock()
	if want <= 0 || !other || m.from.IsZero() || want < m.bitrate*2/3 { // much less: from here on
		m.bitrate, m.from, m.bytes = want, f.At, 0
		return nil
	}
	m.bitrate = max(m.bitrate, want) // of this time
	m.bytes += len(f.Unit.Data)
	took := f.At.Sub(m.from)
	if took < overloadTime {
		return nil
	}
	got := float64(m.bytes) * 8 / took.Seconds()
	most := m.bitrate
	m.bitrate, m.from, m.bytes = want, f.At, 0
	if got > overload*float64(most) {
		c.mu.Lock()
		c.over.note(int(got), time.Now())
		c.mu.Unlock()
		return fmt.Errorf("%w: %.0f kbit/s, not %d", errOverload, got/1000, most/1000)
	}
	return nil
}

// lost notes the pictures that could not be used.
func (m *meter) lost() {
	s, ok := m.source.(interface{ Damaged() uint64 })
	if !ok {
		return
	}
	damaged := s.Damaged()
	m.camera.mu.Lock()
	m.camera.figures.Damaged += damaged - m.damaged
	m.camera.mu.Unlock()
	m.damaged = damaged
}

// frame notes a picture.
func (m *meter) frame(at time.Time) {
	m.lost()
	c := m.camera
	c.mu.Lock()
	c.figures.Frames++
	c.mu.Unlock()
	if m.since.IsZero() {
		m.since = at
		return
	}
	m.count++
	took := at.Sub(m.since)
	if took < measureTime {
		return
	}
	c.mu.Lock()
	c.figures.Rate = float64(m.count) / took.Seconds()
	c.mu.Unlock()
	m.since, m.count = at, 0
	if short := c.Figures().Short(); short != "" && !m.warned {
		m.warned = true // once is enough: what it is now, figures say
		c.log.Warn("less than is configured: " + short)
	}
}
