package device

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// settle has everything before it through: a beat, and the hub's answer.
func (b *board) settle(h *fakeHub) {
	b.t.Helper()
	b.mustSay("(settle)")
	b.db.Ping()
}

func TestPush(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	for i := range 5 {
		h.write(talk, "indoor", fmt.Sprint(i), true)
	}
	h.write("group:g", "indoor", "to all", true)
	list := b.await(6, byText)
	if list != "0,1,2,3,4,to all" {
		t.Error(list)
	}
	e := b.events()[0]
	if e.Type != "onRecvC2CTextMessage" || e.MsgID != "id-0" || e.Sender.UserID != "indoor" || e.UserID != "indoor" || e.Timestamp != hubTime/1000 {
		t.Errorf("%+v", e)
	}
	if g := b.events()[5]; g.Type != "onRecvGroupTextMessage" || g.GroupID != "g" {
		t.Errorf("%+v", g)
	}
	// Entries that came already, also after a restart.
	h.mu.Lock()
	again := &protocol.Frame{Push: &protocol.Push{Logs: []protocol.LogEntries{{Log: talk, Entries: h.logs[talk]}}}}
	h.to("door", h.terminal, again)
	h.mu.Unlock()
	b = b.again()
	b.mustLogin()
	h.send("door", again)
	h.write(talk, "indoor", "5", true)
	if got := b.await(7, byText); got != "0,1,2,3,4,to all,5" {
		t.Error(got)
	}
}

// TestHoles loses pushes: what is missing is pulled, in order.
func TestHoles(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	h.write(talk, "indoor", "0", true)
	for i := range 8 { // more than one range takes
		h.write(talk, "indoor", fmt.Sprint(i+1), false)
	}
	h.write(talk, "indoor", "9", true)
	if got := b.await(10, byText); got != "0,1,2,3,4,5,6,7,8,9" {
		t.Error(got)
	}
	// The last entries before a silence show at the next beat only.
	h.write(talk, "indoor", "10", false)
	h.write("group:g", "indoor", "11", false)
	b.stop()
	b.cfg.Beat = time.Millisecond
	b = start(t, b.cfg)
	b.mustLogin()
	b.await(12, byText)
	h.write(talk, "indoor", "12", false)
	if got := b.await(13, byText); !strings.HasSuffix(got, "12") {
		t.Error(got)
	}
	beat := h.await(t, h.count(), 1, isBeat)
	if beat.Beat.Logs != 2 {
		t.Errorf("%+v", beat.Beat)
	}
}

// TestPushOvertakesRange: an entry that is written after the hub has read a range,
// and pushed before the range is there, is asked for at once, not at the next beat.
func TestPushOvertakesRange(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	first := true
	h.with(func() {
		h.drop = func(up bool, f *protocol.Frame) bool {
			if f.Pull == nil || !first {
				return false
			}
			first = false
			read := &protocol.Range{ID: f.Pull.ID, Log: talk, Entries: h.logs[talk], Head: 2}
			body, _ := protocol.Marshal(protocol.Message{Elem: protocol.ElemText, Text: "overtakes"})
			e := h.entry(talk, "indoor", "id", body)
			h.to("door", h.terminal, &protocol.Frame{Push: &protocol.Push{Logs: []protocol.LogEntries{{Log: talk, Entries: []protocol.Entry{e}}}}})
			h.to("door", h.terminal, &protocol.Frame{Range: read})
			return true
		}
	})
	h.write(talk, "indoor", "0", false)
	h.write(talk, "indoor", "1", true)
	if got := b.await(3, byText); got != "0,1,overtakes" {
		t.Error(got)
	}
}

func TestPushBeforeTheWelcome(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	h.write(talk, "indoor", "0", true)
	b.await(1, byText)
	early := true
	h.with(func() {
		h.drop = func(up bool, f *protocol.Frame) bool {
			if f.Heads != nil && early { // the heads are read before the entry is written, and it overtakes them
				early = false
				body, _ := protocol.Marshal(protocol.Message{Elem: protocol.ElemText, Text: "early"})
				e := h.entry(talk, "indoor", "id", body)
				h.to("door", h.terminal, &protocol.Frame{Push: &protocol.Push{Logs: []protocol.LogEntries{{Log: talk, Entries: []protocol.Entry{e}}}}})
			}
			return false
		}
		h.eras = append(h.eras, protocol.Era{Ord: 2, ID: 22}) // so that heads follow
	})
	h.cut()
	if got := b.await(2, byText); got != "0,early" {
		t.Error(got)
	}
}

