package video

import (
	"image"
	"time"
)

// plan is how a picture is encoded for a bitrate: with less of it first the detail goes, then pictures, then size.
type plan struct {
	bitrate  int     // bit/s
	rate     float64 // pictures a second
	num, den int     // of the size
}

// steps are what is given up, in order: the part of the pictures that is sent, and of the size.
var steps = []struct {
	rate     float64
	num, den int
}{{1, 1, 1}, {2.0 / 3, 1, 1}, {0.5, 1, 1}, {0.5, 3, 4}, {0.5, 1, 2}, {1.0 / 3, 1, 2}, {1.0 / 3, 3, 8}}

const (
	// fewestBits is for a pixel of a picture: with less of them H264 shows blocks, and something else is given up.
	fewestBits = 0.030
	// moreBits is by how much there have to be more for taking a step back up.
	moreBits = 1.25
	// stepUpAfter is how long a step is kept before one back up.
	stepUpAfter = 3 * time.Second
	// fewestPictures a second: fewer do not show a gesture.
	fewestPictures = 8
	// smallestSide is in pixels.
	smallestSide = 120
)

// steering chooses the step for a bitrate. It belongs to one goroutine.
type steering struct {
	step    int
	stepped time.Time
}

// usable are the steps that fit a format: not too few pictures, not too small ones.
func usable(f Format) []int {
	list := []int{0}
	for i := 1; i < len(steps); i++ {
		s := steps[i]
		if f.Rate*s.rate >= fewestPictures && min(f.Width, f.Height)*s.num/s.den >= smallestSide {
			list = append(list, i)
		}
	}
	return list
}

// bitsPerPixel is how many there are for each pixel.
func bitsPerPixel(f Format, step, bitrate int) float64 {
	s := steps[step]
	size := float64(s.num) / float64(s.den)
	return float64(bitrate) / (float64(f.Width) * float64(f.Height) * size * size * max(f.Rate, 1) * s.rate)
}

// plan for pictures of a format. Down it goes at once, and up after a while.
func (s *steering) plan(f Format, bitrate int, now time.Time) plan {
	list := usable(f)
	at := 0
	for i, step := range list {
		if step <= s.step {
			at = i
		}
	}
	before := s.step
	for at+1 < len(list) && bitsPerPixel(f, list[at], bitrate) < fewestBits {
		at++
	}
	if now.Sub(s.stepped) >= stepUpAfter && list[at] <= before {
		for at > 0 && bitsPerPixel(f, list[at-1], bitrate) >= moreBits*fewestBits {
			at--
		}
	}
	if s.step = list[at]; s.step != before {
		s.stepped = now
	}
	t := steps[s.step]
	return plan{bitrate: bitrate, rate: max(f.Rate, 1) * t.rate, num: t.num, den: t.den}
}

// thinning leaves pictures out, evenly.
type thinning struct{ owed float64 }

// take tells whether the next picture is one of the part that is taken.
func (t *thinning) take(part float64) bool {
	t.owed += min(part, 1)
	if t.owed > 1-1e-6 {
		t.owed = max(t.owed-1, 0)
		return true
	}
	return false
}

// scaler makes pictures smaller. It belongs to one goroutine; a picture is good until the next one.
type scaler struct {
	folded, half, quarters *image.YCbCr
}

// scaledSize of a side, in pixels; it is even.
func scaledSize(n, num, den int) int {
	if den > num && den%2 == 0 && num*2 <= den {
		return scaledSize(n/2&^1, num, den/2)
	}
	return max(n*num/den&^1, 2)
}

// scale makes a picture of 3/4, 1/2 or 3/8 the size in 4:2:0, each pixel of which is the mean of those in its place. One
// of the whole size is as it was.
func (s *scaler) scale(img *image.YCbCr, num, den int) *image.YCbCr {
	if num == den {
		return img
	}
	if img.SubsampleRatio != image.YCbCrSubsampleRatio420 {
		img = s.fold(img)
	}
	if 2*num <= den {
		img = planes(&s.half, img, 1, 2, halve)
		den /= 2
	}
	if num != den {
		img = planes(&s.quarters, img, 3, 4, threeQuarters)
	}
	return img
}

// surface is one of a picture's.
type surface struct {
	pix                   []byte
	stride, width, height int
}

