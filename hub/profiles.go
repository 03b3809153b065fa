package hub

import (
	"context"
	"errors"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

func (h *Hub) getUsersInfo(ctx context.Context, c Caller, req protocol.UserListRequest) (res protocol.UsersResponse, err error) {
	res.InfoList = []protocol.UserFullInfo{}
	for _, user := range req.UserIDList {
		p, err := c.view.Profile(ctx, c.App, user)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return res, err
		}
		res.InfoList = append(res.InfoList, fullInfo(user, p))
	}
	return res, nil
}

func fullInfo(user string, p store.Profile) protocol.UserFullInfo {
	return protocol.UserFullInfo{
		UserInfo: protocol.UserInfo{UserID: user, NickName: p.Nick, FaceURL: p.Face}, SelfSignature: p.Signature, Gender: p.Gender, AllowType: p.AllowType,
	}
}

// setSelfInfo changes the caller's profile. His terminals are told, and those whose
// friend he is of what they see of it.
func (h *Hub) setSelfInfo(ctx context.Context, c Caller, req protocol.SelfInfoRequest) (res protocol.Empty, err error) {
	p, err := c.tx.Profile(ctx, c.App, c.User)
	if err != nil {
		return res, err
	}
	old := p
	put(&p.Nick, req.NickName)
	put(&p.Face, req.FaceURL)
	put(&p.Signature, req.SelfSignature)
	put(&p.Gender, req.Gender)
	put(&p.AllowType, req.AllowType)
	if p == old {
		return res, nil
	}
	if err := c.tx.SetProfile(ctx, c.App, c.User, p); err != nil {
		return res, err
	}
	c.res.done = append(c.res.done, func() { h.faces.forget(c.User) })
	err = informOf(ctx, h, c, protocol.OnSelfInfoUpdated, protocol.SelfInfoEvent{Info: fullInfo(c.User, p)}, c.User)
	if err != nil || p.Nick == old.Nick && p.Face == old.Face {
		return res, err
	}
	friends, err := c.tx.FriendOf(ctx, c.App, c.User)
	if err != nil {
		return res, err
	}
	bodies := make(map[string][]byte, len(friends))
	for _, f := range friends {
		if bodies[f], err = c.friendsEvent(ctx, protocol.OnFriendProfileChanged, f, c.User); err != nil {
			return res, err
		}
	}
	return res, h.inform(ctx, c, friends, func(user string) []byte { return bodies[user] })
}
