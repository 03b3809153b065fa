package hub

import (
	"context"
	"errors"
	"fmt"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// applyToFriend keeps an application to be friends with both sides and tells them.
func (h *Hub) applyToFriend(ctx context.Context, c Caller, req protocol.AddFriendRequest) error {
	a := store.FriendApplication{
		Remark: req.FriendRemark, Wording: req.AddWording, Source: req.AddSource, Single: req.AddType == protocol.FriendSingle, AddedAt: c.now.UnixMilli(),
	}
	for _, side := range []struct {
		owner, other string
		received     bool
	}{{c.User, req.UserID, false}, {req.UserID, c.User, true}} {
		list, err := c.tx.FriendApplications(ctx, c.App, side.owner)
		if err != nil {
			return err
		}
		n := 0
		for _, x := range list {
			if x.Received == side.received && x.User != side.other {
				n++
			}
		}
		if n >= h.cfg.FriendApplications {
			return protocol.Errorf(protocol.CodeSvrFriendshipPendencyLimit, "%s has %d applications open, which is the limit", side.owner, n)
		}
		a.User, a.Received = side.other, side.received
		if err := c.tx.KeepFriendApplication(ctx, c.App, side.owner, a); err != nil {
			return err
		}
		infos, err := c.applications(ctx, side.owner, a)
		if err != nil {
			return err
		}
		if err := informOf(ctx, h, c, protocol.OnFriendApplicationListAdded, protocol.FriendApplicationsEvent{ApplicationList: infos}, side.owner); err != nil {
			return err
		}
	}
	return nil
}

// applications are applications as their owner sees them.
func (c Caller) applications(ctx context.Context, owner string, list ...store.FriendApplication) ([]protocol.FriendApplication, error) {
	users := make([]string, len(list))
	for i, a := range list {
		users[i] = a.User
	}
	people, err := c.view.People(ctx, c.App, owner, users)
	out := make([]protocol.FriendApplication, len(list))
	for i, a := range list {
		out[i] = protocol.FriendApplication{
			UserID: a.User, NickName: people[a.User].Nick, FaceURL: people[a.User].Face, AddTime: a.AddedAt / 1000, AddSource: a.Source, AddWording: a.Wording,
		}
		if a.Received {
			out[i].Type = protocol.ApplicationReceived
		}
	}
	return out, err
}

func (h *Hub) listFriendApplications(ctx context.Context, c Caller, _ protocol.Empty) (res protocol.FriendApplicationsResponse, err error) {
	list, err := c.view.FriendApplications(ctx, c.App, c.User)
	if err != nil {
		return res, err
	}
	_, read, err := c.view.ApplicationsRead(ctx, c.App, c.User)
	if err != nil {
		return res, err
	}
	for _, a := range list {
		if a.Received && a.AddedAt > read {
			res.UnreadCount++
		}
	}
	res.ApplicationList, err = c.applications(ctx, c.User, list...)
	return res, err
}

func (h *Hub) setFriendApplicationRead(ctx context.Context, c Caller, _ protocol.Empty) (res protocol.Empty, err error) {
	if err := c.tx.SetFriendApplicationsRead(ctx, c.App, c.User, c.now); err != nil {
		return res, err
	}
	return res, informOf(ctx, h, c, protocol.OnFriendApplicationListRead, protocol.Empty{}, c.User)
}

// settle removes what an applicant has applied for, from the lists of both, and
// tells both.
func (h *Hub) settle(ctx context.Context, c Caller, owner, applicant string) error {
	for _, side := range []struct {
		owner, other string
		received     bool
	}{{owner, applicant, true}, {applicant, owner, false}} {
		err := c.tx.RemoveFriendApplication(ctx, c.App, side.owner, side.other, side.received)
		if errors.Is(err, store.ErrNotFound) { // it was deleted on this side
			continue
		}
		if err == nil {
			err = informOf(ctx, h, c, protocol.OnFriendApplicationListDeleted, gone(side.other), side.owner)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *Hub) decideFriendApplication(ctx context.Context, c Caller, req protocol.DecideFriendRequest) (res protocol.FriendResultResponse, err error) {
	res.Result = result(req.UserID, nil)
	a, err := c.tx.FriendApplication(ctx, c.App, c.User, req.UserID, req.Type == protocol.ApplicationReceived)
	if errors.Is(err, store.ErrNotFound) {
		return res, protocol.Errorf(protocol.CodeSvrFriendshipPendencyNotFound, "there is no application of %s any more", req.UserID)
	}
	if err != nil {
		return res, err
	}
	if req.Do == protocol.FriendDelete {
		err := c.tx.RemoveFriendApplication(ctx, c.App, c.User, a.User, a.Received)
		if err == nil {
			err = informOf(ctx, h, c, protocol.OnFriendApplicationListDeleted, gone(a.User), c.User)
		}
		return res, err
	}
	if req.Do != protocol.FriendRefuse {
		if err := c.mayBefriend(ctx, a.User); err != nil {
			return res, err
		}
	}
	if err := h.settle(ctx, c, c.User, a.User); err != nil || req.Do == protocol.FriendRefuse {
		return res, err
	}
	list := []friendship{{a.User, c.User, a.Remark, a.Source}}
	switch req.Do {
	case protocol.FriendAccept:
		list = append(list, friendship{c.User, a.User, "", a.Source})
	case protocol.FriendAllow:
	default:
		return res, fmt.Errorf("do %d", req.Do) // Validate has seen it
	}
	return res, h.befriend(ctx, c, list...)
}
