package localapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/herald-im/herald/device/journal"
	"github.com/herald-im/herald/protocol"
)

const testToken = "0123456789abcdef"

// memJournal is a journal in memory.
type memJournal struct {
	mu      sync.Mutex
	first   uint64
	events  []journal.Event
	changed chan struct{}

	beforeRead func() // once, with mu held
}

func newMemJournal() *memJournal { return &memJournal{first: 1, changed: make(chan struct{})} }

func (j *memJournal) Bounds() (first, last uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.first, j.first + uint64(len(j.events)) - 1
}

func (j *memJournal) Read(after uint64, limit int) ([]journal.Event, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.beforeRead != nil {
		j.beforeRead()
		j.beforeRead = nil
	}
	last := j.first + uint64(len(j.events)) - 1
	if after >= last {
		return nil, nil
	}
	i := int(max(after+1, j.first) - j.first)
	return append([]journal.Event(nil), j.events[i:min(i+limit, len(j.events))]...), nil
}

func (j *memJournal) Changed() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.changed
}

func (j *memJournal) append(os ...protocol.Occurrence) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, o := range os {
		j.events = append(j.events, journal.Event{Pos: j.first + uint64(len(j.events)), Occurrence: o})
	}
	close(j.changed)
	j.changed = make(chan struct{})
}

func (j *memJournal) trimTo(first uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = j.events[first-j.first:]
	j.first = first
}

// memMoments hands moments to whoever watches.
type memMoments struct {
	mu       sync.Mutex
	watchers map[chan protocol.Occurrence]bool
}

func newMemMoments() *memMoments {
	return &memMoments{watchers: make(map[chan protocol.Occurrence]bool)}
}

func (m *memMoments) Watch() (<-chan protocol.Occurrence, func()) {
	c := make(chan protocol.Occurrence, 16)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watchers[c] = true
	return c, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watchers, c)
	}
}

func (m *memMoments) raise(o protocol.Occurrence) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.watchers {
		c <- o
	}
}

// rig is a server with everything around it.
type rig struct {
	t       testing.TB
	server  *Server
	journal *memJournal
	moments *memMoments
	streams *Streams
	health  error
	callers chan protocol.Caller // of getVersion
	release chan struct{}        // getServerTime waits for it
	left    atomic.Bool          // it has ended
	sock    string
	end     func() // ends the server and waits for it
}

func (g *rig) parts() Parts {
	log := slog.New(slog.DiscardHandler)
	g.journal, g.moments, g.streams = newMemJournal(), newMemMoments(), NewStreams(log)
	g.callers, g.release = make(chan protocol.Caller, 16), make(chan struct{})
	table := protocol.NewTable[protocol.Caller]()
	g.streams.Bind(table)
	protocol.Bind(table, protocol.SendC2CTextMessage, func(_ context.Context, _ protocol.Caller, r protocol.C2CTextRequest) (protocol.SendResponse, error) {
		if r.UserID == "stranger" {
			return protocol.SendResponse{}, protocol.Errorf(protocol.CodeSvrMsgToAccountNotFound, "userId: there is no account %q", r.UserID)
		}
		return protocol.SendResponse{MsgID: "m-1", Queued: true}, nil
	})
	protocol.Bind(table, protocol.GetVersion, func(_ context.Context, c protocol.Caller, _ protocol.Empty) (protocol.VersionResponse, error) {
		g.callers <- c
		return protocol.VersionResponse{Version: "test"}, nil
	})
	protocol.Bind(table, protocol.GetServerTime, func(ctx context.Context, _ protocol.Caller, _ protocol.Empty) (r protocol.ServerTimeResponse, err error) {
		defer g.left.Store(true)
		select {
		case <-g.release:
			return protocol.ServerTimeResponse{ServerTime: 1}, nil
		case <-ctx.Done():
			time.Sleep(20 * time.Millisecond) // it has things to put in order
			return r, ctx.Err()
		}
	})
	protocol.Bind(table, protocol.Logout, func(context.Context, protocol.Caller, protocol.Empty) (protocol.Empty, error) {
		panic("a fault in a handler")
	})
	protocol.Bind(table, protocol.GetStatus, func(context.Context, protocol.Caller, protocol.Empty) (protocol.StatusResponse, error) {
		return protocol.StatusResponse{Version: "test", UserID: "door", Link: "up"}, nil
	})
	return Parts{Table: table, Streams: g.streams, Journal: g.journal, Moments: g.moments,
		Health: func() error { return g.health }, Metrics: metrics.NewSet(), Log: log}
}

