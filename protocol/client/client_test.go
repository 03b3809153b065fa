package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

// serve answers on a unix socket until the test ends.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = ln
	s.Start()
	c := Unix(path)
	t.Cleanup(func() { c.Close(); s.CloseClientConnections(); s.Close() })
	return c
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestCall(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != "POST" || r.URL.Path != "/v1/im/sendC2CTextMessage" || r.Header.Get("Content-Type") != "application/json" ||
			string(body) != `{"text":"hello","userId":"indoor"}` {
			t.Errorf("asked %s %s %s %s", r.Method, r.URL, r.Header, body)
		}
		fmt.Fprintln(w, `{"status":true,"msgId":"m-1","queued":true}`)
	})
	res, err := Call(within(t), c, protocol.SendC2CTextMessage, protocol.C2CTextRequest{UserID: "indoor", Text: "hello"})
	if err != nil || res != (protocol.SendResponse{MsgID: "m-1", Queued: true}) {
		t.Errorf("%+v, %v", res, err)
	}
	raw, err := c.CallRaw(within(t), "im.sendC2CTextMessage", []byte(`{"text":"hello","userId":"indoor"}`))
	if err != nil || string(raw) != `{"status":true,"msgId":"m-1","queued":true}` {
		t.Errorf("%s, %v", raw, err)
	}
}

func TestCallFails(t *testing.T) {
	answers := map[string]string{
		"/v1/im/logout":         `{"code":6013,"msg":"im.logout: init has not been called"}`,
		"/v1/im/getVersion":     `<html>`,
		"/v1/im/getLoginUser":   ``,
		"/v1/im/getLoginStatus": strings.Repeat(" ", maxAnswer+1),
	}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/im/getServerTime":
			panic(http.ErrAbortHandler)
		case "/v1/im/getLoginStatus":
		default:
			w.WriteHeader(409)
		}
		_, _ = io.WriteString(w, answers[r.URL.Path])
	})
	_, err := Call(within(t), c, protocol.Logout, protocol.Empty{})
	var e *protocol.Error
	if !errors.As(err, &e) || e.Code != 6013 || e.Msg != "im.logout: init has not been called" {
		t.Errorf("an error of the API: %v", err)
	}
	for method, says := range map[string]string{
		"im.getVersion":     "409 Conflict, which is not herald's",
		"im.getLoginUser":   "409 Conflict, which is not herald's",
		"im.getLoginStatus": "over 16777216 bytes",
		"im.getServerTime":  "may be done or not",
		"getVersion":        `"getVersion" is not of the form`,
		"im.a/../b":         "is not of the form",
	} {
		if _, err := c.CallRaw(within(t), method, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q in it", method, err, says)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.CallRaw(ctx, "im.getVersion", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestNoDaemon(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp.Close()
	missing := filepath.Join(dir, "herald.sock")
	for where, c := range map[string]*Client{missing: Unix(missing), stale: Unix(stale), tcp.Addr().String(): TCP(tcp.Addr().String(), "t")} {
		_, callErr := Call(within(t), c, protocol.GetVersion, protocol.Empty{})
		eventsErr := c.Events(within(t), EventsOptions{}, func(Event) error { return nil })
		for _, err := range []error{callErr, eventsErr} {
			var u *UnreachableError
			if !errors.As(err, &u) || u.Where != where || !strings.Contains(err.Error(), where) || !strings.Contains(err.Error(), "systemctl start herald") {
				t.Errorf("%s: %v", where, err)
			}
		}
	}
	denied := &UnreachableError{Where: missing, Err: os.ErrPermission}
	if !strings.Contains(denied.Error(), "usermod -aG herald") {
		t.Error(denied)
	}
}

func TestToken(t *testing.T) {
	var asked int
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("followed to %s with %q", r.URL, r.Header.Get("Authorization"))
	}))
	defer other.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("Authorization: %q", r.Header.Get("Authorization"))
		}
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	c := TCP(s.Listener.Addr().String(), "secret")
	defer c.Close()
	if _, err := c.CallRaw(within(t), "im.getVersion", nil); err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("a redirect: %v", err)
	}
	if err := c.Events(within(t), EventsOptions{}, nil); err == nil || asked != 2 {
		t.Errorf("events: %v after %d requests", err, asked)
	}
}
