package video

import (
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/media/h264/h264test"
)

// Two who switch between two cameras as fast as they can, of which one is not fit to be
// passed on, have each open once at most, and in the end none.
func TestSwitchedQuickly(t *testing.T) {
	set(t, &keyPatience, 50*time.Millisecond)
	set(t, &picturesLull, 50*time.Millisecond)
	before := runtime.NumGoroutine()
	var mu sync.Mutex
	open, times := make(map[string]int), make(map[string]int)
	stream := map[string][][]byte{"/dev/video0": h264test.Encoded(t, 160, 120, 30), "/dev/video1": h264test.Encoded(t, 160, 120, 10)[1:]}
	set(t, &openDriver, func(path string) (driver, error) {
		mu.Lock()
		defer mu.Unlock()
		if open[path]++; open[path] > 1 {
			t.Errorf("%s is opened twice", path)
		}
		times[path]++
		return &closing{h264Camera(stream[path], "YUYV"), func() { mu.Lock(); defer mu.Unlock(); open[path]-- }}, nil
	})
	front := drained(t, NewCamera(V4L2("/dev/video0"), Format{160, 120, 30}, quiet))
	back := drained(t, NewCamera(V4L2("/dev/video1"), Format{160, 120, 30}, quiet))
	s := NewSender(100_000_000, quiet)
	defer s.Close()
	s.Select(front, true)
	got := make(chan AccessUnit, 1000)
	stop := s.Follow(H264, func(u AccessUnit) {
		select {
		case got <- u:
		default:
		}
	})
	var users sync.WaitGroup
	for i, c := range []*Camera{front, back} {
		users.Go(func() {
			for range 200 {
				s.Select(c, true)
				stop := s.Follow([]Codec{H264, VP8}[i], func(AccessUnit) {})
				time.Sleep(time.Millisecond)
				stop()
			}
		})
	}
	users.Wait()
	s.Select(front, true)
	for len(got) > 0 {
		<-got
	}
	until(t, "a key frame", func() bool { return next(t, got).Key })
	until(t, "passed through", func() bool { next(t, got); return front.Figures().Passthrough })
	mu.Lock()
	t.Log("opened", times)
	mu.Unlock()
	stop()
	s.Close()
	if err := errors.Join(front.Drain(t.Context()), back.Drain(t.Context())); err != nil {
		t.Error(err)
	}
	if open["/dev/video0"] != 0 || open["/dev/video1"] != 0 {
		t.Error("open at last", open)
	}
	until(t, "without goroutines", func() bool { return runtime.NumGoroutine() <= before })
}

// closing is a driver that tells when it is closed.
type closing struct {
	*fakeDriver
	told func()
}

func (d *closing) Close() error { d.told(); return d.fakeDriver.Close() }
