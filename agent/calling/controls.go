package calling

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/herald-im/herald/device"
	"github.com/herald-im/herald/protocol"
)

// Where the local API shows pictures.
const (
	ViewSelf   = "/v1/whep/self"
	viewRemote = "/v1/whep/remote/"
)

// Bind has m answer the methods of calls.
func (m *Machine) Bind(t *protocol.Table[protocol.Caller]) {
	protocol.Bind(t, protocol.CallingInit, m.init)
	protocol.Bind(t, protocol.CallingDestroy, m.destroy)
	protocol.Bind(t, protocol.CallingLogin, m.login)
	protocol.Bind(t, protocol.CallingLogout, m.logout)
	protocol.Bind(t, protocol.PlaceCall, m.placeCall)
	protocol.Bind(t, protocol.PlaceGroupCall, m.placeGroupCall)
	protocol.Bind(t, protocol.AcceptCall, m.acceptCall)
	protocol.Bind(t, protocol.RejectCall, m.rejectCall)
	protocol.Bind(t, protocol.Hangup, m.hangupCall)
	protocol.Bind(t, protocol.StartRemoteView, m.startRemoteView)
	protocol.Bind(t, protocol.StopRemoteView, m.stopRemoteView)
	protocol.Bind(t, protocol.OpenCamera, m.openCamera)
	protocol.Bind(t, protocol.SwitchCamera, m.switchCamera)
	protocol.Bind(t, protocol.CloseCamera, m.closeCamera)
	protocol.Bind(t, protocol.SetMicMute, m.setMicMute)
	protocol.Bind(t, protocol.SetHandsFree, m.setHandsFree)
	protocol.Bind(t, protocol.GetCall, m.getCall)
}

func (m *Machine) init(ctx context.Context, _ protocol.Caller, _ protocol.Empty) (protocol.Empty, error) {
	return protocol.Empty{}, m.do(ctx, func(done func(error)) {
		m.destroyed = false
		m.linked() // what rings meanwhile
		done(nil)
	})
}

func (m *Machine) destroy(ctx context.Context, _ protocol.Caller, _ protocol.Empty) (protocol.Empty, error) {
	return protocol.Empty{}, m.do(ctx, func(done func(error)) {
		m.leave()
		m.destroyed = true
		done(nil)
	})
}

// leave ends the call, whatever its state.
func (m *Machine) leave() {
	if c := m.call; c != nil && c.state == protocol.CallRinging {
		m.refuse(c.invite, c.data(c.command()), func(error) {})
	}
	m.end(protocol.EndHangup, leaveAll)
}

// use runs f on the loop unless calls were destroyed.
func (m *Machine) use(ctx context.Context, f func() error) (protocol.Empty, error) {
	return protocol.Empty{}, m.do(ctx, func(done func(error)) {
		if m.destroyed {
			done(errDestroyed)
			return
		}
		done(f())
	})
}

func (m *Machine) login(ctx context.Context, c protocol.Caller, r protocol.CallingLoginRequest) (protocol.Empty, error) {
	if _, err := m.use(ctx, func() error { return nil }); err != nil {
		return protocol.Empty{}, err
	}
	return m.dev.LoginTo(ctx, c, r.SDKAppID, protocol.LoginRequest{UserID: r.UserID, UserSig: r.UserSig})
}

func (m *Machine) logout(ctx context.Context, c protocol.Caller, r protocol.Empty) (protocol.Empty, error) {
	heard := make(chan struct{})
	if _, err := m.use(ctx, func() error {
		m.leave()
		if m.asking == 0 {
			close(heard)
		} else {
			m.settling = append(m.settling, heard)
		}
		return nil
	}); err != nil {
		return protocol.Empty{}, err
	}
	m.settle(ctx, heard)
	return m.dev.Logout(ctx, c, r)
}

