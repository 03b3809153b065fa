package video

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var errClosed = errors.New("the camera was closed")

// reader is an open V4L2 camera.
type reader struct {
	w       driver
	pixel   pixelFormat
	format  Format
	closing atomic.Bool
	damaged atomic.Uint64 // pictures
	reading sync.Mutex    // the driver's memory goes with Close
	encodes bool          // the camera is better opened for units
	onClose func()
}

// Format that was granted.
func (r *reader) Format() Format { return r.format }

// PixelFormat that was granted.
func (r *reader) PixelFormat() string { return r.pixel.fourcc }

// Encodes tells whether the camera has H264 that would be taken in place of what it gives.
func (r *reader) Encodes() bool { return r.encodes }

// Damaged is how many pictures could not be used.
func (r *reader) Damaged() uint64 { return r.damaged.Load() }

// Close ends the capture. It waits for a Read that is under way, which a camera that
// gives no pictures holds up for a second.
func (r *reader) Close() error {
	if r.closing.Swap(true) {
		return nil
	}
	r.reading.Lock()
	defer r.reading.Unlock()
	if r.onClose != nil {
		r.onClose()
	}
	return r.w.Close()
}

// next hands the driver's next picture to use, which must not keep it; false: none came,
// in a second at most.
func (r *reader) next(use func(taken)) (bool, error) {
	r.reading.Lock()
	defer r.reading.Unlock()
	if r.closing.Load() {
		return false, errClosed
	}
	ready, err := r.w.Wait(time.Second)
	if err != nil {
		return false, fmt.Errorf("wait for a picture: %w", err)
	}
	if !ready {
		return false, nil
	}
	t, err := r.w.Take()
	if errors.Is(err, syscall.EAGAIN) { // woken for nothing
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("get a picture: %w", err)
	}
	use(t)
	if err := r.w.Give(t.index); err != nil {
		return false, err
	}
	return true, nil
}

// capture is an open camera that gives pictures.
type capture struct {
	*reader
	stride int
	jpeg   jpegDecoder // nil: not needed
	free   pool
}

// startPictures begins to capture. stride is the driver's, in bytes.
func startPictures(r *reader, stride uint32) (*capture, error) {
	c := &capture{reader: r}
	line := r.format.Width // bytes, of what is in one line of the first plane
	switch {
	case r.pixel.isJPEG():
		d, err := newJPEG()
		if err != nil {
			return nil, err
		}
		c.jpeg, r.onClose = d, d.close
	case stride > maxStride:
		return nil, fmt.Errorf("the camera gives lines of %d bytes", stride)
	case r.pixel.packed():
		c.stride = max(int(stride), 2*line)
	case r.format.Height%2 != 0: // nobody says where the colours are then
		return nil, fmt.Errorf("the camera gives %s of %d×%d", r.pixel.fourcc, r.format.Width, r.format.Height)
	default:
		c.stride = max(int(stride), line)
	}
	if err := r.w.Start(captureBufs); err != nil {
		if c.jpeg != nil {
			c.jpeg.close()
		}
		return nil, err
	}
	return c, nil
}

func (c *capture) Read() (*Frame, error) {
	silent := time.Now()
	for {
		var f *Frame
		var bad error
		if _, err := c.next(func(t taken) {
			switch {
			case t.damaged:
				bad = errors.New("the driver says that it is damaged")
			case len(t.data) > 0:
				f, bad = c.frame(t)
			}
		}); err != nil {
			return nil, err
		}
		if f != nil {
			return f, nil
		}
		if bad != nil {
			c.damaged.Add(1)
		}
		if time.Since(silent) > silentTime {
			if bad != nil {
				return nil, fmt.Errorf("no picture of the camera can be used: %w", bad)
			}
			return nil, fmt.Errorf("the camera has given no picture for %v", silentTime)
		}
	}
}

// frame makes a picture that encoders can take, and nothing of which is the driver's: it
// has few buffers.
func (c *capture) frame(t taken) (*Frame, error) {
	if c.jpeg != nil {
		data := t.data
		if !bytes.HasSuffix(bytes.TrimRight(data, "\x00"), jpegEnd) { // some cameras leave it out
			buf := c.free.get(len(data) + len(jpegEnd))
			defer c.free.put(buf)
			data = append(append((*buf)[:0], data...), jpegEnd...)
		}
		img, release, err := c.jpeg.decode(data, 2*c.format.Width, 2*c.format.Height)
		if err != nil {
			return nil, err
		}
		return finish(img, t.at, release)
	}
	width, height := c.format.Width&^1, c.format.Height&^1
	buf := c.free.get(planarSize(width, height))
	img, release := planar(*buf, width, height), func() { c.free.put(buf) }
	if err := c.pixel.unpack(img, t.data, c.stride); err != nil {
		release()
		return nil, err
	}
	return finish(img, t.at, release)
}

// jpegEnd is the marker at the end of a JPEG.
var jpegEnd = []byte{0xff, 0xd9}

// finish makes a frame of a picture whose size encoders can take.
func finish(img *image.YCbCr, at time.Time, release func()) (*Frame, error) {
	img = even(img)
	if w, h := img.Rect.Dx(), img.Rect.Dy(); w < minSide || h < minSide || w*h > maxPixels {
		release()
		return nil, fmt.Errorf("a picture of %v", img.Rect.Size())
	}
	return NewFrame(img, at, release), nil
}
