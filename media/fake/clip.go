package fake

import (
	"bytes"
	"fmt"
	"os"
)

// delimiter begins an access unit (H.264 §7.3.2.4).
var delimiter = []byte{0, 0, 0, 1, 9}

// NewClip makes an EncodingCamera that gives the H264 of a file over and over: Annex B,
// an access unit delimiter before each unit, the first one a key frame. The camera
// fails to open while there is no such file.
func NewClip(name, path string) *EncodingCamera {
	c := NewEncodingCamera(name, nil)
	c.Fail = func() error {
		if c.units != nil {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read the camera's clip: %w", err)
		}
		first := bytes.Index(b, delimiter)
		if first < 0 {
			return fmt.Errorf("%s has no access unit delimiter: it is no H264 that ffmpeg makes with -bsf:v h264_metadata=aud=insert", path)
		}
		for _, unit := range bytes.Split(b[first:], delimiter)[1:] {
			c.units = append(c.units, append(bytes.Clone(delimiter), unit...))
		}
		return nil
	}
	return c
}
