// Package calling is the state machine of calls: the only place where
// invitations (room device) and pictures and sound (room media) meet. One
// goroutine owns all of it. What comes from outside — a program's method, a step
// of an invitation, a signal of another terminal, the answer of the hub, the
// state of a connection — is posted to it as a function and run in turn.
//
// The hub decides who won a race: a step counts once the hub has said so. What two
// terminals need to connect goes between them in transient signals, which may be
// lost and are said again.
package calling

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/herald-im/herald/device"
	"github.com/herald-im/herald/protocol"
)

// Config is what the operator decides about calls.
type Config struct {
	Deny       Users         // whose calls are rejected at once
	AutoAnswer Users         // whose calls are accepted at once
	AutoCamera bool          // a video call that is accepted so shows the camera
	Ring       time.Duration // how long a call rings that names no time
	RelayOnly  bool          // connect by the hub's relay alone
}

// Users is a set of accounts: their names, or "*" for everybody.
type Users []string

// Has tells whether a user is in the set.
func (u Users) Has(user string) bool {
	for _, x := range u {
		if x == user || x == "*" {
			return true
		}
	}
	return false
}

// timing is what tests shorten.
type timing struct {
	tick    time.Duration // how often deadlines are looked at during a call
	connect time.Duration // an answered call connects within it or is over
	lost    time.Duration // a connection that was lost is back within it or is over
	absent  time.Duration // likewise, of one whose link to the hub is gone, too
	resend  time.Duration // after which an offer, or a join, is said again
	restart time.Duration // between two attempts to restore a connection
	volume  time.Duration // between two onUserVoiceVolume
	grace   time.Duration // beyond the time of an invitation until it is over without the hub's word
	hub     time.Duration // for one question to the hub
	servers time.Duration // between two questions for new STUN and TURN servers during a call
	stop    time.Duration // for all that is under way when the daemon ends
}

// A call outlives 10 s in which nothing passes: the connection counts as lost 3 s after
// the last packet (package peer), and 9 s are left for the network to come back. Whoever
// is gone from the hub as well has ended and not fallen silent: he is missed within 10 s.
func usualTiming() timing {
	return timing{
		tick: 100 * time.Millisecond, connect: 10 * time.Second, lost: 9 * time.Second, absent: 5 * time.Second, resend: time.Second, restart: 2 * time.Second,
		volume: 300 * time.Millisecond, grace: 5 * time.Second, hub: 10 * time.Second, servers: time.Minute, stop: 3 * time.Second,
	}
}

// Machine is the state machine of a board's calls.
type Machine struct {
	cfg    Config
	dev    *device.Device
	media  Media
	log    *slog.Logger
	timing timing

	posts      posts
	ctx        context.Context // of what is under way; ends with Run
	cancel     context.CancelFunc
	under      sync.WaitGroup // what is under way
	complaints *rate.Limiter

	// Of the loop.
	call      *call
	destroyed bool
	muted     bool
	handsFree bool
	front     bool
	answered  []string      // invitations that this board has dealt with: they do not ring again
	placing   int           // invitations that the hub has not answered yet, also of calls that have ended
	early     []device.Step // answers to invitations whose ids are not known yet
	ice       iceCache
	asking    int             // questions that the hub has not answered
	settling  []chan struct{} // closed when it has answered all
	views     views           // not of the loop
}

// New makes a machine for a device, which it follows. Run must follow.
func New(cfg Config, dev *device.Device, media Media, log *slog.Logger) *Machine {
	m := &Machine{
		cfg: cfg, dev: dev, media: media, log: log, timing: usualTiming(), front: true,
		posts: posts{ready: make(chan struct{}, 1)}, complaints: rate.NewLimiter(1, 10),
	}
	if m.cfg.Ring == 0 {
		m.cfg.Ring = protocol.DefaultInviteTimeout * time.Second
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	dev.Follow(device.Follower{
		Step:      func(s device.Step) { m.posts.add(func() { m.step(s) }) },
		Peering:   m.peering,
		Linked:    func() { m.posts.add(m.linked) },
		LoggedOut: func() { m.posts.add(m.loggedOut) },
	})
	media.NetworkChanged(func() {
		dev.NetworkChanged()
		m.posts.add(m.networkChanged)
	})
	return m
}

// Run works until ctx is over, leaves the call, and returns when all that was
// under way has ended.
func (m *Machine) Run(ctx context.Context) {
	ticker := time.NewTicker(time.Hour)
	defer ticker.Stop()
	ticking := false
	for {
		select {
		case <-m.posts.ready:
			for _, f := range m.posts.take() {
				f()
			}
		case <-ticker.C:
			m.tick(time.Now())
		case <-ctx.Done():
			m.stop()
			return
		}
		if during := m.call != nil; during != ticking { // an idle board does not wake up for nothing
			ticking = during
			if during {
				ticker.Reset(m.timing.tick)
			} else {
				ticker.Reset(time.Hour)
			}
		}
	}
}

// aliveWait is how long the loop may be at one thing.
const aliveWait = 5 * time.Second

// Alive returns an error when the loop does not get on.
func (m *Machine) Alive() error {
	ctx, cancel := context.WithTimeout(m.ctx, aliveWait)
	defer cancel()
	err := m.do(ctx, func(done func(error)) { done(nil) })
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the loop of calls has not gone round for %v", aliveWait)
	}
	return nil // it runs, or is ended
}

