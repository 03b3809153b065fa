package calling

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/herald-im/herald/protocol"
)

// signal says something of a call to a member's terminal. What cannot be sent is
// said again, or is of no use any more.
func (m *Machine) signal(c *call, x *member, p protocol.Peering) {
	p.Inviter, p.Room = c.key.inviter, c.key.room
	if err := m.dev.Signal(x.user, x.terminal, p); err != nil {
		m.log.Debug("a signal is not sent", "to", x.user, "kind", p.Kind, "err", err)
	}
}

// connect makes this end of a connection with x. Callbacks of an end that was
// replaced are not heard.
func (m *Machine) connect(c *call, x *member) bool {
	var p Peer
	current := func(f func()) {
		m.posts.add(func() {
			if m.call == c && x.peer == p && p != nil {
				f()
			}
		})
	}
	p, err := m.media.Connect(Connecting{
		Video: c.video, RelayOnly: m.cfg.RelayOnly,
		Candidate: func(line string) {
			current(func() {
				if line == "" || len(x.lines) >= protocol.MaxCandidates {
					return
				}
				x.lines = append(x.lines, line)
				m.flush(c, x)
			})
		},
		State: func(s PeerState) { current(func() { m.peerState(c, x, s) }) },
	})
	if err != nil {
		m.fail(c, x, "no connection can be made: %v", err)
		return false
	}
	m.disconnect(x)
	x.peer, x.exchange = p, exchange{}
	if x.state == connected { // it begins anew
		x.state, x.since = joined, time.Now()
	}
	return true
}

// disconnect closes this end of the connection with x.
func (m *Machine) disconnect(x *member) {
	if x.peer == nil {
		return
	}
	p, closed := x.peer, make(chan struct{})
	x.peer, x.closed = nil, closed
	m.async(func(context.Context) func() {
		defer close(closed)
		p.Close()
		return nil
	})
}

// fail gives x up: no connection with him is possible.
func (m *Machine) fail(c *call, x *member, format string, err error) {
	m.trouble(protocol.CodeCallSignalingFailed, "%s: "+format, x.user, err)
	if m.call != c || c.member(x.user) != x {
		return
	}
	if c.state != protocol.CallRinging {
		m.signal(c, x, protocol.Peering{Kind: protocol.PeeringLeave, Session: x.session, Reason: protocol.Clip(err.Error())})
	}
	if len(c.members) == 1 {
		m.end(protocol.EndError, leaveAll)
		return
	}
	m.drop(x, protocol.EndError)
}

// offer makes a connection with x and offers it to him. It is said once this
// board has answered the call.
func (m *Machine) offer(c *call, x *member) {
	if !m.connect(c, x) {
		return
	}
	x.offerer, x.session, x.round = true, rand.Uint64()|1, 1
	m.describe(c, x, func(ctx context.Context, p Peer) (string, error) { return p.Offer(ctx) })
}

// seek has both look for new paths, once it is known that they can agree on one: the
// old one is given up by that. Where all is silent, the hub too, it is what comes back
// first. So x is asked, whose answer begins it.
func (m *Machine) seek(c *call, x *member) {
	x.tried = time.Now()
	if x.peer != nil && !x.busy {
		m.signal(c, x, m.flags(c, protocol.Peering{Kind: protocol.PeeringJoin, Session: x.session}))
	}
}

// restart offers x to look for new paths, or asks him to offer it.
func (m *Machine) restart(c *call, x *member) {
	x.tried = time.Now()
	switch {
	case x.peer == nil || x.busy:
	case x.offerer:
		x.restarted = x.tried
		x.round++
		x.lines, x.sent, x.answered, x.said = nil, 0, false, time.Time{}
		m.describe(c, x, func(ctx context.Context, p Peer) (string, error) { return p.Restart(ctx) })
	default:
		m.signal(c, x, m.flags(c, protocol.Peering{Kind: protocol.PeeringJoin, Session: x.session}))
	}
}

