package agent

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/herald-im/herald/configs"
	"github.com/herald-im/herald/protocol/usersig"
)

// board is the configuration of one that has no hub to go to.
func board(t *testing.T) configs.Agent {
	t.Helper()
	dir := t.TempDir()
	cfg := configs.DefaultAgent()
	cfg.State.Dir, cfg.API.Socket, cfg.API.SocketGroup = filepath.Join(dir, "state"), filepath.Join(dir, "s.sock"), ""
	cfg.Hub.URL = "mqtt://127.0.0.1:1"
	cfg.Account.User, cfg.Account.SigFile = "door", filepath.Join(dir, "sig")
	return cfg
}

// run runs an agent until stop is called, which waits for its end.
func run(t *testing.T, cfg configs.Agent) (stop func()) {
	t.Helper()
	return runReloading(t, cfg, nil)
}

func runReloading(t *testing.T, cfg configs.Agent, reload <-chan configs.Agent) (stop func()) {
	t.Helper()
	a, err := New(cfg, Logging{Logger: slog.New(slog.DiscardHandler), Level: new(slog.LevelVar)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx, reload) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestFirstSendWaitsForTheLogin holds the login up where it reads the UserSig,
// while a program sends already.
func TestFirstSendWaitsForTheLogin(t *testing.T) {
	cfg := board(t)
	sig, err := usersig.Sign(usersig.Claims{UserID: "door", AppID: 1400000001, IssuedAt: time.Now(), Expire: time.Hour}, []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	file := cfg.Account.SigFile
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	defer run(t, cfg)()
	pipe, err := os.OpenFile(file, os.O_WRONLY, 0) // returns once it is being read
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if err := os.WriteFile(file+".next", []byte(sig), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".next", file); err != nil { // for the attempts that follow
		t.Fatal(err)
	}

	c, err := net.Dial("unix", cfg.API.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const body = `{"userId":"indoor","text":"hello"}`
	fmt.Fprintf(c, "POST /v1/im/sendC2CTextMessage HTTP/1.1\r\nHost: herald\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if _, err := io.WriteString(pipe, sig); err != nil {
		t.Fatal(err)
	}
	pipe.Close()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(b), `"queued":true`) {
		t.Errorf("%s %s %v", res.Status, b, err)
	}
}

// TestEndBeforeTheBeginning: the socket listens before anybody is answered.
func TestEndBeforeTheBeginning(t *testing.T) {
	cfg := board(t)
	run(t, cfg)()
	if _, err := os.Lstat(cfg.API.Socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestHostsReachTheAPI(t *testing.T) {
	got, err := apiConfig(configs.API{AllowHosts: "door.local, panel.example:8443"})
	if want := []string{"door.local", "panel.example:8443"}; err != nil || !slices.Equal(got.Hosts, want) {
		t.Errorf("%q, %v", got.Hosts, err)
	}
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
		if err := sock.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
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
	cfg := board(t)
	reload := make(chan configs.Agent)
	stop := runReloading(t, cfg, reload)
	said("READY=1")
	said("WATCHDOG=1")
	said("WATCHDOG=1")
	reload <- cfg
	said("RELOADING=1\nMONOTONIC_USEC=")
	said("READY=1")
	stop()
	said("STOPPING=1")
}
