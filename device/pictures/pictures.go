// Package pictures makes the three sizes of an image message from whatever a
// program hands over as a picture: JPEG, PNG, GIF (its first frame), WebP, BMP.
//
// A board is small and the bytes are a stranger's, so a picture's head is read
// before anything is decoded: one that would take more memory than maxMemory, or
// that cannot be read, is sent as it is in all three sizes. One picture is
// decoded at a time. Where the bytes are kept is not decided here.
package pictures

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"os"

	"golang.org/x/image/draw"

	"github.com/herald-im/herald/protocol"
)

// The longest sides, in pixels, of the smaller sizes.
const (
	Thumbnail = 198
	Large     = 720
)

const (
	maxPixels = 40_000_000
	maxMemory = 128 << 20 // bytes that decoding may take
	quality   = 85        // of a JPEG
)

// Picture is one size of a picture.
type Picture struct {
	// Bytes of it, JPEG or, with transparency, PNG. nil: it is the original.
	Bytes []byte
	// Width and Height in pixels as people see it: the orientation that a camera
	// has noted is applied. 0: not known.
	Width, Height uint32
}

// Set is a picture in its sizes, by protocol.RoleThumbnail, RoleLarge and
// RoleOriginal. The last one's Bytes are nil.
type Set [3]Picture

// Maker makes pictures, one at a time.
type Maker struct{ turn chan struct{} }

// NewMaker makes a Maker. It has nothing to close.
func NewMaker() *Maker { return &Maker{turn: make(chan struct{}, 1)} }

// Sizes makes the sizes of the picture at path. What is no picture, is too
// large or cannot be read to its end is no error: then all sizes are the
// original. The error is ctx's, or that of opening the file.
func (m *Maker) Sizes(ctx context.Context, path string) (Set, error) {
	f, err := os.Open(path)
	if err != nil {
		return Set{}, fmt.Errorf("make the sizes of a picture: %w", err)
	}
	defer f.Close()
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return Set{}, ctx.Err()
	}
	return sizes(ctx, f)
}

// Dimensions are the width and height in pixels, as people see it, of the picture
// at path; 0, 0 if they are not known.
func Dimensions(path string) (width, height uint32) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	h, err := readHead(f)
	if err != nil {
		return 0, 0
	}
	return h.seen()
}

func sizes(ctx context.Context, r io.ReadSeeker) (Set, error) {
	var s Set
	h, err := readHead(r)
	if err != nil {
		return s, ctx.Err()
	}
	w, hgt := h.seen()
	for i := range s {
		s[i].Width, s[i].Height = w, hgt
	}
	if max(w, hgt) <= Thumbnail || h.pixels() > maxPixels || h.memory() > maxMemory {
		return s, ctx.Err()
	}
	img, err := decode(ctx, r)
	if err != nil {
		return s, ctx.Err() // nobody can show it, or only with a better reader than ours
	}
	small, err := shrink(ctx, img, Large)
	if err != nil {
		return s, err
	}
	img = nil
	if max(w, hgt) > Large {
		if s[protocol.RoleLarge], err = encode(turn(small, h.orientation)); err != nil {
			return s, err
		}
	}
	small, err = shrink(ctx, small, Thumbnail)
	if err != nil {
		return s, err
	}
	s[protocol.RoleThumbnail], err = encode(turn(small, h.orientation))
	return s, err
}

// decode reads the picture. A panic of a decoder is taken for bytes that cannot
// be read: they are a stranger's, and the decoders many.
func decode(ctx context.Context, r io.ReadSeeker) (img image.Image, err error) {
	defer func() {
		if p := recover(); p != nil {
			img, err = nil, fmt.Errorf("decode a picture: panic: %v", p)
		}
	}()
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read a picture: %w", err)
	}
	img, _, err = image.Decode(&interruptible{ctx, r})
	if err == nil && img.Bounds().Empty() {
		err = errors.New("decode a picture: it is empty")
	}
	return img, err
}

// interruptible is a reader that ends with ctx.
type interruptible struct {
	ctx context.Context
	io.Reader
}

func (r *interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// shrink makes a picture's longest side at most so many pixels. A smaller one
// stays as it is.
func shrink(ctx context.Context, src image.Image, longest int) (image.Image, error) {
	b := src.Bounds()
	side := max(b.Dx(), b.Dy())
	if side <= longest {
		return src, ctx.Err()
	}
	// The kernel needs 32 bytes for each pixel of (new width × old height): for a
	// camera's picture more than the picture itself. Means of whole blocks first
	// are cheap, and leave it less than a factor of 2.
	if factor := side / (longest + longest/4); factor > 1 {
		means, err := blocks(ctx, src, factor)
		if err != nil {
			return nil, err
		}
		src, b = means, means.Bounds()
		side = max(b.Dx(), b.Dy())
	}
	scaled := func(n int) int { return max(1, int(math.Round(float64(n)*float64(longest)/float64(side)))) }
	dst := image.NewRGBA(image.Rect(0, 0, scaled(b.Dx()), scaled(b.Dy())))
	draw.CatmullRom.Scale(dst, dst.Bounds(), src, b, draw.Src, nil)
	return dst, ctx.Err()
}

// encode writes a JPEG, or a PNG if something is transparent.
func encode(img *image.RGBA) (Picture, error) {
	var out bytes.Buffer
	var err error
	if img.Opaque() {
		err = jpeg.Encode(&out, img, &jpeg.Options{Quality: quality})
	} else {
		err = png.Encode(&out, img)
	}
	if err != nil {
		return Picture{}, fmt.Errorf("write a picture: %w", err)
	}
	b := img.Bounds()
	return Picture{Bytes: out.Bytes(), Width: uint32(b.Dx()), Height: uint32(b.Dy())}, nil
}
