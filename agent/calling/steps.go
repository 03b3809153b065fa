package calling

import (
	"context"
	"slices"
	"time"

	"github.com/herald-im/herald/device"
	"github.com/herald-im/herald/protocol"
)

// step takes a step of an invitation, of this account's or another one's.
func (m *Machine) step(s device.Step) {
	switch s.ActionType {
	case protocol.SignalingInvite:
		d, ok := protocol.DecodeCallData(s.Data)
		if !ok {
			return // a program's own invitation
		}
		switch d.Command {
		case protocol.CommandVideo, protocol.CommandVoice:
			m.incoming(s, d)
		case protocol.CommandHangup:
			m.hungUp(s, d)
		case protocol.CommandToVoice:
			m.toVoice(s, d)
		default:
			m.log.Debug("an invitation to something that this version does not know", "from", s.Inviter)
		}
	case protocol.SignalingCancel:
		m.cancelled(s)
	case protocol.SignalingAccept:
		m.acceptedBy(s)
	case protocol.SignalingReject:
		m.rejectedBy(s)
	case protocol.SignalingTimeout:
		m.timedOut(s)
	}
}

// incoming takes a call to this account.
func (m *Machine) incoming(s device.Step, d protocol.CallData) {
	self, _ := m.dev.Identity()
	c := m.call
	switch {
	case m.destroyed, s.Inviter == self, slices.Contains(m.answered, s.InviteID), c != nil && c.invite == s.InviteID:
		return
	case d.Room == 0:
		m.complain("a call without a room is refused", "from", s.Inviter)
		m.refuse(s.InviteID, d, func(error) {})
		return
	case m.cfg.Deny.Has(s.Inviter):
		m.log.Info("a call is refused, as configured", "from", s.Inviter)
		m.refuse(s.InviteID, d, func(error) {})
		return
	case c != nil && c.mirrors(s):
		c.glare = &glare{s, d}
		m.glared()
		return
	case c != nil:
		m.log.Info("a call is refused: the line is busy", "from", s.Inviter)
		m.refuse(s.InviteID, d.Busy(), func(error) {})
		return
	}
	c = newIncoming(self, s, d, m.timing.grace)
	m.begin(c)
	m.fetchServers()
	users := called(s, d)
	raise(m, protocol.OnInvited, protocol.InvitedEvent{
		UserID: s.Inviter, UserIDList: users, Type: c.kind(), GroupID: s.GroupID, IsFromGroup: len(users) > 1 || s.GroupID != "", RoomID: d.Room,
	})
	if m.cfg.AutoAnswer.Has(s.Inviter) {
		c.camera = c.video && m.cfg.AutoCamera
		m.log.Info("a call is accepted by itself, as configured", "from", s.Inviter, "camera", c.camera)
		m.accept(func(err error) {
			if err != nil {
				m.log.Warn("the call could not be accepted", "err", err)
			}
		})
	}
}

// called are those whom a call is to, as far as it says.
func called(s device.Step, d protocol.CallData) []string {
	if s.GroupID == "" && len(d.UserIDs) > 0 {
		return d.UserIDs
	}
	return s.InviteeList
}

// newIncoming is the call that an invitation is to.
func newIncoming(self string, s device.Step, d protocol.CallData, grace time.Duration) *call {
	c := &call{
		key: callKey{s.Inviter, d.Room}, group: s.GroupID, video: d.Video, state: protocol.CallRinging, invite: s.InviteID,
		members: []*member{{user: s.Inviter, terminal: s.Terminal, state: joined}},
	}
	if s.Timeout > 0 {
		c.until = time.Now().Add(time.Duration(s.Timeout)*time.Second + grace)
	}
	others := called(s, d)
	c.several = s.GroupID != "" || len(others) > 1
	for _, user := range others[:min(len(others), protocol.MaxRingUsers)] {
		if user != self && c.member(user) == nil {
			c.members = append(c.members, &member{user: user})
		}
	}
	return c
}

// glare is the call of one whom this board calls at the same time.
type glare struct {
	step device.Step
	data protocol.CallData
}

// mirrors tells whether an invitation comes from the one whom this call is to.
func (c *call) mirrors(s device.Step) bool {
	return c.outgoing && c.state == protocol.CallCalling && c.group == "" && s.GroupID == "" && !c.first &&
		len(c.members) == 1 && c.members[0].user == s.Inviter && len(s.InviteeList) == 1
}

