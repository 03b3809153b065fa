package picture

import (
	"image"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, size := range [][2]int{{64, 48}, {63, 47}} {
		for name, x := range map[string]struct {
			change func(*image.YCbCr)
			good   bool
		}{
			"as it is":      {func(*image.YCbCr) {}, true},
			"part of one":   {func(i *image.YCbCr) { i.Y, i.Rect = i.Y[2:], i.Rect.Add(image.Pt(2, 0)); i.Y = append(i.Y, 0, 0) }, true},
			"wider":         {func(i *image.YCbCr) { i.Rect.Max.X += 2 }, false},
			"smaller":       {func(i *image.YCbCr) { i.Rect.Max.Y -= 2 }, false},
			"4:2:2":         {func(i *image.YCbCr) { i.SubsampleRatio = image.YCbCrSubsampleRatio422 }, false},
			"short Y":       {func(i *image.YCbCr) { i.Y = i.Y[:len(i.Y)-1] }, false},
			"short Cb":      {func(i *image.YCbCr) { i.Cb = i.Cb[:len(i.Cb)-1] }, false},
			"no Cr":         {func(i *image.YCbCr) { i.Cr = nil }, false},
			"narrow stride": {func(i *image.YCbCr) { i.CStride-- }, false},
			"backwards":     {func(i *image.YCbCr) { i.YStride = -i.YStride }, false},
		} {
			img := image.NewYCbCr(image.Rect(0, 0, size[0], size[1]), image.YCbCrSubsampleRatio420)
			x.change(img)
			if err := Check(img, size[0], size[1]); (err == nil) != x.good {
				t.Errorf("%v, %s: %v", size, name, err)
			}
		}
	}
}
