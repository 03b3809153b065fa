package files

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/herald-im/herald/protocol"
)

// Hub is asked where files go to and come from.
type Hub interface {
	PutFile(ctx context.Context, r protocol.PutFileRequest) (protocol.PutFileResponse, error)
	GetFile(ctx context.Context, r protocol.GetFileRequest) (protocol.GetFileResponse, error)
}

// CourierOptions say what a courier works with.
type CourierOptions struct {
	Store *Store
	Hub   Hub
	// Host stands for protocol.IceHostHub in what the hub gives: the name or
	// address by which the board reaches it.
	Host func() string
	TLS  *tls.Config // for https; nil: the system's certificates
	Log  *slog.Logger

	timing timing // of the tests; zero: defaultTiming
}

// timing is a courier's patience.
type timing struct {
	idle     time.Duration // without any progress, until a connection is given up
	patience time.Duration // of who reads a file that is on its way, while nothing comes
	min, max time.Duration // of the wait before trying again, of which a random part is waited
}

func defaultTiming() timing {
	return timing{idle: 30 * time.Second, patience: 15 * time.Second, min: time.Second, max: 30 * time.Second}
}

const (
	maxUp    = 2  // uploads that send at a time
	maxDown  = 2  // downloads that receive at a time
	maxAhead = 4  // that somebody reads, beside those
	maxJobs  = 64 // downloads in all, with those that wait
	// maxRefused is how often in a row a server may refuse what the hub has just
	// allowed, or give what it did not say, until it is believed.
	maxRefused = 4
)

// Progress is told how many bytes of a file have gone: at most each 250 ms and
// each hundredth, and at the end. It is never called twice at once, nor after
// what it was given to has returned, and should be quick.
type Progress func(done, total int64)

// Courier carries files to the hub and from it.
type Courier struct {
	opts   CourierOptions
	client *http.Client
	up     chan struct{}
	down   chan struct{}
	ahead  chan struct{} // as down, for what somebody reads

	ctx    context.Context // of all that is under way
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool
	wg      sync.WaitGroup           // Add under mu, while not closed
	woken   chan struct{}            // closed at the next Retry
	jobs    map[string]*download     // by hash
	sending map[string]chan struct{} // by hash: closed when that upload ends
}

// NewCourier makes a courier. Close it before the store.
func NewCourier(o CourierOptions) *Courier {
	if o.timing == (timing{}) {
		o.timing = defaultTiming()
	}
	c := &Courier{
		opts: o, client: newClient(o.TLS, o.timing.idle),
		up: make(chan struct{}, maxUp), down: make(chan struct{}, maxDown), ahead: make(chan struct{}, maxAhead),
		woken: make(chan struct{}), jobs: make(map[string]*download), sending: make(map[string]chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Retry has all that waits for its next try make it now: the link is up again.
func (c *Courier) Retry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.woken)
	c.woken = make(chan struct{})
}

// Close ends all that is under way and waits for it. What is half done is gone on
// with at the next start.
func (c *Courier) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
	c.client.CloseIdleConnections()
}

var errClosed = protocol.Errorf(protocol.CodeInterrupt, "the daemon is ending")

// begin makes a context that ends with ctx and with the courier.
func (c *Courier) begin(ctx context.Context) (context.Context, func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, errClosed
	}
	c.wg.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.ctx, func() { cancel(errClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		c.wg.Done()
	}, nil
}

// finals are the codes after which trying again would change nothing.
var finals = []protocol.Code{
	protocol.CodeInvalidParameters, protocol.CodeFileNotFound, protocol.CodeFileSizeEmpty, protocol.CodeFileTooLarge,
	protocol.CodeSvrResNotFound, protocol.CodeSvrResAccessDeny, protocol.CodeSvrResSizeLimit,
	protocol.CodeSvrResReadFailed, protocol.CodeSvrResInvalidParameters,
}

// stop is an error of this board's after which trying again would change nothing.
type stop struct{ error }

func (s stop) Unwrap() error { return s.error }

func isFinal(err error) bool {
	var e *protocol.Error
	var s stop
	return errors.As(err, &s) || errors.As(err, &e) && slices.Contains(finals, e.Code)
}

// backoff are the waits between tries: each a random part of one that doubles.
type backoff struct {
	timing
	next time.Duration
}

func (b *backoff) reset() { b.next = 0 }

// wait ends early when something comes from wake or at Retry. It returns ctx's
// cause if that ends first.
func (c *Courier) wait(ctx context.Context, b *backoff, wake <-chan struct{}) error {
	c.mu.Lock()
	woken := c.woken
	c.mu.Unlock()
	b.next = min(max(2*b.next, b.min), b.max)
	t := time.NewTimer(rand.N(b.next))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-wake:
		return nil
	case <-woken:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// acquire takes a place, or returns ctx's cause.
func acquire(ctx context.Context, places chan struct{}) (release func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// locate reads a URL of the hub's.
func (c *Courier) locate(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil { // its text has a signature in it
		return nil, errors.New("the hub gave no valid URL")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("the hub gave a URL of the kind %q", protocol.Clip(u.Scheme))
	}
	if u.Hostname() == protocol.IceHostHub {
		host, port := c.opts.Host(), u.Port()
		if host == "" {
			return nil, errors.New("it is not known where the hub is")
		}
		if strings.Contains(host, ":") && host[0] != '[' {
			host = "[" + host + "]"
		}
		u.Host = host
		if port != "" {
			u.Host += ":" + port
		}
	}
	return u, nil
}

// throttle passes progress on as Progress says.
type throttle struct {
	to   Progress
	at   time.Time
	done int64
}

func (t *throttle) tell(done, total int64) {
	const every = 250 * time.Millisecond
	if t.to == nil || done == t.done || done < total && (time.Since(t.at) < every || done > t.done && done-t.done < total/100) {
		return
	}
	t.at, t.done = time.Now(), done
	t.to(done, total)
}
