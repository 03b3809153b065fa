package device

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/herald-im/herald/device/inbox"
	"github.com/herald-im/herald/device/mirror"
	"github.com/herald-im/herald/device/outbox"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/usersig"
)

// autoLogin begins the session that the configuration asks for. Where it cannot
// be begun — no UserSig is there yet, or one that cannot be read — the channel
// says when to try again; else it is nil.
func (d *Device) autoLogin() <-chan time.Time {
	d.mu.Lock()
	taken := d.taken || d.destroyed || d.session != nil && !d.session.over()
	d.mu.Unlock()
	if d.cfg.User == "" || taken {
		return nil
	}
	sig, err := d.cfg.Sig()
	if err == nil {
		_, _, err = d.begin(d.cfg.User, sig, true)
	}
	if err == nil {
		return nil
	}
	e := protocol.AsError(err)
	d.mu.Lock()
	known := d.lastErr != nil && *d.lastErr == *e
	d.lastErr = e
	d.mu.Unlock()
	if !known {
		d.log.Error("cannot log in yet; looking again every minute, and at a reload", "user", d.cfg.User, "code", e.Code, "err", e.Msg)
	}
	return time.After(d.timing.slowRetry)
}

// begin starts a session for an account, or has the one that it has try sig. The
// trial, of a program's login, hears the hub's verdict.
func (d *Device) begin(user, sig string, auto bool) (*session, *trial, error) {
	sig = strings.TrimSpace(sig)
	claims, err := usersig.Inspect(sig)
	if err != nil {
		return nil, nil, sigError(err)
	}
	if claims.UserID != user {
		return nil, nil, protocol.Errorf(protocol.CodeSvrAccountUserSigMismatchID, "the UserSig was made for another user than %s", user)
	}
	app := protocol.AppID(claims.AppID)
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		d.awaitEnd()
		switch {
		case d.destroyed:
			return nil, nil, errNotInitialized
		case d.ctx == nil || d.ctx.Err() != nil:
			return nil, nil, protocol.Errorf(protocol.CodeNotInitialized, "the daemon is stopping")
		case d.pinned != 0 && app != d.pinned:
			return nil, nil, protocol.Errorf(protocol.CodeSvrAccountUserSigMismatchSDKAppID, "the UserSig was made for another sdkAppId than %d", d.pinned)
		}
		s := d.session
		if s == nil {
			break
		}
		if s.user != user || s.app != app {
			return nil, nil, protocol.Errorf(protocol.CodeAccountLoginInProcess, "%s is logged in: log out first", s.user)
		}
		if auto { // a program was faster
			return s, nil, nil
		}
		if t := s.renew(sig); t != nil {
			return s, t, nil
		} // else it has come to its end in this moment
	}
	s, err := d.newSession(app, user, sig, auto)
	if err != nil {
		return nil, nil, err
	}
	d.session, d.last, d.lastErr = s, s, nil
	t := s.trial
	d.sessions.Go(func() {
		s.run()
		if d.follower.LoggedOut != nil {
			d.follower.LoggedOut()
		}
		d.handBack(s)
	})
	return s, t, nil
}

// awaitEnd waits for a session that is ending: its last writes must not meet those
// of the next. The lock is held before and after.
func (d *Device) awaitEnd() {
	for d.session != nil && d.session.ending() {
		s := d.session
		d.mu.Unlock()
		<-s.ended
		d.mu.Lock()
		if d.session == s {
			d.session = nil
		}
	}
}

// handBack leaves the login to the configuration when a program's was refused
// before it ever stood.
func (d *Device) handBack(s *session) {
	if s.loggedIn() || !refusesLogin(protocol.AsError(s.endedWith()).Code) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.session == s {
		d.session = nil
		d.lookAgain()
	}
}

