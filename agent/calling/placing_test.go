package calling

import (
	"context"
	"fmt"
	"testing"

	"github.com/herald-im/herald/device"
	"github.com/herald-im/herald/protocol"
)

// inviteSlowly calls one more user, or begins a call, and does not hear the hub's
// answer before it is let.
func (b *board) inviteSlowly(user string) (answer func()) {
	b.t.Helper()
	heard, placed := make(chan struct{}), make(chan error, 1)
	_, err := get(b.t.Context(), b.Machine, func() (bool, error) { // as place does
		c := b.Machine.call
		if c == nil {
			c = &call{key: callKey{b.user, 7}, outgoing: true, state: protocol.CallCalling, invites: make(map[string]string)}
			b.begin(c)
		}
		c.members = append(c.members, &member{user: user})
		c.placing++
		d := c.data(c.command())
		d.UserIDs = []string{user}
		b.invited(c, user, func(err error) { placed <- err }, func(ctx context.Context) (protocol.InviteResponse, error) {
			res, err := device.Ask(ctx, b.dev, protocol.Invite, protocol.InviteRequest{Invitee: user, Data: d.Encode()})
			<-heard
			return res, err
		})
		return true, nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return func() {
		close(heard)
		<-placed
	}
}

// heardEarly waits until an answer has come to an invitation whose id is not known yet.
func (b *board) heardEarly() {
	b.t.Helper()
	b.until("told of the accept", func() bool {
		n, _ := get(b.t.Context(), b.Machine, func() (int, error) { return len(b.Machine.early), nil })
		return n > 0
	})
}

// Whoever is called by a call that was ended before the hub's answer to its invitation
// is told so, also if he has accepted it.
func TestEndedBeforeTheInvitation(t *testing.T) {
	for _, accepts := range []bool{false, true} {
		t.Run(fmt.Sprint("accepts ", accepts), func(t *testing.T) {
			h := newHouse(t)
			door, indoor := h.board("door"), h.board("indoor")
			answer := door.inviteSlowly("indoor")
			indoor.event("Invited:door")
			if accepts {
				indoor.must("accept", ``)
				door.heardEarly()
			}
			door.must("hangup", ``)
			answer()
			indoor.state(protocol.CallIdle)
			h.over(door, indoor)
		})
	}
}

// The first has the call also where the hub's answer to an invitation comes after his:
// then whoever that one is for rings no more, and is told if he has accepted meanwhile.
func TestFirstBeforeTheInvitation(t *testing.T) {
	for _, accepts := range []bool{false, true} {
		t.Run(fmt.Sprint("accepts ", accepts), func(t *testing.T) {
			h := newHouse(t)
			door, indoor, phone, attic := h.board("door"), h.board("indoor"), h.board("phone"), h.board("attic")
			door.must("groupCall", `{"userIdList":["indoor","phone"],"answer":"first"}`)
			answer := door.inviteSlowly("attic")
			for _, b := range []*board{indoor, phone, attic} {
				b.event("Invited:door")
			}
			phone.must("accept", ``)
			indoor.event("CallEnd:cancelled")
			door.event("UserEnter:phone")
			if accepts {
				attic.must("accept", ``)
				door.heardEarly()
			}
			answer()
			attic.event("CallingCancel:door")
			attic.state(protocol.CallIdle)
			if s := door.callStatus(); s.State != protocol.CallConnected || len(s.Users) != 1 || s.Users[0].UserID != "phone" {
				t.Errorf("%+v", s)
			}
			h.over(door, indoor, phone, attic)
		})
	}
}
