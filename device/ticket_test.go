package device

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

var expired = &protocol.Bye{Code: protocol.CodeSvrAccountUserSigExpired, Msg: "it ran out"}

// knocks has the hub tell the UserSigs that come.
func (h *fakeHub) knocks() <-chan string {
	sigs := make(chan string, 1000)
	h.with(func() { h.knock = func(sig string) { sigs <- sig } })
	return sigs
}

func drain(sigs <-chan string) (last string) {
	for len(sigs) > 0 {
		last = <-sigs
	}
	return last
}

// TestNewTicketWhileOnline: it is tried when it is given, so that its caller hears
// the verdict, and the old one may run out.
func TestNewTicketWhileOnline(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	sigs := h.knocks()
	b.mustLogin()
	if err := b.loginWith(1); err != nil {
		t.Fatal(err)
	}
	if got := drain(sigs); got != nthSig(t, "door", testApp, 1) {
		t.Error("the new UserSig was not tried")
	}
	if err := b.loginWith(1); err != nil || len(sigs) > 0 {
		t.Error("the same once more is a new login", err)
	}
	h.with(func() { h.refuse[sig(t, "door", testApp)] = expired })
	h.cut()
	b.mustSay("still there")
	b.link("up")
	b.status(t, protocol.LoggedIn, "door")
}

// TestTicketRunsOutOffline: the hub tells at the next attempt, and programs hear it
// once, of one that worked and of the configuration's.
func TestTicketRunsOutOffline(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	name := func(h happening) string { return fmt.Sprint(h.Type, h.Code) }
	b := start(t, config(t, h.addr))
	if h.with(func() { h.refuse["door"] = expired }); code(b.tryLogin("door")) != protocol.CodeUserSigExpired {
		t.Error("a login with what has run out")
	}
	h.with(func() { delete(h.refuse, "door") })
	b.mustLogin()
	h.with(func() { h.refuse["door"] = expired })
	h.cut()
	if got := b.await(1, name); got != "onUserSigExpired6206" {
		t.Error(got)
	}
	cfg := config(t, h.addr)
	cfg.User = "door"
	var asked atomic.Int32
	cfg.Sig = func() (string, error) { asked.Add(1); return sig(t, "door", testApp), nil }
	b = startWith(t, cfg, func(d *Device) { d.timing.slowRetry = time.Millisecond })
	if got := b.await(1, name); got != "onUserSigExpired6206" {
		t.Error(got)
	}
	for n := asked.Load(); asked.Load() < n+3; {
		time.Sleep(time.Millisecond)
	}
	if _, last := b.journal.Bounds(); last != 1 {
		t.Errorf("it is raised at each attempt: %d events", last)
	}
}

// TestWorseTicketWhileOnline: one that the hub refuses costs the one that works nothing.
func TestWorseTicketWhileOnline(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	h.with(func() { h.refuse[nthSig(t, "door", testApp, 1)] = expired })
	if err := b.loginWith(1); code(err) != protocol.CodeUserSigExpired {
		t.Error(err)
	}
	b.link("up")
	if err := b.loginWith(2); err != nil {
		t.Error(err)
	}
	h.with(func() { h.refuse["door"] = expired })
	if err := b.loginWith(3); code(err) != protocol.CodeUserSigExpired {
		t.Error(err)
	}
	for b.Status().LoginStatus != protocol.LoggedOut { // the second has run out too, and there is no other
		time.Sleep(time.Millisecond)
	}
}

// TestNewTicketInTime: it comes while the old one is being refused.
func TestNewTicketInTime(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	s := b.session
	old, knocked, refuse := sig(t, "door", testApp), make(chan struct{}), make(chan struct{})
	h.with(func() {
		h.refuse[old] = expired
		h.knock = func(sig string) {
			if sig == old {
				close(knocked)
				<-refuse
			}
		}
	})
	h.cut()
	<-knocked
	trial := s.renew(nthSig(t, "door", testApp, 1))
	close(refuse)
	select {
	case <-trial.done:
		if trial.err != nil {
			t.Error(trial.err)
		}
	case <-s.ended:
		t.Fatal(s.endedWith())
	}
	b.status(t, protocol.LoggedIn, "door")
}

