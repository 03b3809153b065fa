package h264_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/herald-im/herald/media/h264"
	"github.com/herald-im/herald/media/h264/h264test"
)

// What is complete comes through as it is.
func TestUnitsAreNotChanged(t *testing.T) {
	u := h264.NewUnits(320, 240)
	for i, buf := range h264test.Encoded(t, 320, 240, 25) {
		unit, err := u.Read(buf)
		if err != nil || unit == nil {
			t.Fatalf("%d: %v, %v", i, unit, err)
		}
		if !bytes.Equal(unit.Data, buf) || unit.Key != (i%10 == 0) {
			t.Errorf("%d: key %v, %x is now %x", i, unit.Key, buf[:40], unit.Data[:40])
		}
		if &unit.Data[0] == &buf[0] {
			t.Error("it is the driver's memory")
		}
	}
}

// An IDR that lacks parameter sets gets them, behind an access unit delimiter.
func TestParameterSetsBeforeEachIDR(t *testing.T) {
	aud := []byte("\x00\x00\x00\x01\x09\x10")
	stream := h264test.Encoded(t, 320, 240, 21)
	sps, pps := h264test.Only(stream[0], h264.SPS), h264test.Only(stream[0], h264.PPS)
	bare := h264test.Without(stream[10], h264.SPS, h264.PPS)
	if k := h264test.Kinds(bare); len(k) != 1 || k[0] != h264.IDR {
		t.Fatal(k)
	}
	join := func(b ...[]byte) []byte { return bytes.Join(b, nil) }
	for name, x := range map[string]struct{ in, want []byte }{
		"neither":             {bare, join(sps, pps, bare)},
		"no PPS":              {join(sps, bare), join(sps, pps, bare)},
		"no SPS":              {join(pps, bare), join(sps, pps, bare)},
		"a delimiter":         {join(aud, bare), join(aud, sps, pps, bare)},
		"a delimiter and SPS": {join(aud, sps, bare), join(aud, sps, pps, bare)},
		"short start codes":   {bare[1:], join(sps, pps, bare[1:])},
		"all":                 {join(aud, sps, pps, bare), join(aud, sps, pps, bare)},
	} {
		u := h264.NewUnits(320, 240)
		for _, buf := range [][]byte{sps, pps} { // in buffers of their own
			if unit, err := u.Read(buf); unit != nil || err != nil {
				t.Fatal(unit, err)
			}
		}
		unit, err := u.Read(x.in)
		if err != nil || unit == nil || !unit.Key || !bytes.Equal(unit.Data, x.want) {
			t.Errorf("%s: %v, %v", name, unit, err)
		}
	}
	u := h264.NewUnits(320, 240)
	if unit, err := u.Read(bare); unit != nil || err != nil || !u.Waits() {
		t.Error("an IDR that nobody can decode", unit, err)
	}
}

// What is missing or damaged costs all up to the next IDR.
func TestUnitsWaitForAnIDR(t *testing.T) {
	stream := h264test.Encoded(t, 160, 120, 31)
	u := h264.NewUnits(160, 120)
	passed := func(i int) bool {
		t.Helper()
		unit, err := u.Read(stream[i])
		if err != nil {
			t.Fatal(err)
		}
		return unit != nil
	}
	if passed(5) || !passed(10) || !passed(11) {
		t.Error("at first")
	}
	u.Lost()
	if passed(13) || !passed(20) || !passed(21) {
		t.Error("after a loss")
	}
	if _, err := u.Read([]byte("\x00\x00\x01\x98garbage")); !errors.Is(err, h264.ErrDamaged) {
		t.Error(err)
	}
	if passed(22) || !passed(30) {
		t.Error("after damage")
	}
}

