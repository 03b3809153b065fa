// Package h264test gives tests streams of H264, and takes them apart.
package h264test

import (
	"bytes"
	"context"
	"image"
	"os/exec"
	"testing"
	"time"

	"github.com/herald-im/herald/media/h264"
)

// Encoded is a stream of the board's own encoder: an IDR each 10 pictures, with SPS and
// PPS before each.
func Encoded(t testing.TB, width, height, count int) (out [][]byte) {
	t.Helper()
	e, err := h264.New(width, height, 30, 1_000_000, 600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	img := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = byte(100+i%16), byte(140-i%8)
	}
	for n := 0; len(out) < count; n++ {
		for y := range height {
			for x := range width {
				img.Y[y*img.YStride+x] = byte(16 + (x+4*n)%200)
			}
		}
		data, key, err := e.Encode(img, len(out)%10 == 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 {
			continue
		}
		if key != (len(out)%10 == 0) {
			t.Fatalf("picture %d: key %v", len(out), key)
		}
		out = append(out, data)
	}
	return out
}

// Kinds are the types of the NAL units in a buffer.
func Kinds(buf []byte) (out []byte) {
	for _, nal := range h264.NALs(buf) {
		out = append(out, nal[0]&0x1f)
	}
	return out
}

// Without takes NAL units of some types away.
func Without(buf []byte, drop ...byte) (out []byte) {
	for _, nal := range h264.NALs(buf) {
		if bytes.IndexByte(drop, nal[0]&0x1f) < 0 {
			out = append(append(out, h264.StartCode...), nal...)
		}
	}
	return out
}

// Only is its opposite.
func Only(buf []byte, keep ...byte) (out []byte) {
	for _, nal := range h264.NALs(buf) {
		if bytes.IndexByte(keep, nal[0]&0x1f) >= 0 {
			out = append(append(out, h264.StartCode...), nal...)
		}
	}
	return out
}

// X264 is a stream that ffmpeg makes, in access units.
func X264(t testing.TB, args ...string) (out [][]byte) {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is needed for streams of other encoders: scripts/deps test installs it")
	}
	all := append([]string{"-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30:duration=1"}, args...)
	all = append(all, "-bsf:v", "h264_metadata=aud=insert", "-f", "h264", "pipe:1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var said bytes.Buffer
	c := exec.CommandContext(ctx, "ffmpeg", all...)
	c.Stderr = &said
	b, err := c.Output()
	if err != nil {
		t.Fatalf("ffmpeg %v: %v: %s", args, err, &said)
	}
	begin := 0
	for from, nal := range h264.NALs(b) {
		if nal[0]&0x1f == h264.Delimiter && from > 0 {
			out, begin = append(out, b[begin:from]), from
		}
	}
	return append(out, b[begin:])
}