func TestOwnMessages(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	b.mustSay("mine")
	h.mu.Lock()
	mine := h.logs[talk][0]
	h.to("door", h.terminal, &protocol.Frame{Push: &protocol.Push{Logs: []protocol.LogEntries{{Log: talk, Entries: []protocol.Entry{mine}}}}})
	h.mu.Unlock()
	h.write(talk, "door", "from my other board", true)
	if got := b.await(1, byText); got != "from my other board(self)" {
		t.Error(got)
	}
	// Its own message that comes by a pull is no news either.
	h.with(func() { h.drop = func(up bool, f *protocol.Frame) bool { return f.Acks != nil } })
	b.timing.send = 0
	b.mustSay("answer lost")
	h.await(t, 0, 2, isAppend)
	h.write(talk, "indoor", "after it", true)
	if got := b.await(2, byText); got != "from my other board(self),after it" {
		t.Error(got)
	}
	h.with(func() { h.drop = nil })
	h.cut()
	if got := b.await(3, byText); got != "from my other board(self),after it,onMessageStatusChanged" {
		t.Error(got)
	}
}

// TestOddEntries: what this version cannot read must not hold up what follows.
func TestOddEntries(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	odd := []protocol.Entry{
		{Seq: 1, Kind: 77, Body: []byte{0xa0}},
		{Seq: 2, Kind: protocol.EntryTip},
		{Seq: 3, Kind: protocol.EntryMessage, Body: []byte{0x07}},
		{Seq: 4, Kind: protocol.EntryMessage, Body: []byte{0xa1, 0x01, 0x18, 0x63}}, // element 99
		{Seq: 5, Kind: protocol.EntryMessage},
	}
	h.mu.Lock()
	h.logs[talk] = odd
	h.to("door", h.terminal, &protocol.Frame{Push: &protocol.Push{Logs: []protocol.LogEntries{{Log: talk, Entries: odd[:4]}, {Log: "user:door"}}}})
	h.mu.Unlock()
	h.write(talk, "indoor", "after", true)
	if got := b.await(1, byText); got != "after" {
		t.Error(got)
	}
	h.write("strange:log", "indoor", "x", true)
	h.write(talk, "indoor", "still", true)
	if got := b.await(2, byText); got != "after,still" {
		t.Error(got)
	}
	if at, _ := b.session.inbox.Cursor("strange:log"); at != 1 {
		t.Error(at)
	}
	if err := h.server.Publish(protocol.TopicToTerminal(testApp, "door", h.terminal), []byte("no CBOR"), false, 1); err != nil {
		t.Error(err)
	}
	h.send("door", &protocol.Frame{Exp: 5, Bye: &protocol.Bye{Code: protocol.CodeLoginKickedOffByOther}}) // late
	h.write(talk, "indoor", "end", true)
	if got := b.await(3, byText); got != "after,still,end" {
		t.Error(got)
	}
}

// TestPullsEnd: a range without progress, one that is refused, one that is lost.
func TestPullsEnd(t *testing.T) {
	h := newHub(t)
	b := startWith(t, config(t, h.addr), func(d *Device) { d.timing.answer = time.Second })
	b.mustLogin()
	h.write(talk, "indoor", "0", true)
	b.await(1, byText)
	var pulls []string
	h.with(func() {
		h.drop = func(up bool, f *protocol.Frame) bool {
			if f.Pull == nil {
				return false
			}
			pulls = append(pulls, f.Pull.Log)
			r := &protocol.Range{ID: f.Pull.ID, Log: f.Pull.Log, From: f.Pull.After, Head: 100}
			switch {
			case f.Pull.Log == "group:refused":
				r.Code, r.Msg = protocol.CodeSvrGroupNotFound, "no"
			case f.Pull.Log == "group:lost" && len(pulls) < 4:
				return true
			}
			h.to("door", h.terminal, &protocol.Frame{Range: &protocol.Range{ID: f.Pull.ID + 77, Log: f.Pull.Log}}) // of nobody's pull
			h.to("door", h.terminal, &protocol.Frame{Range: r})
			return true
		}
		for _, log := range []string{talk, "group:refused", "group:lost"} {
			h.to("door", h.terminal, &protocol.Frame{Push: &protocol.Push{Logs: []protocol.LogEntries{{Log: log, Entries: []protocol.Entry{{Seq: 50}}}}}})
		}
	})
	h.await(t, 0, 4, isPull)
	b.settle(h)
	b.settle(h)
	h.with(func() {
		if len(pulls) != 4 {
			t.Error(pulls)
		}
	})
}