func TestDamagedUnits(t *testing.T) {
	whole := h264test.Encoded(t, 160, 120, 1)[0]
	slices := bytes.Repeat([]byte("\x00\x00\x01\x41\xe0\x00"), h264.MaxNALs+1)
	for name, buf := range map[string][]byte{
		"no start code": []byte("no start code at all"), "an empty unit": {0, 0, 1}, "something before": append([]byte("x"), whole...),
		"a forbidden bit": []byte("\x00\x00\x01\xe5\x88\x80\x00"), "a type of RTP's": []byte("\x00\x00\x01\x78\x00\x10"),
		"an IDR and another": []byte("\x00\x00\x01\x65\x88\x80\x40\x00\x00\x01\x41\x9a\x00\x40"),
		"too many":           slices, "an SPS cut short": []byte("\x00\x00\x01\x67\x42\xc0"),
		"zeros": make([]byte, h264.MaxUnit), "start codes": bytes.Repeat([]byte(h264.ShortCode), h264.MaxUnit/3), "a start code at the end": []byte("\x00\x00\x00\x01"),
		"an SPS of zeros":        append([]byte("\x00\x00\x01\x67\x42\xc0\x1f"), make([]byte, h264.MaxParameters)...),
		"a number of 33 bits":    append([]byte("\x00\x00\x01\x67\x42\xc0\x1f\x00\x00\x03\x00\x00\x80"), bytes.Repeat([]byte{0xff}, 99)...),
		"an SPS that is large":   append(append([]byte("\x00\x00\x01\x67\x42\xc0\x1f"), spsRest(0)...), bytes.Repeat([]byte{0xaa}, h264.MaxParameters)...),
		"a PPS of another world": []byte("\x00\x00\x01\x68\x00\x00\x03\x00\x01\xff\xff\xff\xff"),
		"too large":              append(bytes.Clone(whole), make([]byte, h264.MaxUnit)...),
	} {
		u := h264.NewUnits(160, 120)
		if unit, err := u.Read(buf); err == nil || errors.Is(err, h264.ErrUnfit) || unit != nil {
			t.Errorf("%s: %v, %v", name, unit, err)
		}
	}
	u := h264.NewUnits(160, 120)
	for i := range h264.MaxSPS + 1 { // ids that differ
		_, err := u.Read(append([]byte("\x00\x00\x01\x67\x42\xc0\x1f"), spsRest(i)...))
		if (i == h264.MaxSPS) != errors.Is(err, h264.ErrUnfit) {
			t.Errorf("SPS %d: %v", i, err)
		}
	}
}

// spsRest is a baseline SPS's end: its id, then 20×15 macroblocks.
func spsRest(id int) []byte {
	s := ue(id) + ue(0) + ue(2) + ue(1) + "0" + ue(19) + ue(14) + "1" + "1" + "0" + "0" + "1"
	for len(s)%8 != 0 {
		s += "0"
	}
	var out []byte
	for i := 0; i < len(s); i += 8 {
		var b byte
		_, _ = fmt.Sscanf(s[i:i+8], "%b", &b)
		out = append(out, b)
	}
	return out
}

func ue(v int) string {
	b := fmt.Sprintf("%b", v+1)
	return strings.Repeat("0", len(b)-1) + b
}

// What encoders of other makes give passes, unless receivers could not show it.
func TestWhatPasses(t *testing.T) {
	for name, x := range map[string]struct {
		args  string
		unfit string // empty: it passes
	}{
		"constrained baseline": {"-c:v libx264 -profile:v baseline", ""},
		"main":                 {"-c:v libx264 -profile:v main -bf 0", ""},
		"high":                 {"-c:v libx264 -profile:v high -bf 0", ""},
		"many slices":          {"-c:v libx264 -profile:v baseline -slices 4", ""},
		"B":                    {"-c:v libx264 -profile:v main -bf 2", "reordered"},
		"B that VUI hides":     {"-c:v libx264 -profile:v high -bf 2 -bsf:v h264_metadata=aud=insert,filter_units=remove_types=6", "B"},
		"interlaced":           {"-c:v libx264 -profile:v high -bf 0 -flags +ildct+ilme -x264-params interlaced=1", "interlaced"},
		"10 bits":              {"-c:v libx264 -profile:v high10 -pix_fmt yuv420p10le -bf 0", "profile 110"},
		"4:4:4":                {"-c:v libx264 -profile:v high444 -pix_fmt yuv444p -bf 0", "profile 244"},
		"too large":            {"-c:v libx264 -profile:v baseline -vf scale=1920:1080 -frames:v 2", "macroblocks"},
	} {
		t.Run(name, func(t *testing.T) {
			stream := h264test.X264(t, strings.Fields(x.args)...)
			u := h264.NewUnits(1280, 720)
			var err error
			for i, buf := range stream {
				var unit *h264.Unit
				if unit, err = u.Read(buf); err != nil {
					break
				}
				if unit == nil || !bytes.Equal(unit.Data, buf) {
					t.Fatalf("picture %d is another one", i)
				}
			}
			switch {
			case x.unfit == "" && err != nil:
				t.Error(err)
			case x.unfit != "" && (!errors.Is(err, h264.ErrUnfit) || !strings.Contains(err.Error(), x.unfit)):
				t.Errorf("%d pictures, %v", len(stream), err)
			}
		})
	}
}

