package device

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/herald-im/herald/protocol"
)

// TestFriendsAskedForAnew: what the account's log said of friends was missed. Those
// who are none any more lose their remarks, those who stay keep theirs, and what is
// known survives a restart.
func TestFriendsAskedForAnew(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	friend := func(user, remark string) protocol.FriendInfo {
		return protocol.FriendInfo{UserID: user, FriendRemark: remark, UserInfo: protocol.UserInfo{UserID: user, NickName: "nick of " + user}}
	}
	h.friends = []protocol.FriendInfo{friend("anna", "sister"), friend("bert", "plumber")}
	b := start(t, config(t, h.addr))
	b.mustLogin()
	b.introduced()
	names := func(want ...string) {
		t.Helper()
		for i, user := range []string{"anna", "bert", "carl"} {
			if got, _ := b.session.people.showName(user); got != want[i] {
				t.Errorf("%s is shown as %s, not %s", user, got, want[i])
			}
		}
	}
	names("sister", "plumber", "carl")
	h.with(func() { h.friends = []protocol.FriendInfo{friend("anna", "sister"), friend("carl", "")} })
	if err := b.db.Do(func(tx *bbolt.Tx) error { b.session.people.doubt(tx, b.session); return nil }); err != nil {
		t.Fatal(err)
	}
	b.introduced()
	names("sister", "nick of bert", "nick of carl")
	h.with(func() { h.friends = nil })
	b = b.again()
	b.mustLogin()
	names("sister", "nick of bert", "nick of carl")
}

// entryOf is what a hub writes into a log.
func (h *fakeHub) entryOf(log, from string, kind protocol.EntryKind, body []byte) protocol.Entry {
	e := h.entry(log, from, "", body)
	h.logs[log][e.Seq-1].Kind = kind
	return h.logs[log][e.Seq-1]
}

// tellBefriended is a push that tells an account of a friend. h.mu is held.
func (h *fakeHub) tellBefriended(list ...protocol.FriendInfo) {
	body, err := protocol.NewHubEvent(protocol.OnFriendListAdded, protocol.FriendsEvent{InfoList: list})
	if err != nil {
		h.t.Error(err)
	}
	e := h.entryOf("user:door", "door", protocol.EntryEvent, body)
	h.to("door", h.terminal, &protocol.Frame{Push: &protocol.Push{Logs: []protocol.LogEntries{{Log: "user:door", Entries: []protocol.Entry{e}}}}})
}

// hold keeps the store from what comes next.
func (b *board) hold() (release func()) {
	began, end := make(chan struct{}), make(chan struct{})
	b.db.Go(func(*bbolt.Tx) error { close(began); <-end; return nil }, func(error) {})
	<-began
	return func() { close(end) }
}

func (b *board) shownAs(user, want string) {
	b.t.Helper()
	for {
		got, _ := b.session.people.showName(user)
		if got == want {
			return
		}
		if b.t.Context().Err() != nil {
			b.t.Fatalf("%s is shown as %s, not %s", user, got, want)
		}
		time.Sleep(time.Millisecond) // a state of another goroutine, without an event
	}
}

// TestNamesBesideRemarks: a name that comes while what the log has told of a friend is
// not written down yet leaves his remark be, also on disk.
func TestNamesBesideRemarks(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	b.introduced()
	release := b.hold()
	h.with(func() {
		h.tellBefriended(protocol.FriendInfo{UserID: "anna", FriendRemark: "sister", UserInfo: protocol.UserInfo{UserID: "anna", NickName: "Anna"}})
		h.to("door", h.terminal, &protocol.Frame{States: &protocol.States{}, People: []protocol.Person{{User: "anna", Nick: "Anna"}}})
	})
	b.shownAs("anna", "Anna")
	release()
	b.shownAs("anna", "sister")
	b.db.Ping()
	b = b.again()
	b.mustLogin()
	if got, _ := b.session.people.showName("anna"); got != "sister" {
		t.Errorf("after a restart she is shown as %s", got)
	}
}

