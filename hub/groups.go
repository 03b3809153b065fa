package hub

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// The family of groups. Each handler runs in a savepoint of the writer's
// transaction: what it wrote before an error is undone.

// live returns a group that is there, locked for a change.
func (c Caller) live(ctx context.Context, id string) (store.Group, error) {
	g, err := c.tx.LockGroup(ctx, c.App, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && g.Dismissed {
		return g, noGroup(id)
	}
	if err == nil {
		c.plan.crowds.locked(&g)
	}
	return g, err
}

func noGroup(id string) *protocol.Error {
	return protocol.Errorf(protocol.CodeSvrGroupNotFound, "there is no group %s", id)
}

// members lists who is in a group, the longest-standing first.
func (c Caller) members(ctx context.Context, g store.Group) ([]string, error) {
	m, err := c.plan.crowds.of(ctx, c.tx, c.App, &g)
	return m.users, err
}

// mayHaveMore tells whether a user may be in one more group.
func (h *Hub) mayHaveMore(ctx context.Context, c Caller, user string) error {
	n, err := c.tx.GroupCount(ctx, c.App, user)
	if err == nil && n >= h.cfg.GroupsPerUser {
		return protocol.Errorf(protocol.CodeSvrGroupCountLimit, "%s is in %d groups, which is the limit", user, n)
	}
	return err
}

func (h *Hub) createGroup(ctx context.Context, c Caller, req protocol.CreateGroupRequest) (protocol.CreateGroupResponse, error) {
	return h.createGroupWithMembers(ctx, c, protocol.CreateGroupWithMembersRequest{GroupInfo: protocol.NewGroup{CreateGroupRequest: req}})
}

// createGroupWithMembers makes all of a group or nothing of it.
func (h *Hub) createGroupWithMembers(ctx context.Context, c Caller, req protocol.CreateGroupWithMembersRequest) (res protocol.CreateGroupResponse, err error) {
	info := req.GroupInfo
	if len(info.GroupName) > h.cfg.GroupNameBytes {
		return res, protocol.Errorf(protocol.CodeGroupInvalidName, "groupName: it must be text of at most %d bytes", h.cfg.GroupNameBytes)
	}
	if info.AllMuted && rulesOf[info.GroupType].mute == nobody && !c.Operator {
		return res, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "groupInfo.allMuted: nobody is muted in a Work group")
	}
	if err := h.mayHaveMore(ctx, c, c.User); err != nil {
		return res, err
	}
	g, err := h.newGroup(ctx, c, info)
	if err == nil {
		c.plan.crowds.put(g.ID, membership{version: g.Version})
		err = c.addMember(ctx, &g, store.Member{User: c.User, Role: protocol.RoleOwner})
	}
	if err != nil {
		return res, err
	}
	res.GroupID = g.ID
	created := protocol.Tip{Kind: protocol.TipCreated, Users: []string{c.User}, Group: g.ID, Name: g.Name, Type: g.Type, Face: g.Face}
	if !rulesOf[g.Type].log {
		c.tellRooms(c.User)
		err := informOf(ctx, h, c, protocol.OnGroupCreated, protocol.OneGroupEvent{GroupID: g.ID}, c.User)
		return res, errors.Join(err, c.tx.UpdateGroup(ctx, c.App, g))
	}
	id, seq, err := h.tip(ctx, c, g, created, []string{c.User})
	if err == nil {
		err = c.tx.SetReader(ctx, c.App, c.User, id, g.BaseSeq, g.BaseSeq)
	}
	if err == nil {
		err = h.firstMembers(ctx, c, &g, id, seq, req.MemberList)
	}
	return res, errors.Join(err, c.tx.UpdateGroup(ctx, c.App, g))
}

