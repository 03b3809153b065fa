package calling

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/device"
	"github.com/herald-im/herald/protocol"
)

// both runs two actions at once.
func both(a, b func()) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for _, f := range []func(){a, b} {
		wg.Go(func() {
			<-start
			f()
		})
	}
	close(start)
	wg.Wait()
}

const rounds = 25

// settled waits until both boards agree, for good, that there is a call between
// them or none.
func (h *house) settled(a, b *board) protocol.CallState {
	h.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		x, y := a.callStatus().State, b.callStatus().State
		if x == y && (x == protocol.CallIdle || x == protocol.CallConnected) {
			return x
		}
		if time.Now().After(end) {
			a.look()
			b.look()
			h.t.Fatalf("%s is %s (%v), %s is %s (%v)", a.user, x, a.seen, b.user, y, b.seen)
		}
	}
}

// over ends what there is and checks that nothing is left. No call has ended only
// because its time was over: each ends by what somebody does.
func (h *house) over(boards ...*board) {
	h.t.Helper()
	h.idle(boards...)
	for _, b := range boards {
		b.quiet("Error", "CallEnd:lost")
		b.seen = nil
	}
}

// idle ends what there is, and waits until nothing is left of it.
func (h *house) idle(boards ...*board) {
	h.t.Helper()
	for _, b := range boards {
		if b.callStatus().State != protocol.CallIdle {
			_ = b.call("hangup", ``) // the other one's may have been faster
		}
	}
	for _, b := range boards {
		b.state(protocol.CallIdle)
	}
	h.left(boards...)
	for _, b := range boards {
		b.lookAll()
	}
}

// overOnce is over, of boards each of which has been in one call since. The hub knows
// of none any more.
func (h *house) overOnce(boards ...*board) {
	h.t.Helper()
	h.idle(boards...)
	for _, b := range boards {
		if n := strings.Count(strings.Join(b.seen, " "), "CallEnd:"); n != 1 {
			h.t.Errorf("%s: one call has ended %d times: %v", b.user, n, b.seen)
		}
		res, err := device.Ask(h.t.Context(), b.dev, protocol.GetInvitations, protocol.Empty{})
		if err != nil || len(res.Invitations) > 0 {
			h.t.Errorf("%s: it rings at the hub: %+v, %v", b.user, res.Invitations, err)
		}
	}
	h.over(boards...)
}

// race does two things at once in a call that rings, many times, and tells how often
// it ended how. Both are done, or refused with one of some codes.
func race(t *testing.T, a, b func(door, indoor *board) error, done func(a, b error, s protocol.CallState) bool) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	ends := make(map[protocol.CallState]int)
	for range rounds {
		door.must("call", `{"userId":"indoor"}`)
		indoor.state(protocol.CallRinging)
		var errA, errB error
		both(func() { errA = a(door, indoor) }, func() { errB = b(door, indoor) })
		s := h.settled(door, indoor)
		if !done(errA, errB, s) {
			t.Errorf("%v, %v, and then %s", errA, errB, s)
		}
		ends[s]++
		h.overOnce(door, indoor)
	}
	t.Log(ends)
}

func accept(_, indoor *board) error { return indoor.call("accept", ``) }
func reject(_, indoor *board) error { return indoor.call("reject", ``) }
func hangup(door, _ *board) error   { return door.call("hangup", ``) }

// Something else was faster: what a reject or a hangup, and an accept, are refused with.
func noSuchCall(err error) bool {
	return err != nil && protocol.AsError(err).Code == protocol.CodeCallWrongState
}
func tooLate(err error) bool {
	return noSuchCall(err) || err != nil && slices.Contains([]protocol.Code{protocol.CodeUserCanceled, protocol.CodeSignalingInvalidInviteID}, protocol.AsError(err).Code)
}

func TestAcceptAgainstCancel(t *testing.T) {
	race(t, accept, hangup, func(accepted, hungUp error, s protocol.CallState) bool {
		return (accepted == nil || tooLate(accepted)) && hungUp == nil && s == protocol.CallIdle
	})
}

func TestRejectAgainstCancel(t *testing.T) {
	race(t, reject, hangup, func(rejected, hungUp error, s protocol.CallState) bool {
		return (rejected == nil || noSuchCall(rejected)) && (hungUp == nil || noSuchCall(hungUp)) && (rejected == nil || hungUp == nil) && s == protocol.CallIdle
	})
}

// One of the two is done, and the other one is refused.
func TestAcceptAgainstReject(t *testing.T) {
	race(t, accept, reject, func(accepted, rejected error, s protocol.CallState) bool {
		if s == protocol.CallConnected {
			return accepted == nil && noSuchCall(rejected)
		}
		return tooLate(accepted) && rejected == nil
	})
}

