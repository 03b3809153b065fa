package sound

import (
	"testing"
	"testing/synctest"
	"time"
)

// The clock of voices and of what was played goes on for as long as a board runs.
func TestClockForDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, last := sampleClock(), int64(0)
		for day := range int64(1000) {
			time.Sleep(24 * time.Hour)
			now := clock()
			if now != (day+1)*24*3600*Rate {
				t.Fatalf("after day %d it is %d, after %d before it", day+1, now, last)
			}
			last = now
		}
	})
}

// A voice that is heard for days on end goes on. Its packets come as ever.
func TestVoiceForDays(t *testing.T) {
	packets := tone(t, 440, 60)[10:]
	synctest.Test(t, func(t *testing.T) {
		v := newVoice()
		defer v.Close()
		block := make([]int16, blockSamples)
		seq, stamp := uint16(0), uint32(0)
		for range 10 {
			for range 100 {
				time.Sleep(FrameTime)
				v.Push(seq, stamp, packets[int(seq)%len(packets)])
				seq, stamp = seq+1, stamp+uint32(frameSamples)
				v.read(block)
				v.read(block)
			}
			if v.Level() < 40 {
				t.Fatalf("not heard: %+v", v.Stats())
			}
			const pause = 11 * time.Hour // of which the sender's clock knows
			time.Sleep(pause)
			stamp += uint32(pause / time.Second * Rate)
		}
		if st := v.Stats(); st.Lost > 0 || st.Bad > 0 {
			t.Errorf("%+v", st)
		}
	})
}
