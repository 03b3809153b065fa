package calls

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

// sockets are how many a process has open.
func (b *board) sockets() (n int) {
	b.h.t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(b.PID()), "fd")
	files, err := os.ReadDir(dir)
	if err != nil {
		b.h.t.Fatal(err)
	}
	for _, f := range files {
		if to, err := os.Readlink(filepath.Join(dir, f.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			n++ // one that is gone meanwhile is none
		}
	}
	return n
}

// A call says by which path and codec it goes, and leaves no socket behind.
func TestDirectPath(t *testing.T) {
	h := newHouse(t, "off")
	door, indoor := h.board("door", ""), h.board("indoor", "")
	h.connect(door, indoor) // whatever the first call opens for good is open then
	h.hangup(door, indoor)
	before := map[*board]int{door: door.sockets(), indoor: indoor.sockets()}
	h.connect(indoor, door)
	for _, b := range []*board{door, indoor} {
		if u := b.call().Users[0]; u.Path == "" || strings.Contains(u.Path, "relay") || u.VideoCodec == "" || !u.Audio || !u.Video {
			t.Errorf("%s: %+v", b.User, u)
		}
	}
	h.hangup(indoor, door)
	for b, n := range before {
		b.until("without the call's sockets", func() bool { return b.sockets() <= n })
	}
}

// Where no board may use anything but a relay and there is none, the call ends in
// its time, and says what is missing.
func TestNoRelayForBoth(t *testing.T) {
	h := newHouse(t, "off")
	const relay = "[calls]\nrelay_only = true\n"
	door, indoor := h.board("door", relay), h.board("indoor", relay)
	must(door, protocol.PlaceCall, protocol.CallRequest{UserID: "indoor", Type: protocol.CallTypeVideo})
	indoor.event("Invited")
	must(indoor, protocol.AcceptCall, protocol.Empty{})
	accepted := time.Now()
	// The first of the two whose time is over says so, to its programs and to the other.
	var said string
	for _, b := range []*board{door, indoor} {
		b.until("told of the end", func() bool {
			return slices.ContainsFunc(b.heard(), func(e string) bool { return strings.HasPrefix(e, "CallEnd ") })
		})
		if took := time.Since(accepted); took > 10*time.Second+slack {
			t.Errorf("%s: the call ended after %v", b.User, took)
		}
		for _, e := range b.heard() {
			if strings.HasPrefix(e, "Error ") {
				said += e
			}
		}
		b.state(protocol.CallIdle)
	}
	if !strings.Contains(said, "calls.relay_only") || !strings.Contains(said, "cannot be reached") {
		t.Errorf("the error is %q", said)
	}
	t.Log(said)
}