// settle waits until the hub has heard what it was told, for a bounded time: after
// the logout nobody tells it any more.
func (m *Machine) settle(ctx context.Context, heard <-chan struct{}) {
	timer := time.NewTimer(m.timing.stop)
	defer timer.Stop()
	select {
	case <-heard:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// loggedOut ends the call: nobody can be told any more.
func (m *Machine) loggedOut() {
	m.end(protocol.EndError, leaveNone)
	m.ice = iceCache{} // the next account has credentials of its own
}

func (m *Machine) startRemoteView(ctx context.Context, _ protocol.Caller, r protocol.RemoteViewRequest) (protocol.ViewResponse, error) {
	_, err := m.use(ctx, func() error {
		_, err := m.shown(r.UserID)
		return err
	})
	return protocol.ViewResponse{URL: viewRemote + url.PathEscape(r.UserID)}, err
}

// shown finds somebody in the call whose picture can be looked at.
func (m *Machine) shown(user string) (*member, error) {
	c := m.call
	switch {
	case c == nil || c.state == protocol.CallRinging:
		return nil, protocol.Errorf(protocol.CodeCallWrongState, "this board is in no call")
	case c.member(user) == nil:
		return nil, protocol.Errorf(protocol.CodeCallInvalidParameter, "userId: %s is not in the call", user)
	case !c.video:
		return nil, protocol.Errorf(protocol.CodeCallSceneUnsupported, "a voice call has no pictures")
	}
	return c.member(user), nil
}

func (m *Machine) stopRemoteView(ctx context.Context, _ protocol.Caller, r protocol.StopRemoteViewRequest) (protocol.Empty, error) {
	none, err := m.use(ctx, func() error { return nil })
	if err == nil { // not on the loop: it may take a second for each
		m.views.endOf(r.UserID)
	}
	return none, err
}

func (m *Machine) openCamera(ctx context.Context, _ protocol.Caller, r protocol.OpenCameraRequest) (protocol.ViewResponse, error) {
	_, err := m.use(ctx, func() error {
		if m.call != nil && !m.call.video {
			return errVoice
		}
		return m.camera(*r.IsFront, true)
	})
	return protocol.ViewResponse{URL: ViewSelf}, err
}

var errVoice = protocol.Errorf(protocol.CodeCallSceneUnsupported, "a voice call shows no camera")

func (m *Machine) switchCamera(ctx context.Context, _ protocol.Caller, r protocol.SwitchCameraRequest) (protocol.Empty, error) {
	return m.use(ctx, func() error {
		if m.call != nil && !m.call.video {
			return errVoice
		}
		return m.camera(*r.IsFront, m.call != nil && m.call.camera)
	})
}

func (m *Machine) closeCamera(ctx context.Context, _ protocol.Caller, _ protocol.Empty) (protocol.Empty, error) {
	return m.use(ctx, func() error { return m.camera(m.front, false) })
}

// camera chooses the camera and, in a call, whether its picture is sent.
func (m *Machine) camera(front, on bool) error {
	c := m.call
	if err := m.media.SetCamera(front, c != nil && on); err != nil {
		return protocol.Errorf(protocol.CodeCallPermissionDenied, "%v", err)
	}
	m.front = front
	if c != nil && c.camera != on {
		c.camera = on
		m.tellFlags(c)
	}
	return nil
}

// tellFlags tells everybody in the call what this board sends.
func (m *Machine) tellFlags(c *call) {
	for _, x := range c.members {
		if x.state != ringing && x.peer != nil && c.state != protocol.CallRinging {
			m.signal(c, x, m.flags(c, protocol.Peering{Kind: protocol.PeeringMedia, Session: x.session}))
		}
	}
}

func (m *Machine) setMicMute(ctx context.Context, _ protocol.Caller, r protocol.MicMuteRequest) (protocol.Empty, error) {
	return m.use(ctx, func() error {
		m.media.SetMute(*r.IsMute)
		if m.muted != *r.IsMute {
			m.muted = *r.IsMute
			if m.call != nil {
				m.tellFlags(m.call)
			}
		}
		return nil
	})
}

func (m *Machine) setHandsFree(ctx context.Context, _ protocol.Caller, r protocol.HandsFreeRequest) (protocol.Empty, error) {
	return m.use(ctx, func() error {
		m.media.SetHandsFree(*r.IsHandsFree)
		m.handsFree = *r.IsHandsFree
		return nil
	})
}

func (m *Machine) getCall(ctx context.Context, _ protocol.Caller, _ protocol.Empty) (protocol.CallResponse, error) {
	return get(ctx, m, func() (protocol.CallResponse, error) { return m.status(), nil })
}

// status tells where the call stands.
func (m *Machine) status() protocol.CallResponse {
	out := protocol.CallResponse{State: protocol.CallIdle, MicMuted: m.muted, HandsFree: m.handsFree, Users: []protocol.CallUser{}}
	c := m.call
	if c == nil {
		return out
	}
	out.State, out.RoomID, out.Type, out.Inviter, out.GroupID, out.CameraOn = c.state, c.key.room, c.kind(), c.key.inviter, c.group, c.camera
	out.Camera, out.Sound = m.media.Figures()
	if !c.camera {
		out.Camera = nil
	}
	if !c.since.IsZero() {
		out.Seconds = int64(time.Since(c.since) / time.Second)
	}
	for _, x := range c.members {
		u := protocol.CallUser{UserID: x.user, State: x.state.String(), Audio: x.audio, Video: x.video}
		if x.peer != nil {
			s := x.peer.Stats()
			u.VideoCodec, u.FramesPerSecond, u.RoundTripMs, u.PacketsLost, u.Path = s.VideoCodec, s.FramesPerSecond, s.RoundTripMs, s.PacketsLost, s.Path
			u.SentBitrate, u.ReceivedBitrate, u.TargetBitrate, u.LossPercent = s.SentBitrate, s.ReceivedBitrate, s.TargetBitrate, s.LossPercent
			u.JitterMs, u.BufferMs, u.ConcealedPercent = s.JitterMs, s.BufferMs, s.ConcealedPercent
			u.FramesSent, u.FramesDropped, u.SoundOnly = s.FramesSent, s.FramesDropped, s.SoundOnly
		}
		out.Users = append(out.Users, u)
	}
	return out
}

// iceCache holds the hub's STUN and TURN servers while their credentials are good.
type iceCache struct {
	servers  []protocol.ICEServer
	until    time.Time // half of their time is over: others are asked for before they are used again
	asked    time.Time
	fetching *fetching // nil: nothing is asked
}

// fetching is a question for the servers.
type fetching struct {
	done    chan struct{} // closed once the hub has answered, or has not
	servers []protocol.ICEServer
}

// relays tells whether there is a TURN server among them (RFC 7065).
func (c *iceCache) relays() bool {
	return slices.ContainsFunc(c.servers, func(s protocol.ICEServer) bool {
		return slices.ContainsFunc(s.URLs, func(u string) bool { return strings.HasPrefix(u, "turn") })
	})
}

// fetchServers asks for the servers in time for a connection.
func (m *Machine) fetchServers() {
	if m.ice.fetching != nil || time.Now().Before(m.ice.until) {
		return
	}
	f := &fetching{done: make(chan struct{})}
	m.ice.fetching, m.ice.asked = f, time.Now()
	var res protocol.ICEServersResponse
	m.ask(func(ctx context.Context) (err error) {
		res, err = device.Ask(ctx, m.dev, protocol.GetICEServers, protocol.Empty{})
		return err
	}, func(err error) {
		defer close(f.done)
		if m.ice.fetching != f { // it was another account's
			return
		}
		m.ice.fetching = nil
		if err != nil {
			m.log.Warn("the hub's relays are not known: a call connects directly or not at all", "err", err)
			return
		}
		m.ice.servers = m.dev.AtHub(res.ICEServers)
		f.servers = m.ice.servers
		m.ice.until = time.Now().Add(time.Duration(res.TTLSeconds) * time.Second / 2)
	})
}

// linked looks, after a start and whenever the link is back, for what the hub
// knows of calls: what rings is to ring here, and what this board placed before it
// was killed is taken back.
func (m *Machine) linked() {
	if m.destroyed {
		return
	}
	var res protocol.InvitationsResponse
	m.ask(func(ctx context.Context) (err error) {
		res, err = device.Ask(ctx, m.dev, protocol.GetInvitations, protocol.Empty{})
		return err
	}, func(err error) {
		if err != nil {
			m.log.Warn("the hub does not say what rings", "err", err)
			return
		}
		m.fetchServers()
		self, terminal := m.dev.Identity()
		for _, i := range res.Invitations {
			d, ok := protocol.DecodeCallData(i.Data)
			switch {
			case !ok:
			case i.Inviter == self && i.Terminal == terminal:
				if c := m.call; c == nil || c.key.room != d.Room { // placed before this board was killed
					m.cancelInvite(&call{key: callKey{self, d.Room}, video: d.Video}, i.InviteID)
				}
			case i.Inviter != self && slices.Contains(i.InviteeList, self):
				m.step(device.Step{SignalingStep: protocol.SignalingStep{
					InviteID: i.InviteID, GroupID: i.GroupID, Inviter: i.Inviter, InviteeList: i.InviteeList, Data: i.Data, Timeout: remaining(i, res.Time),
					ActionType: protocol.SignalingInvite,
				}, From: i.Inviter, Terminal: i.Terminal, Time: i.CreatedAt})
			}
		}
	})
}

// remaining is how many seconds an invitation is still open for; 0: for ever.
func remaining(i protocol.Invitation, now int64) int {
	if i.EndsAt == 0 {
		return 0
	}
	return int(max(1, (i.EndsAt-now)/1000))
}
