package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/herald-im/herald/hub/broker"
	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/usersig"
)

// Authenticate is the broker's: it decides a CONNECT by user name, client id and
// UserSig. A user name that begins with protocol.WhyPrefix only wants to know
// what the decision would be.
func (h *Hub) Authenticate(in broker.Login) (any, error) {
	app, user, why, ok := protocol.ParseUsername(in.Username)
	if !ok {
		h.metrics.login(protocol.CodeLoginAuthFailed)
		return nil, &broker.Refusal{Code: broker.BadCredentials, Err: errors.New("the user name is not <sdkAppId>/<userId>")}
	}
	terminal, ok := strings.CutPrefix(in.ClientID, protocol.ClientID(app, user, ""))
	if !ok || !protocol.ValidTerminal(terminal) {
		h.metrics.login(protocol.CodeLoginAuthFailed)
		return nil, &broker.Refusal{Code: broker.BadIdentifier, Err: errors.New("the client id is not <sdkAppId>-<userId>-<terminal>")}
	}
	l := &login{user: user, terminal: terminal, clientID: in.ClientID}
	admitted := false
	if !why {
		h.table.begin(l)
		defer func() {
			if !admitted {
				h.table.gone(l, false)
			}
		}()
	}
	err := h.judge(l, app, in, why)
	if err != nil && errors.As(err, new(*protocol.Error)) {
		h.complain(slog.LevelInfo, "login refused", "user", user, "terminal", terminal, "remote", in.Remote, "why", why, "reason", err)
	}
	switch {
	case why:
		return nil, h.explain(app, l, err)
	case err != nil:
		h.metrics.login(protocol.AsError(err).Code)
		if !errors.As(err, new(*protocol.Error)) {
			h.log.Warn("login not decided", "user", user, "err", err)
			return nil, &broker.Refusal{Code: broker.Unavailable, Err: err}
		}
		return nil, &broker.Refusal{Code: connack(err), Err: err}
	}
	admitted = true
	h.metrics.login(0)
	h.log.Debug("login", "user", user, "terminal", terminal, "remote", in.Remote, "key", l.keyID, "expires", l.expires)
	return l, nil
}

// explain answers a connection that asks why.
func (h *Hub) explain(app protocol.AppID, l *login, err error) error {
	bye := &protocol.Bye{Msg: "the login is good"}
	if err != nil {
		e := protocol.AsError(err)
		bye.Code, bye.Msg = e.Code, e.Msg
		if !errors.As(err, new(*protocol.Error)) { // what is wrong inside is not told to strangers
			bye.Code, bye.Msg = protocol.CodeSvrAccountInternalError, "the hub cannot decide logins at present: try again later"
		}
	}
	b, encodeErr := protocol.EncodeFrame(&protocol.Frame{Bye: bye})
	if encodeErr != nil {
		return encodeErr
	}
	return &broker.Refusal{
		Err:    fmt.Errorf("it asked why: code %d", bye.Code),
		Notice: &broker.Message{Topic: protocol.TopicToTerminal(app, l.user, l.terminal), Payload: b},
	}
}

// connack is the CONNACK code of a refusal: 4 when the UserSig itself is wrong,
// 5 when it is right and does not help.
func connack(err error) byte {
	switch protocol.AsError(err).Code {
	case protocol.CodeSvrAccountUserSigEmpty, protocol.CodeSvrAccountUserSigCheckFailed, protocol.CodeSvrAccountUserSigMismatchPublicKey,
		protocol.CodeSvrAccountUserSigMismatchID, protocol.CodeSvrAccountUserSigMismatchSDKAppID:
		return broker.BadCredentials
	}
	return broker.NotAuthorized
}

