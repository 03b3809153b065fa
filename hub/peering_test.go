package hub

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

func videoCall(room uint32) string {
	return protocol.CallData{Command: protocol.CommandVideo, Video: true, Room: room}.Encode()
}

// rings invites to a call.
func (x *term) rings(invitee, data string) string {
	x.t.Helper()
	never := 0
	var res protocol.InviteResponse
	if code := x.call("im.invite", protocol.InviteRequest{Invitee: invitee, Data: data, Timeout: &never}, &res); code != 0 {
		x.t.Fatalf("invite: %d", code)
	}
	return res.InviteID
}

func peering(inviter string, room uint32) []byte {
	b, err := protocol.Marshal(protocol.Peering{Kind: protocol.PeeringJoin, Inviter: inviter, Room: room})
	if err != nil {
		panic(err)
	}
	return b
}

// signalTo sends a signal, and any frame changed.
func (x *term) signalTo(user, terminal string, body []byte, change ...func(*protocol.Frame)) {
	x.t.Helper()
	f := &protocol.Frame{Signal: &protocol.Signal{To: user, ToTerm: terminal, Body: body}}
	for _, c := range change {
		c(f)
	}
	x.send(f)
}

// signalled is the next signal, as "from/terminal room".
func (x *term) signalled() string {
	x.t.Helper()
	s := x.until(func(f *protocol.Frame) bool { return f.Signal != nil }).Signal
	p, err := protocol.DecodePeering(s.Body)
	if err != nil {
		x.t.Error(err)
	}
	return fmt.Sprint(s.From, "/", s.Term, " ", p.Room)
}

// unsignalled fails if a signal has come. In a rig they are handed on at once.
func (x *term) unsignalled(why string) {
	x.t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, f := range x.frames {
		if f.Signal != nil {
			x.t.Errorf("%s: %s has got %s", why, x.peer.ClientID, show(f))
		}
	}
	x.frames = nil
}

// Who is out of a call has no more to say in it, at once and after a restart: who
// refused, was too late, or is not called any more. Who is in it has, and who may
// still come.
func TestWhoMaySignal(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		c := &clock{at: time.Now()}
		set := func(cfg *Config) { cfg.Now = c.now }
		r := newRig(t, location, set)
		door := r.online("door", "t")
		users := []string{"in", "rings", "refuses", "cancelled", "late", "again"}
		invites, terms := map[string]string{}, map[string]*term{}
		call := func(user string, timeout int) {
			t.Helper()
			var res protocol.InviteResponse
			if code := door.call("im.invite", protocol.InviteRequest{Invitee: user, Data: videoCall(7), Timeout: &timeout}, &res); code != 0 {
				t.Fatal(code)
			}
			invites[user] = res.InviteID
		}
		come := func() {
			for _, user := range users {
				terms[user] = r.online(user, "t")
			}
		}
		may := func(user string) bool {
			t.Helper()
			door.signalTo(user, "", peering("door", 7))
			terms[user].mu.Lock()
			defer terms[user].mu.Unlock()
			for _, f := range terms[user].frames {
				if f.Signal != nil {
					terms[user].frames = nil
					return true
				}
			}
			return false
		}
		come()
		for _, user := range users {
			call(user, map[string]int{"late": 60}[user])
			if !may(user) {
				t.Errorf("%s, who is called, may not be signalled", user)
			}
		}
		terms["in"].wants(t, "im.accept", step(invites["in"], "x"), 0)
		terms["refuses"].wants(t, "im.reject", step(invites["refuses"], "x"), 0)
		may("in") // keeps the people of the call in memory
		terms["again"].wants(t, "im.reject", step(invites["again"], "x"), 0)
		if may("again") {
			t.Error("who has refused may be signalled")
		}
		may("in")
		door.wants(t, "im.cancel", step(invites["cancelled"], "x"), 0)
		if may("cancelled") {
			t.Error("who is not called any more may be signalled")
		}
		call("again", 0)
		c.pass(time.Minute)
		r.lookAtTimeouts()
		for deadline := time.Now().Add(patience); may("late"); c.pass(time.Second) { // the timer has a goroutine of its own
			if time.Now().After(deadline) {
				t.Fatal("who was too late may be signalled")
			}
		}
		for _, when := range []string{"at once", "after a restart"} {
			for _, user := range users {
				want := user == "in" || user == "rings" || user == "again"
				if got := may(user); got != want {
					t.Errorf("%s, %s may be signalled: %v", when, user, got)
				}
				terms[user].signalTo("door", "", peering("door", 7))
				door.mu.Lock()
				got := slices.ContainsFunc(door.frames, func(f *protocol.Frame) bool { return f.Signal != nil && f.Signal.From == user })
				door.frames = nil
				door.mu.Unlock()
				if got != want {
					t.Errorf("%s, %s may signal: %v", when, user, got)
				}
			}
			r.stop()
			r = newRig(t, location, set)
			door = r.online("door", "t")
			come()
		}
	})
}

