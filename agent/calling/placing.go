package calling

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/herald-im/herald/device"
	"github.com/herald-im/herald/protocol"
)

// placed is what place needs of either of its two methods.
type placed struct {
	users   []string
	video   bool
	group   string
	first   bool
	timeout *int
}

func (m *Machine) placeCall(ctx context.Context, _ protocol.Caller, r protocol.CallRequest) (protocol.Empty, error) {
	return protocol.Empty{}, m.do(ctx, func(done func(error)) {
		m.place(placed{users: []string{r.UserID}, video: r.Type == protocol.CallTypeVideo, timeout: r.Timeout}, done)
	})
}

func (m *Machine) placeGroupCall(ctx context.Context, _ protocol.Caller, r protocol.GroupCallRequest) (protocol.Empty, error) {
	return protocol.Empty{}, m.do(ctx, func(done func(error)) {
		m.place(placed{
			users: r.UserIDList, video: r.Type == protocol.CallTypeVideo, group: r.GroupID, first: r.Answer == protocol.AnswerFirst, timeout: r.Timeout,
		}, done)
	})
}

// place invites; done hears the hub's answer.
func (m *Machine) place(p placed, done func(error)) {
	self, _ := m.dev.Identity()
	switch {
	case m.destroyed:
		done(errDestroyed)
		return
	case m.call != nil:
		done(protocol.Errorf(protocol.CodeCallWrongState, "there is a call already: %s", m.call.state))
		return
	case self == "":
		done(protocol.Errorf(protocol.CodeNotLoggedIn, "not logged in: call im.login or calling.login first"))
		return
	case slices.Contains(p.users, self):
		done(protocol.Errorf(protocol.CodeCallInvalidParameter, "userId: one does not call oneself"))
		return
	}
	ring := int(m.cfg.Ring / time.Second)
	if p.timeout != nil {
		ring = *p.timeout
	}
	c := &call{
		key: callKey{self, uint32(rand.Int32N(1<<31-1)) + 1}, group: p.group, video: p.video, first: p.first, outgoing: true,
		several: p.group != "" || len(p.users) > 1,
		state:   protocol.CallCalling, invites: make(map[string]string),
		until: time.Now().Add(time.Duration(ring)*time.Second + m.timing.grace),
	}
	for _, user := range p.users {
		c.members = append(c.members, &member{user: user})
	}
	m.begin(c)
	m.useDevices(c, func() {})
	m.fetchServers()
	d := c.data(c.command())
	if p.group != "" {
		d.UserIDs = p.users
		c.placing = 1
		m.invited(c, "", done, func(ctx context.Context) (protocol.InviteResponse, error) {
			return device.Ask(ctx, m.dev, protocol.InviteInGroup, protocol.InviteInGroupRequest{
				GroupID: p.group, InviteeList: p.users, Data: d.Encode(), Timeout: &ring,
			})
		})
		return
	}
	c.placing = len(p.users)
	for _, user := range p.users {
		d.UserIDs = p.users
		if p.first { // they are not to connect with one another
			d.UserIDs = []string{user}
		}
		data := d.Encode()
		m.invited(c, user, done, func(ctx context.Context) (protocol.InviteResponse, error) {
			return device.Ask(ctx, m.dev, protocol.Invite, protocol.InviteRequest{Invitee: user, Data: data, Timeout: &ring})
		})
	}
}

// invited asks the hub to invite a user, or all.
func (m *Machine) invited(c *call, user string, done func(error), ask func(context.Context) (protocol.InviteResponse, error)) {
	var res protocol.InviteResponse
	m.placing++
	m.ask(func(ctx context.Context) (err error) {
		res, err = ask(ctx)
		return err
	}, func(err error) {
		c.placing--
		m.placing--
		var late error
		if m.call != c {
			late = protocol.Errorf(protocol.CodeUserCanceled, "the call was ended before it was placed")
		}
		switch {
		case err == nil && (late != nil || user != "" && c.member(user) == nil): // or another was faster
			m.dealtWith(res.InviteID)
			m.cancelInvite(c, res.InviteID)
			m.answeredEarly(res.InviteID)
			done(late)
		case late != nil:
			done(late)
		case err == nil:
			c.invites[res.InviteID] = user
			m.refusedBy(c, res.RefusedList)
			m.answeredEarly(res.InviteID)
			done(nil)
			m.glared()
		default:
			m.notPlaced(c, user, err, done)
		}
		if m.placing == 0 {
			m.early = nil
		}
	})
}

