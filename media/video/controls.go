package video

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Settings are controls of a camera by name, such as brightness or
// power_line_frequency, and what they are set to: a number, 0 or 1 of a switch, the
// number of a menu's entry.
type Settings map[string]int64

// Control is what can be set of a camera.
type Control struct {
	Name           string // as Settings call it
	Min, Max, Step int64
	Default, Value int64
	Menu           []MenuEntry // what the values mean, where they are not numbers
}

// MenuEntry is a value that a Control can have.
type MenuEntry struct {
	Value int64
	Name  string
}

// control is one as the driver sees it.
type control struct {
	id, kind, flags uint32
	Control
}

// Kinds of controls (V4L2_CTRL_TYPE_…). Others than these are not set.
const (
	kindNumber  = 1
	kindSwitch  = 2
	kindMenu    = 3
	kindButton  = 4
	kindBits    = 8
	kindNumbers = 9 // a menu of numbers
)

// Flags of controls (V4L2_CTRL_FLAG_…).
const (
	controlDisabled = 0x0001
	controlReadOnly = 0x0004
)

// Controls of the encoder of a camera that has one (V4L2_CID_MPEG_VIDEO_…).
const (
	codecControls  = 0x00990900
	ctlBFrames     = codecControls + 202
	ctlBitrate     = codecControls + 207
	ctlRepeat      = codecControls + 226 // SPS and PPS before each IDR
	ctlForceKey    = codecControls + 229
	ctlH264Level   = codecControls + 359
	ctlH264Profile = codecControls + 363

	levelOf31           = 9
	constrainedBaseline = 1
)

func (c control) settable() bool {
	if c.flags&(controlDisabled|controlReadOnly) != 0 {
		return false
	}
	switch c.kind {
	case kindNumber, kindSwitch, kindMenu, kindButton, kindBits, kindNumbers:
		return true
	}
	return false
}

// controlName makes "power_line_frequency" of "Power Line Frequency".
func controlName(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	return strings.Join(words, "_")
}

// Controls lists what can be set of a camera, with what it is set to now. path is as
// V4L2 takes it.
func Controls(path string) (out []Control, err error) {
	d, err := open(path)
	if err != nil {
		return nil, err
	}
	for _, c := range d.Controls() {
		if c.kind == kindButton {
			continue
		}
		v, err := d.Control(c.id)
		if err != nil {
			v = int32(c.Default) // some cannot be read while others are on
		}
		c.Value = int64(v)
		if c.kind == kindBits {
			c.Value = int64(uint32(v))
		}
		out = append(out, c.Control)
	}
	return out, d.Close()
}

// ParseSettings reads settings as a configuration has them: "brightness=120,
// power_line_frequency=1". Names may be written as the driver has them, too.
func ParseSettings(s string) (Settings, error) {
	out := make(Settings)
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		name := controlName(key)
		var v int64
		if n, err := fmt.Sscanf(strings.TrimSpace(value)+" .", "%d .", &v); !ok || name == "" || n != 1 || err != nil {
			return nil, fmt.Errorf("%q is not a camera's control and a number, such as brightness=120", part)
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("%s is set twice", name)
		}
		out[name] = v
	}
	return out, nil
}

// apply sets what it can. What it cannot is a warning: the picture is there without.
func (s Settings) apply(d driver, log *slog.Logger) {
	if len(s) == 0 {
		return
	}
	left := maps.Clone(s)
	for _, c := range d.Controls() { // in its order: what is automatic comes before what that rules
		v, ok := left[c.Name]
		if !ok {
			continue
		}
		delete(left, c.Name)
		set := c.clamp(v)
		if set != v {
			log.Warn("a camera's control has no such value; the nearest is set", "control", c.Name, "value", v,
				"least", c.Min, "most", c.Max, "set", set)
		}
		if err := d.SetControl(c.id, int32(uint32(set))); err != nil {
			log.Warn("a camera's control could not be set", "control", c.Name, "value", set, "err", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		log.Warn("the camera has no such control", "control", name)
	}
}

// clamp is the value nearest to v that the control has.
func (c control) clamp(v int64) int64 {
	switch c.kind {
	case kindButton:
		return 1
	case kindBits:
		return v & c.Max
	}
	v = min(max(v, c.Min), c.Max, math.MaxInt32)
	if c.Step > 1 {
		v = c.Min + (v-c.Min+c.Step/2)/c.Step*c.Step
		if v > c.Max {
			v -= c.Step
		}
	}
	if len(c.Menu) > 0 && !slices.ContainsFunc(c.Menu, func(e MenuEntry) bool { return e.Value == v }) {
		best := c.Menu[0].Value
		for _, e := range c.Menu {
			if max(e.Value-v, v-e.Value) < max(best-v, v-best) {
				best = e.Value
			}
		}
		v = best
	}
	return v
}

// readyEncoder sets the encoder of a camera up for receivers of all kinds; what it does
// not have, it gives as it gives it, and the stream is judged by what it is.
func readyEncoder(d driver, bitrate int, log *slog.Logger) {
	has := d.Controls()
	for _, x := range []struct {
		id    uint32
		value int64
	}{
		{ctlH264Profile, constrainedBaseline}, {ctlH264Level, levelOf31}, {ctlBFrames, 0}, {ctlRepeat, 1}, {ctlBitrate, int64(bitrate)},
	} {
		i := slices.IndexFunc(has, func(c control) bool { return c.id == x.id })
		if i < 0 || x.id == ctlBitrate && bitrate <= 0 {
			continue
		}
		err := d.SetControl(x.id, int32(has[i].clamp(x.value)))
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EBUSY) {
			log.Warn("the camera's encoder could not be set up", "control", has[i].Name, "err", err)
		}
	}
}

// hasControl tells whether a camera has a control.
func hasControl(d driver, id uint32) bool {
	return slices.ContainsFunc(d.Controls(), func(c control) bool { return c.id == id })
}