// A doorbell that gives all its calls one room calls more people in a month than are
// kept for a call: it is the last ones that count.
func TestOneRoomForAllCalls(t *testing.T) {
	c := &clock{at: time.Now()}
	r := newRig(t, sqlite(t), func(cfg *Config) { cfg.Now = c.now })
	door := r.online("door", "t")
	for i := range maxPeopleOfCall + 1 {
		user := r.online(fmt.Sprintf("a%03d", i), "t")
		c.pass(time.Minute)
		user.wants(t, "im.accept", step(door.rings(user.login.user, videoCall(1)), "x"), 0)
		if i == maxPeopleOfCall {
			door.signalTo(user.login.user, "", peering("door", 1))
			user.signalled()
		}
	}
}

// Whoever is invited to a call may signal the others of it, also those who have an
// invitation of their own, and nobody else.
func TestSignals(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		door, door2, indoor, indoor2 := r.online("door", "t1"), r.online("door", "t2"), r.online("indoor", "t1"), r.online("indoor", "t2")
		phone, stranger := r.online("phone", "t"), r.online("stranger", "t")
		in := peering("door", 7)
		door.signalTo("indoor", "", in)
		indoor.unsignalled("before the invitation")
		door.rings("indoor", videoCall(7))
		door.signalTo("indoor", "", in, func(f *protocol.Frame) {
			f.Signal.From, f.Signal.Term, f.Signal.Time, f.Signal.Group, f.Signal.MsgID = "phone", "x", 1, "g", "m"
			f.Signal.Rooms = &[]protocol.LiveRoom{{Group: "g"}}
		})
		for _, x := range []*term{indoor, indoor2} {
			got := *x.until(func(f *protocol.Frame) bool { return f.Signal != nil }).Signal
			if now := time.Now().UnixMilli(); got.Time < now-60_000 || got.Time > now {
				t.Errorf("sent at %d", got.Time)
			}
			got.Time = 0
			if want := (protocol.Signal{From: "door", Term: "t1", Body: in, To: "indoor"}); !reflect.DeepEqual(got, want) {
				t.Errorf("%+v", got)
			}
		}
		indoor.signalTo("door", "t2", in)
		if got := door2.signalled(); got != "indoor/t1 7" {
			t.Error(got)
		}
		door.unsignalled("for the other terminal")
		// The people of the call were kept in memory: one more is known at once.
		phone.signalTo("indoor", "", in)
		indoor.unsignalled("not yet invited")
		door.rings("phone", videoCall(7))
		phone.signalTo("indoor", "t2", in)
		if got := indoor2.signalled(); got != "phone/t 7" {
			t.Error(got)
		}
		door.signalTo("door", "", in)
		if got := door2.signalled(); got != "door/t1 7" {
			t.Error(got)
		}
		door.unsignalled("its own")
		door.signalTo("door", "t1", in)
		door.unsignalled("its own")

		for what, send := range map[string]func(){
			"of a stranger":             func() { stranger.signalTo("indoor", "", in) },
			"to a stranger":             func() { indoor.signalTo("stranger", "", in) },
			"another room":              func() { door.signalTo("indoor", "", peering("door", 8)) },
			"no room":                   func() { door.signalTo("indoor", "", peering("door", 0)) },
			"another inviter":           func() { door.signalTo("indoor", "", peering("indoor", 7)) },
			"an inviter of no account":  func() { door.signalTo("indoor", "", peering("nobody", 7)) },
			"to a terminal that is off": func() { door.signalTo("indoor", "t3", in) },
			"to nobody":                 func() { door.signalTo("", "", in) },
			"to no userId":              func() { door.signalTo("in/door", "", in) },
			"to no terminal":            func() { door.signalTo("indoor", "t1/#", in) },
			"no body":                   func() { door.signalTo("indoor", "", nil) },
			"no peering":                func() { door.signalTo("indoor", "", text("hi")) },
			"an SDP too long": func() {
				b, err := protocol.Marshal(protocol.Peering{Kind: protocol.PeeringOffer, Inviter: "door", Room: 7, SDP: strings.Repeat("a", protocol.MaxSDP+1)})
				if err != nil {
					t.Fatal(err)
				}
				door.signalTo("indoor", "", b)
			},
			"another boot": func() { door.signalTo("indoor", "", in, func(f *protocol.Frame) { f.Boot = 1 }) },
			"too late": func() {
				door.signalTo("indoor", "", in, func(f *protocol.Frame) { f.Exp = time.Now().Add(-time.Second).UnixMilli() })
			},
		} {
			send()
			for _, x := range []*term{door, door2, indoor, indoor2, phone, stranger} {
				x.unsignalled(what)
			}
		}
		if !r.log.has("somebody who is not invited") {
			t.Error("a stranger's signal is not logged")
		}
		// Nobody is called by what is no call, nor by a hangup.
		phone.rings("stranger", `{"room_id":9}`)
		phone.rings("stranger", "ring")
		phone.rings("stranger", protocol.CallData{Command: protocol.CommandHangup, Room: 9}.Encode())
		phone.signalTo("stranger", "", peering("phone", 9))
		stranger.unsignalled("no call")
	})
}

