package chaos

import (
	"slices"
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// invitations are the signaling events among events, in order, without their ids.
func invitations(events []event) (out []string) {
	for _, e := range events {
		if id := e.str("inviteId"); id != "" {
			out = append(out, strings.TrimPrefix(e.Name, "im.")+" "+e.str("data"))
		}
	}
	return out
}

func (a *actor) awaitInvitations(want ...string) {
	a.h.t.Helper()
	a.await(strings.Join(want, ", "), func(ev []event) bool { return len(invitations(ev)) >= len(want) })
	a.mu.Lock()
	defer a.mu.Unlock()
	if got := invitations(a.events); !slices.Equal(got, want) {
		a.h.t.Errorf("%s: %q, want %q", a.user, got, want)
	}
}

func (a *actor) invite(to string, timeout int) string {
	a.h.t.Helper()
	res, err := client.Call(a.h.ctx, a.board.Client(), protocol.Invite, protocol.InviteRequest{Invitee: to, Data: "ring", Timeout: &timeout})
	must(a.h.t, err)
	return res.InviteID
}

// TestInvitations: who is invited hears it, also when he comes a little later; an
// answer stops the ringing everywhere; what runs out while the hub is dead has run
// out when it is back, for all.
func TestInvitations(t *testing.T) {
	h := newHouse(t, "")
	door, indoor := h.actor("door"), h.actor("indoor")
	first := door.invite("indoor", 60)
	indoor.awaitInvitations("onReceiveNewInvitation ring")
	_, err := client.Call(h.ctx, indoor.board.Client(), protocol.Accept, protocol.InviteStepRequest{InviteID: first, Data: "coming"})
	must(t, err)
	door.awaitInvitations("onInviteeAccepted coming")
	if _, err := client.Call(h.ctx, door.board.Client(), protocol.Cancel, protocol.InviteStepRequest{InviteID: first, Data: "late"}); code(t, err) != protocol.CodeSignalingInvalidInviteID {
		t.Errorf("a cancel after the accept: %v", err)
	}

	indoor.board.Kill()
	door.invite("indoor", 60)
	indoor.start() // in time
	indoor.awaitInvitations("onReceiveNewInvitation ring", "onReceiveNewInvitation ring")

	indoor.board.Kill()
	door.invite("indoor", 1)
	door.awaitInvitations("onInviteeAccepted coming", "onInvitationTimeout ")
	indoor.start() // too late for this one: its end is all that is heard
	indoor.awaitInvitations("onReceiveNewInvitation ring", "onReceiveNewInvitation ring", "onInvitationTimeout ")

	door.invite("indoor", 10) // long enough to be heard on a slow machine
	indoor.await("the last ring", func(ev []event) bool { return len(invitations(ev)) == 4 })
	h.hub.Kill()
	h.startHub()
	indoor.await("the end of the ringing", func(ev []event) bool { return len(invitations(ev)) == 5 })
	indoor.mu.Lock()
	if got := invitations(indoor.events)[4]; got != "onInvitationTimeout " {
		t.Error(got)
	}
	indoor.mu.Unlock()
	door.await("the end of the ringing", func(ev []event) bool { return len(invitations(ev)) == 3 })
}
