package device

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/herald-im/herald/device/link"
	"github.com/herald-im/herald/protocol"
)

var anybody = protocol.Caller{Who: "test"}

func code(err error) protocol.Code {
	if err == nil {
		return 0
	}
	return protocol.AsError(err).Code
}

func (b *board) status(t *testing.T, login protocol.LoginStatus, user string) protocol.StatusResponse {
	t.Helper()
	st := b.Status()
	if st.LoginStatus != login || st.UserID != user {
		t.Errorf("login status %d of %q, not %d of %q", st.LoginStatus, st.UserID, login, user)
	}
	return st
}

func TestLogin(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.status(t, protocol.LoggedOut, "")
	if _, err := b.getServerTime(t.Context(), anybody, protocol.Empty{}); code(err) != protocol.CodeNetDisconnect {
		t.Error(err)
	}
	moments, stop := b.Watch()
	defer stop()
	b.mustLogin()
	st := b.status(t, protocol.LoggedIn, "door")
	if st.Link != "up" || st.SDKAppID != testApp || st.LastError != nil || st.LinkSince < hubTime/1000 || !protocol.ValidTerminal(st.Terminal) {
		t.Errorf("%+v", st)
	}
	if now, err := b.getServerTime(t.Context(), anybody, protocol.Empty{}); err != nil || now.ServerTime < hubTime/1000 || now.ServerTime > hubTime/1000+60 {
		t.Error(now, err)
	}
	if a, c := <-moments, <-moments; a.Info != protocol.OnConnecting.Info() || c.Info != protocol.OnConnectSuccess.Info() {
		t.Error(a.Info.Name, c.Info.Name)
	}
	hello := h.await(t, 0, 1, isHello)
	if hello.Hello.Version != protocol.Version || hello.Hello.Platform != "linux" || hello.Boot == 0 || hello.Hello.Logs != 0 {
		t.Errorf("%+v", hello.Hello)
	}
	b.mustLogin() // again: it is
	if err := b.Alive(); err != nil {
		t.Error(err)
	}
	again := b.again()
	again.mustLogin()
	if again.Status().Terminal != st.Terminal {
		t.Error("another terminal after a restart")
	}
	if next := h.await(t, 0, 2, isHello); next.Boot == hello.Boot || len(next.Hello.Eras) != 1 {
		t.Errorf("%+v", next)
	}
}

func TestLoginRefused(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	for says, want := range map[protocol.Code]protocol.Code{
		protocol.CodeSvrAccountUserSigExpired:     protocol.CodeUserSigExpired,
		protocol.CodeSvrAccountUserSigMismatchID:  protocol.CodeSvrAccountUserSigMismatchID,
		protocol.CodeSvrAccountBlacklist:          protocol.CodeSvrAccountBlacklist,
		protocol.CodeSvrAccountUserSigCheckFailed: protocol.CodeSvrAccountUserSigCheckFailed,
	} {
		h.with(func() { h.refuse["door"] = &protocol.Bye{Code: says, Msg: "because"} })
		if err := b.tryLogin("door"); code(err) != want || !strings.Contains(err.Error(), "because") {
			t.Error(says, err)
		}
		if st := b.status(t, protocol.LoggedOut, ""); st.LastError == nil || st.LastError.Code != want {
			t.Errorf("%+v", st.LastError)
		}
		if _, err := b.say("x"); code(err) != protocol.CodeNotLoggedIn {
			t.Error(err)
		}
	}
	h.with(func() { delete(h.refuse, "door") })
	b.mustLogin()
}

func TestBadTickets(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	for name, c := range map[string]struct {
		user, sig string
		want      protocol.Code
	}{
		"garbage":       {"door", "garbage", protocol.CodeSvrAccountUserSigCheckFailed},
		"other user":    {"door", sig(t, "indoor", testApp), protocol.CodeSvrAccountUserSigMismatchID},
		"other program": {"door", sig(t, "door", 7), protocol.CodeSvrAccountUserSigMismatchSDKAppID},
	} {
		if _, err := b.init(t.Context(), anybody, protocol.InitRequest{SDKAppID: testApp}); err != nil {
			t.Fatal(err)
		}
		_, err := b.login(t.Context(), anybody, protocol.LoginRequest{UserID: c.user, UserSig: c.sig})
		if code(err) != c.want {
			t.Error(name, err)
		}
	}
	b.status(t, protocol.LoggedOut, "")
}