// glared decides which of two calls to each other counts: on both sides the one
// with the lesser id. It waits until the id of this board's is known.
func (m *Machine) glared() {
	c := m.call
	if c == nil || c.glare == nil || c.placing > 0 {
		return
	}
	g := c.glare
	c.glare = nil
	for id := range c.invites {
		if id < g.step.InviteID {
			return // theirs will be taken back
		}
		m.dealtWith(id)
		m.cancelInvite(c, id)
	}
	self, _ := m.dev.Identity()
	theirs := newIncoming(self, g.step, g.data, m.timing.grace)
	theirs.camera = c.camera && theirs.video
	theirs.begun, c.begun = c.begun, nil // the devices go over
	m.call = theirs
	if theirs.begun != nil {
		m.chooseCamera(theirs)
	}
	m.log.Info("both call each other: theirs counts", "inviter", theirs.key.inviter, "room", theirs.key.room)
	m.accept(func(err error) {
		if err != nil {
			m.log.Warn("the call of the other side could not be accepted", "err", err)
		}
	})
}

// hungUp takes the hub's word that the other one of a call of two has left.
func (m *Machine) hungUp(s device.Step, d protocol.CallData) {
	c := m.call
	if c == nil || c.state == protocol.CallRinging || d.Room != 0 && d.Room != c.key.room {
		return
	}
	if x := c.member(s.Inviter); x != nil && x.state != ringing {
		m.drop(x, protocol.EndHangup)
	}
}

// toVoice goes on without pictures, as the other one of a call of two wishes.
func (m *Machine) toVoice(s device.Step, d protocol.CallData) {
	c := m.call
	if c == nil || c.several || c.member(s.Inviter) == nil || d.Room != 0 && d.Room != c.key.room {
		return
	}
	data := protocol.CallData{Command: protocol.CommandToVoice, Video: true, Room: c.key.room}.Encode()
	m.ask(func(ctx context.Context) error {
		_, err := device.Ask(ctx, m.dev, protocol.Accept, protocol.InviteStepRequest{InviteID: s.InviteID, Data: data})
		return err
	}, func(err error) {
		if err != nil || m.call != c {
			return // it was taken back, or is for another terminal
		}
		c.video = false
		m.goesOnWithout(m.camera(m.front, false))
	})
}

// cancelled: whoever called has taken it back from those who still ring.
func (m *Machine) cancelled(s device.Step) {
	c := m.call
	switch {
	case c == nil:
	case c.glare != nil && c.glare.step.InviteID == s.InviteID:
		c.glare = nil
	case c.invite == s.InviteID && c.state == protocol.CallRinging && !c.answering:
		raise(m, protocol.OnCallingCancel, protocol.CallingCancelEvent{UserID: s.Inviter})
		m.end(protocol.EndCancelled, leaveNone)
	case c.invite == s.InviteID || c.owns(s.InviteID):
		m.goneRinging(s.InviteeList, protocol.EndCancelled)
	}
}

// owns tells whether an invitation is one of an outgoing call's.
func (c *call) owns(invite string) bool {
	_, ok := c.invites[invite]
	return ok
}

// goneRinging takes out those of users who still ring.
func (m *Machine) goneRinging(users []string, reason string) {
	changed := false
	for _, user := range users {
		c := m.call
		if c == nil {
			return
		}
		if x := c.member(user); x != nil && x.state == ringing {
			changed = true
			m.drop(x, reason)
		}
	}
	if changed {
		m.listChanged()
	}
}

// acceptedBy: somebody is in the call from now on.
func (m *Machine) acceptedBy(s device.Step) {
	c := m.call
	self, _ := m.dev.Identity()
	switch {
	case c == nil || c.invite != s.InviteID && !c.owns(s.InviteID):
		switch {
		case s.From == self:
		case s.Inviter == self && slices.Contains(m.answered, s.InviteID):
			m.tooLateFor(s)
		default:
			m.keepEarly(s)
		}
	case s.From == self: // on another terminal
		if c.state == protocol.CallRinging && !c.answering {
			raise(m, protocol.OnCallingCancel, protocol.CallingCancelEvent{UserID: self})
			m.end(protocol.EndElsewhere, leaveNone)
		}
	default:
		m.joined(c, s)
	}
}

// tooLateFor tells whoever accepted a call that this board has given up, or has
// with somebody who was faster, that there is nobody to connect with.
func (m *Machine) tooLateFor(s device.Step) {
	d, ok := protocol.DecodeCallData(s.Data)
	if !ok || d.Room == 0 {
		return
	}
	gone := &call{key: callKey{s.Inviter, d.Room}, video: d.Video}
	p := protocol.Peering{Kind: protocol.PeeringLeave}
	if m.call != nil && m.call.key == gone.key {
		p.Reason = reasonFaster
	}
	m.signal(gone, &member{user: s.From, terminal: s.Terminal}, p)
	if s.GroupID == "" {
		m.sayHangup(gone, s.From)
	}
}