// start makes a server on a socket and on loopback TCP.
func start(t testing.TB, change func(*Config, *timing)) *rig {
	t.Helper()
	return startOver(t, nil, change)
}

// startOver is start with a journal that is not in memory.
func startOver(t testing.TB, j Journal, change func(*Config, *timing)) *rig {
	t.Helper()
	g := &rig{t: t, sock: filepath.Join(t.TempDir(), "s.sock")}
	cfg := Config{Socket: g.sock, HTTP: "127.0.0.1:0", Token: testToken, Origins: []string{"https://panel.example"}, Hosts: []string{"door.local"}, MaxStreams: 8}
	tm := defaultTiming()
	if change != nil {
		change(&cfg, &tm)
	}
	parts := g.parts()
	if j != nil {
		parts.Journal = j
	}
	var err error
	if g.server, err = newServer(cfg, parts, tm); err != nil {
		t.Fatal(err)
	}
	if err := g.server.listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.server.Run(ctx) }()
	g.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(g.end)
	return g
}

// client speaks to the socket; Close its idle connections at the end.
func (g *rig) client() *http.Client {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", g.sock)
	}}
	g.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

type answer struct {
	status int
	header http.Header
	raw    string
	Status bool          `json:"status"`
	Code   protocol.Code `json:"code"`
	Msg    string        `json:"msg"`
}

// whole sends a request and reads all of the answer.
func whole(t testing.TB, c *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// do sends a request and holds the answer to the form of every answer.
func do(t testing.TB, c *http.Client, r *http.Request) answer {
	t.Helper()
	res, body := whole(t, c, r)
	a := answer{status: res.StatusCode, header: res.Header, raw: body}
	if res.StatusCode == http.StatusNoContent {
		return a
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil || !strings.HasSuffix(a.raw, "\n") {
		t.Fatalf("%s %s: not JSON with a newline: %d %q", r.Method, r.URL, res.StatusCode, body)
	}
	if a.Status != (res.StatusCode == http.StatusOK) {
		t.Errorf("%s %s: status %d with %s", r.Method, r.URL, res.StatusCode, body)
	}
	if _, ok := a.Code.Row(); !a.Status && !ok {
		t.Errorf("%s %s: code %d is not in the table", r.Method, r.URL, a.Code)
	}
	return a
}

func request(t testing.TB, method, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// post calls a method over the socket.
func (g *rig) post(path, body string) answer {
	g.t.Helper()
	return do(g.t, g.client(), request(g.t, "POST", "http://socket"+path, body))
}

// sse is an open event stream.
type sse struct {
	t    testing.TB
	res  *http.Response
	in   *bufio.Reader
	stop context.CancelFunc
}

func (g *rig) openEvents(query string, headers ...string) *sse {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	g.t.Cleanup(cancel)
	r := request(g.t, "GET", "http://socket/v1/events"+query, "").WithContext(ctx)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := g.client().Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(res.Body)
		g.t.Fatalf("events%s: %d %s", query, res.StatusCode, b)
	}
	s := &sse{t: g.t, res: res, in: bufio.NewReader(res.Body), stop: func() { cancel(); res.Body.Close() }}
	g.t.Cleanup(s.stop)
	return s
}

// block returns the next lines up to an empty one, joined by |.
func (s *sse) block() string {
	s.t.Helper()
	var lines []string
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			s.t.Fatalf("stream ended: %v after %q", err, lines)
		}
		if line = strings.TrimSuffix(line, "\n"); line == "" {
			return strings.Join(lines, "|")
		}
		lines = append(lines, line)
	}
}

func (s *sse) expect(want ...string) {
	s.t.Helper()
	for _, w := range want {
		if got := s.block(); got != w {
			s.t.Fatalf("got  %s\nwant %s", got, w)
		}
	}
}

// until reads over the pings to a block.
func (s *sse) until(want string) {
	s.t.Helper()
	for {
		switch got := s.block(); got {
		case want:
			return
		case ": ping":
		default:
			s.t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

func text(n int) protocol.Occurrence {
	o, err := protocol.OnRecvC2CTextMessage.New(protocol.C2CTextEvent{Text: fmt.Sprint("text ", n)})
	if err != nil {
		panic(err)
	}
	return o
}

func textBlock(pos uint64, n int) string {
	return fmt.Sprintf("id: %d|event: im.onRecvC2CTextMessage|data: %s", pos, text(n).JSON)
}

func moment[T any](e protocol.Event[T], data T) protocol.Occurrence {
	o, err := e.New(data)
	if err != nil {
		panic(err)
	}
	return o
}