// stop leaves the call and waits for what is under way, for a bounded time.
func (m *Machine) stop() {
	m.end(protocol.EndHangup, leaveAll)
	ended := make(chan struct{})
	go func() {
		m.under.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(m.timing.stop):
	}
	m.cancel()
	<-ended
	m.posts.close()
}

// posts brings functions to the loop.
type posts struct {
	mu     sync.Mutex
	fns    []func()
	closed bool
	ready  chan struct{}
}

// maxSignals is how many signals of other terminals may wait for the loop.
const maxSignals = 512

func (p *posts) add(f func()) { p.addBelow(f, 0) }

// addBelow adds f unless limit functions wait already; 0: no limit. What has no
// limit is bounded by itself: callers who wait, and what is under way.
func (p *posts) addBelow(f func(), limit int) bool {
	p.mu.Lock()
	full := p.closed || limit > 0 && len(p.fns) >= limit
	if !full {
		p.fns = append(p.fns, f)
	}
	p.mu.Unlock()
	if full {
		return false
	}
	select {
	case p.ready <- struct{}{}:
	default:
	}
	return true
}

func (p *posts) take() []func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	fns := p.fns
	p.fns = nil
	return fns
}

func (p *posts) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed, p.fns = true, nil
}

// async runs work beside the loop, and what it returns on it.
func (m *Machine) async(work func(ctx context.Context) (then func())) {
	m.under.Go(func() {
		if then := work(m.ctx); then != nil {
			m.posts.add(then)
		}
	})
}

// ask runs work, which asks the hub, within the time of one question.
func (m *Machine) ask(work func(ctx context.Context) error, then func(error)) {
	m.asking++
	m.async(func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, m.timing.hub)
		defer cancel()
		err := work(ctx)
		return func() {
			m.asking--
			then(err)
			if m.asking == 0 {
				for _, heard := range m.settling {
					close(heard)
				}
				m.settling = nil
			}
		}
	})
}

// tell is for a question whose answer changes nothing: it is logged if it fails.
func (m *Machine) tell(what string, work func(ctx context.Context) error) {
	m.ask(work, func(err error) {
		var e *protocol.Error
		switch {
		case err == nil:
		case errors.As(err, &e) && e.Code == protocol.CodeSignalingInvalidInviteID: // it is over already
			m.log.Debug(what, "err", err)
		default:
			m.log.Warn(what, "err", err)
		}
	})
}

var (
	errStopping  = protocol.Errorf(protocol.CodeCallNotInitialized, "the daemon is stopping")
	errDestroyed = protocol.Errorf(protocol.CodeCallNotInitialized, "calling.destroy was called: call calling.init first")
)

// do runs f on the loop for a program, and waits until f, or what it has begun,
// says how it went. It does so once.
func (m *Machine) do(ctx context.Context, f func(done func(error))) error {
	result := make(chan error, 1)
	if !m.posts.addBelow(func() {
		f(func(err error) {
			select {
			case result <- err:
			default:
			}
		})
	}, 0) {
		return errStopping
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-m.ctx.Done():
		return errStopping
	}
}

// get reads from the loop's state.
func get[T any](ctx context.Context, m *Machine, f func() (T, error)) (out T, err error) {
	err = m.do(ctx, func(done func(error)) {
		v, err := f()
		out = v
		done(err)
	})
	if err != nil {
		var none T // a program that gave up must not read what the loop still writes
		return none, err
	}
	return out, nil
}

func raise[T any](m *Machine, e protocol.Event[T], data T) { device.Raise(m.dev, e, data) }

// trouble raises onError.
func (m *Machine) trouble(code protocol.Code, format string, args ...any) {
	e := protocol.Errorf(code, "%s", strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; "))
	m.log.Warn("trouble with a call", "code", e.Code, "err", e.Msg)
	raise(m, protocol.OnCallingError, *e)
}

// complain logs what others can cause as often as they like.
func (m *Machine) complain(msg string, args ...any) {
	level := slog.LevelInfo
	if !m.complaints.Allow() {
		level = slog.LevelDebug
	}
	m.log.Log(context.Background(), level, msg, args...)
}
