package hub

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// TestManyPeopleInAFrame: a group that many with names have come into can be read, and
// what is said of them reaches who is online.
func TestManyPeopleInAFrame(t *testing.T) {
	r := newRig(t, sqlite(t))
	me, eye := r.online("me", "t"), r.online("me", "eye")
	me.mustCall("im.createGroup", create("g", protocol.GroupMeeting))
	const many = 1100
	users := make([]string, many)
	r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
		for i := range users {
			users[i] = fmt.Sprint("user", i)
			if err := tx.CreateUser(ctx, r.app, users[i], r.cfg.Now()); err != nil {
				return err
			}
			if err := tx.SetProfile(ctx, r.app, users[i], store.Profile{Nick: strings.Repeat("x", protocol.MaxProfileValue), Face: strings.Repeat("x", protocol.MaxProfileValue)}); err != nil {
				return err
			}
		}
		return nil
	})
	told := 0
	for i := 0; i < many; i += 100 {
		r.operates("im.inviteUserToGroup", protocol.InviteToGroupRequest{GroupID: "g", UserIDList: users[i : i+100]})
		for _, x := range eye.toldOf() {
			if x == "tip 4" || strings.HasPrefix(x, "tip") {
				told++
			}
		}
	}
	if told != many/100+1 { // the first is that the group is made
		t.Errorf("told of %d things", told)
	}
	for _, before := range []uint64{0, 1 << 40} {
		got := me.pull(protocol.Pull{Log: "group:g", Before: before})
		if got.Code != 0 || len(got.Entries) != many/100+1 {
			t.Errorf("%d entries, code %d", len(got.Entries), got.Code)
		}
	}
	// Also when they all come at once, and each says something.
	r.settle()
	var runs []*run
	for _, user := range users[:protocol.MaxPushEntries] {
		runs = append(runs, &run{log: "group:g", readers: []string{"me"}, entries: []*protocol.Entry{{Seq: 1, Kind: protocol.EntryMessage, From: user, Body: text("x")}}})
	}
	e := &emitter{hub: r.Hub}
	for _, x := range runs {
		if err := x.encode(); err != nil {
			t.Fatal(err)
		}
	}
	for _, frame := range encodePushes(runs, e.people(runs)) {
		if _, err := protocol.DecodeFrame(frame); err != nil {
			t.Error(err)
		}
	}
}
