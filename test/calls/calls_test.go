package calls

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
	"github.com/herald-im/herald/test/rig"
)

// usage is what a process has open and takes.
type usage struct{ files, threads, rss int }

func usageOf(t *testing.T, p *rig.Process) (u usage) {
	t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(p.PID()))
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	u.files = len(files)
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(status), "\n") {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.Atoi(f[1])
		switch f[0] {
		case "Threads:":
			u.threads = n
		case "VmRSS:":
			u.rss = n << 10
		}
	}
	return u
}

func TestCallsInARow(t *testing.T) {
	h := newHouse(t, "off")
	door, indoor := h.board("door", ""), h.board("indoor", "")
	calls, warm := 60, 15
	if testing.Short() {
		calls, warm = 4, 2
	}
	if n, err := strconv.Atoi(os.Getenv("HERALD_CALLS")); err == nil { // for a longer look
		calls = n
	}
	var before [2]usage
	for i := range calls {
		if i == warm {
			before = [2]usage{usageOf(t, &door.Process), usageOf(t, &indoor.Process)}
		}
		must(door, protocol.PlaceCall, protocol.CallRequest{UserID: "indoor", Type: protocol.CallTypeVideo})
		indoor.event("Invited")
		must(indoor, protocol.AcceptCall, protocol.Empty{})
		door.event("UserEnter")
		indoor.event("UserEnter")
		h.hangup([]*board{door, indoor}[i%2], []*board{indoor, door}[i%2])
	}
	for i, b := range []*board{door, indoor} {
		var u usage
		b.until(fmt.Sprintf("as it was (%+v)", before[i]), func() bool {
			u = usageOf(t, &b.Process)
			return u.files <= before[i].files+2 && u.threads <= before[i].threads+4 && u.rss <= before[i].rss+12<<20
		})
		t.Logf("%s: %+v, and after %d calls more %+v", b.User, before[i], calls-warm, u)
	}
}

func TestRelayOnly(t *testing.T) {
	h := newHouse(t, "127.0.0.1:0")
	const relay = "[calls]\nrelay_only = true\n"
	door, indoor := h.board("door", relay), h.board("indoor", relay)
	h.connect(door, indoor)
	for _, b := range []*board{door, indoor} {
		u := b.call().Users[0]
		if !strings.Contains(u.Path, "relay") || strings.Contains(u.Path, "host") || strings.Contains(u.Path, "srflx") {
			t.Errorf("%s: the path is %s", b.User, u.Path)
		}
		if !u.Audio || !u.Video {
			t.Errorf("%s: %+v", b.User, u)
		}
	}
	h.hangup(door, indoor)
}

// Without a relay a board that may use nothing else says so, and the call ends.
func TestNoRelay(t *testing.T) {
	h := newHouse(t, "off")
	door, indoor := h.board("door", "[calls]\nrelay_only = true\n"), h.board("indoor", "")
	must(door, protocol.PlaceCall, protocol.CallRequest{UserID: "indoor"})
	indoor.event("Invited")
	must(indoor, protocol.AcceptCall, protocol.Empty{})
	t.Log(door.event("Error"))
	for _, b := range []*board{door, indoor} {
		b.event("CallEnd")
		b.state(protocol.CallIdle)
	}
}

func TestGroupOfFour(t *testing.T) {
	h := newHouse(t, "off")
	var all []*board
	for _, user := range []string{"door", "indoor", "phone", "attic"} {
		all = append(all, h.board(user, "[media]\nwidth = 320\nheight = 240\nframe_rate = 10\n"))
	}
	door := all[0]
	must(door, protocol.PlaceGroupCall, protocol.GroupCallRequest{UserIDList: []string{"indoor", "phone", "attic"}, Type: protocol.CallTypeVideo})
	for _, b := range all[1:] {
		b.event("Invited", `"userId":"door"`)
		must(b, protocol.AcceptCall, protocol.Empty{})
	}
	for _, b := range all {
		b.pictures(3)
	}
	must(all[3], protocol.Hangup, protocol.Empty{})
	for _, b := range all[:3] {
		b.event("UserLeave", `"userId":"attic"`)
		b.pictures(2)
	}
	must(door, protocol.Hangup, protocol.Empty{})
	for _, b := range all[1:3] {
		b.event("UserLeave", `"userId":"door"`)
		b.pictures(1)
	}
	h.hangup(all[1], all[2])
}