// refusedBy takes out who does not want to be called by this account.
func (m *Machine) refusedBy(c *call, users []string) {
	for _, user := range users {
		if x := c.member(user); x != nil && m.call == c {
			raise(m, protocol.OnReject, protocol.CallUserEvent{UserID: user})
			m.drop(x, protocol.EndRejected)
			m.listChanged()
		}
	}
}

// notPlaced takes out whom the hub does not invite.
func (m *Machine) notPlaced(c *call, user string, err error, done func(error)) {
	e := protocol.AsError(err)
	if !hubSays(e.Code) {
		e = protocol.Errorf(protocol.CodeCallSignalingFailed, "the call cannot be placed: %s", e.Msg)
	}
	var gone []*member
	for _, x := range c.members {
		if user == "" || x.user == user {
			gone = append(gone, x)
		}
	}
	last := len(gone) == len(c.members)
	if !last {
		m.trouble(e.Code, "%s is not called: %s", user, e.Msg)
	}
	for _, x := range gone {
		if m.call == c {
			m.drop(x, protocol.EndError)
		}
	}
	if last {
		done(e)
	}
}

// hubSays tells the codes that placing a call may be refused with as they are.
func hubSays(code protocol.Code) bool {
	return slices.Contains(protocol.PlaceCall.Info().Codes, code)
}

// cancelInvite takes an invitation back.
func (m *Machine) cancelInvite(c *call, id string) {
	data := c.data(c.command()).Encode()
	m.tell("an invitation could not be taken back; it ends by its time", func(ctx context.Context) error {
		_, err := device.Ask(ctx, m.dev, protocol.Cancel, protocol.InviteStepRequest{InviteID: id, Data: data})
		return err
	})
}

// sayHangup tells the hub, and by it the other one's terminals, that a call of two
// is over. In TUICalling's form it is an invitation that asks for nothing.
func (m *Machine) sayHangup(c *call, user string) {
	d := c.data(protocol.CommandHangup)
	if !c.since.IsZero() {
		d.Seconds = int64(time.Since(c.since) / time.Second)
	}
	d.UserIDs = []string{user}
	data, never := d.Encode(), 0
	m.tell("the hub could not be told of a hangup", func(ctx context.Context) error {
		_, err := device.Ask(ctx, m.dev, protocol.Invite, protocol.InviteRequest{Invitee: user, Data: data, Timeout: &never})
		return err
	})
}

func (m *Machine) acceptCall(ctx context.Context, _ protocol.Caller, _ protocol.Empty) (protocol.Empty, error) {
	return protocol.Empty{}, m.do(ctx, m.accept)
}

// accept answers the call that rings. The hub is told once the devices are ready,
// and the offer goes along with it: whoever called takes it when he hears of the
// answer.
func (m *Machine) accept(done func(error)) {
	c := m.call
	switch {
	case m.destroyed:
		done(errDestroyed)
		return
	case c == nil || c.outgoing || c.state != protocol.CallRinging:
		done(protocol.Errorf(protocol.CodeCallWrongState, "nothing rings"))
		return
	case c.answering:
		done(protocol.Errorf(protocol.CodeCallRepeated, "the call is being answered already"))
		return
	}
	c.answering = true
	inviter := c.member(c.key.inviter)
	m.offer(c, inviter) // made now, said once it may be
	canceled := protocol.Errorf(protocol.CodeUserCanceled, "the call was ended before it was accepted")
	if m.call != c { // it cannot be connected; onError says why
		m.refuse(c.invite, c.data(c.command()), func(error) {})
		done(canceled)
		return
	}
	m.useDevices(c, func() {
		if m.call != c {
			m.refuse(c.invite, c.data(c.command()), func(error) {})
			done(canceled)
			return
		}
		c.state = protocol.CallConnecting
		inviter.since = time.Now()
		m.flush(c, inviter)
		data := c.data(c.command()).Encode()
		m.ask(func(ctx context.Context) error {
			_, err := device.Ask(ctx, m.dev, protocol.Accept, protocol.InviteStepRequest{InviteID: c.invite, Data: data})
			return err
		}, func(err error) { m.accepted(c, err, done) })
	})
}

