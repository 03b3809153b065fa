package device

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

// tip writes a change of a group into its log and pushes it.
func (h *fakeHub) tip(group, from string, tip protocol.Tip, people ...protocol.Person) {
	h.with(func() {
		body, err := protocol.Marshal(tip)
		if err != nil {
			h.t.Error(err)
		}
		log := protocol.GroupLog(group)
		e := h.entryOf(log, from, protocol.EntryTip, body)
		h.to("door", h.terminal, &protocol.Frame{People: people, Push: &protocol.Push{Logs: []protocol.LogEntries{{Log: log, Entries: []protocol.Entry{e}}}}})
	})
}

// told waits for an event of a type beyond the first n, and returns it as programs see it.
func (b *board) told(n int, eventType string) (out map[string]any) {
	b.t.Helper()
	for {
		changed := b.journal.Changed()
		list, err := b.journal.Read(0, 1<<20)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, e := range list {
			out = nil
			if err := json.Unmarshal(e.JSON, &out); err != nil {
				b.t.Fatal(err)
			}
			if out["eventType"] != eventType {
				continue
			}
			if n--; n < 0 {
				return out
			}
		}
		n = 0
		select {
		case <-changed:
		case <-b.t.Context().Done():
			b.t.Fatal("no ", eventType)
		}
	}
}

// TestCards: a name in a group goes when it is taken back, and does not come back with
// whoever joins again. Frames have those only who have a name.
func TestCards(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	anna := []string{"anna"}
	card := func(of map[string]any) any {
		t.Helper()
		list, _ := of["memberList"].([]any)
		if len(list) != 1 {
			t.Fatal(of)
		}
		return list[0].(map[string]any)["nameCard"]
	}
	named := protocol.Person{User: "anna", Group: "g", Card: "cook"}
	h.tip("g", "anna", protocol.Tip{Kind: protocol.TipCard, Users: anna, Card: "cook"}, named)
	h.tip("g", "owner", protocol.Tip{Kind: protocol.TipAdmin, Users: anna}, named)
	if got := card(b.told(0, "onGrantAdministrator")); got != "cook" {
		t.Errorf("she is called %q", got)
	}
	h.tip("g", "anna", protocol.Tip{Kind: protocol.TipCard, Users: anna})
	h.tip("g", "owner", protocol.Tip{Kind: protocol.TipNoAdmin, Users: anna})
	if got := card(b.told(0, "onRevokeAdministrator")); got != "" {
		t.Errorf("without a name she is called %q", got)
	}
	h.tip("g", "anna", protocol.Tip{Kind: protocol.TipCard, Users: anna, Card: "cook"}, named)
	h.tip("g", "owner", protocol.Tip{Kind: protocol.TipKicked, Users: anna}, named)
	if got := card(b.told(0, "onMemberKicked")); got != "cook" {
		t.Errorf("put out she is called %q", got)
	}
	h.tip("g", "anna", protocol.Tip{Kind: protocol.TipJoined, Users: anna})
	if got := card(b.told(0, "onMemberEnter")); got != "" {
		t.Errorf("back she is called %q", got)
	}
	b = b.again()
	b.mustLogin()
	if _, got := b.session.people.of("anna", "g"); got != "" {
		t.Errorf("after a restart she is called %q", got)
	}
}

// TestOperatorsEvents: what the operator does is told as his, with an opUser that has
// no userId, and lists that are empty are lists.
func TestOperatorsEvents(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	name := "Home"
	h.tip("g", "", protocol.Tip{Kind: protocol.TipKicked, Users: []string{"anna"}})
	h.tip("g", "", protocol.Tip{Kind: protocol.TipChanged, Change: &protocol.GroupChange{GroupName: &name}})
	h.tip("g", "", protocol.Tip{Kind: protocol.TipRecycled})
	for _, event := range []string{"onMemberKicked", "onGroupInfoChanged", "onGroupRecycled"} {
		ev := b.told(0, event)
		if op, is := ev["opUser"].(map[string]any); !is || op["userId"] != "" {
			t.Errorf("%s: %v", event, ev)
		}
	}
	list, err := b.journal.Read(0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if bytes.Contains(e.JSON, []byte("null")) {
			t.Errorf("%s", e.JSON)
		}
	}
}

// TestQuitFromLiveRoom: another terminal's leaving of a live room is no leaving of a
// group.
func TestQuitFromLiveRoom(t *testing.T) {
	s := &session{user: "door", d: &Device{}}
	for from, want := range map[string]string{"door": "", "anna": "onMemberLeave"} {
		body, err := protocol.Marshal(protocol.Tip{Kind: protocol.TipQuit, Users: []string{from}})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		events, err := s.passing(&protocol.Signal{Group: "room", From: from, Kind: protocol.EntryTip, Body: body})
		if len(events) > 0 {
			got = events[0].Info.Type()
		}
		if err != nil || got != want {
			t.Errorf("%s quits: %q, %v", from, got, err)
		}
	}
}

// TestNotWanted: what another terminal says that is wanted of a group holds here, also
// after a restart: nothing of it is told or counted, and all is in the history.
func TestNotWanted(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	h.with(func() { h.entryOf("user:door", "door", protocol.EntryMark, mark(t, 1, protocol.RecvNormal)) })
	b := start(t, config(t, h.addr))
	b.mustLogin()
	h.write("group:g", "indoor", "one", true)
	b.await(1, byText)
	want := func(opt protocol.RecvOpt) {
		t.Helper()
		h.with(func() {
			h.option = opt
			e := h.entryOf("user:door", "door", protocol.EntryMark, mark(t, 0, opt))
			h.to("door", h.terminal, &protocol.Frame{Push: &protocol.Push{Logs: []protocol.LogEntries{{Log: "user:door", Entries: []protocol.Entry{e}}}}})
		})
		for c := b.session.mirror.Conv("group:g"); c == nil || c.RecvOpt != opt; c = b.session.mirror.Conv("group:g") {
			time.Sleep(time.Millisecond) // a state of another goroutine, without an event
		}
	}
	want(protocol.RecvNot)
	h.write("group:g", "indoor", "two", true)
	h.write(talk, "indoor", "beside", true)
	b = b.again()
	b.mustLogin()
	h.write("group:g", "indoor", "three", true)
	h.write(talk, "indoor", "beside it", true)
	if got := b.await(3, byText); got != "one,beside,beside it" {
		t.Error(got)
	}
	c := b.session.mirror.Conv("group:g")
	for ; c.Rows < 3; c = b.session.mirror.Conv("group:g") {
		time.Sleep(time.Millisecond) // a state of another goroutine, without an event
	}
	if c.Unread() != 0 {
		t.Errorf("%+v", c)
	}
	want(protocol.RecvQuiet)
	h.write("group:g", "indoor", "four", true)
	if got := b.await(4, byText); got != "one,beside,beside it,four" {
		t.Error(got)
	}
}

// mark is the body of what is wanted of the group g, or, up to a seq, read in it.
func mark(t *testing.T, upTo uint64, opt protocol.RecvOpt) []byte {
	t.Helper()
	m := protocol.Mark{Kind: protocol.MarkOption, Log: "group:g", Opt: opt}
	if upTo > 0 {
		m = protocol.Mark{Kind: protocol.MarkRead, Log: "c2c:door:x", UpTo: upTo}
	}
	b, err := protocol.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