// newGroup writes a group's row. Its owner is no member yet.
func (h *Hub) newGroup(ctx context.Context, c Caller, info protocol.NewGroup) (g store.Group, err error) {
	id := cmp.Or(info.GroupID, protocol.HubGroupPrefix+rand.Text()[:13]) // 65 random bits
	old, err := c.tx.LockGroup(ctx, c.App, id)
	again := err == nil
	switch {
	case ignore(err, store.ErrNotFound) != nil:
		return g, err
	case again && !old.Dismissed && old.Owner == c.User:
		return g, protocol.Errorf(protocol.CodeSvrGroupGroupIDInUsedForSuper, "groupId: %s owns the group %s already", c.User, id)
	case again && !old.Dismissed:
		return g, protocol.Errorf(protocol.CodeSvrGroupGroupIDInUsed, "groupId: the group %s is somebody else's", id)
	}
	g = store.Group{
		ID: id, Type: info.GroupType, Name: info.GroupName, Owner: c.User, AddOpt: rulesOf[info.GroupType].addOpt,
		Version: old.Version + 1, Members: 1, LiveEpoch: old.LiveEpoch + 1, Created: c.now, Changed: c.now,
		Introduction: info.Introduction, Notification: info.Notification, Face: info.FaceURL, AllMuted: info.AllMuted,
	}
	if info.GroupAddOpt != nil {
		g.AddOpt = *info.GroupAddOpt
	}
	if again {
		if rulesOf[g.Type].log {
			err = c.reopen(ctx, &g)
		}
		if err == nil {
			err = c.tx.RecreateGroup(ctx, c.App, g)
		}
		return g, err
	}
	err = c.tx.CreateGroup(ctx, c.App, g)
	if errors.Is(err, store.ErrExists) { // made by another hub in this moment
		err = protocol.Errorf(protocol.CodeSvrGroupGroupIDInUsed, "groupId: the group %s is somebody else's", id)
	}
	return g, err
}

// reopen opens the log of an earlier group of the same id, if there was one. Who is
// in the new group cannot read it.
func (c Caller) reopen(ctx context.Context, g *store.Group) error {
	l, err := c.tx.Log(ctx, c.App, protocol.GroupLog(g.ID))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil {
		g.BaseSeq = l.Head
		err = c.tx.SetClosed(ctx, l.ID, false)
	}
	return err
}

// firstMembers adds the members that a group is made with. They read its log after
// the entry that tells of its making.
func (h *Hub) firstMembers(ctx context.Context, c Caller, g *store.Group, id store.LogID, made uint64, list []protocol.NewMember) error {
	var users, admins []string
	for _, m := range list {
		if m.UserID == c.User || slices.Contains(users, m.UserID) {
			continue
		}
		result, err := h.admit(ctx, c, g, m.UserID)
		switch {
		case err != nil:
			return err
		case result == protocol.MemberInvalid:
			return protocol.Errorf(protocol.CodeSvrGroupAccountNotFound, "memberList: there is no account %s", m.UserID)
		case result != protocol.MemberDone:
			return protocol.Errorf(protocol.CodeSvrGroupCountLimit, "memberList: %s cannot be made a member: he is in too many groups, or has %s in the blacklist", m.UserID, c.User)
		}
		users = append(users, m.UserID)
		if m.Role != nil && *m.Role == protocol.RoleAdmin {
			admins = append(admins, m.UserID)
			if err := c.updateMember(ctx, g, store.Member{User: m.UserID, Role: protocol.RoleAdmin}); err != nil {
				return err
			}
		}
		if err := c.tx.SetReader(ctx, c.App, m.UserID, id, made, made); err != nil {
			return err
		}
	}
	if len(users) == 0 {
		return nil
	}
	readers := append([]string{c.User}, users...)
	_, _, err := h.tip(ctx, c, *g, protocol.Tip{Kind: protocol.TipInvited, Users: users, Group: g.ID, Name: g.Name, Type: g.Type, Face: g.Face}, readers)
	if err == nil && len(admins) > 0 {
		_, _, err = h.tip(ctx, c, *g, protocol.Tip{Kind: protocol.TipAdmin, Users: admins}, readers)
	}
	return err
}