// Whoever looks for somebody of his call hears that his terminal is gone, if the hub has
// seen it go.
func TestAbsent(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		door, indoor := r.online("door", "t1"), r.online("indoor", "t1")
		door.rings("indoor", videoCall(7))
		seeks := func(terminal string, kind protocol.PeeringKind, session uint64) string {
			b, err := protocol.Marshal(protocol.Peering{Kind: kind, Inviter: "door", Room: 7, Session: session})
			if err != nil {
				t.Fatal(err)
			}
			door.signalTo("indoor", terminal, b)
			door.mu.Lock()
			defer door.mu.Unlock()
			for _, f := range door.frames {
				if f.Signal == nil {
					continue
				}
				door.frames = nil
				p, err := protocol.DecodePeering(f.Signal.Body)
				return fmt.Sprint(f.Signal.From, "/", f.Signal.Term, " ", p.Kind, " ", p.Inviter, " ", p.Room, " ", p.Session, " ", err)
			}
			return ""
		}
		says := func(what, want, terminal string, kind protocol.PeeringKind, session uint64) {
			t.Helper()
			if got := seeks(terminal, kind, session); got != want {
				t.Errorf("%s: %q, not %q", what, got, want)
			}
		}
		const absent = "indoor/t1 7 door 7 99 <nil>"
		says("online", "", "t1", protocol.PeeringJoin, 99)
		says("never seen", "", "t2", protocol.PeeringJoin, 99)
		r.Disconnect(indoor.peer.ClientID, indoor.login)
		says("fallen silent", "", "t1", protocol.PeeringJoin, 99)
		indoor = r.online("indoor", "t1")
		indoor.peer.Left = true
		r.Disconnect(indoor.peer.ClientID, indoor.login)
		says("gone", absent, "t1", protocol.PeeringJoin, 99)
		says("no terminal", "", "", protocol.PeeringJoin, 99)
		says("no connection yet", "", "t1", protocol.PeeringJoin, 0)
		says("no question", "", "t1", protocol.PeeringCandidates, 99)
		indoor = r.connect("indoor", "t1")
		says("connected, without a hello", absent, "t1", protocol.PeeringJoin, 99)
		indoor.hello()
		says("back", "", "t1", protocol.PeeringJoin, 99)
		indoor.send(&protocol.Frame{Bye: &protocol.Bye{}})
		r.settle()
		says("said goodbye", absent, "t1", protocol.PeeringJoin, 99)

		// It is the hub's word alone.
		indoor = r.online("indoor", "t1")
		b, err := protocol.Marshal(protocol.Peering{Kind: protocol.PeeringAbsent, Inviter: "door", Room: 7, Session: 99})
		if err != nil {
			t.Fatal(err)
		}
		indoor.signalTo("door", "t1", b)
		door.unsignalled("absent, by a terminal")
	})
}

