// Package picture looks at pictures before C code does.
package picture

import (
	"errors"
	"fmt"
	"image"
)

// Check returns an error unless a picture is in 4:2:0, of a size in pixels, and has memory for all of it: an encoder in C would
// read beyond.
func Check(img *image.YCbCr, width, height int) error {
	if img.SubsampleRatio != image.YCbCrSubsampleRatio420 || img.Rect.Dx() != width || img.Rect.Dy() != height {
		return fmt.Errorf("a picture of %v in %v, and it is to be %d×%d in 4:2:0", img.Rect.Size(), img.SubsampleRatio, width, height)
	}
	cw, ch := (width+1)/2, (height+1)/2
	if !holds(img.Y, img.YStride, width, height) || !holds(img.Cb, img.CStride, cw, ch) || !holds(img.Cr, img.CStride, cw, ch) {
		return errors.New("a picture that has less memory than its size takes")
	}
	return nil
}

func holds(pix []byte, stride, width, height int) bool {
	return stride >= width && (height-1)*stride+width <= len(pix)
}
