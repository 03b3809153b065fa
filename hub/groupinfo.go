package hub

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// What is told of groups and their members. These run beside the writer.

// lastLooks is how many entries of a group are looked at for its last message.
const lastLooks = 200

// groupInfo is a group as a member of it, or somebody else, is told of it.
func (h *Hub) groupInfo(ctx context.Context, c Caller, g store.Group, m *store.Member) (protocol.GroupInfo, error) {
	info := protocol.GroupInfo{
		GroupID: g.ID, GroupType: g.Type, GroupName: g.Name, Notification: g.Notification, Introduction: g.Introduction, FaceURL: g.Face,
		AllMuted: g.AllMuted, Owner: g.Owner, CreateTime: g.Created.Unix(), GroupAddOpt: g.AddOpt, LastInfoTime: g.Changed.Unix(),
		MemberCount: g.Members, Role: protocol.RoleUndefined,
	}
	if m != nil {
		info.Role, info.RecvOpt, info.JoinTime = m.Role, m.RecvOpt, m.JoinedAt/1000
	}
	var err error
	if info.OnlineCount, err = h.onlineIn(ctx, c.view, g); err != nil {
		return info, err
	}
	last, err := h.lastMessage(ctx, c.view, g)
	if err == nil && !last.IsZero() {
		info.LastMessageTime = last.Unix()
	}
	return info, err
}

// onlineIn counts a group's members who are online.
func (h *Hub) onlineIn(ctx context.Context, v store.View, g store.Group) (n int, err error) {
	users, err := h.crowds.of(ctx, v, h.app, g)
	for _, user := range users {
		if h.table.online(user) {
			n++
		}
	}
	return n, err
}

func (h *Hub) lastMessage(ctx context.Context, v store.View, g store.Group) (time.Time, error) {
	if !rulesOf[g.Type].log {
		last := h.lively.last(g.ID)
		if last.Before(g.Created) { // in an earlier room of this id
			last = time.Time{}
		}
		return last, nil
	}
	l, err := v.Log(ctx, h.app, protocol.GroupLog(g.ID))
	if err != nil {
		return time.Time{}, ignore(err, store.ErrNotFound)
	}
	return v.LastMessage(ctx, l.ID, g.BaseSeq, lastLooks)
}

func (h *Hub) getJoinedGroupList(ctx context.Context, c Caller, _ protocol.Empty) (res protocol.GroupListResponse, err error) {
	list, err := c.view.GroupsOf(ctx, c.App, c.User)
	if err != nil {
		return res, err
	}
	slices.SortFunc(list, func(a, b store.Joined) int { return cmp.Compare(a.ID, b.ID) })
	res.GroupList = make([]protocol.GroupInfo, len(list))
	for i, j := range list {
		if res.GroupList[i], err = h.groupInfo(ctx, c, j.Group, &j.Member); err != nil {
			return res, err
		}
	}
	return res, nil
}

func (h *Hub) getGroupsInfo(ctx context.Context, c Caller, req protocol.GroupsRequest) (res protocol.GroupsResponse, err error) {
	for _, id := range req.GroupIDList {
		r := protocol.GroupResult{GroupInfo: protocol.GroupInfo{GroupID: id, Role: protocol.RoleUndefined}}
		g, m, err := c.seen(ctx, id)
		var refusal *protocol.Error
		switch {
		case errors.As(err, &refusal):
			r.ResultCode, r.ResultMessage = refusal.Code, refusal.Msg
		case err != nil:
			return res, err
		default:
			if r.GroupInfo, err = h.groupInfo(ctx, c, g, m); err != nil {
				return res, err
			}
		}
		res.GroupResultList = append(res.GroupResultList, r)
	}
	return res, nil
}

// seen finds a group, and the caller in it; nil: he is no member. Of a Work group
// those who are none are told nothing.
func (c Caller) seen(ctx context.Context, id string) (g store.Group, m *store.Member, err error) {
	g, err = c.view.Group(ctx, c.App, id)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && g.Dismissed:
		return g, nil, noGroup(id)
	case err != nil:
		return g, nil, err
	}
	me, err := c.view.Member(ctx, c.App, id, c.User)
	switch {
	case err == nil:
		m = &me
	case !errors.Is(err, store.ErrNotFound):
		return g, nil, err
	case g.Type == protocol.GroupWork:
		return g, nil, notMember(c.User, id)
	}
	return g, m, nil
}

// seenFromWithin is seen for what members alone are told.
func (c Caller) seenFromWithin(ctx context.Context, id string) (g store.Group, err error) {
	g, m, err := c.seen(ctx, id)
	if err == nil && m == nil {
		err = notMember(c.User, id)
	}
	return g, err
}

// memberPage is how many members are listed at once.
const memberPage = 100

func (h *Hub) getGroupMemberList(ctx context.Context, c Caller, req protocol.MemberListRequest) (res protocol.MemberListResponse, err error) {
	g, err := c.seenFromWithin(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	low, high := protocol.RoleMember, protocol.RoleOwner
	switch req.Filter {
	case protocol.FilterOwner:
		low = protocol.RoleOwner
	case protocol.FilterAdmin:
		low, high = protocol.RoleAdmin, protocol.RoleAdmin
	case protocol.FilterCommon:
		high = protocol.RoleMember
	}
	list, err := c.view.MembersAfter(ctx, c.App, g.ID, req.NextSeq, low, high, memberPage+1)
	if err != nil {
		return res, err
	}
	if len(list) > memberPage {
		list = list[:memberPage]
		res.NextSeq = list[memberPage-1].Seq
	}
	res.MemberList, err = c.memberInfos(ctx, list)
	return res, err
}

func (h *Hub) getGroupMembersInfo(ctx context.Context, c Caller, req protocol.MembersRequest) (res protocol.MembersResponse, err error) {
	g, err := c.seenFromWithin(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	var list []store.Member
	for _, user := range req.UserIDList {
		m, err := c.view.Member(ctx, c.App, g.ID, user)
		if err == nil {
			list = append(list, m)
		} else if !errors.Is(err, store.ErrNotFound) {
			return res, err
		}
	}
	res.MemberList, err = c.memberInfos(ctx, list)
	return res, err
}

// memberInfos are members as the caller sees them.
func (c Caller) memberInfos(ctx context.Context, list []store.Member) ([]protocol.GroupMemberInfo, error) {
	out := make([]protocol.GroupMemberInfo, len(list))
	users := make([]string, len(list))
	for i, m := range list {
		users[i] = m.User
	}
	people, err := c.view.People(ctx, c.App, c.User, users)
	for i, m := range list {
		p, role := people[m.User], m.Role
		out[i] = protocol.GroupMemberInfo{
			UserID: m.User, NickName: p.Nick, FriendRemark: p.Remark, NameCard: m.Card, FaceURL: p.Face, Role: &role, JoinTime: m.JoinedAt / 1000,
		}
		if m.MutedUntil > c.now.UnixMilli() {
			out[i].MuteUntil = m.MutedUntil / 1000
		}
	}
	return out, err
}
