package pictures

import (
	"context"
	"image"
	"image/color"

	"golang.org/x/image/draw"
)

// blocks makes a picture of the means of n × n pixels each. What is left over at
// the right and at the bottom, less than n pixels, is cut off.
func blocks(ctx context.Context, src image.Image, n int) (*image.RGBA, error) {
	b := src.Bounds()
	dst := image.NewRGBA(image.Rect(0, 0, max(1, b.Dx()/n), max(1, b.Dy()/n)))
	mean := meanOf(src)
	for y := range dst.Rect.Max.Y {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for x := range dst.Rect.Max.X {
			at := b.Min.Add(image.Pt(x*n, y*n))
			dst.SetRGBA(x, y, mean(image.Rectangle{at, at.Add(image.Pt(n, n))}.Intersect(b)))
		}
	}
	return dst, nil
}

// meanOf gives what tells the mean colour of a block that is not empty.
func meanOf(src image.Image) func(image.Rectangle) color.RGBA {
	switch src := src.(type) {
	case *image.YCbCr: // of most cameras: one conversion for each block, not for each pixel
		return func(r image.Rectangle) color.RGBA {
			var yy, cb, cr int
			for y := r.Min.Y; y < r.Max.Y; y++ {
				for x := r.Min.X; x < r.Max.X; x++ {
					c := src.COffset(x, y)
					yy, cb, cr = yy+int(src.Y[src.YOffset(x, y)]), cb+int(src.Cb[c]), cr+int(src.Cr[c])
				}
			}
			n := r.Dx() * r.Dy()
			red, green, blue := color.YCbCrToRGB(uint8(yy/n), uint8(cb/n), uint8(cr/n))
			return color.RGBA{red, green, blue, 0xff}
		}
	case image.RGBA64Image: // all others of the standard library
		return meanRGBA64(src.RGBA64At)
	}
	return meanRGBA64(func(x, y int) color.RGBA64 {
		r, g, b, a := src.At(x, y).RGBA()
		return color.RGBA64{uint16(r), uint16(g), uint16(b), uint16(a)}
	})
}

func meanRGBA64(at func(x, y int) color.RGBA64) func(image.Rectangle) color.RGBA {
	return func(r image.Rectangle) color.RGBA {
		var red, green, blue, alpha uint64
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				c := at(x, y)
				red, green, blue, alpha = red+uint64(c.R), green+uint64(c.G), blue+uint64(c.B), alpha+uint64(c.A)
			}
		}
		n := uint64(r.Dx()*r.Dy()) << 8
		return color.RGBA{uint8(red / n), uint8(green / n), uint8(blue / n), uint8(alpha / n)}
	}
}

// turn brings a picture into the position that a camera has noted (EXIF 2.3,
// tag 0x0112): 1 to 8, where 1 is as it is.
func turn(src image.Image, orientation int) *image.RGBA {
	b := src.Bounds()
	w, h := b.Dx(), b.Dy()
	flat, ok := src.(*image.RGBA)
	if !ok {
		flat = image.NewRGBA(image.Rect(0, 0, w, h))
		draw.Draw(flat, flat.Rect, src, b.Min, draw.Src)
		b = flat.Rect
	}
	if orientation <= 1 {
		return flat
	}
	dst := image.NewRGBA(image.Rect(0, 0, w, h))
	if orientation >= 5 {
		dst = image.NewRGBA(image.Rect(0, 0, h, w))
	}
	for y := range h {
		for x := range w {
			to := [...]image.Point{
				2: {w - 1 - x, y}, 3: {w - 1 - x, h - 1 - y}, 4: {x, h - 1 - y},
				5: {y, x}, 6: {h - 1 - y, x}, 7: {h - 1 - y, w - 1 - x}, 8: {y, w - 1 - x},
			}[orientation]
			dst.SetRGBA(to.X, to.Y, flat.RGBAAt(b.Min.X+x, b.Min.Y+y))
		}
	}
	return dst
}
