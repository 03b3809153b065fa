package sound

import (
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// What was an event's file when it was noted, and is another by now, is not written to.
func TestWakeOnlyEvents(t *testing.T) {
	event, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(event)
	if !slices.Contains(eventFDs(), event) {
		t.Fatalf("%d is none of %v", event, eventFDs())
	}
	other, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	defer to.Close()
	wake([]int{event, int(to.Fd())})
	if n, err := unix.Read(event, make([]byte, 8)); n != 8 {
		t.Errorf("it was not woken: %v", err)
	}
	poll := []unix.PollFd{{Fd: int32(other.Fd()), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 0); n != 0 || err != nil {
		t.Errorf("another file was written into, or %v", err)
	}
}
