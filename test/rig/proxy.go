package rig

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy carries TCP connections to a target as a bad network would.
type Proxy struct {
	listener net.Listener
	target   string
	delay    atomic.Int64 // nanoseconds for each piece that passes
	refuse   atomic.Bool

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	dead  chan struct{} // not nil while nothing passes; closed when it does again
	wg    sync.WaitGroup
}

// NewProxy listens on a port of loopback.
func NewProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, conns: make(map[net.Conn]struct{})}
	p.wg.Add(1)
	go p.accept()
	return p, nil
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Delay has every piece that passes wait.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// Stall has the network go dead without a word, or live again: what was sent
// meanwhile then arrives, as TCP has it.
func (p *Proxy) Stall(dead bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case dead && p.dead == nil:
		p.dead = make(chan struct{})
	case !dead && p.dead != nil:
		close(p.dead)
		p.dead = nil
	}
}

// pass waits while the network is dead.
func (p *Proxy) pass() {
	p.mu.Lock()
	dead := p.dead
	p.mu.Unlock()
	if dead != nil {
		<-dead
	}
}

// Refuse has new connections refused, or let in again.
func (p *Proxy) Refuse(on bool) { p.refuse.Store(on) }

// Cut ends all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // a reset, as routers send
		}
		_ = c.Close()
	}
}

// Close ends the proxy and all that goes through it.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Stall(false)
	p.Cut()
	p.wg.Wait()
}

func (p *Proxy) accept() {
	defer p.wg.Done()
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.refuse.Load() {
			_ = in.Close()
			continue
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		p.conns[in], p.conns[out] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.wg.Add(2)
		go p.carry(out, in)
		go p.carry(in, out)
	}
}

func (p *Proxy) carry(dst, src net.Conn) {
	defer p.wg.Done()
	defer func() {
		p.pass() // the end of a connection does not get through either
		p.mu.Lock()
		delete(p.conns, src)
		p.mu.Unlock()
		_ = src.Close()
		_ = dst.Close()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if d := time.Duration(p.delay.Load()); d > 0 {
				time.Sleep(d) // this is the bad network
			}
			p.pass()
			if _, werr := dst.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
