package console

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/herald-im/herald/configs"
	"github.com/herald-im/herald/hub/certs"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/usersig"
)

const patience = 20 * time.Second

// output is a program's output, which may be waited for.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// wait waits for a line and returns what the expression's group has found in it.
func (o *output) wait(t *testing.T, expr string) string {
	t.Helper()
	re := regexp.MustCompile(expr)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if m := re.FindStringSubmatch(o.String()); m != nil {
			return m[len(m)-1]
		}
	}
	t.Fatalf("%s does not come:\n%s", expr, o)
	return ""
}

// running is a hub that runs as herald-hub run.
type running struct {
	addr, http string
	log        *output
	stop       func() int
}

// emptyConfig keeps the machine's own file out of the tests.
func emptyConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hub.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func start(t *testing.T, config, dir string, more ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{log: new(output)}
	done := make(chan int, 1)
	args := append([]string{"run", "--config", config, "--data", dir, "--http", "127.0.0.1:0"}, more...)
	go func() { done <- Main(ctx, args, new(output), r.log) }()
	r.stop = sync.OnceValue(func() int {
		cancel()
		return <-done
	})
	t.Cleanup(func() { r.stop() })
	r.addr = r.log.wait(t, `msg=ready .*boards=(mqtts?://\S+)`)
	r.http = r.log.wait(t, `msg=ready .*http=(\S+)`)
	return r
}

type commands struct {
	t           *testing.T
	config, dir string
}

// do runs a command and returns its exit code and what it printed.
func (c commands) do(args ...string) (code int, stdout, stderr string) {
	c.t.Helper()
	var out, errs bytes.Buffer
	code = Main(c.t.Context(), append(args, "--config", c.config, "--data", c.dir), &out, &errs)
	return code, out.String(), errs.String()
}

func (c commands) ok(args ...string) string {
	c.t.Helper()
	code, out, errs := c.do(args...)
	if code != 0 {
		c.t.Fatalf("%v: exit code %d: %s", args, code, errs)
	}
	return out
}

func (c commands) fails(want string, args ...string) {
	c.t.Helper()
	code, out, errs := c.do(args...)
	if code != 1 || !strings.Contains(errs, want) || out != "" || strings.Count(errs, "\n") != 1 {
		c.t.Errorf("%v: exit code %d, %q, %q; want %q", args, code, out, errs, want)
	}
}

// misused is fails for a command line that makes no sense.
func (c commands) misused(want string, args ...string) {
	c.t.Helper()
	code, out, errs := c.do(args...)
	if code != 2 || !strings.Contains(errs, want) || out != "" {
		c.t.Errorf("%v: exit code %d, %q, %q; want %q", args, code, out, errs, want)
	}
}

// login connects as a board does and returns the connection; "" is success.
func login(t *testing.T, addr string, app protocol.AppID, user, sig string, secure *tls.Config) (paho.Client, error) {
	t.Helper()
	lost := make(chan struct{})
	o := paho.NewClientOptions().AddBroker(strings.Replace(strings.Replace(addr, "mqtts:", "ssl:", 1), "mqtt:", "tcp:", 1)).
		SetProtocolVersion(4).SetAutoReconnect(false).SetClientID(protocol.ClientID(app, user, "t")).
		SetUsername(protocol.Username(app, user)).SetPassword(sig).SetTLSConfig(secure).
		SetConnectionLostHandler(func(paho.Client, error) { close(lost) })
	c := paho.NewClient(o)
	tok := c.Connect()
	if !tok.WaitTimeout(patience) {
		t.Fatal("no CONNACK")
	}
	t.Cleanup(func() { c.Disconnect(0) })
	if tok.Error() == nil {
		if tok := c.Subscribe(protocol.TopicTo(app, user), 1, nil); !tok.WaitTimeout(patience) || tok.Error() != nil {
			t.Fatal(tok.Error())
		}
	}
	return c, tok.Error()
}

func waitLost(t *testing.T, c paho.Client) {
	t.Helper()
	for deadline := time.Now().Add(patience); c.IsConnected(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the connection stays")
		}
	}
}

