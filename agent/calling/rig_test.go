package calling

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/device"
	"github.com/herald-im/herald/device/journal"
	"github.com/herald-im/herald/device/outbox"
	"github.com/herald-im/herald/hub"
	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/usersig"
)

const testApp = protocol.AppID(1400000001)

// house is a hub with boards. The hub and the link are real; only the media are
// not.
type house struct {
	t    testing.TB
	db   string
	key  string
	addr string
	net  *network
	hub  func() // ends it

	timing timing // of boards that start from now on
}

func newHouse(t testing.TB) *house {
	t.Helper()
	before := len(stacks())
	t.Cleanup(func() { // when all has ended
		for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			now := stacks()
			if len(now) <= before {
				return
			}
			if time.Now().After(end) {
				t.Errorf("%d goroutines, and there were %d before:\n%s", len(now), before, strings.Join(now, "\n\n"))
				return
			}
		}
	})
	h := &house{t: t, db: filepath.Join(t.TempDir(), "hub.db"), addr: "127.0.0.1:0", net: newNetwork(), timing: quick()}
	st, err := store.OpenAsOwner(t.Context(), h.db)
	if err != nil {
		t.Fatal(err)
	}
	err = st.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := hub.EnsureApp(ctx, tx, testApp, time.Now())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := st.Keys(t.Context(), testApp)
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	h.key = keys[0].Secret
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	h.startHub()
	t.Cleanup(func() { h.hub() })
	return h
}

// startHub starts the hub, on the address that it had before.
func (h *house) startHub() {
	h.t.Helper()
	x, err := hub.New(hub.Config{Store: h.db, App: testApp, MQTT: h.addr, CreateOnLogin: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		h.t.Fatal(err)
	}
	h.addr = x.MQTTAddr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx) }()
	h.hub = func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
	}
}

// board is an account's terminal with calls.
type board struct {
	*Machine
	t     testing.TB
	house *house
	user  string
	cfg   device.Config
	media *fakeMedia
	table *protocol.Table[protocol.Caller]
	pos   uint64   // of the last event that was looked at
	seen  []string // events, in short
	marks int      // of lookAll
	end   func()
}

func (h *house) sig(user string) string {
	sig, err := usersig.Sign(usersig.Claims{AppID: uint32(testApp), UserID: user, IssuedAt: time.Now(), Expire: time.Hour}, []byte(h.key))
	if err != nil {
		h.t.Fatal(err)
	}
	return sig
}

// board starts one, on a platform of its own, and waits until it is logged in.
func (h *house) board(user string, change ...func(*Config)) *board {
	h.t.Helper()
	b := h.boardOff(user, change...)
	b.start(change...)
	return b
}

func (h *house) boardOff(user string, _ ...func(*Config)) *board {
	h.net.mu.Lock()
	h.net.boards++
	platform := fmt.Sprintf("p%d", h.net.boards)
	h.net.mu.Unlock()
	sig := h.sig(user)
	return &board{t: h.t, house: h, user: user, cfg: device.Config{
		StateDir: h.t.TempDir(), Outbox: outbox.Limits{MaxItems: 10_000, MaxBytes: 16 << 20}, Journal: journal.Limits{MaxEvents: 100_000, MaxBytes: 64 << 20},
		HubAddr: h.addr, ConnectTimeout: 5 * time.Second, KeepAlive: 10 * time.Second,
		ReconnectMin: 5 * time.Millisecond, ReconnectMax: 50 * time.Millisecond, Beat: time.Second, Platform: platform,
		User: user, Sig: func() (string, error) { return sig, nil },
	}}
}

// quick is a timing for tests: what people wait for is shorter, and what only a
// slow machine needs is not.
func quick() timing {
	t := usualTiming()
	t.tick, t.resend, t.restart, t.lost, t.connect, t.grace = 10*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond, time.Second, 5*time.Second, 2*time.Second
	t.servers = 50 * time.Millisecond
	return t
}

func (b *board) start(change ...func(*Config)) {
	b.t.Helper()
	dev, err := device.Open(b.cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		b.t.Fatal(err)
	}
	b.media = &fakeMedia{net: b.house.net}
	var cfg Config
	for _, f := range change {
		f(&cfg)
	}
	b.Machine = New(cfg, dev, b.media, slog.New(slog.DiscardHandler))
	b.timing = b.house.timing
	b.table = protocol.NewTable[protocol.Caller]()
	b.Bind(b.table)
	dev.Bind(b.table)
	ctx, cancel := context.WithCancel(context.Background())
	machineCtx, endMachine := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := dev.Run(ctx); err != nil {
			b.t.Error(err)
		}
	})
	wg.Go(func() { b.Run(machineCtx) })
	var once sync.Once
	b.end = func() {
		once.Do(func() {
			endMachine()
			<-b.ctx.Done()
			cancel()
			wg.Wait()
		})
	}
	b.t.Cleanup(b.end)
	<-dev.Begun()
	b.until("logged in", func() bool { return dev.Status().Link == "up" })
}

