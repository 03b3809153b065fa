package video

import (
	"fmt"
	"image"
	"time"

	"github.com/pion/mediadevices/pkg/codec"
	"github.com/pion/mediadevices/pkg/codec/openh264"
	"github.com/pion/mediadevices/pkg/codec/vpx"
	"github.com/pion/mediadevices/pkg/io/video"
	"github.com/pion/mediadevices/pkg/prop"
)

// keyEvery is how many pictures there are from one key frame to the next if nobody
// asks: watchers ask for them, and each costs as much as ten others.
const keyEvery = 600

// encoder encodes one picture after the other in one codec, size and rate. It
// belongs to one goroutine.
type encoder struct {
	codec  Codec
	format Format
	staged image.Image // what the codec reads next
	enc    codec.ReadCloser

	bitrate int // bit/s
	began   time.Time
}

// encoderLife is how long an encoder of VP8 is used: mediadevices tells libvpx the time
// since it began in a C long, in µs. Where that has 32 bits it wraps after 35 minutes,
// and libvpx takes no more pictures.
const encoderLife = 30 * time.Minute

func newEncoder(c Codec, format Format, bitrate int) (*encoder, error) {
	e := &encoder{codec: c, format: format, bitrate: bitrate, began: time.Now()}
	builder, err := builderOf(c, bitrate)
	if err != nil {
		return nil, err
	}
	e.enc, err = builder.BuildVideoEncoder(
		video.ReaderFunc(func() (image.Image, func(), error) { return e.staged, func() {}, nil }),
		prop.Media{Video: prop.Video{Width: format.Width, Height: format.Height, FrameRate: float32(format.Rate)}},
	)
	if err != nil {
		return nil, fmt.Errorf("make the %s encoder for %d×%d: %w", c, format.Width, format.Height, err)
	}
	return e, nil
}

func builderOf(c Codec, bitrate int) (codec.VideoEncoderBuilder, error) {
	switch c {
	case H264:
		p, err := openh264.NewParams()
		if err != nil {
			return nil, fmt.Errorf("set the H264 encoder up: %w", err)
		}
		p.BitRate = bitrate
		p.IntraPeriod = keyEvery
		p.MultipleThreadIdc = 1 // one picture at a time is enough for an intercom, and leaves the other cores alone
		p.SliceMode = openh264.SMSingleSlice
		p.EnableFrameSkip = true // without it the bitrate is not kept
		return &p, nil
	case VP8:
		p, err := vpx.NewVP8Params()
		if err != nil {
			return nil, fmt.Errorf("set the VP8 encoder up: %w", err)
		}
		p.BitRate = bitrate
		p.KeyFrameInterval = keyEvery
		p.RateControlEndUsage = vpx.RateControlCBR
		p.LagInFrames = 0
		// libvpx keeps an account over five seconds. After a rate that was higher it is in
		// credit, which it would spend with half as much again for as long.
		p.RateControlOvershootPercent = 15
		return &p, nil
	}
	return nil, fmt.Errorf("there is no encoder for %q", c)
}

// encode encodes a picture. Without data the encoder has left it out to keep the
// bitrate.
func (e *encoder) encode(img *image.YCbCr) (data []byte, key bool, err error) {
	e.staged = img
	data, release, err := e.enc.Read()
	if err != nil {
		return nil, false, fmt.Errorf("encode in %s: %w", e.codec, err)
	}
	release() // the data is a copy already
	return data, isKey(e.codec, data), nil
}

func (e *encoder) forceKey() error {
	if k, ok := e.enc.Controller().(codec.KeyFrameController); ok {
		return k.ForceKeyFrame()
	}
	return nil
}

// setBitrate has what comes from now on keep to another bitrate, in bit/s, without a
// key frame.
func (e *encoder) setBitrate(bitrate int) error {
	if bitrate == e.bitrate {
		return nil
	}
	if b, ok := e.enc.Controller().(codec.BitRateController); ok {
		if err := b.SetBitRate(bitrate); err != nil {
			return fmt.Errorf("set the bitrate of %s: %w", e.codec, err)
		}
		e.bitrate = bitrate
	}
	return nil
}

// fits tells whether it can encode the next picture of a format.
func (e *encoder) fits(f Format) bool {
	return e.format == f && (e.codec != VP8 || time.Since(e.began) < encoderLife)
}

func (e *encoder) close() error { return e.enc.Close() }

// isKey tells whether a picture can be decoded without others before it.
func isKey(c Codec, data []byte) bool {
	if c == VP8 {
		return len(data) > 0 && data[0]&1 == 0 // RFC 6386 §9.1
	}
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