// The terminals that are gone are remembered for so many and no more.
func TestAbsentIsBounded(t *testing.T) {
	tab := newTable()
	for i := range 3 * maxLeft {
		l := &login{user: "u", terminal: fmt.Sprint(i)}
		tab.begin(l)
		tab.enter(l, 1, "p", 10)
		tab.gone(l, true)
		if !tab.absent("u", l.terminal) {
			t.Fatal(i)
		}
	}
	if n := len(tab.left); n > maxLeft {
		t.Error(n)
	}
}

// A signal ends after a while, however long its sender wants it to be kept.
func TestSignalsExpire(t *testing.T) {
	c := &clock{at: time.UnixMilli(1772366400000)}
	r := newRig(t, sqlite(t), func(cfg *Config) { cfg.Now = c.now })
	door, indoor := r.online("door", "t"), r.online("indoor", "t")
	door.rings("indoor", videoCall(7))
	for exp, want := range map[time.Duration]time.Duration{0: maxSignalTime, 5 * time.Second: 5 * time.Second, time.Hour: maxSignalTime} {
		door.signalTo("indoor", "", peering("door", 7), func(f *protocol.Frame) {
			if exp != 0 {
				f.Exp = c.now().Add(exp).UnixMilli()
			}
		})
		got := indoor.until(func(f *protocol.Frame) bool { return f.Signal != nil })
		if got.Exp != c.now().Add(want).UnixMilli() {
			t.Errorf("%v: %v", exp, time.UnixMilli(got.Exp).Sub(c.now()))
		}
	}
}

// The invitation itself says for how long: calls last for days, and a month after its
// end all is over.
func TestSignalsAfterTheCall(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		c := &clock{at: time.Now()}
		set := func(cfg *Config) { cfg.Now = c.now }
		r := newRig(t, location, set)
		door, indoor := r.online("door", "t"), r.online("indoor", "t")
		id := door.rings("indoor", videoCall(7))
		indoor.wants(t, "im.accept", step(id, "x"), 0)
		r.stop()
		r = newRig(t, location, set) // which knows it from the database only
		door, indoor = r.online("door", "t"), r.online("indoor", "t")
		door.signalTo("indoor", "", peering("door", 7))
		indoor.signalled()
		c.pass(keepInvites - time.Minute)
		door, indoor = r.online("door", "t"), r.online("indoor", "t") // their UserSigs have run out
		door.signalTo("indoor", "", peering("door", 7))
		indoor.signalled()
		c.pass(time.Minute + knowCallsFor)
		door.signalTo("indoor", "", peering("door", 7))
		indoor.unsignalled("a month after the call")
	})
}

