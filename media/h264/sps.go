package h264

import (
	"errors"
	"fmt"
)

// What H.264's parameter sets say (Rec. ITU-T H.264 §7.3.2, E.1.1). Only what decides
// whether a stream may pass is kept.

// sps is a sequence parameter set.
type sps struct {
	id                       uint32
	profile                  uint32 // profile_idc
	chroma                   uint32 // chroma_format_idc; 1: 4:2:0
	depth                    uint32 // bits of the deepest plane
	frames                   bool   // frame_mbs_only_flag: not interlaced
	width, height            uint32 // in macroblocks
	reorder                  uint32 // max_num_reorder_frames, if it says so
	separatePlanes, lossless bool
}

// bits reads a bit string. After its end it gives zeros and is bad.
type bits struct {
	data []byte
	at   int // bit
	bad  bool
}

func (b *bits) bit() uint32 {
	i := b.at >> 3
	if i >= len(b.data) {
		b.bad = true
		return 0
	}
	v := b.data[i] >> (7 - b.at&7) & 1
	b.at++
	return uint32(v)
}

func (b *bits) flag() bool { return b.bit() == 1 }

func (b *bits) u(n int) (v uint32) {
	for range n {
		v = v<<1 | b.bit()
	}
	return v
}

// ue reads an unsigned Exp-Golomb code (§9.1).
func (b *bits) ue() uint32 {
	zeros := 0
	for b.bit() == 0 {
		if zeros++; zeros > 31 || b.bad {
			b.bad = true
			return 0
		}
	}
	return 1<<zeros - 1 + b.u(zeros)
}

func (b *bits) se() int32 {
	v := b.ue()
	if v&1 == 1 {
		return int32(v/2 + 1)
	}
	return -int32(v / 2)
}

// payload is what a NAL unit carries behind its header, without the bytes that keep
// start codes out of it (§7.4.1), and at most so many bytes.
func payload(nal []byte, most int) []byte {
	out := make([]byte, 0, min(len(nal), most))
	zeros := 0
	for _, b := range nal[min(1, len(nal)):] {
		if len(out) == most {
			break
		}
		if zeros >= 2 && b == 3 {
			zeros = 0
			continue
		}
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
		out = append(out, b)
	}
	return out
}

var errParameters = errors.New("parameter sets that make no sense")

// parseSPS reads a sequence parameter set, header and all.
func parseSPS(nal []byte) (s sps, err error) {
	b := &bits{data: payload(nal, maxParameters)}
	s.profile = b.u(8)
	b.u(16) // constraints, level
	s.id = b.ue()
	s.chroma, s.depth = 1, 8
	switch s.profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		if s.chroma = b.ue(); s.chroma == 3 {
			s.separatePlanes = b.flag()
		}
		s.depth = 8 + max(b.ue(), b.ue())
		s.lossless = b.flag()
		if b.flag() { // scaling matrix
			lists := 8
			if s.chroma == 3 {
				lists = 12
			}
			for i := range lists {
				if b.flag() {
					b.scalingList(16 + 48*min(1, i/6))
				}
			}
		}
	}
	b.ue() // log2_max_frame_num_minus4
	switch b.ue() {
	case 0:
		b.ue()
	case 1:
		b.bit()
		b.se()
		b.se()
		for range min(b.ue(), 255) {
			b.se()
		}
	}
	b.ue() // max_num_ref_frames
	b.bit()
	s.width = b.ue() + 1
	s.height = b.ue() + 1
	if s.frames = b.flag(); !s.frames {
		s.height *= 2
		b.bit()
	}
	b.bit()
	if b.flag() { // cropping
		for range 4 {
			b.ue()
		}
	}
	if b.flag() {
		s.reorder = b.vui()
	}
	if b.bad || s.id > 31 || s.width > 1<<10 || s.height > 1<<10 {
		return s, errParameters
	}
	return s, nil
}

func (b *bits) scalingList(size int) {
	last, next := int32(8), int32(8)
	for range size {
		if next != 0 {
			next = (last + b.se() + 256) % 256
		}
		if next != 0 {
			last = next
		}
	}
}

// vui reads what there is on how to show the pictures, and gives max_num_reorder_frames.
func (b *bits) vui() (reorder uint32) {
	if b.flag() && b.u(8) == 255 { // aspect ratio, and an extended one
		b.u(32)
	}
	if b.flag() { // overscan
		b.bit()
	}
	if b.flag() { // video signal type
		b.u(4)
		if b.flag() {
			b.u(24)
		}
	}
	if b.flag() { // where the chroma samples lie
		b.ue()
		b.ue()
	}
	if b.flag() { // timing
		b.u(32)
		b.u(32)
		b.bit()
	}
	nal := b.flag()
	if nal {
		b.hrd()
	}
	vcl := b.flag()
	if vcl {
		b.hrd()
	}
	if nal || vcl {
		b.bit()
	}
	b.bit()       // pic_struct
	if b.flag() { // bitstream restriction
		b.bit()
		for range 4 {
			b.ue()
		}
		return b.ue()
	}
	return 0
}

func (b *bits) hrd() {
	count := min(b.ue(), 31)
	b.u(8)
	for range count + 1 {
		b.ue()
		b.ue()
		b.bit()
	}
	b.u(20)
}

// Profiles (§A.2).
const (
	profileBaseline = 66
	profileMain     = 77
	profileHigh     = 100
)

// unfit says why a stream may not pass; nil: it may.
//
// The offer says 42e01f. Constrained baseline is what all receivers take; plain baseline
// without slice groups is the same. Main and high go beyond it, but every browser
// decodes them whatever was negotiated, as long as there is nothing to be reordered or
// interlaced; and what would be the alternative is that a small board decodes and
// encodes each picture. A camera that can be told to give constrained baseline is told so.
// What is larger than level 3.1 or than what the board is to send anyway, is not passed.
func (s sps) unfit(most uint32) error {
	switch {
	case s.profile != profileBaseline && s.profile != profileMain && s.profile != profileHigh:
		return fmt.Errorf("profile %d", s.profile)
	case s.chroma != 1 || s.depth != 8 || s.separatePlanes || s.lossless:
		return errors.New("another format of pixels than 4:2:0 with 8 bits")
	case !s.frames:
		return errors.New("interlaced pictures")
	case s.reorder > 0:
		return errors.New("pictures that are to be reordered (B)")
	case s.width*s.height > most:
		return fmt.Errorf("%d×%d macroblocks", s.width, s.height)
	}
	return nil
}

// pps is a picture parameter set.
type pps struct{ id, sps uint32 }

// parsePPS reads the beginning of a picture parameter set. The error tells what may
// not pass, too.
func parsePPS(nal []byte) (p pps, groups bool, err error) {
	b := &bits{data: payload(nal, 32)}
	p = pps{id: b.ue(), sps: b.ue()}
	b.u(2)
	groups = b.ue() > 0 // num_slice_groups_minus1: flexible macroblock ordering
	if b.bad || p.id > 255 || p.sps > 31 {
		return p, false, errParameters
	}
	return p, groups, nil
}
