package link

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/herald-im/herald/protocol"
	"golang.org/x/sys/unix"
)

// TLS says how to trust the hub behind an mqtts address.
type TLS struct {
	CAFile string // PEM; empty: the system's
	// Times gives the times that it may be, nil: now; a certificate that holds at
	// one of them is taken. A board without a clock battery boots in 1970. So
	// certificates may be younger, but not have run out before.
	Times func() []time.Time
}

// dialer opens a connection's socket, and ends it from outside: paho itself
// waits for a broker that does not answer.
type dialer struct {
	ctx     context.Context
	cancel  context.CancelFunc
	addr    string
	timeout time.Duration
	tls     *TLS

	mu     sync.Mutex
	socket net.Conn
}

func newDialer(ctx context.Context, p Params) *dialer {
	d := &dialer{addr: p.Addr, timeout: p.ConnectTimeout, tls: p.TLS}
	d.ctx, d.cancel = context.WithCancel(ctx)
	return d
}

// end closes the socket, if there is one, and keeps another from being opened.
func (d *dialer) end() {
	d.cancel()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.socket != nil {
		_ = d.socket.Close()
	}
}

func (d *dialer) open() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, d.timeout)
	defer cancel()
	nd := net.Dialer{ControlContext: setUserTimeout, KeepAlive: -1} // MQTT has pings of its own
	socket, err := nd.DialContext(ctx, "tcp", d.addr)
	if err != nil {
		return nil, err
	}
	c := socket
	if d.tls != nil {
		if c, err = d.handshake(ctx, socket); err != nil {
			_ = socket.Close()
			return nil, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		_ = socket.Close()
		return nil, d.ctx.Err()
	}
	d.socket = socket
	return &conn{Conn: c, socket: socket, r: bufio.NewReaderSize(c, 4<<10)}, nil
}

func (d *dialer) handshake(ctx context.Context, c net.Conn) (net.Conn, error) {
	host, _, err := net.SplitHostPort(d.addr)
	if err != nil {
		return nil, err
	}
	check := x509.VerifyOptions{DNSName: host}
	if d.tls.CAFile != "" {
		pem, err := os.ReadFile(d.tls.CAFile)
		if err != nil {
			return nil, fmt.Errorf("the hub's CA: %w", err)
		}
		check.Roots = x509.NewCertPool()
		if !check.Roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the hub's CA: no certificate in %s", d.tls.CAFile)
		}
	}
	times := func() []time.Time { return []time.Time{time.Now()} }
	if d.tls.Times != nil {
		times = d.tls.Times
	}
	t := tls.Client(c, &tls.Config{
		ServerName: host, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, // verified below: the library knows one time only for both ends of a validity
		VerifyConnection:   func(s tls.ConnectionState) error { return verifyAny(s.PeerCertificates, check, times()) },
	})
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return t, nil
}

// verifyAny checks a chain at several times. The error is that of the first.
func verifyAny(chain []*x509.Certificate, o x509.VerifyOptions, times []time.Time) error {
	first := errors.New("no time is known to judge the hub's certificate by")
	for i, t := range times {
		err := verify(chain, o, t)
		if err == nil {
			return nil
		}
		if i == 0 {
			first = err
		}
	}
	return first
}

// verify checks a chain at a time that is now or any later one, as far as the
// certificates' beginnings call for it.
func verify(chain []*x509.Certificate, o x509.VerifyOptions, now time.Time) error {
	if len(chain) == 0 {
		return errors.New("the hub shows no certificate")
	}
	o.CurrentTime = now
	o.Intermediates = x509.NewCertPool()
	for i, c := range chain {
		if i > 0 {
			o.Intermediates.AddCert(c)
		}
		if c.NotBefore.After(o.CurrentTime) {
			o.CurrentTime = c.NotBefore
		}
	}
	_, err := chain[0].Verify(o)
	return err
}

// conn reads through a buffer, as paho reads byte by byte, keeps from paho what
// it would choke on, and gives every write a deadline: paho's ping has none, and
// would wait for a dead peer for ever.
type conn struct {
	net.Conn
	socket net.Conn // the same, or the one below TLS
	r      *bufio.Reader
	left   int // of the packet being read
}

const (
	maxPacket  = protocol.MaxFrameBytes + 1024 // with its topic
	typeSuback = 9
)

func (c *conn) Read(p []byte) (int, error) {
	if c.left == 0 {
		if err := c.admit(); err != nil {
			return 0, err
		}
	}
	n, err := c.r.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// admit looks at the fixed header of the next packet: paho would make room for
// 256 MB because a broker says so, and panic at a SUBACK with more answers than
// there were questions.
func (c *conn) admit() error {
	header := 2
	b, err := c.r.Peek(header)
	for ; err == nil && b[header-1]&0x80 != 0; b, err = c.r.Peek(header) {
		if header++; header > 5 {
			return errors.New("the broker sends what is no MQTT packet")
		}
	}
	if err != nil {
		return err
	}
	size := 0
	for i := header - 1; i > 0; i-- {
		size = size<<7 | int(b[i]&0x7f)
	}
	if size > maxPacket {
		return fmt.Errorf("the broker sends a packet of %d bytes, over the limit of %d", size, maxPacket)
	}
	if b[0]>>4 == typeSuback && size != 3 {
		return fmt.Errorf("the broker answers a subscription with %d bytes", size)
	}
	c.left = header + size
	return nil
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Close does without TLS's goodbye, which would wait for a dead peer.
func (c *conn) Close() error { return c.socket.Close() }

// setUserTimeout has the kernel give up on data that nobody acknowledges.
func setUserTimeout(_ context.Context, _, _ string, rc syscall.RawConn) error {
	var opErr error
	err := rc.Control(func(fd uintptr) {
		opErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(writeLimit/time.Millisecond))
	})
	if err != nil {
		return err
	}
	return opErr
}
