package hub

import (
	"context"
	"errors"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// nobody is beyond every role.
const nobody protocol.Role = 9

// rules are what members of a group may do, by its type: the document's table. A
// Role is the least that may; whom it concerns must be of a lower one.
type rules struct {
	addOpt   protocol.AddOpt // of a new group
	openable bool            // groupAddOpt may be changed
	invite   protocol.Role   // to make others members, at once
	admins   protocol.Role   // to make admins
	edit     protocol.Role   // the group's texts and options
	kick     protocol.Role
	mute     protocol.Role
	card     protocol.Role // to name others
	transfer protocol.Role
	dismiss  protocol.Role
	quits    bool // also the owner
	log      bool // its messages are kept
}

var rulesOf = map[string]rules{
	protocol.GroupWork: {
		addOpt: protocol.AddNobody, invite: protocol.RoleMember, admins: nobody, edit: protocol.RoleMember, kick: protocol.RoleOwner,
		mute: nobody, card: protocol.RoleOwner, transfer: protocol.RoleOwner, dismiss: nobody, quits: true, log: true,
	},
	protocol.GroupPublic: {
		addOpt: protocol.AddApproval, openable: true, invite: nobody, admins: protocol.RoleOwner, edit: protocol.RoleAdmin, kick: protocol.RoleAdmin,
		mute: protocol.RoleAdmin, card: protocol.RoleAdmin, transfer: protocol.RoleOwner, dismiss: protocol.RoleOwner, log: true,
	},
	protocol.GroupMeeting: {
		addOpt: protocol.AddFree, openable: true, invite: nobody, admins: protocol.RoleOwner, edit: protocol.RoleAdmin, kick: protocol.RoleAdmin,
		mute: protocol.RoleAdmin, card: protocol.RoleAdmin, transfer: protocol.RoleOwner, dismiss: protocol.RoleOwner, log: true,
	},
	protocol.GroupAVChatRoom: {
		addOpt: protocol.AddFree, openable: true, invite: nobody, admins: nobody, edit: protocol.RoleOwner, kick: nobody,
		mute: protocol.RoleOwner, card: protocol.RoleOwner, transfer: nobody, dismiss: protocol.RoleOwner,
	},
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

// roomFor is nil if a group may have one more member.
func (h *Hub) roomFor(g *store.Group) error {
	if limit := h.memberLimit(g.Type); limit > 0 && g.Members >= limit {
		return protocol.Errorf(protocol.CodeSvrGroupFullMemberCount, "the group %s has %d members, which is the limit", g.ID, g.Members)
	}
	return nil
}

// acting is a group that is about to change, and who changes it.
type acting struct {
	store.Group
	rules
	me store.Member
}

// act finds a group of which the caller is a member, or which the operator may
// change, and locks it.
func (c Caller) acting(ctx context.Context, id string) (a acting, err error) {
	if a.Group, err = c.live(ctx, id); err != nil {
		return a, err
	}
	a.rules = rulesOf[a.Type]
	if c.Operator {
		a.me = store.Member{Role: nobody}
		return a, nil
	}
	a.me, err = c.tx.Member(ctx, c.App, a.ID, c.User)
	if errors.Is(err, store.ErrNotFound) {
		err = notMember(c.User, a.ID)
	}
	return a, err
}

func notMember(user, group string) error {
	return protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s is not a member of the group %s", user, group)
}

// may refuses who has not the role that something takes.
func (a *acting) may(least protocol.Role, what string) error {
	switch {
	case a.me.Role >= least:
		return nil
	case least == nobody:
		return protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s is a %s group: nobody may %s it", a.ID, a.Type, what)
	}
	return protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s may not %s the group %s", a.me.User, what, a.ID)
}

// other finds a member of a lower role than the caller's.
func (c Caller) other(ctx context.Context, a *acting, user, what string) (m store.Member, err error) {
	m, err = c.tx.Member(ctx, c.App, a.ID, user)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return m, protocol.Errorf(protocol.CodeSvrGroupAccountNotFound, "userId: %s is not a member of the group %s", user, a.ID)
	case err != nil:
		return m, err
	case m.Role >= a.me.Role:
		return m, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s may not %s %s in the group %s", a.me.User, what, user, a.ID)
	}
	return m, nil
}