// accepted goes on with the hub's answer to accept.
func (m *Machine) accepted(c *call, err error, done func(error)) {
	if m.call != c {
		if err == nil && !c.talked { // hung up while it was being accepted
			m.sayHangup(c, c.key.inviter)
		}
		done(protocol.Errorf(protocol.CodeUserCanceled, "the call was ended before it was accepted"))
		return
	}
	c.answering = false
	if err != nil {
		e := protocol.AsError(err)
		reason := protocol.EndError
		if e.Code == protocol.CodeSignalingInvalidInviteID { // somebody was faster
			if reason = protocol.EndCancelled; c.ranOut {
				reason = protocol.EndNoAnswer
				raise(m, protocol.OnCallingTimeOut, protocol.Empty{})
			} else {
				raise(m, protocol.OnCallingCancel, protocol.CallingCancelEvent{UserID: c.key.inviter})
			}
		}
		m.end(reason, leaveAll)
		done(e)
		return
	}
	c.talked = true
	m.dealtWith(c.invite)
	done(nil)
	for _, x := range c.members {
		x.since = time.Now() // of some it is known for long that they are in it
		if x.user != c.key.inviter {
			m.join(c, x)
		}
	}
}

func (m *Machine) rejectCall(ctx context.Context, _ protocol.Caller, _ protocol.Empty) (protocol.Empty, error) {
	return protocol.Empty{}, m.do(ctx, m.reject)
}

// reject ends the ringing here at once; the hub is told.
func (m *Machine) reject(done func(error)) {
	c := m.call
	switch {
	case m.destroyed:
		done(errDestroyed)
	case c == nil || c.outgoing || c.state != protocol.CallRinging:
		done(protocol.Errorf(protocol.CodeCallWrongState, "nothing rings"))
	case c.answering:
		done(protocol.Errorf(protocol.CodeCallWrongState, "the call is being accepted: hang up instead"))
	default:
		invite, data := c.invite, c.data(c.command())
		m.end(protocol.EndRejected, leaveNone)
		m.refuse(invite, data, done)
	}
}

// refuse tells the hub that an invitation is rejected.
func (m *Machine) refuse(invite string, data protocol.CallData, done func(error)) {
	m.dealtWith(invite)
	m.ask(func(ctx context.Context) error {
		_, err := device.Ask(ctx, m.dev, protocol.Reject, protocol.InviteStepRequest{InviteID: invite, Data: data.Encode()})
		return err
	}, func(err error) {
		var e *protocol.Error
		if errors.As(err, &e) && e.Code == protocol.CodeSignalingInvalidInviteID {
			err = nil // it was over by itself
		}
		if err != nil {
			m.log.Warn("the hub could not be told of a reject; the invitation ends by its time", "err", err)
		}
		done(err)
	})
}

func (m *Machine) hangupCall(ctx context.Context, _ protocol.Caller, _ protocol.Empty) (protocol.Empty, error) {
	return protocol.Empty{}, m.do(ctx, func(done func(error)) {
		c := m.call
		switch {
		case m.destroyed:
			done(errDestroyed)
		case c == nil:
			done(protocol.Errorf(protocol.CodeCallWrongState, "there is no call"))
		case c.state == protocol.CallRinging && !c.answering:
			m.reject(done)
		default:
			reason := protocol.EndHangup
			if c.outgoing && !c.talked {
				reason = protocol.EndCancelled
			}
			m.end(reason, leaveAll)
			done(nil)
		}
	})
}
