package fake

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/herald-im/herald/media/sound"
)

// Recorder is a speaker that writes what it plays into a file, as raw samples: signed,
// 16 bits, little endian, mono, 48000 a second.
type Recorder struct {
	breakable
	path string
}

// NewRecorder makes one. The file is made anew each time that the speaker is opened.
func NewRecorder(path string) *Recorder { return &Recorder{path: path} }

// Name of the speaker.
func (r *Recorder) Name() string { return "fake speaker into " + r.path }

// Open begins to play.
func (r *Recorder) Open(fill func([]int16), stopped func(error)) (sound.Stream, error) {
	f, err := os.Create(r.path)
	if err != nil {
		return nil, fmt.Errorf("record what is played: %w", err)
	}
	pcm, raw := make([]int16, samples), make([]byte, 0, 2*samples)
	s, err := r.start(func() {
		fill(pcm)
		raw = raw[:0]
		for _, x := range pcm {
			raw = binary.LittleEndian.AppendUint16(raw, uint16(x))
		}
		_, _ = f.Write(raw) // the disk may be full: then the rest is missing
	}, stopped)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &recording{s, f}, nil
}

type recording struct {
	sound.Stream
	f *os.File
}

func (r *recording) Close() {
	r.Stream.Close()
	_ = r.f.Close()
}
