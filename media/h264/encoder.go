package h264

import (
	"fmt"
	"image"

	"github.com/herald-im/herald/media/picture"
	"github.com/pion/mediadevices/pkg/codec"
	"github.com/pion/mediadevices/pkg/codec/openh264"
	"github.com/pion/mediadevices/pkg/io/video"
	"github.com/pion/mediadevices/pkg/prop"
)

// Encoder encodes the pictures of one stream, with OpenH264. It belongs to one goroutine.
type Encoder struct {
	width, height int
	staged        *image.YCbCr // what it reads next
	enc           codec.ReadCloser
	bitrate       int // bit/s
}

// New makes an encoder for pictures of a size in pixels, that keeps to a bitrate in bit/s where there are so many a second. There
// are at most keyEvery pictures from one key frame to the next. Close must follow.
func New(width, height int, rate float64, bitrate, keyEvery int) (*Encoder, error) {
	p, err := openh264.NewParams()
	if err != nil {
		return nil, err
	}
	e := &Encoder{width: width, height: height, bitrate: bitrate}
	p.BitRate = bitrate
	p.IntraPeriod = uint(max(keyEvery, 1))
	p.MultipleThreadIdc = 1 // one picture at a time is enough for an intercom, and leaves the other cores alone
	p.SliceMode = openh264.SMSingleSlice
	p.EnableFrameSkip = true // without it the bitrate is not kept
	e.enc, err = p.BuildVideoEncoder(
		video.ReaderFunc(func() (image.Image, func(), error) { return e.staged, func() {}, nil }),
		prop.Media{Video: prop.Video{Width: width, Height: height, FrameRate: float32(rate)}},
	)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Encode encodes a picture in 4:2:0, as a key frame if so wanted. Without data the encoder has left it out, to keep the bitrate.
func (e *Encoder) Encode(img *image.YCbCr, wantKey bool) (data []byte, key bool, err error) {
	if err := picture.Check(img, e.width, e.height); err != nil {
		return nil, false, err
	}
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
	return data, StartsWithIDR(data), nil
}

// SetBitrate has the pictures from now on keep to another bitrate, in bit/s, without a key frame.
func (e *Encoder) SetBitrate(bitrate int) error {
	if bitrate == e.bitrate {
		return nil
	}
	if b, ok := e.enc.Controller().(codec.BitRateController); ok {
		if err := b.SetBitRate(bitrate); err != nil {
			return fmt.Errorf("set the bitrate of H264: %w", err)
		}
		e.bitrate = bitrate
	}
	return nil
}

// Close frees the encoder.
func (e *Encoder) Close() error { return e.enc.Close() }