func TestTicketReplacedBeforeItsVerdict(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	h.drop = func(up bool, f *protocol.Frame) bool { return f.Welcome != nil }
	b := start(t, config(t, h.addr))
	first := make(chan error)
	go func() { first <- b.loginWith(1) }()
	h.await(t, 0, 1, isHello)
	h.with(func() { h.drop = nil })
	if err := b.loginWith(2); err != nil {
		t.Error(err)
	}
	if err := <-first; code(err) != protocol.CodeAccountLoginInProcess {
		t.Error(err)
	}
}

// TestProgramsTicketBesideTheConfiguration: a refusal of the one leaves the other.
func TestProgramsTicketBesideTheConfiguration(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	h.refuse["door"] = expired
	cfg := config(t, h.addr)
	cfg.User, cfg.Sig = "door", func() (string, error) { return sig(t, "door", testApp) + "\n", nil }
	b := start(t, cfg)
	<-b.Begun()
	if err := b.loginWith(1); code(err) != protocol.CodeUserSigExpired {
		t.Error(err)
	}
	b.status(t, protocol.LoggingIn, "door")
	h.with(func() { h.refuse = map[string]*protocol.Bye{nthSig(t, "door", testApp, 1): expired} })
	b.Retry()
	b.link("up")
	sigs := h.knocks()
	if err := b.loginWith(2); err != nil {
		t.Error(err)
	}
	h.with(func() { h.refuse[nthSig(t, "door", testApp, 2)] = expired })
	hellos := h.count()
	h.cut()
	h.await(t, hellos, 1, isHello)
	b.link("up")
	if got := drain(sigs); got != sig(t, "door", testApp) {
		t.Error("the configuration's was not used")
	}
}

// TestRefusedProgramLeavesTheConfiguration: the configured login comes once its
// UserSig is there, whatever a program has failed with before.
func TestRefusedProgramLeavesTheConfiguration(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	cfg := config(t, h.addr)
	var there atomic.Bool
	cfg.User, cfg.Sig = "door", func() (string, error) {
		if !there.Load() {
			return "", os.ErrNotExist
		}
		return sig(t, "door", testApp), nil
	}
	b := start(t, cfg)
	if _, err := b.login(t.Context(), anybody, protocol.LoginRequest{UserID: "door", UserSig: "garbage"}); err == nil {
		t.Error("logged in with garbage")
	}
	h.with(func() { h.refuse["door"] = expired })
	if err := b.loginWith(1); code(err) != protocol.CodeUserSigExpired {
		t.Error(err)
	}
	h.with(func() { delete(h.refuse, "door") })
	there.Store(true)
	b.Retry()
	b.link("up")
	b.status(t, protocol.LoggedIn, "door")
}

// TestLoginSaysWhatItWaitsFor: the caller hears of the trouble, and that it goes on.
func TestLoginSaysWhatItWaitsFor(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	var log logbook
	b := startWith(t, config(t, h.addr), func(d *Device) {
		log.keep(d)
		d.timing.login = 20 * time.Millisecond
	})
	say := func(want protocol.Code, text string) {
		t.Helper()
		for {
			err := b.tryLogin("door")
			if code(err) == protocol.CodeRequestTimeout { // it has not failed yet
				continue
			}
			if code(err) != want || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), "goes on in the background") {
				t.Error(err)
			}
			return
		}
	}
	h.with(func() {
		h.refuse["door"] = &protocol.Bye{Code: protocol.CodeSvrAccountFreqLimit, Msg: "too many failed logins"}
	})
	moments, stop := b.Watch()
	defer stop()
	say(protocol.CodeSvrAccountFreqLimit, "too many failed logins")
	if a, c := <-moments, <-moments; a.Info != protocol.OnConnecting.Info() || c.Info != protocol.OnConnectFailed.Info() {
		t.Error(a.Info.Name, c.Info.Name)
	}
	if !strings.Contains(log.String(), "too many failed logins") {
		t.Error(log.String())
	}
	if _, err := b.logout(t.Context(), anybody, protocol.Empty{}); err != nil {
		t.Error(err)
	}
	h.stop()
	say(protocol.CodeNetDisconnect, "connection refused")
}

// TestReloadWhileOnline does not make the next attempt come at once.
func TestReloadWhileOnline(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	b.Retry()
	for i := 0; len(b.session.poke) > 0; i++ {
		if i == 100 {
			t.Fatal("it is remembered")
		}
		b.mustSay("x") // takes the connection's loop round
	}
	b.status(t, protocol.LoggedIn, "door")
}
