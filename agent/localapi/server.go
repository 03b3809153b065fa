package localapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/herald-im/herald/device/journal"
	"github.com/herald-im/herald/protocol"
)

// Journal is where the events are that programs may still read.
type Journal interface {
	// Bounds returns the oldest and the newest position kept; first is last+1
	// when there is none.
	Bounds() (first, last uint64)
	// Read returns at most max events at positions over after, in order.
	Read(after uint64, max int) ([]journal.Event, error)
	// Changed is closed at the next append. Take it before Read.
	Changed() <-chan struct{}
}

// Moments is where the transient events come from.
type Moments interface {
	// Watch returns a bounded channel of what happens from now on, which is
	// never closed, and what ends it.
	Watch() (<-chan protocol.Occurrence, func())
}

// Parts are what the API is put together from.
type Parts struct {
	Table   *protocol.Table[protocol.Caller]
	Streams *Streams // bound in Table
	Journal Journal
	Moments Moments
	// Pictures are behind /v1/whep/… and /v1/snapshot.jpg.
	Pictures Pictures
	// Files are behind /v1/files; nil: there are none.
	Files Files
	// Health says what is wrong with the daemon, nil if nothing is.
	Health func() error
	// Metrics is what GET /metrics shows, besides the process's own figures.
	// The API adds its counters to it.
	Metrics *metrics.Set
	Log     *slog.Logger
}

// Server is the local API.
type Server struct {
	Parts
	cfg    Config
	timing timing
	log    *slog.Logger
	counts counts

	doors   []*door
	slots   chan struct{} // one for each open event stream
	big     chan struct{} // one for each large body
	closing chan struct{} // closed when the daemon ends

	receiving chan struct{} // one for each file that a program sends

	base   context.Context // of all requests
	cancel context.CancelFunc

	mu       sync.Mutex
	ended    bool
	handlers sync.WaitGroup // Add under mu, while not ended

	lastWarning atomic.Int64 // of a stranger, Unix nanoseconds
}

// counts are the API's own figures.
type counts struct {
	calls, failed, strangers, turnedAway, events, cut *metrics.Counter
}

// door is one listener with its rules.
type door struct {
	*Server
	guard guard
	ln    net.Listener
	http  *http.Server
}

// Open starts listening. Callers are answered once Run is called; the server
// must be run or closed.
func Open(cfg Config, parts Parts) (*Server, error) {
	s, err := newServer(cfg, parts, defaultTiming())
	if err != nil {
		return nil, err
	}
	if err := s.listen(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func newServer(cfg Config, parts Parts, t timing) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		Parts: parts, cfg: cfg, timing: t, log: parts.Log,
		slots: make(chan struct{}, cfg.MaxStreams), big: make(chan struct{}, bigBodies), closing: make(chan struct{}),
		receiving: make(chan struct{}, maxReceived),
	}
	m := parts.Metrics
	s.counts = counts{
		calls:      m.GetOrCreateCounter("herald_api_calls_total"),
		failed:     m.GetOrCreateCounter("herald_api_calls_failed_total"),
		strangers:  m.GetOrCreateCounter("herald_api_strangers_total"),
		turnedAway: m.GetOrCreateCounter("herald_api_connections_refused_total"),
		events:     m.GetOrCreateCounter("herald_api_events_sent_total"),
		cut:        m.GetOrCreateCounter("herald_api_streams_cut_total"),
	}
	m.GetOrCreateGauge("herald_api_streams", func() float64 { return float64(len(s.slots)) })
	s.base, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

func (s *Server) listen() error {
	if s.cfg.Socket != "" {
		ln, err := listenSocket(s.cfg.Socket, s.cfg.Group, s.log)
		if err != nil {
			return err
		}
		s.addDoor(ln, false, maxUnixConns+s.cfg.MaxStreams)
	}
	if s.cfg.HTTP != "" {
		ln, err := net.Listen("tcp", s.cfg.HTTP)
		if err != nil {
			return fmt.Errorf("local API: %w", err)
		}
		if a, ok := ln.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
			s.log.Warn("the local API is reachable from the network, and nothing encrypts it or its token", "address", a.String())
		}
		s.addDoor(ln, true, maxTCPConns+s.cfg.MaxStreams)
	}
	return nil
}

func (s *Server) addDoor(ln net.Listener, tcp bool, maxConns int) {
	d := &door{
		Server: s, guard: newGuard(tcp, &s.cfg, ln.Addr()),
		ln: newCountedListener(ln, int64(maxConns), s.counts.turnedAway.Inc),
	}
	d.http = &http.Server{
		Handler:           d,
		ReadHeaderTimeout: s.timing.header,
		IdleTimeout:       s.timing.idle,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return s.base },
		ConnContext:       withCaller,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		Protocols:         new(http.Protocols),
	}
	d.http.Protocols.SetHTTP1(true)
	s.doors = append(s.doors, d)
}

