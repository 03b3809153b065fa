package calling

import (
	"slices"
	"time"

	"github.com/herald-im/herald/protocol"
)

// tick looks at what is due.
func (m *Machine) tick(now time.Time) {
	c := m.call
	if c == nil {
		return
	}
	if m.tickRinging(c, now) {
		return
	}
	if now.Sub(m.ice.asked) >= m.timing.servers { // a call outlasts their credentials
		m.fetchServers()
	}
	for _, x := range slices.Clone(c.members) {
		if m.call != c {
			return
		}
		if x.state != ringing || x.joins > 0 {
			m.tickMember(c, x, now)
		}
	}
	if m.call == c && c.state == protocol.CallConnected && now.Sub(c.volume) >= m.timing.volume {
		c.volume = now
		m.volumes(c)
		m.tellDevices(c)
	}
}

// tickRinging ends what rings although its time is over: the hub's word has not
// come, as there is no link.
func (m *Machine) tickRinging(c *call, now time.Time) bool {
	if c.until.IsZero() || now.Before(c.until) {
		return false
	}
	switch {
	case c.state == protocol.CallRinging && !c.answering:
		raise(m, protocol.OnCallingTimeOut, protocol.Empty{})
		m.end(protocol.EndNoAnswer, leaveNone)
		return true
	case c.outgoing && len(c.ringingUsers()) > 0 && c.placing == 0:
		c.until = time.Time{}
		clear(c.invites)
		m.noAnswer(c.ringingUsers())
		return m.call != c
	}
	return false
}

func (m *Machine) tickMember(c *call, x *member, now time.Time) {
	switch {
	case c.state == protocol.CallRinging:
	case x.state == ringing: // he may be in the call, or never come
		if x.joins < 4 && now.Sub(x.joinedAt) >= m.timing.resend<<(x.joins-1) {
			m.join(c, x)
		}
	case x.state == joined && now.Sub(x.since) >= m.timing.connect:
		why := ""
		if m.cfg.RelayOnly && !m.ice.relays() {
			why = "; this board may connect by the hub's relay alone (calls.relay_only), and no relay is known"
		}
		m.trouble(protocol.CodeCallSignalingFailed, "%s cannot be reached: no connection in %v%s", x.user, m.timing.connect, why)
		m.signal(c, x, protocol.Peering{Kind: protocol.PeeringLeave, Session: x.session, Reason: "no connection was made in time"})
		m.drop(x, protocol.EndLost)
	case x.isLost(now, m.timing):
		m.log.Warn("somebody in the call is lost", "user", x.user)
		m.signal(c, x, protocol.Peering{Kind: protocol.PeeringLeave, Session: x.session, Reason: "nothing was heard any more"})
		m.drop(x, protocol.EndLost)
	case !x.lost.IsZero() && now.Sub(x.tried) >= m.timing.restart:
		m.seek(c, x)
	case x.offerer && !x.answered && x.sdp != "" && now.Sub(x.said) >= m.timing.resend:
		m.describeTo(c, x)
	case x.peer == nil && x.joins > 0 && x.joins < 6 && now.Sub(x.joinedAt) >= m.timing.resend:
		m.join(c, x)
	}
}

// isLost tells whether x is not waited for any longer. The hub's word that he is gone
// has to come twice: he may be about to take up his link again.
func (x *member) isLost(now time.Time, t timing) bool {
	if x.lost.IsZero() {
		return false
	}
	return now.Sub(x.lost) >= t.lost || x.absent >= 2 && now.Sub(x.lost) >= t.absent
}

// volumes tells how loud everybody is.
func (m *Machine) volumes(c *call) {
	self, _ := m.dev.Identity()
	raise(m, protocol.OnUserVoiceVolume, protocol.VoiceVolumeEvent{UserID: self, Volume: m.media.Level()})
	for _, x := range c.members {
		if x.state == connected && x.peer != nil {
			raise(m, protocol.OnUserVoiceVolume, protocol.VoiceVolumeEvent{UserID: x.user, Volume: x.peer.Stats().Level})
		}
	}
}
