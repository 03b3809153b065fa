package broker

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// accept takes connections until ctx ends. Errors, such as too many open files, are waited out.
func (b *Broker) accept(ctx context.Context, l net.Listener) error {
	const shortest, longest = 5 * time.Millisecond, time.Second
	pause := shortest
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = shortest
			b.admit(c)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err // somebody else closed it: it will not recover
		default:
			b.count.acceptErrors.Add(1)
			b.complain.warn("cannot accept connections", "addr", l.Addr().String(), "err", err, "retry_in", pause)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(pause):
			}
			pause = min(2*pause, longest)
		}
	}
}

// admit starts the life of a connection, unless there are too many.
func (b *Broker) admit(c net.Conn) {
	l := newLink(b, c)
	addr := Address(c.RemoteAddr().String())
	b.mu.Lock()
	reason := ""
	switch {
	case b.stopping:
		reason = "stopping"
	case len(b.links) >= b.limits.Connections:
		reason = "too many connections"
	case b.perAddress[addr] >= b.limits.PerAddress:
		reason = "too many connections of one address"
	case b.pendingAt[addr] >= b.limits.PendingPerAddress:
		reason = "too many connections of one address that have not logged in"
	case b.pending >= b.limits.Pending:
		reason = "too many connections that have not logged in"
	}
	if reason != "" {
		b.mu.Unlock()
		b.count.turnedAway.Add(1)
		b.complain.warn("connection turned away", "remote", c.RemoteAddr().String(), "reason", reason)
		l.abort(errStopping)
		return
	}
	b.links[l] = addr
	b.perAddress[addr]++
	b.pending++
	b.pendingAt[addr]++
	b.mu.Unlock()
	b.count.accepted.Add(1)
	b.connections.Go(func() { b.serve(l) })
}

// isSession says whether the link has logged in.
func (b *Broker) isSession(l *link) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return l.session != nil
}

// leave gives back what admit has counted.
func (b *Broker) leave(l *link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	addr := b.links[l]
	delete(b.links, l)
	if b.perAddress[addr]--; b.perAddress[addr] == 0 {
		delete(b.perAddress, addr)
	}
	if l.session == nil {
		b.decided(addr)
	}
}

// decided counts down the connections that have not logged in; called with mu held.
func (b *Broker) decided(addr netip.Addr) {
	b.pending--
	if b.pendingAt[addr]--; b.pendingAt[addr] == 0 {
		delete(b.pendingAt, addr)
	}
}

// Address is what connections of a remote address and port are counted under: an IPv4 address, or the
// /64 that one holder of IPv6 addresses usually has to himself.
func Address(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{} // a pipe in memory
	}
	addr := ap.Addr().Unmap().WithZone("")
	if addr.Is4() {
		return addr
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return addr
	}
	return prefix.Addr()
}
