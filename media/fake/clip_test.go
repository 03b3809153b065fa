package fake_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/herald-im/herald/media/fake"
	"github.com/herald-im/herald/media/video"
)

// A clip is given unit by unit, as it is.
func TestClip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clip.h264")
	want := video.Format{Width: 640, Height: 480, Rate: 1000}
	c := fake.NewClip("front", path)
	if _, err := c.OpenUnits(want, 0); err == nil {
		t.Error("a clip that is not there is opened")
	}
	if err := os.WriteFile(path, []byte("no clip"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.OpenUnits(want, 0); err == nil {
		t.Error("what is no clip is opened")
	}
	units := encode(t, 3)
	var clip []byte
	for _, u := range units {
		clip = append(append(clip, 0, 0, 0, 1, 9, 0xf0), u.Data...)
	}
	if err := os.WriteFile(path, clip, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := c.OpenUnits(want, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 2 * len(units) {
		f, err := s.Read()
		if err != nil {
			t.Fatal(err)
		}
		if u := units[i%len(units)]; f.Unit.Key != u.Key || !bytes.HasSuffix(f.Unit.Data, u.Data) {
			t.Errorf("unit %d of %d bytes, key %v, and it had %d, %v", i, len(f.Unit.Data), f.Unit.Key, len(u.Data), u.Key)
		}
		f.Release()
	}
}

// encode is so many pictures of a fake camera, the first of them a key frame.
func encode(t *testing.T, n int) (out []video.AccessUnit) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	s := video.NewSender(500_000, quiet)
	defer s.Close()
	s.Select(video.NewCamera(fake.NewCamera("front"), video.Format{Width: 320, Height: 240, Rate: 30}, quiet), true)
	got := make(chan video.AccessUnit, n)
	defer s.Follow(video.H264, func(u video.AccessUnit) {
		select {
		case got <- u:
		default:
		}
	})()
	for range n {
		select {
		case u := <-got:
			out = append(out, u)
		case <-time.After(20 * time.Second):
			t.Fatalf("%d pictures", len(out))
		}
	}
	return out
}
