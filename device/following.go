package device

import (
	"context"
	"slices"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/usersig"
	"go.etcd.io/bbolt"
)

// Step is a step of an invitation that concerns the account, once it is on disk.
// The board's own steps are none: their answers tell.
type Step struct {
	protocol.SignalingStep
	From     string // userId of who took it; of a timeout the inviter
	Terminal string // of From; empty: the hub took it
	Time     int64  // the hub's, Unix milliseconds
}

// Follower is told what concerns calls: what the account's programs hear of as
// events, but before them, in order, and whether or not anybody listens. Its
// functions are called one at a time, must not block, and may be nil.
type Follower struct {
	Step    func(Step)
	Peering func(from, terminal string, p protocol.Peering)
	// Linked says that the link stands (again). Steps that came meanwhile follow.
	Linked func()
	// LoggedOut says that the login is over.
	LoggedOut func()
}

// Follow sets who is told. It is called before Run.
func (d *Device) Follow(f Follower) { d.follower = f }

// Identity is the account that is logged in and the board's name among its
// terminals; empty when nobody is logged in.
func (d *Device) Identity() (user, terminal string) {
	s, err := d.current()
	if err != nil {
		return "", ""
	}
	return s.user, d.terminal
}

// Ask runs a method at the hub for the board itself. Its errors hold a
// *protocol.Error.
func Ask[Req, Res any](ctx context.Context, d *Device, m protocol.Method[Req, Res], req Req) (res Res, err error) {
	body, err := protocol.Marshal(req)
	if err != nil {
		return res, err
	}
	s, err := d.current()
	if err != nil {
		return res, err
	}
	body, err = s.ask(ctx, m.Info().Name, body)
	if err == nil && len(body) > 0 {
		err = protocol.Unmarshal(body, &res)
	}
	return res, err
}

// Raise records an event of another room, or shows a transient one. It does not
// wait for the disk, which takes its time on a board while people talk; events
// stay in order. One that the disk does not take reaches the streams that are open:
// a full disk must not keep a panel from ringing.
func Raise[T any](d *Device, e protocol.Event[T], data T) {
	if e.Info().Transient {
		raise(d, e, data)
		return
	}
	ev, err := e.New(data)
	if err != nil {
		d.log.Error("an event could not be made", "event", e.Info().Name, "err", err)
		return
	}
	d.db.Go(func(tx *bbolt.Tx) error { return d.journal.Append(tx, ev) }, func(err error) {
		d.journal.Committed(err)
		if err != nil {
			d.log.Error("an event could not be recorded; only streams that are open get it", "event", ev.Info.Name, "err", err)
			d.moments.show(ev)
		}
	})
}

// LoginTo logs an account of an app in, as im.login does. The UserSig must have
// been made for that app.
func (d *Device) LoginTo(ctx context.Context, c protocol.Caller, app protocol.AppID, r protocol.LoginRequest) (protocol.Empty, error) {
	if claims, err := usersig.Inspect(r.UserSig); err == nil && protocol.AppID(claims.AppID) != app {
		return protocol.Empty{}, protocol.Errorf(protocol.CodeSvrAccountUserSigMismatchSDKAppID, "sdkAppId: the UserSig was made for another one than %d", app)
	}
	return d.login(ctx, c, r)
}

// Logout logs the account out, as im.logout does.
func (d *Device) Logout(ctx context.Context, c protocol.Caller, r protocol.Empty) (protocol.Empty, error) {
	return d.logout(ctx, c, r)
}

// errMoved ends a connection whose address the board has no longer.
var errMoved = protocol.Errorf(protocol.CodeNetDisconnect, "the board's address has changed")

// NetworkChanged has a connection that is dead by it replaced at once, and an
// attempt that waits be made.
func (d *Device) NetworkChanged() {
	d.mu.Lock()
	s := d.session
	d.mu.Unlock()
	if s == nil {
		return
	}
	select {
	case s.moved <- struct{}{}:
	default:
	}
	if !s.linkUp() {
		s.hurry()
	}
}

const (
	maxSignals = 64               // that wait for the session's goroutine
	signalTime = 10 * time.Second // after which a signal is of no use any more
)

// signalling is a signal on its way up.
type signalling struct {
	exp    int64
	signal protocol.Signal
}

// Signal sends p to a terminal of a user, to all that are online if terminal is
// empty. It does not wait, and what it has sent may be lost. CodeNetDisconnect:
// there is no link; CodeNetReqCountLimit: too many wait.
func (d *Device) Signal(user, terminal string, p protocol.Peering) error {
	body, err := protocol.Marshal(p)
	if err != nil {
		return err
	}
	s, err := d.current()
	if err != nil {
		return err
	}
	if !s.linkUp() {
		return errOffline
	}
	now, _ := d.clock.now()
	out := signalling{now + signalTime.Milliseconds(), protocol.Signal{To: user, ToTerm: terminal, Body: body}}
	select {
	case s.signals <- out:
		return nil
	default:
		return protocol.Errorf(protocol.CodeNetReqCountLimit, "%d signals wait already", maxSignals)
	}
}

// signalUp sends a signal, unless it has waited for too long.
func (c *connection) signalUp(s signalling) error {
	if now, _ := c.s.d.clock.now(); !c.ready || s.exp < now {
		c.log.Debug("a signal is not sent: there was no link in time", "to", s.signal.To)
		return nil
	}
	return c.send(&protocol.Frame{Exp: s.exp, Signal: &s.signal})
}

// peered takes what another terminal says for a call.
func (c *connection) peered(sig *protocol.Signal) {
	p, err := protocol.DecodePeering(sig.Body)
	switch {
	case err != nil:
		c.log.Warn("a signal that cannot be read is left out", "from", protocol.Clip(sig.From), "err", err)
	case c.s.d.follower.Peering != nil:
		c.s.d.follower.Peering(sig.From, sig.Term, p)
	}
}

// step is what an entry means to a call; false: nothing.
func (s *session) step(e *protocol.Entry) (Step, bool) {
	if e.Kind != protocol.EntrySignaling || e.From == s.user && e.Term == s.d.terminal {
		return Step{}, false
	}
	step, concerns, err := protocol.DecodeSignaling(e.Body)
	if err != nil || !slices.Contains(concerns, s.user) {
		return Step{}, false // events has said so
	}
	if step.ActionType == protocol.SignalingInvite && s.d.tooLate(e.Time, step.Timeout) {
		return Step{}, false
	}
	return Step{SignalingStep: step, From: e.From, Terminal: e.Term, Time: e.Time}, true
}

func (s *session) tell(steps []Step) {
	if s.d.follower.Step == nil {
		return
	}
	for _, x := range steps {
		s.d.follower.Step(x)
	}
}
