//go:build !turbojpeg

package video

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"

	"github.com/pion/mediadevices/pkg/frame"
)

// jpegCost is what it costs to decode a JPEG of 1280×720, see pixelFormat.
const jpegCost = 15

// newJPEG makes a decoder that is Go's own, which a build without libjpeg-turbo has.
func newJPEG() (jpegDecoder, error) {
	d, err := frame.NewDecoder(frame.FormatMJPEG) // with the Huffman tables that cameras leave out
	if err != nil {
		return nil, fmt.Errorf("make a JPEG decoder: %w", err)
	}
	return goJPEG{d}, nil
}

type goJPEG struct{ decoder frame.Decoder }

func (d goJPEG) decode(data []byte, maxWidth, maxHeight int) (*image.YCbCr, func(), error) {
	h, err := jpeg.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, nil, err
	}
	if h.Width > maxWidth || h.Height > maxHeight {
		return nil, nil, errTooLarge(h.Width, h.Height, maxWidth, maxHeight)
	}
	img, _, err := d.decoder.Decode(data, h.Width, h.Height)
	if err != nil {
		return nil, nil, err
	}
	yuv, ok := img.(*image.YCbCr)
	if !ok {
		return nil, nil, fmt.Errorf("a picture as %T", img)
	}
	switch yuv.SubsampleRatio {
	case image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio444:
		return yuv, func() {}, nil
	}
	return nil, nil, errors.New("a picture with " + yuv.SubsampleRatio.String())
}

func (goJPEG) close() {}
