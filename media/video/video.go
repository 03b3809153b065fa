// Package video is the board's cameras and what it sends of them: an owner for
// each camera, encoders that run while somebody watches and whose output all
// share, and the V4L2 driver. What a camera encodes itself is passed on where it
// may be. How pictures travel is package peer's.
package video

import (
	"image"
	"sync/atomic"
	"time"

	"github.com/herald-im/herald/media/h264"
)

// Codec is how pictures are encoded.
type Codec string

// The codecs, by the names that SDP uses.
const (
	H264 Codec = "H264" // constrained baseline (profile-level-id 42e01f)
	VP8  Codec = "VP8"
)

// Format of a picture.
type Format struct {
	Width, Height int     // pixels
	Rate          float64 // pictures a second
}

// Frame is one picture of even size, best 4:2:0: encoders convert others. Whoever has taken it releases it;
// then its memory is used for another one.
type Frame struct {
	Image *image.YCbCr // nil: there is a Unit in its place
	Unit  *h264.Unit   // what the camera has encoded itself
	At    time.Time    // of the capture

	users   atomic.Int32
	release func()
}

// NewFrame makes a frame that has one user; release, which may be nil, is called
// after the last one has released it.
func NewFrame(img *image.YCbCr, at time.Time, release func()) *Frame {
	f := &Frame{Image: img, At: at, release: release}
	f.users.Store(1)
	return f
}

// NewUnitFrame makes a frame of what a camera has encoded.
func NewUnitFrame(u *h264.Unit, at time.Time) *Frame {
	f := &Frame{Unit: u, At: at}
	f.users.Store(1)
	return f
}

func (f *Frame) retain() { f.users.Add(1) }

// Release gives the frame back.
func (f *Frame) Release() {
	if f.users.Add(-1) == 0 && f.release != nil {
		f.release()
	}
}

// AccessUnit is one encoded picture: for H264 in Annex B form, with SPS and PPS
// before each IDR; for VP8 one frame.
type AccessUnit struct {
	Data  []byte
	At    time.Time     // of the capture
	Since time.Duration // from the capture of the one before to this one's
	Key   bool
}

// Device is a camera that can be opened.
type Device interface {
	// Name by which people know it.
	Name() string
	// Open begins to capture in the format that is nearest to want.
	Open(want Format) (Source, error)
}

// Source is an open camera.
type Source interface {
	// Format that the driver has granted.
	Format() Format
	// Read waits for the next picture.
	Read() (*Frame, error)
	// Close ends the capture; a Read that waits returns an error. It may take as long
	// as the driver does.
	Close() error
}

// UnitDevice is a Device that may encode pictures itself.
type UnitDevice interface {
	Device
	// OpenUnits begins to capture what the device encodes, where that is the best it
	// has: its Source is a UnitSource then. Else it does what Open does. bitrate is what
	// is wanted, in bit/s.
	OpenUnits(want Format, bitrate int) (Source, error)
}

// UnitSource is a Source whose frames have a Unit. Its Read returns h264.ErrUnfit where what
// comes cannot be passed on.
type UnitSource interface {
	Source
	// Pictures tells whether the device also gives pictures that it has not encoded.
	Pictures() bool
	// Keyframe asks for an IDR; false: the device cannot be asked for it.
	Keyframe() bool
	// SetBitrate asks for a bitrate, in bit/s. What cannot be asked stays as it is.
	SetBitrate(bitrate int)
}
