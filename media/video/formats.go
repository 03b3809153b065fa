package video

import (
	"fmt"
	"slices"

	"github.com/herald-im/herald/media/h264"
)

// pixelFormat is a V4L2 format that can be read, and what reading it costs the board.
//
// The cost is in milliseconds of CPU for a picture of 1280×720 on one core of a small
// server, over what the encoder takes (about 5); on a board all of them are several
// times as much, and stand in the same relation. How much of the USB's bandwidth raw
// pictures take is not in it: what is too much for the USB, the camera offers at a low
// rate only, and that is.
type pixelFormat struct {
	fourcc string
	cost   float64
	unpack unpacker // nil: encoded
}

var pixelFormats = []pixelFormat{
	{"YU12", 0.1, unpackI420}, // is what encoders take: a copy out of the driver's memory
	{"YV12", 0.1, unpackYV12}, // the same, the other way round
	{"NV12", 0.4, unpackNV12}, // colours to be taken apart
	{"NV21", 0.4, unpackNV21},
	{"YUYV", 0.9, unpackYUYV}, // all of it to be taken apart, and half of the colours left out
	{"UYVY", 0.9, unpackUYVY},
	{"MJPG", jpegCost, nil}, // to be decoded, see newJPEG
	{"JPEG", jpegCost, nil},
	{h264FourCC, 0, nil}, // passes through, and saves the encoder: only where the user can take it
}

const h264FourCC = "H264"

// What it costs to get less than is wanted, in the same milliseconds.
const (
	// A size that is off by all of it. The size is what people see first: half of it
	// is worse than any rate.
	sizeCost = 400
	// A rate of nothing, one that falls clearly short (below clearlyShort of what is
	// wanted) in proportion: at least 20, more than any decoding. A typical UVC camera has
	// 1280×720 as YUYV at 10 pictures a second, and as MJPG at 30.
	clearlyShort = 0.8
	lackCost     = 100
)

func (f pixelFormat) code() uint32 { return fourcc(f.fourcc) }

// packed tells whether brightness and colours lie side by side, in 4:2:2.
func (f pixelFormat) packed() bool { return f.fourcc == "YUYV" || f.fourcc == "UYVY" }

func (f pixelFormat) isJPEG() bool { return f.fourcc == "MJPG" || f.fourcc == "JPEG" }

// formatOf is the format with this code that can be read.
func formatOf(code uint32) (pixelFormat, bool) {
	i := slices.IndexFunc(pixelFormats, func(f pixelFormat) bool { return f.code() == code })
	if i < 0 {
		return pixelFormat{}, false
	}
	return pixelFormats[i], true
}

func fourcc(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func fourccText(f uint32) string {
	b := []byte{byte(f), byte(f >> 8), byte(f >> 16), byte(f >> 24)}
	for i := range b {
		if b[i] < ' ' || b[i] > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}

// frameSize is a size that a camera has, or a range of them: width, height.
type frameSize struct{ least, most, step [2]uint32 }

// near is the size within it that is nearest to what is wanted.
func (s frameSize) near(want Format) (width, height uint32) {
	return fit(s.least[0], s.most[0], s.step[0], uint32(max(0, want.Width))), fit(s.least[1], s.most[1], s.step[1], uint32(max(0, want.Height)))
}

// fit is the length within a range that is nearest to what is wanted.
func fit(least, most, step, want uint32) uint32 {
	v := min(max(want, least), most)
	if step > 1 {
		v = least + (v-least)/step*step
	}
	return v
}

// choice is a format of a camera.
type choice struct {
	pixel         pixelFormat
	width, height uint32
	rate          float64 // the best that it has; 0: not known
}

// choose finds what costs the board least while it meets what is wanted, or misses
// it least. units: also what the camera encodes itself.
func choose(d driver, want Format, units bool) (best choice, err error) {
	has := d.Formats()
	found, bestCost := false, 0.0
	for _, f := range pixelFormats {
		if !slices.Contains(has, f.code()) || f.fourcc == h264FourCC && !units {
			continue
		}
		for _, s := range d.Sizes(f.code()) {
			c := choice{pixel: f}
			c.width, c.height = s.near(want)
			if f.fourcc == h264FourCC && h264.Macroblocks(c.width, c.height) > h264.MaxMacroblocks {
				continue // receivers need not take it
			}
			c.rate = bestRate(d.Rates(f.code(), c.width, c.height))
			if cost := c.cost(want); !found || cost < bestCost {
				found, bestCost, best = true, cost, c
			}
		}
	}
	if !found {
		var names []string
		for _, code := range has {
			names = append(names, fourccText(code))
		}
		slices.Sort(names)
		return best, fmt.Errorf("the camera has none of the formats that can be read, but %v", names)
	}
	return best, nil
}

// cost of a choice, see the constants.
func (c choice) cost(want Format) float64 {
	cost := c.pixel.cost
	if all := want.Width + want.Height; all > 0 {
		off := distance(int(c.width), want.Width) + distance(int(c.height), want.Height)
		cost += sizeCost * float64(off) / float64(all)
	}
	if c.rate > 0 && c.rate < want.Rate*clearlyShort {
		cost += lackCost * (1 - c.rate/want.Rate)
	}
	return cost
}

// distance is how far a length is off.
func distance(has, want int) int { return max(has-want, want-has) }

// bestRate is the most pictures a second; 0: not known.
func bestRate(rates []float64) (best float64) {
	for _, r := range rates {
		best = max(best, r)
	}
	return best
}

// encodesBest tells whether what a camera encodes itself is the best it has.
func encodesBest(d driver, want Format) bool {
	if !slices.Contains(d.Formats(), fourcc(h264FourCC)) {
		return false
	}
	c, err := choose(d, want, true)
	return err == nil && c.pixel.fourcc == h264FourCC
}

// hasPictures tells whether a camera gives anything but what it has encoded itself.
func hasPictures(d driver) bool {
	return slices.ContainsFunc(d.Formats(), func(code uint32) bool {
		f, ok := formatOf(code)
		return ok && f.fourcc != h264FourCC
	})
}

// describe lists what a camera has that can be read.
func describe(d driver) (out []string) {
	has := d.Formats()
	for _, f := range pixelFormats {
		if !slices.Contains(has, f.code()) {
			continue
		}
		for _, s := range d.Sizes(f.code()) {
			if len(out) >= maxFormats {
				return out
			}
			text := fmt.Sprintf("%s %d×%d", f.fourcc, s.most[0], s.most[1])
			if rate := bestRate(d.Rates(f.code(), s.most[0], s.most[1])); rate > 0 {
				text += fmt.Sprintf(" %.4g/s", rate)
			}
			out = append(out, text)
		}
	}
	return out
}
