package video

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/herald-im/herald/media/owner"
)

// ErrNoCamera is returned where a picture is wanted and no camera is chosen.
var ErrNoCamera = errors.New("no camera is configured")

// Camera is the owner of one device: it is open while it has users.
type Camera struct {
	*owner.Owner
	device Device
	want   Format
	log    *slog.Logger

	mu    sync.Mutex
	rate  float64 // granted, pictures a second
	users map[*Slot]struct{}
}

// NewCamera makes the owner of a device. It is not opened yet.
func NewCamera(device Device, want Format, log *slog.Logger) *Camera {
	c := &Camera{device: device, want: want, log: log.With("camera", device.Name()), users: make(map[*Slot]struct{})}
	c.Owner = owner.New("camera", c.log, func(t *owner.Turn) {
		t.Keep(func(running func(...any)) error { return c.capture(t.Over(), running) })
	})
	return c
}

// Name of its device.
func (c *Camera) Name() string { return c.device.Name() }

// grantedRate is how many pictures a second the camera gives.
func (c *Camera) grantedRate() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rate
}

// Slot holds the newest picture for one user, who need not keep up: a new one
// takes the place of one that was not taken.
type Slot struct {
	camera  *Camera
	release func() // of the camera
	close   func() // end, once
	closed  chan struct{}
	ready   chan struct{} // takes one: there may be a picture to take

	mu    sync.Mutex
	frame *Frame
}

// Use begins to use the camera. It does not wait for it.
func (c *Camera) Use() *Slot {
	s := &Slot{camera: c, release: c.Hold(), closed: make(chan struct{}), ready: make(chan struct{}, 1)}
	s.close = sync.OnceFunc(s.end)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.users[s] = struct{}{}
	return s
}

// Close ends this use. It may be called again.
func (s *Slot) Close() { s.close() }

func (s *Slot) end() {
	s.camera.mu.Lock()
	delete(s.camera.users, s)
	s.camera.mu.Unlock() // from here on it is given no more pictures
	if f := s.take(); f != nil {
		f.Release()
	}
	close(s.closed)
	s.release()
}

// take takes the newest picture; nil: there is none. The caller releases it.
func (s *Slot) take() *Frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.frame
	s.frame = nil
	return f
}

// Next takes the newest picture, and waits for one if there is none. The caller
// releases it. Errors: ctx's, and that the slot was closed.
func (s *Slot) Next(ctx context.Context) (*Frame, error) {
	for {
		if f := s.take(); f != nil {
			return f, nil
		}
		select {
		case <-s.ready:
		case <-s.closed:
			return nil, errClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// put gives the slot a picture in place of the one it has.
func (s *Slot) put(f *Frame) {
	f.retain()
	s.mu.Lock()
	old := s.frame
	s.frame = f
	s.mu.Unlock()
	if old != nil {
		old.Release()
	}
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// capture opens the device and hands out its pictures until it fails or over is
// closed. The device is closed when it returns.
func (c *Camera) capture(over <-chan struct{}, running func(...any)) error {
	src, err := c.device.Open(c.want)
	if err != nil {
		return fmt.Errorf("open the camera %s: %w", c.Name(), err)
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
		close(failed)
		<-closed
	}()
	for first := true; ; first = false {
		f, err := src.Read()
		if err != nil {
			return fmt.Errorf("read the camera %s: %w", c.Name(), err)
		}
		if first {
			got := src.Format()
			c.mu.Lock()
			c.rate = got.Rate
			c.mu.Unlock()
			running("width", got.Width, "height", got.Height, "rate", got.Rate)
		}
		c.hand(f)
	}
}

// hand gives a picture to all users.
func (c *Camera) hand(f *Frame) {
	c.mu.Lock()
	for s := range c.users {
		s.put(f)
	}
	c.mu.Unlock()
	f.Release()
}
