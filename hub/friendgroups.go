package hub

import (
	"context"
	"errors"
	"slices"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// friendGroup refuses a name that none of the caller's friend groups has.
func (c Caller) friendGroup(ctx context.Context, field, name string) error {
	names, _, err := c.view.FriendGroups(ctx, c.App, c.User)
	if err == nil && !slices.Contains(names, name) {
		return noFriendGroup(field, name)
	}
	return err
}

func noFriendGroup(field, name string) error {
	return protocol.Errorf(protocol.CodeSvrFriendshipInvalidParameters, "%s: there is no friend group %q", field, name)
}

func sameFriendGroup(field, name string) error {
	return protocol.Errorf(protocol.CodeSvrFriendshipInvalidParameters, "%s: there is a friend group %q already", field, name)
}

func (h *Hub) createFriendGroup(ctx context.Context, c Caller, req protocol.NewFriendGroupRequest) (res protocol.FriendResultsResponse, err error) {
	names, _, err := c.tx.FriendGroups(ctx, c.App, c.User)
	switch {
	case err != nil:
		return res, err
	case slices.Contains(names, req.GroupName):
		return res, sameFriendGroup("groupName", req.GroupName)
	case len(names) >= h.cfg.FriendGroups:
		return res, protocol.Errorf(protocol.CodeSvrFriendshipGroupCountLimit, "there are %d friend groups, which is the limit", len(names))
	}
	if err := c.tx.CreateFriendGroup(ctx, c.App, c.User, req.GroupName, c.now); err != nil {
		return res, err
	}
	return h.fillFriendGroup(ctx, c, req.GroupName, req.UserIDList)
}

func (h *Hub) addFriendsToFriendGroup(ctx context.Context, c Caller, req protocol.FriendGroupRequest) (res protocol.FriendResultsResponse, err error) {
	if err := c.friendGroup(ctx, "groupName", req.GroupName); err != nil {
		return res, err
	}
	return h.fillFriendGroup(ctx, c, req.GroupName, req.UserIDList)
}

// fillFriendGroup judges each row by itself: one that cannot be done leaves the
// others be.
func (h *Hub) fillFriendGroup(ctx context.Context, c Caller, name string, users []string) (res protocol.FriendResultsResponse, err error) {
	res.ResultList = []protocol.FriendOperationResult{}
	for _, user := range users {
		is, err := c.tx.HasFriend(ctx, c.App, c.User, user)
		var refusal *protocol.Error
		switch {
		case err != nil:
			return res, err
		case !is:
			refusal = protocol.Errorf(protocol.CodeSvrFriendshipDelNonFriend, "%s is no friend", user)
		default:
			if err := ignore(c.tx.AddToFriendGroup(ctx, c.App, c.User, name, user), store.ErrExists); err != nil {
				return res, err
			}
		}
		res.ResultList = append(res.ResultList, result(user, refusal))
	}
	return res, nil
}

func (h *Hub) deleteFriendsFromFriendGroup(ctx context.Context, c Caller, req protocol.FriendGroupRequest) (res protocol.FriendResultsResponse, err error) {
	if err := c.friendGroup(ctx, "groupName", req.GroupName); err != nil {
		return res, err
	}
	for _, user := range req.UserIDList {
		var refusal *protocol.Error
		err := c.tx.RemoveFromFriendGroup(ctx, c.App, c.User, req.GroupName, user)
		if errors.Is(err, store.ErrNotFound) {
			refusal = protocol.Errorf(protocol.CodeSvrFriendshipInvalidParameters, "%s is not in the friend group %q", user, req.GroupName)
		} else if err != nil {
			return res, err
		}
		res.ResultList = append(res.ResultList, result(user, refusal))
	}
	return res, nil
}

func (h *Hub) getFriendGroupList(ctx context.Context, c Caller, req protocol.GetFriendGroupsRequest) (res protocol.FriendGroupsResponse, err error) {
	res.GroupList = []protocol.FriendGroup{}
	names, friends, err := c.view.FriendGroups(ctx, c.App, c.User)
	for _, name := range names {
		if len(req.GroupNameList) > 0 && !slices.Contains(req.GroupNameList, name) {
			continue
		}
		list := friends[name]
		if list == nil {
			list = []string{}
		}
		res.GroupList = append(res.GroupList, protocol.FriendGroup{GroupName: name, UserCount: len(list), FriendList: list})
	}
	return res, err
}

// deleteFriendGroup deletes all or none.
func (h *Hub) deleteFriendGroup(ctx context.Context, c Caller, req protocol.FriendGroupNames) (res protocol.Empty, err error) {
	for _, name := range req.GroupNameList {
		err := c.tx.DeleteFriendGroup(ctx, c.App, c.User, name)
		if errors.Is(err, store.ErrNotFound) {
			err = noFriendGroup("groupNameList", name)
		}
		if err != nil {
			return res, err
		}
	}
	return res, nil
}

func (h *Hub) renameFriendGroup(ctx context.Context, c Caller, req protocol.RenameFriendGroupRequest) (res protocol.Empty, err error) {
	names, _, err := c.tx.FriendGroups(ctx, c.App, c.User)
	switch {
	case err != nil:
		return res, err
	case !slices.Contains(names, req.OldName):
		return res, noFriendGroup("oldName", req.OldName)
	case req.OldName == req.NewName: // it is as he wants it
		return res, nil
	case slices.Contains(names, req.NewName):
		return res, sameFriendGroup("newName", req.NewName)
	}
	return res, c.tx.RenameFriendGroup(ctx, c.App, c.User, req.OldName, req.NewName)
}
