package sound

import (
	"math"
	"testing"

	"github.com/pion/mediadevices/pkg/wave"
	"github.com/pion/opus"
)

// tonePackets are n packets of a tone, from our encoder.
func tonePackets(t testing.TB, n int) [][]byte {
	t.Helper()
	f := wave.NewInt16Interleaved(wave.ChunkInfo{Len: frameSamples, Channels: 1, SamplingRate: Rate})
	at := 0
	enc, err := newEncoder(func() (wave.Audio, error) {
		for i := range f.Data {
			f.Data[i] = int16(8000 * math.Sin(2*math.Pi*440*float64(at)/Rate))
			at++
		}
		return f, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = enc.Close() }()
	var all [][]byte
	for range n {
		b, _, err := enc.Read()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// share is how much of pcm's energy is at freq, 0 to 1.
func share(pcm []int16, freq float64) float64 {
	var re, im, sum float64
	for i, s := range pcm {
		x := float64(s)
		re += x * math.Cos(2*math.Pi*freq*float64(i)/Rate)
		im += x * math.Sin(2*math.Pi*freq*float64(i)/Rate)
		sum += x * x
	}
	if sum == 0 {
		return 0
	}
	return 2 * (re*re + im*im) / (float64(len(pcm)) * sum)
}

func TestDecoderKeepsToneOverLoss(t *testing.T) {
	d, err := newDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	var all []int16
	pcm := make([]int16, maxPacket)
	for i, p := range tonePackets(t, 100) {
		var n int
		if i%20 == 19 {
			n, err = d.conceal(pcm[:frameSamples])
		} else {
			n, err = d.decode(p, pcm)
		}
		if err != nil || n != frameSamples {
			t.Fatalf("packet %d: %d samples, %v", i, n, err)
		}
		if i == 39 && level(pcm[:n]) < 50 {
			t.Errorf("a lost packet is concealed with level %d", level(pcm[:n]))
		}
		all = append(all, pcm[:n]...)
	}
	if s := share(all[Rate/2:], 440); s < 0.9 {
		t.Errorf("%.2f of what was decoded is the tone, want 0.9", s)
	}
}

func TestPionDecodesOurEncoder(t *testing.T) {
	d, err := opus.NewDecoderWithOutput(Rate, 1)
	if err != nil {
		t.Fatal(err)
	}
	var all []int16
	pcm := make([]int16, maxPacket)
	for i, p := range tonePackets(t, 100) {
		n, err := d.DecodeToInt16(p, pcm)
		if err != nil {
			t.Fatalf("packet %d, first byte %x: %v", i, p[0], err)
		}
		all = append(all, pcm[:n]...)
	}
	t.Logf("toc %x, tone %.3f", tonePackets(t, 50)[40][0], share(all[Rate/2:], 440))
}

func FuzzDecode(f *testing.F) {
	for _, p := range tonePackets(f, 3) {
		f.Add(p)
	}
	f.Add([]byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := newDecoder()
		if err != nil {
			t.Fatal(err)
		}
		defer d.close()
		pcm := make([]int16, maxPacket)
		if n, err := d.decode(b, pcm); err == nil && (n < 1 || n > maxPacket) {
			t.Fatalf("%d samples", n)
		}
	})
}

func BenchmarkDecode20ms(b *testing.B) {
	ps := tonePackets(b, 50)
	d, err := newDecoder()
	if err != nil {
		b.Fatal(err)
	}
	defer d.close()
	pcm := make([]int16, maxPacket)
	for i := 0; b.Loop(); i++ {
		_, _ = d.decode(ps[i%50], pcm)
	}
}

func BenchmarkEncode20ms(b *testing.B) {
	f := wave.NewInt16Interleaved(wave.ChunkInfo{Len: frameSamples, Channels: 1, SamplingRate: Rate})
	for i := range f.Data {
		f.Data[i] = int16(8000 * math.Sin(2*math.Pi*440*float64(i)/Rate))
	}
	enc, err := newEncoder(func() (wave.Audio, error) { return f, nil })
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = enc.Close() }()
	for b.Loop() {
		_, _, _ = enc.Read()
	}
}

func BenchmarkPionDecode20ms(b *testing.B) {
	ps := tonePackets(b, 50)
	d, _ := opus.NewDecoderWithOutput(Rate, 1)
	pcm := make([]int16, maxPacket)
	for i := 0; b.Loop(); i++ {
		_, _ = d.DecodeToInt16(ps[i%50], pcm)
	}
}
