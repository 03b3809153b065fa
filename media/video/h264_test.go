package video

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// encoded is a stream of the board's own encoder: an IDR each 10 pictures, with SPS and
// PPS before each.
func encoded(t testing.TB, width, height, count int) (out [][]byte) {
	t.Helper()
	e, err := newH264Encoder(Format{width, height, 30}, 1_000_000, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.close() }()
	img := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = byte(100+i%16), byte(140-i%8)
	}
	for n := 0; len(out) < count; n++ {
		for y := range height {
			for x := range width {
				img.Y[y*img.YStride+x] = byte(16 + (x+4*n)%200)
			}
		}
		data, key, err := e.encode(img, time.Time{}, len(out)%10 == 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 {
			continue
		}
		if key != (len(out)%10 == 0) {
			t.Fatalf("picture %d: key %v", len(out), key)
		}
		out = append(out, data)
	}
	return out
}

// kinds are the types of the NAL units in a buffer.
func kinds(buf []byte) (out []byte) {
	for _, nal := range nalUnits(buf) {
		out = append(out, nal[0]&0x1f)
	}
	return out
}

// without takes NAL units of some types away.
func without(buf []byte, drop ...byte) (out []byte) {
	for _, nal := range nalUnits(buf) {
		if bytes.IndexByte(drop, nal[0]&0x1f) < 0 {
			out = append(append(out, longStartCode...), nal...)
		}
	}
	return out
}

// only is its opposite.
func only(buf []byte, keep ...byte) (out []byte) {
	for _, nal := range nalUnits(buf) {
		if bytes.IndexByte(keep, nal[0]&0x1f) >= 0 {
			out = append(append(out, longStartCode...), nal...)
		}
	}
	return out
}

// What is complete comes through as it is.
func TestUnitsAreNotChanged(t *testing.T) {
	u := NewUnits(Format{320, 240, 30})
	for i, buf := range encoded(t, 320, 240, 25) {
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
	stream := encoded(t, 320, 240, 21)
	sps, pps := only(stream[0], nalSPS), only(stream[0], nalPPS)
	bare := without(stream[10], nalSPS, nalPPS)
	if k := kinds(bare); len(k) != 1 || k[0] != nalIDR {
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
		u := NewUnits(Format{320, 240, 30})
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
	u := NewUnits(Format{320, 240, 30})
	if unit, err := u.Read(bare); unit != nil || err != nil || !u.Waits() {
		t.Error("an IDR that nobody can decode", unit, err)
	}
}

// What is missing or damaged costs all up to the next IDR.
func TestUnitsWaitForAnIDR(t *testing.T) {
	stream := encoded(t, 160, 120, 31)
	u := NewUnits(Format{160, 120, 30})
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
	if _, err := u.Read([]byte("\x00\x00\x01\x98garbage")); !errors.Is(err, errDamaged) {
		t.Error(err)
	}
	if passed(22) || !passed(30) {
		t.Error("after damage")
	}
}

func TestDamagedUnits(t *testing.T) {
	whole := encoded(t, 160, 120, 1)[0]
	slices := bytes.Repeat([]byte("\x00\x00\x01\x41\xe0\x00"), maxNALs+1)
	for name, buf := range map[string][]byte{
		"no start code": []byte("no start code at all"), "an empty unit": {0, 0, 1}, "something before": append([]byte("x"), whole...),
		"a forbidden bit": []byte("\x00\x00\x01\xe5\x88\x80\x00"), "a type of RTP's": []byte("\x00\x00\x01\x78\x00\x10"),
		"an IDR and another": []byte("\x00\x00\x01\x65\x88\x80\x40\x00\x00\x01\x41\x9a\x00\x40"),
		"too many":           slices, "an SPS cut short": []byte("\x00\x00\x01\x67\x42\xc0"),
		"zeros": make([]byte, maxUnit), "start codes": bytes.Repeat([]byte(startCode), maxUnit/3), "a start code at the end": []byte("\x00\x00\x00\x01"),
		"an SPS of zeros":        append([]byte("\x00\x00\x01\x67\x42\xc0\x1f"), make([]byte, maxParameters)...),
		"a number of 33 bits":    append([]byte("\x00\x00\x01\x67\x42\xc0\x1f\x00\x00\x03\x00\x00\x80"), bytes.Repeat([]byte{0xff}, 99)...),
		"an SPS that is large":   append(append([]byte("\x00\x00\x01\x67\x42\xc0\x1f"), spsRest(0)...), bytes.Repeat([]byte{0xaa}, maxParameters)...),
		"a PPS of another world": []byte("\x00\x00\x01\x68\x00\x00\x03\x00\x01\xff\xff\xff\xff"),
		"too large":              append(bytes.Clone(whole), make([]byte, maxUnit)...),
	} {
		u := NewUnits(Format{160, 120, 30})
		if unit, err := u.Read(buf); err == nil || errors.Is(err, ErrUnfit) || unit != nil {
			t.Errorf("%s: %v, %v", name, unit, err)
		}
	}
	u := NewUnits(Format{160, 120, 30})
	for i := range maxSPS + 1 { // ids that differ
		_, err := u.Read(append([]byte("\x00\x00\x01\x67\x42\xc0\x1f"), spsRest(i)...))
		if (i == maxSPS) != errors.Is(err, ErrUnfit) {
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

// x264 is a stream that ffmpeg makes, in access units.
func x264(t testing.TB, args ...string) (out [][]byte) {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is needed for streams of other encoders: scripts/deps test installs it")
	}
	all := append([]string{"-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30:duration=1"}, args...)
	all = append(all, "-bsf:v", "h264_metadata=aud=insert", "-f", "h264", "pipe:1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var said bytes.Buffer
	c := exec.CommandContext(ctx, "ffmpeg", all...)
	c.Stderr = &said
	b, err := c.Output()
	if err != nil {
		t.Fatalf("ffmpeg %v: %v: %s", args, err, &said)
	}
	begin := 0
	for from, nal := range nalUnits(b) {
		if nal[0]&0x1f == nalDelimiter && from > 0 {
			out, begin = append(out, b[begin:from]), from
		}
	}
	return append(out, b[begin:])
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
			stream := x264(t, strings.Fields(x.args)...)
			u := NewUnits(Format{1280, 720, 30})
			var err error
			for i, buf := range stream {
				var unit *Unit
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
			case x.unfit != "" && (!errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), x.unfit)):
				t.Errorf("%d pictures, %v", len(stream), err)
			}
		})
	}
}

