package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
)

// Config is what a Broker is made of.
type Config struct {
	// Listeners are accepted on by Run, which closes them. For TLS: tls.NewListener.
	Listeners []net.Listener
	Log       *slog.Logger // nil: slog.Default
	Limits    Limits
}

// Errors of Publish, besides ErrRetainedFull.
var (
	ErrClosed   = errors.New("broker: closed")
	ErrTopic    = errors.New("broker: topic is empty, too long, starts with $ or has a wildcard")
	ErrQoS      = errors.New("broker: QoS must be 0 or 1")
	ErrTooLarge = errors.New("broker: message is too large")
)

// Broker is an MQTT broker inside the process.
type Broker struct {
	limits    Limits
	log       *slog.Logger
	complain  *complaints
	handler   Handler
	listeners []net.Listener
	topics    *mqtt.TopicsIndex // filters by client id; its retained messages are not used
	retained  *retained
	buffers   buffers
	count     counters

	connections sync.WaitGroup // their goroutines

	mu         sync.RWMutex
	stopping   bool
	closed     bool                 // nobody is left to deliver to
	links      map[*link]netip.Addr // open connections and what they count under
	perAddress map[netip.Addr]int
	pending    int                   // links without a session
	pendingAt  map[netip.Addr]int    // the same by address
	sessions   map[string]*session   // by client id
	users      map[string][]*session // by user name, the oldest first
}

// New makes a broker. Publish can be used at once, connections are taken when it runs.
func New(cfg Config, h Handler) (*Broker, error) {
	if h == nil {
		return nil, errors.New("broker: no handler")
	}
	limits := cfg.Limits.withDefaults()
	if err := limits.validate(); err != nil {
		return nil, err
	}
	log := cfg.Log
	if log == nil {
		log = slog.Default()
	}
	log = log.With("room", "broker")
	b := &Broker{
		limits:     limits,
		log:        log,
		complain:   newComplaints(log),
		handler:    h,
		topics:     mqtt.NewTopicsIndex(),
		listeners:  cfg.Listeners,
		links:      map[*link]netip.Addr{},
		perAddress: map[netip.Addr]int{},
		pendingAt:  map[netip.Addr]int{},
		users:      map[string][]*session{},
		sessions:   map[string]*session{},
	}
	b.retained = &retained{broker: b, last: map[string]retainedMessage{}}
	return b, nil
}

// Addrs returns the addresses of the listeners, in the order of Config.
func (b *Broker) Addrs() []net.Addr {
	var out []net.Addr
	for _, l := range b.listeners {
		out = append(out, l.Addr())
	}
	return out
}

// Run takes connections until ctx ends. It then closes the listeners, lets what is queued leave for
// at most DrainTimeout, closes the connections and returns when all goroutines and calls of the
// Handler are over. It may be called once. The error is nil unless a listener broke.
func (b *Broker) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, len(b.listeners))
	var accepting sync.WaitGroup
	for _, l := range b.listeners {
		b.log.Info("listening", "addr", l.Addr().String())
		accepting.Go(func() {
			if err := b.accept(ctx, l); err != nil {
				errs <- fmt.Errorf("broker: accept on %s: %w", l.Addr(), err)
				cancel()
			}
		})
	}
	<-ctx.Done()
	for _, l := range b.listeners {
		_ = l.Close() // Accept then fails, which is all we want
	}
	accepting.Wait()
	b.stop()
	close(errs)
	return <-errs
}

// stop ends all connections and waits for them.
func (b *Broker) stop() {
	b.mu.Lock()
	b.stopping = true
	b.mu.Unlock()
	for _, l := range b.openLinks() {
		if b.isSession(l) {
			l.end()
		} else {
			l.abort(errStopping)
		}
	}
	// finish is bounded, but in two steps (writing, lingering). Here both share one DrainTimeout.
	hurry := time.AfterFunc(b.limits.DrainTimeout, func() {
		for _, l := range b.openLinks() {
			l.abort(errStopping)
		}
	})
	defer hurry.Stop()
	b.connections.Wait()
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.log.Info("stopped")
}

func (b *Broker) openLinks() []*link {
	b.mu.RLock()
	defer b.mu.RUnlock()
	out := make([]*link, 0, len(b.links))
	for l := range b.links {
		out = append(out, l)
	}
	return out
}

