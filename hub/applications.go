package hub

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

const (
	maxApplications  = 1000               // open ones to a group
	keepApplications = 7 * 24 * time.Hour // after they were decided
)

// apply keeps the caller's application to join a group and tells who decides.
func (h *Hub) apply(ctx context.Context, c Caller, g store.Group, msg string) error {
	n, err := c.tx.Applications(ctx, c.App, g.ID)
	if err != nil {
		return err
	}
	if n >= maxApplications {
		return protocol.Errorf(protocol.CodeSvrGroupFreqLimit, "%d people wait already for the group %s to let them in", n, g.ID)
	}
	if err := c.tx.Apply(ctx, c.App, g.ID, c.User, msg, c.now); err != nil {
		return err
	}
	deciders, err := c.tx.Deciders(ctx, c.App, g.ID)
	if err != nil {
		return err
	}
	bodies := make(map[string][]byte, len(deciders))
	users := make([]string, len(deciders))
	for i, m := range deciders {
		users[i] = m.User
		who, err := c.memberInfo(ctx, m.User, c.User)
		if err != nil {
			return err
		}
		bodies[m.User], err = protocol.NewHubEvent(protocol.OnReceiveJoinApplication, protocol.JoinApplicationEvent{GroupID: g.ID, Member: who, OpReason: msg})
		if err != nil {
			return err
		}
	}
	return h.inform(ctx, c, users, func(user string) []byte { return bodies[user] })
}

// memberInfo is an account as a viewer sees it.
func (c Caller) memberInfo(ctx context.Context, viewer, user string) (protocol.GroupMemberInfo, error) {
	people, err := c.view.People(ctx, c.App, viewer, []string{user})
	p := people[user]
	return protocol.GroupMemberInfo{UserID: user, NickName: p.Nick, FriendRemark: p.Remark, FaceURL: p.Face}, err
}

func (h *Hub) listGroupApplications(ctx context.Context, c Caller, _ protocol.Empty) (res protocol.GroupApplicationsResponse, err error) {
	res.GroupApplicationList = []protocol.GroupApplication{}
	list, err := c.view.ApplicationsTo(ctx, c.App, c.User, protocol.MaxApplications)
	if err != nil {
		return res, err
	}
	read, _, err := c.view.ApplicationsRead(ctx, c.App, c.User)
	if err != nil {
		return res, err
	}
	users := make([]string, len(list))
	for i, a := range list {
		users[i] = a.User
	}
	people, err := c.view.People(ctx, c.App, c.User, users)
	for _, a := range list {
		x := protocol.GroupApplication{
			GroupID: a.Group, FromUser: a.User, FromUserNickName: people[a.User].Nick, FromUserFaceURL: people[a.User].Face, ToUser: "0",
			AddTime: strconv.FormatInt(a.AppliedAt/1000, 10), RequestMsg: a.Msg, HandleMsg: a.Reply,
		}
		switch {
		case a.HandledAt == 0:
			if a.AppliedAt > read {
				res.UnreadCount++
			}
		case a.Handler == c.User:
			x.HandleStatus = protocol.HandleBySelf
		default:
			x.HandleStatus = protocol.HandleByOther
		}
		if a.HandledAt != 0 && !a.Agreed {
			x.HandleResult = protocol.HandleRefused
		}
		res.GroupApplicationList = append(res.GroupApplicationList, x)
	}
	return res, err
}

func (h *Hub) setGroupApplicationRead(ctx context.Context, c Caller, _ protocol.Empty) (res protocol.Empty, err error) {
	return res, c.tx.SetGroupApplicationsRead(ctx, c.App, c.User, c.now)
}

func (h *Hub) decideGroupApplication(ctx context.Context, c Caller, req protocol.DecideRequest) (res protocol.Empty, err error) {
	a, err := c.acting(ctx, req.GroupID)
	if err != nil {
		return res, err
	}
	if err := a.may(protocol.RoleAdmin, "let people into"); err != nil {
		return res, err
	}
	err = c.tx.Handle(ctx, c.App, store.GroupApplication{
		Group: a.ID, User: req.UserID, HandledAt: c.now.UnixMilli(), Handler: c.User, Agreed: req.Agree, Reply: req.Reason,
	})
	if errors.Is(err, store.ErrNotFound) {
		return res, protocol.Errorf(protocol.CodeSvrGroupReqAlreadyBeenProcessed, "%s does not wait to join the group %s any more", req.UserID, a.ID)
	}
	if err == nil {
		err = c.tx.ForgetApplications(ctx, c.now.Add(-keepApplications))
	}
	if err != nil {
		return res, err
	}
	if req.Agree {
		if err := h.roomFor(&a.Group); err != nil {
			return res, err
		}
		if err := h.mayHaveMore(ctx, c, req.UserID); err != nil {
			return res, err
		}
		if err := h.enterGroup(ctx, c, &a.Group, req.UserID); err != nil {
			return res, err
		}
	}
	who, err := c.memberInfo(ctx, req.UserID, c.User)
	if err != nil {
		return res, err
	}
	return res, informOf(ctx, h, c, protocol.OnApplicationProcessed, protocol.ApplicationProcessedEvent{
		GroupID: a.ID, OpUser: who, IsAgreeJoin: req.Agree, OpReason: req.Reason,
	}, req.UserID)
}
