// Package relay is the hub's STUN and TURN server (RFC 8489, RFC 8656): boards and
// phones learn by it how they look from outside, and send media through it where
// no path of their own leads to each other. pion/turn speaks the protocol; here is
// what keeps it within bounds: who may use it, for how long, to reach whom, with
// how many sockets, and that nothing of it is left when the hub ends.
//
// Only UDP is relayed. Clients come by UDP or by TCP, on one port. Nothing here
// knows of calls or accounts: a name and a secret are all it is told.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/turn/v5"
)

// Realm is the server's (RFC 8489 §9.2). It is short, as strangers are told it.
const Realm = "herald"

// Config is what a Server is made of. All of it is required but what says otherwise.
type Config struct {
	Listen string // HOST:PORT for UDP and TCP; port 0 takes a free one
	// Address is the IP that relayed sockets are announced with, and are on where
	// the machine has it. The zero value: Listen's, or the machine's outbound one.
	Address          netip.Addr
	MinPort, MaxPort uint16 // of relayed sockets
	Allocations      int    // at a time
	PerUser          int    // of them, of one user
	// Secret is what the passwords of user names that expire then are made with;
	// false: none is good.
	Secret func(expires time.Time) ([]byte, bool)
	// Blocked tells whether a user gets no allocation although his password is good;
	// it is asked only of those who have proved theirs. nil: nobody is.
	Blocked func(user string) bool
	Now     func() time.Time // nil: time.Now
}

// Server is an open server. Run serves.
type Server struct {
	cfg   Config
	log   *slog.Logger
	udp   net.PacketConn
	tcp   net.Listener
	alone bool // it listens on loopback, so no other machine reaches it

	v4, v6 home
	moves  bool // neither is said: they are the machine's outbound addresses
	own    ownAddresses

	mu      sync.Mutex
	closed  bool
	users   map[string]int
	taken   int // of Allocations, by users
	relays  map[*socket]struct{}
	clients map[string]*client // by addressOf; those with an allocation
	conns   map[string]*conn   // by the client's address
	byHost  map[netip.Addr]int
	left    sync.WaitGroup // sockets and connections that pion has not given back

	refused, in, out atomic.Uint64
}

// home is where relayed sockets of one family are.
type home struct {
	bind, announce netip.Addr // invalid: there are none
}

// Stats are what a Server has done. Bytes are of what was relayed.
type Stats struct {
	Allocations, Connections int
	Refused                  uint64 // allocations that were over a limit
	BytesIn, BytesOut        uint64 // from and to peers
}

// New opens the addresses. Close or Run must follow. An error of an address in use
// is syscall.EADDRINUSE.
func New(cfg Config, log *slog.Logger) (*Server, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{
		cfg: cfg, log: log.With("room", "relay"),
		users: make(map[string]int), relays: make(map[*socket]struct{}), clients: make(map[string]*client),
		conns: make(map[string]*conn), byHost: make(map[netip.Addr]int),
	}
	var err error
	if s.udp, s.tcp, err = open(cfg.Listen); err != nil {
		return nil, err
	}
	if err := s.settle(); err != nil {
		return nil, errors.Join(err, s.udp.Close(), s.tcp.Close())
	}
	return s, nil
}

// open takes one port for UDP and TCP. One that is free for the one need not be
// for the other.
func open(listen string) (udp net.PacketConn, tcp net.Listener, err error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, nil, err
	}
	const tries = 20
	for range tries {
		if udp, err = net.ListenPacket("udp", listen); err != nil {
			return nil, nil, err
		}
		taken := udp.LocalAddr().(*net.UDPAddr).AddrPort()
		if tcp, err = net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(taken.Port()))); err == nil {
			return udp, tcp, nil
		}
		err = errors.Join(err, udp.Close())
		if port != "0" {
			break
		}
	}
	return nil, nil, err
}

