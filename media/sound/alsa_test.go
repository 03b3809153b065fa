package sound

import (
	"strings"
	"testing"

	"github.com/gen2brain/malgo"
)

func TestFormatsInShort(t *testing.T) {
	var list []malgo.DataFormat
	for _, rate := range []uint32{48000, 8000, 44100} {
		for _, f := range []malgo.FormatType{malgo.FormatS16, malgo.FormatS32} {
			list = append(list, malgo.DataFormat{Format: f, Channels: rate%3 + 1, SampleRate: rate})
		}
	}
	list = append(list, malgo.DataFormat{Format: malgo.FormatF32, Channels: 2, SampleRate: 48000}, malgo.DataFormat{})
	if got := strings.Join(formatsText(list), ", "); got != "S16 8000–48000 Hz 1–3 channels, S32 8000–48000 Hz 1–3 channels, F32 48000 Hz 2 channels, any" {
		t.Error(got)
	}
}