func TestSignalsAreBounded(t *testing.T) {
	c := &clock{at: time.Now()}
	r := newRig(t, sqlite(t), func(cfg *Config) { cfg.Now = c.now })
	door, indoor := r.online("door", "t"), r.online("indoor", "t")
	door.rings("indoor", videoCall(7))
	got := func() int {
		indoor.mu.Lock()
		defer indoor.mu.Unlock()
		n := 0
		for _, f := range indoor.frames {
			if f.Signal != nil {
				n++
			}
		}
		indoor.frames = nil
		return n
	}
	many := func(n int) int {
		got()
		for range n {
			door.signalTo("indoor", "", peering("door", 7))
		}
		return got()
	}
	if n := many(signalsAtOnce + 50); n != signalsAtOnce {
		t.Errorf("%d at once", n)
	}
	c.pass(time.Second)
	if n := many(signalsPerSec + 50); n != signalsPerSec {
		t.Errorf("%d in a second", n)
	}
	// Nor is the database asked as often as somebody likes: what he is in is not
	// asked for again.
	c.pass(10 * time.Second)
	many(1)
	for i := range uint32(2 * asksAtOnce) {
		door.signalTo("indoor", "", peering("door", 1000+i))
	}
	if !r.log.has(errAsks.Error()) {
		t.Error("the database is asked without end")
	}
	if n := many(1); n != 1 {
		t.Error("the call that is known suffers")
	}
}

// What was read before an invitation came is not kept after it.
func TestCallBook(t *testing.T) {
	var b callBook
	n, now := callName{"door", 7}, time.Now()
	_, turn, _ := b.get(n, now)
	b.forget(n) // the invitation of somebody else
	b.put(n, turn, []string{"door", "indoor"}, now)
	if people, _, ok := b.get(n, now); ok {
		t.Errorf("%q are kept, and the newest is not among them", people)
	}
	_, turn, _ = b.get(n, now)
	b.put(n, turn, []string{"door"}, now)
	if people, _, ok := b.get(n, now.Add(knowCallsFor-1)); !ok || !slices.Equal(people, []string{"door"}) {
		t.Errorf("%q %v", people, ok)
	}
	if _, _, ok := b.get(n, now.Add(knowCallsFor)); ok {
		t.Error("it is kept for ever")
	}
	for i := range uint32(3 * maxKnownCalls) {
		b.put(callName{"x", i}, turn, nil, now)
	}
	if len(b.calls) > maxKnownCalls {
		t.Errorf("%d calls are kept", len(b.calls))
	}
}

// A hangup is in the log and opens nothing: neither does it count, nor can it be
// answered.
func TestHangup(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		door, indoor := r.online("door", "t"), r.online("indoor", "t")
		for range protocol.MaxOpenInvites {
			door.rings("indoor", "ring")
		}
		door.wants(t, "im.invite", protocol.InviteRequest{Invitee: "indoor", Data: videoCall(7)}, protocol.CodeNetReqCountLimit)
		hangup := protocol.CallData{Command: protocol.CommandHangup, Room: 7, Seconds: 33}.Encode()
		id := door.rings("indoor", hangup)
		indoor.wants(t, "im.accept", step(id, "x"), protocol.CodeSignalingInvalidInviteID)
		e := actions(t, entriesIn(t, r, "c2c:door:indoor"))
		if len(e) != protocol.MaxOpenInvites+1 || e[len(e)-1] != "1 door [indoor] "+hangup {
			t.Errorf("%d steps", len(e))
		}
		if n, err := r.store.OpenInvites(t.Context(), r.app, "door"); err != nil || n != protocol.MaxOpenInvites {
			t.Errorf("%d are open, %v", n, err)
		}
	})
}

