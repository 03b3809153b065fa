// Package sound is the board's microphone and speaker: an owner for each, the Opus
// encoder whose output all share, and for what arrives a jitter buffer and decoder
// for each voice and a mixer. How sound travels is package peer's.
//
// All sound inside is 48 kHz, 16 bit, mono. Cards are opened as they are, and brought
// to that here (convert.go, resample.go). What the speaker's device was given (Played)
// goes to the microphone's echo canceller, beside what was captured at the same time
// (align.go); without a canceller built in the microphone is lowered while the others
// speak.
package sound

import (
	"math"
	"sync"
	"time"
)

const (
	// Rate in samples a second, which is also Opus's clock (RFC 7587 §4.1).
	Rate = 48000
	// FrameTime is how much sound an Opus packet of ours holds.
	FrameTime = 20 * time.Millisecond
	// blockTime is how much sound devices are given at a time.
	blockTime    = 10 * time.Millisecond
	frameSamples = int(Rate * FrameTime / time.Second)
	blockSamples = int(Rate * blockTime / time.Second)
)

// CaptureDevice is a microphone that can be opened.
type CaptureDevice interface {
	Name() string
	// Open begins to capture. get is called from the driver's thread and must not
	// block; it must not keep pcm. stopped may be called from there, too, when the
	// device has ended by itself.
	Open(get func(pcm []int16), stopped func(error)) (Stream, error)
}

// PlaybackDevice is a speaker that can be opened.
type PlaybackDevice interface {
	Name() string
	// Open begins to play. fill is called from the driver's thread, must not block,
	// and sets all of pcm.
	Open(fill func(pcm []int16), stopped func(error)) (Stream, error)
}

// Stream is an open device. Neither of its callbacks is called any more once Close
// has returned.
type Stream interface{ Close() }

// DeviceStats is what a device gives, and how it went since it was opened last.
type DeviceStats struct {
	Rate, Channels int    // that the driver granted; 0 where it does not tell
	Format         string // likewise: S16, S32, F32 …
	Frames         uint64 // at its rate
	Xruns          uint64 // times that it lost sound since nobody fetched it, or had none to play
	Opens          uint64 // times that it was opened in all
}

// granter is a Stream that tells what it was granted.
type granter interface{ Granted() DeviceStats }

// grants remembers the stream that is open, or was last.
type grants struct {
	mu     sync.Mutex
	stream Stream
	opens  uint64
}

// note passes on what Open has returned.
func (g *grants) note(s Stream, err error) (Stream, error) {
	if err == nil {
		g.mu.Lock()
		g.stream = s
		g.opens++
		g.mu.Unlock()
	}
	return s, err
}

func (g *grants) stats() (s DeviceStats) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if of, ok := g.stream.(granter); ok {
		s = of.Granted()
	}
	s.Opens = g.opens
	return s
}

// level is how loud samples are, 0 to 100: 0 is -60 dB of full scale and below.
func level(pcm []int16) int {
	if len(pcm) == 0 {
		return 0
	}
	sum := 0.0
	for _, s := range pcm {
		sum += float64(s) * float64(s)
	}
	if sum == 0 {
		return 0
	}
	db := 10 * math.Log10(sum/float64(len(pcm))/(32768*32768))
	return int(min(100, max(0, (db+60)*100/60)))
}
