package device

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/herald-im/herald/device/link"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

const maxLogs = 100_000 // of an account

// connection is one link with its hello: everything in it belongs to the
// session's goroutine.
type connection struct {
	s    *session
	link *link.Conn
	boot uint64
	log  interface {
		Debug(msg string, args ...any)
		Warn(msg string, args ...any)
	}

	helloed   time.Time
	welcome   *protocol.Welcome // nil until it came
	heads     []protocol.Head   // gathered until the last of them
	ready     bool
	flight    *flight // the batch on its way; nil: none
	pulls     pulls
	surveys   surveys
	queries   map[uint32]*query
	nextQuery uint32
	pending   map[uint64]*call
	nextCall  uint64            // begins anywhere: a late reply may be of an earlier connection
	live      map[string]uint32 // rooms listened to
	deaf      []deaf
	garbled   int    // live messages that cannot be read
	waited    uint64 // items below it were accepted before this connection stood
	beaten    time.Time
	beat      time.Duration
	posts     posts
}

// posts brings functions from the committer's goroutine to the session's.
type posts struct {
	mu    sync.Mutex
	fns   []func() error
	ready chan struct{}
}

func (p *posts) add(fn func() error) {
	p.mu.Lock()
	p.fns = append(p.fns, fn) // bounded by the operations under way in the store
	p.mu.Unlock()
	select {
	case p.ready <- struct{}{}:
	default:
	}
}

func (p *posts) take() []func() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	fns := p.fns
	p.fns = nil
	return fns
}

// connect makes one connection and serves it until it ends. The error says why.
func (s *session) connect() error {
	sig, err := s.ticket()
	if err != nil {
		return err
	}
	s.setLink("connecting", nil)
	raise(s.d, protocol.OnConnecting, protocol.Empty{})
	boot := rand.Uint64() | 1
	cfg := s.d.cfg
	var secure *link.TLS
	if cfg.HubTLS {
		secure = &link.TLS{CAFile: cfg.CAFile, Times: s.d.clock.certificates}
	}
	l, err := link.Dial(s.ctx, link.Params{
		Addr: cfg.HubAddr, TLS: secure,
		App: s.app, User: s.user, Terminal: s.d.terminal, Sig: sig, Boot: boot,
		ConnectTimeout: cfg.ConnectTimeout, KeepAlive: cfg.KeepAlive,
	})
	if err != nil {
		return err
	}
	c := s.newConnection(l, boot)
	defer c.close()
	if err := c.hello(); err != nil {
		return err
	}
	return c.serve(s.ctx)
}

func (s *session) newConnection(l *link.Conn, boot uint64) *connection {
	c := &connection{
		s: s, link: l, boot: boot, log: s.log,
		pending: make(map[uint64]*call), queries: make(map[uint32]*query), nextQuery: rand.Uint32(), live: make(map[string]uint32),
		beat: s.d.cfg.Beat, beaten: time.Now(), nextCall: rand.Uint64() >> 1,
		posts: posts{ready: make(chan struct{}, 1)},
	}
	c.pulls.init()
	return c
}

// close ends the connection and answers the calls and queries that wait for it.
func (c *connection) close() {
	c.link.Close()
	c.endSurveys()
	for _, call := range c.pending {
		call.done(nil, errOffline)
	}
	for _, q := range c.queries {
		q.done(nil, errOffline)
	}
}

func (c *connection) send(f *protocol.Frame) error {
	f.Boot = c.boot
	return c.link.Send(f)
}

func (c *connection) hello() error {
	s := c.s
	digest, logs := s.inbox.Digest()
	c.helloed, c.welcome, c.heads, c.ready = time.Now(), nil, nil, false
	return c.send(&protocol.Frame{Hello: &protocol.Hello{
		Version: protocol.Version, Program: "herald " + protocol.BuildVersion, Platform: s.d.cfg.Platform,
		Epoch: s.box.Epoch(), Eras: s.inbox.Eras(16), Digest: digest, Logs: logs,
	}})
}

