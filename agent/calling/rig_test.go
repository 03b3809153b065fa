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
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, db: filepath.Join(t.TempDir(), "hub.db"), addr: "127.0.0.1:0", net: newNetwork()}
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
	b.timing = quick()
	b.table = protocol.NewTable[protocol.Caller]()
	b.Bind(b.table)
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
	b.look()
	for _, x := range b.seen {
		for _, n := range not {
			if strings.HasPrefix(x, n) {
				b.t.Errorf("%s: the event %s", b.user, x)
			}
		}
	}
}

// network is what the fake media connect over.
type network struct {
	mu     sync.Mutex
	boards int
	next   int
	peers  map[string]*fakePeer // by SDP
	cut    bool
	open   int // peers that are not closed
}

func newNetwork() *network { return &network{peers: make(map[string]*fakePeer)} }

// setCut cuts the network, or mends it. Peers notice.
func (n *network) setCut(cut bool) {
	n.mu.Lock()
	n.cut = cut
	var all []*fakePeer
	for _, p := range n.peers {
		if p.other != nil && !p.closed {
			all = append(all, p)
		}
	}
	n.mu.Unlock()
	if cut {
		for _, p := range all {
			p.say(PeerDisconnected)
		}
	}
}

// fakeMedia stands in for camera, microphone, speaker and pion.
type fakeMedia struct {
	net *network

	mu       sync.Mutex
	begun    int
	hold     chan struct{} // Begin waits for it; nil: it does not
	fail     error
	none     bool // there is no camera
	front    bool
	camera   bool
	muted    bool
	handFree bool
}

func (m *fakeMedia) Begin(context.Context, bool) error {
	m.mu.Lock()
	m.begun++
	hold, err := m.hold, m.fail
	m.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return err
}

func (m *fakeMedia) End() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begun--
}

func (m *fakeMedia) used() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.begun
}

func (m *fakeMedia) Connect(c Connecting) (Peer, error) {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	m.net.open++
	return &fakePeer{net: m.net, c: c, calls: make(chan PeerState, 64), done: make(chan struct{})}, nil
}

func (m *fakeMedia) SetCamera(front, on bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.none && on {
		return errNoCamera
	}
	m.front, m.camera = front, on
	return nil
}

func (m *fakeMedia) SetMute(muted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.muted = muted
}

func (m *fakeMedia) SetHandsFree(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.handFree = on
}

func (m *fakeMedia) ViewSelf(context.Context, string) (View, error) {
	return nil, fmt.Errorf("nothing to see")
}

func (m *fakeMedia) Level() int            { return 7 }
func (m *fakeMedia) NetworkChanged(func()) {}

// fakePeer connects with the peer whose SDP it is given.
type fakePeer struct {
	net    *network
	c      Connecting
	calls  chan PeerState
	done   chan struct{}
	once   sync.Once
	sdp    string
	other  *fakePeer
	closed bool

	servers []protocol.ICEServer // that it was given last
}

// say calls back, in order, on a goroutine of the peer.
func (p *fakePeer) say(s PeerState) {
	p.once.Do(func() {
		go func() {
			defer close(p.done)
			for s := range p.calls {
				p.c.State(s)
			}
		}()
	})
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if !p.closed {
		p.calls <- s
	}
}

func (p *fakePeer) describe() string {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	p.net.next++
	p.sdp = fmt.Sprintf("fake %d", p.net.next)
	p.net.peers[p.sdp] = p
	return p.sdp
}

func (p *fakePeer) Offer(context.Context) (string, error) { return p.describe(), nil }

func (p *fakePeer) Restart(context.Context) (string, error) { return p.describe(), nil }

func (p *fakePeer) Answer(_ context.Context, offer string) (string, error) {
	p.net.mu.Lock()
	p.other = p.net.peers[offer]
	p.net.mu.Unlock()
	if p.other == nil {
		return "", fmt.Errorf("no such offer")
	}
	p.c.Candidate("candidate of " + p.c.User)
	return p.describe(), nil
}

func (p *fakePeer) Accept(answer string) error {
	p.net.mu.Lock()
	p.other = p.net.peers[answer]
	cut := p.net.cut
	p.net.mu.Unlock()
	if p.other == nil {
		return fmt.Errorf("no such answer")
	}
	if !cut {
		p.say(PeerConnected)
		p.other.say(PeerConnected)
	}
	return nil
}

func (p *fakePeer) AddCandidate(string) error { return nil }

func (p *fakePeer) SetServers(servers []protocol.ICEServer) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	p.servers = servers
	return nil
}
func (p *fakePeer) Stats() PeerStats { return PeerStats{Level: 9, Path: "host/host"} }

func (p *fakePeer) View(context.Context, string) (View, error) {
	return nil, fmt.Errorf("nothing to see")
}

func (p *fakePeer) Close() {
	p.net.mu.Lock()
	if p.closed {
		p.net.mu.Unlock()
		return
	}
	p.closed = true
	p.net.open--
	close(p.calls)
	p.net.mu.Unlock()
	p.once.Do(func() { close(p.done) })
	<-p.done
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
