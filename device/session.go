package device

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/herald-im/herald/device/inbox"
	"github.com/herald-im/herald/device/link"
	"github.com/herald-im/herald/device/mirror"
	"github.com/herald-im/herald/device/outbox"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// session is one login of an account: it makes one connection after another
// until it is logged out, kicked or refused for good.
type session struct {
	d    *Device
	app  protocol.AppID
	user string
	log  *slog.Logger

	account func(*bbolt.Tx) *bbolt.Bucket
	box     *outbox.Box
	inbox   *inbox.Inbox
	mirror  *mirror.Mirror
	uploads uploads
	places  places
	people  people
	onlines onlines

	inserting sync.Mutex // held while files of inserted messages are taken, or let go of

	// Of the committer.
	madeCleared int64 // Unix seconds: when made messages were looked through

	ctx     context.Context
	cancel  context.CancelFunc
	first   chan struct{} // closed at the first welcome
	ended   chan struct{} // closed when run has returned
	queued  chan struct{} // something in the outbox may be sent
	poke    chan struct{} // do not wait any longer for the next attempt
	calls   chan *call
	queries chan *query
	signals chan signalling
	moved   chan struct{} // the board's addresses have changed
	alive   atomic.Int64  // Device.uptime, in ns, at which the connection's loop last went round; 0: no connection

	// Of run.
	pardoned     bool          // the hub's last bye was the operator's, see protocol.Bye
	complained   protocol.Code // the trouble that was logged last
	complainedAt time.Time

	mu          sync.Mutex
	prefix      string // of the message ids of prefixEpoch, the one that was asked for last
	prefixEpoch uint32

	tickets
	link     string // "up", "connecting", "down"
	since    int64
	relinked chan struct{} // closed when link changes
	lastErr  *protocol.Error
	end      *protocol.Error              // why it ended, or is to
	waiters  map[string]chan protocol.Ack // callers waiting for the hub's answer, by the id of the item
}

// run is the session's life.
func (s *session) run() {
	defer close(s.ended)
	var uploading sync.WaitGroup
	uploading.Go(func() { s.uploads.run(s) })
	uploading.Go(s.syncPeople)
	defer func() {
		uploading.Wait()
		s.d.db.Ping() // what the last answers let go of is known
		s.uploads.unpin(s)
	}()
	defer s.cancel()
	wait := s.d.cfg.ReconnectMin
	for {
		began := time.Now()
		err := s.connect()
		s.alive.Store(0)
		if s.ctx.Err() != nil {
			s.setLink("down", nil)
			return
		}
		if err == errRenewed || errors.Is(err, errMoved) {
			s.setLink("down", nil)
			continue
		}
		e := asLinkError(err)
		again, after := s.verdict(e)
		s.setLink("down", e)
		if !again {
			s.d.fail(e)
			s.finish(e)
			return
		}
		if time.Since(began) > s.d.cfg.ReconnectMax {
			wait = s.d.cfg.ReconnectMin // it had stood for a while: begin anew
		}
		if after == 0 {
			after = time.Duration(rand.Int64N(int64(wait)) + 1) // full jitter: a fleet must not come back in one wave
			wait = min(2*wait, s.d.cfg.ReconnectMax)
		}
		if !s.pause(after) {
			return
		}
	}
}

// asLinkError gives any trouble with the link a code.
func asLinkError(err error) *protocol.Error {
	var refused *link.Refused
	var e *protocol.Error
	switch {
	case errors.As(err, &refused):
		return loginError(refused.Code, refused.Msg)
	case errors.As(err, &e):
		return e
	}
	return protocol.Errorf(protocol.CodeNetDisconnect, "%v", err)
}

// loginError says a refusal in the codes that im.login returns.
func loginError(code protocol.Code, msg string) *protocol.Error {
	if code == protocol.CodeSvrAccountUserSigExpired {
		code = protocol.CodeUserSigExpired
	}
	if msg == "" {
		return protocol.Errorf(code, "")
	}
	return protocol.Errorf(code, "%s", msg)
}

// refusesLogin tells the codes that another UserSig, or the operator, can mend.
func refusesLogin(c protocol.Code) bool {
	switch c {
	case protocol.CodeUserSigExpired, protocol.CodeLoginAuthFailed, protocol.CodeSvrAccountUserSigEmpty, protocol.CodeSvrAccountUserSigCheckFailed,
		protocol.CodeSvrAccountUserSigCheckFailedEx, protocol.CodeSvrAccountUserSigMismatchPublicKey,
		protocol.CodeSvrAccountUserSigMismatchID, protocol.CodeSvrAccountUserSigMismatchSDKAppID, protocol.CodeSvrAccountSDKAppIDNotFound,
		protocol.CodeSvrAccountBlacklist, protocol.CodeSvrAccountInvalidUserSig, protocol.CodeSvrAccountNotFound:
		return true
	}
	return false
}

