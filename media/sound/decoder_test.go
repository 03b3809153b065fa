package sound

import (
	"testing"

	"github.com/pion/opus"
)

func TestDecoderKeepsToneOverLoss(t *testing.T) {
	d, err := newDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	var all []int16
	pcm := make([]int16, maxPacket)
	for i, p := range tone(t, 440, 100) {
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
	if s := strength(all[Rate/2:], 440); s < 0.9 {
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
	for i, p := range tone(t, 440, 100) {
		n, err := d.DecodeToInt16(p, pcm)
		if err != nil {
			t.Fatalf("packet %d, first byte %x: %v", i, p[0], err)
		}
		all = append(all, pcm[:n]...)
	}
	t.Logf("toc %x, tone %.3f", tone(t, 440, 50)[40][0], strength(all[Rate/2:], 440))
}

func FuzzDecode(f *testing.F) {
	for _, p := range tone(f, 440, 3) {
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
	ps := tone(b, 440, 50)
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

func BenchmarkPionDecode20ms(b *testing.B) {
	ps := tone(b, 440, 50)
	d, _ := opus.NewDecoderWithOutput(Rate, 1)
	pcm := make([]int16, maxPacket)
	for i := 0; b.Loop(); i++ {
		_, _ = d.DecodeToInt16(ps[i%50], pcm)
	}
}