// serve is the connection's loop.
func (c *connection) serve(ctx context.Context) error {
	ticker := time.NewTicker(c.s.d.timing.tick)
	defer ticker.Stop()
	for {
		var err error
		c.s.alive.Store(int64(c.s.d.uptime()))
		select {
		case <-ctx.Done():
			_ = c.link.SendLast(&protocol.Frame{Boot: c.boot, Bye: &protocol.Bye{Boot: c.boot}}) // a courtesy: the hub finds out by itself
			return ctx.Err()
		case <-c.link.Down():
			return c.rest()
		case m := <-c.link.In():
			err = c.receive(m)
		case <-c.posts.ready:
			for _, fn := range c.posts.take() {
				err = errors.Join(err, fn())
			}
		case <-c.s.queued:
			err = c.fill()
		case <-c.s.poke: // not to be remembered: the wait after the next cut is to be a whole one
			if c.s.untried() {
				return errRenewed
			}
		case call := <-c.s.calls:
			err = c.call(call)
		case q := <-c.s.queries:
			err = c.query(q)
		case <-c.s.moved:
			if c.link.Homeless() {
				return errMoved
			}
		case s := <-c.s.signals:
			err = c.signalUp(s)
		case <-ticker.C:
			err = c.deadlines()
		}
		if err != nil {
			return err
		}
		c.caughtUp()
	}
}

// rest takes what came before the link broke: the hub says why it ends a session
// and closes the link right behind.
func (c *connection) rest() error {
	for {
		select {
		case m := <-c.link.In():
			if err := c.receive(m); err != nil {
				return err
			}
		default:
			return fmt.Errorf("the link broke: %w", c.link.Err())
		}
	}
}

// deadlines finds answers that are overdue, and beats.
func (c *connection) deadlines() error {
	now := time.Now()
	switch {
	case !c.ready && now.Sub(c.helloed) > c.s.d.timing.answer:
		return errors.New("the hub has not answered the hello")
	case c.flight != nil && now.Sub(c.flight.sent) > c.s.d.timing.answer:
		return errors.New("the hub has not answered a batch")
	}
	if !c.ready {
		return nil
	}
	expire(c.s, c.pending, now)
	expire(c.s, c.queries, now)
	c.listenAgain()
	if err := c.surveyAgain(now); err != nil {
		return err
	}
	if err := c.pulls.retry(c, now); err != nil {
		return err
	}
	if now.Sub(c.beaten) < c.beat {
		return nil
	}
	c.beaten = now
	digest, logs := c.s.inbox.Digest()
	return c.send(&protocol.Frame{Beat: &protocol.Beat{Digest: digest, Logs: logs, Moved: c.s.inbox.TakeMoved(protocol.MaxHeads)}})
}

// receive handles one frame.
func (c *connection) receive(m link.Message) error {
	f, err := protocol.DecodeFrame(m.Payload)
	if err != nil {
		c.log.Warn("a frame that cannot be read is left out", "err", err)
		m.Ack()
		return nil
	}
	if ms, known := c.s.d.clock.now(); f.Exp != 0 && known && f.Exp < ms {
		c.log.Debug("a late frame is left out")
		m.Ack()
		return nil
	}
	if len(f.People) > 0 && c.ready {
		c.s.meet(f.People)
	}
	if f.Push != nil { // acknowledged when it is on disk
		return c.push(f.Push, m.Ack)
	}
	m.Ack()
	switch {
	case f.Welcome != nil:
		return c.welcomed(f.Welcome)
	case f.Heads != nil:
		return c.gotHeads(f.Heads)
	case f.Acks != nil:
		return c.answered(f.Acks)
	case f.Range != nil:
		return c.gotRange(f.Range)
	case f.Reply != nil:
		c.replied(f.Reply)
	case f.States != nil:
		return c.surveyed(f.States)
	case f.Signal != nil:
		return c.signal(f.Signal)
	case f.Bye != nil:
		return c.bye(f.Bye)
	}
	return nil
}

