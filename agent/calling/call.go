package calling

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/herald-im/herald/protocol"
)

// callKey names a call everywhere the same.
type callKey struct {
	inviter string
	room    uint32
}

// call is the board's one call.
type call struct {
	key      callKey
	group    string
	video    bool
	several  bool // are called, or it is in a group
	first    bool // the first to answer has it
	outgoing bool
	state    protocol.CallState
	camera   bool // its picture is sent

	invite  string            // of an incoming call: the invitation to answer
	invites map[string]string // of an outgoing one: those that are open, and whom each is for; "": for all
	placing int               // invitations that the hub has not answered yet
	glare   *glare            // the one whom this board calls calls it

	members []*member                             // the others, in the order of the invitation
	until   time.Time                             // it rings no longer, whatever the hub says; zero: as long as it is open
	since   time.Time                             // connected
	volume  time.Time                             // at which volumes were told last
	devices map[string]protocol.MediaChangedEvent // what was seen of them last, by kind
	talked  bool                                  // somebody was in it, besides this board

	answering bool
	ranOut    bool          // its time was over while it was being answered
	begun     chan struct{} // the devices are used; closed once Begin has returned. nil: they are not
}

// memberState is where another one of the call stands.
type memberState int

const (
	ringing memberState = iota
	joined              // is in the call, and to be connected
	connected
)

func (s memberState) String() string { return [...]string{"ringing", "connecting", "connected"}[s] }

// member is another one in the call, or one who is to be in it.
type member struct {
	user      string
	terminal  string // that he is in it with; empty: not known
	state     memberState
	since     time.Time // of joined
	lost      time.Time // since when nothing is heard of him; zero: he is heard
	absent    int       // how often the hub has said since that his link is gone
	tried     time.Time // to restore the connection
	restarted time.Time // by an offer of this board's that gave the old path up
	entered   bool      // programs were told that he is in it
	audio     bool      // he sends it
	video     bool
	joins     int                         // how often he was told that this board has joined
	joinedAt  time.Time                   // and when last
	held      map[string]protocol.Peering // by terminal: offers that came before the hub said that he has accepted

	begins *rate.Limiter // connections that he begins; nil: none yet

	peer   Peer
	closed chan struct{} // of the peer before this one: two at once would take each other's packets
	exchange
}

// maxBegins is how many connections one member may begin at once, and one each second from then on: where both ends begin, and
// one is started again, there are a few. Each costs a weak board some of its time, and there are so many for all.
const maxBegins = 5

// mayBegin tells whether a connection that the member begins is made. He says his offer again.
func (x *member) mayBegin() bool {
	if x.begins == nil {
		x.begins = rate.NewLimiter(1, maxBegins)
	}
	return x.begins.Allow()
}

// exchange is the talk about one connection.
type exchange struct {
	session  uint64
	round    uint32
	offerer  bool
	busy     bool     // SDP is being made
	sdp      string   // the last description made here
	lines    []string // candidates of this end so far
	sent     int      // how many of them were sent
	answered bool     // the other end has the offer
	said     time.Time
	again    *protocol.Peering // an offer that came while SDP was being made
	early    []string          // candidates that came before the description
}

// maxHeld is how many terminals of one account may offer before the hub says
// which of them has accepted.
const maxHeld = 8

// hold keeps an offer that was faster than the hub's word.
func (x *member) hold(terminal string, p protocol.Peering) {
	if x.held == nil {
		x.held = make(map[string]protocol.Peering)
	}
	if _, has := x.held[terminal]; has || len(x.held) < maxHeld {
		x.held[terminal] = p
	}
}

func (c *call) member(user string) *member {
	for _, x := range c.members {
		if x.user == user {
			return x
		}
	}
	return nil
}

func (c *call) remove(x *member) {
	c.members = slices.DeleteFunc(c.members, func(y *member) bool { return y == x })
}

// ringingUsers are those who still ring.
func (c *call) ringingUsers() []string {
	out := []string{}
	for _, x := range c.members {
		if x.state == ringing {
			out = append(out, x.user)
		}
	}
	return out
}

// data is what a step of this call says.
func (c *call) data(cmd protocol.CallCommand) protocol.CallData {
	return protocol.CallData{Command: cmd, Video: c.video, Room: c.key.room}
}

func (c *call) command() protocol.CallCommand {
	if c.video {
		return protocol.CommandVideo
	}
	return protocol.CommandVoice
}

func (c *call) kind() protocol.CallType {
	if c.video {
		return protocol.CallTypeVideo
	}
	return protocol.CallTypeVoice
}

// leaving says who is to be told that this board leaves.
type leaving int

