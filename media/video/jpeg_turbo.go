//go:build turbojpeg

package video

// #cgo pkg-config: libturbojpeg
// #include <string.h>
// #include <turbojpeg.h>
//
// // Cheap cameras put some bytes too many before a marker, in each picture. It is complete, and libjpeg warns, which is
// // an error here; of several warnings its text is the first one. What it says belongs to the thread.
// static int herald_jpeg_decode(tjhandle h, const unsigned char *data, unsigned long size,
// 		unsigned char *y, unsigned char *cb, unsigned char *cr, int width, int ystride, int cstride, int height, int flags) {
// 	unsigned char *planes[3] = {y, cb, cr};
// 	int strides[3] = {ystride, cstride, cstride};
// 	if (tjDecompressToYUVPlanes(h, data, size, planes, width, strides, height, flags) == 0)
// 		return 0;
// 	return !(tjGetErrorCode(h) == TJERR_WARNING && strstr(tjGetErrorStr2(h), "extraneous bytes before marker"));
// }
import "C"

import (
	"errors"
	"fmt"
	"image"
	"unsafe"
)

// jpegCost is what it costs to decode a JPEG of 1280×720, see pixelFormat.
const jpegCost = 3

// newJPEG makes a decoder that is libjpeg-turbo's, straight to the planes that the
// picture has.
func newJPEG() (jpegDecoder, error) {
	d := new(turboJPEG)
	return d, d.open()
}

type turboJPEG struct {
	handle C.tjhandle
	free   pool
}

func (d *turboJPEG) open() error {
	if d.handle = C.tjInitDecompress(); d.handle == nil {
		return errors.New("make a JPEG decoder: " + C.GoString(C.tjGetErrorStr2(nil)))
	}
	return nil
}

// fail says what was wrong with a JPEG. The handle is made anew: after some errors it
// reads no other one.
func (d *turboJPEG) fail(what string) error {
	err := fmt.Errorf("%s: %s", what, C.GoString(C.tjGetErrorStr2(d.handle)))
	d.close()
	return errors.Join(err, d.open())
}

func (d *turboJPEG) decode(data []byte, maxWidth, maxHeight int) (*image.YCbCr, func(), error) {
	if len(data) == 0 || d.handle == nil {
		return nil, nil, errors.New("no data, or no decoder")
	}
	from, size := (*C.uchar)(unsafe.Pointer(unsafe.SliceData(data))), C.ulong(len(data))
	var w, h, sub, space C.int
	if C.tjDecompressHeader3(d.handle, from, size, &w, &h, &sub, &space) != 0 {
		return nil, nil, d.fail("read a JPEG's header")
	}
	width, height := int(w), int(h)
	if width > maxWidth || height > maxHeight {
		return nil, nil, errTooLarge(width, height, maxWidth, maxHeight)
	}
	var ratio image.YCbCrSubsampleRatio
	cw, ch := width, height
	switch sub {
	case C.TJSAMP_420:
		ratio, cw, ch = image.YCbCrSubsampleRatio420, (width+1)/2, (height+1)/2
	case C.TJSAMP_422:
		ratio, cw = image.YCbCrSubsampleRatio422, (width+1)/2
	case C.TJSAMP_444:
		ratio = image.YCbCrSubsampleRatio444
	default:
		return nil, nil, fmt.Errorf("a picture with subsampling %d", sub)
	}
	if space != C.TJCS_YCbCr {
		return nil, nil, fmt.Errorf("a picture in colour space %d", space)
	}
	// A plane is padded to whole chroma samples.
	padW, padH := width, height
	if ratio != image.YCbCrSubsampleRatio444 {
		padW += width & 1
	}
	if ratio == image.YCbCrSubsampleRatio420 {
		padH += height & 1
	}
	y, c := padW*padH, cw*ch
	buf := d.free.get(y + 2*c)
	b := *buf
	img := &image.YCbCr{
		Y: b[:y:y], Cb: b[y : y+c : y+c], Cr: b[y+c:], YStride: padW, CStride: cw, SubsampleRatio: ratio, Rect: image.Rect(0, 0, width, height),
	}
	if C.herald_jpeg_decode(d.handle, from, size, ptr(img.Y), ptr(img.Cb), ptr(img.Cr),
		w, C.int(padW), C.int(cw), h, C.TJFLAG_LIMITSCANS|C.TJFLAG_FASTDCT) != 0 {
		d.free.put(buf)
		return nil, nil, d.fail("decode a JPEG")
	}
	return img, func() { d.free.put(buf) }, nil
}

func ptr(b []byte) *C.uchar { return (*C.uchar)(unsafe.Pointer(unsafe.SliceData(b))) }

func (d *turboJPEG) close() {
	if d.handle != nil {
		C.tjDestroy(d.handle)
		d.handle = nil
	}
}