// Addr is the TCP address, nil if there is none. It tells which port was
// chosen where the configured one is 0.
func (s *Server) Addr() net.Addr {
	for _, d := range s.doors {
		if d.guard.tcp {
			return d.ln.Addr()
		}
	}
	return nil
}

// Run answers until ctx ends or a listener breaks. Event streams end at once,
// calls under way may finish within three seconds. When it returns nothing of
// the server is left.
func (s *Server) Run(ctx context.Context) error {
	ended := make(chan error, len(s.doors))
	for _, d := range s.doors {
		go func() { ended <- d.http.Serve(d.ln) }()
	}
	running := len(s.doors)
	var broken error
	select {
	case <-ctx.Done():
	case broken = <-ended:
		running--
	}
	s.Close()
	for ; running > 0; running-- {
		<-ended
	}
	if broken != nil && !errors.Is(broken, http.ErrServerClosed) {
		return fmt.Errorf("local API: %w", broken)
	}
	return nil
}

// Close ends the server; Run then returns. Closing twice does nothing.
func (s *Server) Close() {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	s.mu.Unlock()

	close(s.closing)
	grace, cancel := context.WithTimeout(context.Background(), s.timing.grace)
	defer cancel()
	for _, d := range s.doors {
		if err := d.http.Shutdown(grace); err != nil {
			d.http.Close()
		}
		d.ln.Close() // Shutdown closes only what Serve has begun with
	}
	s.cancel()
	s.handlers.Wait()
}

// begin notes a request under way; false once the server has ended.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.handlers.Add(1)
	return true
}

// ServeHTTP answers one request.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !d.begin() {
		d.refuseAndClose(w, http.StatusServiceUnavailable, protocol.Errorf(protocol.CodeNetDisconnect, "the daemon is ending"))
		return
	}
	defer d.handlers.Done()
	defer d.recoverPanic(w, r)
	d.allowWrite(w) // for "100 Continue"; the last request's time may be over
	if r.ContentLength != 0 {
		// Also for a body that nobody asks for: net/http reads some of it
		// before it ends the connection.
		d.allowRead(w, d.timing.body)
	}

	if e := d.guard.admit(w.Header(), r); e != nil {
		d.stranger(r, e.Msg)
		d.refuseAndClose(w, http.StatusForbidden, e)
		return
	}
	if d.guard.preflight(w, r) || d.script(w, r) {
		return
	}
	known := d.guard.knows(r)
	if r.URL.Path == "/healthz" {
		d.health(w, r, known)
		return
	}
	if !known {
		d.stranger(r, "no valid token")
		w.Header().Set("WWW-Authenticate", `Bearer realm="herald"`)
		d.refuseAndClose(w, http.StatusUnauthorized, errNotAllowed("a valid token is needed"))
		return
	}
	d.route(w, r)
}

// recoverPanic keeps a fault in one handler from being more than that.
func (d *door) recoverPanic(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	d.log.Error("panic while answering", "path", protocol.Clip(r.URL.Path), "panic", p, "stack", string(debug.Stack()))
	if w.Header().Get("Content-Type") != "" { // an answer has begun: only breaking it off tells the caller
		panic(http.ErrAbortHandler)
	}
	d.refuseAndClose(w, 0, protocol.Errorf(protocol.CodeInternalError, "internal error: see the daemon's log"))
}

// stranger logs who was not admitted: one line a minute, as anybody can make
// as many as he likes; the count is in the metrics.
func (d *door) stranger(r *http.Request, why string) {
	d.counts.strangers.Inc()
	now, last := time.Now().UnixNano(), d.lastWarning.Load()
	if now-last > int64(time.Minute) && d.lastWarning.CompareAndSwap(last, now) {
		d.log.Warn("a caller was not admitted", "why", why, "from", r.RemoteAddr, "host", protocol.Clip(r.Host), "origin", protocol.Clip(r.Header.Get("Origin")))
	}
}

// allowWrite gives the caller a fresh time to take what is written next.
func (s *Server) allowWrite(w http.ResponseWriter) {
	// Not supported: a recorder in a test, which has all the time.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.timing.write))
}

// allowRead gives the caller so long for what it still sends; 0: for ever.
func (s *Server) allowRead(w http.ResponseWriter, d time.Duration) {
	var until time.Time
	if d > 0 {
		until = time.Now().Add(d)
	}
	_ = http.NewResponseController(w).SetReadDeadline(until) // see allowWrite
}