func (c *connection) bye(b *protocol.Bye) error {
	switch {
	case b.Boot != 0 && b.Boot != c.boot:
		return nil // of an earlier connection
	case b.Boot == 0 && c.welcome == nil:
		return nil // and so is this, most likely: a broker that keeps sessions has kept it
	case b.Code == protocol.CodeNotLoggedIn, b.Code == protocol.CodeNetAuthInvalid:
		// The hub does not know this session, or not its numbering (any more).
		switch {
		case c.welcome == nil:
			return nil // a hello is on its way already
		case time.Since(c.helloed) < c.s.d.timing.helloApart:
			return fmt.Errorf("the hub asks for one hello after the other: %s", b.Msg)
		}
		c.flight = nil
		c.pulls.forget()
		return c.hello()
	case b.Code == 0:
		return errors.New("the hub ended the session")
	}
	c.s.pardoned = b.Operator
	return loginError(b.Code, b.Msg)
}

// welcomed begins the session on the hub's word.
func (c *connection) welcomed(w *protocol.Welcome) error {
	if w.Boot != c.boot || c.welcome != nil {
		return nil
	}
	c.welcome = w
	c.s.d.clock.tell(w.Time)
	// The hub may have as many boards as want to be heard less often.
	c.beat = max(c.beat, time.Duration(w.BeatMs)*time.Millisecond)
	if w.Heads {
		return nil // gotHeads goes on
	}
	return c.begin()
}

// gotHeads takes the account's heads: those that follow a welcome all
// together, those that answer a beat as they come.
func (c *connection) gotHeads(h *protocol.Heads) error {
	c.s.d.clock.tell(h.Time)
	if c.ready {
		return c.pullBehind(h.Items)
	}
	if c.welcome == nil {
		return nil
	}
	if c.heads = append(c.heads, h.Items...); len(c.heads) > maxLogs {
		return fmt.Errorf("the hub names more than %d logs", maxLogs)
	}
	if h.More {
		return nil
	}
	return c.begin()
}

// begin compares what the two sides know of each other, and opens the gates.
func (c *connection) begin() error {
	s, w := c.s, c.welcome
	newest := uint32(0)
	if n := len(w.Eras); n > 0 {
		newest = w.Eras[n-1].Ord
	}
	known := len(s.inbox.Eras(1)) > 0
	rewound, entries, err := s.inbox.Meet(w.Eras, w.Common, c.heads, known && w.Heads && w.Common != newest, s.mirror.Rewind, s.mirrored)
	if err != nil {
		return err
	}
	renewed, sent, err := s.box.Meet(w.Epoch, w.LastCseq)
	if err != nil {
		return err
	}
	if len(rewound) > 0 || sent > 0 {
		c.reportRewound(len(rewound), entries, sent)
	}
	if renewed {
		s.log.Info("a new numbering of what is queued begins", "epoch", s.box.Epoch())
	}
	c.listen(w.Live)
	c.waited = s.box.Next()
	c.ready = true
	s.setLink("up", nil)
	s.people.wake() // who asks without a link is told at once that there is none
	if !s.loggedIn() {
		s.log.Info("logged in", "app", s.app, "terminal", s.d.terminal, "hub", w.Hub)
		close(s.first)
	} else {
		s.log.Info("the link is back", "hub", w.Hub)
	}
	s.accepted()
	if s.d.follower.Linked != nil {
		s.d.follower.Linked()
	}
	raise(s.d, protocol.OnConnectSuccess, protocol.Empty{})
	s.d.db.Go(func(tx *bbolt.Tx) error { return tx.Bucket(deviceName).Put(timeKey, s.d.clock.stored()) }, func(error) {})
	c.beginSurveys()
	s.d.files.courier.Retry()
	heads := c.heads
	c.heads = nil
	if err := c.pullBehind(heads); err != nil {
		return err
	}
	return errors.Join(c.fill(), c.survey())
}

func (c *connection) reportRewound(logs int, entries, sent uint64) {
	s := c.s
	s.log.Warn("the hub's database came back from an older copy: it has lost entries that this board had seen or sent",
		"logs", logs, "entries", entries, "sent", sent)
	raise(s.d, protocol.OnHubRewound, protocol.HubRewoundEvent{
		Logs: logs, Entries: entries, Sent: sent, Queue: s.box.Status().Items,
	})
}
