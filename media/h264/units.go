package h264

import (
	"bytes"
	"errors"
	"fmt"
)

// Unit is an access unit of H264 that a camera has encoded: Annex B, with SPS and PPS
// before each IDR. What the camera gave stands in it as it gave it. It is not changed
// any more, and may be kept.
type Unit struct {
	Data []byte
	Key  bool
}

// ErrUnfit is returned where what a camera has encoded cannot be sent on as it is.
var ErrUnfit = errors.New("the H264 of the camera cannot be passed on")

// ErrDamaged is returned for an access unit that is left out.
var ErrDamaged = errors.New("a damaged H264 picture")

// Bounds of what is taken from a camera.
const (
	maxUnit        = 4 << 20 // bytes of an access unit
	maxNALs        = 512     // NAL units of one
	maxParameters  = 1 << 10 // bytes of an SPS or PPS
	maxSPS, maxPPS = 8, 32   // that are kept
)

// MaxMacroblocks is of a picture in level 3.1: 1280×720.
const MaxMacroblocks = 3600

// Macroblocks of a picture.
func Macroblocks(width, height uint32) uint32 { return (width + 15) / 16 * ((height + 15) / 16) }

// Units makes Units of the buffers that a camera gives: it looks whether they may pass,
// keeps the parameter sets, and puts them before each IDR that lacks them. It belongs to
// one goroutine.
type Units struct {
	most     uint32 // macroblocks
	sps, pps []parameters
	waits    bool // for an IDR: what comes before cannot be decoded
}

// parameters is a parameter set that is kept.
type parameters struct {
	id  uint32
	nal []byte
}

// NewUnits makes a reader for a stream of which pictures of a size in pixels are to be sent.
func NewUnits(width, height int) *Units {
	return &Units{waits: true, most: max(MaxMacroblocks, Macroblocks(uint32(max(0, width)), uint32(max(0, height))))}
}

// Waits tells whether an IDR is needed before anything can be passed on.
func (u *Units) Waits() bool { return u.waits }

// Lost says that something of the stream is missing here: nothing is passed on before
// the next IDR.
func (u *Units) Lost() { u.waits = true }

// Read makes a unit of a buffer, which holds one access unit or parameter sets; nil: there
// is none in it that could be decoded. Errors: ErrUnfit; others, for a buffer that is left
// out.
func (u *Units) Read(buf []byte) (*Unit, error) {
	a, err := u.look(buf)
	if err != nil {
		u.waits = true
		return nil, err
	}
	switch {
	case !a.idr && !a.slice:
		return nil, nil
	case a.idr && (!a.sps && len(u.sps) == 0 || !a.pps && len(u.pps) == 0):
		u.waits = true // nothing to decode it with
		return nil, nil
	case a.idr:
		u.waits = false
		return &Unit{Data: u.complete(buf, a), Key: true}, nil
	case u.waits:
		return nil, nil
	}
	return &Unit{Data: bytes.Clone(buf)}, nil
}

// access is what is in an access unit.
type access struct{ idr, slice, sps, pps bool }

// look goes through an access unit.
func (u *Units) look(buf []byte) (a access, err error) {
	if len(buf) > maxUnit {
		return a, fmt.Errorf("%w: %d bytes", ErrDamaged, len(buf))
	}
	count, pictures := 0, 0
	for from, nal := range NALs(buf) {
		if count == 0 && len(bytes.Trim(buf[:from], "\x00")) > 0 {
			return a, fmt.Errorf("%w: it begins with something else", ErrDamaged)
		}
		if count++; count > maxNALs {
			return a, fmt.Errorf("%w: more than %d NAL units", ErrDamaged, maxNALs)
		}
		if len(nal) < 2 && nal[0]&0x1f != 10 && nal[0]&0x1f != 11 || nal[0]&0x80 != 0 {
			return a, fmt.Errorf("%w: a NAL unit of nothing", ErrDamaged)
		}
		switch kind := nal[0] & 0x1f; kind {
		case Slice, IDR:
			first, err := slice(nal)
			if err != nil {
				return a, err
			}
			if first {
				pictures++
			}
			a.idr, a.slice = a.idr || kind == IDR, a.slice || kind == Slice
		case SPS:
			a.sps = true
			if err := u.keepSPS(nal); err != nil {
				return a, err
			}
		case PPS:
			a.pps = true
			if err := u.keepPPS(nal); err != nil {
				return a, err
			}
		case 2, 3, 4, 14, 15, 19, 20, 21:
			return a, fmt.Errorf("%w: it has parts of extended, scalable or stereo profiles (NAL type %d)", ErrUnfit, kind)
		case SEI, Delimiter, 10, 11, Filler, 13:
		default:
			return a, fmt.Errorf("%w: NAL type %d", ErrDamaged, kind)
		}
	}
	switch {
	case count == 0:
		return a, fmt.Errorf("%w: no NAL unit in %d bytes", ErrDamaged, len(buf))
	case a.idr && a.slice, (a.idr || a.slice) && pictures == 0:
		return a, fmt.Errorf("%w: slices that do not belong together", ErrDamaged)
	case pictures > 1:
		return a, fmt.Errorf("%w: %d pictures in one buffer", ErrUnfit, pictures)
	}
	return a, nil
}

