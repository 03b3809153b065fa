package fake

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/herald-im/herald/media/sound"
)

func TestClock(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 123_456_789, time.UTC)
	pcm := make([]int16, 3*sound.Rate)
	phase := 0.0
	for i := 0; i < len(pcm); i += samples {
		phase = DrawClock(pcm[i:i+samples], began.Add(time.Duration(i)*time.Second/sound.Rate), phase)
	}
	const window = sound.Rate / 25
	for _, delay := range []time.Duration{0, 7 * time.Millisecond, 300 * time.Millisecond, 900 * time.Millisecond} {
		read := 0
		for i := 0; i+window <= len(pcm); i += 777 {
			middle := began.Add(time.Duration(i+window/2)*time.Second/sound.Rate + delay)
			ago, ok := ReadClock(pcm[i:i+window], middle)
			if !ok {
				continue
			}
			read++
			if off := (ago - delay + time.Second/2) % time.Second; off < 495*time.Millisecond || off > 505*time.Millisecond {
				t.Errorf("%v later: read as %v", delay, ago)
			}
		}
		if all := (len(pcm) - window) / 777; read < all*9/10 {
			t.Errorf("%v later: %d of %d were read", delay, read, all)
		}
	}
	noise := make([]int16, window)
	for i := range noise {
		noise[i] = int16(rand.IntN(1<<16) - 1<<15)
	}
	for what, pcm := range map[string][]int16{"silence": make([]int16, window), "noise": noise, "nothing": nil} {
		if ago, ok := ReadClock(pcm, began); ok {
			t.Errorf("%s is read as %v", what, ago)
		}
	}
}
