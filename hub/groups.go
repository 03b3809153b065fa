package hub

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// The family of groups. Each handler runs in a savepoint of the writer's
// transaction: what it wrote before an error is undone.

// live returns a group that is there, locked for a change.
func (c Caller) live(ctx context.Context, id string) (store.Group, error) {
	g, err := c.tx.LockGroup(ctx, c.App, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && g.Dismissed {
		return g, protocol.Errorf(protocol.CodeSvrGroupNotFound, "there is no group %s", id)
	}
	return g, err
}

// member finds the caller among a group's members.
func (c Caller) member(ctx context.Context, g store.Group) (m store.Member, is bool, err error) {
	m, err = c.tx.Member(ctx, c.App, g.ID, c.User)
	return m, err == nil, ignore(err, store.ErrNotFound)
}

// tip writes a change of a group into its log. It returns the log and the tip's
// seq. readers are told after the commit.
func (h *Hub) tip(ctx context.Context, c Caller, g store.Group, tip protocol.Tip, readers []string) (store.LogID, uint64, error) {
	name := protocol.GroupLog(g.ID)
	l, _, err := c.tx.EnsureLog(ctx, c.App, name)
	if err != nil {
		return 0, 0, err
	}
	body, err := protocol.Marshal(tip)
	if err != nil {
		return 0, 0, err
	}
	seq, err := h.enter(ctx, c, l.ID, name, readers, func(seq uint64) *protocol.Entry {
		id := protocol.MsgID(protocol.MsgIDPrefix(c.App, name, "", h.era.Ord), seq) // no account has the name of a log
		return &protocol.Entry{Kind: protocol.EntryTip, From: c.User, MsgID: id, Body: body}
	})
	return l.ID, seq, err
}

// enter writes an entry of the hub's own into a log and returns its seq. entry
// gives the entry at that seq. readers are told after the commit.
func (h *Hub) enter(ctx context.Context, c Caller, id store.LogID, name string, readers []string, entry func(seq uint64) *protocol.Entry) (uint64, error) {
	seq, err := c.tx.Extend(ctx, id, 1, h.era.Ord)
	if err != nil {
		return 0, err
	}
	e := entry(seq)
	e.Seq, e.Era, e.Time = seq, h.era.Ord, c.now.UnixMilli()
	if err := c.tx.Insert(ctx, []store.Row{{Log: id, Entry: e}}); err != nil {
		return 0, err
	}
	c.res.entries++
	c.res.out = append(c.res.out, &run{log: name, readers: readers, entries: []*protocol.Entry{e}})
	return seq, nil
}

// tellRooms tells users' terminals after the commit which live rooms they are in.
func (c Caller) tellRooms(users ...string) {
	for _, user := range users {
		c.res.out = append(c.res.out, &roomsChanged{user, c.now.UnixMilli()})
	}
}

func (h *Hub) members(ctx context.Context, c Caller, g store.Group) ([]string, error) {
	list, err := c.tx.Members(ctx, c.App, g.ID)
	users := make([]string, len(list))
	for i, m := range list {
		users[i] = m.User
	}
	return users, err
}

// mayHaveMore tells whether the caller may be in one more group.
func (h *Hub) mayHaveMore(ctx context.Context, c Caller) error {
	n, err := c.tx.GroupCount(ctx, c.App, c.User)
	if err == nil && n >= h.cfg.GroupsPerUser {
		return protocol.Errorf(protocol.CodeSvrGroupCountLimit, "%s is in %d groups, which is the limit", c.User, n)
	}
	return err
}

func (h *Hub) createGroup(ctx context.Context, c Caller, req protocol.CreateGroupRequest) (res protocol.CreateGroupResponse, err error) {
	if len(req.GroupName) > h.cfg.GroupNameBytes {
		return res, protocol.Errorf(protocol.CodeGroupInvalidName, "groupName: it must be text of at most %d bytes", h.cfg.GroupNameBytes)
	}
	if err := h.mayHaveMore(ctx, c); err != nil {
		return res, err
	}
	if req.GroupID == "" {
		req.GroupID = protocol.HubGroupPrefix + rand.Text()[:13] // 65 random bits
	}
	g, err := c.tx.LockGroup(ctx, c.App, req.GroupID)
	again := err == nil
	switch {
	case ignore(err, store.ErrNotFound) != nil:
		return res, err
	case again && !g.Dismissed && g.Owner == c.User:
		return res, protocol.Errorf(protocol.CodeSvrGroupGroupIDInUsedForSuper, "groupId: %s owns the group %s already", c.User, g.ID)
	case again && !g.Dismissed:
		return res, protocol.Errorf(protocol.CodeSvrGroupGroupIDInUsed, "groupId: the group %s is somebody else's", g.ID)
	}
	g = store.Group{
		ID: req.GroupID, Type: req.GroupType, Name: req.GroupName, Owner: c.User, AddOpt: firstAddOpt(req.GroupType),
		Version: g.Version + 1, Members: 1, LiveEpoch: g.LiveEpoch + 1,
	}
	withLog := g.Type != protocol.GroupAVChatRoom
	if withLog {
		if err := h.openGroupLog(ctx, c, &g, again); err != nil {
			return res, err
		}
	}
	if again {
		err = c.tx.UpdateGroup(ctx, c.App, g)
	} else {
		err = c.tx.CreateGroup(ctx, c.App, g, c.now)
	}
	if errors.Is(err, store.ErrExists) { // made by another hub in this moment
		return res, protocol.Errorf(protocol.CodeSvrGroupGroupIDInUsed, "groupId: the group %s is somebody else's", g.ID)
	}
	if err == nil {
		err = c.tx.AddMember(ctx, c.App, g, store.Member{User: c.User, Role: store.RoleOwner}, c.now)
	}
	if err != nil {
		return res, err
	}
	res.GroupID = g.ID
	if !withLog {
		c.tellRooms(c.User)
		return res, nil
	}
	id, _, err := h.tip(ctx, c, g, protocol.Tip{
		Kind: protocol.TipCreated, Users: []string{c.User}, Group: g.ID, Name: g.Name, Type: g.Type,
	}, []string{c.User})
	if err != nil {
		return res, err
	}
	return res, c.tx.SetReader(ctx, c.App, c.User, id, g.BaseSeq, g.BaseSeq)
}

// firstAddOpt is who may join a new group of a type.
func firstAddOpt(groupType string) store.AddOpt {
	switch groupType {
	case protocol.GroupWork:
		return store.AddNobody
	case protocol.GroupPublic:
		return store.AddApproval
	}
	return store.AddFree
}

// openGroupLog opens the log of an earlier group of the same id, if there was
// one. Who is in the new group cannot read it.
func (h *Hub) openGroupLog(ctx context.Context, c Caller, g *store.Group, again bool) error {
	if !again {
		return nil
	}
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

func (h *Hub) joinGroup(ctx context.Context, c Caller, req protocol.JoinGroupRequest) (res protocol.Empty, err error) {
	g, err := c.live(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	_, is, err := c.member(ctx, g)
	switch limit := h.memberLimit(g.Type); {
	case err != nil:
		return res, err
	case is:
		return res, protocol.Errorf(protocol.CodeSvrGroupAlreadyMember, "%s is a member of the group %s already", c.User, g.ID)
	case g.Type == protocol.GroupWork:
		return res, protocol.Errorf(protocol.CodeGroupJoinPrivateGroupDeny, "%s is a Work group: one is invited to it", g.ID)
	case g.AddOpt == store.AddNobody:
		return res, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "nobody may join the group %s by himself", g.ID)
	case limit > 0 && g.Members >= limit:
		return res, protocol.Errorf(protocol.CodeSvrGroupFullMemberCount, "the group %s has %d members, which is the limit", g.ID, g.Members)
	}
	if err := h.mayHaveMore(ctx, c); err != nil {
		return res, err
	}
	if g.AddOpt == store.AddApproval {
		return res, c.tx.Apply(ctx, c.App, g.ID, c.User, req.Msg, c.now)
	}
	g.Members++
	err = c.tx.AddMember(ctx, c.App, g, store.Member{User: c.User}, c.now)
	if err == nil {
		err = c.tx.UpdateGroup(ctx, c.App, g)
	}
	if err == nil {
		err = c.tx.Withdraw(ctx, c.App, g.ID, c.User)
	}
	if err != nil {
		return res, err
	}
	if g.Type == protocol.GroupAVChatRoom {
		c.tellRooms(c.User)
		return res, nil
	}
	readers, err := h.members(ctx, c, g)
	if err != nil {
		return res, err
	}
	id, seq, err := h.tip(ctx, c, g, protocol.Tip{Kind: protocol.TipJoined, Users: []string{c.User}}, readers)
	if err != nil {
		return res, err
	}
	from := seq - 1
	if g.Type == protocol.GroupMeeting {
		from = g.BaseSeq
	}
	return res, c.tx.SetReader(ctx, c.App, c.User, id, from, seq-1)
}

// memberLimit is the most members of a group of a type; 0: no limit.
func (h *Hub) memberLimit(groupType string) int {
	switch groupType {
	case protocol.GroupWork:
		return h.cfg.WorkMembers
	case protocol.GroupPublic:
		return h.cfg.PublicMembers
	case protocol.GroupMeeting:
		return h.cfg.MeetingMembers
	}
	return 0
}

func (h *Hub) quitGroup(ctx context.Context, c Caller, req protocol.GroupRequest) (res protocol.Empty, err error) {
	g, err := c.live(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	m, is, err := c.member(ctx, g)
	switch {
	case err != nil:
		return res, err
	case !is:
		return res, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s is not a member of the group %s", c.User, g.ID)
	case m.Role == store.RoleOwner && g.Type != protocol.GroupWork:
		return res, protocol.Errorf(protocol.CodeSvrGroupSuperNotAllowQuit, "%s owns the group %s and may only dismiss it", c.User, g.ID)
	}
	g.Members--
	if g.Type == protocol.GroupAVChatRoom {
		c.tellRooms(c.User)
		return res, errors.Join(c.tx.RemoveMember(ctx, c.App, g.ID, c.User), c.tx.UpdateGroup(ctx, c.App, g))
	}
	readers, err := h.members(ctx, c, g) // with the caller: his other terminals are to know
	if err == nil {
		err = c.tx.RemoveMember(ctx, c.App, g.ID, c.User)
	}
	if err != nil {
		return res, err
	}
	id, seq, err := h.tip(ctx, c, g, protocol.Tip{Kind: protocol.TipQuit, Users: []string{c.User}}, readers)
	if err != nil {
		return res, err
	}
	if g.Members == 0 {
		return res, h.endGroup(ctx, c, g, readers)
	}
	if err := c.tx.EndReader(ctx, c.App, c.User, id, seq); err != nil {
		return res, err
	}
	if m.Role == store.RoleOwner {
		if err := h.inherit(ctx, c, &g); err != nil {
			return res, err
		}
	}
	return res, c.tx.UpdateGroup(ctx, c.App, g)
}

// inherit gives a group to the member of longest standing.
func (h *Hub) inherit(ctx context.Context, c Caller, g *store.Group) error {
	left, err := h.members(ctx, c, *g)
	if err != nil {
		return err
	}
	if len(left) == 0 {
		return errors.New("the group counts members that are not there")
	}
	g.Owner = left[0]
	if err := c.tx.SetRole(ctx, c.App, g.ID, g.Owner, store.RoleOwner); err != nil {
		return err
	}
	_, _, err = h.tip(ctx, c, *g, protocol.Tip{Kind: protocol.TipOwner, Users: []string{g.Owner}}, left)
	return err
}

func (h *Hub) dismissGroup(ctx context.Context, c Caller, req protocol.GroupRequest) (res protocol.Empty, err error) {
	g, err := c.live(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	switch {
	case g.Type == protocol.GroupWork:
		return res, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s is a Work group: its members quit it, only the operator dismisses it", g.ID)
	case g.Owner != c.User:
		return res, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s does not own the group %s", c.User, g.ID)
	}
	readers, err := h.members(ctx, c, g)
	if err != nil {
		return res, err
	}
	return res, h.endGroup(ctx, c, g, readers)
}

// endGroup dismisses a group. readers are told.
func (h *Hub) endGroup(ctx context.Context, c Caller, g store.Group, readers []string) error {
	g.Dismissed, g.Members = true, 0
	g.LiveEpoch++ // who listens to the room hears nothing more
	if g.Type != protocol.GroupAVChatRoom {
		id, seq, err := h.tip(ctx, c, g, protocol.Tip{Kind: protocol.TipDismissed, Users: []string{c.User}}, readers)
		if err == nil {
			err = c.tx.EndReader(ctx, c.App, "", id, seq)
		}
		if err == nil {
			err = c.tx.SetClosed(ctx, id, true)
		}
		if err != nil {
			return err
		}
	}
	err := c.tx.ClearGroup(ctx, c.App, g.ID)
	if err == nil {
		err = c.tx.UpdateGroup(ctx, c.App, g)
	}
	if err == nil && g.Type == protocol.GroupAVChatRoom {
		c.tellRooms(readers...)
	}
	return err
}
