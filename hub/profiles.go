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
	return res, h.tellFriends(ctx, c, c.plan.newTelling(c.User), "")
}

// newTelling begins to tell an account's friends anew.
func (p *planner) newTelling(user string) uint64 {
	if p.tellings == nil {
		p.tellings = make(map[string]uint64)
	}
	p.turn++
	p.tellings[user] = p.turn
	return p.turn
}

// friendsAtOnce is how many are told in one transaction that a friend has another name:
// an account may be in any number of lists, and others wait meanwhile.
const friendsAtOnce = 100

// tellFriends tells those in whose lists the caller is, after this one, of his profile.
// The rest is told in transactions after this one, unless another change has begun to
// tell anew. Should the hub or its database fail meanwhile, frames bring the
// name to whom is not told.
func (h *Hub) tellFriends(ctx context.Context, c Caller, turn uint64, after string) error {
	if c.plan.tellings[c.User] != turn {
		return nil
	}
	friends, err := c.tx.FriendOf(ctx, c.App, c.User, after, friendsAtOnce)
	if err != nil {
		return err
	}
	bodies := make(map[string][]byte, len(friends))
	for _, f := range friends {
		if bodies[f], err = c.friendsEvent(ctx, protocol.OnFriendProfileChanged, f, c.User); err != nil {
			return err
		}
	}
	if err := h.inform(ctx, c, friends, func(user string) []byte { return bodies[user] }); err != nil {
		return err
	}
	user, plan := c.User, c.plan
	c.res.done = append(c.res.done, func() {
		if len(friends) < friendsAtOnce {
			if plan.tellings[user] == turn {
				delete(plan.tellings, user)
			}
			return
		}
		h.queue.add(&writeJob{func(ctx context.Context, c Caller) error {
			c.User = user
			return h.tellFriends(ctx, c, turn, friends[len(friends)-1])
		}, make(chan error, 1)})
	})
	return nil
}