// slice looks at a slice's header (§7.3.3): whether it is the first one of a picture.
func slice(nal []byte) (first bool, err error) {
	b := &bits{data: payload(nal, 16)}
	at, kind, set := b.ue(), b.ue(), b.ue()
	switch {
	case b.bad || kind > 9 || set > 255:
		return false, fmt.Errorf("%w: a slice's header", ErrDamaged)
	case kind%5 != 0 && kind%5 != 2: // neither P nor I
		return false, fmt.Errorf("%w: it has slices of type %d (B, or of the extended profile)", ErrUnfit, kind%5)
	}
	return at == 0, nil
}

func (u *Units) keepSPS(nal []byte) error {
	s, err := parseSPS(nal)
	if err != nil || len(nal) > maxParameters {
		return fmt.Errorf("%w: %w", ErrDamaged, errParameters)
	}
	if err := s.unfit(u.most); err != nil {
		return fmt.Errorf("%w: it has %w", ErrUnfit, err)
	}
	return keep(&u.sps, maxSPS, s.id, nal)
}

func (u *Units) keepPPS(nal []byte) error {
	p, groups, err := parsePPS(nal)
	if err != nil || len(nal) > maxParameters {
		return fmt.Errorf("%w: %w", ErrDamaged, errParameters)
	}
	if groups {
		return fmt.Errorf("%w: it has slice groups", ErrUnfit)
	}
	return keep(&u.pps, maxPPS, p.id, nal)
}

// keep keeps the newest parameter set with an id.
func keep(in *[]parameters, most int, id uint32, nal []byte) error {
	for i, p := range *in {
		if p.id == id {
			if !bytes.Equal(p.nal, nal) {
				(*in)[i].nal = bytes.Clone(nal)
			}
			return nil
		}
	}
	if len(*in) == most {
		return fmt.Errorf("%w: it has more than %d parameter sets", ErrUnfit, most)
	}
	*in = append(*in, parameters{id, bytes.Clone(nal)})
	return nil
}

// complete copies an IDR, and puts in what it lacks: behind an access unit delimiter,
// which must be the first (§7.4.1.2.3), the SPS, and the PPS behind those that are there.
func (u *Units) complete(buf []byte, a access) []byte {
	if a.sps && a.pps {
		return bytes.Clone(buf)
	}
	size := len(buf)
	for _, set := range [][]parameters{u.sps, u.pps} {
		for _, p := range set {
			size += len(StartCode) + len(p.nal)
		}
	}
	out := make([]byte, 0, size)
	done := 0
	needSPS, needPPS := !a.sps, !a.pps
	for from, nal := range NALs(buf) {
		kind := nal[0] & 0x1f
		if kind == Delimiter {
			continue
		}
		if needSPS {
			out, done = append(out, buf[done:from]...), from
			out, needSPS = insert(out, u.sps), false
		}
		if needPPS && kind != SPS {
			out, done = append(out, buf[done:from]...), from
			out, needPPS = insert(out, u.pps), false
		}
		if !needSPS && !needPPS {
			break
		}
	}
	return append(out, buf[done:]...)
}

func insert(out []byte, set []parameters) []byte {
	for _, p := range set {
		out = append(append(out, StartCode...), p.nal...)
	}
	return out
}
