package sound

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/mediadevices/pkg/wave"
)

// tone encodes n packets of a sine, with the board's encoder.
func tone(t testing.TB, freq float64, n int) (out [][]byte) {
	t.Helper()
	frame := wave.NewInt16Interleaved(wave.ChunkInfo{Len: frameSamples, Channels: 1, SamplingRate: Rate})
	enc, err := newEncoder(frame)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = enc.Close() }()
	for k := range n {
		for i := range frame.Data {
			frame.Data[i] = int16(8192 * math.Sin(2*math.Pi*freq*float64(k*frameSamples+i)/Rate))
		}
		data, release, err := enc.Read()
		if err != nil {
			t.Fatal(err)
		}
		release()
		out = append(out, data)
	}
	return out
}

// strength is the part that a frequency has in the sound.
func strength(pcm []int16, freq float64) float64 {
	var re, im, power float64
	for i, x := range pcm {
		v := float64(x)
		re += v * math.Cos(2*math.Pi*freq*float64(i)/Rate)
		im += v * math.Sin(2*math.Pi*freq*float64(i)/Rate)
		power += v * v
	}
	if power == 0 {
		return 0
	}
	return (re*re + im*im) * 2 / float64(len(pcm)) / power
}

// arrival is a packet and when it comes, in samples of the listener's clock.
type arrival struct {
	seq  uint16
	data []byte
	at   int
}

// listen plays arrivals into a voice for some blocks.
func listen(v *Voice, in []arrival, blocks int) []int16 {
	var out []int16
	block := make([]int16, blockSamples)
	next := 0
	for b := range blocks {
		for next < len(in) && in[next].at <= b*blockSamples {
			v.Push(in[next].seq, uint32(in[next].seq)*uint32(frameSamples), in[next].data)
			next++
		}
		if !v.read(block) {
			clear(block)
		}
		out = append(out, block...)
	}
	return out
}

// silences counts the stretches of zeros longer than d in sound that should have none.
func silences(pcm []int16, d time.Duration) (n int) {
	run, most := 0, int(d*Rate/time.Second)
	for _, x := range pcm {
		if x == 0 {
			if run++; run == most {
				n++
			}
		} else {
			run = 0
		}
	}
	return n
}

func steady(packets [][]byte, first uint16) (in []arrival) {
	for i, p := range packets {
		in = append(in, arrival{first + uint16(i), p, i * frameSamples})
	}
	return in
}

func TestVoiceIsHeard(t *testing.T) {
	v := newVoice()
	pcm := listen(v, steady(tone(t, 440, 150), 65500), 290) // the numbers wrap
	heard := pcm[Rate/5:]
	if s := strength(heard, 440); s < 0.95 {
		t.Errorf("the tone is %.2f of the sound", s)
	}
	if n := silences(heard, 3*time.Millisecond); n > 0 {
		t.Errorf("%d gaps", n)
	}
	if st := v.stats; st.received != 145 || st.lost != 0 || st.late != 0 || st.bad != 0 || st.concealed > 0 {
		t.Errorf("%+v", st)
	}
	if l := v.Level(); l < 50 {
		t.Errorf("level %d", l)
	}
}

func TestLossAndDisorder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var in []arrival
	for i, p := range tone(t, 440, 500) {
		if rng.IntN(100) < 5 && i > 5 {
			continue
		}
		in = append(in, arrival{uint16(i), p, i*frameSamples + rng.IntN(frameSamples*3/2)})
		if rng.IntN(100) < 3 {
			in = append(in, in[len(in)-1])
		}
	}
	sortArrivals(in)
	v := newVoice()
	pcm := listen(v, in, 980)
	heard := pcm[Rate/2 : Rate*9]
	if s := strength(heard, 440); s < 0.6 {
		t.Errorf("the tone is %.2f of the sound", s)
	}
	if n := silences(heard, 45*time.Millisecond); n > 3 {
		t.Errorf("%d gaps", n)
	}
	if st := v.stats; st.lost < 10 || st.concealed == 0 {
		t.Errorf("%+v", st)
	}
}

func sortArrivals(in []arrival) {
	for i := 1; i < len(in); i++ {
		for k := i; k > 0 && in[k].at < in[k-1].at; k-- {
			in[k], in[k-1] = in[k-1], in[k]
		}
	}
}

