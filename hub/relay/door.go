package relay

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	connsPerHost = 64               // clients of one address that come by TCP; a building is one
	moreConns    = 256              // than allocations
	askTime      = 30 * time.Second // without an allocation
	askReads     = 2000             // likewise; each that brings no whole packet costs stack
	idleTime     = 15 * time.Minute // with one; its client says something every 10 min, to keep it
	writeTime    = 5 * time.Second  // of a client that does not read
	acceptPause  = 50 * time.Millisecond
)

// front is the UDP socket: it tells when pion has done with it.
type front struct {
	net.PacketConn
	s    *Server
	once sync.Once
}

// ReadFrom is called by one goroutine, which ends with the first error. So what can
// happen on a socket in use is none: an ICMP of a client that has gone, say.
func (f *front) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := f.PacketConn.ReadFrom(b)
		switch {
		case err == nil:
			return n, from, nil
		case errors.Is(err, net.ErrClosed):
			f.once.Do(f.s.left.Done)
			return n, from, err
		}
		f.s.log.Debug("a packet cannot be read", "err", err)
		time.Sleep(acceptPause)
	}
}

// door is the TCP listener: it bounds who comes in, and keeps count of them.
type door struct {
	net.Listener
	s *Server
}

func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil, err
		case err != nil: // too many files, say: pion would never accept again
			d.s.log.Warn("a connection to the relay cannot be accepted", "err", err)
			time.Sleep(acceptPause)
			continue
		}
		if in := d.s.enter(c); in != nil {
			return in, nil
		}
		_ = c.Close()
	}
}

// enter lets a connection in, or returns nil.
func (s *Server) enter(c net.Conn) *conn {
	remote, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return nil
	}
	host := remote.AddrPort().Addr().Unmap()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= s.cfg.Allocations+moreConns || s.byHost[host] >= connsPerHost {
		return nil
	}
	in := &conn{Conn: c, s: s, host: host, name: c.RemoteAddr().String(), since: time.Now()}
	s.conns[in.name] = in
	s.byHost[host]++
	s.left.Add(1)
	return in
}

// conn is a client that came by TCP. One goroutine of pion's reads it, and closes
// it last of all.
type conn struct {
	net.Conn
	s     *Server
	host  netip.Addr
	name  string
	since time.Time
	reads int
	has   atomic.Bool // an allocation
	once  sync.Once
}

func (c *conn) Read(b []byte) (int, error) {
	until := c.since.Add(askTime)
	if c.has.Load() {
		until = time.Now().Add(idleTime)
	} else if c.reads++; c.reads > askReads {
		return 0, net.ErrClosed
	}
	if err := c.SetReadDeadline(until); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// Write is for a reader's answers and an allocation's packets at once. After half a
// packet there is no going on.
func (c *conn) Write(b []byte) (int, error) {
	err := c.SetWriteDeadline(time.Now().Add(writeTime))
	n := 0
	if err == nil {
		n, err = c.Conn.Write(b)
	}
	if err != nil {
		_ = c.Conn.Close()
	}
	return n, err
}

func (c *conn) Close() error {
	c.once.Do(func() {
		_ = c.Conn.Close()
		c.s.mu.Lock()
		defer c.s.mu.Unlock()
		if c.s.conns[c.name] == c { // its address may have come again already
			delete(c.s.conns, c.name)
		}
		if c.s.byHost[c.host]--; c.s.byHost[c.host] == 0 {
			delete(c.s.byHost, c.host)
		}
		c.s.left.Done()
	})
	return nil
}