// describe has a description made of this end, and says it.
func (m *Machine) describe(c *call, x *member, make func(context.Context, Peer) (string, error)) {
	p, closed, servers, asked := x.peer, x.closed, m.ice.servers, m.ice.fetching
	x.busy, x.sdp, x.closed = true, "", nil
	m.async(func(ctx context.Context) func() {
		if closed != nil {
			<-closed
		}
		ctx, cancel := context.WithTimeout(ctx, m.timing.connect)
		defer cancel()
		var sdp string
		if asked != nil && len(servers) == 0 { // answered faster than the hub has named its servers
			select {
			case <-asked.done:
				servers = asked.servers
			case <-ctx.Done():
			case <-time.After(m.timing.connect / 4): // there may be a direct path
			}
		}
		err := p.SetServers(servers)
		if err == nil {
			sdp, err = make(ctx, p)
		}
		return func() {
			if m.call != c || x.peer != p {
				return
			}
			x.busy = false
			if err != nil {
				m.fail(c, x, "%v", err)
				return
			}
			x.sdp = sdp
			for _, line := range x.early {
				m.candidate(x, line)
			}
			x.early = nil
			m.flush(c, x)
			if again := x.again; again != nil {
				x.again = nil
				m.offered(c, x, *again)
			}
		}
	})
}

// flags adds what this board sends.
func (m *Machine) flags(c *call, p protocol.Peering) protocol.Peering {
	p.Audio, p.Video = !m.muted, c.camera
	return p
}

// flush says to x what of this end he has not heard.
func (m *Machine) flush(c *call, x *member) {
	if c.state == protocol.CallRinging || x.sdp == "" {
		return
	}
	switch {
	case x.said.IsZero():
		m.describeTo(c, x)
	case len(x.lines) > x.sent:
		m.signal(c, x, protocol.Peering{Kind: protocol.PeeringCandidates, Session: x.session, Round: x.round, Candidates: x.lines[x.sent:]})
		x.sent = len(x.lines)
	}
}

// describeTo says the description with all candidates so far.
func (m *Machine) describeTo(c *call, x *member) {
	kind := protocol.PeeringAnswer
	if x.offerer {
		kind = protocol.PeeringOffer
	}
	m.signal(c, x, m.flags(c, protocol.Peering{Kind: kind, Session: x.session, Round: x.round, SDP: x.sdp, Candidates: x.lines}))
	x.sent, x.said = len(x.lines), time.Now()
	if !x.offerer {
		x.answered = true // what is missing he asks for by saying his offer again
	}
}

// join tells x that this board is in the call, and waits for his offer.
func (m *Machine) join(c *call, x *member) {
	x.joins++
	x.joinedAt = time.Now()
	m.signal(c, x, m.flags(c, protocol.Peering{Kind: protocol.PeeringJoin}))
}

// peering takes what another terminal says; it is called on the session's
// goroutine.
func (m *Machine) peering(from, terminal string, p protocol.Peering) {
	if !m.posts.addBelow(func() { m.peered(from, terminal, p) }, maxSignals) {
		m.complain("too many signals: one is left out", "from", from)
	}
}

func (m *Machine) peered(from, terminal string, p protocol.Peering) {
	c := m.call
	if c == nil || c.key != (callKey{p.Inviter, p.Room}) {
		if p.Kind == protocol.PeeringOffer || p.Kind == protocol.PeeringJoin {
			if p.Kind == protocol.PeeringJoin && p.Session != 0 { // whoever was connected with this board, before it was started
				m.notInCall(from, terminal, p)
			}
			m.complain("a signal of a call that this board is not in is refused", "from", from, "terminal", terminal)
		}
		return
	}
	x := c.member(from)
	if x != nil && x.terminal == terminal && p.Kind != protocol.PeeringAbsent {
		x.absent = 0
	}
	switch {
	case p.Kind == protocol.PeeringAbsent:
		if x != nil && x.terminal == terminal && x.session == p.Session {
			x.absent++
		}
		return
	case x == nil:
		m.complain("a signal of somebody who is not in the call is refused", "from", from, "terminal", terminal)
		return
	case c.state == protocol.CallRinging: // this board has not answered
		if p.Kind == protocol.PeeringLeave && x.user != c.key.inviter {
			c.remove(x)
			m.listChanged()
		}
		return
	case x.state == ringing && c.outgoing:
		if p.Kind == protocol.PeeringOffer { // faster than the hub's word
			x.hold(terminal, p)
		}
		return
	case x.terminal != "" && x.terminal != terminal && x.state != ringing:
		m.complain("a signal of a terminal that is not in the call is refused", "from", from, "terminal", terminal)
		return
	}
	if x.state == ringing {
		x.state, x.since = joined, time.Now()
	}
	x.terminal = terminal
	switch p.Kind {
	case protocol.PeeringJoin:
		m.joins(c, x, p)
	case protocol.PeeringOffer:
		m.offered(c, x, p)
	case protocol.PeeringAnswer:
		m.answeredBy(c, x, p)
	case protocol.PeeringCandidates:
		if x.session == p.Session {
			m.candidates(x, p.Candidates)
		}
	case protocol.PeeringMedia:
		m.heardOf(x, p)
	case protocol.PeeringLeave:
		m.left(x, p)
	}
}

