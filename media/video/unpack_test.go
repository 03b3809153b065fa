package video

import (
	"testing"
	"time"

	"github.com/pion/mediadevices/pkg/frame"
)

// picture422 is a packed 4:2:2 picture with padding behind each line, and what each
// pixel and pair of pixels has in it.
func yAt(x, y int) byte { return byte(16 + 3*x + 5*y) }
func uAt(x, y int) byte { return byte(90 + 7*x + 2*(y/2)) }
func vAt(x, y int) byte { return byte(200 - 5*x - 2*(y/2)) }

// lay lays a picture out as a driver does, with lines of stride bytes.
func lay(fourcc string, width, height, stride int) []byte {
	b := make([]byte, stride*height*2)
	for i := range b {
		b[i] = 0xee // padding
	}
	planar := func(first, second func(x, y int) byte) []byte {
		for y := range height {
			for x := range width {
				b[y*stride+x] = yAt(x, y)
			}
		}
		at := stride * height
		for i, f := range []func(x, y int) byte{first, second} {
			for y := range height / 2 {
				for x := range width / 2 {
					b[at+(i*height/2+y)*stride/2+x] = f(x, 2*y)
				}
			}
		}
		return b[:stride*height*3/2]
	}
	half := func(first, second func(x, y int) byte) []byte {
		for y := range height {
			for x := range width {
				b[y*stride+x] = yAt(x, y)
			}
		}
		for y := range height / 2 {
			for x := range width / 2 {
				b[(height+y)*stride+2*x], b[(height+y)*stride+2*x+1] = first(x, 2*y), second(x, 2*y)
			}
		}
		return b[:stride*height*3/2]
	}
	packed := func(luma int) []byte {
		for y := range height {
			for x := range width / 2 {
				p := b[y*stride+4*x:]
				p[luma], p[luma+2] = yAt(2*x, y), yAt(2*x+1, y)
				p[1-luma], p[3-luma] = uAt(x, y), vAt(x, y)
			}
		}
		return b[:stride*height]
	}
	switch fourcc {
	case "YU12":
		return planar(uAt, vAt)
	case "YV12":
		return planar(vAt, uAt)
	case "NV12":
		return half(uAt, vAt)
	case "NV21":
		return half(vAt, uAt)
	case "YUYV":
		return packed(0)
	}
	return packed(1)
}

func TestUnpack(t *testing.T) {
	const width, height = 34, 18 // not a multiple of what is taken at once
	for _, f := range pixelFormats {
		if f.unpack == nil {
			continue
		}
		for _, pad := range []int{0, 16} {
			stride := width + pad
			if f.fourcc == "YUYV" || f.fourcc == "UYVY" {
				stride = 2*width + pad
			}
			data := lay(f.fourcc, width, height, stride)
			img := planar(make([]byte, planarSize(width, height)), width, height)
			if err := f.unpack(img, data, stride); err != nil {
				t.Fatalf("%s: %v", f.fourcc, err)
			}
			for y := range height {
				for x := range width {
					c := img.YCbCrAt(x, y)
					if c.Y != yAt(x, y) || c.Cb != uAt(x/2, y) || c.Cr != vAt(x/2, y) {
						t.Fatalf("%s with %d bytes of padding: %v at %d, %d", f.fourcc, pad, c, x, y)
					}
				}
			}
			for _, n := range []int{0, 1, len(data) / 2, len(data) - pad - 2} {
				if err := f.unpack(img, data[:n], stride); err == nil {
					t.Errorf("%s: %d bytes of %d are a picture", f.fourcc, n, len(data))
				}
			}
		}
	}
}

// However a driver's lines and bytes do not fit, nothing is read beyond them.
func TestUnpackWhatDoesNotFit(t *testing.T) {
	const width, height = 18, 16
	img := planar(make([]byte, planarSize(width, height)), width, height)
	for _, f := range pixelFormats {
		if f.unpack == nil {
			continue
		}
		for pad := range 6 { // also odd ones
			stride := width + pad
			if f.packed() {
				stride += width
			}
			data := make([]byte, 2*stride*height)
			least := 0
			for n := range data {
				if err := f.unpack(img, data[:n:n], stride); err == nil && least == 0 {
					least = n
				} else if (err == nil) != (least > 0) {
					t.Fatalf("%s: %d bytes are enough, and %d: %v", f.fourcc, least, n, err)
				}
			}
			if least == 0 {
				t.Errorf("%s: nothing is enough with %d bytes of padding", f.fourcc, pad)
			}
		}
	}
}

// BenchmarkUnpack is how long a picture of 1280×720 takes to become what encoders take.
func BenchmarkUnpack(b *testing.B) {
	const width, height = 1280, 720
	for _, f := range pixelFormats {
		if f.unpack == nil {
			continue
		}
		stride := width
		if f.fourcc == "YUYV" || f.fourcc == "UYVY" {
			stride *= 2
		}
		data, img := lay(f.fourcc, width, height, stride), planar(make([]byte, planarSize(width, height)), width, height)
		b.Run(f.fourcc, func(b *testing.B) {
			for b.Loop() {
				if err := f.unpack(img, data, stride); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("YUYV to 4:2:2 by mediadevices", func(b *testing.B) {
		d, err := frame.NewDecoder(frame.FormatYUYV)
		if err != nil {
			b.Fatal(err)
		}
		data := lay("YUYV", width, height, 2*width)
		for b.Loop() {
			if _, _, err := d.Decode(data, width, height); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkCapture is a picture of 1280×720 YUYV from the driver's memory to H264: the
// whole way, against conversion and encoder alone. Both are measured in turns, as the
// machine is not alike busy at all times.
func BenchmarkCapture(b *testing.B) {
	want := Format{1280, 720, 30}
	data := lay("YUYV", want.Width, want.Height, 2*want.Width)
	d := &fakeDriver{sizes: map[string][]frameSize{"YUYV": {size(1280, 720)}}, memory: data}
	with(b, d)
	s, err := V4L2("/dev/video0").Open(want)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	e, err := newH264Encoder(want, 1_500_000, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = e.close() })
	img := planar(make([]byte, planarSize(want.Width, want.Height)), want.Width, want.Height)
	var read, convert, encode time.Duration
	for n := 0; b.Loop(); n++ {
		for i := range 64 { // what costs the encoder something
			copy(data[(300+i)*2*want.Width+(8*n)%1600:][:400], data[(100+i)*2*want.Width:])
		}
		var f *Frame
		for step := range 2 {
			began := time.Now()
			if (n+step)%2 == 0 {
				f, err = s.Read()
				read += time.Since(began)
			} else {
				err = unpackYUYV(img, data, 2*want.Width)
				convert += time.Since(began)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		began := time.Now()
		if _, _, err := e.encode(f.Image, f.At, false); err != nil {
			b.Fatal(err)
		}
		encode += time.Since(began)
		f.Release()
	}
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(b.N) }
	b.ReportMetric(each(read), "µs-read")
	b.ReportMetric(each(convert), "µs-convert")
	b.ReportMetric(each(encode), "µs-encode")
	b.ReportMetric(float64(read+encode)/float64(convert+encode), "whole/alone")
}
