package hub

import (
	"context"
	"errors"
	"strconv"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// friendInfos are accounts as an owner of a friend list sees them; who is not there
// any more has a userId alone.
func (c Caller) friendInfos(ctx context.Context, owner string, users []string) ([]protocol.FriendInfo, error) {
	people, err := c.view.People(ctx, c.App, owner, users)
	if err != nil {
		return nil, err
	}
	names, friends, err := c.view.FriendGroups(ctx, c.App, owner)
	if err != nil {
		return nil, err
	}
	groups := make(map[string][]string)
	for _, name := range names {
		for _, user := range friends[name] {
			groups[user] = append(groups[user], name)
		}
	}
	out := make([]protocol.FriendInfo, len(users))
	for i, user := range users {
		p := people[user]
		out[i] = protocol.FriendInfo{
			UserID: user, FriendRemark: p.Remark, FriendCustomInfo: map[string]string{}, FriendGroups: groups[user],
			UserInfo: protocol.UserInfo{UserID: user, NickName: p.Nick, FaceURL: p.Face},
		}
		if out[i].FriendGroups == nil {
			out[i].FriendGroups = []string{}
		}
	}
	return out, nil
}

// friendsEvent makes the body of an event about accounts as an owner sees them.
func (c Caller) friendsEvent(ctx context.Context, e protocol.Event[protocol.FriendsEvent], owner string, users ...string) ([]byte, error) {
	list, err := c.friendInfos(ctx, owner, users)
	if err != nil {
		return nil, err
	}
	return protocol.NewHubEvent(e, protocol.FriendsEvent{InfoList: list})
}

// informFriends tells an owner of accounts, in as many events as it takes.
func (h *Hub) informFriends(ctx context.Context, c Caller, e protocol.Event[protocol.FriendsEvent], owner string, users ...string) error {
	body, err := c.friendsEvent(ctx, e, owner, users...)
	if err != nil {
		return err
	}
	if half := len(users) / 2; half > 0 && len(body) > protocol.MaxBodyBytes {
		err := h.informFriends(ctx, c, e, owner, users[:half]...)
		if err == nil {
			err = h.informFriends(ctx, c, e, owner, users[half:]...)
		}
		return err
	}
	return h.inform(ctx, c, []string{owner}, func(string) []byte { return body })
}

func gone(users ...string) protocol.FriendsGoneEvent {
	return protocol.FriendsGoneEvent{UserIDList: users, UserIDListAlso: users}
}

func (h *Hub) getFriendList(ctx context.Context, c Caller, _ protocol.Empty) (res protocol.FriendsResponse, err error) {
	list, err := c.view.Friends(ctx, c.App, c.User)
	if err != nil {
		return res, err
	}
	users := make([]string, len(list))
	for i, f := range list {
		users[i] = f.User
	}
	res.InfoList, err = c.friendInfos(ctx, c.User, users)
	return res, err
}

// relation tells how an account stands with the caller.
func (c Caller) relation(ctx context.Context, user string) (protocol.Relation, error) {
	mine, err := c.view.HasFriend(ctx, c.App, c.User, user)
	if err != nil {
		return 0, err
	}
	theirs, err := c.view.HasFriend(ctx, c.App, user, c.User)
	switch {
	case mine && theirs:
		return protocol.RelationBoth, err
	case mine:
		return protocol.RelationMine, err
	case theirs:
		return protocol.RelationTheir, err
	}
	return protocol.RelationNone, err
}

// there refuses an account that is not there, or the caller's own.
func (c Caller) there(ctx context.Context, user string) (*protocol.Error, error) {
	if user == c.User {
		return protocol.Errorf(protocol.CodeSvrFriendshipInvalidParameters, "userId: nobody is his own friend"), nil
	}
	_, err := c.view.User(ctx, c.App, user)
	if errors.Is(err, store.ErrNotFound) {
		return protocol.Errorf(protocol.CodeSvrFriendshipAccountNotFound, "there is no account %s", user), nil
	}
	return nil, err
}

func (h *Hub) getFriendsInfo(ctx context.Context, c Caller, req protocol.UserListRequest) (res protocol.FriendInfosResponse, err error) {
	infos, err := c.friendInfos(ctx, c.User, req.UserIDList)
	if err != nil {
		return res, err
	}
	for i, user := range req.UserIDList {
		r := protocol.FriendInfoResult{Relation: protocol.RelationNone, FriendInfo: infos[i]}
		refusal, err := c.there(ctx, user)
		if err == nil && refusal == nil {
			r.Relation, err = c.relation(ctx, user)
		}
		if err != nil {
			return res, err
		}
		if refusal != nil && user != c.User {
			r.ResultCode, r.ResultInfo = refusal.Code, refusal.Msg
		}
		res.ResultList = append(res.ResultList, r)
	}
	return res, nil
}

func (h *Hub) checkFriend(ctx context.Context, c Caller, req protocol.CheckFriendRequest) (res protocol.FriendCheckResponse, err error) {
	res.Result = protocol.FriendCheckResult{UserID: req.UserID, RelationType: protocol.RelationNone}
	refusal, err := c.there(ctx, req.UserID)
	if err != nil {
		return res, err
	}
	if refusal != nil {
		res.Result.ResultCode, res.Result.ResultInfo = refusal.Code, refusal.Msg
		return res, nil
	}
	r, err := c.relation(ctx, req.UserID)
	if req.Type == protocol.FriendSingle {
		switch r {
		case protocol.RelationBoth:
			r = protocol.RelationMine
		case protocol.RelationTheir:
			r = protocol.RelationNone
		}
	}
	res.Result.RelationType = r
	return res, err
}

func (h *Hub) setFriendInfo(ctx context.Context, c Caller, req protocol.SetFriendInfoRequest) (res protocol.Empty, err error) {
	if refusal, err := c.there(ctx, req.UserID); err != nil || refusal != nil {
		return res, orRefusal(err, refusal)
	}
	err = c.tx.SetRemark(ctx, c.App, c.User, req.UserID, req.FriendRemark)
	if errors.Is(err, store.ErrNotFound) {
		err = protocol.Errorf(protocol.CodeSvrFriendshipDelNonFriend, "userId: %s is no friend", req.UserID)
	}
	if err != nil {
		return res, err
	}
	return res, h.informFriends(ctx, c, protocol.OnFriendProfileChanged, c.User, req.UserID)
}

// orRefusal is err, or else the refusal.
func orRefusal(err error, refusal *protocol.Error) error {
	if err == nil && refusal != nil {
		return refusal
	}
	return err
}

// friendship is who gets whom into his list.
type friendship struct {
	owner, user, remark, source string
}

// befriend puts accounts into lists, where they are not yet, and tells the lists'
// owners. What was applied for between the two is done.
func (h *Hub) befriend(ctx context.Context, c Caller, list ...friendship) error {
	for _, f := range list {
		if err := h.settle(ctx, c, f.user, f.owner); err != nil {
			return err
		}
		n, err := c.tx.FriendCount(ctx, c.App, f.owner)
		if err != nil {
			return err
		}
		err = c.tx.AddFriend(ctx, c.App, f.owner, store.Friend{User: f.user, Remark: f.remark, Source: f.source}, c.now)
		switch {
		case errors.Is(err, store.ErrExists):
			continue
		case err != nil:
			return err
		case n >= h.cfg.Friends && f.owner == c.User:
			return protocol.Errorf(protocol.CodeSvrFriendshipCountLimit, "%s has %d friends, which is the limit", f.owner, n)
		case n >= h.cfg.Friends:
			return protocol.Errorf(protocol.CodeSvrFriendshipPeerFriendLimit, "%s has %d friends, which is the limit", f.owner, n)
		}
		if err := h.informFriends(ctx, c, protocol.OnFriendListAdded, f.owner, f.user); err != nil {
			return err
		}
	}
	return nil
}

// mayBefriend refuses who has the caller in his blacklist, or is in the caller's.
func (c Caller) mayBefriend(ctx context.Context, user string) error {
	if refused, err := c.plan.refusals.refuses(ctx, c.tx, c.App, c.User, user); err != nil || refused {
		return orRefusal(err, protocol.Errorf(protocol.CodeSvrFriendshipInSelfBlacklist, "%s is in the own blacklist: take him out of it first", user))
	}
	if refused, err := c.plan.refusals.refuses(ctx, c.tx, c.App, user, c.User); err != nil || refused {
		return orRefusal(err, protocol.Errorf(protocol.CodeSvrFriendshipInPeerBlacklist, "%s has %s in the blacklist", user, c.User))
	}
	return nil
}

func (h *Hub) addFriend(ctx context.Context, c Caller, req protocol.AddFriendRequest) (res protocol.FriendResultResponse, err error) {
	res.Result = protocol.FriendOperationResult{UserID: req.UserID, ResultCode: "0"}
	if refusal, err := c.there(ctx, req.UserID); err != nil || refusal != nil {
		return res, orRefusal(err, refusal)
	}
	if err := c.mayBefriend(ctx, req.UserID); err != nil {
		return res, err
	}
	relation, err := c.relation(ctx, req.UserID)
	if err != nil {
		return res, err
	}
	mine := friendship{c.User, req.UserID, req.FriendRemark, req.AddSource}
	both := []friendship{mine, {req.UserID, c.User, "", req.AddSource}}
	switch {
	case relation == protocol.RelationBoth, relation == protocol.RelationMine && req.AddType == protocol.FriendSingle:
		return res, nil // it is as he wants it
	case relation == protocol.RelationTheir: // the other has agreed before
		return res, h.befriend(ctx, c, mine)
	}
	p, err := c.tx.Profile(ctx, c.App, req.UserID)
	if err != nil {
		return res, err
	}
	_, err = c.tx.FriendApplication(ctx, c.App, c.User, req.UserID, true)
	wanted := err == nil // the other has applied
	switch {
	case ignore(err, store.ErrNotFound) != nil:
		return res, err
	case wanted:
		if err := h.settle(ctx, c, c.User, req.UserID); err != nil {
			return res, err
		}
		return res, h.befriend(ctx, c, both...)
	case p.AllowType == protocol.DenyAny:
		return res, protocol.Errorf(protocol.CodeSvrFriendshipAllowTypeDenyAny, "%s has nobody as a friend", req.UserID)
	case p.AllowType == protocol.AllowConfirm:
		res.Result.ResultCode = strconv.Itoa(int(protocol.CodeSvrFriendshipAllowTypeNeedConfirm))
		res.Result.ResultInfo = req.UserID + " has to agree first"
		return res, h.applyToFriend(ctx, c, req)
	case req.AddType == protocol.FriendSingle:
		return res, h.befriend(ctx, c, mine)
	}
	return res, h.befriend(ctx, c, both...)
}

// deleteFromFriendList judges each row by itself: one that cannot be done leaves the
// others be.
func (h *Hub) deleteFromFriendList(ctx context.Context, c Caller, req protocol.DeleteFriendsRequest) (res protocol.FriendResultsResponse, err error) {
	var done []string
	for _, user := range req.UserIDList {
		var refusal *protocol.Error
		err := c.tx.RemoveFriend(ctx, c.App, c.User, user)
		switch {
		case errors.Is(err, store.ErrNotFound):
			refusal = protocol.Errorf(protocol.CodeSvrFriendshipDelNonFriend, "%s is no friend", user)
		case err != nil:
			return res, err
		default:
			done = append(done, user)
			if req.DeleteType == protocol.FriendSingle {
				break
			}
			err := c.tx.RemoveFriend(ctx, c.App, user, c.User)
			if err == nil {
				err = informOf(ctx, h, c, protocol.OnFriendListDeleted, gone(c.User), user)
			}
			if ignore(err, store.ErrNotFound) != nil {
				return res, err
			}
		}
		res.ResultList = append(res.ResultList, result(user, refusal))
	}
	if len(done) == 0 {
		return res, nil
	}
	return res, informOf(ctx, h, c, protocol.OnFriendListDeleted, gone(done...), c.User)
}

func result(user string, refusal *protocol.Error) protocol.FriendOperationResult {
	r := protocol.FriendOperationResult{UserID: user, ResultCode: "0"}
	if refusal != nil {
		r.ResultCode, r.ResultInfo = strconv.Itoa(int(refusal.Code)), refusal.Msg
	}
	return r
}
