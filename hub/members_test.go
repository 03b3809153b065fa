package hub

import (
	"context"
	"fmt"
	"testing"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

func (x *term) results(t *testing.T, method string, req any) string {
	t.Helper()
	var res protocol.MemberResultsResponse
	if code := x.call(method, req, &res); code != 0 {
		t.Fatalf("%s %+v: code %d", method, req, code)
	}
	return fmt.Sprint(res.ResultList)
}

func TestInviteAndKick(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		owner, x, y := r.online("owner", "t"), r.online("x", "t"), r.online("y", "t")
		for _, kind := range []string{protocol.GroupWork, protocol.GroupMeeting, protocol.GroupPublic, protocol.GroupAVChatRoom} {
			owner.wants(t, "im.createGroup", create(kind, kind), 0)
		}
		invite := func(group string, users ...string) protocol.InviteToGroupRequest {
			return protocol.InviteToGroupRequest{GroupID: group, UserIDList: users}
		}
		kick := func(group string, users ...string) protocol.KickRequest {
			return protocol.KickRequest{GroupID: group, MemberList: users}
		}
		x.wants(t, "im.inviteUserToGroup", invite("Work", "y"), protocol.CodeSvrGroupPermissionDeny) // no member
		owner.wants(t, "im.inviteUserToGroup", invite("Meeting", "x"), protocol.CodeSvrGroupPermissionDeny)
		owner.wants(t, "im.inviteUserToGroup", invite("none", "x"), protocol.CodeSvrGroupNotFound)
		if got := owner.results(t, "im.inviteUserToGroup", invite("Work", "x", "nobody", "owner", "x")); got != "[{x 1} {nobody 2} {owner 2} {x 2}]" {
			t.Error(got)
		}
		if got := x.results(t, "im.inviteUserToGroup", invite("Work", "y")); got != "[{y 1}]" { // any member may
			t.Error(got)
		}
		x.wants(t, "im.kickGroupMember", kick("Work", "y"), protocol.CodeSvrGroupPermissionDeny)
		owner.wants(t, "im.kickGroupMember", kick("AVChatRoom", "y"), protocol.CodeSvrGroupPermissionDeny)
		if got := owner.results(t, "im.kickGroupMember", kick("Work", "x", "owner", "nobody")); got != "[{x 1} {owner 0} {nobody 2}]" {
			t.Error(got)
		}
		x.wants(t, "im.quitGroup", named("Work"), protocol.CodeSvrGroupPermissionDeny)
		reader, err := r.store.Reader(t.Context(), r.app, "x", "group:Work")
		if err != nil {
			t.Fatal(err)
		}
		owner.wants(t, "im.kickGroupMember", kick("Work", "y"), 0)
		after, err := r.store.Reader(t.Context(), r.app, "x", "group:Work")
		if err != nil || after.Head != reader.Head {
			t.Error("who was put out reads on", reader, after, err)
		}
		g, err := r.store.Group(t.Context(), r.app, "Work")
		if err != nil || g.Members != 1 {
			t.Error(g, err)
		}
		// Back again: what was written between is not for him.
		owner.wants(t, "im.inviteUserToGroup", invite("Work", "x"), 0)
		again, err := r.store.Reader(t.Context(), r.app, "x", "group:Work")
		if err != nil || again.From != again.Head-1 || again.From <= after.Head {
			t.Error(again, err)
		}
		y.wants(t, "im.joinGroup", join("Meeting"), 0)
		r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
			return tx.UpdateMember(ctx, r.app, "Meeting", store.Member{User: "y", Role: protocol.RoleAdmin})
		})
		x.wants(t, "im.joinGroup", join("Meeting"), 0)
		if got := y.results(t, "im.kickGroupMember", kick("Meeting", "x", "owner")); got != "[{x 1} {owner 0}]" {
			t.Error(got)
		}
	})
}