// judge fills l in, or says with a *protocol.Error why not. Any other error
// means that it could not be decided.
func (h *Hub) judge(l *login, app protocol.AppID, in broker.Login, why bool) error {
	if app != h.app {
		return protocol.Errorf(protocol.CodeSvrAccountSDKAppIDNotFound, "this hub has no sdkAppId %d", app)
	}
	from := attempt{l.user, broker.Address(in.Remote)}
	trust := h.lock.trust(from, h.cfg.Now())
	locked := protocol.Errorf(protocol.CodeSvrAccountFreqLimit, "too many failed logins of %s: try again in a minute", l.user)
	if trust == suspect {
		return locked
	}
	ctx, cancel := h.store.ReadContext(h.life)
	defer cancel()
	keys, err := h.store.Keys(ctx, app)
	if err != nil {
		return err
	}
	now := h.cfg.Now()
	want := usersig.Want{AppID: uint32(app), UserID: l.user, Now: now, Tolerance: h.cfg.ClockTolerance, MaxExpire: h.cfg.SigMaxExpire}
	for _, k := range keys {
		if !k.Removed {
			want.Keys = append(want.Keys, usersig.Key{ID: k.ID, Secret: []byte(k.Secret)})
		}
	}
	claims, keyID, err := usersig.Verify(string(in.Password), want)
	if err != nil {
		var bad *usersig.Error
		if !errors.As(err, &bad) {
			return err
		}
		if bad.Reason != usersig.Expired { // that one was real
			h.lock.failed(from, why, now)
			if trust == doubtful {
				return locked
			}
		}
		return protocol.Errorf(protocol.Code(bad.Code()), "%s", bad.Error())
	}
	if err := h.mayEnter(ctx, l.user, claims); err != nil || why {
		return err
	}
	h.lock.proved(from)
	if !h.table.admit(l, keyID, claims.ExpiresAt().Add(time.Second)) { // its last second counts
		return errors.New("the operator has just ended the account's sessions")
	}
	return nil
}

// mayEnter looks at the account behind a good UserSig, and makes it where that is
// allowed.
func (h *Hub) mayEnter(ctx context.Context, user string, claims usersig.Claims) error {
	u, err := h.store.User(ctx, h.app, user)
	switch {
	case errors.Is(err, store.ErrNotFound):
		if !h.cfg.CreateOnLogin {
			return protocol.Errorf(protocol.CodeSvrAccountNotFound, "there is no account %s", user)
		}
		return h.createUser(user)
	case err != nil:
		return err
	case u.Blocked:
		return protocol.Errorf(protocol.CodeSvrAccountBlacklist, "the account %s is blocked", user)
	case claims.IssuedAt.Unix() < u.RevokedBefore:
		return protocol.Errorf(protocol.CodeSvrAccountInvalidUserSig, "the UserSig of %s was revoked: get a new one", user)
	}
	return nil
}

func (h *Hub) createUser(user string) error {
	err := h.write(func(ctx context.Context, tx *store.Tx) error {
		err := tx.CreateUser(ctx, h.app, user, h.cfg.Now())
		if errors.Is(err, store.ErrExists) {
			return nil
		}
		return err
	})
	if err == nil {
		h.log.Info("account made at its first login", "user", user)
	}
	return err
}

// MayPublish is the broker's: a terminal publishes to its own two topics.
func (h *Hub) MayPublish(p *broker.Peer, topic string) bool {
	l, t := p.Data.(*login), protocol.ParseTopic(topic)
	if t.App != h.app || t.User != l.user {
		return false
	}
	return t.Kind == protocol.TopicKindIn && t.Terminal == l.terminal || t.Kind == protocol.TopicKindReported
}

// MaySubscribe is the broker's: a terminal reads what is for it, its account,
// its device, and the live rooms that its account is a member of. A filter with
// wildcards is none of these.
func (h *Hub) MaySubscribe(p *broker.Peer, filter string) bool {
	l, t := p.Data.(*login), protocol.ParseTopic(filter)
	if !h.table.heard(l) || t.App != h.app {
		return false
	}
	switch t.Kind {
	case protocol.TopicKindTo:
		return t.User == l.user && (t.Terminal == "" || t.Terminal == l.terminal)
	case protocol.TopicKindConfig:
		return t.Cohort == "" && t.User == l.user // nobody is in a cohort yet
	case protocol.TopicKindLive:
		ctx, cancel := h.store.ReadContext(h.life)
		defer cancel()
		ok, err := h.store.InLiveRoom(ctx, h.app, t.Group, t.Epoch, l.user)
		if err != nil {
			h.log.Warn("subscription not decided", "user", l.user, "err", err)
		}
		return ok
	}
	return false
}
