package chaos

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
	"github.com/herald-im/herald/protocol/usersig"
	"github.com/herald-im/herald/test/rig"
)

// app is the hub's app with a key, as its operator's tools see it.
func (h *house) app() (id uint32, key []byte) {
	h.t.Helper()
	out, err := h.hub.Command(h.ctx, "app", "show", "--json")
	must(h.t, err)
	var app struct {
		SDKAppID uint32 `json:"sdkAppId"`
		Keys     []struct {
			Key string `json:"key"`
		} `json:"keys"`
	}
	must(h.t, json.Unmarshal([]byte(out), &app))
	if len(app.Keys) == 0 {
		h.t.Fatalf("no key in %s", out)
	}
	return app.SDKAppID, []byte(app.Keys[0].Key)
}

// visitor adds a board that waits for im.login.
func (h *house) visitor(name string) *actor {
	h.t.Helper()
	a := h.idle(name, name)
	for i, arg := range a.board.Args { // without an account
		if arg == "--user" || arg == "--sig" {
			a.board.Args[i+1] = ""
		}
	}
	a.start()
	return a
}

func (a *actor) login(user, sig string) error {
	_, err := client.Call(a.h.ctx, a.board.Client(), protocol.Login, protocol.LoginRequest{UserID: user, UserSig: sig})
	return err
}

// TestLoginCodes: each kind of bad UserSig gets its code at the API, and a good
// one logs in after all of them.
func TestLoginCodes(t *testing.T) {
	h := newHouse(t, "")
	app, key := h.app()
	a := h.visitor("door")
	sign := func(c usersig.Claims, key []byte) string {
		sig, err := usersig.Sign(c, key)
		must(t, err)
		return sig
	}
	now := time.Now()
	good := usersig.Claims{UserID: "door", AppID: app, IssuedAt: now, Expire: time.Hour}
	with := func(f func(*usersig.Claims)) usersig.Claims { c := good; f(&c); return c }
	for _, c := range []struct {
		name string
		sig  string
		want protocol.Code
	}{
		{"empty", "", protocol.CodeSvrAccountUserSigEmpty},
		{"garbage", "certainly not a UserSig", protocol.CodeSvrAccountUserSigCheckFailed},
		{"350 KB", strings.Repeat("A", 350<<10), protocol.CodeSvrAccountUserSigCheckFailed},
		{"bomb", bomb(t), protocol.CodeSvrAccountUserSigCheckFailed},
		{"another user's", sign(with(func(c *usersig.Claims) { c.UserID = "indoor" }), key), protocol.CodeSvrAccountUserSigMismatchID},
		{"of an app that the hub does not have", sign(with(func(c *usersig.Claims) { c.AppID++ }), key), protocol.CodeSvrAccountSDKAppIDNotFound},
		{"forged", sign(good, []byte("not the key")), protocol.CodeSvrAccountUserSigMismatchPublicKey},
		{"expired", sign(with(func(c *usersig.Claims) { c.IssuedAt = now.Add(-2 * time.Hour) }), key), protocol.CodeUserSigExpired},
		{"of next year", sign(with(func(c *usersig.Claims) { c.IssuedAt = now.AddDate(1, 0, 0) }), key), protocol.CodeSvrAccountUserSigCheckFailed},
		{"good", sign(good, key), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := a.login("door", c.sig)
			if got := code(t, err); got != c.want {
				t.Errorf("code %d (%v), want %d", got, err, c.want)
			}
			status := protocol.LoggedOut
			if c.want == 0 {
				status = protocol.LoggedIn
			}
			if st := a.status(); st.LoginStatus != status {
				t.Errorf("login status %d after it, want %d", st.LoginStatus, status)
			}
		})
	}
}

// TestLoginOtherApp: once a program has said which app it is, the UserSig of
// another one is refused on the board.
func TestLoginOtherApp(t *testing.T) {
	h := newHouse(t, "")
	app, key := h.app()
	a := h.visitor("door")
	sig, err := usersig.Sign(usersig.Claims{UserID: "door", AppID: app, IssuedAt: time.Now(), Expire: time.Hour}, key)
	must(t, err)
	initApp := func(id uint32) {
		_, err := client.Call(h.ctx, a.board.Client(), protocol.Init, protocol.InitRequest{SDKAppID: protocol.AppID(id)})
		must(t, err)
	}
	initApp(app + 1)
	if got := code(t, a.login("door", sig)); got != protocol.CodeSvrAccountUserSigMismatchSDKAppID {
		t.Errorf("code %d", got)
	}
	initApp(app)
	must(t, a.login("door", sig))
}