func TestHangupAgainstHangup(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	for range rounds {
		door.must("call", `{"userId":"indoor"}`)
		indoor.state(protocol.CallRinging)
		indoor.must("accept", ``)
		door.state(protocol.CallConnected)
		both(func() { _ = door.call("hangup", ``) }, func() { _ = indoor.call("hangup", ``) })
		if s := h.settled(door, indoor); s != protocol.CallIdle {
			t.Fatal(s)
		}
		h.overOnce(door, indoor)
	}
}

// The moments after the accept are the ones in which connections are made.
func TestHangupWhileConnecting(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	for i := range rounds {
		who := []*board{door, indoor}[i%2]
		door.must("call", `{"userId":"indoor","type":1}`)
		indoor.state(protocol.CallRinging)
		accepted := make(chan struct{})
		go func() {
			_ = accept(door, indoor)
			close(accepted)
		}()
		who.until("past ringing", func() bool {
			s := who.callStatus().State
			return s != protocol.CallRinging && s != protocol.CallCalling
		})
		_ = who.call("hangup", ``)
		<-accepted
		if s := h.settled(door, indoor); s != protocol.CallIdle {
			t.Fatal(s)
		}
		h.overOnce(door, indoor)
	}
}

// The devices take their time, and meanwhile whoever called gives up, whoever accepted
// does, or the time of the call is over.
func TestEndWhileTheDevicesOpen(t *testing.T) {
	for _, who := range []string{"caller", "callee", "time"} {
		t.Run(who, func(t *testing.T) {
			h := newHouse(t)
			h.timing.grace = time.Hour // it is the hub that says so
			door, indoor := h.board("door"), h.board("indoor")
			indoor.media.mu.Lock()
			indoor.media.hold = make(chan struct{})
			indoor.media.mu.Unlock()
			ring := 30
			if who == "time" {
				ring = 1
			}
			door.must("call", fmt.Sprintf(`{"userId":"indoor","timeout":%d}`, ring))
			indoor.event("Invited:door")
			accepted := make(chan error, 1)
			go func() { accepted <- indoor.call("accept", ``) }()
			indoor.until("opening", func() bool { return indoor.media.used() == 1 })
			switch who {
			case "caller":
				door.must("hangup", ``)
			case "callee":
				indoor.must("hangup", ``)
				indoor.state(protocol.CallIdle)
			case "time":
				door.event("NoResp:indoor")
				indoor.until("told", func() bool { return indoor.recorded(protocol.OnInvitationTimeout.Info().Name) == 1 })
			}
			close(indoor.media.hold)
			// The accept may still have been faster than the cancel: then it is undone.
			if err := <-accepted; err == nil && who != "caller" || err != nil && !tooLate(err) {
				t.Errorf("accepted: %v", err)
			}
			if s := h.settled(door, indoor); s != protocol.CallIdle {
				t.Fatal(s)
			}
			switch who {
			case "callee":
				door.event("Reject:indoor") // and not an accept that is undone
			case "time":
				indoor.event("CallingTimeOut")
			}
			h.overOnce(door, indoor)
		})
	}
}

func TestAcceptAgainstTimeout(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	ends := map[protocol.CallState]int{}
	for i := range 8 {
		door.must("call", `{"userId":"indoor","timeout":1}`)
		indoor.state(protocol.CallRinging)
		// About when the hub's timer fires: the order is the hub's to say.
		timer := time.NewTimer(980*time.Millisecond + time.Duration(i)*5*time.Millisecond)
		<-timer.C
		err := indoor.call("accept", ``)
		s := h.settled(door, indoor)
		if (err == nil) != (s == protocol.CallConnected) {
			t.Errorf("accepted: %v, and then %s", err, s)
		}
		ends[s]++
		h.overOnce(door, indoor)
	}
	t.Log(ends)
}

// Two who call each other talk to each other.
func TestBothCall(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	for range rounds {
		both(func() { _ = door.call("call", `{"userId":"indoor"}`) }, func() { _ = indoor.call("call", `{"userId":"door"}`) })
		// One of them may have rung before the other one called: then he is to answer.
		for _, b := range []*board{door, indoor} {
			if b.callStatus().State == protocol.CallRinging {
				_ = b.call("accept", ``)
			}
		}
		if s := h.settled(door, indoor); s != protocol.CallConnected {
			t.Fatal(s)
		}
		if a, b := door.callStatus(), indoor.callStatus(); a.RoomID != b.RoomID || a.Inviter != b.Inviter {
			t.Fatalf("%+v, %+v", a, b)
		}
		h.overOnce(door, indoor)
	}
}

