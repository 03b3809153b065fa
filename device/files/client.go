package files

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"
)

const (
	connectTime = 10 * time.Second
	// unsent is how much may lie in the kernel's buffer that has not left the
	// board (TCP_NOTSENT_LOWAT): what is there when a connection is cut is sent
	// again.
	unsent = 128 << 10
	// piece is the most that is written at a time: it must go within the time
	// without progress.
	piece = 16 << 10
	// leastRead is how much must come within that time. A head may be shorter, so
	// the time begins anew with each request.
	leastRead = 1 << 10
)

// newClient makes an HTTP client with a limit on the time without progress and
// none on the time in all: 100 MB through a thin line take hours.
func newClient(config *tls.Config, idle time.Duration) *http.Client {
	dialer := net.Dialer{Timeout: connectTime}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			if raw, err := tcp.SyscallConn(); err == nil {
				_ = raw.Control(func(fd uintptr) { // a kernel without it only sends more again
					_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
				})
			}
		}
		p := &patient{Conn: conn, idle: idle}
		return p, p.extend()
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dial, TLSClientConfig: config, TLSHandshakeTimeout: connectTime,
			MaxIdleConnsPerHost: maxUp + maxDown + maxAhead, IdleConnTimeout: min(idle, 20*time.Second),
			DisableCompression: true, MaxResponseHeaderBytes: 32 << 10,
			WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
		},
		CheckRedirect: sameHost,
	}
}

var errElsewhere = errors.New("the server sends on to another host")

// sameHost lets a server send on to itself only. Who is in between (a hotel's
// network, for one) has no file of ours, and gets no signature.
func sameHost(r *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case r.URL.Scheme != first.URL.Scheme || r.URL.Host != first.URL.Host:
		return errElsewhere
	case first.Method != http.MethodGet:
		return http.ErrUseLastResponse
	case len(via) > 3:
		return errors.New("the server sends on and on")
	}
	return nil
}

// patient is a connection that ends when nothing moves for too long.
type patient struct {
	net.Conn
	idle time.Duration
	got  int // read since the time was last extended; by the one reader
}

func (p *patient) extend() error { return p.SetDeadline(time.Now().Add(p.idle)) }

func (p *patient) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if p.got += n; p.got >= leastRead && err == nil {
		p.got = 0
		err = p.extend()
	}
	return n, err
}

func (p *patient) Write(b []byte) (written int, err error) {
	for len(b) > 0 {
		if err := p.extend(); err != nil {
			return written, err
		}
		n, err := p.Conn.Write(b[:min(piece, len(b))])
		written += n
		if err != nil {
			return written, err
		}
		b = b[n:]
	}
	return written, nil
}
