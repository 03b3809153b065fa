package fake

import (
	"errors"
	"image"
	"time"
)

// The time code: Unix milliseconds in 48 bits and 16 bits of a check sum, as black
// and white blocks in rows over the lower quarter of the picture, the highest bit first. White is 1.
const (
	codeColumns = 16
	codeRows    = 4
	codeTop     = 3.0 / 4 // of the height at which it begins
)

func codeOf(t time.Time) uint64 {
	ms := uint64(t.UnixMilli()) & (1<<48 - 1)
	return ms<<16 | checkSum(ms)
}

// checkSum mixes all bits of the time, so that a block read wrongly shows.
func checkSum(ms uint64) uint64 {
	h := ms*0x9e3779b97f4a7c15 + 0x1234
	return h >> 48
}

// block is the place of a bit in a picture of a size.
func block(r image.Rectangle, bit int) image.Rectangle {
	w, h := float64(r.Dx()), float64(r.Dy())
	top, height := h*codeTop, h*(1-codeTop)/codeRows
	x, y := bit%codeColumns, bit/codeColumns
	return image.Rect(
		r.Min.X+int(float64(x)*w/codeColumns), r.Min.Y+int(top+float64(y)*height),
		r.Min.X+int(float64(x+1)*w/codeColumns), r.Min.Y+int(top+float64(y+1)*height),
	)
}

func drawTimeCode(img *image.YCbCr, t time.Time) {
	code := codeOf(t)
	for bit := range codeColumns * codeRows {
		luma := byte(16)
		if code>>(63-bit)&1 == 1 {
			luma = 235
		}
		fill(img, block(img.Rect, bit), luma)
	}
}

// ErrNoTimeCode is returned for a picture without a time code, or with one that
// cannot be read.
var ErrNoTimeCode = errors.New("no time code can be read in the picture")

// ReadTimeCode reads the time at which a picture of a Camera was drawn, to the
// millisecond. r is where in img the picture is; it may be scaled and blurred.
func ReadTimeCode(img image.Image, r image.Rectangle) (time.Time, error) {
	if !r.In(img.Bounds()) || r.Dx() < 4*codeColumns || r.Dy() < 16*codeRows {
		return time.Time{}, ErrNoTimeCode
	}
	var code uint64
	for bit := range codeColumns * codeRows {
		code <<= 1
		b := block(r, bit)
		inner := image.Rect(b.Min.X+b.Dx()/3, b.Min.Y+b.Dy()/3, b.Max.X-b.Dx()/3, b.Max.Y-b.Dy()/3)
		sum, n := 0, 0
		for y := inner.Min.Y; y < inner.Max.Y; y++ {
			for x := inner.Min.X; x < inner.Max.X; x++ {
				cr, cg, cb, _ := img.At(x, y).RGBA()
				sum += int(299*cr+587*cg+114*cb) / 1000 >> 8
				n++
			}
		}
		if n > 0 && sum/n > 127 {
			code |= 1
		}
	}
	ms := code >> 16
	if checkSum(ms) != code&0xffff {
		return time.Time{}, ErrNoTimeCode
	}
	return time.UnixMilli(int64(ms)), nil
}
