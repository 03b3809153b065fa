package video

import (
	"image"
	"testing"
	"time"
)

// With less bitrate first the detail goes, then the rate, then the size; down at once, up after a while.
func TestPlanGivesUpInOrder(t *testing.T) {
	f := Format{640, 480, 30}
	var s steering
	now := time.Unix(1000, 0)
	var last plan
	for bitrate := 1_500_000; bitrate >= 50_000; bitrate -= 10_000 {
		p := s.plan(f, bitrate, now)
		if p.bitrate != bitrate {
			t.Fatalf("%d bit/s became %d", bitrate, p.bitrate)
		}
		if last.rate != 0 {
			smaller, fewer := p.num*last.den < last.num*p.den, p.rate < last.rate
			if p.rate > last.rate || p.num*last.den > last.num*p.den {
				t.Errorf("at %d bit/s more is sent than before: %+v, %+v", bitrate, p, last)
			}
			if smaller && last.rate == f.Rate {
				t.Errorf("at %d bit/s the size goes before the rate", bitrate)
			}
			if smaller || fewer {
				t.Logf("%d bit/s: %.0f pictures of %d×%d", bitrate, p.rate, scaledSize(f.Width, p.num, p.den), scaledSize(f.Height, p.num, p.den))
			}
		}
		last = p
	}
	if last.rate >= 30 || last.num == last.den {
		t.Errorf("at 50 kbit/s %+v", last)
	}
	if p := s.plan(f, 1_500_000, now.Add(time.Second)); p != (plan{1_500_000, last.rate, last.num, last.den}) {
		t.Errorf("up at once: %+v", p)
	}
	if p := s.plan(f, 1_500_000, now.Add(stepUpAfter)); p.rate != 30 || p.num != p.den {
		t.Errorf("not up again: %+v", p)
	}
	// Around a bound it does not go up and down all the time.
	edge := 0
	for b := 1_000_000; b > 0; b -= 1000 {
		if bitsPerPixel(f, 0, b) < fewestBits {
			edge = b
			break
		}
	}
	changes := 0
	for i := range 100 {
		before := s.step
		s.plan(f, edge+(i%2)*20_000-10_000, now.Add(stepUpAfter+time.Duration(i)*10*time.Second))
		if s.step != before {
			changes++
		}
	}
	if changes > 1 {
		t.Errorf("%d changes around %d bit/s", changes, edge)
	}
}

// A camera that gives few pictures, or small ones, keeps them.
func TestPlanKeepsWhatIsLittle(t *testing.T) {
	var s steering
	if p := s.plan(Format{160, 120, 10}, 10_000, time.Now()); p.rate != 10 || p.num != p.den {
		t.Errorf("%+v", p)
	}
}

func TestThinningIsEven(t *testing.T) {
	for _, part := range []float64{1, 2.0 / 3, 0.5, 1.0 / 3} {
		var th thinning
		taken, gap, worst := 0, 0, 0
		for range 300 {
			if gap++; th.take(part) {
				taken++
				worst = max(worst, gap)
				gap = 0
			}
		}
		if want := int(300*part + 0.5); taken < want-1 || taken > want+1 || float64(worst) > 1/part+1 {
			t.Errorf("of 300 pictures %d are taken at %.2f, %d apart", taken, part, worst)
		}
	}
}

