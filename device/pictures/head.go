package pictures

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // the kinds that image.Decode knows
	"io"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/webp"
)

// head is what a picture says of itself before it is decoded.
type head struct {
	width, height int
	perPixel      float64 // bytes that decoding takes
	orientation   int     // 1 to 8, see turn
}

// seen are the sides as people see them.
func (h head) seen() (width, height uint32) {
	if h.orientation >= 5 {
		return uint32(h.height), uint32(h.width)
	}
	return uint32(h.width), uint32(h.height)
}

func (h head) pixels() int64 { return int64(h.width) * int64(h.height) }
func (h head) memory() int64 { return int64(float64(h.pixels()) * h.perPixel) }

// maxSide is the longest side that is believed: the product of two stays within
// 64 bits by far, and no camera has more.
const maxSide = 1 << 20

// readHead reads the head from the reader's beginning.
func readHead(r io.ReadSeeker) (h head, err error) {
	defer func() {
		if p := recover(); p != nil { // see decode
			err = fmt.Errorf("read a picture's head: panic: %v", p)
		}
	}()
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return h, fmt.Errorf("read a picture: %w", err)
	}
	c, kind, err := image.DecodeConfig(r)
	if err != nil {
		return h, fmt.Errorf("read a picture's head: %w", err)
	}
	if c.Width < 1 || c.Height < 1 || c.Width > maxSide || c.Height > maxSide {
		return h, fmt.Errorf("the picture has %d × %d pixels", c.Width, c.Height)
	}
	h = head{width: c.Width, height: c.Height, perPixel: bytesOf(c.ColorModel), orientation: 1}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return h, fmt.Errorf("read a picture: %w", err)
	}
	switch kind {
	case "jpeg":
		h.readJPEG(bufio.NewReader(r))
	case "png":
		h.readPNG(bufio.NewReader(r))
	case "webp":
		// Without loss it is decoded through a second buffer of its size.
		h.perPixel *= 2
		h.readRIFF(bufio.NewReader(r))
	}
	return h, nil
}

// bytesOf is what a pixel takes in the memory of Go's decoders.
func bytesOf(m color.Model) float64 {
	if _, palette := m.(color.Palette); palette {
		return 1
	}
	switch m {
	case color.GrayModel:
		return 1
	case color.Gray16Model:
		return 2
	case color.YCbCrModel:
		return 3
	case color.RGBA64Model, color.NRGBA64Model:
		return 8
	}
	return 4
}

// readJPEG goes over the segments before the picture itself (ITU T.81 annex B):
// the frame's says how it is coded, and one of EXIF how the camera was held.
func (h *head) readJPEG(r *bufio.Reader) {
	if _, err := r.Discard(2); err != nil {
		return
	}
	for {
		var b [4]byte
		if _, err := io.ReadFull(r, b[:2]); err != nil || b[0] != 0xff {
			return
		}
		for b[1] == 0xff { // filling
			var err error
			if b[1], err = r.ReadByte(); err != nil {
				return
			}
		}
		if b[1] == 0x01 || b[1] >= 0xd0 && b[1] <= 0xd7 {
			continue // has no length
		}
		if _, err := io.ReadFull(r, b[2:]); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint16(b[2:])) - 2
		if size < 0 || b[1] == 0xda || b[1] == 0xd9 {
			return
		}
		switch b[1] {
		case 0xc0, 0xc1, 0xc2:
			frame := make([]byte, size)
			if _, err := io.ReadFull(r, frame); err != nil {
				return
			}
			h.perPixel = jpegBytes(frame, b[1] == 0xc2)
		case 0xe1:
			segment := make([]byte, size)
			if _, err := io.ReadFull(r, segment); err != nil {
				return
			}
			if exif, ok := bytes.CutPrefix(segment, []byte("Exif\x00\x00")); ok {
				h.orientation = orientationOf(exif)
			}
		default:
			if _, err := r.Discard(size); err != nil {
				return
			}
		}
	}
}

