package video

import (
	"fmt"
	"image"
	"sync"
)

// jpegDecoder decodes one JPEG after the other. It belongs to one goroutine.
type jpegDecoder interface {
	// decode makes a picture in 4:2:0, 4:2:2 or 4:4:4 that is valid until release.
	// A header that promises more than maxWidth×maxHeight is refused before anything is
	// allocated: two bytes that were damaged on the wire must not cost gigabytes.
	decode(data []byte, maxWidth, maxHeight int) (img *image.YCbCr, release func(), err error)
	close()
}

func errTooLarge(width, height, maxWidth, maxHeight int) error {
	return fmt.Errorf("a picture of %d×%d, where %d×%d is the most", width, height, maxWidth, maxHeight)
}

// pool is memory that pictures use in turn.
type pool struct{ free sync.Pool }

// get gives memory of a size, with what was in it before.
func (p *pool) get(size int) *[]byte {
	b, ok := p.free.Get().(*[]byte)
	if !ok {
		b = new([]byte)
	}
	if cap(*b) < size {
		*b = make([]byte, size)
	}
	*b = (*b)[:size]
	return b
}

func (p *pool) put(b *[]byte) { p.free.Put(b) }

// even cuts a picture to an even size, as the encoders need it.
func even(img *image.YCbCr) *image.YCbCr {
	r := img.Rect
	w, h := r.Dx()&^1, r.Dy()&^1
	if w == r.Dx() && h == r.Dy() {
		return img
	}
	cut, ok := img.SubImage(image.Rect(r.Min.X, r.Min.Y, r.Min.X+w, r.Min.Y+h)).(*image.YCbCr)
	if !ok {
		return img
	}
	return cut
}