// A scaled picture shows the same: each place has the mean of what was there.
func TestScale(t *testing.T) {
	img := image.NewYCbCr(image.Rect(0, 0, 648, 488), image.YCbCrSubsampleRatio420)
	for y := range 488 {
		for x := range 648 {
			img.Y[y*img.YStride+x] = byte((x + y) / 5)
		}
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = byte(i%img.CStride/2), 77
	}
	part := img.SubImage(image.Rect(4, 4, 644, 484)).(*image.YCbCr)
	var s scaler
	for _, size := range [][2]int{{3, 4}, {1, 2}, {3, 8}} {
		out := s.scale(part, size[0], size[1])
		if w, h := out.Rect.Dx(), out.Rect.Dy(); w != 640*size[0]/size[1] || h != 480*size[0]/size[1] {
			t.Fatalf("%v: %d×%d", size, w, h)
		}
		for y := range out.Rect.Dy() {
			for x := range out.Rect.Dx() {
				from := func(n int) float64 { return (float64(n)+0.5)*float64(size[1])/float64(size[0]) - 0.5 + 4 }
				want := (from(x) + from(y)) / 5
				if got := float64(out.Y[y*out.YStride+x]); got < want-1.5 || got > want+1.5 {
					t.Fatalf("%v: at %d,%d there is %v for %v", size, x, y, got, want)
				}
			}
		}
		if out.Cr[out.COffset(0, 0)] != 77 || out.Cr[len(out.Cr)-1] != 77 {
			t.Errorf("%v: the colour has changed", size)
		}
	}
	if s.scale(part, 1, 1) != part {
		t.Error("a picture of the same size was copied")
	}
}

// What cameras send as JPEG, 4:2:2 mostly, becomes smaller as well.
func TestScaleOtherColours(t *testing.T) {
	for _, ratio := range []image.YCbCrSubsampleRatio{image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio420} {
		img := image.NewYCbCr(image.Rect(0, 0, 644, 484), ratio)
		for y := range 484 {
			for x := range 644 {
				img.Y[img.YOffset(x, y)] = byte((x + y) / 5)
				img.Cb[img.COffset(x, y)], img.Cr[img.COffset(x, y)] = byte(x/4), byte(y/4)
			}
		}
		part := img.SubImage(image.Rect(4, 4, 644, 484)).(*image.YCbCr)
		var s scaler
		for _, size := range [][2]int{{3, 4}, {1, 2}, {3, 8}} {
			out := s.scale(part, size[0], size[1])
			if w, h := out.Rect.Dx(), out.Rect.Dy(); w != 640*size[0]/size[1] || h != 480*size[0]/size[1] || out.SubsampleRatio != image.YCbCrSubsampleRatio420 {
				t.Errorf("%v of %v: %d×%d %v", size, ratio, w, h, out.SubsampleRatio)
				continue
			}
			for y := range out.Rect.Dy() {
				for x := range out.Rect.Dx() {
					c, was := out.YCbCrAt(x, y), part.YCbCrAt(4+x*size[1]/size[0], 4+y*size[1]/size[0])
					if distance(int(c.Y), int(was.Y)) > 2 || distance(int(c.Cb), int(was.Cb)) > 2 || distance(int(c.Cr), int(was.Cr)) > 2 {
						t.Fatalf("%v of %v: at %d,%d there is %v for %v", size, ratio, x, y, c, was)
					}
				}
			}
		}
	}
}

// An encoder is used for pictures of its format, whatever their bitrate.
func TestEncoderIsMadeAnew(t *testing.T) {
	ch := &channel{codec: VP8, sender: &Sender{log: quiet}}
	want, p := Format{64, 48, 30}, plan{bitrate: 100_000, rate: 30}
	first, err := ch.fit(nil, want, p)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ch.fit(first, want, plan{bitrate: 50_000, rate: 15}); err != nil || again != first {
		t.Error("another one", err)
	}
	want.Width = 32
	next, err := ch.fit(first, want, p)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { ch.close(next) }()
	if next == first {
		t.Error("the same for another size")
	}
}

func BenchmarkScale720p(b *testing.B) {
	img := image.NewYCbCr(image.Rect(0, 0, 1280, 720), image.YCbCrSubsampleRatio420)
	for _, size := range [][2]int{{3, 4}, {1, 2}, {3, 8}} {
		b.Run(string(rune('0'+size[0]))+"of"+string(rune('0'+size[1])), func(b *testing.B) {
			var s scaler
			for b.Loop() {
				s.scale(img, size[0], size[1])
			}
		})
	}
}