func TestOperatorAtARunningHub(t *testing.T) {
	c := commands{t, emptyConfig(t, ""), filepath.Join(t.TempDir(), "new", "data")}
	c.fails("there is no hub in", "user", "list")
	hub := start(t, c.config, c.dir, "--mqtt", "127.0.0.1:0")
	if !strings.HasPrefix(hub.addr, "mqtt://") {
		t.Errorf("on loopback it speaks %s", hub.addr)
	}
	var app appRow
	if err := json.Unmarshal([]byte(c.ok("app", "show", "--json")), &app); err != nil || app.SDKAppID == 0 || len(app.Keys) != 1 || len(app.Keys[0].Key) != 64 {
		t.Fatalf("%+v, %v", app, err)
	}
	if text := c.ok("app", "show"); !strings.Contains(text, app.SDKAppID.String()) || strings.Contains(text, app.Keys[0].Key) {
		t.Errorf("app show: %s", text)
	}
	if text := c.ok("app", "show", "--secrets"); !strings.Contains(text, app.Keys[0].Key) {
		t.Errorf("app show --secrets: %s", text)
	}
	c.ok("user", "add", "alice")
	c.fails("exists already", "user", "add", "alice")
	code, sig, errs := c.do("user", "sig", "bob", "--expire", "12h")
	if code != 0 || strings.Count(sig, "\n") != 1 || !strings.Contains(errs, "has been made") {
		t.Errorf("user sig: %d, %q, %q", code, sig, errs)
	}
	sig = strings.TrimSpace(sig)
	claims, _, err := usersig.Verify(sig, usersig.Want{AppID: uint32(app.SDKAppID), UserID: "bob", Now: time.Now(),
		Keys: []usersig.Key{{ID: "k1", Secret: []byte(app.Keys[0].Key)}}})
	if err != nil || claims.Expire != 12*time.Hour {
		t.Errorf("%+v, %v", claims, err)
	}
	var users []userRow
	if err := json.Unmarshal([]byte(c.ok("user", "list", "--json")), &users); err != nil || len(users) != 2 || users[1].UserID != "bob" {
		t.Errorf("%+v, %v", users, err)
	}
	in := func(sig string) (paho.Client, error) { return login(t, hub.addr, app.SDKAppID, "bob", sig, nil) }
	must := func(sig string) paho.Client {
		t.Helper()
		conn, err := in(sig)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	conn := must(sig)
	c.ok("user", "kick", "bob")
	waitLost(t, conn)
	conn = must(sig)
	c.ok("user", "kick", "bob", "--revoke")
	waitLost(t, conn)
	if _, err := in(sig); err == nil {
		t.Error("a revoked UserSig is good")
	}
	sig = strings.TrimSpace(c.ok("user", "sig", "bob"))
	conn = must(sig)
	c.ok("user", "block", "bob")
	waitLost(t, conn)
	if _, err := in(sig); err == nil {
		t.Error("a blocked account logs in")
	}
	if text := c.ok("user", "list"); !regexp.MustCompile(`bob +\S+ +blocked`).MatchString(text) {
		t.Errorf("user list: %s", text)
	}
	c.ok("user", "unblock", "bob")
	conn = must(sig)
	if id := strings.TrimSpace(c.ok("app", "key", "add")); id != "k2" {
		t.Errorf("the new key is %q", id)
	}
	c.ok("app", "key", "remove", "k1")
	waitLost(t, conn)
	if _, err := in(sig); err == nil {
		t.Error("a removed key is good")
	}
	must(strings.TrimSpace(c.ok("user", "sig", "bob")))
	c.fails("last key", "app", "key", "remove", "k2")
	c.fails("no key k1 in force", "app", "key", "remove", "k1")
	c.fails("exists, or did once", "app", "key", "add", "k1")
	for _, what := range []string{"kick", "block", "unblock"} {
		c.fails("there is no account nobody", "user", what, "nobody")
	}
	c.fails("at most 87600h", "user", "sig", "bob", "--expire", "5000d")
	res, err := http.Get(hub.http + "/healthz")
	if err != nil || res.StatusCode != 200 {
		t.Errorf("%v, %v", res, err)
	} else {
		_ = res.Body.Close()
	}
	var second bytes.Buffer
	if code := Main(t.Context(), []string{"run", "--config", c.config, "--data", c.dir, "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"}, &second, &second); code != 1 ||
		!strings.Contains(second.String(), fmt.Sprintf("pid %d", os.Getpid())) {
		t.Errorf("a second hub: %d, %s", code, &second)
	}
	if code := hub.stop(); code != 0 {
		t.Errorf("exit code %d: %s", code, hub.log)
	}
	c.ok("user", "list") // also without a hub
	if strings.Contains(hub.log.String(), app.Keys[0].Key) {
		t.Error("the key is in the log")
	}
	again := start(t, c.config, c.dir, "--mqtt", "127.0.0.1:0")
	if got := again.log.wait(t, `sdkAppId=(\d+)`); got != app.SDKAppID.String() {
		t.Errorf("after a restart the app is %s", got)
	}
}

func TestTLSBeyondLoopback(t *testing.T) {
	c := commands{t, emptyConfig(t, ""), t.TempDir()}
	hub := start(t, c.config, c.dir, "--mqtt", "0.0.0.0:0") // reached by loopback below
	if !strings.HasPrefix(hub.addr, "mqtts://") {
		t.Fatalf("it speaks %s", hub.addr)
	}
	pem, err := os.ReadFile(filepath.Join(c.dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	var app appRow
	if err := json.Unmarshal([]byte(c.ok("app", "show", "--json")), &app); err != nil || app.CA == "" {
		t.Fatalf("%+v, %v", app, err)
	}
	_, port, err := net.SplitHostPort(strings.TrimPrefix(hub.addr, "mqtts://"))
	if err != nil {
		t.Fatal(err)
	}
	sig := strings.TrimSpace(c.ok("user", "sig", "alice"))
	for _, host := range []string{"127.0.0.1", "localhost"} {
		if _, err := login(t, "mqtts://"+net.JoinHostPort(host, port), app.SDKAppID, "alice", sig, &tls.Config{RootCAs: roots}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := login(t, "mqtts://127.0.0.1:"+port, app.SDKAppID, "alice", sig, &tls.Config{}); err == nil {
		t.Error("a board without the CA trusts it")
	}
	if _, err := login(t, "mqtt://127.0.0.1:"+port, app.SDKAppID, "alice", sig, nil); err == nil {
		t.Error("it speaks plain TCP, too")
	}
}

func TestPlainWhereAllowed(t *testing.T) {
	c := commands{t, emptyConfig(t, "[mqtt]\nplain = true\n"), t.TempDir()}
	hub := start(t, c.config, c.dir, "--mqtt", "0.0.0.0:0")
	if !strings.HasPrefix(hub.addr, "mqtt://") {
		t.Errorf("it speaks %s", hub.addr)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "ca.crt")); err == nil {
		t.Error("there is a CA that nobody needs")
	}
}

func TestReloadSetsTheLogLevel(t *testing.T) {
	c := commands{t, emptyConfig(t, ""), t.TempDir()}
	hub := start(t, c.config, c.dir, "--mqtt", "127.0.0.1:0")
	if err := os.WriteFile(c.config, []byte("[log]\nlevel = \"debug\"\n[http]\nlisten = \"127.0.0.1:1\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	hub.log.wait(t, `msg=reloaded`)
	conn, err := login(t, hub.addr, 1, "x", "x", nil)
	if err == nil {
		conn.Disconnect(0)
	}
	hub.log.wait(t, `level=DEBUG`)
	if err := os.WriteFile(c.config, []byte("[log]\nlevel = \"loud\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	hub.log.wait(t, `configuration is not taken`)
}

// A notify socket in place of systemd's.
func TestSystemdIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	sock, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "300000")
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	said := func(want string) {
		t.Helper()
		if err := sock.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		for {
			n, err := sock.Read(b)
			if err != nil {
				t.Fatalf("%s is not said: %v", want, err)
			}
			if strings.HasPrefix(string(b[:n]), want) {
				return
			}
		}
	}
	c := commands{t, emptyConfig(t, ""), t.TempDir()}
	hub := start(t, c.config, c.dir, "--mqtt", "127.0.0.1:0")
	said("READY=1")
	said("WATCHDOG=1")
	said("WATCHDOG=1")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	said("RELOADING=1\nMONOTONIC_USEC=")
	said("READY=1")
	go hub.stop()
	said("STOPPING=1")
	if code := hub.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestUsage(t *testing.T) {
	c := commands{t, emptyConfig(t, ""), t.TempDir()}
	for _, args := range [][]string{
		{}, {"dance"}, {"user"}, {"user", "dance"}, {"user", "add"}, {"user", "add", "a", "b"}, {"user", "add", "a b"}, {"user", "sig"},
		{"user", "sig", "a", "--expire", "soon"}, {"user", "sig", "a", "--expire", "-1h"}, {"user", "sig", "a", "--expire", "1500ms"},
		{"user", "list", "x"}, {"user", "list", "--color"}, {"app", "key"}, {"app", "key", "add", "a b"}, {"run", "now"},
	} {
		if code, _, errs := c.do(args...); code != 2 || !strings.HasPrefix(errs, "herald-hub: ") {
			t.Errorf("%v: exit code %d, %q", args, code, errs)
		}
	}
	for _, args := range [][]string{{"--help"}, {"user", "--help"}, {"--version"}} {
		var out bytes.Buffer
		if code := Main(t.Context(), args, &out, &out); code != 0 || out.Len() == 0 {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	file := emptyConfig(t, "")
	for name, args := range map[string][]string{
		"missing config":  {"--config", "/nonexistent.toml"},
		"bad config":      {"--config", emptyConfig(t, "[mqtt]\nport = 1\n")},
		"bad address":     {"--config", file, "--data", t.TempDir(), "--mqtt", "nowhere"},
		"wrong database":  {"--config", file, "--data", t.TempDir(), "--db", "postgres://u:geheim@127.0.0.1:1/x?sslmode=disable"},
		"file as data":    {"--config", file, "--data", file},
		"bad certificate": {"--config", emptyConfig(t, "[mqtt]\ntls_cert = \"/none.crt\"\ntls_key = \"/none.key\"\n"), "--data", t.TempDir()},
	} {
		var out bytes.Buffer
		code := Main(t.Context(), append([]string{"run"}, args...), &out, &out)
		if code != 1 || strings.Contains(out.String(), "geheim") || !strings.HasPrefix(out.String(), "herald-hub: ") {
			t.Errorf("%s: exit code %d, %s", name, code, &out)
		}
		t.Logf("%s: %s", name, &out)
	}
}

// A certificate that a reload brought is the one that is looked at again later,
// and no change that needs a restart.
func TestReloadKeepsTheCertificate(t *testing.T) {
	dir := t.TempDir()
	if _, err := certs.Ensure(dir, []string{"localhost"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cfg := configs.DefaultHub()
	cfg.MQTT.Listen, cfg.Data.Dir = "0.0.0.0:0", t.TempDir()
	next := cfg
	next.MQTT.TLSCert, next.MQTT.TLSKey = filepath.Join(dir, "hub.crt"), filepath.Join(dir, "hub.key")
	r := &runner{
		cfg: cfg, load: func() (configs.Hub, error) { return next, nil }, log: slog.New(slog.NewTextHandler(&log, nil)), level: new(slog.LevelVar),
	}
	r.again()
	if r.cfg.MQTT.TLSCert != next.MQTT.TLSCert || r.cfg.MQTT.TLSKey != next.MQTT.TLSKey || r.cert.Load() == nil {
		t.Errorf("it goes on with %+v", r.cfg.MQTT)
	}
	if strings.Contains(log.String(), "restart") {
		t.Error(log.String())
	}
}