// TestEntriesNotReadable: the account joined a group later, or the hub dropped old entries.
func TestEntriesNotReadable(t *testing.T) {
	h := newHub(t)
	for i := range 9 {
		h.write("group:g", "indoor", fmt.Sprint(i+1), false)
	}
	h.readFrom = 5
	b := start(t, config(t, h.addr))
	b.mustLogin()
	if got := b.await(4, byText); got != "6,7,8,9" {
		t.Error(got)
	}
}

// TestRewoundHub: the hub comes back with an older database. The board puts its
// cursors back, says so, and gets what is written anew.
func TestRewoundHub(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	h.write(talk, "indoor", "0", true)
	h.write("group:gone", "indoor", "1", true)
	b.await(2, byText)
	b.stop()
	h.stop()
	h.restart() // era 2
	b = start(t, b.cfg)
	b.mustLogin()
	if got := b.await(2, byText); got != "0,1" {
		t.Error("a restart alone is told as", got)
	}
	h.write(talk, "indoor", "2", true)
	b.mustSay("3")
	b.await(3, byText)
	h.stop()
	b.link("down")
	b.timing.send = 0
	b.mustSay("waits")
	// The copy is of era 1.
	h.eras = h.eras[:1]
	h.logs[talk] = h.logs[talk][:1]
	delete(h.logs, "group:gone")
	clear(h.producers)
	h.restart()
	h.write(talk, "indoor", "new", false)
	got := b.await(6, func(h happening) string {
		if h.Type == "onHubRewound" {
			return fmt.Sprintf("%d logs %d entries %d sent", h.Logs, h.Entries, h.Sent)
		}
		return byText(h)
	})
	b.drained()
	for _, want := range []string{"0,1,2,2 logs 3 entries 1 sent", "new", "onMessageStatusChanged"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s without %s", got, want)
		}
	}
	texts := lines(h.texts(talk))
	if texts != "0,new,waits" && texts != "0,waits,new" {
		t.Error(texts)
	}
	h.cut()
	b.mustLogin()
	b.settle(h)
	if n := len(b.events()); n > 7 {
		t.Errorf("told again: %d events", n)
	}
}

