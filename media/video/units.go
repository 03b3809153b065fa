package video

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/herald-im/herald/media/h264"
)

// keyPatience is how long a camera that encodes may take for an IDR that is needed. One
// whose IDRs cannot be asked for gives one so often by itself, or is not passed on: who
// begins to watch, or has lost something, waits for it.
var keyPatience = 5 * time.Second // tests shorten it

// unitCapture is an open camera that encodes the pictures itself.
type unitCapture struct {
	*reader
	units              *h264.Units
	pictures           bool // it also gives others
	canForce, canLimit bool

	wantKey     atomic.Bool
	wantBitrate atomic.Int64 // bit/s; 0: as it is
	told        int64        // what the camera was told, bit/s

	asked    time.Time // for an IDR that has not come; zero: there is none
	lastKey  time.Time
	sequence uint32
	began    bool
}

func startUnits(r *reader, want Format, bitrate int) (*unitCapture, error) {
	now := time.Now()
	c := &unitCapture{
		reader: r, units: h264.NewUnits(want.Width, want.Height), told: int64(bitrate), pictures: hasPictures(r.w), asked: now, lastKey: now,
		canForce: hasControl(r.w, ctlForceKey), canLimit: hasControl(r.w, ctlBitrate),
	}
	if err := r.w.Start(captureBufs); err != nil {
		return nil, err
	}
	return c, nil
}

// Pictures implements UnitSource.
func (c *unitCapture) Pictures() bool { return c.pictures }

// Keyframe implements UnitSource. It is asked for before the next picture is read.
func (c *unitCapture) Keyframe() bool {
	if c.canForce {
		c.wantKey.Store(true)
	}
	return c.canForce
}

// SetBitrate implements UnitSource.
func (c *unitCapture) SetBitrate(bitrate int) {
	if c.canLimit {
		c.wantBitrate.Store(int64(bitrate))
	}
}

// control tells the camera what was asked for.
func (c *unitCapture) control() {
	if b := c.wantBitrate.Swap(0); b > 0 && b != c.told {
		c.told = b
		for _, x := range c.w.Controls() {
			if x.id == ctlBitrate {
				_ = c.w.SetControl(x.id, int32(x.clamp(b))) // it stays as it is
			}
		}
	}
	if c.wantKey.Swap(false) {
		_ = c.w.SetControl(ctlForceKey, 1) // if it fails, patience ends
		if c.asked.IsZero() {
			c.asked = time.Now()
		}
	}
}

// Read waits for the next access unit. Errors: h264.ErrUnfit, and those of the driver.
func (c *unitCapture) Read() (*Frame, error) {
	silent := time.Now()
	for {
		var f *Frame
		var bad error
		came, err := c.next(func(t taken) {
			c.control()
			f, bad = c.unit(t)
		})
		if err != nil {
			return nil, err
		}
		if errors.Is(bad, h264.ErrUnfit) {
			return nil, bad
		}
		if bad != nil {
			c.damaged.Add(1)
		}
		if c.units.Waits() && c.asked.IsZero() {
			c.Keyframe()
			c.asked = time.Now()
		}
		now := time.Now()
		switch {
		case f != nil && f.Unit.Key:
			c.lastKey, c.asked = now, time.Time{}
		case f == nil && (!came || c.asked.IsZero()) && now.Sub(silent) > silentTime: // or buffers without pictures come
			return nil, fmt.Errorf("the camera has given no picture for %v", silentTime)
		case came && !c.asked.IsZero() && now.Sub(c.asked) > keyPatience, came && !c.canForce && now.Sub(c.lastKey) > keyPatience:
			if bad != nil {
				return nil, fmt.Errorf("%w: nothing of it can be used: %w", h264.ErrUnfit, bad)
			}
			return nil, fmt.Errorf("%w: no IDR in %v", h264.ErrUnfit, keyPatience)
		}
		if f != nil {
			return f, nil
		}
	}
}

// unit makes a unit of a buffer; nil: there is none in it.
func (c *unitCapture) unit(t taken) (*Frame, error) {
	if c.began && t.sequence > c.sequence+1 || t.damaged {
		c.units.Lost() // what follows refers to what is missing
	}
	c.began, c.sequence = true, t.sequence
	switch {
	case t.damaged:
		return nil, h264.ErrDamaged
	case len(t.data) == 0:
		return nil, nil
	}
	u, err := c.units.Read(t.data)
	if u == nil || err != nil {
		return nil, err
	}
	return NewUnitFrame(u, t.at), nil
}