// bomb is a small UserSig that inflates to a large one.
func bomb(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, err := z.Write(make([]byte, 5<<20))
	must(t, err)
	must(t, z.Close())
	return strings.NewReplacer("+", "*", "/", "-", "=", "_").Replace(base64.StdEncoding.EncodeToString(b.Bytes()))
}

// TestExpiryOnline: a UserSig that runs out while its board is online ends the
// session with the event, and a new one logs in again.
func TestExpiryOnline(t *testing.T) {
	h := newHouse(t, "")
	app, key := h.app()
	a := h.visitor("door")
	a.follow()
	login := func(d time.Duration) {
		sig, err := usersig.Sign(usersig.Claims{UserID: "door", AppID: app, IssuedAt: time.Now(), Expire: d}, key)
		must(t, err)
		must(t, a.login("door", sig))
	}
	login(3 * time.Second)
	a.await("the end of the UserSig", func(ev []event) bool { return has(ev, protocol.OnUserSigExpired.Info().Name) })
	h.poll("the logout", func() bool { return a.status().LoginStatus == protocol.LoggedOut })
	_, err := client.Call(h.ctx, a.board.Client(), protocol.SendC2CTextMessage, protocol.C2CTextRequest{UserID: "door", Text: "x"})
	if got := code(t, err); got != protocol.CodeNotLoggedIn {
		t.Errorf("a send after it got code %d", got)
	}
	login(time.Hour)
}

func has(events []event, name string) bool {
	for _, e := range events {
		if e.Name == name {
			return true
		}
	}
	return false
}

// TestKicked: of one platform the newest login stays, and the older one is told.
func TestKicked(t *testing.T) {
	h := newHouse(t, "")
	old := h.actor("door")
	next := h.terminal("door2", "door")
	old.await("the kick", func(ev []event) bool { return has(ev, protocol.OnKickedOffline.Info().Name) })
	h.poll("the logout", func() bool { return old.status().LoginStatus == protocol.LoggedOut })
	if st := next.status(); st.Link != "up" {
		t.Errorf("the newer login is %s", st.Link)
	}
	if e := old.status().LastError; e == nil || e.Code != protocol.CodeLoginKickedOffByOther {
		t.Errorf("the older one's last error is %v", e)
	}
}

// TestOperatorWhileRunning: users and keys change while the hub runs.
func TestOperatorWhileRunning(t *testing.T) {
	h := newHouse(t, "")
	a := h.actor("door")
	a.follow()
	must(t, func() error { _, err := h.hub.Command(h.ctx, "user", "kick", "door"); return err }())
	a.await("the kick", func(ev []event) bool { return has(ev, protocol.OnKickedOffline.Info().Name) })
	sig, err := h.hub.UserSig(h.ctx, "door")
	must(t, err)
	ended := func(with protocol.Code) func() bool {
		return func() bool {
			st := a.status()
			return st.Link != "up" && st.LastError != nil && st.LastError.Code == with
		}
	}
	h.poll("the end of the session", ended(protocol.CodeLoginKickedOffByOther))
	must(t, a.login("door", sig)) // at once: by itself it comes back after a minute
	must(t, func() error { _, err := h.hub.Command(h.ctx, "user", "block", "door"); return err }())
	h.poll("the end of the blocked session", ended(protocol.CodeSvrAccountBlacklist))
	if got := code(t, a.login("door", sig)); got != protocol.CodeSvrAccountBlacklist {
		t.Errorf("a blocked account's login got code %d", got)
	}
	must(t, func() error { _, err := h.hub.Command(h.ctx, "user", "unblock", "door"); return err }())
	must(t, a.login("door", sig))
	out, err := rig.Output(h.ctx, h.hub.Path, "user", "list", "--data", h.hub.Data)
	must(t, err)
	if !strings.Contains(out, "door") {
		t.Errorf("user list: %q", out)
	}
}