// B pictures show also where the SPS does not tell.
func TestBSlices(t *testing.T) {
	stream := h264test.X264(t, "-c:v", "libx264", "-profile:v", "main", "-bf", "2")
	units := h264.NewUnits(320, 240)
	plain := h264test.Encoded(t, 320, 240, 1)[0]
	if _, err := units.Read(plain); err != nil { // parameter sets without a word about it
		t.Fatal(err)
	}
	for _, buf := range stream {
		if _, err := units.Read(h264test.Without(buf, h264.SPS, h264.PPS)); err != nil {
			if !errors.Is(err, h264.ErrUnfit) || !strings.Contains(err.Error(), "slices of type 1") {
				t.Error(err)
			}
			return
		}
	}
	t.Error("none was found")
}

func FuzzUnits(f *testing.F) {
	for _, buf := range h264test.Encoded(f, 160, 120, 3) {
		f.Add(buf)
	}
	f.Add([]byte("\x00\x00\x01\x67\x64\x00\x1f\xac\xd9\x40\x50\x05\xbb\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x03\xc0\xf1\x83\x19\x60\x00\x00\x01\x68\xeb\xe3\xcb\x22\xc0"))
	f.Add([]byte("\x00\x00\x01\x65\x88\x84\x00\x10\x00\x00\x01\x09\x10"))
	f.Add([]byte("\x00\x00\x01\x06\x01\x01\x00\x00\x01\x00\x00\x01\x25\xb8\x30\x30")) // a unit of nothing before an IDR
	good := h264test.Encoded(f, 160, 120, 2)
	f.Fuzz(func(t *testing.T, buf []byte) {
		u := h264.NewUnits(160, 120)
		for range 2 {
			if unit, err := u.Read(good[0]); unit == nil || err != nil { // whatever was read before
				if !u.Full() {
					t.Fatal(err)
				}
				return
			}
			unit, err := u.Read(buf)
			if unit == nil {
				continue
			}
			if err != nil {
				t.Fatal("a unit, and", err)
			}
			if unit.Key && (bytes.IndexByte(h264test.Kinds(unit.Data), h264.SPS) < 0 || bytes.IndexByte(h264test.Kinds(unit.Data), h264.PPS) < 0) {
				t.Fatalf("an IDR without parameter sets: %x", unit.Data)
			}
			if !unit.Key && !bytes.Equal(unit.Data, buf) {
				t.Fatal("it was changed")
			}
			if h264.StartsWithIDR(unit.Data) != unit.Key {
				t.Fatalf("key %v", unit.Key)
			}
		}
	})
}

// BenchmarkPassthrough is what the board does with a picture of 1280×720 that the camera
// has encoded at 2 Mbit/s and 30 pictures a second, before it is sent.
func BenchmarkPassthrough(b *testing.B) {
	stream := h264test.Encoded(b, 1280, 720, 30)
	u := h264.NewUnits(1280, 720)
	bytes := 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		unit, err := u.Read(stream[i%len(stream)])
		if err != nil || unit == nil {
			b.Fatal(unit, err)
		}
		bytes += len(unit.Data)
	}
	b.ReportMetric(float64(bytes)/float64(b.N), "B/picture")
}
