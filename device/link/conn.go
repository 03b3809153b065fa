package link

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// TLS says how to trust the hub behind an mqtts address.
type TLS struct {
	CAFile string           // PEM; empty: the system's
	Now    func() time.Time // for certificates: a board without a clock battery boots in 1970
}

type dialer struct {
	ctx     context.Context
	addr    string
	timeout time.Duration
	tls     *TLS
}

func (d *dialer) open() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, d.timeout)
	defer cancel()
	nd := net.Dialer{ControlContext: setUserTimeout, KeepAlive: -1} // MQTT has pings of its own
	c, err := nd.DialContext(ctx, "tcp", d.addr)
	if err != nil {
		return nil, err
	}
	if d.tls != nil {
		if c, err = d.handshake(ctx, c); err != nil {
			return nil, err
		}
	}
	return &conn{Conn: c, r: bufio.NewReaderSize(c, 4<<10)}, nil
}

func (d *dialer) handshake(ctx context.Context, c net.Conn) (net.Conn, error) {
	host, _, err := net.SplitHostPort(d.addr)
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	cfg := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, Time: d.tls.Now}
	if d.tls.CAFile != "" {
		pem, err := os.ReadFile(d.tls.CAFile)
		if err != nil {
			_ = c.Close()
			return nil, fmt.Errorf("the hub's CA: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			_ = c.Close()
			return nil, fmt.Errorf("the hub's CA: no certificate in %s", d.tls.CAFile)
		}
	}
	t := tls.Client(c, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return t, nil
}

// conn reads through a buffer, as paho reads byte by byte, and gives every
// write a deadline: its ping has none, and would wait for a dead peer for ever.
type conn struct {
	net.Conn
	r *bufio.Reader
}

func (c *conn) Read(p []byte) (int, error) { return c.r.Read(p) }

func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

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
