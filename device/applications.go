package device

import (
	"context"
	"sync"

	"github.com/herald-im/herald/protocol"
)

// maxListers bounds the programs whose lists are remembered; beyond it all fetch
// theirs anew.
const maxListers = 64

// lister is a program, and the account that was logged in when it fetched a list.
type lister struct {
	app       protocol.AppID
	user, who string
}

func (d *Device) lister(c protocol.Caller) (lister, error) {
	s, err := d.current()
	if err != nil {
		return lister{}, err
	}
	return lister{s.app, s.user, c.Who}, nil
}

// listed remembers for each program what the list held that it has fetched last: it
// names what is in it by its place.
type listed[T any] struct {
	mu    sync.Mutex
	lists map[lister][]T
}

func (l *listed[T]) keep(by lister, list []T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.lists[by]; l.lists == nil || !known && len(l.lists) >= maxListers {
		l.lists = make(map[lister][]T)
	}
	l.lists[by] = list
}

func (l *listed[T]) at(by lister, index int) (x T, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list, fetched := l.lists[by]
	switch {
	case !fetched:
		return x, protocol.Errorf(protocol.CodeInvalidParameters, "index: this program has not fetched the list of applications yet")
	case index >= len(list):
		return x, protocol.Errorf(protocol.CodeInvalidParameters, "index: the list of applications that was fetched has %d: none has the index %d", len(list), index)
	}
	return list[index], nil
}

// groupWish is an application to join a group.
type groupWish struct{ group, user string }

func (d *Device) getGroupApplications(ctx context.Context, c protocol.Caller, _ protocol.Empty) (protocol.GroupApplicationsResponse, error) {
	by, err := d.lister(c)
	if err != nil {
		return protocol.GroupApplicationsResponse{}, err
	}
	res, err := Ask(ctx, d, protocol.ListGroupApplications, protocol.Empty{})
	if err != nil {
		return res, err
	}
	list := make([]groupWish, len(res.GroupApplicationList))
	for i, a := range res.GroupApplicationList {
		list[i] = groupWish{a.GroupID, a.FromUser}
	}
	d.groupWishes.keep(by, list)
	return res, nil
}

func (d *Device) acceptGroupApplication(ctx context.Context, c protocol.Caller, r protocol.HandleRequest) (protocol.Empty, error) {
	return d.decideGroup(ctx, c, r, true)
}

func (d *Device) refuseGroupApplication(ctx context.Context, c protocol.Caller, r protocol.HandleRequest) (protocol.Empty, error) {
	return d.decideGroup(ctx, c, r, false)
}

func (d *Device) decideGroup(ctx context.Context, c protocol.Caller, r protocol.HandleRequest, agree bool) (protocol.Empty, error) {
	by, err := d.lister(c)
	if err != nil {
		return protocol.Empty{}, err
	}
	a, err := d.groupWishes.at(by, *r.Index)
	if err != nil {
		return protocol.Empty{}, err
	}
	return Ask(ctx, d, protocol.DecideGroupApplication, protocol.DecideRequest{GroupID: a.group, UserID: a.user, Agree: agree, Reason: r.Reason})
}

// friendWish is an application to be friends.
type friendWish struct {
	user string
	kind protocol.ApplicationType
}

func (d *Device) getFriendApplications(ctx context.Context, c protocol.Caller, _ protocol.Empty) (protocol.FriendApplicationsResponse, error) {
	by, err := d.lister(c)
	if err != nil {
		return protocol.FriendApplicationsResponse{}, err
	}
	res, err := Ask(ctx, d, protocol.ListFriendApplications, protocol.Empty{})
	if err != nil {
		return res, err
	}
	list := make([]friendWish, len(res.ApplicationList))
	for i, a := range res.ApplicationList {
		list[i] = friendWish{a.UserID, a.Type}
	}
	d.friendWishes.keep(by, list)
	return res, nil
}

func (d *Device) acceptFriendApplication(ctx context.Context, c protocol.Caller, r protocol.AcceptFriendRequest) (protocol.FriendResultResponse, error) {
	do := protocol.FriendAccept
	if r.Type == protocol.FriendSingle {
		do = protocol.FriendAllow
	}
	return d.decideFriend(ctx, c, *r.Index, do)
}

func (d *Device) refuseFriendApplication(ctx context.Context, c protocol.Caller, r protocol.IndexRequest) (protocol.FriendResultResponse, error) {
	return d.decideFriend(ctx, c, *r.Index, protocol.FriendRefuse)
}

func (d *Device) deleteFriendApplication(ctx context.Context, c protocol.Caller, r protocol.IndexRequest) (protocol.Empty, error) {
	_, err := d.decideFriend(ctx, c, *r.Index, protocol.FriendDelete)
	return protocol.Empty{}, err
}

func (d *Device) decideFriend(ctx context.Context, c protocol.Caller, index, do int) (res protocol.FriendResultResponse, err error) {
	by, err := d.lister(c)
	if err != nil {
		return res, err
	}
	a, err := d.friendWishes.at(by, index)
	if err != nil {
		return res, err
	}
	if a.kind == protocol.ApplicationSent && do != protocol.FriendDelete {
		return res, protocol.Errorf(protocol.CodeSvrFriendshipInvalidParameters, "index: this application was made by the account itself: it can be deleted only")
	}
	return Ask(ctx, d, protocol.DecideFriendApplication, protocol.DecideFriendRequest{UserID: a.user, Type: a.kind, Do: do})
}
