package pictures

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/image/bmp"

	"github.com/herald-im/herald/protocol"
)

// quarters is a picture whose quarters are red, green, blue and white.
func quarters(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{0xff, 0, 0, 0xff}
			switch {
			case x >= w/2 && y < h/2:
				c = color.RGBA{0, 0xff, 0, 0xff}
			case x < w/2 && y >= h/2:
				c = color.RGBA{0, 0, 0xff, 0xff}
			case x >= w/2:
				c = color.RGBA{0xff, 0xff, 0xff, 0xff}
			}
			m.SetRGBA(x, y, c)
		}
	}
	return m
}

func asJPEG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asPNG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// exif is EXIF data that has an orientation.
func exif(order binary.ByteOrder, orientation uint16) []byte {
	b := []byte("MM\x00*")
	if order == binary.LittleEndian {
		b = []byte("II*\x00")
	}
	for _, v := range []any{uint32(8), uint16(2), uint16(0x010f), uint16(2), uint32(1), uint32(0), uint16(0x0112), uint16(3), uint32(1), orientation, uint16(0), uint32(0)} {
		b, _ = binary.Append(b, order, v)
	}
	return b
}

// held is a JPEG with an orientation noted.
func held(t testing.TB, m image.Image, order binary.ByteOrder, orientation uint16) []byte {
	data := append([]byte("Exif\x00\x00"), exif(order, orientation)...)
	segment := append([]byte{0xff, 0xe1, 0, byte(len(data) + 2)}, data...)
	b := asJPEG(t, m)
	return append(append(b[:2:2], segment...), b[2:]...)
}

func written(t testing.TB, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func sizesOf(t testing.TB, b []byte) Set {
	t.Helper()
	s, err := NewMaker().Sizes(context.Background(), written(t, b))
	if err != nil {
		t.Fatal(err)
	}
	if s[protocol.RoleOriginal].Bytes != nil {
		t.Error("the original has bytes")
	}
	for i, p := range s {
		if p.Bytes == nil {
			continue
		}
		c, kind, err := image.DecodeConfig(bytes.NewReader(p.Bytes))
		if err != nil || c.Width != int(p.Width) || c.Height != int(p.Height) || kind != "jpeg" && kind != "png" {
			t.Errorf("size %d: %d × %d %s is said to be %d × %d, %v", i, c.Width, c.Height, kind, p.Width, p.Height, err)
		}
	}
	return s
}

type dims [3][2]uint32

func (s Set) dims() (d dims) {
	for i, p := range s {
		d[i] = [2]uint32{p.Width, p.Height}
	}
	return d
}

func (s Set) made() (m [3]bool) {
	for i, p := range s {
		m[i] = p.Bytes != nil
	}
	return m
}

func TestSizes(t *testing.T) {
	var asGIF, asBMP bytes.Buffer
	frames := &gif.GIF{Config: image.Config{Width: 900, Height: 300}}
	for _, c := range []color.Color{color.White, color.Black} {
		m := image.NewPaletted(image.Rect(0, 0, 900, 300), color.Palette{c})
		frames.Image, frames.Delay = append(frames.Image, m), append(frames.Delay, 1)
	}
	if err := errors.Join(gif.EncodeAll(&asGIF, frames), bmp.Encode(&asBMP, quarters(400, 1000))); err != nil {
		t.Fatal(err)
	}
	webp, _ := base64.StdEncoding.DecodeString("UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA")
	all := [3]bool{true, true, false}
	for name, tc := range map[string]struct {
		bytes []byte
		want  dims
		made  [3]bool
	}{
		"JPEG":              {asJPEG(t, quarters(1500, 1000)), dims{{198, 132}, {720, 480}, {1500, 1000}}, all},
		"PNG":               {asPNG(t, quarters(500, 1000)), dims{{99, 198}, {360, 720}, {500, 1000}}, all},
		"GIF":               {asGIF.Bytes(), dims{{198, 66}, {720, 240}, {900, 300}}, all},
		"BMP":               {asBMP.Bytes(), dims{{79, 198}, {288, 720}, {400, 1000}}, all},
		"WebP":              {webp, dims{{1, 1}, {1, 1}, {1, 1}}, [3]bool{}},
		"gray":              {asJPEG(t, image.NewGray(image.Rect(0, 0, 1500, 1500))), dims{{198, 198}, {720, 720}, {1500, 1500}}, all},
		"a line":            {asPNG(t, quarters(5000, 1)), dims{{198, 1}, {720, 1}, {5000, 1}}, all},
		"within large":      {asJPEG(t, quarters(720, 10)), dims{{198, 3}, {720, 10}, {720, 10}}, [3]bool{true, false, false}},
		"just over large":   {asJPEG(t, quarters(721, 10)), dims{{198, 3}, {720, 10}, {721, 10}}, all},
		"within thumbnail":  {asJPEG(t, quarters(198, 198)), dims{{198, 198}, {198, 198}, {198, 198}}, [3]bool{}},
		"turned":            {held(t, quarters(1000, 500), binary.BigEndian, 6), dims{{99, 198}, {360, 720}, {500, 1000}}, all},
		"not a picture":     {[]byte("hello"), dims{}, [3]bool{}},
		"empty":             {nil, dims{}, [3]bool{}},
		"half a JPEG":       {asJPEG(t, quarters(1500, 1000))[:20000], dims{{1500, 1000}, {1500, 1000}, {1500, 1000}}, [3]bool{}},
		"more than may be":  {hugePNG(30000, 30000), dims{{30000, 30000}, {30000, 30000}, {30000, 30000}}, [3]bool{}},
		"more than is sane": {hugePNG(1<<31-1, 1<<31-1), dims{}, [3]bool{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := sizesOf(t, tc.bytes)
			if s.dims() != tc.want || s.made() != tc.made {
				t.Errorf("%v made %v, not %v made %v", s.dims(), s.made(), tc.want, tc.made)
			}
		})
	}
}

// hugePNG is the head of a PNG of that size, with nothing behind it.
func hugePNG(w, h uint32) []byte {
	ihdr := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte("IHDR"), w), h)
	ihdr = append(ihdr, 8, 6, 0, 0, 0)
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), ihdr...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(ihdr))
}