// Of an account's terminals one gets the call, and the other ones ring no more.
func TestAcceptOnTwoTerminals(t *testing.T) {
	h := newHouse(t)
	door, kitchen, hall := h.board("door"), h.board("indoor"), h.board("indoor")
	for range rounds {
		door.must("call", `{"userId":"indoor"}`)
		kitchen.state(protocol.CallRinging)
		hall.state(protocol.CallRinging)
		both(func() { _ = accept(nil, kitchen) }, func() { _ = accept(nil, hall) })
		door.state(protocol.CallConnected)
		door.until("settled", func() bool {
			a, b := kitchen.callStatus().State, hall.callStatus().State
			return a == protocol.CallConnected && b == protocol.CallIdle || a == protocol.CallIdle && b == protocol.CallConnected
		})
		h.overOnce(door, kitchen, hall)
	}
}

func TestAnswerElsewhere(t *testing.T) {
	h := newHouse(t)
	door, kitchen, hall := h.board("door"), h.board("indoor"), h.board("indoor")
	for _, answer := range []string{"accept", "reject"} {
		door.must("call", `{"userId":"indoor"}`)
		kitchen.event("Invited:door")
		hall.event("Invited:door")
		kitchen.must(answer, ``)
		hall.event("CallingCancel:indoor")
		hall.event("CallEnd:elsewhere")
		hall.refused(protocol.CodeCallWrongState, "accept", ``)
		if answer == "accept" {
			door.state(protocol.CallConnected)
			kitchen.state(protocol.CallConnected)
		}
		h.over(door, kitchen, hall)
	}
}

func TestHubRestartsWhileRinging(t *testing.T) {
	for _, then := range []string{"accept", "reject", "hangup"} {
		t.Run(then, func(t *testing.T) {
			h := newHouse(t)
			door, indoor := h.board("door"), h.board("indoor")
			door.must("call", `{"userId":"indoor"}`)
			indoor.event("Invited:door")
			h.hub()
			h.startHub()
			for _, b := range []*board{door, indoor} {
				b.until("linked", func() bool { return b.dev.Status().Link == "up" })
			}
			want := protocol.CallIdle
			switch then {
			case "accept":
				indoor.must("accept", ``)
				want = protocol.CallConnected
			case "reject":
				indoor.must("reject", ``)
				door.event("Reject:indoor")
			case "hangup":
				door.must("hangup", ``)
				indoor.event("CallingCancel:door")
			}
			if s := h.settled(door, indoor); s != want {
				t.Fatal(s)
			}
			h.over(door, indoor)
		})
	}
}

// Without a hub the time of a call is over all the same.
func TestHubIsGoneWhileRinging(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	door.must("call", `{"userId":"indoor","timeout":1}`)
	indoor.event("Invited:door")
	h.hub()
	h.hub = func() {}
	indoor.event("CallingTimeOut")
	indoor.event("CallEnd:noAnswer")
	door.event("NoResp:indoor")
	door.event("CallEnd:noAnswer")
	h.over(door, indoor)
}

func TestNetworkIsCut(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	h.inCall(door, indoor)
	h.net.setCut(true)
	door.until("looking for a path", func() bool {
		v, _ := get(t.Context(), door.Machine, func() (bool, error) { return !door.Machine.call.members[0].lost.IsZero(), nil })
		return v
	})
	h.net.setCut(false)
	for _, b := range []*board{door, indoor} { // restored before anybody gave up
		b.until("restored", func() bool {
			v, err := get(t.Context(), b.Machine, func() (bool, error) { return b.Machine.call != nil && b.Machine.call.members[0].lost.IsZero(), nil })
			return err == nil && v
		})
	}
	h.net.setCut(true) // for good
	for _, b := range []*board{door, indoor} {
		b.event("CallEnd:lost")
	}
	h.over(door, indoor)
	h.net.setCut(false)
	h.inCall(door, indoor)
	h.over(door, indoor)
}

// A board whose network is cut is waited for; one that is gone from the hub, too, is not
// for as long.
func TestGoneFromTheHub(t *testing.T) {
	h := newHouse(t)
	h.timing.lost = time.Hour
	h.timing.absent = 100 * time.Millisecond
	door, indoor := h.board("door"), h.board("indoor")
	h.inCall(door, indoor)
	h.net.setCut(true)
	tried := time.Time{}
	for range 3 { // asked, and the hub has handed it on
		door.until("looking for a path again", func() bool {
			at, err := get(t.Context(), door.Machine, func() (time.Time, error) { return door.Machine.call.members[0].tried, nil })
			again := err == nil && at.After(tried)
			tried = at
			return again
		})
	}
	door.quiet("CallEnd")
	indoor.crash(false)
	door.event("CallEnd:lost")
	h.over(door)
}