// TestFriendBetweenTheLists: somebody becomes a friend after the hub has read the list
// that was asked for, and the log tells of it first.
func TestFriendBetweenTheLists(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	anna := protocol.FriendInfo{UserID: "anna", FriendRemark: "sister", UserInfo: protocol.UserInfo{UserID: "anna"}}
	var late *protocol.Frame
	h.keep = func(f *protocol.Frame) bool {
		if late != nil {
			return false
		}
		late = f
		h.friends = []protocol.FriendInfo{anna}
		h.tellBefriended(anna)
		return true
	}
	b := start(t, config(t, h.addr))
	b.mustLogin()
	b.shownAs("anna", "sister")
	h.with(func() { h.to("door", h.terminal, late) })
	b.introduced()
	if got, _ := b.session.people.showName("anna"); got != "sister" {
		t.Errorf("she is shown as %s", got)
	}
}

// TestFriendsAreAskedForAgain: a hub that cannot answer at first is asked later, on the
// same link.
func TestFriendsAreAskedForAgain(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	h.friends = []protocol.FriendInfo{{UserID: "anna", FriendRemark: "sister", UserInfo: protocol.UserInfo{UserID: "anna"}}}
	refused := false
	h.keep = func(f *protocol.Frame) bool {
		if refused {
			return false
		}
		refused = true
		h.to("door", h.terminal, &protocol.Frame{Reply: &protocol.Reply{ID: f.Reply.ID, Code: protocol.CodeSvrGroupInternalError, Msg: "not now"}})
		return true
	}
	b := startWith(t, config(t, h.addr), func(d *Device) { d.timing.friends = 10 * time.Millisecond })
	b.mustLogin()
	b.introduced()
	if got, _ := b.session.people.showName("anna"); got != "sister" || !refused {
		t.Errorf("she is shown as %s", got)
	}
}

// TestHostileFriends: names that are none, and texts without end, neither keep others
// from being known nor stay here.
func TestHostileFriends(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	long := strings.Repeat("x", 100_000)
	friend := func(user, nick, remark string) protocol.FriendInfo {
		return protocol.FriendInfo{UserID: user, FriendRemark: remark, UserInfo: protocol.UserInfo{UserID: user, NickName: nick}}
	}
	h.friends = []protocol.FriendInfo{friend("", "nobody", "x"), friend("\x00", "", ""), friend("g\x00u", "card", ""), friend("anna", long, "sister"), friend("bert", "Bert", long)}
	b := start(t, config(t, h.addr))
	b.mustLogin()
	b.introduced()
	for range 2 {
		for user, want := range map[string]string{"anna": "sister", "bert": "Bert", "": "", "\x00": "\x00"} {
			if got, _ := b.session.people.showName(user); got != want {
				t.Errorf("%q is shown as %q, not %q", user, protocol.Clip(got), want)
			}
		}
		for key, x := range b.session.people.known {
			if len(x.Nick)+len(x.Face)+len(x.Remark) > 5000 {
				t.Errorf("%d bytes of %s", len(x.Nick)+len(x.Face)+len(x.Remark), key)
			}
		}
		if _, card := b.session.people.of("u", "g"); card != "" {
			t.Errorf("a friend is somebody's name in a group: %s", card)
		}
		b = b.again()
		b.mustLogin()
	}
}

// TestPeopleAreBounded, friends or not.
func TestPeopleAreBounded(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	b.introduced()
	total := 0
	h.with(func() {
		for total < maxPeople+1000 {
			var list []protocol.FriendInfo
			for range 100 {
				total++
				list = append(list, protocol.FriendInfo{UserID: fmt.Sprint("u", total), FriendRemark: "r"})
			}
			h.tellBefriended(list...)
		}
	})
	b.shownAs(fmt.Sprint("u", total), "r")
	b.session.people.mu.Lock()
	if n := len(b.session.people.known); n > maxPeople {
		t.Errorf("%d people are known", n)
	}
	b.session.people.mu.Unlock()
	b = b.again()
	b.mustLogin()
	if n := len(b.session.people.known); n > maxPeople {
		t.Errorf("%d people are on disk", n)
	}
}
