package video

import (
	"bytes"
	"log/slog"
	"maps"
	"strings"
	"testing"
)

func TestParseSettings(t *testing.T) {
	s, err := ParseSettings(" brightness=120, Power Line Frequency = 1,exposure_auto=-3, ")
	if err != nil || !maps.Equal(s, Settings{"brightness": 120, "power_line_frequency": 1, "exposure_auto": -3}) {
		t.Error(s, err)
	}
	if s, err := ParseSettings(""); err != nil || len(s) != 0 {
		t.Error(s, err)
	}
	for _, bad := range []string{"brightness", "brightness=", "=1", "brightness=much", "brightness=1 2", "brightness=1.5", "brightness=1,Brightness=2", "a=99999999999999999999"} {
		if s, err := ParseSettings(bad); err == nil {
			t.Errorf("%q is %v", bad, s)
		}
	}
}

func TestControlNames(t *testing.T) {
	for name, want := range map[string]string{
		"Power Line Frequency": "power_line_frequency", "Exposure, Auto": "exposure_auto", "White Balance Temperature, Auto": "white_balance_temperature_auto",
		"H264 I-Frame Period": "h264_i_frame_period", "  Zoom, Absolute ": "zoom_absolute", "": "",
	} {
		if got := controlName(name); got != want {
			t.Errorf("%q is %q", name, got)
		}
	}
}

var someControls = []control{
	{id: 1, kind: kindNumber, Control: Control{Name: "brightness", Min: -64, Max: 64, Step: 1, Default: 3}},
	{id: 2, kind: kindNumber, Control: Control{Name: "gain", Min: 10, Max: 100, Step: 8}},
	{id: 3, kind: kindMenu, Control: Control{Name: "exposure_auto", Max: 3, Menu: []MenuEntry{{1, "Manual Mode"}, {3, "Aperture Priority Mode"}}}},
	{id: 4, kind: kindSwitch, Control: Control{Name: "hflip", Max: 1}},
	{id: 5, kind: kindBits, Control: Control{Name: "bits", Max: 0b1011}},
	{id: 6, kind: kindButton, Control: Control{Name: "reset"}},
}

// What cannot be set is a warning, and the camera works.
func TestSettings(t *testing.T) {
	var said bytes.Buffer
	d := &fakeDriver{sizes: map[string][]frameSize{"YUYV": {size(160, 120)}}, controls: someControls}
	with(t, d)
	s, err := V4L2With("/dev/video0", Settings{
		"brightness": 1000, "gain": 31, "exposure_auto": 0, "hflip": 1, "bits": 0b1110, "reset": 1, "no_such": 1,
	}, slog.New(slog.NewTextHandler(&said, nil))).Open(Format{160, 120, 30})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if got := strings.Join(d.set, " "); got != "1=64 2=34 3=1 4=1 5=10 6=1" {
		t.Error(got)
	}
	for _, want := range []string{"control=brightness value=1000 least=-64 most=64 set=64", "control=exposure_auto value=0", "no such control", "control=no_such"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("nothing says %s:\n%s", want, &said)
		}
	}
	if strings.Contains(said.String(), "hflip") {
		t.Error(&said)
	}
}

func TestControls(t *testing.T) {
	d := &fakeDriver{sizes: map[string][]frameSize{"YUYV": {size(160, 120)}}, controls: someControls}
	with(t, d)
	got, err := Controls("/dev/video0")
	if err != nil || len(got) != 5 || got[0].Name != "brightness" || got[0].Value != 7 || got[0].Default != 3 || len(got[2].Menu) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if !d.closed {
		t.Error("it is still open")
	}
	if _, err := Controls("/dev/video7"); err == nil {
		t.Error("of a camera that is not there")
	}
}