// notInCall tells whoever looks for this board in a call that he need not.
func (m *Machine) notInCall(to, terminal string, p protocol.Peering) {
	leave := protocol.Peering{Kind: protocol.PeeringLeave, Inviter: p.Inviter, Room: p.Room, Session: p.Session, Reason: "it is not in this call any more"}
	if err := m.dev.Signal(to, terminal, leave); err != nil {
		m.log.Debug("a signal is not sent", "to", to, "kind", leave.Kind, "err", err)
	}
}

// joins: x is in the call and wants to be connected, or restored.
func (m *Machine) joins(c *call, x *member, p protocol.Peering) {
	m.heardOf(x, p)
	switch {
	case x.peer == nil:
		m.offer(c, x)
	case x.offerer && p.Session == x.session && p.Session != 0:
		if time.Since(x.restarted) >= m.timing.restart/2 {
			m.restart(c, x)
		}
	case p.Session == x.session && p.Session != 0: // the offerer asks whether he is heard
		m.signal(c, x, m.flags(c, protocol.Peering{Kind: protocol.PeeringJoin, Session: x.session}))
	}
}

// offered answers an offer: a new one, the same once more, or one that restores
// the connection.
func (m *Machine) offered(c *call, x *member, p protocol.Peering) {
	self, _ := m.dev.Identity()
	switch {
	case p.Session == 0 || p.Round == 0 || p.SDP == "":
		m.complain("an offer without a session is refused", "from", x.user)
		return
	case x.peer != nil && x.session == p.Session && x.offerer:
		return // one's own, echoed
	case x.peer != nil && x.session == p.Session && x.busy:
		x.again = &p
		return
	case x.peer != nil && x.session == p.Session && p.Round <= x.round:
		if p.Round == x.round && x.sdp != "" {
			m.describeTo(c, x)
		}
		return
	case x.peer != nil && x.offerer && x.state != connected && self < x.user:
		return // both offered: the lesser one's counts
	case x.peer == nil || x.session != p.Session:
		if !x.mayBegin() {
			m.complain("an offer is left out: too many connections are begun", "from", x.user)
			return
		}
		if !m.connect(c, x) {
			return
		}
		x.session = p.Session
	}
	m.heardOf(x, p)
	x.round, x.lines, x.sent, x.said, x.answered = p.Round, nil, 0, time.Time{}, false
	x.early = append(x.early, p.Candidates...)
	m.describe(c, x, func(ctx context.Context, peer Peer) (string, error) { return peer.Answer(ctx, p.SDP) })
}

// answeredBy takes the answer to an offer.
func (m *Machine) answeredBy(c *call, x *member, p protocol.Peering) {
	if x.peer == nil || !x.offerer || x.session != p.Session || x.round != p.Round || x.answered || x.busy {
		return
	}
	m.heardOf(x, p)
	x.answered = true
	if err := x.peer.Accept(p.SDP); err != nil {
		m.fail(c, x, "%v", err)
		return
	}
	m.candidates(x, p.Candidates)
}