// verdict decides what follows a connection that ended with e: whether there is
// to be another, and after how long (0: the usual backoff).
func (s *session) verdict(e *protocol.Error) (again bool, after time.Duration) {
	if e.Code == protocol.CodeLoginKickedOffByOther {
		raise(s.d, protocol.OnKickedOffline, *e)
		if s.mayReturn() {
			s.log.Warn("kicked offline by the operator; coming back, as configured", "why", e.Msg, "after", s.d.timing.slowRetry)
			return true, s.d.timing.slowRetry
		}
		s.log.Warn("kicked offline; not coming back by itself, so that two boards do not fight", "why", e.Msg)
		return false, 0
	}
	if e.Code == protocol.CodeUserSigExpired && s.ranOut() {
		raise(s.d, protocol.OnUserSigExpired, *e)
	}
	raise(s.d, protocol.OnConnectFailed, *e)
	switch {
	case refusesLogin(e.Code):
		again, after = s.refused(e)
		s.complain(slog.LevelError, "the hub refuses the login", e, "again", again)
		return again, after
	case e.Code == protocol.CodeSvrAccountFreqLimit:
		s.complain(slog.LevelError, "the hub refuses all logins of the account for a while; trying again", e)
		return true, s.d.timing.slowRetry
	}
	s.complain(slog.LevelWarn, "no link; trying again", e)
	return true, 0
}

// mayReturn tells whether a session that was kicked may come back by itself.
func (s *session) mayReturn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	pardoned := s.pardoned
	s.pardoned = false
	return pardoned && s.auto
}

// reminder is how often a trouble that goes on is logged. Each attempt by
// itself is debug: a board that is offline for months must not fill its log.
const reminder = 15 * time.Minute

// complain logs trouble with the link: when it begins, when it changes its kind,
// and now and then.
func (s *session) complain(level slog.Level, msg string, e *protocol.Error, args ...any) {
	if e.Code == s.complained && time.Since(s.complainedAt) < reminder && !s.linkUp() {
		level = slog.LevelDebug
	} else {
		s.complained, s.complainedAt = e.Code, time.Now()
	}
	s.log.Log(s.ctx, level, msg, append([]any{"code", e.Code, "err", e.Msg}, args...)...)
}

// pause waits before the next attempt; false says that the session is over.
func (s *session) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case <-s.poke:
			return true
		case <-s.ctx.Done():
			return false
		case c := <-s.calls:
			c.done(nil, errOffline)
		case q := <-s.queries:
			q.done(nil, errOffline)
		case <-s.moved:
			return true
		case <-s.signals: // there is no link any more
		}
	}
}

// hurry ends the wait for the next attempt.
func (s *session) hurry() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// finish ends the session with a reason. The first reason stays.
func (s *session) finish(why *protocol.Error) {
	s.mu.Lock()
	if s.end == nil {
		s.end = why
	}
	s.mu.Unlock()
	s.cancel()
}

func (s *session) over() bool { return s.ctx.Err() != nil }

// ending tells whether the session is over or about to be: it tries nothing more.
func (s *session) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end != nil || s.over()
}

func (s *session) endedWith() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end == nil {
		return protocol.Errorf(protocol.CodeLoggedOutBeforeLoginFinished, "")
	}
	return s.end
}

func (s *session) loggedIn() bool {
	select {
	case <-s.first:
		return true
	default:
		return false
	}
}

func (s *session) setLink(state string, why *protocol.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != state {
		s.link, s.since = state, s.d.clock.seconds()
		close(s.relinked)
		s.relinked = make(chan struct{})
	}
	if why != nil || state == "up" {
		s.lastErr = why
	}
	if t := s.trial; t != nil && t.sig == s.used && why != nil {
		t.last = why
	}
}

// linkState tells whether the link is up; the channel is closed when it changes.
func (s *session) linkState() (up bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.link == "up", s.relinked
}

func (s *session) linkUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.link == "up"
}

// msgIDPrefix is what the message ids begin with that were given out in epoch.
func (s *session) msgIDPrefix(epoch uint32) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prefix == "" || s.prefixEpoch != epoch {
		s.prefix, s.prefixEpoch = protocol.MsgIDPrefix(s.app, s.user, s.d.terminal, epoch), epoch
	}
	return s.prefix
}