// TestStates goes through what may be called when.
func TestStates(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	ctx := t.Context()
	initialize := func(app protocol.AppID) error {
		_, err := b.init(ctx, anybody, protocol.InitRequest{SDKAppID: app})
		return err
	}
	logout := func() error { _, err := b.logout(ctx, anybody, protocol.Empty{}); return err }
	destroy := func() error { _, err := b.destroy(ctx, anybody, protocol.Empty{}); return err }
	send := func() error { _, err := b.say("x"); return err }
	ask := func() error { _, err := b.forward(ctx, anybody, "im.createGroup", nil); return err }
	queue := func() error { _, err := b.getQueue(ctx, anybody, protocol.QueueRequest{Count: 1}); return err }
	user := func() error { _, err := b.getLoginUser(ctx, anybody, protocol.Empty{}); return err }
	h.with(func() { h.answer = func(*protocol.Call) *protocol.Reply { return &protocol.Reply{} } })
	for i, c := range []struct {
		what string
		do   func() error
		want protocol.Code
	}{
		{"logout, logged out", logout, 0},
		{"send, logged out", send, protocol.CodeNotLoggedIn},
		{"ask, logged out", ask, protocol.CodeNotLoggedIn},
		{"queue, logged out", queue, protocol.CodeNotLoggedIn},
		{"login", func() error { return b.tryLogin("door") }, 0},
		{"login again", func() error { return b.tryLogin("door") }, 0},
		{"login as another", func() error { return b.tryLogin("indoor") }, protocol.CodeAccountLoginInProcess},
		{"init with the app", func() error { return initialize(testApp) }, 0},
		{"init with another app", func() error { return initialize(7) }, protocol.CodeInvalidParameters},
		{"send", send, 0},
		{"ask", ask, 0},
		{"queue", queue, 0},
		{"user", user, 0},
		{"logout", logout, 0},
		{"logout again", logout, 0},
		{"send after logout", send, protocol.CodeNotLoggedIn},
		{"login as another", func() error { return b.tryLogin("indoor") }, 0},
		{"destroy", destroy, 0},
		{"destroy again", destroy, 0},
		{"send, destroyed", send, protocol.CodeNotInitialized},
		{"ask, destroyed", ask, protocol.CodeNotInitialized},
		{"queue, destroyed", queue, protocol.CodeNotInitialized},
		{"user, destroyed", user, protocol.CodeNotInitialized},
		{"login, destroyed", func() error { return b.tryLogin("door") }, protocol.CodeNotInitialized},
		{"logout, destroyed", logout, protocol.CodeNotInitialized},
		{"init", func() error { return initialize(testApp) }, 0},
		{"login", func() error { return b.tryLogin("door") }, 0},
		{"logout", logout, 0},
	} {
		if err := c.do(); code(err) != c.want {
			t.Errorf("%d %s: %v", i, c.what, err)
		}
	}
	h.await(t, 0, 3, isBye)
}

func TestLogoutBeforeLoginFinished(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	h.drop = func(up bool, f *protocol.Frame) bool { return f.Welcome != nil }
	b := start(t, config(t, h.addr))
	result := make(chan error)
	go func() { result <- b.tryLogin("door") }()
	h.await(t, 0, 1, isHello)
	b.status(t, protocol.LoggingIn, "door")
	if _, err := b.logout(t.Context(), anybody, protocol.Empty{}); err != nil {
		t.Error(err)
	}
	if err := <-result; code(err) != protocol.CodeLoggedOutBeforeLoginFinished {
		t.Error(err)
	}
	b.status(t, protocol.LoggedOut, "")
}

