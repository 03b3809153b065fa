// Package h264 is what the board has to do with H264 (Rec. ITU-T H.264): it encodes pictures, with OpenH264, and looks at the
// streams of cameras that encode by themselves, which others are to decode.
package h264

import "bytes"

// Types of NAL units (table 7-1).
const (
	Slice     = 1
	IDR       = 5
	SEI       = 6
	SPS       = 7
	PPS       = 8
	Delimiter = 9
	Filler    = 12
)

// StartCode is before a NAL unit in a byte stream (annex B), in its long form. shortCode is the least that there is.
const (
	StartCode = "\x00\x00\x00\x01"
	shortCode = "\x00\x00\x01"
)

// NALs gives the NAL units of a byte stream (annex B), and where the start code of
// each begins.
func NALs(buf []byte) func(yield func(from int, nal []byte) bool) {
	return func(yield func(int, []byte) bool) {
		from := bytes.Index(buf, []byte(shortCode))
		for from >= 0 {
			begin := from + len(shortCode)
			end, next := len(buf), -1
			if i := bytes.Index(buf[begin:], []byte(shortCode)); i >= 0 {
				end, next = begin+i, begin+i
			}
			if from > 0 && buf[from-1] == 0 {
				from-- // the long form
			}
			nal := bytes.TrimRight(buf[begin:end], "\x00")
			if len(nal) == 0 {
				nal = buf[begin:end]
			}
			if len(nal) > 0 && !yield(from, nal) {
				return
			}
			from = next
		}
	}
}

// StartsWithIDR tells whether a picture can be decoded without others before it.
func StartsWithIDR(data []byte) bool {
	for _, nal := range NALs(data) {
		switch nal[0] & 0x1f {
		case IDR:
			return true
		case Slice:
			return false
		}
	}
	return false
}
