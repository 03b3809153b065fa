package video_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/herald-im/herald/media/fake"
	"github.com/herald-im/herald/media/heap"
	"github.com/herald-im/herald/media/video"
)

// residentKiB is the memory that the process takes, the codecs' C memory with it.
func residentKiB(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); f[0] == "VmRSS:" {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// What an encoder took comes back, whatever thread it ran on.
func TestMemoryComesBack(t *testing.T) {
	heap.Tune()
	for _, c := range []video.Codec{video.H264, video.VP8} {
		first := 0
		for i := range 30 {
			s := video.NewSender(1_000_000, quiet)
			s.Select(video.NewCamera(fake.NewCamera("front"), format(640, 480), quiet), true)
			collect(t, s, c, 2)
			s.Close()
			heap.Trim()
			if i == 2 {
				first = residentKiB(t)
			}
		}
		grown := residentKiB(t) - first
		t.Logf("%s: %d KiB, and grown by %d", c, first, grown)
		if grown > 8<<10 && !raceDetector {
			t.Errorf("%s: grown by %d KiB", c, grown)
		}
	}
}
