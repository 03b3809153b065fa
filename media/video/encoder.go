package video

import (
	"fmt"
	"image"
	"time"

	"github.com/herald-im/herald/media/h264"
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
	scaler scaler
}

// encode encodes a picture that was taken at a time. Without data it was left out to keep the bitrate.
func (e *encoder) encode(img *image.YCbCr, at time.Time, wantKey bool) (data []byte, key bool, err error) {
	if img.SubsampleRatio != image.YCbCrSubsampleRatio420 {
		img = e.scaler.fold(img)
	}
	return e.codec.encode(img, at, wantKey)
}

// pictureEncoder is what a codec gives.
type pictureEncoder interface {
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
	return &encoder{format: format, codec: made}, nil
}

// h264Encoder takes each picture to be one part of the rate that it was made for, also where some are left out before it: it is
// told as much more.
type h264Encoder struct{ enc *h264.Encoder }

func newH264Encoder(format Format, bitrate int, share float64) (*h264Encoder, error) {
	enc, err := h264.New(format.Width, format.Height, format.Rate, int(float64(bitrate)/share), keyEvery)
	return &h264Encoder{enc}, err
}

func (e *h264Encoder) encode(img *image.YCbCr, _ time.Time, wantKey bool) (data []byte, key bool, err error) {
	return e.enc.Encode(img, wantKey)
}

func (e *h264Encoder) keepTo(bitrate int, share float64) error {
	return e.enc.SetBitrate(int(float64(bitrate) / share))
}

func (e *h264Encoder) close() error { return e.enc.Close() }

// vp8Encoder goes by the times of the pictures.
type vp8Encoder struct{ enc *vp8.Encoder }

func newVP8Encoder(format Format, bitrate int, share float64) (*vp8Encoder, error) {
	enc, err := vp8.New(format.Width, format.Height, format.Rate*share, bitrate, keyEvery)
	return &vp8Encoder{enc}, err
}

func (e *vp8Encoder) encode(img *image.YCbCr, at time.Time, wantKey bool) (data []byte, key bool, err error) {
	return e.enc.Encode(img, at, wantKey)
}

func (e *vp8Encoder) keepTo(bitrate int, _ float64) error { return e.enc.SetBitrate(bitrate) }

func (e *vp8Encoder) close() error { return e.enc.Close() }
