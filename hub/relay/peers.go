package relay

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// ownAddresses are the machine's, read again once in a while: networks come and go.
type ownAddresses struct {
	mu         sync.Mutex
	at         time.Time
	own        map[netip.Addr]bool
	broadcasts map[netip.Addr]bool
}

const readOwnEvery = 10 * time.Second

// is tells whether an address is the machine's, and whether it is the broadcast
// address of a network that it is in.
func (o *ownAddresses) is(a netip.Addr) (own, broadcast bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); o.own == nil || now.Sub(o.at) > readOwnEvery {
		o.at = now
		o.read()
	}
	return o.own[a], o.broadcasts[a]
}

func (o *ownAddresses) read() {
	list, err := net.InterfaceAddrs()
	if err != nil && o.own != nil {
		return // what was known is better than nothing
	}
	o.own, o.broadcasts = make(map[netip.Addr]bool), make(map[netip.Addr]bool)
	for _, x := range list {
		n, ok := x.(*net.IPNet)
		if !ok {
			continue
		}
		a, ok := netip.AddrFromSlice(n.IP)
		if !ok {
			continue
		}
		a = a.Unmap()
		o.own[a] = true
		if mask := n.Mask; a.Is4() && len(mask) == net.IPv4len {
			if ones, bits := mask.Size(); ones < bits-1 {
				b := a.As4()
				for i := range b {
					b[i] |= ^mask[i]
				}
				o.broadcasts[netip.AddrFrom4(b)] = true
			}
		}
	}
}

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")   // Linux takes 0.0.0.0 for itself
	reserved    = netip.MustParsePrefix("240.0.0.0/4") // 255.255.255.255 among them
	compatible  = netip.MustParsePrefix("::/96")       // IPv4 in IPv6 of old (RFC 4291 §2.5.5.1), ::1 among them
	translated  = netip.MustParsePrefix("64:ff9b::/96")
)

// mayPeer is pion's: whether a client may have an address as its peer. Which of
// its ports, the socket decides.
func (s *Server) mayPeer(from net.Addr, ip net.IP) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && s.mayReach(a) && s.hasPlace(from, a)
}

// mayReach keeps clients from what only this machine, or its link, can reach.
func (s *Server) mayReach(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if a.Is6() && translated.Contains(a) { // a translator would go for the IPv4 address
		b := a.As16()
		return s.mayReach(netip.AddrFrom4([4]byte(b[12:])))
	}
	if a.IsLoopback() {
		return s.alone
	}
	_, broadcast := s.own.is(a)
	switch {
	case !a.IsValid(), a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast(), broadcast,
		thisNetwork.Contains(a), reserved.Contains(a), compatible.Contains(a):
		return false
	}
	return true
}

// firstFree is the first port that a program without privileges can have.
const firstFree = 1024

// maySend tells whether a client may send to a port of a peer that it may have. On
// this machine there may be a board, and there are the relayed sockets of others;
// its services are none of a client's business, the relay itself among them.
func (s *Server) maySend(to netip.AddrPort) bool {
	a := to.Addr().Unmap().WithZone("")
	if own, _ := s.own.is(a); !own && !a.IsLoopback() && a != s.v4.announce && a != s.v6.announce {
		return true
	}
	return to.Port() >= firstFree && to.Port() != s.Addr().Port()
}
