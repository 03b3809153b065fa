package relay

import (
	"net"
	"net/netip"

	"github.com/pion/turn/v5"
)

// maxPeers is how many addresses a client may have leave to send to at a time, and
// how many channels, each. pion bounds neither, and one packet can ask for a hundred.
// A call has 128 candidates of the far end at most.
const maxPeers = 256

// client is whoever has an allocation, by one address of his.
type client struct {
	allocations int // 2 while one that has run out gives way to the next
	peers       map[netip.Addr]struct{}
	channels    int
}

func addressOf(a net.Addr) string { return a.Network() + " " + a.String() }

// events has pion tell what its clients hold.
func (s *Server) events() turn.EventHandler {
	return turn.EventHandler{
		OnAllocationCreated: func(from, _ net.Addr, _, _, _ string, _ net.Addr, _ int) { s.settled(from, 1) },
		OnAllocationDeleted: func(from, _ net.Addr, _, _, _ string) { s.settled(from, -1) },
		OnPermissionCreated: func(from, _ net.Addr, _, _, _ string, _ net.Addr, peer net.IP) {
			s.holds(from, func(c *client) { c.peers[plain(peer)] = struct{}{} })
		},
		OnPermissionDeleted: func(from, _ net.Addr, _, _, _ string, _ net.Addr, peer net.IP) {
			s.holds(from, func(c *client) { delete(c.peers, plain(peer)) })
		},
		OnChannelCreated: func(from, _ net.Addr, _, _, _ string, _, _ net.Addr, _ uint16) {
			s.holds(from, func(c *client) { c.channels++ })
		},
		OnChannelDeleted: func(from, _ net.Addr, _, _, _ string, _, _ net.Addr, _ uint16) {
			s.holds(from, func(c *client) { c.channels-- })
		},
	}
}

func plain(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// settled notes that the client at an address has got an allocation, or has one less.
func (s *Server) settled(from net.Addr, more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := addressOf(from)
	c := s.clients[key]
	if c == nil {
		c = &client{peers: make(map[netip.Addr]struct{})}
		s.clients[key] = c
	}
	if c.allocations += more; c.allocations <= 0 {
		delete(s.clients, key)
	}
	if _, tcp := from.(*net.TCPAddr); !tcp {
		return
	}
	if in := s.conns[from.String()]; in != nil {
		in.has.Store(c.allocations > 0)
	}
}

func (s *Server) holds(from net.Addr, note func(*client)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[addressOf(from)]; c != nil {
		note(c)
	}
}

// hasPlace tells whether a client may have one more peer, or keep one that it has.
func (s *Server) hasPlace(from net.Addr, peer netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[addressOf(from)]
	if c == nil || c.channels >= maxPeers {
		return false
	}
	_, has := c.peers[peer.Unmap()]
	return has || len(c.peers) < maxPeers
}
