package h264_test

import (
	"image"
	"math/rand/v2"
	"testing"

	"github.com/herald-im/herald/media/h264"
)

func encoder(t *testing.T, bitrate int) *h264.Encoder {
	t.Helper()
	e, err := h264.New(320, 240, 30, bitrate, 600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return e
}

// What is sent keeps to the bitrate, whatever is to be seen; the first picture and those that are wanted so are key frames.
func TestEncoder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	img := image.NewYCbCr(image.Rect(0, 0, 320, 240), image.YCbCrSubsampleRatio420)
	for _, bitrate := range []int{300_000, 1_000_000} {
		e := encoder(t, 300_000)
		if err := e.SetBitrate(bitrate); err != nil {
			t.Fatal(err)
		}
		const seconds, at = 6, 45
		bytes, sent, wanted := 0, 0, false
		for i := range seconds * 30 {
			for j := range img.Y { // a noisy camera that turns
				img.Y[j] = byte(40 + (j+2*i)%320/2 + int(r.UintN(24)))
			}
			wanted = wanted || i == at
			data, key, err := e.Encode(img, wanted)
			if err != nil {
				t.Fatal(err)
			}
			if len(data) == 0 {
				continue
			}
			if bytes += len(data); !key && (sent == 0 || wanted) || key != h264.StartsWithIDR(data) {
				t.Errorf("picture %d: a key frame is %v", i, key)
			}
			sent++
			wanted = false
		}
		got := float64(bytes) * 8 / seconds
		t.Logf("%d bit/s: %.0f, %d pictures", bitrate, got, sent)
		if got < 0.7*float64(bitrate) || got > 1.2*float64(bitrate) {
			t.Errorf("%.0f bit/s, and %d are wanted", got, bitrate)
		}
	}
}

// OpenH264 is given nothing that it would read beyond.
func TestWrongPictures(t *testing.T) {
	e := encoder(t, 300_000)
	for name, img := range map[string]*image.YCbCr{
		"smaller": image.NewYCbCr(image.Rect(0, 0, 318, 240), image.YCbCrSubsampleRatio420),
		"4:2:2":   image.NewYCbCr(image.Rect(0, 0, 320, 240), image.YCbCrSubsampleRatio422),
		"empty":   {Rect: image.Rect(0, 0, 320, 240), SubsampleRatio: image.YCbCrSubsampleRatio420},
	} {
		if _, _, err := e.Encode(img, false); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for _, size := range [][2]int{{0, 0}, {-2, 240}, {320, 1 << 20}} {
		if e, err := h264.New(size[0], size[1], 30, 100_000, 600); err == nil {
			t.Errorf("an encoder for %v", size)
			_ = e.Close()
		}
	}
}
