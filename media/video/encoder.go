package video

import (
	"fmt"
	"image"
	"time"

	"github.com/pion/mediadevices/pkg/codec"
	"github.com/pion/mediadevices/pkg/codec/openh264"
	"github.com/pion/mediadevices/pkg/io/video"
	"github.com/pion/mediadevices/pkg/prop"

	"github.com/herald-im/herald/media/vp8"
)

// keyEvery is how many pictures there are from one key frame to the next if nobody
// asks: watchers ask for them, and each costs as much as ten others.
const keyEvery = 600

// encoder encodes one picture after the other in one codec, size and rate. It
// belongs to one goroutine.
type encoder struct {
	format Format
	codec  pictureEncoder
}

// pictureEncoder is what a codec gives.
type pictureEncoder interface {
	// encode encodes a picture that was taken at a time. Without data it has left the picture out to keep the bitrate.
	encode(img *image.YCbCr, at time.Time, wantKey bool) (data []byte, key bool, err error)
	// keepTo has what comes from now on keep to a bitrate in bit/s, without a key frame; share is the part of the pictures that it
	// gets.
	keepTo(bitrate int, share float64) error
	close() error
}

// newEncoder makes an encoder of pictures of a format, a share of which it gets, for a bitrate in bit/s.
func newEncoder(c Codec, format Format, bitrate int, share float64) (*encoder, error) {
	var made pictureEncoder
	var err error
	switch c {
	case H264:
		made, err = newH264Encoder(format, bitrate, share)
	case VP8:
		made, err = newVP8Encoder(format, bitrate, share)
	default:
		return nil, fmt.Errorf("there is no encoder for %q", c)
	}
	if err != nil {
		return nil, fmt.Errorf("make the %s encoder for %d×%d: %w", c, format.Width, format.Height, err)
	}
	return &encoder{format, made}, nil
}

// h264Encoder is OpenH264.
type h264Encoder struct {
	staged  *image.YCbCr // what it reads next
	enc     codec.ReadCloser
	bitrate int // bit/s, that it was told last
}

// h264Bitrate is what OpenH264 is told: it takes each picture to be one part of the rate that it was made for, also where some
// are left out before it.
func h264Bitrate(bitrate int, share float64) int { return int(float64(bitrate) / share) }

func newH264Encoder(format Format, bitrate int, share float64) (*h264Encoder, error) {
	p, err := openh264.NewParams()
	if err != nil {
		return nil, err
	}
	e := &h264Encoder{bitrate: h264Bitrate(bitrate, share)}
	p.BitRate = e.bitrate
	p.IntraPeriod = keyEvery
	p.MultipleThreadIdc = 1 // one picture at a time is enough for an intercom, and leaves the other cores alone
	p.SliceMode = openh264.SMSingleSlice
	p.EnableFrameSkip = true // without it the bitrate is not kept
	e.enc, err = p.BuildVideoEncoder(
		video.ReaderFunc(func() (image.Image, func(), error) { return e.staged, func() {}, nil }),
		prop.Media{Video: prop.Video{Width: format.Width, Height: format.Height, FrameRate: float32(format.Rate)}},
	)
	return e, err
}

func (e *h264Encoder) encode(img *image.YCbCr, _ time.Time, wantKey bool) (data []byte, key bool, err error) {
	if k, ok := e.enc.Controller().(codec.KeyFrameController); ok && wantKey {
		if err := k.ForceKeyFrame(); err != nil {
			return nil, false, fmt.Errorf("ask for a key frame: %w", err)
		}
	}
	e.staged = img
	data, release, err := e.enc.Read()
	if err != nil {
		return nil, false, fmt.Errorf("encode in H264: %w", err)
	}
	release() // the data is a copy already
	return data, startsWithIDR(data), nil
}

func (e *h264Encoder) keepTo(bitrate int, share float64) error {
	told := h264Bitrate(bitrate, share)
	if told == e.bitrate {
		return nil
	}
	if b, ok := e.enc.Controller().(codec.BitRateController); ok {
		if err := b.SetBitRate(told); err != nil {
			return fmt.Errorf("set the bitrate of H264: %w", err)
		}
		e.bitrate = told
	}
	return nil
}

func (e *h264Encoder) close() error { return e.enc.Close() }

// startsWithIDR tells whether a picture can be decoded without others before it.
func startsWithIDR(data []byte) bool {
	for _, nal := range nalUnits(data) {
		switch nal[0] & 0x1f {
		case nalIDR:
			return true
		case nalSlice:
			return false
		}
	}
	return false
}

// vp8Encoder is libvpx, which goes by the times of the pictures.
type vp8Encoder struct {
	enc    *vp8.Encoder
	scaler scaler
}

func newVP8Encoder(format Format, bitrate int, share float64) (*vp8Encoder, error) {
	enc, err := vp8.New(format.Width, format.Height, format.Rate*share, bitrate, keyEvery)
	return &vp8Encoder{enc: enc}, err
}

func (e *vp8Encoder) encode(img *image.YCbCr, at time.Time, wantKey bool) (data []byte, key bool, err error) {
	if img.SubsampleRatio != image.YCbCrSubsampleRatio420 {
		img = e.scaler.fold(img)
	}
	return e.enc.Encode(img, at, wantKey)
}

func (e *vp8Encoder) keepTo(bitrate int, _ float64) error { return e.enc.SetBitrate(bitrate) }

func (e *vp8Encoder) close() error { return e.enc.Close() }