// open lists what device.getInvitations tells, as "inviter/terminal list accepted data".
func (x *term) open() (out []string) {
	x.t.Helper()
	var res protocol.InvitationsResponse
	if code := x.call("device.getInvitations", protocol.Empty{}, &res); code != 0 || res.Invitations == nil || res.Time == 0 {
		x.t.Fatalf("device.getInvitations: %d %+v", code, res)
	}
	for _, i := range res.Invitations {
		out = append(out, fmt.Sprint(i.GroupID, i.Inviter, "/", i.Terminal, " ", i.InviteeList, " ", i.Accepted, " ", i.Data, " ", (i.EndsAt-i.CreatedAt)/1000))
		if i.InviteID == "" || i.CreatedAt > res.Time || i.CreatedAt == 0 {
			x.t.Errorf("%+v", i)
		}
	}
	return out
}

func TestGetInvitations(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		c := &clock{at: time.Now()}
		r := newRig(t, location, func(cfg *Config) { cfg.Now = c.now })
		door, a, b, stranger := r.online("door", "t1"), r.online("a", "t"), r.online("b", "t"), r.online("stranger", "t")
		door.mustCall("im.createGroup", create("g", protocol.GroupMeeting))
		for _, x := range []*term{a, b} {
			x.mustCall("im.joinGroup", join("g"))
		}
		first := door.invite("a", 60)
		c.pass(time.Second)
		var inGroup protocol.InviteResponse
		if code := door.call("im.inviteInGroup", protocol.InviteInGroupRequest{GroupID: "g", InviteeList: []string{"a", "b"}, Data: "dinner"}, &inGroup); code != 0 {
			t.Fatal(code)
		}
		expect := func(when string, x *term, want ...string) {
			t.Helper()
			if got := x.open(); !slices.Equal(got, want) {
				t.Errorf("%s, %s: %q", when, x.login.user, got)
			}
		}
		one, two := "door/t1 [a] [] ring 60", "gdoor/t1 [a b] [] dinner 30"
		expect("at first", r.online("door", "t2"), two, one)
		expect("at first", a, two, one)
		expect("at first", b, two)
		expect("at first", stranger)
		a.wants(t, "im.accept", step(inGroup.InviteID, "x"), 0)
		expect("when a has accepted", a, one)
		expect("when a has accepted", b, "gdoor/t1 [a b] [a] dinner 30")
		door.wants(t, "im.cancel", step(first, "x"), 0)
		expect("when one is cancelled", a)
		expect("when one is cancelled", door, "gdoor/t1 [a b] [a] dinner 30")
		c.pass(30 * time.Second) // whether or not the timer has come by
		expect("in the end", door)
		expect("in the end", b)
	})
}

func TestGetInvitationsIsBounded(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		indoor := r.online("indoor", "t")
		for i := range 2 {
			x := r.online(fmt.Sprint("door", i), "t")
			for range protocol.MaxOpenInvites {
				x.invite("indoor", 0)
			}
		}
		if got := indoor.open(); len(got) != protocol.MaxOpenInvites || !strings.HasPrefix(got[0], "door1") {
			t.Errorf("%d, the first of %q", len(got), got[0])
		}
	})
}

// A signal and its answer, over MQTT, while nothing else goes on.
func TestSignalsOverMQTT(t *testing.T) {
	s := serve(t, sqlite(t))
	door, indoor := s.online("door", "t"), s.online("indoor", "t")
	door.rings("indoor", videoCall(7))
	const rounds = 200
	times := make([]time.Duration, rounds)
	for i := range times {
		start := time.Now()
		door.signalTo("indoor", "t", peering("door", 7))
		if got := indoor.signalled(); got != "door/t 7" {
			t.Fatal(got)
		}
		indoor.signalTo("door", "t", peering("door", 7))
		if got := door.signalled(); got != "indoor/t 7" {
			t.Fatal(got)
		}
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	t.Logf("there and back: p50 %v, p99 %v", times[rounds/2], times[rounds*99/100])
}