const (
	leaveNone leaving = iota // nobody: they know, or cannot be told
	leaveAll
)

// begin makes c the board's call.
func (m *Machine) begin(c *call) {
	c.camera = c.video
	m.call = c
	m.log.Info("call", "state", c.state, "inviter", c.key.inviter, "room", c.key.room, "group", c.group, "video", c.video)
}

// useDevices readies camera, microphone and speaker; then says what follows, also
// where the call has ended meanwhile.
func (m *Machine) useDevices(c *call, then func()) {
	if c.begun != nil {
		then()
		return
	}
	begun := make(chan struct{})
	c.begun = begun
	m.media.SetMute(m.muted)
	m.chooseCamera(c)
	camera := c.camera
	m.async(func(ctx context.Context) func() {
		err := m.media.Begin(ctx, camera)
		close(begun)
		return func() {
			if m.call == c {
				m.goesOnWithout(err)
			}
			then()
		}
	})
}

// chooseCamera chooses the camera of a call. Where there is none, the call sends no
// picture.
func (m *Machine) chooseCamera(c *call) {
	if err := m.media.SetCamera(m.front, c.camera); err != nil {
		c.camera = false
		m.goesOnWithout(errors.Join(err, m.media.SetCamera(m.front, false)))
	}
}

// goesOnWithout tells of devices that cannot be used; nil: none.
func (m *Machine) goesOnWithout(err error) {
	if err != nil {
		m.trouble(protocol.CodeCallPermissionDenied, "the call goes on without: %v", err)
	}
}

// end ends the call. Nothing of it is left once what it begins here is done.
func (m *Machine) end(reason string, who leaving) {
	c := m.call
	if c == nil {
		return
	}
	m.call = nil
	m.dealtWith(c.invite)
	var peers []Peer
	var there []string
	for _, x := range c.members {
		if x.peer != nil {
			peers = append(peers, x.peer)
		}
		if x.state != ringing {
			there = append(there, x.user)
		}
		if who == leaveAll && c.state != protocol.CallRinging && (x.state != ringing || c.several) {
			m.signal(c, x, protocol.Peering{Kind: protocol.PeeringLeave, Session: x.session})
		}
	}
	for id := range c.invites {
		m.dealtWith(id)
		m.cancelInvite(c, id)
	}
	if who == leaveAll && c.talked && c.group == "" && len(there) == 1 {
		m.sayHangup(c, there[0])
	}
	m.async(func(context.Context) func() {
		for _, p := range peers {
			p.Close()
		}
		if c.begun != nil {
			<-c.begun // it must not begin after its end
			m.media.End()
		}
		return nil
	})
	seconds := int64(0)
	if !c.since.IsZero() {
		seconds = int64(time.Since(c.since) / time.Second)
	}
	m.log.Info("call ended", "reason", reason, "inviter", c.key.inviter, "room", c.key.room, "seconds", seconds)
	raise(m, protocol.OnCallEnd, protocol.CallEndEvent{RoomID: c.key.room, Reason: reason, Seconds: seconds})
}

// drop takes a member out of the call, and ends it if he was the last.
func (m *Machine) drop(x *member, reason string) {
	c := m.call
	c.remove(x)
	m.disconnect(x)
	if x.entered {
		raise(m, protocol.OnUserLeave, protocol.CallUserEvent{UserID: x.user})
	}
	switch {
	case len(c.members) == 0:
		if c.talked && reason == protocol.EndLost && c.group == "" {
			m.sayHangup(c, x.user) // should he be there after all
		}
		m.end(reason, leaveNone)
	case !c.outgoing && c.state != protocol.CallRinging && len(c.ringingUsers()) == len(c.members):
		// Whoever is left only rings, and it is not this board that called them.
		m.end(reason, leaveAll)
	}
}

// listChanged tells of who still rings, of a call of several.
func (m *Machine) listChanged() {
	// Called each for himself, those who are called do not hear of one another.
	if c := m.call; c != nil && c.several && (c.group != "" || c.outgoing) {
		users := c.ringingUsers()
		if self, _ := m.dev.Identity(); c.state == protocol.CallRinging {
			users = append(users, self)
		}
		raise(m, protocol.OnGroupCallInviteeListUpdate, protocol.InviteeListEvent{UserIDList: users})
	}
}

// maxAnswered is how many invitations are remembered as dealt with.
const maxAnswered = 64

func (m *Machine) dealtWith(invite string) {
	if invite == "" || slices.Contains(m.answered, invite) {
		return
	}
	if len(m.answered) >= maxAnswered {
		m.answered = m.answered[1:]
	}
	m.answered = append(m.answered, invite)
}