func (h *Hub) joinGroup(ctx context.Context, c Caller, req protocol.JoinGroupRequest) (res protocol.JoinGroupResponse, err error) {
	g, err := c.live(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	_, err = c.tx.Member(ctx, c.App, g.ID, c.User)
	switch {
	case err == nil:
		return res, protocol.Errorf(protocol.CodeSvrGroupAlreadyMember, "%s is a member of the group %s already", c.User, g.ID)
	case !errors.Is(err, store.ErrNotFound):
		return res, err
	case g.Type == protocol.GroupWork:
		return res, protocol.Errorf(protocol.CodeGroupJoinPrivateGroupDeny, "%s is a Work group: one is invited to it", g.ID)
	case g.AddOpt == protocol.AddNobody:
		return res, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "nobody may join the group %s by himself", g.ID)
	}
	if err := cmp.Or(h.roomFor(&g), h.mayHaveMore(ctx, c, c.User)); err != nil {
		return res, err
	}
	if g.AddOpt == protocol.AddApproval {
		return protocol.JoinGroupResponse{Applied: true}, h.apply(ctx, c, g, req.Msg)
	}
	return res, h.enterGroup(ctx, c, &g, c.User)
}

// enterGroup makes a user a member, by himself or let in by the caller, and tells
// all.
func (h *Hub) enterGroup(ctx context.Context, c Caller, g *store.Group, user string) error {
	g.Members++
	err := c.addMember(ctx, g, store.Member{User: user})
	if err == nil {
		err = c.tx.Withdraw(ctx, c.App, g.ID, user) // there is nothing left to decide
	}
	if err == nil {
		err = c.tx.UpdateGroup(ctx, c.App, *g)
	}
	if err != nil {
		return err
	}
	if !rulesOf[g.Type].log {
		c.tellRooms(user)
	}
	readers, err := c.audienceOf(ctx, *g)
	if err != nil {
		return err
	}
	id, seq, err := h.tip(ctx, c, *g, protocol.Tip{Kind: protocol.TipJoined, Users: []string{user}, Group: g.ID, Name: g.Name, Type: g.Type, Face: g.Face}, readers)
	if err != nil || seq == 0 {
		return err
	}
	from := seq - 1
	if g.Type == protocol.GroupMeeting {
		from = g.BaseSeq
	}
	return c.tx.SetReader(ctx, c.App, user, id, from, seq-1)
}