// TestLiveRooms: rooms come with the welcome, and change.
func TestLiveRooms(t *testing.T) {
	h := newHub(t)
	h.live = []protocol.LiveRoom{{Group: "a", Epoch: 1}}
	b := start(t, config(t, h.addr))
	b.mustLogin()
	seq := 0
	say := func(room string, epoch uint32, from, term string) string {
		seq++
		text := fmt.Sprint(room, epoch, "-", seq)
		body, err := protocol.Marshal(protocol.Message{Elem: protocol.ElemText, Text: text})
		if err != nil {
			t.Fatal(err)
		}
		frame, err := protocol.EncodeFrame(&protocol.Frame{Signal: &protocol.Signal{Group: room, From: from, Term: term, MsgID: text, Time: hubTime, Body: body}})
		if err == nil {
			err = h.server.Publish(protocol.TopicLive(testApp, room, epoch), frame, false, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	heard := func(text string) bool {
		for _, e := range b.events() {
			if e.Text == text {
				return true
			}
		}
		return false
	}
	// The subscription takes a moment, and nothing tells when it stands.
	until := func(room string, epoch uint32) {
		for text := ""; text == "" || !heard(text); {
			if t.Context().Err() != nil {
				t.Fatal("nothing is heard of", room)
			}
			text = say(room, epoch, "indoor", "")
			b.settle(h)
		}
	}
	until("a", 1)
	own := say("a", 1, "door", h.terminal)
	h.send("door", &protocol.Frame{Signal: &protocol.Signal{Rooms: &[]protocol.LiveRoom{{Group: "a", Epoch: 2}, {Group: "b", Epoch: 1}}}})
	until("a", 2)
	until("b", 1)
	h.send("door", &protocol.Frame{Signal: &protocol.Signal{Rooms: &[]protocol.LiveRoom{{Group: "b", Epoch: 1}}}})
	b.settle(h)
	left := say("a", 2, "indoor", "")
	until("b", 1)
	if heard(own) || heard(left) {
		t.Error("heard", own, heard(own), left, heard(left))
	}
}

// TestLiveRoomRefused: a room is asked for again, and given up with a word.
func TestLiveRoomRefused(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	h.live = []protocol.LiveRoom{{Group: "later", Epoch: 1}, {Group: "never", Epoch: 1}}
	later, never := protocol.TopicLive(testApp, "later", 1), protocol.TopicLive(testApp, "never", 1)
	asked := make(map[string]chan struct{})
	for _, topic := range []string{later, never} {
		asked[topic] = make(chan struct{}, 100)
	}
	h.grant = func(filter string) bool {
		if c := asked[filter]; c != nil {
			c <- struct{}{}
			return filter == later && len(c) > 2
		}
		return true
	}
	var log logbook
	b := startWith(t, config(t, h.addr), log.keep)
	b.mustLogin()
	for !strings.Contains(log.String(), "refuses a live room") {
		time.Sleep(time.Millisecond) // nothing else tells of it
	}
	b.mustSay("the link stands")
	if len(asked[later]) != 3 || len(asked[never]) != listenTries || strings.Contains(log.String(), "group=later") {
		t.Error(len(asked[later]), len(asked[never]), log.String())
	}
}

// TestUnreadableLiveMessages: they cost neither a commit nor a line of the log each.
func TestUnreadableLiveMessages(t *testing.T) {
	h := newHub(t)
	var log logbook
	b := startWith(t, config(t, h.addr), log.keep)
	b.mustLogin()
	b.introduced()
	h.with(func() { h.answer = func(*protocol.Call) *protocol.Reply { return &protocol.Reply{} } })
	commits := func() (n int) {
		if _, err := b.session.ask(t.Context(), "im.getServerTime", nil); err != nil { // the reply comes behind what was sent before
			t.Fatal(err)
		}
		b.db.Ping()
		_ = b.db.View(func(tx *bbolt.Tx) error {
			n = tx.ID()
			return nil
		})
		return n
	}
	live := func(body []byte) {
		h.send("door", &protocol.Frame{Signal: &protocol.Signal{Online: true, From: "indoor", MsgID: "x", Time: hubTime, Body: body}})
	}
	before := commits()
	for range 3 {
		live([]byte{0x07})
	}
	if after := commits(); after != before {
		t.Errorf("%d commits", after-before)
	}
	if got := log.String(); strings.Count(got, "live message that cannot be read") != 1 {
		t.Error(got)
	}
	body, _ := protocol.Marshal(protocol.Message{Elem: protocol.ElemText, Text: "good"})
	live(body)
	if got := b.await(1, byText); got != "good" {
		t.Error(got)
	}
}

// TestBeat: the board's own setting counts, unless the hub wants to be heard less
// often.
func TestBeat(t *testing.T) {
	b := start(t, config(t, newHub(t).addr))
	b.mustLogin()
	s, err := b.current()
	if err != nil {
		t.Fatal(err)
	}
	for hub, want := range map[uint32]time.Duration{0: time.Hour, 30_000: time.Hour, 7_200_000: 2 * time.Hour} {
		c := s.newConnection(nil, 7)
		if err := c.welcomed(&protocol.Welcome{Boot: 7, Time: hubTime, BeatMs: hub, Heads: true}); err != nil || c.beat != want {
			t.Errorf("the hub asks for %d ms: %v, %v", hub, c.beat, err)
		}
	}
}