// settle finds out where relayed sockets are.
func (s *Server) settle() error {
	at := s.Addr()
	s.alone = at.Addr().IsLoopback()
	if a := s.cfg.Address.Unmap(); a.IsValid() {
		bind := a
		if !s.has(a) { // a router's, which leads here
			bind = at.Addr()
			if bind.IsUnspecified() {
				bind = netip.IPv4Unspecified()
				if a.Is6() {
					bind = netip.IPv6Unspecified()
				}
			}
			if bind.Is4() != a.Is4() {
				return fmt.Errorf("the address %s to announce (turn.relay_address) is not of the family of %s, which is listened on", a, at.Addr())
			}
		}
		s.place(home{bind, a})
		return nil
	}
	if !at.Addr().IsUnspecified() {
		s.place(home{at.Addr(), at.Addr()})
		return nil
	}
	s.moves = true
	return nil
}

// homeOf is where relayed sockets of a family are at present. A machine may come to
// its network after the hub has started, and to another one later.
func (s *Server) homeOf(network string) home {
	h, somewhere := s.v4, "192.0.2.1:9"
	if network == "udp6" {
		h, somewhere = s.v6, "[2001:db8::1]:9"
	}
	if s.moves && (network == "udp4" || s.Addr().Addr().Is6()) {
		a := outbound(network, somewhere)
		return home{a, a}
	}
	return h
}

func (s *Server) place(h home) {
	switch {
	case h.announce.Is4():
		s.v4 = h
	case h.announce.Is6():
		s.v6 = h
	}
}

// has tells whether a socket can be on an address of this machine.
func (s *Server) has(a netip.Addr) bool {
	c, err := net.ListenPacket("udp", netip.AddrPortFrom(a, 0).String())
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// outbound is the address by which the machine would reach the world, or the zero
// one. Nothing is sent.
func outbound(network, somewhere string) netip.Addr {
	c, err := net.Dial(network, somewhere)
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
}

// Addr is where the server listens, by UDP and TCP.
func (s *Server) Addr() netip.AddrPort {
	a := s.udp.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Close closes a server that does not run.
func (s *Server) Close() error { return errors.Join(s.udp.Close(), s.tcp.Close()) }

// leaveTime is how long pion may take to give everything back.
const leaveTime = 5 * time.Second

// Run serves until ctx ends, and returns when no socket and no goroutine is left.
func (s *Server) Run(ctx context.Context) error {
	s.left.Add(1) // of the UDP socket, see front
	server, err := turn.NewServer(turn.ServerConfig{
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: &front{PacketConn: s.udp, s: s}, RelayAddressGenerator: sockets{s}, PermissionHandler: s.mayPeer}},
		ListenerConfigs:   []turn.ListenerConfig{{Listener: &door{Listener: s.tcp, s: s}, RelayAddressGenerator: sockets{s}, PermissionHandler: s.mayPeer}},
		LoggerFactory:     logs{s.log},
		Realm:             Realm,
		AuthHandler:       s.authenticate,
		QuotaHandler:      func(user, _ string, _ net.Addr) bool { return s.roomFor(user) },
		EventHandler:      s.events(),
	})
	if err != nil {
		s.left.Done()
		return errors.Join(fmt.Errorf("start the relay: %w", err), s.Close())
	}
	<-ctx.Done()
	err = server.Close()
	s.hangUp()
	gone := make(chan struct{})
	go func() {
		s.left.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-time.After(leaveTime):
		s.log.Error("sockets of the relay are not given back", "allocations", server.AllocationCount())
	}
	return err
}

// hangUp closes what clients have open, and lets nothing more be opened.
func (s *Server) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, c := range s.conns {
		_ = c.Conn.Close()
	}
	for r := range s.relays {
		_ = r.PacketConn.Close()
	}
}

// End closes all that a user has relayed.
func (s *Server) End(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.relays {
		if r.user == user {
			_ = r.PacketConn.Close() // pion reads from it, and gives it back
		}
	}
}

// Stats tells what the server has done so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{s.taken, len(s.conns), s.refused.Load(), s.in.Load(), s.out.Load()}
}
