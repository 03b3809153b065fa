package device

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/device/journal"
	"github.com/herald-im/herald/device/outbox"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/usersig"
)

// board is a device that runs.
type board struct {
	*Device
	t    testing.TB
	cfg  Config
	end  context.CancelFunc
	done chan error
}

func config(t testing.TB, hubAddr string) Config {
	return Config{
		StateDir: t.TempDir(), Outbox: outbox.Limits{MaxItems: 10_000, MaxBytes: 16 << 20}, Journal: journal.Limits{MaxEvents: 10_000, MaxBytes: 16 << 20},
		HubAddr: hubAddr, ConnectTimeout: 5 * time.Second, KeepAlive: 10 * time.Second,
		ReconnectMin: 5 * time.Millisecond, ReconnectMax: 50 * time.Millisecond, Beat: time.Hour, Platform: "linux",
	}
}

func start(t testing.TB, cfg Config) *board {
	t.Helper()
	return startWith(t, cfg, func(*Device) {})
}

func startWith(t testing.TB, cfg Config, prepare func(*Device)) *board {
	t.Helper()
	d, err := Open(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	d.timing.tick = 10 * time.Millisecond
	d.timing.helloApart = 0
	prepare(d)
	b := &board{Device: d, t: t, cfg: cfg}
	b.run()
	t.Cleanup(b.stop)
	return b
}

func (b *board) run() {
	var ctx context.Context
	ctx, b.end = context.WithCancel(context.Background())
	b.done = make(chan error, 1)
	go func() { b.done <- b.Run(ctx) }()
	for b.running() != nil {
		runtime.Gosched()
	}
}

func (b *board) running() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx == nil {
		return errNotInitialized
	}
	return nil
}

func (b *board) stop() {
	if b.done == nil {
		return
	}
	b.end()
	if err := <-b.done; err != nil {
		b.t.Error(err)
	}
	b.done = nil
}

// again stops the daemon and starts it on the same state.
func (b *board) again() *board {
	b.stop()
	return start(b.t, b.cfg)
}

func sig(t testing.TB, user string, app protocol.AppID) string { return nthSig(t, user, app, 0) }

func nthSig(t testing.TB, user string, app protocol.AppID, n int64) string {
	t.Helper()
	s, err := usersig.Sign(usersig.Claims{UserID: user, AppID: uint32(app), IssuedAt: time.Unix(1_700_000_000+n, 0), Expire: time.Hour}, []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b *board) tryLogin(user string) error {
	_, err := b.login(b.t.Context(), protocol.Caller{Who: "test"}, protocol.LoginRequest{UserID: user, UserSig: sig(b.t, user, testApp)})
	return err
}

// loginWith logs in with the n-th UserSig.
func (b *board) loginWith(n int64) error {
	_, err := b.login(b.t.Context(), protocol.Caller{Who: "test"}, protocol.LoginRequest{UserID: "door", UserSig: nthSig(b.t, "door", testApp, n)})
	return err
}

func (b *board) mustLogin() {
	b.t.Helper()
	if err := b.tryLogin("door"); err != nil {
		b.t.Fatal(err)
	}
}

func (b *board) say(text string) (protocol.SendResponse, error) {
	return b.sendC2CText(b.t.Context(), protocol.Caller{}, protocol.C2CTextRequest{UserID: "indoor", Text: text})
}

func (b *board) mustSay(texts ...string) (res protocol.SendResponse) {
	b.t.Helper()
	for _, text := range texts {
		var err error
		if res, err = b.say(text); err != nil {
			b.t.Fatal(err)
		}
	}
	return res
}

// link waits for the link to be in a state.
func (b *board) link(state string) {
	b.t.Helper()
	for b.Status().Link != state {
		if b.t.Context().Err() != nil {
			b.t.Fatal("the link is not", state)
		}
		time.Sleep(time.Millisecond) // a state of another goroutine, without an event
	}
}

// introduced waits until what the board asks of friends by itself is answered and
// written down.
func (b *board) introduced() {
	b.t.Helper()
	end := time.Now().Add(20 * time.Second)
	for synced := false; !synced; {
		if b.t.Context().Err() != nil || time.Now().After(end) {
			b.t.Fatal("the friends are not asked for")
		}
		time.Sleep(time.Millisecond) // a state of another goroutine, without an event
		b.session.people.mu.Lock()
		synced = b.session.people.synced
		b.session.people.mu.Unlock()
	}
	b.db.Ping()
}

// happening is an event as a program sees it.
type happening struct {
	Pos  uint64
	Type string `json:"eventType"`
	protocol.C2CTextEvent
	Status   int           `json:"status"`
	Code     protocol.Code `json:"code"`
	GroupID  string        `json:"groupId"`
	Sent     uint64        `json:"sent"`
	Logs     int           `json:"logs"`
	Entries  uint64        `json:"entries"`
	Salvaged int           `json:"salvaged"`
}

func (b *board) events() (out []happening) {
	b.t.Helper()
	list, err := b.journal.Read(0, 1<<20)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range list {
		h := happening{Pos: e.Pos}
		if err := json.Unmarshal(e.JSON, &h); err != nil {
			b.t.Fatal(err)
		}
		if h.Type == "onRecvNewMessage" {
			continue // of each message that is told in its simple form, too
		}
		out = append(out, h)
	}
	return out
}

// await waits for so many events in all and tells them.
func (b *board) await(n int, tell func(h happening) string) string {
	b.t.Helper()
	for {
		changed := b.journal.Changed()
		list := b.events()
		if len(list) >= n {
			var out []string
			for _, h := range list {
				out = append(out, tell(h))
			}
			return lines(out)
		}
		select {
		case <-changed:
		case <-b.t.Context().Done():
			b.t.Fatalf("%d events, not %d: %+v", len(list), n, list)
		}
	}
}

func byText(h happening) string {
	s := h.Text
	if h.IsSelf {
		s += "(self)"
	}
	if s == "" {
		s = h.Type
	}
	return s
}

func byStatus(h happening) string { return fmt.Sprintf("%s %d %d", h.MsgID, h.Status, h.Code) }

// settled waits until what was handed to the store and the hub is through: a
// beat and its answer come after it.
func (b *board) drained() {
	b.t.Helper()
	for b.Status().Queue.Items > 0 {
		if b.t.Context().Err() != nil {
			b.t.Fatal("the outbox does not empty itself")
		}
		time.Sleep(time.Millisecond) // a state of another goroutine, without an event
	}
	b.db.Ping()
}

// logbook keeps what a board logs.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logbook) keep(d *Device) { d.log = slog.New(slog.NewTextHandler(l, nil)) }

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// noneLeft fails if goroutines outlive a test: those of this module, and of paho.
func noneLeft(t testing.TB) {
	t.Helper()
	t.Cleanup(func() {
		var left []string
		for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
			buf := make([]byte, 1<<20)
			left = left[:0]
			for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
				if (strings.Contains(g, "paho.mqtt") || strings.Contains(g, "herald/device")) && !strings.Contains(g, "noneLeft") {
					left = append(left, g)
				}
			}
			if len(left) == 0 {
				return
			}
		}
		t.Errorf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
	})
}

func contains(b []byte, s string) bool { return strings.Contains(string(b), s) }
