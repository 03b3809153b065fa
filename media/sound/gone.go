package sound

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A card that is unplugged leaves miniaudio's thread turning round for ever: it only
// logs that, each time, and holds the log's lock so often that whoever wants to end it
// (and logs that, too, before it does) may never get there. So the log is listened to,
// the thread is slowed down there, and it is woken by us.

// errGone is why a device of such a card fails.
var errGone = errors.New("it is not there any more")

// What miniaudio's log says, by how it begins.
const (
	saysOverrun = "EPIPE (read)"                        // of a microphone; it goes on by itself
	saysGone    = "[ALSA] POLLERR detected. status = 8" // SND_PCM_STATE_DISCONNECTED, of any
)

// goneTime is how long a device of a card may not have called back to be one that is
// gone, when one is.
const goneTime = 300 * time.Millisecond

// listener knows the streams that are open. It is called with the log's lock held, and
// so calls nothing of miniaudio's.
type listener struct {
	mu   sync.Mutex
	open []*stream
}

func (l *listener) add(s *stream) { l.mu.Lock(); defer l.mu.Unlock(); l.open = append(l.open, s) }

func (l *listener) remove(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = slices.DeleteFunc(l.open, func(x *stream) bool { return x == s })
}

// gone is called, again and again, while any card is.
func (l *listener) gone() {
	time.Sleep(10 * time.Millisecond)
	l.mu.Lock()
	open := slices.Clone(l.open)
	l.mu.Unlock()
	for _, s := range open {
		if s.idle() > goneTime {
			s.fail(errGone)
		}
	}
}

// eventFDs are the files that the process has of the kind that miniaudio wakes its
// threads by.
func eventFDs() (fds []int) {
	dir, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	for _, f := range dir {
		if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && strings.Contains(to, "[eventfd]") {
			if n, err := strconv.Atoi(f.Name()); err == nil {
				fds = append(fds, n)
			}
		}
	}
	return fds
}

// wake ends a thread that turns round, as miniaudio would. Of its files those may have
// been noted that were another's, and are something else by now.
func wake(fds []int) {
	for _, fd := range eventFDs() {
		if !slices.Contains(fds, fd) {
			continue
		}
		_, _ = unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // it ends later, or not: there is no other way
	}
}
