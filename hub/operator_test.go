package hub

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// TestRecycleSpares: what is in use is not ended for having been silent, also if the
// hub that knew of it has been started anew, and a look at it ends nothing.
func TestRecycleSpares(t *testing.T) {
	location := sqlite(t)
	now := &clock{at: time.Now()}
	at := func(c *Config) { c.Now = now.now }
	r := newRig(t, location, at)
	owner := r.online("owner", "t")
	for _, user := range []string{"admin", "boss", "member", "x"} {
		r.online(user, "t")
	}
	for id, kind := range map[string]string{"live": protocol.GroupAVChatRoom, "kept": protocol.GroupMeeting, "silent": protocol.GroupMeeting} {
		r.populate(id, kind)
	}
	now.pass(100 * 24 * time.Hour)
	for _, id := range []string{"live", "kept"} {
		owner.sends(toGroup(id, "x"), 0)
	}
	r.stop()
	now.pass(time.Hour)
	r = newRig(t, location, at)
	outcome := func(method, id string) protocol.Code {
		t.Helper()
		return r.outcome(method, Recycle{GroupID: id, Since: now.now().Add(-90 * 24 * time.Hour)}).Code
	}
	for _, method := range []string{OpIdle, OpRecycle} {
		for _, id := range []string{"live", "kept"} {
			if code := outcome(method, id); code != protocol.CodeSvrGroupPermissionDeny {
				t.Errorf("%s: %s: code %d", method, id, code)
			}
		}
		if code := outcome(method, "silent"); code != 0 {
			t.Errorf("%s: silent: code %d", method, code)
		}
	}
	if code := outcome(OpIdle, "silent"); code != protocol.CodeSvrGroupNotFound {
		t.Errorf("the end of a group that has ended: code %d", code)
	}
}

// TestRecycle: a group in which something was said since is not ended, whatever came
// after that; nor is a live room of which that is not known.
func TestRecycle(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		at := &clock{at: time.Unix(1_800_000_000, 0)}
		r := newRig(t, location, func(c *Config) { c.Now = at.now })
		recycle := func(group string, since time.Time) protocol.Code {
			t.Helper()
			b, err := json.Marshal(Recycle{GroupID: group, Since: since})
			if err != nil {
				t.Fatal(err)
			}
			out, err := Operate(t.Context(), r.store, r.app, []Operation{{Method: OpRecycle, Body: b}}, patience)
			if err != nil {
				t.Fatal(err)
			}
			return out[0].Code
		}
		owner := r.online("owner", "t")
		for _, kind := range []string{protocol.GroupMeeting, protocol.GroupAVChatRoom} {
			owner.mustCall("im.createGroup", create(kind, kind))
		}
		made := at.now()
		at.pass(time.Hour)
		said := at.now()
		for _, a := range owner.append(toGroup(protocol.GroupMeeting, "x"), toGroup(protocol.GroupAVChatRoom, "x")) {
			if a.Code != 0 {
				t.Fatal(a)
			}
		}
		at.pass(time.Hour)
		for i := range lastLooks + 1 {
			card := string(rune('a' + i%2))
			owner.mustCall("im.setGroupMemberInfo", protocol.SetMemberInfoRequest{GroupID: protocol.GroupMeeting, Info: protocol.MemberChange{UserID: "owner", NameCard: card}})
		}
		for _, kind := range []string{protocol.GroupMeeting, protocol.GroupAVChatRoom} {
			if code := recycle(kind, made.Add(time.Minute)); code != protocol.CodeSvrGroupPermissionDeny {
				t.Errorf("a %s in which something was said: code %d", kind, code)
			}
		}
		if code := recycle(protocol.GroupMeeting, said.Add(time.Minute)); code != 0 {
			t.Errorf("a group in which nothing was said: code %d", code)
		}

		// A later hub does not know what was said in the room.
		r.stop()
		at.pass(time.Hour)
		r = newRig(t, location, func(c *Config) { c.Now = at.now })
		began := at.now()
		at.pass(time.Hour)
		if code := recycle(protocol.GroupAVChatRoom, made.Add(time.Minute)); code != protocol.CodeSvrGroupPermissionDeny {
			t.Errorf("a room in which something may have been said: code %d", code)
		}
		owner = r.online("owner", "later")
		if a := owner.append(toGroup(protocol.GroupAVChatRoom, "x")); a[0].Code != 0 {
			t.Fatal(a)
		}
		lastOf := func() int64 {
			t.Helper()
			var res protocol.GroupsResponse
			if code := owner.call("im.getGroupsInfo", protocol.GroupsRequest{GroupIDList: []string{protocol.GroupAVChatRoom}}, &res); code != 0 {
				t.Fatal(code)
			}
			return res.GroupResultList[0].GroupInfo.LastMessageTime
		}
		if got := lastOf(); got != at.now().Unix() {
			t.Errorf("the last message is of %d", got)
		}
		at.pass(time.Hour)
		if code := recycle(protocol.GroupAVChatRoom, began.Add(90*time.Minute)); code != 0 {
			t.Errorf("a room in which nothing was said: code %d", code)
		}
		owner.mustCall("im.createGroup", create(protocol.GroupAVChatRoom, protocol.GroupAVChatRoom))
		if got := lastOf(); got != 0 {
			t.Errorf("the last message of a new room is of %d", got)
		}
	})
}

// TestOrderAtOnce: what is ordered as soon as a hub has started is done, also if the
// goroutine for it has not come to run yet.
func TestOrderAtOnce(t *testing.T) {
	st, err := store.OpenAsOwner(context.Background(), sqlite(t))
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHub(Config{}, slog.New(slog.DiscardHandler), st, &rig{t: t})
	if err != nil {
		t.Fatal(err)
	}
	var id int64
	if err := st.Write(t.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		id, err = tx.AddQuestion(ctx, store.Order{App: h.app, Kind: store.OrderOperate, Arg: `{"operations": []}`}, time.Now())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	stop, _ := h.start()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if text, err := st.Answer(t.Context(), id); err == nil {
			if text != "[]" {
				t.Error(text)
			}
			break
		} else if time.Now().After(end) {
			t.Error(err)
			break
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestOrdersOfNobody: the operator makes himself no member of anything, and no admins
// where there are none.
func TestOrdersOfNobody(t *testing.T) {
	r := newRig(t, sqlite(t))
	for _, user := range []string{"owner", "admin", "boss", "member", "x"} {
		r.online(user, "t")
	}
	for id, kind := range map[string]string{"work": protocol.GroupWork, "open": protocol.GroupMeeting, "live": protocol.GroupAVChatRoom} {
		r.populate(id, kind)
	}
	admin := protocol.RoleAdmin
	role := func(id string) protocol.SetRoleRequest {
		return protocol.SetRoleRequest{GroupID: id, UserID: "member", Role: &admin}
	}
	for _, c := range []struct {
		method string
		body   any
		want   protocol.Code
	}{
		{"im.createGroup", create("new", protocol.GroupMeeting), protocol.CodeSvrGroupInvalidParameters},
		{"im.joinGroup", join("open"), protocol.CodeSvrGroupInvalidParameters},
		{"im.quitGroup", named("open"), protocol.CodeSvrGroupInvalidParameters},
		{"im.setGroupMemberRole", role("work"), protocol.CodeSvrGroupPermissionDeny},
		{"im.setGroupMemberRole", role("live"), protocol.CodeSvrGroupPermissionDeny},
		{"im.setGroupMemberRole", role("open"), 0},
	} {
		if got := r.outcome(c.method, c.body); got.Code != c.want {
			t.Errorf("%s %+v: %+v", c.method, c.body, got)
		}
	}
}
