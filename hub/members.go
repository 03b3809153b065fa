package hub

import (
	"context"
	"errors"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// inviteUserToGroup makes accounts members of a Work group, at once.
func (h *Hub) inviteUserToGroup(ctx context.Context, c Caller, req protocol.InviteToGroupRequest) (res protocol.MemberResultsResponse, err error) {
	a, err := c.acting(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	if a.invite == nobody && !c.Operator {
		return res, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s is a %s group: one joins it by oneself", a.ID, a.Type)
	}
	g := a.Group
	var added []string
	res.ResultList = make([]protocol.MemberResult, len(req.UserIDList))
	for i, user := range req.UserIDList {
		result, err := h.admit(ctx, c, &g, user)
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
	if !a.log {
		c.tellRooms(added...)
	}
	readers, err := c.audienceOf(ctx, g)
	if err != nil {
		return res, err
	}
	id, seq, err := h.tip(ctx, c, g, protocol.Tip{Kind: protocol.TipInvited, Users: added, Group: g.ID, Name: g.Name, Type: g.Type, Face: g.Face}, readers)
	if err != nil || seq == 0 {
		return res, err
	}
	from := seq - 1
	if g.Type == protocol.GroupMeeting {
		from = g.BaseSeq
	}
	for _, user := range added {
		if err := c.tx.SetReader(ctx, c.App, user, id, from, seq-1); err != nil {
			return res, err
		}
	}
	return res, nil
}

// admit makes an account a member, if it can be one.
func (h *Hub) admit(ctx context.Context, c Caller, g *store.Group, user string) (result int, err error) {
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
	if err := h.roomFor(g); err != nil {
		return 0, err
	}
	n, err := c.tx.GroupCount(ctx, c.App, user)
	if err != nil || n >= h.cfg.GroupsPerUser {
		return protocol.MemberFailed, err
	}
	if refused, err := c.plan.refusals.refuses(ctx, c.tx, c.App, user, c.User); err != nil || refused {
		return protocol.MemberFailed, err
	}
	g.Members++
	err = c.addMember(ctx, g, store.Member{User: user})
	if err == nil {
		err = c.tx.Withdraw(ctx, c.App, g.ID, user) // there is nothing left to decide
	}
	return protocol.MemberDone, err
}

// kickGroupMember puts members out of a group.
func (h *Hub) kickGroupMember(ctx context.Context, c Caller, req protocol.KickRequest) (res protocol.MemberResultsResponse, err error) {
	a, err := c.acting(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	if err := a.may(a.kick, "put anybody out of"); err != nil {
		return res, err
	}
	g := a.Group
	readers, err := c.members(ctx, g) // with those who go: they are to know
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
		case user == c.User || m.Role >= a.me.Role || m.Role == protocol.RoleOwner:
			result = protocol.MemberFailed
		default:
			gone = append(gone, user)
			g.Members--
			if err := c.removeMember(ctx, &g, user); err != nil {
				return res, err
			}
		}
		res.ResultList[i] = protocol.MemberResult{UserID: user, Result: result}
	}
	if len(gone) == 0 {
		return res, nil
	}
	h.forgetCards(c, g.ID, gone...)
	id, seq, err := h.tip(ctx, c, g, protocol.Tip{Kind: protocol.TipKicked, Users: gone, Reason: req.Reason}, readers)
	if err != nil {
		return res, err
	}
	if !a.log {
		g.LiveEpoch++ // who was put out hears nothing more
		c.tellRooms(readers...)
		return res, c.tx.UpdateGroup(ctx, c.App, g)
	}
	for _, user := range gone {
		if err := c.tx.EndReader(ctx, c.App, user, id, seq); err != nil {
			return res, err
		}
	}
	return res, c.tx.UpdateGroup(ctx, c.App, g)
}

// changeMember writes what has become of a member and tells all.
func (h *Hub) changeMember(ctx context.Context, c Caller, a *acting, m store.Member, tip protocol.Tip) error {
	if err := c.updateMember(ctx, &a.Group, m); err != nil {
		return err
	}
	readers, err := c.audienceOf(ctx, a.Group)
	if err != nil {
		return err
	}
	tip.Users = []string{m.User}
	_, _, err = h.tip(ctx, c, a.Group, tip, readers)
	return err
}

func (h *Hub) muteGroupMember(ctx context.Context, c Caller, req protocol.MuteRequest) (res protocol.Empty, err error) {
	a, err := c.acting(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	if err := a.may(a.mute, "mute anybody in"); err != nil {
		return res, err
	}
	m, err := c.other(ctx, &a, req.UserID, "mute")
	if err != nil {
		return res, err
	}
	m.MutedUntil = 0
	if *req.Seconds > 0 {
		m.MutedUntil = c.now.Add(time.Duration(*req.Seconds) * time.Second).UnixMilli()
	}
	return res, h.changeMember(ctx, c, &a, m, protocol.Tip{Kind: protocol.TipMuted, Seconds: *req.Seconds})
}

func (h *Hub) setGroupMemberInfo(ctx context.Context, c Caller, req protocol.SetMemberInfoRequest) (res protocol.Empty, err error) {
	a, err := c.acting(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	m := a.me
	if req.Info.UserID != c.User || c.Operator {
		if err := a.may(a.card, "name others in"); err != nil {
			return res, err
		}
		if m, err = c.other(ctx, &a, req.Info.UserID, "name"); err != nil {
			return res, err
		}
	}
	if m.Card == req.Info.NameCard {
		return res, nil
	}
	m.Card = req.Info.NameCard
	h.forgetCards(c, a.ID, m.User)
	return res, h.changeMember(ctx, c, &a, m, protocol.Tip{Kind: protocol.TipCard, Card: m.Card})
}

func (h *Hub) setGroupMemberRole(ctx context.Context, c Caller, req protocol.SetRoleRequest) (res protocol.Empty, err error) {
	a, err := c.acting(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	if a.admins == nobody { // not even by the operator
		return res, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s is a %s group, which has no admins", a.ID, a.Type)
	}
	if err := a.may(a.admins, "make admins of"); err != nil {
		return res, err
	}
	m, err := c.other(ctx, &a, req.UserID, "change")
	switch {
	case err != nil:
		return res, err
	case m.Role == protocol.RoleOwner:
		return res, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s owns the group %s: give it to somebody else first", m.User, a.ID)
	case m.Role == *req.Role: // it is as he wants it
		return res, nil
	}
	kind := protocol.TipAdmin
	if m.Role = *req.Role; m.Role == protocol.RoleMember {
		kind = protocol.TipNoAdmin
	}
	return res, h.changeMember(ctx, c, &a, m, protocol.Tip{Kind: kind})
}

func (h *Hub) transferGroupOwner(ctx context.Context, c Caller, req protocol.MemberRequest) (res protocol.Empty, err error) {
	a, err := c.acting(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	if err := a.may(a.transfer, "give away"); err != nil {
		return res, err
	}
	m, err := c.tx.Member(ctx, c.App, a.ID, req.UserID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return res, protocol.Errorf(protocol.CodeSvrGroupAccountNotFound, "userId: %s is not a member of the group %s", req.UserID, a.ID)
	case err != nil:
		return res, err
	case m.Role == protocol.RoleOwner:
		return res, protocol.Errorf(protocol.CodeSvrGroupInvalidParameters, "userId: %s owns the group %s already", m.User, a.ID)
	}
	old, err := c.tx.Member(ctx, c.App, a.ID, a.Owner)
	if err == nil {
		old.Role = protocol.RoleMember
		err = c.updateMember(ctx, &a.Group, old)
	}
	if err != nil {
		return res, err
	}
	g := a.Group
	if err := h.giveTo(ctx, c, &g, m); err != nil {
		return res, err
	}
	return res, c.tx.UpdateGroup(ctx, c.App, g)
}

// setReceiveMessageOpt says what the account wants to have of a group. Who has had
// nothing has nothing unread when he is told again.
func (h *Hub) setReceiveMessageOpt(ctx context.Context, c Caller, req protocol.RecvOptRequest) (res protocol.Empty, err error) {
	a, err := c.acting(ctx, req.GroupID)
	switch {
	case err != nil:
		return res, err
	case a.me.RecvOpt == *req.Opt:
		return res, nil
	case !a.log:
		return res, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s is an AVChatRoom: who is in it hears all that is said while he is online, and nothing else: quit it to hear nothing", a.ID)
	}
	m := a.me
	again := m.RecvOpt == protocol.RecvNot
	m.RecvOpt = *req.Opt
	if err := c.updateMember(ctx, &a.Group, m); err != nil {
		return res, err
	}
	log := protocol.GroupLog(a.ID)
	if err := h.markSelf(ctx, c, protocol.Mark{Kind: protocol.MarkOption, Log: log, Opt: m.RecvOpt}); err != nil || !again {
		return res, err
	}
	r, err := c.tx.Reader(ctx, c.App, c.User, log)
	if err != nil || r.Read >= r.Head {
		return res, err
	}
	if err := c.tx.SetRead(ctx, c.App, c.User, r.ID, r.Head); err != nil {
		return res, err
	}
	return res, h.markSelf(ctx, c, protocol.Mark{Kind: protocol.MarkRead, Log: log, UpTo: r.Head})
}

// markSelf writes a mark into the log of the caller's account.
func (h *Hub) markSelf(ctx context.Context, c Caller, m protocol.Mark) error {
	body, err := protocol.Marshal(m)
	if err != nil {
		return err
	}
	return h.informAs(ctx, c, []string{c.User}, protocol.EntryMark, func(string) []byte { return body })
}