// B pictures show also where the SPS does not tell.
func TestBSlices(t *testing.T) {
	stream := x264(t, "-c:v", "libx264", "-profile:v", "main", "-bf", "2")
	units := NewUnits(Format{320, 240, 30})
	plain := encoded(t, 320, 240, 1)[0]
	if _, err := units.Read(plain); err != nil { // parameter sets without a word about it
		t.Fatal(err)
	}
	for _, buf := range stream {
		if _, err := units.Read(without(buf, nalSPS, nalPPS)); err != nil {
			if !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), "slices of type 1") {
				t.Error(err)
			}
			return
		}
	}
	t.Error("none was found")
}

func FuzzUnits(f *testing.F) {
	for _, buf := range encoded(f, 160, 120, 3) {
		f.Add(buf)
	}
	f.Add([]byte("\x00\x00\x01\x67\x64\x00\x1f\xac\xd9\x40\x50\x05\xbb\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x03\xc0\xf1\x83\x19\x60\x00\x00\x01\x68\xeb\xe3\xcb\x22\xc0"))
	f.Add([]byte("\x00\x00\x01\x65\x88\x84\x00\x10\x00\x00\x01\x09\x10"))
	f.Add([]byte("\x00\x00\x01\x06\x01\x01\x00\x00\x01\x00\x00\x01\x25\xb8\x30\x30")) // a unit of nothing before an IDR
	good := encoded(f, 160, 120, 2)
	f.Fuzz(func(t *testing.T, buf []byte) {
		u := NewUnits(Format{160, 120, 30})
		for range 2 {
			if unit, err := u.Read(good[0]); unit == nil || err != nil { // whatever was read before
				if len(u.sps) < maxSPS && len(u.pps) < maxPPS {
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
			if unit.Key && (bytes.IndexByte(kinds(unit.Data), nalSPS) < 0 || bytes.IndexByte(kinds(unit.Data), nalPPS) < 0) {
				t.Fatalf("an IDR without parameter sets: %x", unit.Data)
			}
			if !unit.Key && !bytes.Equal(unit.Data, buf) {
				t.Fatal("it was changed")
			}
			if startsWithIDR(unit.Data) != unit.Key {
				t.Fatalf("key %v", unit.Key)
			}
		}
	})
}

// BenchmarkPassthroughWhole is what the whole way of such a picture takes of the
// processor: the driver (which is none here), camera, sender, whoever follows.
func BenchmarkPassthroughWhole(b *testing.B) {
	stream := encoded(b, 1280, 720, 30)
	d := &fakeDriver{sizes: map[string][]frameSize{"H264": {size(1280, 720)}}, stream: stream, every: time.Second / 120}
	with(b, d)
	c := drained(b, NewCamera(V4L2("/dev/video0"), Format{1280, 720, 30}, quiet))
	_, got := sending(b, c)
	next(b, got)
	var before, after unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		next(b, got)
	}
	if err := unix.Getrusage(unix.RUSAGE_SELF, &after); err != nil {
		b.Fatal(err)
	}
	used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(used)/1000/float64(b.N), "cpu-µs/picture")
	b.ReportMetric(float64(used)/float64(b.N)*30/1e9*100, "%core-at-30/s")
}

// BenchmarkPassthrough is what the board does with a picture of 1280×720 that the camera
// has encoded at 2 Mbit/s and 30 pictures a second, before it is sent.
func BenchmarkPassthrough(b *testing.B) {
	stream := encoded(b, 1280, 720, 30)
	u := NewUnits(Format{1280, 720, 30})
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