func (d *Device) newSession(app protocol.AppID, user, sig string, auto bool) (*session, error) {
	acct, err := d.account(app, user)
	if err != nil {
		return nil, err
	}
	s := &session{
		d: d, app: app, user: user, tickets: tickets{auto: auto},
		log:      d.log.With("user", user),
		first:    make(chan struct{}),
		ended:    make(chan struct{}),
		queued:   make(chan struct{}, 1),
		poke:     make(chan struct{}, 1),
		calls:    make(chan *call),
		signals:  make(chan signalling, maxSignals),
		moved:    make(chan struct{}, 1),
		waiters:  make(map[string]chan protocol.Ack),
		queries:  make(chan *query),
		account:  acct,
		relinked: make(chan struct{}),
		link:     "down", since: d.clock.seconds(),
	}
	if !auto { // else it is read anew for each attempt
		s.trial = newTrial(sig)
	}
	if s.box, err = outbox.Open(d.db, acctName, protocol.Username(app, user), d.cfg.Outbox); err != nil {
		return nil, err
	}
	if s.inbox, err = inbox.Open(d.db, acct); err != nil {
		return nil, err
	}
	if s.mirror, err = mirror.Open(d.db, acct, user, s.inbox, d.cfg.Mirror); err != nil {
		return nil, err
	}
	if err = s.people.open(s); err != nil {
		return nil, err
	}
	if err = s.uploads.open(s); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(d.ctx)
	s.sweepInserted()
	return s, nil
}

// sigError gives a UserSig that cannot even be read its code.
func sigError(err error) error {
	var e *usersig.Error
	if errors.As(err, &e) {
		return protocol.Errorf(protocol.Code(e.Code()), "userSig: %v", e)
	}
	return protocol.Errorf(protocol.CodeSvrAccountUserSigCheckFailed, "userSig: %v", err)
}

var errNotLoggedIn = protocol.Errorf(protocol.CodeNotLoggedIn, "not logged in: call im.login first")

var errNotInitialized = protocol.Errorf(protocol.CodeNotInitialized, "im.destroy was called: call im.init first")

func (d *Device) init(_ context.Context, _ protocol.Caller, r protocol.InitRequest) (protocol.Empty, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.session; s != nil && !s.over() && s.app != r.SDKAppID {
		return protocol.Empty{}, protocol.Errorf(protocol.CodeInvalidParameters, "sdkAppId: %s is logged in with sdkAppId %d: log out first", s.user, s.app)
	}
	d.destroyed, d.pinned = false, r.SDKAppID
	if r.LogLevel != nil && d.cfg.LogLevel != nil {
		d.cfg.LogLevel.Set(logLevels[*r.LogLevel])
	}
	return protocol.Empty{}, nil
}

func (d *Device) login(ctx context.Context, c protocol.Caller, r protocol.LoginRequest) (protocol.Empty, error) {
	s, t, err := d.begin(r.UserID, r.UserSig, false)
	if err != nil {
		return protocol.Empty{}, err
	}
	d.log.Info("login asked for", "user", r.UserID, "by", c.Who)
	timer := time.NewTimer(d.timing.login)
	defer timer.Stop()
	select {
	case <-t.done:
		return protocol.Empty{}, t.err
	case <-s.ended:
		return protocol.Empty{}, s.endedWith()
	case <-timer.C:
		return protocol.Empty{}, s.unanswered(t)
	case <-ctx.Done():
		return protocol.Empty{}, ctx.Err()
	}
}

func (d *Device) logout(ctx context.Context, _ protocol.Caller, _ protocol.Empty) (protocol.Empty, error) {
	d.mu.Lock()
	d.taken = true
	destroyed, s := d.destroyed, d.session
	d.mu.Unlock()
	if destroyed {
		return protocol.Empty{}, errNotInitialized
	}
	return protocol.Empty{}, d.end(ctx, s)
}

func (d *Device) destroy(ctx context.Context, _ protocol.Caller, _ protocol.Empty) (protocol.Empty, error) {
	d.mu.Lock()
	d.destroyed, d.taken, d.pinned = true, true, 0
	s := d.session
	d.mu.Unlock()
	return protocol.Empty{}, d.end(ctx, s)
}

// end logs a session out and waits until it is gone.
func (d *Device) end(ctx context.Context, s *session) error {
	if s == nil {
		return nil
	}
	s.finish(protocol.Errorf(protocol.CodeLoggedOutBeforeLoginFinished, ""))
	select {
	case <-s.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	d.mu.Lock()
	if d.session == s {
		d.session, d.lastErr = nil, nil
	}
	d.mu.Unlock()
	return nil
}

// current is the session that a method works with: errors say why there is none.
func (d *Device) current() (*session, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.destroyed:
		return nil, errNotInitialized
	case d.session == nil || d.session.over():
		return nil, errNotLoggedIn
	}
	return d.session, nil
}

// latest is the session whose queue is shown: what waits is there also when the
// login has ended.
func (d *Device) latest() (*session, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.destroyed:
		return nil, errNotInitialized
	case d.last == nil:
		return nil, errNotLoggedIn
	}
	return d.last, nil
}