// The hub's word that somebody is gone counts for the connection that was asked about, and until he is heard.
func TestAbsentFromAnotherConnection(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	h.inCall(door, indoor)
	_, terminal := indoor.dev.Identity()
	room := door.callStatus().RoomID
	member := func() member {
		t.Helper()
		x, err := get(t.Context(), door.Machine, func() (member, error) { return *door.Machine.call.members[0], nil })
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	session := member().session
	says := func(kind protocol.PeeringKind, from, terminal string, session uint64, want int) {
		t.Helper()
		door.peering(from, terminal, protocol.Peering{Kind: kind, Inviter: "door", Room: room, Session: session, Audio: true})
		if n := member().absent; n != want {
			t.Errorf("%d times gone after %v of %s/%s, not %d", n, kind, from, terminal, want)
		}
	}
	says(protocol.PeeringAbsent, "indoor", "other", session, 0)
	says(protocol.PeeringAbsent, "indoor", terminal, session+1, 0)
	says(protocol.PeeringAbsent, "stranger", terminal, session, 0)
	says(protocol.PeeringAbsent, "indoor", terminal, session, 1)
	says(protocol.PeeringMedia, "indoor", "other", session, 1)
	says(protocol.PeeringAbsent, "indoor", terminal, session, 2)
	door.state(protocol.CallConnected) // he is heard
	says(protocol.PeeringMedia, "indoor", terminal, session, 0)
	h.over(door, indoor)
}

// A board that is killed in a call and started again says that it is in none.
func TestStartedAgainInACall(t *testing.T) {
	h := newHouse(t)
	h.timing.lost, h.timing.absent = time.Hour, time.Hour
	door, indoor := h.board("door"), h.board("indoor")
	h.inCall(door, indoor)
	h.net.setCut(true)
	indoor.crash(true)
	door.event("CallEnd:lost")
	h.over(door, indoor)
}

// inCall has one board call another, and waits until they are connected.
func (h *house) inCall(from, to *board) {
	h.t.Helper()
	from.must("call", fmt.Sprintf(`{"userId":%q}`, to.user))
	to.event("Invited:" + from.user)
	to.must("accept", ``)
	from.event("UserEnter:" + to.user)
	to.event("UserEnter:" + from.user)
}

// A board that is killed while it rings, or while it calls, takes up where it was.
func TestKilledWhileRinging(t *testing.T) {
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	door.must("call", `{"userId":"indoor"}`)
	indoor.event("Invited:door")
	indoor.crash(true)
	indoor.event("Invited:door")
	indoor.must("accept", ``)
	if s := h.settled(door, indoor); s != protocol.CallConnected {
		t.Fatal(s)
	}
	h.over(door, indoor)

	door.must("call", `{"userId":"indoor"}`)
	indoor.event("Invited:door")
	door.crash(true)
	indoor.event("CallingCancel:door")
	h.over(door, indoor)
}

// crash ends a board without a word to anybody about its call, and starts it again if so
// wanted.
func (b *board) crash(again bool) {
	b.t.Helper()
	_, _ = get(b.t.Context(), b.Machine, func() (bool, error) {
		if c := b.Machine.call; c != nil && c.begun != nil {
			<-c.begun
			b.media.End()
			for _, x := range c.members {
				b.disconnect(x)
			}
		}
		// Dead from here on: until its end an invitation that is told again would ring anew.
		b.Machine.call, b.Machine.destroyed = nil, true
		return true, nil
	})
	b.end()
	b.seen = nil
	if again {
		b.start()
	}
}

// TestManyCalls looks for what a call leaves behind.
func TestManyCalls(t *testing.T) {
	const slack = 12 // what the hub's database opens for its readers, once
	calls := 500
	if testing.Short() {
		calls = 50
	}
	h := newHouse(t)
	door, indoor := h.board("door"), h.board("indoor")
	var before runtime.MemStats
	var files, routines int
	for i := range calls {
		if i == calls/5 { // caches are full by then
			h.left(door, indoor)
			runtime.GC()
			runtime.ReadMemStats(&before)
			files, routines = openFiles(t), runtime.NumGoroutine()
		}
		door.must("call", fmt.Sprintf(`{"userId":"indoor","type":%d}`, 1+i%2))
		indoor.state(protocol.CallRinging)
		indoor.must("accept", ``)
		door.state(protocol.CallConnected)
		indoor.state(protocol.CallConnected)
		[]*board{door, indoor}[i/2%2].must("hangup", ``)
		door.state(protocol.CallIdle)
		indoor.state(protocol.CallIdle)
	}
	h.left(door, indoor)
	h.net.mu.Lock()
	clear(h.net.peers)
	h.net.mu.Unlock()
	if n := goroutines(routines); n > routines+slack {
		t.Errorf("%d goroutines, and there were %d", n, routines)
	}
	if n := openFiles(t); n > files+slack {
		t.Errorf("%d open files, and there were %d", n, files)
	}
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("the heap has grown by %d bytes in %d calls", grown, calls)
	} else {
		t.Logf("the heap has grown by %d bytes in %d calls", grown, calls*4/5)
	}
}

func openFiles(t *testing.T) int {
	dir, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(dir)
}