// jpegBytes is what a pixel takes: a byte for each sample, and where the picture
// comes in passes (progressive) 4 more, as all coefficients are kept until the last.
func jpegBytes(frame []byte, progressive bool) float64 {
	const most = 3 + 4*3
	if len(frame) < 6 || len(frame) < 6+3*int(frame[5]) {
		return most
	}
	samples, wide, high := 0, 1, 1
	for i := range int(frame[5]) {
		f := frame[6+3*i+1]
		across, down := int(f>>4), int(f&15)
		samples += across * down
		wide, high = max(wide, across), max(high, down)
	}
	each := float64(samples) / float64(wide*high)
	if frame[5] == 4 {
		each += 4 // CMYK is put together in a picture of its own
	}
	if progressive {
		each *= 5
	}
	return each
}

// readPNG goes over the chunks before the picture itself (PNG 3rd edition §5).
func (h *head) readPNG(r *bufio.Reader) {
	if _, err := r.Discard(8); err != nil {
		return
	}
	for {
		var b [8]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return
		}
		size, kind := int64(binary.BigEndian.Uint32(b[:])), string(b[4:])
		switch {
		case kind == "IDAT" || kind == "IEND":
			return
		case kind == "IHDR" && size == 13:
			var ihdr [13 + 4]byte
			if _, err := io.ReadFull(r, ihdr[:]); err != nil {
				return
			}
			if ihdr[12] == 1 { // Adam7: the passes are pictures of their own
				h.perPixel *= 1.5
			}
			continue
		case kind == "eXIf" && size <= 1<<16:
			exif := make([]byte, size)
			if _, err := io.ReadFull(r, exif); err != nil {
				return
			}
			h.orientation = orientationOf(exif)
			size = 0
		}
		if _, err := io.CopyN(io.Discard, r, size+4); err != nil {
			return
		}
	}
}

// readRIFF goes over the chunks of a WebP picture (RFC 9649 §2); EXIF comes last.
func (h *head) readRIFF(r *bufio.Reader) {
	if _, err := r.Discard(12); err != nil {
		return
	}
	for {
		var b [8]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return
		}
		size := int64(binary.LittleEndian.Uint32(b[4:]))
		if string(b[:4]) == "EXIF" && size <= 1<<16 {
			exif := make([]byte, size)
			if _, err := io.ReadFull(r, exif); err != nil {
				return
			}
			h.orientation = orientationOf(bytes.TrimPrefix(exif, []byte("Exif\x00\x00")))
			return
		}
		if _, err := io.CopyN(io.Discard, r, size+size&1); err != nil {
			return
		}
	}
}

// orientationOf finds tag 0x0112 in the first directory of EXIF data, which is
// TIFF (TIFF 6.0 §2); 1 if there is none that is valid.
func orientationOf(b []byte) int {
	const (
		tag      = 0x0112
		short    = 3
		maxEntry = 512
	)
	var order binary.ByteOrder = binary.BigEndian
	switch {
	case bytes.HasPrefix(b, []byte("II*\x00")):
		order = binary.LittleEndian
	case !bytes.HasPrefix(b, []byte("MM\x00*")):
		return 1
	}
	if len(b) < 8 {
		return 1
	}
	at := int64(order.Uint32(b[4:]))
	if at < 8 || at+2 > int64(len(b)) {
		return 1
	}
	entries := int(order.Uint16(b[at:]))
	b = b[at+2:]
	for range min(entries, maxEntry) {
		if len(b) < 12 {
			return 1
		}
		if order.Uint16(b) == tag && order.Uint16(b[2:]) == short && order.Uint32(b[4:]) == 1 {
			if v := order.Uint16(b[8:]); v >= 1 && v <= 8 {
				return int(v)
			}
			return 1
		}
		b = b[12:]
	}
	return 1
}
