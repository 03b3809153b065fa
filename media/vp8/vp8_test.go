package vp8

import (
	"bytes"
	"image"
	"math/rand/v2"
	"testing"
	"time"

	decode "golang.org/x/image/vp8"
)

const width, height = 320, 240

// snow is as much as an encoder can be given to do.
func snow(n int) []*image.YCbCr {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]*image.YCbCr, n)
	for i := range out {
		out[i] = image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
		for j := range out[i].Y {
			out[i].Y[j] = byte(r.UintN(64))
		}
	}
	return out
}

func open(t testing.TB, rate float64, bitrate int) *Encoder {
	t.Helper()
	e, err := New(width, height, rate, bitrate, 600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// What is sent keeps to the bitrate, however many pictures the camera gives, and however unevenly they come.
func TestBitrate(t *testing.T) {
	const bitrate, seconds = 300_000, 6
	at := func(rate float64, together int) func(i int) time.Duration {
		return func(i int) time.Duration {
			return time.Duration(float64(i/together*together) / rate * float64(time.Second))
		}
	}
	for name, c := range map[string]struct {
		rate float64 // as the camera says
		at   func(i int) time.Duration
	}{
		"30 a second":           {30, at(30, 1)},
		"60 a second":           {60, at(60, 1)},
		"8 a second":            {8, at(8, 1)},
		"half as many as said":  {30, at(15, 1)},
		"twice as many as said": {30, at(60, 1)},
		"in pairs":              {30, at(30, 2)},
		"in fours":              {30, at(30, 4)},
		"a millisecond early":   {30, func(i int) time.Duration { return at(30, 1)(i) - time.Duration(i%3/2)*time.Millisecond }},
		"two of three":          {20, func(i int) time.Duration { return at(30, 1)(i + i/2) }},
		"after an hour":         {30, func(i int) time.Duration { return at(30, 1)(i) + time.Duration(min(i, 1))*time.Hour }},
		"back by an hour":       {30, func(i int) time.Duration { return at(30, 1)(i) - time.Duration(min(i, 1))*time.Hour }},
	} {
		t.Run(name, func(t *testing.T) {
			e, pictures := open(t, c.rate, bitrate), snow(8)
			start := time.Unix(1e9, 0)
			bytes, sent := 0, 0
			for i := 0; ; i++ {
				since := c.at(i)
				if (since+time.Hour)%time.Hour >= seconds*time.Second || i > seconds*60 {
					break
				}
				data, _, err := e.Encode(pictures[i%len(pictures)], start.Add(since), false)
				if err != nil {
					t.Fatal(err)
				}
				if bytes += len(data); len(data) > 0 {
					sent++
				}
			}
			got := float64(bytes) * 8 / seconds
			t.Logf("%.0f bit/s, %d pictures", got, sent)
			if got < 0.7*bitrate || got > 1.2*bitrate {
				t.Errorf("%.0f bit/s, and %d are wanted", got, bitrate)
			}
		})
	}
}

// Another bitrate is kept to within a second, and needs no key frame.
func TestSetBitrate(t *testing.T) {
	e, pictures := open(t, 30, 1_000_000), snow(8)
	at := time.Unix(1e9, 0)
	second := func() (bits float64) {
		for i := range 30 {
			data, key, err := e.Encode(pictures[i%len(pictures)], at, false)
			if err != nil {
				t.Fatal(err)
			}
			if key && bits == 0 && !at.Equal(time.Unix(1e9, 0)) {
				t.Error("a key frame that nobody wants")
			}
			bits += float64(len(data)) * 8
			at = at.Add(time.Second / 30)
		}
		return bits
	}
	for range 3 {
		second()
	}
	for _, to := range []float64{200_000, 1_500_000, 400_000} {
		if err := e.SetBitrate(int(to)); err != nil {
			t.Fatal(err)
		}
		first := second()
		next := second()
		t.Logf("at %.0f bit/s: %.0f, then %.0f", to, first, next)
		if first > 1.6*to || next > 1.2*to || next < 0.7*to {
			t.Errorf("at %.0f bit/s: %.0f, then %.0f", to, first, next)
		}
	}
}

// A key frame holds up what follows for not much longer than 0.3 s, however much there is to be seen.
func TestLargeKeyFrames(t *testing.T) {
	const bitrate = 400_000
	e, pictures := open(t, 30, bitrate), snow(8)
	for i := range 90 {
		data, key, err := e.Encode(pictures[i%len(pictures)], time.Unix(1e9, int64(i)*33e6), i%30 == 29)
		if err != nil {
			t.Fatal(err)
		}
		if i%30 == 29 && (!key || len(data) > bitrate/8*45/100) {
			t.Errorf("picture %d: a key frame %v, of %d bytes", i, key, len(data))
		}
	}
}

// A key frame comes first, and where one is wanted. What is encoded is the picture.
func TestKeyFrames(t *testing.T) {
	e := open(t, 30, 400_000)
	img := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	for y := range height {
		for x := range width {
			img.Y[y*img.YStride+x] = byte(40 + x/2)
		}
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = 90, 170
	}
	for i := range 40 {
		data, key, err := e.Encode(img, time.Unix(1e9, int64(i)*33e6), i == 20)
		if err != nil {
			t.Fatal(err)
		}
		if want := i%20 == 0; key != want {
			t.Fatalf("picture %d: a key frame is %v", i, key)
		}
		if !key {
			continue
		}
		d := decode.NewDecoder()
		d.Init(bytes.NewReader(data), len(data))
		if _, err := d.DecodeFrameHeader(); err != nil {
			t.Fatal(err)
		}
		got, err := d.DecodeFrame()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []image.Point{{10, 10}, {160, 120}, {300, 230}} {
			is, was := got.YCbCrAt(p.X, p.Y), img.YCbCrAt(p.X, p.Y)
			for _, d := range []int{int(is.Y) - int(was.Y), int(is.Cb) - int(was.Cb), int(is.Cr) - int(was.Cr)} {
				if d < -6 || d > 6 {
					t.Errorf("at %v there is %v, and it was %v", p, is, was)
				}
			}
		}
	}
}

// libvpx is given nothing that it would read beyond.
func TestWrongPictures(t *testing.T) {
	for _, size := range [][2]int{{0, 10}, {10, -1}, {MaxSide + 1, 10}} {
		if e, err := New(size[0], size[1], 30, 100_000, 600); err == nil {
			t.Errorf("an encoder for %v", size)
			_ = e.Close()
		}
	}
	e := open(t, 30, 100_000)
	good := func() *image.YCbCr {
		return image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	}
	for name, change := range map[string]func(*image.YCbCr){
		"wider":   func(i *image.YCbCr) { i.Rect.Max.X += 2 },
		"short Y": func(i *image.YCbCr) { i.Y = i.Y[:len(i.Y)-1] },
	} {
		img := good()
		change(img)
		if _, _, err := e.Encode(img, time.Now(), false); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if data, key, err := e.Encode(good(), time.Now(), false); err != nil || !key || len(data) == 0 {
		t.Errorf("a good one after them: %d bytes, key frame %v, %v", len(data), key, err)
	}
	for range 2 {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := e.Encode(good(), time.Now(), false); err == nil {
		t.Error("a closed one encodes")
	}
	if err := e.SetBitrate(50_000); err == nil {
		t.Error("a closed one takes a bitrate")
	}
}

func BenchmarkEncode(b *testing.B) {
	e, pictures := open(b, 30, 1_000_000), snow(8)
	at := time.Unix(1e9, 0)
	for i := 0; b.Loop(); i++ {
		if _, _, err := e.Encode(pictures[i%len(pictures)], at, false); err != nil {
			b.Fatal(err)
		}
		at = at.Add(time.Second / 30)
	}
}
