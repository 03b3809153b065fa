package video

import (
	"bytes"
	"image"
	"image/jpeg"
	"os/exec"
	"testing"
)

// photo is a picture with something in it, as a JPEG in 4:2:0.
func photo(t testing.TB, width, height int) []byte {
	t.Helper()
	img := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	for y := range height {
		for x := range width {
			img.Y[y*img.YStride+x] = byte(40 + x*100/width + (x*y/64)%60)
		}
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = byte(110+i%37), byte(150-i/len(img.Cb)*40)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 80}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Whatever decodes, it gives what Go's decoder gives, but for the rounding.
func TestJPEG(t *testing.T) {
	d, err := newJPEG()
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	for _, s := range []image.Point{{640, 480}, {641, 481}, {1280, 720}} {
		data := photo(t, s.X, s.Y)
		want, err := jpeg.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		compare(t, d, data, want)
	}
}

// compare decodes a JPEG and looks whether the picture is as wanted.
func compare(t *testing.T, d jpegDecoder, data []byte, decoded image.Image) {
	t.Helper()
	want, ok := decoded.(*image.YCbCr)
	if !ok {
		t.Fatalf("%T", decoded)
	}
	got, release, err := d.decode(data, 1280, 720)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if got.Rect.Size() != want.Rect.Size() || got.SubsampleRatio != want.SubsampleRatio {
		t.Fatalf("%v %v, want %v %v", got.Rect, got.SubsampleRatio, want.Rect, want.SubsampleRatio)
	}
	for y := range want.Rect.Dy() {
		for x := range want.Rect.Dx() {
			g, w := got.YCbCrAt(x, y), want.YCbCrAt(x, y)
			if distance(int(g.Y), int(w.Y)) > 6 || distance(int(g.Cb), int(w.Cb)) > 6 || distance(int(g.Cr), int(w.Cr)) > 6 {
				t.Fatalf("%v at %d, %d, want %v", g, x, y, w)
			}
		}
	}
}

// Cameras send 4:2:2, most of them.
func TestJPEGSubsampling(t *testing.T) {
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is needed for a JPEG in 4:2:2: scripts/deps test installs it")
	}
	d, err := newJPEG()
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	for _, pixels := range []string{"yuvj420p", "yuvj422p", "yuvj444p"} {
		data, err := exec.CommandContext(t.Context(), "ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=322x242", "-frames:v", "1",
			"-pix_fmt", pixels, "-q:v", "2", "-f", "mjpeg", "pipe:1").Output()
		if err != nil {
			t.Fatal(err)
		}
		want, err := jpeg.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		compare(t, d, data, want)
	}
}

// Cameras leave the Huffman tables out, which are always the same ones.
func TestJPEGWithoutHuffmanTables(t *testing.T) {
	d, err := newJPEG()
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	whole := photo(t, 320, 240)
	from := bytes.Index(whole, []byte{0xff, 0xc4})
	to := bytes.Index(whole, []byte{0xff, 0xda})
	bare := append(bytes.Clone(whole[:from]), whole[to:]...)
	if _, err := jpeg.Decode(bytes.NewReader(bare)); err == nil {
		t.Fatal("they are still there")
	}
	want, err := jpeg.Decode(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, d, bare, want)
}

// Cheap cameras put some bytes too many before a marker, in each picture, or behind the
// last one. Nothing of the picture is missing.
func TestJPEGWithBytesTooMany(t *testing.T) {
	d, err := newJPEG()
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	whole := photo(t, 320, 240)
	want, err := jpeg.Decode(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	end := len(whole) - 2
	for name, extra := range map[string][2]string{
		"one before": {"\x12", ""}, "four before": {"\x12\x00\x34\x56", ""}, "zeros before": {string(make([]byte, 64)), ""},
		"zeros behind": {"", string(make([]byte, 4096))}, "both": {"\x12", "\x00\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			compare(t, d, []byte(string(whole[:end])+extra[0]+string(whole[end:])+extra[1]), want)
		})
	}
	for _, n := range []int{2, 3, 10, end / 2, end} { // but here there is
		if img, _, err := d.decode(append(bytes.Clone(whole[:end-n]), whole[end:]...), 320, 240); err == nil && n > 3 {
			t.Errorf("%v, of which %d bytes are missing", img.Rect, n)
		}
	}
}

func FuzzJPEG(f *testing.F) {
	whole := photo(f, 64, 48)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	d, err := newJPEG()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		img, release, err := d.decode(data, 640, 480)
		if err != nil {
			return
		}
		if s := img.Rect.Size(); s.X > 640 || s.Y > 480 {
			t.Error(s)
		}
		release()
	})
}

// BenchmarkJPEG is how long a picture of 1280×720 takes to be decoded.
func BenchmarkJPEG(b *testing.B) {
	d, err := newJPEG()
	if err != nil {
		b.Fatal(err)
	}
	defer d.close()
	data := photo(b, 1280, 720)
	b.ReportAllocs()
	for b.Loop() {
		_, release, err := d.decode(data, 1280, 720)
		if err != nil {
			b.Fatal(err)
		}
		release()
	}
	b.ReportMetric(float64(len(data)), "B/picture")
}
