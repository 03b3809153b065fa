package device

import (
	"testing"

	"github.com/herald-im/herald/device/mirror"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

func (b *board) note(msgID string, n int64) error {
	_, err := b.setLocalCustomData(b.t.Context(), protocol.Caller{}, protocol.CustomDataRequest{MsgID: msgID, LocalCustomInt: n})
	return err
}

// TestNoteOfUnknown: what was noted at a message that the board no longer knows can
// be taken away.
func TestNoteOfUnknown(t *testing.T) {
	b := start(t, config(t, newHub(t).addr))
	b.mustLogin()
	s := b.session
	if err := s.write(func(tx *bbolt.Tx) error { return s.mirror.SetNote(tx, "long gone", mirror.Note{Int: 1}) }); err != nil {
		t.Fatal(err)
	}
	if err := b.note("long gone", 2); err == nil {
		t.Error("noted at a message that is not known")
	}
	if err := b.note("long gone", 0); err != nil {
		t.Error(err)
	}
	_ = b.db.View(func(tx *bbolt.Tx) error {
		if n := s.mirror.Note(tx, "long gone"); n != (mirror.Note{}) {
			t.Error(n)
		}
		return nil
	})
}

// TestPlaces: what the hub's history has shown is known for a while, but not once it
// was taken back, or its conversation deleted.
func TestPlaces(t *testing.T) {
	h := newHub(t)
	id := func(n uint64) string { return protocol.MsgID("aaaaaaaaaaaaaaaa-", n) }
	body, err := protocol.Marshal(protocol.Message{Elem: protocol.ElemText, Text: "long ago"})
	if err != nil {
		t.Fatal(err)
	}
	h.with(func() {
		for n, from := range []string{"indoor", "door", "indoor"} {
			h.entry(talk, from, id(uint64(n+1)), body)
		}
		h.readFrom = 3
	})
	b := start(t, config(t, h.addr))
	b.mustLogin()
	h.write(talk, "indoor", "0", true)
	b.await(1, byText)
	h.with(func() { h.readFrom = 0 })
	known := func() (out []string) {
		for n := range uint64(3) {
			res, err := b.getMessage(t.Context(), protocol.Caller{}, protocol.MessageRequest{MsgID: id(n + 1)})
			if err == nil {
				out = append(out, res.Message.Msg.Text)
			} else {
				out = append(out, "-")
			}
		}
		return out
	}
	if got := lines(b.history(10)); got != "0,long ago,long ago,long ago" {
		t.Fatal(got)
	}
	if got := lines(known()); got != "long ago,long ago,long ago" {
		t.Error(got)
	}
	h.with(func() {
		revoke, _ := protocol.Marshal(protocol.Revoke{MsgID: id(1), Seq: 1, Sender: "indoor"})
		e := h.entry(talk, "indoor", "", revoke)
		e.Kind = protocol.EntryRevoke
		h.to("door", h.terminal, &protocol.Frame{Push: &protocol.Push{Logs: []protocol.LogEntries{{Log: talk, Entries: []protocol.Entry{e}}}}})
	})
	b.await(2, byText)
	if got := lines(known()); got != "-,long ago,long ago" {
		t.Error("taken back elsewhere:", got)
	}
	if _, err := b.revokeMessage(t.Context(), protocol.Caller{}, protocol.RevokeRequest{UserID: "indoor", MsgID: id(2)}); err != nil {
		t.Fatal(err)
	}
	if got := lines(known()); got != "-,-,long ago" {
		t.Error("taken back here:", got)
	}
	b.deleteTalk()
	if got := lines(known()); got != "-,-,-" {
		t.Error("deleted:", got)
	}
}

// TestNoteOfWaiting: what was noted at a message that waits is in the history.
func TestNoteOfWaiting(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	h.stop()
	b.link("down")
	id := b.mustSay("waits").MsgID
	if err := b.note(id, 7); err != nil {
		t.Fatal(err)
	}
	res, err := b.getC2CHistory(t.Context(), protocol.Caller{}, protocol.C2CHistoryRequest{UserID: "indoor", Count: 10})
	if err != nil || len(res.MessageList) != 1 {
		t.Fatal(res, err)
	}
	if m := res.MessageList[0]; m.MsgID != id || m.LocalCustomInt != 7 || m.Status != protocol.StatusSending {
		t.Errorf("%+v", m)
	}
	if one, err := b.getMessage(t.Context(), protocol.Caller{}, protocol.MessageRequest{MsgID: id}); err != nil || one.Message.LocalCustomInt != 7 {
		t.Errorf("%+v %v", one.Message, err)
	}
}

// TestAnsweredWhileRead: a message that the hub answers while a page is made is in it
// once, and a page behind it does not begin anew.
func TestAnsweredWhileRead(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	h.write(talk, "indoor", "old", true)
	b.await(1, byText)
	h.with(func() { h.drop = func(_ bool, f *protocol.Frame) bool { return f.Append != nil } })
	b.timing.send = 0
	b.mustSay("one")
	two := b.mustSay("two").MsgID
	first := reading{s: b.session, log: talk, id: "indoor", kind: protocol.LogC2C, count: 3}
	behind := first
	if err := first.begin(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if err := behind.begin(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	h.with(func() { h.drop = nil })
	h.cut()
	b.drained()
	h.write(talk, "indoor", "new", true)
	b.await(4, byText) // the two are told of as well
	for want, page := range map[string]*reading{"new,two,one": &first, "one,old": &behind} {
		if _, err := page.held(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range page.res.MessageList {
			got = append(got, m.Msg.Text)
			if m.Status != protocol.StatusSent {
				t.Errorf("%+v", m)
			}
		}
		if lines(got) != want {
			t.Errorf("%s, not %s", lines(got), want)
		}
	}
}