func (h *Hub) quitGroup(ctx context.Context, c Caller, req protocol.GroupRequest) (res protocol.Empty, err error) {
	a, err := c.acting(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	if a.me.Role == protocol.RoleOwner && !a.quits {
		return res, protocol.Errorf(protocol.CodeSvrGroupSuperNotAllowQuit, "%s owns the group %s and may only dismiss it", c.User, a.ID)
	}
	g := a.Group
	g.Members--
	readers, err := c.audienceOf(ctx, g) // with the caller: his other terminals are to know
	if err == nil {
		err = c.removeMember(ctx, &g, c.User)
	}
	if err != nil {
		return res, err
	}
	h.forgetCards(c, g.ID, c.User)
	id, seq, err := h.tip(ctx, c, g, protocol.Tip{Kind: protocol.TipQuit, Users: []string{c.User}}, readers)
	if err != nil {
		return res, err
	}
	if !a.log {
		c.tellRooms(c.User)
		return res, c.tx.UpdateGroup(ctx, c.App, g)
	}
	if g.Members == 0 {
		return res, h.endGroup(ctx, c, g, protocol.TipDismissed, readers)
	}
	if err := c.tx.EndReader(ctx, c.App, c.User, id, seq); err != nil {
		return res, err
	}
	if a.me.Role == protocol.RoleOwner {
		if err := h.inherit(ctx, c, &g); err != nil {
			return res, err
		}
	}
	return res, c.tx.UpdateGroup(ctx, c.App, g)
}

// inherit gives a group to the member of longest standing.
func (h *Hub) inherit(ctx context.Context, c Caller, g *store.Group) error {
	left, err := c.members(ctx, *g)
	if err != nil {
		return err
	}
	if len(left) == 0 {
		return errors.New("the group counts members that are not there")
	}
	m, err := c.tx.Member(ctx, c.App, g.ID, left[0])
	if err != nil {
		return err
	}
	return h.giveTo(ctx, c, g, m)
}

// giveTo makes a member the owner of a group.
func (h *Hub) giveTo(ctx context.Context, c Caller, g *store.Group, m store.Member) error {
	g.Owner, g.Changed = m.User, c.now
	m.Role, m.MutedUntil = protocol.RoleOwner, 0
	if err := c.updateMember(ctx, g, m); err != nil {
		return err
	}
	readers, err := c.audienceOf(ctx, *g)
	if err == nil {
		_, _, err = h.tip(ctx, c, *g, protocol.Tip{Kind: protocol.TipOwner, Users: []string{g.Owner}}, readers)
	}
	return err
}

func (h *Hub) dismissGroup(ctx context.Context, c Caller, req protocol.GroupRequest) (res protocol.Empty, err error) {
	a, err := c.acting(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	if a.Type == protocol.GroupWork && !c.Operator {
		return res, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s is a Work group: its members quit it, only the operator dismisses it", a.ID)
	}
	if err := a.may(a.dismiss, "dismiss"); err != nil {
		return res, err
	}
	readers, err := c.members(ctx, a.Group)
	if err != nil {
		return res, err
	}
	return res, h.endGroup(ctx, c, a.Group, protocol.TipDismissed, readers)
}

// endGroup ends a group. readers are told.
func (h *Hub) endGroup(ctx context.Context, c Caller, g store.Group, kind protocol.TipKind, readers []string) error {
	tip := protocol.Tip{Kind: kind}
	if c.User != "" {
		tip.Users = []string{c.User}
	}
	id, seq, err := h.tip(ctx, c, g, tip, readers)
	if err == nil && seq > 0 {
		err = c.tx.EndReader(ctx, c.App, "", id, seq)
		if err == nil {
			err = c.tx.SetClosed(ctx, id, true)
		}
	}
	if err != nil {
		return err
	}
	h.forgetCards(c, g.ID, readers...)
	g.Dismissed, g.Members, g.Attributes = true, 0, nil
	g.LiveEpoch++ // who listens to the room hears nothing more
	err = c.clearMembers(ctx, &g)
	if err == nil {
		err = c.tx.UpdateGroup(ctx, c.App, g)
	}
	if err == nil && !rulesOf[g.Type].log {
		c.tellRooms(readers...)
	}
	return err
}

func (h *Hub) setGroupInfo(ctx context.Context, c Caller, req protocol.SetGroupInfoRequest) (res protocol.Empty, err error) {
	a, err := c.acting(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	if err := a.may(a.edit, "change"); err != nil {
		return res, err
	}
	in := req.GroupChange
	switch {
	case in.GroupAddOpt != nil && !a.openable:
		return res, protocol.Errorf(protocol.CodeSvrGroupInvalidParameters, "groupAddOpt: a Work group has none: one is invited to it")
	case in.GroupName != nil && len(*in.GroupName) > h.cfg.GroupNameBytes:
		return res, protocol.Errorf(protocol.CodeGroupInvalidName, "groupName: it must be text of at most %d bytes", h.cfg.GroupNameBytes)
	case in.AllMuted != nil && a.mute == nobody && !c.Operator:
		return res, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "allMuted: nobody is muted in a Work group")
	}
	g := a.Group
	done := protocol.GroupChange{ // what is as it was does not change
		GroupName: put(&g.Name, in.GroupName), Notification: put(&g.Notification, in.Notification), Introduction: put(&g.Introduction, in.Introduction),
		FaceURL: put(&g.Face, in.FaceURL), GroupAddOpt: put(&g.AddOpt, in.GroupAddOpt), AllMuted: put(&g.AllMuted, in.AllMuted),
	}
	if done.Empty() {
		return res, nil
	}
	g.Changed = c.now
	if err := c.tx.UpdateGroup(ctx, c.App, g); err != nil {
		return res, err
	}
	readers, err := c.audienceOf(ctx, g)
	if err == nil {
		_, _, err = h.tip(ctx, c, g, protocol.Tip{Kind: protocol.TipChanged, Change: &done}, readers)
	}
	return res, err
}

// put writes a new value over an old one, and gives it if it is another.
func put[T comparable](old, value *T) *T {
	if value == nil || *value == *old {
		return nil
	}
	*old = *value
	return value
}
