package device

import (
	"slices"

	"github.com/herald-im/herald/protocol"
)

// signalingEvent is what a step of an invitation means to this account; without
// Info where it means nothing: to a member of a group who is not invited, or when
// an invitation arrives after its time.
func (s *session) signalingEvent(e *protocol.Entry) (none protocol.Occurrence, err error) {
	step, concerns, err := protocol.DecodeSignaling(e.Body)
	if err != nil || !slices.Contains(concerns, s.user) {
		return none, err
	}
	switch step.ActionType {
	case protocol.SignalingInvite:
		if step.Inviter == s.user || s.d.tooLate(e.Time, step.Timeout) {
			return none, nil
		}
		return protocol.OnReceiveNewInvitation.New(protocol.InvitationEvent{
			InviteID: step.InviteID, Inviter: step.Inviter, GroupID: step.GroupID, InviteeList: step.InviteeList, Data: step.Data,
		})
	case protocol.SignalingCancel:
		return protocol.OnInvitationCancelled.New(protocol.CancelledEvent{InviteID: step.InviteID, Inviter: step.Inviter, Data: step.Data})
	case protocol.SignalingAccept:
		return protocol.OnInviteeAccepted.New(protocol.InviteeEvent{InviteID: step.InviteID, Invitee: e.From, Data: step.Data})
	case protocol.SignalingReject:
		return protocol.OnInviteeRejected.New(protocol.InviteeEvent{InviteID: step.InviteID, Invitee: e.From, Data: step.Data})
	case protocol.SignalingTimeout:
		return protocol.OnInvitationTimeout.New(protocol.InvitationTimeoutEvent{InviteID: step.InviteID, InviteeList: step.InviteeList})
	}
	return none, nil // of a later version
}

// tooLate tells whether an invitation of a time, in Unix ms, is over by the hub's
// clock. timeout is in seconds; 0: none.
func (d *Device) tooLate(since int64, timeout int) bool {
	now, known := d.clock.now()
	return known && timeout > 0 && now >= since+int64(timeout)*1000
}
