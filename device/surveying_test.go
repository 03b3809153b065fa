package device

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// moment waits for the next of the transient events whose names begin so.
func moment(t *testing.T, events <-chan protocol.Occurrence, prefix string) protocol.Occurrence {
	t.Helper()
	for {
		select {
		case ev := <-events:
			if strings.HasPrefix(ev.Info.Type(), prefix) {
				return ev
			}
		case <-t.Context().Done():
			t.Fatal("no ", prefix)
		}
	}
}

// TestSyncEvents: programs are told when the catching up begins, ends, and that it
// broke off.
func TestSyncEvents(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	events, stop := b.Watch()
	defer stop()
	next := func(want string) {
		t.Helper()
		if got := moment(t, events, "onSyncServer").Info.Type(); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
	b.mustLogin()
	next("onSyncServerStart")
	next("onSyncServerFinish")
	h.with(func() { h.drop = func(_ bool, f *protocol.Frame) bool { return f.Pull != nil } })
	h.cut()
	h.write(talk, "indoor", "while it was away", false)
	next("onSyncServerStart")
	h.await(t, 0, 1, isPull)
	h.cut()
	next("onSyncServerFailed")
	h.with(func() { h.drop = nil })
	h.cut()
	for range 20 { // as many attempts as the cuts made
		if got := moment(t, events, "onSyncServer").Info.Type(); got == "onSyncServerFinish" {
			break
		}
	}
	if c := b.session.mirror.Conv(talk); c == nil || c.Unread() != 1 {
		t.Errorf("%+v", c)
	}
}

func isSurvey(f *protocol.Frame) bool { return f.Survey != nil }

// beginsAtHead has the hub let a terminal begin logs where they end, so that the
// board knows nothing of their conversations but by a survey.
func beginsAtHead(f *protocol.Frame) {
	if f.Heads != nil {
		for i := range f.Heads.Items {
			f.Heads.Items[i].Start = f.Heads.Items[i].Seq
		}
	}
}

// TestSurveyedAgain: a log of which nothing is known is asked about again where the
// hub cannot say at once how it stands, and where that cannot be written down.
func TestSurveyedAgain(t *testing.T) {
	h := newHub(t)
	h.write(talk, "indoor", "long ago", false)
	asked := 0
	h.drop = func(up bool, f *protocol.Frame) bool {
		beginsAtHead(f)
		if f.Survey == nil {
			return false
		}
		st := &protocol.States{ID: f.Survey.ID, Items: []protocol.State{}}
		switch asked++; asked {
		case 1:
			h.to("door", h.terminal, &protocol.Frame{States: st}) // it cannot say
			return true
		case 2:
			return true // it says so by and by
		}
		return false
	}
	b := start(t, config(t, h.addr))
	events, stop := b.Watch()
	defer stop()
	b.mustLogin()
	survey := h.await(t, 0, 2, isSurvey).Survey
	h.with(func() {
		h.answer = func(*protocol.Call) *protocol.Reply {
			st := &protocol.States{ID: survey.ID, Items: []protocol.State{{Log: survey.Items[0].Log, Head: 1}}}
			h.to("door", h.terminal, &protocol.Frame{States: st})
			return &protocol.Reply{}
		}
	})
	busy, full := make(chan struct{}), make(chan struct{})
	b.db.Go(nil, func(error) {
		close(busy)
		<-full
	})
	<-busy
	if _, err := b.session.ask(t.Context(), "im.getServerTime", nil); err != nil { // its reply comes behind the states
		t.Error(err)
	}
	b.db.Go(func(*bbolt.Tx) error { return errors.New("the disk is full") }, func(error) {})
	close(full)
	if f := h.await(t, 0, 3, isSurvey); len(f.Survey.Items) != 1 || f.Survey.Items[0].Log != talk {
		t.Errorf("%+v", f.Survey)
	}
	moment(t, events, "onSyncServerFinish")
	if c := b.session.mirror.Conv(talk); c == nil || !c.Known {
		t.Errorf("%+v", c)
	}
}

// TestTruncated: a board that was away for too long is told so, and goes on with
// what is new.
func TestTruncated(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	h.write(talk, "indoor", "0", true)
	b.await(1, byText)
	h.with(func() {
		h.drop = func(_ bool, f *protocol.Frame) bool {
			if f.Pull == nil || f.Pull.After != 1 {
				return false
			}
			h.to("door", h.terminal, &protocol.Frame{Range: &protocol.Range{
				ID: f.Pull.ID, Log: f.Pull.Log, From: 7, Head: 9, Truncated: true, Entries: h.logs[talk][7:9],
			}})
			return true
		}
	})
	for i := 1; i < 9; i++ {
		h.write(talk, "indoor", fmt.Sprint(i), i == 8)
	}
	if got := b.await(4, func(e happening) string { return e.Type + e.Text }); got != "onRecvC2CTextMessage0,onHistoryTruncated,onRecvC2CTextMessage7,onRecvC2CTextMessage8" {
		t.Error(got)
	}
	if c := b.session.mirror.Conv(talk); c.First != 8 {
		t.Errorf("%+v", c)
	}
	h.write(talk, "indoor", "9", true)
	b.await(5, byText)
}

// TestConversationEvents: what is seen of conversations as they change.
func TestConversationEvents(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	events, stop := b.Watch()
	defer stop()
	h.write(talk, "indoor", "hello", true)
	if ev := moment(t, events, "onNewConversation"); !strings.Contains(string(ev.JSON), `"unreadCount":1`) || !strings.Contains(string(ev.JSON), `"text":"hello"`) {
		t.Errorf("%s", ev.JSON)
	}
	h.write(talk, "indoor", "again", true)
	if ev := moment(t, events, "onConversationChanged"); !strings.Contains(string(ev.JSON), `"unreadCount":2`) {
		t.Errorf("%s", ev.JSON)
	}
	if _, err := b.setConversationDraft(t.Context(), protocol.Caller{}, protocol.DraftRequest{ConversationID: "c2c_indoor", DraftText: "I am"}); err != nil {
		t.Fatal(err)
	}
	if ev := moment(t, events, "onConversationChanged"); !strings.Contains(string(ev.JSON), `"draftText":"I am"`) {
		t.Errorf("%s", ev.JSON)
	}
	if _, err := b.deleteConversation(t.Context(), protocol.Caller{}, protocol.ConversationRequest{ConversationID: "c2c_indoor"}); err != nil {
		t.Fatal(err)
	}
	if ev := moment(t, events, "onConversationDeleted"); !strings.Contains(string(ev.JSON), `"conversationId":"c2c_indoor"`) {
		t.Errorf("%s", ev.JSON)
	}
	list, err := b.getConversationList(t.Context(), protocol.Caller{}, protocol.ConversationListRequest{Count: 10})
	if err != nil || len(list.ConversationList) != 0 || !list.IsFinished {
		t.Error(list, err)
	}
}