func TestLoginGoesOnInTheBackground(t *testing.T) {
	h := newHub(t)
	h.drop = func(up bool, f *protocol.Frame) bool { return f.Welcome != nil }
	b := start(t, config(t, h.addr))
	b.timing.login, b.timing.answer = 20*time.Millisecond, 300*time.Millisecond
	if err := b.tryLogin("door"); code(err) != protocol.CodeRequestTimeout {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.login(ctx, anybody, protocol.LoginRequest{UserID: "door", UserSig: sig(t, "door", testApp)}); !errors.Is(err, context.Canceled) &&
		code(err) != protocol.CodeRequestTimeout {
		t.Error(err)
	}
	b.mustSay("queued meanwhile")
	h.await(t, 0, 3, isHello) // it gives up on a hub that does not answer, and tries again
	h.with(func() { h.drop = nil })
	b.link("up")
	b.drained()
	b.status(t, protocol.LoggedIn, "door")
	if got := lines(h.texts("c2c:door:indoor")); got != "queued meanwhile" {
		t.Error(got)
	}
}

func TestKicked(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	h.send("door", &protocol.Frame{Bye: &protocol.Bye{Boot: 1, Code: protocol.CodeLoginKickedOffByOther}}) // an older connection's
	h.send("door", &protocol.Frame{Bye: &protocol.Bye{Code: protocol.CodeLoginKickedOffByOther, Msg: "elsewhere"}})
	if got := b.await(1, func(h happening) string { return fmt.Sprint(h.Type, h.Code) }); got != "onKickedOffline6208" {
		t.Error(got)
	}
	for b.Status().LoginStatus != protocol.LoggedOut {
		time.Sleep(time.Millisecond)
	}
	if st := b.Status(); st.LastError == nil || st.LastError.Code != protocol.CodeLoginKickedOffByOther {
		t.Errorf("%+v", st.LastError)
	}
	if _, err := b.say("x"); code(err) != protocol.CodeNotLoggedIn {
		t.Error(err)
	}
	hellos := h.count()
	b.mustLogin()
	b.mustSay("back")
	h.await(t, hellos, 1, isHello)
}

// TestByeBeforeTheEnd: the hub says why, and closes the link right behind it.
func TestByeBeforeTheEnd(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	s, err := b.newSession(testApp, "door", sig(t, "door", testApp), false)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // a select picks by chance
		l, err := link.Dial(t.Context(), link.Params{
			Addr: h.addr, App: testApp, User: "door", Terminal: b.terminal, Sig: "sig", Boot: 7, ConnectTimeout: 5 * time.Second, KeepAlive: 10 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		h.with(func() {
			h.to("door", b.terminal, &protocol.Frame{Bye: &protocol.Bye{Boot: 7, Code: protocol.CodeLoginKickedOffByOther}})
		})
		for len(l.In()) == 0 {
			runtime.Gosched()
		}
		for _, cl := range h.server.Clients.GetAll() {
			if cl.ID == protocol.ClientID(testApp, "door", b.terminal) {
				cl.Stop(errors.New("the end"))
			}
		}
		<-l.Down()
		if err := s.newConnection(l, 7).serve(t.Context()); code(err) != protocol.CodeLoginKickedOffByOther {
			t.Error(err)
		}
		l.Close()
	}
}

// TestKickedBoard: one that is configured to be logged in comes back when it was
// the operator who ended its session, or asks it to. It leaves its place to another
// that has logged in.
func TestKickedBoard(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	cfg := config(t, h.addr)
	cfg.User, cfg.Sig = "door", func() (string, error) { return sig(t, "door", testApp), nil }
	b := startWith(t, cfg, func(d *Device) { d.timing.slowRetry = time.Millisecond })
	kicks := 0
	kick := func(operator bool) {
		t.Helper()
		before := h.count()
		h.send("door", &protocol.Frame{Bye: &protocol.Bye{Code: protocol.CodeLoginKickedOffByOther, Operator: operator}})
		kicks++
		b.await(kicks, func(h happening) string { return fmt.Sprint(h.Type) })
		if operator { // the link is down by the next hello: up is up again
			h.await(t, before, 1, isHello)
			b.link("up")
		}
	}
	b.link("up")
	kick(true)
	kick(true)
	kick(false)
	for b.Status().LoginStatus != protocol.LoggedOut {
		time.Sleep(time.Millisecond)
	}
	b.Retry()
	b.link("up")
}

func TestTicketRunsOut(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	h.send("door", &protocol.Frame{Bye: &protocol.Bye{Code: protocol.CodeSvrAccountUserSigExpired}})
	if got := b.await(1, func(h happening) string { return fmt.Sprint(h.Type, h.Code) }); got != "onUserSigExpired6206" {
		t.Error(got)
	}
	for b.Status().LoginStatus != protocol.LoggedOut {
		time.Sleep(time.Millisecond)
	}
	b.mustLogin()
}

// TestAutomaticLogin has the configuration log in: it finds a new ticket, and
// what a program does cannot keep it away for good.
func TestAutomaticLogin(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	h.refuse["door"] = &protocol.Bye{Code: protocol.CodeSvrAccountUserSigExpired}
	cfg := config(t, h.addr)
	cfg.User = "door"
	var asked atomic.Int32
	cfg.Sig = func() (string, error) {
		if asked.Add(1) == 3 {
			h.with(func() { delete(h.refuse, "door") })
		}
		if asked.Load() == 2 {
			return "", os.ErrNotExist // being replaced
		}
		return sig(t, "door", testApp) + "\n", nil
	}
	b := startWith(t, cfg, func(d *Device) { d.timing.slowRetry = time.Millisecond })
	b.link("up")
	if n := asked.Load(); n < 3 {
		t.Error(n)
	}
	// A program logs in with a ticket that the hub refuses later.
	b.mustLogin()
	h.with(func() { h.refuse["door"] = &protocol.Bye{Code: protocol.CodeSvrAccountBlacklist} })
	before := asked.Load()
	h.cut()
	for asked.Load() < before+2 {
		time.Sleep(time.Millisecond)
	}
	h.with(func() { delete(h.refuse, "door") })
	b.link("up")
	b.status(t, protocol.LoggedIn, "door")
	if _, err := b.logout(t.Context(), anybody, protocol.Empty{}); err != nil {
		t.Error(err)
	}
}

func TestBoardOf1970(t *testing.T) {
	h := newHub(t)
	cfg := config(t, h.addr)
	cfg.Now = func() time.Time { return time.Unix(100, 0) }
	b := start(t, cfg)
	h.stop()
	go func() { _ = b.tryLogin("door") }()
	for b.Status().LoginStatus != protocol.LoggingIn {
		time.Sleep(time.Millisecond)
	}
	b.mustSay("early")
	q, err := b.getQueue(t.Context(), anybody, protocol.QueueRequest{Count: 5})
	if err != nil || len(q.List) != 1 || q.List[0].QueuedAt < built.Unix() || q.List[0].UserID != "indoor" {
		t.Errorf("%+v, %v", q, err)
	}
	h.restart()
	b.link("up")
	b.drained()
	b = b.again()
	if ms, known := b.clock.now(); known || ms < hubTime {
		t.Error("the hub's time was forgotten", ms, known)
	}
}

// TestAlive: a loop is judged by the time since the start, whatever the board's clock says.
func TestAlive(t *testing.T) {
	d, err := Open(config(t, "127.0.0.1:1"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.started = d.started.Add(-time.Hour)
	d.session = &session{}
	for at, stuck := range map[time.Duration]bool{0: false, time.Hour: false, 59 * time.Minute: true} {
		d.session.alive.Store(int64(at))
		if err := d.Alive(); (err != nil) != stuck {
			t.Error(at, err)
		}
	}
}

// TestEndInAnyState stops the daemon wherever it is.
func TestEndInAnyState(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	for _, frames := range []int{0, 1, 2, 3} {
		b := start(t, config(t, h.addr))
		go func() {
			_, _ = b.login(context.Background(), anybody, protocol.LoginRequest{UserID: "door", UserSig: sig(t, "door", testApp)})
		}()
		go func() { _, _ = b.say("x") }()
		h.await(t, 0, frames, func(*protocol.Frame) bool { return true })
		b.stop()
		if err := b.tryLogin("door"); err == nil {
			t.Error("a login after the end")
		}
	}
	h.with(func() { h.refuse["door"] = &protocol.Bye{Code: protocol.CodeSvrAccountFreqLimit} })
	b := start(t, config(t, h.addr))
	go func() { _ = b.tryLogin("door") }()
	b.link("down") // and waits a minute
	b.stop()
}
