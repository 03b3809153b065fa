package hub

import (
	"context"
	"errors"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// inviteUserToGroup makes accounts members of a Work group, at once.
func (h *Hub) inviteUserToGroup(ctx context.Context, c Caller, req protocol.InviteToGroupRequest) (res protocol.MemberResultsResponse, err error) {
	g, err := c.live(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	_, is, err := c.member(ctx, g)
	switch {
	case err != nil:
		return res, err
	case g.Type != protocol.GroupWork:
		return res, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s is a %s group: one joins it by oneself", g.ID, g.Type)
	case !is:
		return res, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s is not a member of the group %s", c.User, g.ID)
	}
	var added []string
	res.ResultList = make([]protocol.MemberResult, len(req.UserIDList))
	for i, user := range req.UserIDList {
		result, err := h.addMember(ctx, c, &g, user)
		if err != nil {
			return res, err
		}
		res.ResultList[i] = protocol.MemberResult{UserID: user, Result: result}
		if result == protocol.MemberDone {
			added = append(added, user)
		}
	}
	if len(added) == 0 {
		return res, nil
	}
	if err := c.tx.UpdateGroup(ctx, c.App, g); err != nil {
		return res, err
	}
	readers, err := h.members(ctx, c, g)
	if err != nil {
		return res, err
	}
	id, seq, err := h.tip(ctx, c, g, protocol.Tip{Kind: protocol.TipJoined, Users: added, Group: g.ID, Name: g.Name, Type: g.Type}, readers)
	for _, user := range added {
		if err == nil {
			err = c.tx.SetReader(ctx, c.App, user, id, seq-1, seq-1)
		}
	}
	return res, err
}

// addMember makes an account a member, if it can be one.
func (h *Hub) addMember(ctx context.Context, c Caller, g *store.Group, user string) (result int, err error) {
	_, err = c.tx.User(ctx, c.App, user)
	if errors.Is(err, store.ErrNotFound) {
		return protocol.MemberInvalid, nil
	}
	if err != nil {
		return 0, err
	}
	_, err = c.tx.Member(ctx, c.App, g.ID, user)
	if err == nil { // already
		return protocol.MemberInvalid, nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return 0, err
	}
	if limit := h.memberLimit(g.Type); limit > 0 && g.Members >= limit {
		return 0, protocol.Errorf(protocol.CodeSvrGroupFullMemberCount, "the group %s has %d members, which is the limit", g.ID, g.Members)
	}
	n, err := c.tx.GroupCount(ctx, c.App, user)
	if err != nil || n >= h.cfg.GroupsPerUser {
		return protocol.MemberFailed, err
	}
	g.Members++
	return protocol.MemberDone, c.tx.AddMember(ctx, c.App, *g, store.Member{User: user}, c.now)
}

// kickGroupMember puts members out of a group.
func (h *Hub) kickGroupMember(ctx context.Context, c Caller, req protocol.KickRequest) (res protocol.MemberResultsResponse, err error) {
	g, err := c.live(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	me, is, err := c.member(ctx, g)
	switch {
	case err != nil:
		return res, err
	case g.Type == protocol.GroupAVChatRoom:
		return res, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s is an AVChatRoom: nobody is put out of it", g.ID)
	case !is || me.Role == store.RoleMember || me.Role != store.RoleOwner && g.Type == protocol.GroupWork:
		return res, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s may not put anybody out of the group %s", c.User, g.ID)
	}
	readers, err := h.members(ctx, c, g) // with those who go: they are to know
	if err != nil {
		return res, err
	}
	var gone []string
	res.ResultList = make([]protocol.MemberResult, len(req.MemberList))
	for i, user := range req.MemberList {
		m, err := c.tx.Member(ctx, c.App, g.ID, user)
		result := protocol.MemberDone
		switch {
		case errors.Is(err, store.ErrNotFound):
			result = protocol.MemberInvalid
		case err != nil:
			return res, err
		case user == c.User || m.Role >= me.Role:
			result = protocol.MemberFailed
		default:
			gone = append(gone, user)
			g.Members--
			if err := c.tx.RemoveMember(ctx, c.App, g.ID, user); err != nil {
				return res, err
			}
		}
		res.ResultList[i] = protocol.MemberResult{UserID: user, Result: result}
	}
	if len(gone) == 0 {
		return res, nil
	}
	id, seq, err := h.tip(ctx, c, g, protocol.Tip{Kind: protocol.TipKicked, Users: gone}, readers)
	if err != nil {
		return res, err
	}
	for _, user := range gone {
		if err := c.tx.EndReader(ctx, c.App, user, id, seq); err != nil {
			return res, err
		}
	}
	return res, c.tx.UpdateGroup(ctx, c.App, g)
}
