package fake

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/herald-im/herald/media/sound"
)

// The clock in the sound: a tone whose pitch rises from pitchLow to pitchHigh in the
// course of each second of the day, and jumps back.
const (
	pitchLow  = 500.0  // Hz
	pitchHigh = 2500.0 // Hz
)

// NewClock makes a microphone that hears what time it is, for ReadClock.
func NewClock() *Microphone { return &Microphone{clock: true} }

// DrawClock writes the tone from a time on; phase is where the wave stood, in radians,
// and where it stands then.
func DrawClock(pcm []int16, at time.Time, phase float64) float64 {
	for i := range pcm {
		t := at.Add(time.Duration(i) * time.Second / sound.Rate)
		pitch := pitchLow + (pitchHigh-pitchLow)*float64(t.Nanosecond())/1e9
		phase = math.Mod(phase+2*math.Pi*pitch/sound.Rate, 2*math.Pi)
		pcm[i] = int16(8192 * math.Sin(phase))
	}
	return phase
}

// ReadClock tells how long ago, up to a second, sound was heard by a microphone of
// NewClock whose middle is played at a time. ok is false for sound in which no tone can
// be read. 20 to 50 ms of it are read to some milliseconds.
func ReadClock(pcm []int16, middle time.Time) (ago time.Duration, ok bool) {
	first, last, crossings := 0.0, 0.0, 0
	var lengths []float64
	for i := 1; i < len(pcm); i++ {
		a, b := float64(pcm[i-1]), float64(pcm[i])
		if a >= 0 || b < 0 {
			continue
		}
		at := float64(i-1) - a/(b-a)
		if crossings++; crossings == 1 {
			first = at
		} else {
			lengths = append(lengths, at-last)
		}
		last = at
	}
	if len(lengths) < 5 {
		return 0, false
	}
	mean := (last - first) / float64(len(lengths))
	for _, l := range lengths { // noise, or the jump back
		if l < 0.8*mean || l > 1.25*mean {
			return 0, false
		}
	}
	pitch := sound.Rate / mean
	if pitch < pitchLow-20 || pitch > pitchHigh+20 {
		return 0, false
	}
	heard := (pitch - pitchLow) / (pitchHigh - pitchLow)
	// The pitch is that of the middle between the crossings, which is not that of pcm.
	now := middle.Add(time.Duration(((first+last)/2 - float64(len(pcm)-1)/2) / sound.Rate * float64(time.Second)))
	back := float64(now.Nanosecond())/1e9 - heard
	return time.Duration((back - math.Floor(back)) * float64(time.Second)), true
}

// ReadRecorded is ReadClock of what a Recorder plays now, of whose file path is. The
// error is that of reading the file.
func ReadRecorded(path string) (ago time.Duration, ok bool, err error) {
	const part = 2 * sound.Rate / 25 // 40 ms, in bytes
	f, err := os.Open(path)
	if err != nil {
		return 0, false, fmt.Errorf("read what is played: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	now := time.Now()
	if err != nil || st.Size() < part {
		return 0, false, err
	}
	raw := make([]byte, part)
	if _, err := f.ReadAt(raw, st.Size()&^1-part); err != nil {
		return 0, false, fmt.Errorf("read what is played: %w", err)
	}
	pcm := make([]int16, part/2)
	for i := range pcm {
		pcm[i] = int16(binary.LittleEndian.Uint16(raw[2*i:]))
	}
	// What is written at the beginning of a period of 10 ms is played in its course: on
	// the average the end of it is now.
	ago, ok = ReadClock(pcm, now.Add(-time.Duration(len(pcm)/2)*time.Second/sound.Rate))
	return ago, ok, nil
}
