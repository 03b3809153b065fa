package video

import (
	"fmt"
	"image"
)

// unpacker makes a 4:2:0 picture of one in memory, whose lines are stride bytes apart.
// buf is its memory, large enough; what the picture can use of data as it is, it does.
type unpacker func(data, buf []byte, width, height, stride int) (*image.YCbCr, error)

// planar is a 4:2:0 picture in buf; width and height are even.
func planar(buf []byte, width, height int) *image.YCbCr {
	y, c := width*height, width*height/4
	return &image.YCbCr{
		Y: buf[:y:y], Cb: buf[y : y+c : y+c], Cr: buf[y+c : y+2*c : y+2*c],
		YStride: width, CStride: width / 2, SubsampleRatio: image.YCbCrSubsampleRatio420, Rect: image.Rect(0, 0, width, height),
	}
}

// planarSize is how many bytes planar needs.
func planarSize(width, height int) int { return width * height * 3 / 2 }

// need refuses a picture that was cut short. The last line may lack its padding.
func need(data []byte, lines, stride, line int) error {
	if want := (lines-1)*stride + line; len(data) < want {
		return fmt.Errorf("%d bytes of a picture that has %d", len(data), want)
	}
	return nil
}

func unpackI420(data, _ []byte, width, height, stride int) (*image.YCbCr, error) {
	y, c := stride*height, stride/2*(height/2)
	if err := need(data, 1, 0, y+2*c-(stride-width)/2); err != nil {
		return nil, err
	}
	return &image.YCbCr{
		Y: data[:y], Cb: data[y : y+c], Cr: data[y+c : min(len(data), y+2*c)],
		YStride: stride, CStride: stride / 2, SubsampleRatio: image.YCbCrSubsampleRatio420, Rect: image.Rect(0, 0, width, height),
	}, nil
}

func unpackYV12(data, buf []byte, width, height, stride int) (*image.YCbCr, error) {
	img, err := unpackI420(data, buf, width, height, stride)
	if err != nil {
		return nil, err
	}
	img.Cb, img.Cr = img.Cr, img.Cb
	return img, nil
}

func unpackNV12(data, buf []byte, width, height, stride int) (*image.YCbCr, error) {
	if err := need(data, height+height/2, stride, width); err != nil {
		return nil, err
	}
	img := planar(buf, width, height)
	img.Y, img.YStride = data[:stride*height], stride // as it is
	for l := range height / 2 {
		from := data[stride*(height+l):][:width]
		cb, cr := img.Cb[l*img.CStride:][:width/2], img.Cr[l*img.CStride:][:width/2]
		for i := range cb {
			cb[i], cr[i] = from[2*i], from[2*i+1]
		}
	}
	return img, nil
}

func unpackNV21(data, buf []byte, width, height, stride int) (*image.YCbCr, error) {
	img, err := unpackNV12(data, buf, width, height, stride)
	if err != nil {
		return nil, err
	}
	img.Cb, img.Cr = img.Cr, img.Cb
	return img, nil
}

func unpackYUYV(data, buf []byte, width, height, stride int) (*image.YCbCr, error) {
	return unpack422(data, buf, width, height, stride, 0)
}

func unpackUYVY(data, buf []byte, width, height, stride int) (*image.YCbCr, error) {
	return unpack422(data, buf, width, height, stride, 1)
}

// unpack422 takes packed 4:2:2 apart, two pixels in four bytes, Y being at offset y of
// each two. The colours of two lines become their mean.
func unpack422(data, buf []byte, width, height, stride, y int) (*image.YCbCr, error) {
	if err := need(data, height, stride, 2*width); err != nil {
		return nil, err
	}
	img := planar(buf, width, height)
	c := 1 - y
	for l := 0; l < height; l += 2 {
		upper, lower := data[l*stride:][:2*width], data[(l+1)*stride:][:2*width]
		y0, y1 := img.Y[l*width:][:width], img.Y[(l+1)*width:][:width]
		cb, cr := img.Cb[l/2*img.CStride:][:width/2], img.Cr[l/2*img.CStride:][:width/2]
		for i := range cb {
			u, v := upper[4*i:][:4], lower[4*i:][:4]
			a, b := y0[2*i:][:2], y1[2*i:][:2]
			a[0], a[1] = u[y], u[y+2]
			b[0], b[1] = v[y], v[y+2]
			cb[i] = byte((int(u[c]) + int(v[c]) + 1) / 2)
			cr[i] = byte((int(u[c+2]) + int(v[c+2]) + 1) / 2)
		}
	}
	return img, nil
}