// Publish sends a message to all peers that have subscribed to topic, with the lesser of qos and
// their subscription's. It does not wait for any of them, and that somebody did not get it is no
// error. With retain the message is also kept for those that subscribe later; an empty payload
// removes what was kept. The payload is not kept.
//
// topic: 1 to 512 bytes and 16 levels. Errors: ErrTopic, ErrQoS, ErrTooLarge, ErrRetainedFull,
// ErrClosed after Run.
func (b *Broker) Publish(topic string, payload []byte, qos byte, retain bool) error {
	switch {
	case !validTopic(topic):
		return fmt.Errorf("%w: %q", ErrTopic, short(topic))
	case qos > 1:
		return ErrQoS
	case len(topic)+len(payload)+4 > b.limits.PacketBytes:
		return fmt.Errorf("%w: %d bytes to %q", ErrTooLarge, len(payload), topic)
	}
	b.mu.RLock()
	closed := b.closed
	b.mu.RUnlock()
	if closed {
		return ErrClosed
	}
	deliver := func() { b.deliver(topic, payload, qos) }
	if retain {
		return b.retained.publish(topic, payload, qos, deliver)
	}
	deliver()
	return nil
}

func (b *Broker) deliver(topic string, payload []byte, qos byte) {
	subs := b.topics.Subscribers(topic).Subscriptions
	if len(subs) == 0 {
		return
	}
	p := newPacket(topic, payload, false)
	for id, sub := range subs {
		b.mu.RLock()
		s := b.sessions[id]
		b.mu.RUnlock()
		if s != nil {
			s.deliver(p, min(qos, sub.Qos))
		}
	}
}

// Disconnect ends the connection of a client id whose Data it is, and says whether there was one: another one that has taken the
// client id over meanwhile stays. It does not wait: what was published to the peer before still leaves,
// nothing after it does, and at most the one Receive that is already running is completed.
func (b *Broker) Disconnect(clientID string, data any) bool {
	b.mu.RLock()
	s := b.sessions[clientID]
	b.mu.RUnlock()
	if s == nil || s.peer.Data != data {
		return false
	}
	s.link.end()
	return true
}

// Confine ends the subscriptions of a user's peers to all filters but those that may stay. One that
// MaySubscribe is just being asked about is waited for and met too.
func (b *Broker) Confine(username string, may func(filter string) bool) {
	b.mu.RLock()
	sessions := slices.Clone(b.users[username])
	b.mu.RUnlock()
	for _, s := range sessions {
		s.confine(may)
	}
}

// serve is the life of one connection.
func (b *Broker) serve(l *link) {
	defer b.leave(l)
	defer l.finish()
	remote := l.conn.RemoteAddr().String()
	var s *session
	err := b.guard(l, func() (err error) {
		s, err = b.login(l)
		return err
	})
	if s == nil {
		b.log.Debug("no login", "remote", remote, "reason", err)
		return
	}
	b.log.Debug("terminal connected", "client", s.peer.ClientID, "remote", remote)
	err = b.guard(l, s.converse)
	b.log.Debug("terminal gone", "client", s.peer.ClientID, "remote", remote, "reason", err)
	if v, ok := errors.AsType[*violation](err); ok {
		b.count.violations.Add(1)
		b.complain.warn("terminal broke the protocol", "client", s.peer.ClientID, "remote", remote, "reason", v)
	}
	l.end()
	_ = b.guard(l, func() error { s.confine(func(string) bool { return false }); return nil }) // a panic was logged
	b.depart(s)
}

// depart tells the hub that the peer is gone and gives the client id free.
func (b *Broker) depart(s *session) {
	defer b.release(s)
	s.mu.Lock()
	dropped := s.dropped
	s.mu.Unlock()
	if dropped > 0 {
		b.complain.warn("terminal did not get all messages", "client", s.peer.ClientID, "dropped", dropped)
	}
	will := s.will
	s.peer.Left = s.disconnected || s.link.peerLeft
	if s.disconnected {
		will = nil
	}
	_ = b.guard(s.link, func() error { b.handler.Gone(&s.peer, will); return nil }) // a panic was logged
}

var errPanic = errors.New("panic")

// guard calls fn and turns its panic, the library's or the Handler's, into an error.
func (b *Broker) guard(l *link, fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			b.count.panics.Add(1)
			b.log.Error("panic on a connection", "remote", l.conn.RemoteAddr().String(), "panic", v, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanic, v)
		}
	}()
	return fn()
}
