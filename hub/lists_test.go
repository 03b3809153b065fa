package hub

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// TestFullLists: lists that are as long as they may be reach who asks for them.
func TestFullLists(t *testing.T) {
	r := newRig(t, sqlite(t))
	me := r.online("me", "t")
	long := strings.Repeat("x", 60)
	r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
		for i := range r.cfg.Friends {
			user := fmt.Sprint("user", i)
			if err := tx.CreateUser(ctx, r.app, user, r.cfg.Now()); err != nil {
				return err
			}
			if err := tx.SetProfile(ctx, r.app, user, store.Profile{Nick: long, Face: long}); err != nil {
				return err
			}
			if err := tx.AddFriend(ctx, r.app, "me", store.Friend{User: user, Remark: long}, r.cfg.Now()); err != nil {
				return err
			}
			if i >= r.cfg.Blacklist {
				continue
			}
			if err := tx.AddToBlacklist(ctx, r.app, "me", user, r.cfg.Now()); err != nil {
				return err
			}
		}
		for i := range r.cfg.GroupsPerUser {
			g := store.Group{ID: fmt.Sprint("group", i), Type: protocol.GroupPublic, Owner: "me", Members: 1, Name: long[:30], Introduction: long, Notification: long, Face: long}
			if err := tx.CreateGroup(ctx, r.app, g); err != nil {
				return err
			}
			if err := tx.AddMember(ctx, r.app, &g, store.Member{User: "me", Role: protocol.RoleOwner}, r.cfg.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	var friends protocol.FriendsResponse
	if code := me.call("im.getFriendList", protocol.Empty{}, &friends); code != 0 || len(friends.InfoList) != r.cfg.Friends {
		t.Errorf("%d friends, code %d", len(friends.InfoList), code)
	}
	if code := me.call("im.getBlackList", protocol.Empty{}, &friends); code != 0 || len(friends.InfoList) != r.cfg.Blacklist {
		t.Errorf("%d in the blacklist, code %d", len(friends.InfoList), code)
	}
	var groups protocol.GroupListResponse
	if code := me.call("im.getJoinedGroupList", protocol.Empty{}, &groups); code != 0 || len(groups.GroupList) != r.cfg.GroupsPerUser {
		t.Errorf("%d groups, code %d", len(groups.GroupList), code)
	}
	// What cannot be sent is said.
	r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
		for i := range r.cfg.Friends {
			p := store.Profile{}
			for range 10 {
				p.Nick, p.Face = p.Nick+rand.Text(), p.Face+rand.Text()
			}
			if err := tx.SetProfile(ctx, r.app, fmt.Sprint("user", i), p); err != nil {
				return err
			}
		}
		return nil
	})
	if code := me.call("im.getFriendList", protocol.Empty{}, nil); code != protocol.CodeSvrGroupInternalError {
		t.Errorf("too long a list: code %d", code)
	}
}