// joined connects with whoever has accepted.
func (m *Machine) joined(c *call, s device.Step) {
	x := c.member(s.From)
	if x == nil || x.state != ringing {
		return
	}
	x.state, x.since, x.terminal = joined, time.Now(), s.Terminal
	if c.outgoing {
		c.talked = true
		if c.invites[s.InviteID] != "" || len(c.ringingUsers()) == 0 {
			delete(c.invites, s.InviteID)
		}
		if c.state == protocol.CallCalling {
			c.state = protocol.CallConnecting
		}
	}
	if c.outgoing && c.first {
		m.takeFirst(c, x)
	}
	m.listChanged()
	if offer, has := x.held[x.terminal]; has {
		m.offered(c, x, offer)
	}
	x.held = nil
}

// takeFirst takes the call back from all but the first who answered.
func (m *Machine) takeFirst(c *call, first *member) {
	for id := range c.invites {
		delete(c.invites, id)
		m.dealtWith(id)
		m.cancelInvite(c, id)
	}
	for _, x := range slices.Clone(c.members) {
		if x != first && x.state == ringing {
			c.remove(x)
		}
	}
}

// rejectedBy: somebody will not be in the call.
func (m *Machine) rejectedBy(s device.Step) {
	c := m.call
	self, _ := m.dev.Identity()
	switch {
	case c == nil || c.invite != s.InviteID && !c.owns(s.InviteID):
		m.keepEarly(s)
		return
	case s.From == self:
		if c.state == protocol.CallRinging && !c.answering {
			raise(m, protocol.OnCallingCancel, protocol.CallingCancelEvent{UserID: self})
			m.end(protocol.EndElsewhere, leaveNone)
		}
		return
	}
	x := c.member(s.From)
	if x == nil || x.state != ringing {
		return
	}
	if c.group == "" || len(c.ringingUsers()) == 1 { // else it is still open for others
		delete(c.invites, s.InviteID)
	}
	reason := protocol.EndRejected
	if d, ok := protocol.DecodeCallData(s.Data); ok && d.IsBusy() {
		reason = protocol.EndBusy
		raise(m, protocol.OnLineBusy, protocol.CallUserEvent{UserID: x.user})
	} else {
		raise(m, protocol.OnReject, protocol.CallUserEvent{UserID: x.user})
	}
	m.drop(x, reason)
	m.listChanged()
}

// timedOut: some have not answered.
func (m *Machine) timedOut(s device.Step) {
	c := m.call
	self, _ := m.dev.Identity()
	switch {
	case c == nil:
	case c.glare != nil && c.glare.step.InviteID == s.InviteID:
		c.glare = nil
	case c.invite == s.InviteID && c.answering:
		c.ranOut = true // the answer to the accept follows
	case c.invite == s.InviteID && c.state == protocol.CallRinging:
		if slices.Contains(s.InviteeList, self) {
			raise(m, protocol.OnCallingTimeOut, protocol.Empty{})
			m.end(protocol.EndNoAnswer, leaveNone)
		}
	case c.owns(s.InviteID):
		delete(c.invites, s.InviteID)
		m.noAnswer(s.InviteeList)
	case c.invite == s.InviteID:
		m.goneRinging(s.InviteeList, protocol.EndNoAnswer)
	}
}

// noAnswer takes out those who have not answered this board's call.
func (m *Machine) noAnswer(users []string) {
	c := m.call
	for _, user := range users {
		if x := c.member(user); x != nil && x.state == ringing {
			raise(m, protocol.OnNoResp, protocol.CallUserEvent{UserID: user})
		}
	}
	m.goneRinging(users, protocol.EndNoAnswer)
}

// keepEarly keeps a step that was faster than the hub's answer to the invitation
// that it may be of.
func (m *Machine) keepEarly(s device.Step) {
	if self, _ := m.dev.Identity(); m.placing > 0 && s.Inviter == self {
		m.early = append(m.early, s)
	}
}

// answeredEarly takes the steps of an invitation that came before its id was known.
func (m *Machine) answeredEarly(invite string) {
	early := m.early
	m.early = nil
	for _, s := range early {
		if s.InviteID == invite {
			m.step(s)
		} else {
			m.early = append(m.early, s)
		}
	}
}