// call runs a method with a request in JSON.
func (b *board) call(method, request string) error {
	_, err := b.table.CallJSON(b.t.Context(), protocol.Caller{Who: "test"}, "calling."+method, []byte(request))
	return err
}

func (b *board) must(method, request string) {
	b.t.Helper()
	if err := b.call(method, request); err != nil {
		b.t.Fatalf("%s: %s: %v", b.user, method, err)
	}
}

// refused runs a method that is to fail with a code.
func (b *board) refused(code protocol.Code, method, request string) {
	b.t.Helper()
	err := b.call(method, request)
	if err == nil || protocol.AsError(err).Code != code {
		b.t.Errorf("%s: %s %s: %v, not %d", b.user, method, request, err, code)
	}
	if err != nil && protocol.AsError(err).Msg == "" {
		b.t.Errorf("%s: %s %s: no sentence", b.user, method, request)
	}
}

func (b *board) callStatus() protocol.CallResponse {
	b.t.Helper()
	s, err := b.getCall(b.t.Context(), protocol.Caller{}, protocol.Empty{})
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

const patience = 20 * time.Second

// until waits for something that has no event.
func (b *board) until(what string, is func() bool) {
	b.t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("%s: not %s after %v; events: %s", b.user, what, patience, strings.Join(b.seen, " "))
		}
	}
}

func (b *board) state(want protocol.CallState) {
	b.t.Helper()
	b.until(string(want), func() bool { return b.callStatus().State == want })
}

// look reads the events that have come since, in short: their type, and who or
// what it is about.
func (b *board) look() {
	events, err := b.dev.Journal().Read(b.pos, 1000)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range events {
		b.pos = e.Pos
		name, ok := strings.CutPrefix(e.Info.Name, "calling.")
		if !ok {
			continue
		}
		var d struct {
			UserID           string
			Reason           string
			IsVideoAvailable *bool
			IsAudioAvailable *bool
			UserIDList       []string
			Code             int
		}
		if err := json.Unmarshal(e.JSON, &d); err != nil {
			b.t.Fatal(err)
		}
		word := strings.TrimPrefix(name, "on")
		for _, x := range []string{d.UserID, d.Reason} {
			if x != "" {
				word += ":" + x
			}
		}
		if v := d.IsVideoAvailable; v != nil {
			word += fmt.Sprintf(":%v", *v)
		}
		if v := d.IsAudioAvailable; v != nil {
			word += fmt.Sprintf(":%v", *v)
		}
		if name == "onGroupCallInviteeListUpdate" {
			word += ":" + strings.Join(d.UserIDList, "+")
		}
		b.seen = append(b.seen, word)
	}
}

// event waits for an event, and forgets those up to it.
func (b *board) event(want string) {
	b.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		changed := b.dev.Journal().Changed()
		b.look()
		if i := slices.Index(b.seen, want); i >= 0 {
			b.seen = b.seen[i+1:]
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			b.t.Fatalf("%s: no event %s after %v; there are: %s", b.user, want, patience, strings.Join(b.seen, " "))
		}
	}
}

// quiet checks that none of these events has come.
func (b *board) quiet(not ...string) {
	b.t.Helper()
	b.lookAll()
	for _, x := range b.seen {
		for _, n := range not {
			if strings.HasPrefix(x, n) {
				b.t.Errorf("%s: the event %s", b.user, x)
			}
		}
	}
}

// recorded is how many events of a name there are, of calls or others.
func (b *board) recorded(name string) (n int) {
	b.t.Helper()
	events, err := b.dev.Journal().Read(0, 1000)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range events {
		if e.Info.Name == name {
			n++
		}
	}
	return n
}

// lookAll reads all the events that the machine has raised by now. They are recorded
// beside its loop, in order: one more tells when they are.
func (b *board) lookAll() {
	b.t.Helper()
	b.marks++
	mark := fmt.Sprint("mark", b.marks)
	_, err := get(b.t.Context(), b.Machine, func() (bool, error) {
		raise(b.Machine, protocol.OnReject, protocol.CallUserEvent{UserID: mark})
		return true, nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	isMark := func(e string) bool { return e == "Reject:"+mark }
	b.until("recorded", func() bool {
		b.look()
		return slices.ContainsFunc(b.seen, isMark)
	})
	b.seen = slices.DeleteFunc(b.seen, isMark)
}

// left checks that nothing of any call is left.
func (h *house) left(boards ...*board) {
	h.t.Helper()
	for _, b := range boards {
		b.until("free of devices", func() bool { return b.media.used() == 0 })
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		h.net.mu.Lock()
		open := h.net.open
		h.net.mu.Unlock()
		if open == 0 {
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("%d peers are open", open)
		}
	}
}

// stacks are those of all goroutines but one that figures have for good.
func stacks() []string {
	buf := make([]byte, 1<<20)
	all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	return slices.DeleteFunc(all, func(s string) bool { return strings.Contains(s, "/metrics.summariesSwapCron") })
}

// goroutines is how many there are once those that are about to end have ended.
func goroutines(most int) int {
	for range 500 {
		if n := runtime.NumGoroutine(); n <= most {
			return n
		}
		time.Sleep(10 * time.Millisecond)
	}
	return runtime.NumGoroutine()
}
