package video

import (
	"encoding/binary"
	"fmt"
	"image"
)

// unpacker writes a picture that the driver has in its memory, with lines stride bytes
// apart, to one in 4:2:0 of even size.
//
// Nothing of the driver's memory stays in it, and it is read once, in long pieces: that
// of some CSI receivers is not cached, where each byte that is read by itself costs as
// much as a whole line of the cache.
type unpacker func(to *image.YCbCr, data []byte, stride int) error

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

// copyLines copies a plane.
func copyLines(to, from []byte, width, lines, stride int) {
	if stride == width {
		copy(to, from[:width*lines])
		return
	}
	for l := range lines {
		copy(to[l*width:][:width], from[l*stride:])
	}
}

func unpackI420(to *image.YCbCr, data []byte, stride int) error {
	width, height := to.Rect.Dx(), to.Rect.Dy()
	y, c := stride*height, stride/2*(height/2)
	if err := need(data, 1, 0, y+2*c-(stride-width)/2); err != nil {
		return err
	}
	copyLines(to.Y, data, width, height, stride)
	copyLines(to.Cb, data[y:], width/2, height/2, stride/2)
	copyLines(to.Cr, data[y+c:], width/2, height/2, stride/2)
	return nil
}

func unpackYV12(to *image.YCbCr, data []byte, stride int) error {
	return unpackI420(swapped(to), data, stride)
}

func unpackNV12(to *image.YCbCr, data []byte, stride int) error {
	width, height := to.Rect.Dx(), to.Rect.Dy()
	if err := need(data, height+height/2, stride, width); err != nil {
		return err
	}
	copyLines(to.Y, data, width, height, stride)
	line := make([]byte, width)
	for l := range height / 2 {
		copy(line, data[stride*(height+l):])
		cb, cr := to.Cb[l*to.CStride:][:width/2], to.Cr[l*to.CStride:][:width/2]
		for i := range cb {
			cb[i], cr[i] = line[2*i], line[2*i+1]
		}
	}
	return nil
}

func unpackNV21(to *image.YCbCr, data []byte, stride int) error {
	return unpackNV12(swapped(to), data, stride)
}

// swapped is a picture with its colours the other way round.
func swapped(img *image.YCbCr) *image.YCbCr {
	s := *img
	s.Cb, s.Cr = img.Cr, img.Cb
	return &s
}

func unpackYUYV(to *image.YCbCr, data []byte, stride int) error {
	return unpack422(to, data, stride, 0)
}

func unpackUYVY(to *image.YCbCr, data []byte, stride int) error {
	return unpack422(to, data, stride, 8)
}

// Each of four numbers in 64 bits.
const (
	lows = 0x00ff00ff00ff00ff
	ones = 0x0001000100010001
)

// unpack422 takes packed 4:2:2 apart, two pixels in four bytes, the brightness being in
// the bits of each 16 from luma on. The colours of two lines become their mean.
func unpack422(to *image.YCbCr, data []byte, stride int, luma uint) error {
	width, height := to.Rect.Dx(), to.Rect.Dy()
	if err := need(data, height, stride, 2*width); err != nil {
		return err
	}
	lines := make([]byte, 4*width)
	upper, lower := lines[:2*width], lines[2*width:]
	chroma := 8 - luma
	for l := 0; l < height; l += 2 {
		copy(upper, data[l*stride:])
		copy(lower, data[(l+1)*stride:])
		y0, y1 := to.Y[l*width:][:width], to.Y[(l+1)*width:][:width]
		cb, cr := to.Cb[l/2*to.CStride:][:width/2], to.Cr[l/2*to.CStride:][:width/2]
		i := 0
		for ; i+4 <= width; i += 4 { // four pixels of both lines
			u, v := binary.LittleEndian.Uint64(upper[2*i:]), binary.LittleEndian.Uint64(lower[2*i:])
			binary.LittleEndian.PutUint32(y0[i:], pack(u>>luma&lows))
			binary.LittleEndian.PutUint32(y1[i:], pack(v>>luma&lows))
			c := (u>>chroma&lows + v>>chroma&lows + ones) >> 1 // Cb, Cr, Cb, Cr
			binary.LittleEndian.PutUint16(cb[i/2:], uint16(c&0xff|c>>24&0xff00))
			binary.LittleEndian.PutUint16(cr[i/2:], uint16(c>>16&0xff|c>>40&0xff00))
		}
		for ; i < width; i += 2 { // what is left, at the end of the line
			y, c := luma/8, chroma/8
			y0[i], y0[i+1] = upper[2*uint(i)+y], upper[2*uint(i)+y+2]
			y1[i], y1[i+1] = lower[2*uint(i)+y], lower[2*uint(i)+y+2]
			cb[i/2] = byte((int(upper[2*uint(i)+c]) + int(lower[2*uint(i)+c]) + 1) / 2)
			cr[i/2] = byte((int(upper[2*uint(i)+c+2]) + int(lower[2*uint(i)+c+2]) + 1) / 2)
		}
	}
	return nil
}

// pack takes the low bytes of four numbers.
func pack(v uint64) uint32 {
	v = (v | v>>8) & 0x0000ffff0000ffff
	return uint32(v | v>>16)
}
