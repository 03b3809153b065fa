package hub

import (
	"context"
	"errors"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// sendOnline hands a message to those who are online. It is judged as a stored one
// is, and kept nowhere.
func (h *Hub) sendOnline(ctx context.Context, c Caller, req protocol.SendOnlineRequest) (res protocol.Empty, err error) {
	it := protocol.Item{Kind: protocol.ItemC2C, To: req.UserID, Body: req.Message}
	if req.GroupID != "" {
		it.Kind, it.To = protocol.ItemGroup, req.GroupID
	}
	named, refusal := h.checkItem(&it)
	if refusal != nil {
		return res, refusal
	}
	if len(named) > 0 { // nothing would say for how long, and to whom, its file is to be kept
		return res, protocol.Errorf(protocol.CodeInvalidParameters, "message: one that is kept nowhere cannot have a file")
	}
	if req.IDEpoch == 0 || !validIDNumber(req.IDNumber) {
		return res, protocol.Errorf(protocol.CodeInvalidParameters, "idEpoch, idNumber: they are not for a message that is not queued")
	}
	m := &onlineMessage{sender: c.User, terminal: c.Terminal, signal: protocol.Signal{
		Group: req.GroupID, From: c.User, Term: c.Terminal, Time: c.now.UnixMilli(), Body: req.Message, Online: true, Peer: req.UserID,
		MsgID: protocol.MsgID(protocol.MsgIDPrefix(c.App, c.User, c.Terminal, req.IDEpoch), req.IDNumber),
	}}
	if req.GroupID != "" {
		g, err := c.joined(ctx, req.GroupID)
		if err != nil {
			return res, err
		}
		if g.Type == protocol.GroupAVChatRoom {
			c.res.out = append(c.res.out, &liveMessage{epoch: g.LiveEpoch, signal: m.signal})
			return res, nil
		}
		if m.receivers, err = c.plan.readers(ctx, c.tx, &g); err != nil {
			return res, err
		}
	} else {
		if err := c.mayWriteTo(ctx, req.UserID); err != nil {
			return res, err
		}
		m.receivers = pair(c.User, req.UserID)
	}
	c.res.out = append(c.res.out, m)
	return res, nil
}

// joined finds a group that the caller is a member of.
func (c Caller) joined(ctx context.Context, id string) (store.Group, error) {
	g, err := c.tx.Group(ctx, c.App, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && g.Dismissed {
		return g, protocol.Errorf(protocol.CodeSvrGroupNotFound, "there is no group %s", id)
	}
	if err != nil {
		return g, err
	}
	if _, is, err := c.member(ctx, g); err != nil || !is {
		if err == nil {
			err = protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s is not a member of the group %s", c.User, id)
		}
		return g, err
	}
	return g, nil
}

// mayWriteTo refuses an account that is not there, or that does not want what the
// caller sends.
func (c Caller) mayWriteTo(ctx context.Context, user string) error {
	_, err := c.tx.User(ctx, c.App, user)
	if errors.Is(err, store.ErrNotFound) {
		return protocol.Errorf(protocol.CodeSvrMsgToAccountNotFound, "there is no account %s", user)
	}
	if err != nil {
		return err
	}
	refused, err := c.plan.refusals.refuses(ctx, c.tx, c.App, user, c.User)
	if err == nil && refused {
		return blacklisted(user, c.User)
	}
	return err
}

// onlineMessage is a message for those who are online: of the receivers all
// terminals, but for the one that sends it.
type onlineMessage struct {
	sender, terminal string
	receivers        []string
	signal           protocol.Signal
}

func (m *onlineMessage) emit(e *emitter) {
	frame, err := protocol.EncodeFrame(&protocol.Frame{Exp: m.signal.Time + liveTime, Signal: &m.signal})
	if err != nil {
		e.hub.log.Error("frame not sent", "user", m.sender, "terminal", m.terminal, "err", err)
		return
	}
	for _, user := range m.receivers {
		e.flushUser(user) // what was sent before is there before
		if user == m.sender {
			for _, t := range e.hub.table.others(user, m.terminal) {
				e.hub.send(protocol.TopicToTerminal(e.hub.app, user, t), frame, 1)
			}
		} else if e.hub.table.online(user) {
			e.hub.send(protocol.TopicTo(e.hub.app, user), frame, 1)
		}
	}
}
