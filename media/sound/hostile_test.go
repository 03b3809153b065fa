package sound

import (
	"testing"
	"time"
)

// shapes of packets that others may send: 2.5 to 120 ms, SILK, hybrid and CELT, mono and
// stereo, of one frame and of many, and what is none.
var hostile = func() (all [][]byte) {
	for config := range 32 {
		for stereo := range 2 {
			for code := range 4 {
				toc := byte(config<<3 | stereo<<2 | code)
				all = append(all, []byte{toc}, []byte{toc, 2, 0x55, 0xaa}, append([]byte{toc, 0x83, 1, 1}, make([]byte, 40)...))
			}
		}
	}
	return all
}()

// FuzzStream lets a far end send whatever numbers, times and packets it likes. Of each 4
// bytes the first says what is done, the others with what.
func FuzzStream(f *testing.F) {
	f.Add([]byte{0, 1, 4, 0, 9, 1, 1, 1, 0, 1, 0, 0, 9, 2, 2, 2, 3, 255, 255, 255})
	f.Add([]byte{0, 0, 0, 0, 5, 40, 0, 0, 4, 64, 0, 0, 0xf0, 0, 0, 0}) // back, over one that waits
	ours := tone(f, 440, 20)
	kinds := append(append([][]byte(nil), ours...), hostile...)
	f.Fuzz(func(t *testing.T, script []byte) {
		v, now := testVoice(t)
		block := make([]int16, blockSamples)
		seq, stamp := uint16(65500), uint32(1<<32-5000)
		for n := 0; len(script) >= 4 && n < 2000; n++ {
			do, a, b, c := script[0], script[1], script[2], script[3]
			script = script[4:]
			kind := kinds[(int(c)*7+int(b))%len(kinds)]
			switch do % 8 {
			case 0, 1: // as it should be
				seq, stamp = seq+1, stamp+uint32(frameSamples)
				v.Push(seq, stamp, ours[int(c)%len(ours)])
			case 2: // another kind
				seq, stamp = seq+1, stamp+uint32(a)*120
				v.Push(seq, stamp, kind)
			case 3: // it leaps
				seq, stamp = seq+uint16(a)<<8+uint16(b), stamp+uint32(b)<<24+uint32(c)<<12
				v.Push(seq, stamp, kind)
			case 4: // out of order
				v.Push(seq-uint16(a), stamp-uint32(a)*uint32(b)*10, kind)
			case 5: // its time stands still
				for range int(a) {
					seq++
					v.Push(seq, stamp, kind)
				}
			case 6: // all is silent
				*now += int64(a) * int64(b) * 100
			case 7:
				seq += uint16(a) % 70
				v.Push(seq, stamp+uint32(a)*960, kind)
			}
			for range int(do>>4) + 1 {
				*now += int64(blockSamples)
				v.read(block)
			}
			check(t, v)
		}
	})
}

// check tells what cannot be of a voice.
func check(t *testing.T, v *Voice) {
	t.Helper()
	full := 0
	for _, p := range v.store.packets {
		if p.full {
			full++
		}
	}
	st := v.Stats()
	const many = 1 << 40
	switch {
	case full != v.store.waiting:
		t.Fatalf("%d packets wait, %d are counted", full, v.store.waiting)
	case v.play.length() > 2*maxPacket:
		t.Fatalf("%d samples wait", v.play.length())
	case st.Lost > many || st.Late > many || st.Concealed > many || st.Recovered > st.Packets || st.Concealed > st.Total+many>>20:
		t.Fatalf("%+v", st)
	case st.Target < 0 || st.Target > 130*time.Millisecond || st.Rate < 1-bend || st.Rate > 1+bend || st.Level < 0 || st.Jitter < 0:
		t.Fatalf("%+v", st)
	}
}