// TestOrientation looks at the corners of what comes out, for each way in which
// a camera can be held and each kind that notes it.
func TestOrientation(t *testing.T) {
	const r, g, b, w = 0, 1, 2, 3 // as quarters has them: top left, top right, bottom left, bottom right
	want := map[uint16][4]int{
		1: {r, g, b, w}, 2: {g, r, w, b}, 3: {w, b, g, r}, 4: {b, w, r, g},
		5: {r, b, g, w}, 6: {b, r, w, g}, 7: {w, g, b, r}, 8: {g, w, r, b}, 9: {r, g, b, w},
	}
	for orientation, corners := range want {
		for _, order := range []binary.ByteOrder{binary.BigEndian, binary.LittleEndian} {
			s := sizesOf(t, held(t, quarters(800, 400), order, orientation))
			for _, p := range s[:2] {
				checkCorners(t, orientation, p.Bytes, corners)
			}
			p := s[protocol.RoleOriginal]
			if upright := p.Width > p.Height; upright != (orientation < 5 || orientation > 8) {
				t.Errorf("%d: %d × %d", orientation, p.Width, p.Height)
			}
		}
	}
	chunk := append([]byte("eXIf"), exif(binary.BigEndian, 6)...)
	sum := crc32.ChecksumIEEE(chunk)
	chunk = binary.BigEndian.AppendUint32(append(binary.BigEndian.AppendUint32(nil, uint32(len(chunk)-4)), chunk...), sum)
	plain := asPNG(t, quarters(800, 400))
	const headEnd = 8 + 25
	s := sizesOf(t, append(append(plain[:headEnd:headEnd], chunk...), plain[headEnd:]...))
	checkCorners(t, 6, s[0].Bytes, want[6])
}

func checkCorners(t *testing.T, orientation uint16, b []byte, want [4]int) {
	t.Helper()
	m, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	box := m.Bounds()
	for i, at := range []image.Point{{5, 5}, {box.Max.X - 6, 5}, {5, box.Max.Y - 6}, {box.Max.X - 6, box.Max.Y - 6}} {
		red, green, blue, _ := m.At(at.X, at.Y).RGBA()
		on := [3]bool{red > 0x8000, green > 0x8000, blue > 0x8000}
		if on != [4][3]bool{{true, false, false}, {false, true, false}, {false, false, true}, {true, true, true}}[want[i]] {
			t.Errorf("orientation %d, corner %d: %v", orientation, i, on)
		}
	}
}

func TestTransparencyStays(t *testing.T) {
	m := image.NewNRGBA(image.Rect(0, 0, 1000, 1000))
	for i := range m.Pix {
		m.Pix[i] = 0x80
	}
	s := sizesOf(t, asPNG(t, m))
	for i, p := range s[:2] {
		got, kind, err := image.Decode(bytes.NewReader(p.Bytes))
		if err != nil || kind != "png" {
			t.Fatal(i, kind, err)
		}
		if _, _, _, a := got.At(50, 50).RGBA(); a>>8 < 0x7e || a>>8 > 0x82 {
			t.Errorf("size %d: alpha %x", i, a)
		}
	}
}

