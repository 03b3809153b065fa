package video

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// State of a camera.
type State string

const (
	Closed  State = "closed"  // nobody uses it
	Opening State = "opening" // until the first picture
	Running State = "running"
	Failed  State = "failed" // it is tried again while somebody wants it
)

// How long a camera that failed is left alone.
const (
	retryMin = 500 * time.Millisecond
	retryMax = 8 * time.Second
)

// ErrNoCamera is returned where a picture is wanted and no camera is chosen.
var ErrNoCamera = errors.New("no camera is configured")

// Camera is the owner of one device: it is open while it has users.
type Camera struct {
	device Device
	want   Format
	log    *slog.Logger

	mu      sync.Mutex
	state   State
	err     error
	format  Format // granted
	users   map[*Slot]struct{}
	stop    chan struct{} // closed when the last user has gone
	ended   chan struct{} // closed when the goroutine of before has ended
	changed chan struct{} // closed and renewed with state
}

// NewCamera makes the owner of a device. It is not opened yet.
func NewCamera(device Device, want Format, log *slog.Logger) *Camera {
	ended := make(chan struct{})
	close(ended)
	return &Camera{
		device: device, want: want, log: log.With("camera", device.Name()), state: Closed,
		users: make(map[*Slot]struct{}), ended: ended, changed: make(chan struct{}),
	}
}

// Name of its device.
func (c *Camera) Name() string { return c.device.Name() }

// State of the camera, and if it failed why.
func (c *Camera) State() (State, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.err
}

// Users is how many use it.
func (c *Camera) Users() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.users)
}

// Slot holds the newest picture for one user, who need not keep up: a new one
// takes the place of one that was not taken.
type Slot struct {
	camera  *Camera
	mu      sync.Mutex
	frame   *Frame
	closed  bool
	ready   chan struct{}
	dropped uint64
}

// Use begins to use the camera. It does not wait for it.
func (c *Camera) Use() *Slot {
	s := &Slot{camera: c, ready: make(chan struct{}, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.users[s] = struct{}{}
	if len(c.users) == 1 {
		c.set(Opening, nil)
		before, stop, ended := c.ended, make(chan struct{}), make(chan struct{})
		c.stop, c.ended = stop, ended
		go func() {
			defer close(ended)
			<-before // the device is closed only then
			c.run(stop)
		}()
	}
	return s
}

// set is called with mu held.
func (c *Camera) set(state State, err error) {
	c.state, c.err = state, err
	close(c.changed)
	c.changed = make(chan struct{})
}

// Close ends this use.
func (s *Slot) Close() {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	if s.frame != nil {
		s.frame.Release()
		s.frame = nil
	}
	s.mu.Unlock()
	if closed {
		return
	}
	c := s.camera
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.users, s)
	if len(c.users) == 0 {
		close(c.stop)
		c.set(Closed, nil)
	}
}

// Next takes the newest picture, and waits for one if there is none. The caller
// releases it.
func (s *Slot) Next(ctx context.Context) (*Frame, error) {
	for {
		s.mu.Lock()
		f, closed := s.frame, s.closed
		s.frame = nil
		s.mu.Unlock()
		switch {
		case closed:
			return nil, context.Canceled
		case f != nil:
			return f, nil
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// put gives the slot a picture; it keeps the old one only if it is closed.
func (s *Slot) put(f *Frame) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	f.retain()
	old := s.frame
	s.frame = f
	if old != nil {
		s.dropped++
	}
	s.mu.Unlock()
	if old != nil {
		old.Release()
	}
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Wait waits until pictures come, or until the camera has failed, and says why.
func (c *Camera) Wait(ctx context.Context) error {
	for {
		c.mu.Lock()
		state, err, changed := c.state, c.err, c.changed
		c.mu.Unlock()
		switch state {
		case Running:
			return nil
		case Failed:
			return err
		case Closed:
			return fmt.Errorf("camera %s: nobody uses it", c.Name())
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("camera %s: no picture yet: %w", c.Name(), ctx.Err())
		}
	}
}

// run captures until stop is closed, over failures.
func (c *Camera) run(stop chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	wait := retryMin
	for {
		began := time.Now()
		err := c.capture(ctx, stop)
		select {
		case <-stop:
			return
		default:
		}
		c.failed(stop, err)
		if time.Since(began) > retryMax {
			wait = retryMin
		}
		timer := time.NewTimer(wait)
		select {
		case <-stop:
			timer.Stop()
			return
		case <-timer.C:
		}
		wait = min(2*wait, retryMax)
	}
}

// capture opens the device and hands out its pictures until it fails or stop is
// closed. The device is closed when it returns.
func (c *Camera) capture(ctx context.Context, stop chan struct{}) error {
	src, err := c.device.Open(ctx, c.want)
	if err != nil {
		return fmt.Errorf("open the camera %s: %w", c.Name(), err)
	}
	over := make(chan struct{})
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		select {
		case <-stop:
		case <-over:
		}
		if err := src.Close(); err != nil {
			c.log.Warn("the camera could not be closed", "err", err)
		}
	}()
	defer func() {
		close(over)
		<-closed
	}()
	for first := true; ; first = false {
		f, err := src.Read()
		if err != nil {
			return fmt.Errorf("read the camera %s: %w", c.Name(), err)
		}
		if first {
			c.running(stop, src.Format())
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

// current is called with mu held: false for a goroutine whose users have gone.
func (c *Camera) current(stop chan struct{}) bool { return c.stop == stop && len(c.users) > 0 }

func (c *Camera) running(stop chan struct{}, got Format) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.current(stop) {
		return
	}
	c.format = got
	c.set(Running, nil)
	c.log.Info("the camera runs", "width", got.Width, "height", got.Height, "rate", got.Rate)
}

func (c *Camera) failed(stop chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.current(stop) {
		return
	}
	if c.err == nil || c.err.Error() != err.Error() { // it is tried again and again
		c.log.Error("the camera has failed; it is tried again while it is wanted", "err", err)
	}
	c.set(Failed, err)
}
