package fake

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/herald-im/herald/media/h264"
	"github.com/herald-im/herald/media/video"
)

// EncodingCamera gives access units of H264, over and over, as a camera does that
// encodes itself. Who wants pictures gets those of a Camera.
type EncodingCamera struct {
	*Camera
	units [][]byte // Annex B; the first is an IDR
	keys  atomic.Int64
}

// NewEncodingCamera makes a camera of an encoded stream, whose first unit is a key frame.
func NewEncodingCamera(name string, units [][]byte) *EncodingCamera {
	return &EncodingCamera{Camera: NewCamera(name), units: units}
}

// Keyframes is how many key frames it was asked for.
func (c *EncodingCamera) Keyframes() int64 { return c.keys.Load() }

// OpenUnits implements video.UnitDevice.
func (c *EncodingCamera) OpenUnits(want video.Format, _ int) (video.Source, error) {
	if c.Fail != nil {
		if err := c.Fail(); err != nil {
			return nil, err
		}
	}
	if want.Rate <= 0 {
		want.Rate = 30
	}
	c.opened.Add(1)
	c.open.Add(1)
	return &unitStream{
		camera: c, format: want, reader: h264.NewUnits(want.Width, want.Height), closed: make(chan struct{}),
		ticker: time.NewTicker(time.Duration(float64(time.Second) / want.Rate)),
	}, nil
}

// unitStream is an open EncodingCamera.
type unitStream struct {
	camera *EncodingCamera
	format video.Format
	reader *h264.Units
	ticker *time.Ticker
	next   int
	key    atomic.Bool
	once   sync.Once
	closed chan struct{}
}

func (s *unitStream) Format() video.Format { return s.format }

func (s *unitStream) PixelFormat() string { return "H264" }

func (s *unitStream) Pictures() bool { return true }

func (s *unitStream) SetBitrate(int) {}

func (s *unitStream) Keyframe() bool {
	s.camera.keys.Add(1)
	s.key.Store(true)
	return true
}

func (s *unitStream) Close() error {
	s.once.Do(func() {
		s.ticker.Stop()
		close(s.closed)
		s.camera.open.Add(-1)
	})
	return nil
}

func (s *unitStream) Read() (*video.Frame, error) {
	for {
		select {
		case <-s.closed:
			return nil, errClosed
		case <-s.camera.vanish:
			return nil, errVanished
		case <-s.ticker.C:
		}
		if s.camera.Stall.Load() {
			continue
		}
		if s.key.Swap(false) {
			s.next = 0
		}
		unit, err := s.reader.Read(s.camera.units[s.next])
		s.next = (s.next + 1) % len(s.camera.units)
		if errors.Is(err, h264.ErrUnfit) {
			return nil, err
		}
		if unit != nil {
			return video.NewUnitFrame(unit, time.Now()), nil
		}
	}
}