func TestDimensions(t *testing.T) {
	for name, b := range map[string][]byte{"plain": asJPEG(t, quarters(30, 20)), "turned": held(t, quarters(20, 30), binary.LittleEndian, 8)} {
		if w, h := Dimensions(written(t, b)); w != 30 || h != 20 {
			t.Errorf("%s: %d × %d", name, w, h)
		}
	}
	for name, path := range map[string]string{"no picture": written(t, []byte("no")), "no file": filepath.Join(t.TempDir(), "no")} {
		if w, h := Dimensions(path); w != 0 || h != 0 {
			t.Errorf("%s: %d × %d", name, w, h)
		}
	}
}

// TestOneAtATime: while one picture is made another waits, and ends with its context.
func TestOneAtATime(t *testing.T) {
	m, path := NewMaker(), written(t, asJPEG(t, quarters(900, 900)))
	m.turn <- struct{}{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := m.Sizes(ctx, path)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-m.turn
	if s, err := m.Sizes(context.Background(), path); err != nil || s.made() != [3]bool{true, true, false} {
		t.Error(s.made(), err)
	}
	if _, err := m.Sizes(ctx, path); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := m.Sizes(context.Background(), path+"no"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestMemory: a picture of a good camera takes what is said that it may.
func TestMemory(t *testing.T) {
	b := asJPEG(t, image.NewYCbCr(image.Rect(0, 0, 3000, 2000), image.YCbCrSubsampleRatio420))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s := sizesOf(t, b)
	runtime.ReadMemStats(&after)
	if s.made() != [3]bool{true, true, false} {
		t.Fatal(s.made())
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 44<<20 {
		t.Errorf("6 megapixels took %d MiB in all", took>>20)
	}
}

// TestWebPCanvas: a small canvas before a large picture, in a file of a few bytes,
// does not get the large one decoded. The head that is read is the canvas's.
func TestWebPCanvas(t *testing.T) {
	const canvas = 1000
	chunk := func(kind string, b ...byte) []byte {
		return append(binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(b))), b...)
	}
	body := make([]byte, 1000)
	for _, picture := range [][]byte{ // of 16383 × 16383 and 16384 × 16384
		chunk("VP8 ", append([]byte{0x10, 0, 0, 0x9d, 1, 0x2a, 0xff, 0x3f, 0xff, 0x3f}, body...)...),
		chunk("VP8L", append([]byte{0x2f, 0xff, 0xff, 0xff, 0x0f, 0x88, 0x88, 0x08}, body...)...), // of one colour
	} {
		for _, alpha := range []byte{0, 1 << 4} {
			side := []byte{(canvas - 1) & 0xff, (canvas - 1) >> 8, 0}
			all := append([]byte("WEBP"), chunk("VP8X", slices.Concat([]byte{alpha, 0, 0, 0}, side, side)...)...)
			b := chunk("RIFF", append(all, picture...)...)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			s := sizesOf(t, b)
			runtime.ReadMemStats(&after)
			if s[0].Width != canvas || s.made() != [3]bool{} {
				t.Error(s.dims(), s.made())
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 8*canvas*canvas {
				t.Errorf("%.4q: it took %d KiB", picture, took>>10)
			}
		}
	}
}

// TestProgressive: coefficients of all passes are kept, so less fits.
func TestProgressive(t *testing.T) {
	frame := []byte{8, 0, 1, 0, 1, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1}
	for _, tc := range []struct {
		frame       []byte
		progressive bool
		want        float64
	}{{frame, false, 1.5}, {frame, true, 7.5}, {frame[:10], true, 15}, {[]byte{8, 0, 1, 0, 1, 1, 1, 0x11, 0}, false, 1}} {
		if got := jpegBytes(tc.frame, tc.progressive); got != tc.want {
			t.Errorf("%v %v: %v bytes for a pixel, not %v", tc.frame, tc.progressive, got, tc.want)
		}
	}
}

func FuzzSizes(f *testing.F) {
	f.Add(asJPEG(f, quarters(200, 4)))
	f.Add(held(f, quarters(200, 4), binary.BigEndian, 5))
	f.Add(asPNG(f, quarters(4, 200)))
	f.Add(hugePNG(20000, 2000))
	var b bytes.Buffer
	if err := bmp.Encode(&b, quarters(200, 4)); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	b = bytes.Buffer{}
	if err := gif.Encode(&b, quarters(200, 4), nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	webp, _ := base64.StdEncoding.DecodeString("UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA")
	f.Add(webp)
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := readHead(bytes.NewReader(b)); err != nil || h.pixels() > 1<<20 {
			return // what is large is only slow
		}
		s, err := sizes(context.Background(), bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range s {
			if p.Bytes != nil && max(p.Width, p.Height) > []uint32{Thumbnail, Large, 0}[i] {
				t.Errorf("size %d is %d × %d", i, p.Width, p.Height)
			}
		}
	})
}

func BenchmarkSizes(b *testing.B) {
	path := written(b, asJPEG(b, quarters(4000, 3000)))
	m := NewMaker()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Sizes(context.Background(), path); err != nil {
			b.Fatal(err)
		}
	}
}
