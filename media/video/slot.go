package video

import (
	"context"
	"sync"
)

// maxWaiting is how many units wait for a user that is busy. One more, and all are left
// out up to the next key frame: they refer to one another, unlike pictures.
const maxWaiting = 8

// Slot holds what is new for one user, who need not keep up: a new picture takes the
// place of one that was not taken.
type Slot struct {
	camera  *Camera
	units   bool   // frames with a Unit are taken, too
	release func() // of the camera
	close   func() // end, once
	closed  chan struct{}
	ready   chan struct{} // takes one: there may be a picture to take

	mu      sync.Mutex
	frames  []*Frame // one picture, or units in their order
	skip    bool     // to the next key frame
	began   bool     // there was a frame
	failure error    // why there are none
}

func newSlot(c *Camera, units bool) *Slot {
	s := &Slot{camera: c, units: units, skip: true, closed: make(chan struct{}), ready: make(chan struct{}, 1)}
	s.close = sync.OnceFunc(s.end)
	return s
}

// Close ends this use. It may be called again.
func (s *Slot) Close() { s.close() }

func (s *Slot) end() {
	s.camera.unuse(s)
	s.mu.Lock()
	s.drop()
	s.mu.Unlock()
	close(s.closed)
	s.release()
}

// drop leaves out what waits, and tells how much; called with mu held.
func (s *Slot) drop() int {
	n := len(s.frames)
	for i, f := range s.frames {
		f.Release()
		s.frames[i] = nil
	}
	s.frames = s.frames[:0]
	return n
}

// take takes the newest picture, or the unit that comes next; nil: there is none. The
// caller releases it.
func (s *Slot) take() *Frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.frames) == 0 {
		return nil
	}
	f := s.frames[0]
	s.frames = append(s.frames[:0], s.frames[1:]...)
	if len(s.frames) > 0 {
		s.wake()
	}
	return f
}

// Next takes what take takes, and waits for it if there is none. The caller
// releases it. Errors: ctx's, ErrNoPictures, and that the slot was closed.
func (s *Slot) Next(ctx context.Context) (*Frame, error) {
	for {
		if f := s.take(); f != nil {
			return f, nil
		}
		s.mu.Lock()
		failure := s.failure
		s.mu.Unlock()
		if failure != nil {
			return nil, failure
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

// put gives the slot a frame, and tells how many are left out for it, and whether it
// waits for a key frame.
func (s *Slot) put(f *Frame) (dropped int, waits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = nil
	switch u := f.Unit; {
	case u == nil:
		dropped, s.skip = s.drop(), false
	case len(s.frames) > 0 && s.frames[0].Unit == nil: // of before the camera encoded
		dropped, s.skip = s.drop(), !u.Key
	case u.Key:
		s.skip = false
	}
	if len(s.frames) == maxWaiting {
		dropped += s.drop()
		s.skip = f.Unit != nil && !f.Unit.Key
	}
	if s.skip {
		if s.began {
			dropped++
		}
		return dropped, true
	}
	s.began = true
	f.retain()
	s.frames = append(s.frames, f)
	s.wake()
	return dropped, false
}

// fail says that there will be none, and why.
func (s *Slot) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = err
	s.wake()
}

func (s *Slot) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}