func planes(to **image.YCbCr, img *image.YCbCr, num, den int, scale func(dst, src surface)) *image.YCbCr {
	w, h := scaledSize(img.Rect.Dx(), num, den), scaledSize(img.Rect.Dy(), num, den)
	if *to == nil || (*to).Rect.Dx() != w || (*to).Rect.Dy() != h {
		*to = image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	}
	out := *to
	c := img.COffset(img.Rect.Min.X, img.Rect.Min.Y)
	cw, ch := (img.Rect.Dx()+1)/2, (img.Rect.Dy()+1)/2
	scale(surface{out.Y, out.YStride, w, h},
		surface{img.Y[img.YOffset(img.Rect.Min.X, img.Rect.Min.Y):], img.YStride, img.Rect.Dx(), img.Rect.Dy()})
	scale(surface{out.Cb, out.CStride, w / 2, h / 2}, surface{img.Cb[c:], img.CStride, cw, ch})
	scale(surface{out.Cr, out.CStride, w / 2, h / 2}, surface{img.Cr[c:], img.CStride, cw, ch})
	return out
}

// fold makes 4:2:0 of 4:2:2, which the JPEGs of most cameras are, or of 4:4:4.
func (s *scaler) fold(img *image.YCbCr) *image.YCbCr {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	if s.folded == nil || s.folded.Rect.Dx() != w || s.folded.Rect.Dy() != h {
		n := w * h / 4 // of each colour
		buf := make([]byte, 2*n)
		s.folded = &image.YCbCr{
			Cb: buf[:n], Cr: buf[n:], CStride: w / 2, SubsampleRatio: image.YCbCrSubsampleRatio420, Rect: image.Rect(0, 0, w, h),
		}
	}
	out := *s.folded
	out.Y, out.YStride = img.Y[img.YOffset(img.Rect.Min.X, img.Rect.Min.Y):], img.YStride
	c := img.COffset(img.Rect.Min.X, img.Rect.Min.Y)
	join, cw := halve, w
	if img.SubsampleRatio == image.YCbCrSubsampleRatio422 {
		join, cw = joinLines, w/2
	}
	join(surface{out.Cb, out.CStride, w / 2, h / 2}, surface{img.Cb[c:], img.CStride, cw, h})
	join(surface{out.Cr, out.CStride, w / 2, h / 2}, surface{img.Cr[c:], img.CStride, cw, h})
	return &out
}

// joinLines makes one line of two.
func joinLines(dst, src surface) {
	for y := range dst.height {
		a, b := src.pix[2*y*src.stride:][:dst.width], src.pix[(2*y+1)*src.stride:][:dst.width]
		out := dst.pix[y*dst.stride:][:dst.width]
		for x := range out {
			out[x] = byte((uint(a[x]) + uint(b[x]) + 1) / 2)
		}
	}
}

func halve(dst, src surface) {
	for y := range dst.height {
		a, b := src.pix[2*y*src.stride:][:2*dst.width], src.pix[(2*y+1)*src.stride:][:2*dst.width]
		out := dst.pix[y*dst.stride:][:dst.width]
		for x := range out {
			i := 2 * x
			out[x] = byte((uint(a[i]) + uint(a[i+1]) + uint(b[i]) + uint(b[i+1]) + 2) / 4)
		}
	}
}

// threeQuarters makes three pixels of four: the first has three parts of the first and one of the second, and so on.
func threeQuarters(dst, src surface) {
	for y := range dst.height {
		first := y/3*4 + y%3
		below := uint(y%3 + 1) // of four parts, those of the second row
		above := 4 - below
		a := src.pix[first*src.stride:][:src.width]
		b := src.pix[min(first+1, src.height-1)*src.stride:][:src.width]
		out := dst.pix[y*dst.stride:][:dst.width]
		x, i := 0, 0
		for ; x+3 <= len(out) && i+4 <= len(a); x, i = x+3, i+4 {
			a, b, out := a[i:i+4:i+4], b[i:i+4:i+4], out[x:x+3:x+3]
			p, q := above*uint(a[0])+below*uint(b[0]), above*uint(a[1])+below*uint(b[1])
			r, s := above*uint(a[2])+below*uint(b[2]), above*uint(a[3])+below*uint(b[3])
			out[0] = byte((3*p + q + 8) / 16)
			out[1] = byte((2*q + 2*r + 8) / 16)
			out[2] = byte((r + 3*s + 8) / 16)
		}
		for ; x < len(out); x, i = x+1, i+1 { // what is left over at the right
			j := min(i, len(a)-1)
			out[x] = byte((above*uint(a[j]) + below*uint(b[j]) + 2) / 4)
		}
	}
}