func TestRingGroupOfThree(t *testing.T) {
	h := newHouse(t, "off")
	door, indoor, phone, attic := h.board("door", ""), h.board("indoor", ""), h.board("phone", ""), h.board("attic", "")
	must(door, protocol.PlaceGroupCall, protocol.GroupCallRequest{
		UserIDList: []string{"indoor", "phone", "attic"}, Type: protocol.CallTypeVideo, Answer: protocol.AnswerFirst,
	})
	for _, b := range []*board{indoor, phone, attic} {
		b.event("Invited", `"userId":"door"`)
	}
	must(phone, protocol.AcceptCall, protocol.Empty{})
	for _, b := range []*board{indoor, attic} {
		b.event("CallingCancel", `"userId":"door"`)
		b.event("CallEnd")
	}
	door.pictures(1)
	phone.pictures(1)
	h.hangup(door, phone)
}

// A board that is killed is missed within 10 s, also where it is not started again.
func TestKilledWhileConnected(t *testing.T) {
	h := newHouse(t, "off")
	door, indoor := h.board("door", ""), h.board("indoor", "")
	h.connect(door, indoor)
	door.Kill()
	killed := time.Now()
	indoor.event("CallEnd", `"reason":"lost"`)
	if took := time.Since(killed); took > 10*time.Second {
		t.Errorf("missed after %v", took)
	} else {
		t.Logf("missed after %v", took.Round(10*time.Millisecond))
	}
	indoor.state(protocol.CallIdle)
	door.start()
	h.connect(indoor, door)
	door.Kill()
	killed = time.Now()
	door.start() // says that it knows nothing of a call
	indoor.event("CallEnd", `"reason":"lost"`)
	t.Logf("missed after %v where it is back at once", time.Since(killed).Round(10*time.Millisecond))
	h.connect(indoor, door)
	h.hangup(door, indoor)
}

// slack is what a busy machine may take besides.
const slack = 3 * time.Second

func TestKilledWhileRinging(t *testing.T) {
	h := newHouse(t, "off")
	door, indoor := h.board("door", ""), h.board("indoor", "")
	must(door, protocol.PlaceCall, protocol.CallRequest{UserID: "indoor", Type: protocol.CallTypeVideo})
	indoor.event("Invited")
	indoor.Kill()
	indoor.start()
	indoor.event("Invited")
	must(indoor, protocol.AcceptCall, protocol.Empty{})
	door.pictures(1)
	h.hangup(door, indoor)

	must(door, protocol.PlaceCall, protocol.CallRequest{UserID: "indoor"})
	indoor.event("Invited")
	door.Kill() // whoever called comes back and takes it back
	door.start()
	indoor.event("CallingCancel")
	indoor.state(protocol.CallIdle)
}

// A call outlives the hub.
func TestHubKilledWhileConnected(t *testing.T) {
	h := newHouse(t, "off")
	door, indoor := h.board("door", ""), h.board("indoor", "")
	h.connect(door, indoor)
	h.hub.Kill()
	for _, b := range []*board{door, indoor} {
		b.until("without a link", func() bool {
			s, err := client.Call(h.ctx, b.Client(), protocol.GetStatus, protocol.Empty{})
			return err == nil && s.Link != "up"
		})
	}
	h.picturesAfter(door, indoor)
	if err := h.hub.Start(h.ctx); err != nil {
		t.Fatal(err)
	}
	door.link("up")
	indoor.link("up")
	h.picturesAfter(door, indoor)
	h.hangup(indoor, door)
}
