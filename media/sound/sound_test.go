package sound

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// tone encodes n packets of a sine, with the board's encoder.
func tone(t testing.TB, freq float64, n int) (out [][]byte) {
	t.Helper()
	enc, err := newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	defer enc.close()
	frame := make([]int16, frameSamples)
	for k := range n {
		for i := range frame {
			frame[i] = int16(8192 * math.Sin(2*math.Pi*freq*float64(k*frameSamples+i)/Rate))
		}
		data, err := enc.encode(frame)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, data)
	}
	return out
}

// testVoice is one whose time is that of the test, in samples.
func testVoice(t testing.TB) (v *Voice, now *int64) {
	v, now = newVoice(), new(int64)
	v.clock = func() int64 { return *now }
	t.Cleanup(v.Close)
	return v, now
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
	seq   uint16
	stamp uint32
	data  []byte
	at    int
}

// listen plays arrivals into a voice for some blocks.
func listen(v *Voice, now *int64, in []arrival, blocks int) []int16 {
	began := *now
	var out []int16
	block := make([]int16, blockSamples)
	next := 0
	for b := range blocks {
		*now = began + int64(b*blockSamples)
		for next < len(in) && in[next].at <= b*blockSamples {
			v.Push(in[next].seq, in[next].stamp, in[next].data)
			next++
		}
		if !v.read(block) {
			clear(block)
		}
		out = append(out, block...)
	}
	*now += int64(blockSamples)
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
		in = append(in, arrival{first + uint16(i), uint32(i * frameSamples), p, i * frameSamples})
	}
	return in
}

func TestVoiceIsHeard(t *testing.T) {
	v, now := testVoice(t)
	pcm := listen(v, now, steady(tone(t, 440, 150), 65500), 290) // the numbers wrap
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
		in = append(in, arrival{uint16(i), uint32(i * frameSamples), p, i*frameSamples + rng.IntN(frameSamples*3/2)})
		if rng.IntN(100) < 3 {
			in = append(in, in[len(in)-1])
		}
	}
	sortArrivals(in)
	v, now := testVoice(t)
	pcm := listen(v, now, in, 980)
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

// After a jam the delay does not stay.
func TestJam(t *testing.T) {
	var in []arrival
	for i, p := range tone(t, 440, 600) {
		at := i * frameSamples
		if i >= 100 && i < 115 { // 300 ms of the net standing still
			at = 115 * frameSamples
		}
		in = append(in, arrival{uint16(i), uint32(i * frameSamples), p, at})
	}
	v, now := testVoice(t)
	listen(v, now, in, 1190)
	if n := v.buffered(); n > 200*Rate/1000 {
		t.Errorf("%d ms wait", n*1000/Rate)
	}
}

func TestAnotherStream(t *testing.T) {
	packets := tone(t, 440, 100)
	v, now := testVoice(t)
	listen(v, now, steady(packets, 100), 195)
	pcm := listen(v, now, steady(packets, 40000), 190)
	if s := strength(pcm[Rate/5:], 440); s < 0.9 {
		t.Errorf("the tone is %.2f of the sound", s)
	}
}

func TestSilenceAfterTheEnd(t *testing.T) {
	v, now := testVoice(t)
	pcm := listen(v, now, steady(tone(t, 440, 20), 0), 100)
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
	v, now := testVoice(t)
	for i := range 10_000 {
		v.Push(uint16(i), uint32(i*frameSamples), packets[i%10])
	}
	if v.store.waiting > slots {
		t.Errorf("%d wait", v.store.waiting)
	}
	listen(v, now, nil, 300)
	if v.store.waiting != 0 {
		t.Errorf("%d wait", v.store.waiting)
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
	if at, ok := r.read(got); !ok || at != 0 || got[0] != 1 || got[3] != 4 {
		t.Fatal(got, at)
	}
	r.write([]int16{8, 9, 10, 11, 12, 13, 14, 15}) // one too many: 5 goes
	r.readSome(got)
	if got[0] != 6 || got[3] != 9 || r.length() != 6 {
		t.Fatal(got, r.length())
	}
	if _, ok := r.read(make([]int16, 7)); ok {
		t.Fatal("more than there is")
	}
	r.write(make([]int16, 25))
	if r.length() != 10 {
		t.Fatal(r.length())
	}
	if at, ok := r.read(got); !ok || at != 30 {
		t.Fatal(at)
	}
}

func FuzzVoice(f *testing.F) {
	for _, p := range tone(f, 440, 3) {
		f.Add(uint16(7), p, uint16(8), p)
	}
	f.Add(uint16(0), []byte{}, uint16(65535), []byte{0xff})
	f.Fuzz(func(t *testing.T, a uint16, x []byte, b uint16, y []byte) {
		v, now := testVoice(t)
		block := make([]int16, blockSamples)
		for i := range uint16(12) {
			*now += int64(a)
			v.Push(a+i, uint32(b)*uint32(i), x)
			v.Push(b-i, uint32(a), y)
			v.read(block)
		}
		for range 200 {
			*now += int64(blockSamples)
			v.read(block)
		}
		if n := v.play.length(); v.store.waiting > slots || n > 2*maxPacket {
			t.Fatalf("%d packets and %d samples wait", v.store.waiting, n)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	packets := tone(b, 440, 50)
	v, now := testVoice(b)
	block := make([]int16, blockSamples)
	n := 0
	for b.Loop() {
		*now += int64(frameSamples)
		v.Push(uint16(n), uint32(n*frameSamples), packets[n%50])
		n++
		v.read(block)
		v.read(block)
	}
}

// Four voices are decoded and mixed.
func BenchmarkMixFour20ms(b *testing.B) {
	packets := tone(b, 440, 50)
	s := NewSpeaker(nil, quietly)
	now := int64(0)
	for range 4 {
		v := newVoice()
		v.clock = func() int64 { return now }
		defer v.Close()
		s.voices = append(s.voices, v)
	}
	n := 0
	for b.Loop() {
		now += int64(frameSamples)
		for _, v := range s.voices {
			v.Push(uint16(n), uint32(n*frameSamples), packets[n%50])
		}
		n++
		s.next(0)
		s.next(0)
	}
}

func BenchmarkEncode20ms(b *testing.B) {
	b.ReportAllocs()
	enc, err := newEncoder()
	if err != nil {
		b.Fatal(err)
	}
	defer enc.close()
	voice, frame := talk(1, 4, 120), make([]int16, frameSamples)
	for at := 0; b.Loop(); at = (at + frameSamples) % (len(voice) - frameSamples) {
		for i := range frame {
			frame[i] = int16(voice[at+i])
		}
		if _, err := enc.encode(frame); err != nil {
			b.Fatal(err)
		}
	}
}
