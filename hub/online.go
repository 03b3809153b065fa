package hub

import (
	"context"

	"github.com/herald-im/herald/protocol"
)

// sendOnline hands a message to those who are online. It is judged as a stored one
// is, and kept nowhere.
func (h *Hub) sendOnline(ctx context.Context, c Caller, req protocol.SendOnlineRequest) (res protocol.Empty, err error) {
	it := protocol.Item{Kind: protocol.ItemC2C, To: req.UserID, Body: req.Message}
	if req.GroupID != "" {
		it.Kind, it.To, it.Priority = protocol.ItemGroup, req.GroupID, req.Priority
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
		Group: req.GroupID, From: c.User, Term: c.Terminal, Time: c.now.UnixMilli(), Body: req.Message, Online: true, Peer: req.UserID, Priority: it.Priority,
		MsgID: protocol.MsgID(protocol.MsgIDPrefix(c.App, c.User, c.Terminal, req.IDEpoch), req.IDNumber),
	}}
	if req.GroupID == "" {
		refusal, err := c.plan.mayWriteTo(ctx, c.tx, c.User, req.UserID, false)
		switch {
		case err != nil:
			return res, err
		case refusal != nil:
			return res, refusal
		}
		m.receivers = pair(c.User, req.UserID)
		c.res.out = append(c.res.out, m)
		return res, nil
	}
	r, refusal, err := c.plan.speaker(ctx, c.tx, c.User, &item{Item: it})
	switch {
	case err != nil:
		return res, err
	case refusal != nil:
		return res, refusal
	case r.live():
		c.res.out = append(c.res.out, &liveMessage{epoch: r.LiveEpoch, signal: m.signal})
		return res, nil
	}
	who, err := c.plan.crowds.of(ctx, c.tx, c.App, &r.Group)
	m.receivers = who.wanting
	c.res.out = append(c.res.out, m)
	return res, err
}

// onlineMessage is a message for those who are online: of the receivers all
// terminals, but for the one that sends it.
type onlineMessage struct {
	sender, terminal string
	receivers        []string
	signal           protocol.Signal
}

func (m *onlineMessage) emit(e *emitter) {
	log := protocol.C2CLog(m.sender, m.signal.Peer)
	if m.signal.Group != "" {
		log = protocol.GroupLog(m.signal.Group)
	}
	people := e.hub.peopleIn(e.hub.life, log, &protocol.Entry{From: m.sender})
	frame, err := protocol.EncodeFrame(&protocol.Frame{Exp: m.signal.Time + liveTime, Signal: &m.signal, People: people})
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