func (m *Machine) candidates(x *member, lines []string) {
	for _, line := range lines {
		if x.busy && !x.offerer { // the description that they belong to is being read
			if len(x.early) < protocol.MaxCandidates {
				x.early = append(x.early, line)
			}
			continue
		}
		m.candidate(x, line)
	}
}

func (m *Machine) candidate(x *member, line string) {
	if x.peer == nil {
		return
	}
	if err := x.peer.AddCandidate(line); err != nil {
		m.complain("a candidate is left out", "from", x.user, "err", err)
	}
}

// heardOf notes what x sends.
func (m *Machine) heardOf(x *member, p protocol.Peering) {
	audio, video := p.Audio != x.audio, p.Video != x.video
	x.audio, x.video = p.Audio, p.Video
	if !x.entered {
		return
	}
	if audio {
		raise(m, protocol.OnUserAudioAvailable, protocol.AudioAvailableEvent{UserID: x.user, IsAudioAvailable: x.audio})
	}
	if video {
		raise(m, protocol.OnUserVideoAvailable, protocol.VideoAvailableEvent{UserID: x.user, IsVideoAvailable: x.video})
	}
}

// left: x has left the call.
func (m *Machine) left(x *member, p protocol.Peering) {
	if p.Session != 0 && x.session != 0 && p.Session != x.session {
		return // of a connection that was replaced
	}
	if p.Reason == "" {
		m.drop(x, protocol.EndHangup)
		return
	}
	if p.Reason == reasonFaster {
		raise(m, protocol.OnCallingCancel, protocol.CallingCancelEvent{UserID: x.user})
		m.end(protocol.EndElsewhere, leaveAll) // also others of the group are not to be connected with
		return
	}
	m.trouble(protocol.CodeCallSignalingFailed, "%s has left: %s", x.user, protocol.Clip(p.Reason))
	m.drop(x, protocol.EndLost)
}

// reasonFaster is said to those who accepted a call that somebody else has.
const reasonFaster = "somebody else was faster"

// peerState takes how the connection with x stands.
func (m *Machine) peerState(c *call, x *member, s PeerState) {
	switch s {
	case PeerConnected:
		x.lost, x.absent = time.Time{}, 0
		if x.state == connected {
			return
		}
		x.state = connected
		if c.state != protocol.CallConnected {
			c.state, c.since, c.volume = protocol.CallConnected, time.Now(), time.Now()
			m.log.Info("call", "state", c.state, "inviter", c.key.inviter, "room", c.key.room)
		}
		if x.entered {
			return
		}
		x.entered = true
		raise(m, protocol.OnUserEnter, protocol.CallUserEvent{UserID: x.user})
		if x.audio {
			raise(m, protocol.OnUserAudioAvailable, protocol.AudioAvailableEvent{UserID: x.user, IsAudioAvailable: true})
		}
		if x.video {
			raise(m, protocol.OnUserVideoAvailable, protocol.VideoAvailableEvent{UserID: x.user, IsVideoAvailable: true})
		}
	case PeerClosed: // his word that he leaves follows, or he is lost
		if x.state == connected && x.lost.IsZero() {
			x.lost, x.tried = time.Now(), time.Now()
		}
	case PeerDisconnected, PeerFailed:
		if x.state != connected {
			if s == PeerFailed && x.state == joined && time.Since(x.tried) >= m.timing.restart {
				m.restart(c, x)
			}
			return
		}
		if x.lost.IsZero() {
			x.lost = time.Now()
			m.log.Warn("nothing is heard of somebody in the call; looking for another path", "user", x.user)
			m.seek(c, x)
		}
	}
}

// networkChanged has all connections look for new paths: the board's addresses
// are others than before.
func (m *Machine) networkChanged() {
	c := m.call
	if c == nil {
		return
	}
	for _, x := range c.members {
		if x.state != connected {
			continue
		}
		// Until the new path stands nothing tells that the old one is dead. Some more
		// time than for one that has fallen silent, since that is not noticed yet.
		x.lost = time.Now().Add(m.timing.lost / 4)
		m.restart(c, x)
	}
}