// A sender whose clock is faster, or slower, neither fills the buffer nor leaves
// gaps, over half an hour.
func TestClocksDiffer(t *testing.T) {
	packets := tone(t, 440, 50)
	for _, ppm := range []int{-200, 200} {
		v := newVoice()
		block := make([]int16, blockSamples)
		blocks := 30 * 60 * 100
		if testing.Short() {
			blocks /= 10
		}
		sent, gaps := 0, 0
		for b := range blocks {
			now := b * blockSamples
			for sent*frameSamples <= now+now*ppm/1_000_000 {
				v.Push(uint16(sent), uint32(sent*frameSamples), packets[sent%len(packets)])
				sent++
			}
			if v.read(block); b > 100 && !v.playing {
				gaps++
			}
		}
		st := v.stats
		if v.buffered() > 150*Rate/1000 || st.concealed > time.Second || gaps > blocks/500 {
			t.Errorf("%d ppm: %+v, %d blocks in gaps", ppm, st, gaps)
		}
	}
}

// After a jam the delay does not stay.
func TestJam(t *testing.T) {
	var in []arrival
	for i, p := range tone(t, 440, 600) {
		at := i * frameSamples
		if i >= 100 && i < 115 { // 300 ms of the net standing still
			at = 115 * frameSamples
		}
		in = append(in, arrival{uint16(i), p, at})
	}
	v := newVoice()
	listen(v, in, 1190)
	if n := v.buffered(); n > 200*Rate/1000 {
		t.Errorf("%d ms wait", n*1000/Rate)
	}
}

func TestAnotherStream(t *testing.T) {
	packets := tone(t, 440, 100)
	v := newVoice()
	listen(v, steady(packets, 100), 195)
	pcm := listen(v, steady(packets, 40000), 190)
	if s := strength(pcm[Rate/5:], 440); s < 0.9 {
		t.Errorf("the tone is %.2f of the sound", s)
	}
}

func TestSilenceAfterTheEnd(t *testing.T) {
	v := newVoice()
	pcm := listen(v, steady(tone(t, 440, 20), 0), 100)
	for _, x := range pcm[len(pcm)-Rate/4:] {
		if x != 0 {
			t.Fatal("sound after the end")
		}
	}
	if v.Level() != 0 {
		t.Errorf("level %d", v.Level())
	}
}

// A crowd of packets does not grow without bound, nor hold the sound up for long.
func TestFlood(t *testing.T) {
	packets := tone(t, 440, 10)
	v := newVoice()
	for i := range 10_000 {
		v.Push(uint16(i), uint32(i*frameSamples), packets[i%10])
	}
	if v.waiting > slots {
		t.Errorf("%d wait", v.waiting)
	}
	listen(v, nil, 300)
	if v.waiting != 0 {
		t.Errorf("%d wait", v.waiting)
	}
}

func TestLimit(t *testing.T) {
	last := int16(-32768)
	for x := int32(-200_000); x <= 200_000; x += 37 {
		y := limit(x)
		if y < last {
			t.Fatalf("%d becomes %d, less than what is softer", x, y)
		}
		if x > -16384 && x < 16384 && int32(y) != x {
			t.Fatalf("%d becomes %d", x, y)
		}
		last = y
	}
}

func TestRing(t *testing.T) {
	r := newRing(10)
	r.write([]int16{1, 2, 3, 4, 5, 6, 7})
	got := make([]int16, 4)
	if !r.read(got) || got[0] != 1 || got[3] != 4 {
		t.Fatal(got)
	}
	r.write([]int16{8, 9, 10, 11, 12, 13, 14, 15}) // one too many: 5 goes
	r.readSome(got)
	if got[0] != 6 || got[3] != 9 || r.length() != 6 {
		t.Fatal(got, r.length())
	}
	if r.read(make([]int16, 7)) {
		t.Fatal("more than there is")
	}
	r.write(make([]int16, 25))
	if r.length() != 10 {
		t.Fatal(r.length())
	}
}

func FuzzVoice(f *testing.F) {
	for _, p := range tone(f, 440, 3) {
		f.Add(uint16(7), p, uint16(8), p)
	}
	f.Add(uint16(0), []byte{}, uint16(65535), []byte{0xff})
	f.Fuzz(func(t *testing.T, a uint16, x []byte, b uint16, y []byte) {
		v := newVoice()
		block := make([]int16, blockSamples)
		for i := range uint16(12) {
			v.Push(a+i, uint32(b)*uint32(i), x)
			v.Push(b-i, uint32(a), y)
			v.read(block)
		}
		for range 200 {
			v.read(block)
		}
		if v.waiting > slots || len(v.pcm) > maxTarget*8 || cap(v.pcm) > 1<<20 {
			t.Fatalf("%d packets and %d samples wait", v.waiting, len(v.pcm))
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	packets := tone(b, 440, 50)
	v := newVoice()
	block := make([]int16, blockSamples)
	n := 0
	for b.Loop() {
		v.Push(uint16(n), uint32(n*frameSamples), packets[n%50])
		n++
		v.read(block)
		v.read(block)
	}
}

func BenchmarkEncode(b *testing.B) {
	b.ReportAllocs()
	tone(b, 440, b.N)
}
