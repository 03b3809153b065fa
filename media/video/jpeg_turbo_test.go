//go:build turbojpeg

package video

import "testing"

// The decoder's C memory goes with the camera.
func TestCloseFreesTheDecoder(t *testing.T) {
	d := &fakeDriver{sizes: map[string][]frameSize{"MJPG": {size(640, 480)}}, next: [][]byte{photo(t, 640, 480)}}
	with(t, d)
	s, err := V4L2("/dev/video0").Open(Format{640, 480, 30})
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Read()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s.(*capture).jpeg.(*turboJPEG).handle != nil {
		t.Error("it is still there")
	}
	f.Release() // a picture may outlive it
}
