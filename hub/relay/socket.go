package relay

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"

	"github.com/pion/turn/v5"
)

var (
	errFull    = errors.New("the relay has no more room for this user")
	errFamily  = errors.New("the relay has no address of this family")
	errNoPort  = errors.New("no port is free for a relayed socket")
	errOnlyUDP = errors.New("only UDP is relayed")
	errNoPairs = errors.New("ports are not given in pairs")
)

// sockets makes relayed sockets for pion.
type sockets struct{ s *Server }

func (sockets) Validate() error { return nil }

func (sockets) AllocateListener(turn.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	return nil, nil, errOnlyUDP
}

func (sockets) AllocateConn(turn.AllocateConnConfig) (net.Conn, error) { return nil, errOnlyUDP }

func (g sockets) AllocatePacketConn(c turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	s, at := g.s, g.s.homeOf(c.Network)
	// pion tries for EVEN-PORT in nobody's name and before it asks how much a user has, and keeps each pair's second port
	// for 30 s in a list without bound. WebRTC sends all over one port.
	if c.UserID == "" {
		return nil, nil, errNoPairs
	}
	if !at.announce.IsValid() {
		return nil, nil, errFamily
	}
	r := &socket{s: s, user: c.UserID}
	if !s.take(r) {
		s.refused.Add(1)
		return nil, nil, errFull
	}
	var err error
	if r.PacketConn, err = s.listenAt(at.bind, c.Network); err != nil {
		s.giveBack(r)
		return nil, nil, err
	}
	if !s.begun(r) {
		return nil, nil, errors.Join(net.ErrClosed, r.Close())
	}
	port := r.PacketConn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	return r, net.UDPAddrFromAddrPort(netip.AddrPortFrom(at.announce, port)), nil
}

// listenAt opens a socket on a random port of the relay's.
func (s *Server) listenAt(a netip.Addr, network string) (net.PacketConn, error) {
	low, n := int(s.cfg.MinPort), int(s.cfg.MaxPort)-int(s.cfg.MinPort)+1
	const tries = 64
	first := rand.IntN(n)
	for i := range min(tries, n) {
		port := uint16(low + (first+i)%n)
		if conn, err := net.ListenPacket(network, netip.AddrPortFrom(a, port).String()); err == nil {
			return conn, nil
		}
	}
	return nil, errNoPort
}

// socket is a relayed socket.
type socket struct {
	net.PacketConn
	s    *Server
	user string
	once sync.Once
}

// roomFor tells whether a user may have one more.
func (s *Server) roomFor(user string) bool {
	s.mu.Lock()
	ok := s.hasRoom(user)
	s.mu.Unlock()
	if ok = ok && (s.cfg.Blocked == nil || !s.cfg.Blocked(user)); !ok {
		s.refused.Add(1)
	}
	return ok
}

func (s *Server) hasRoom(user string) bool {
	return !s.closed && s.taken < s.cfg.Allocations && s.users[user] < s.cfg.PerUser
}

func (s *Server) take(r *socket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hasRoom(r.user) {
		return false
	}
	s.users[r.user]++
	s.taken++
	s.left.Add(1)
	return true
}

// begun notes that a socket is open; false: the server has ended meanwhile.
func (s *Server) begun(r *socket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.relays[r] = struct{}{}
	return true
}

func (s *Server) giveBack(r *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users[r.user]--; s.users[r.user] == 0 {
		delete(s.users, r.user)
	}
	s.taken--
	delete(s.relays, r)
	s.left.Done()
}

// Close never fails: pion would leave others open.
func (r *socket) Close() error {
	r.once.Do(func() {
		_ = r.PacketConn.Close()
		r.s.giveBack(r)
	})
	return nil
}

func (r *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := r.PacketConn.ReadFrom(b)
	r.s.in.Add(uint64(max(n, 0)))
	return n, from, err
}

func (r *socket) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*net.UDPAddr)
	if !ok || !r.s.maySend(a.AddrPort()) {
		return len(b), nil // as if it were lost on the way
	}
	r.s.out.Add(uint64(len(b)))
	return r.PacketConn.WriteTo(b, to)
}
