package localapi

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/herald-im/herald/protocol"
)

// countedListener holds the number of connections below max. One more is told
// so and closed: a caller that waited in the accept queue instead would not
// know why.
type countedListener struct {
	net.Listener
	max     int64
	open    atomic.Int64
	refused func()

	away   chan struct{} // taken by those that are being turned away, and by close
	closed chan struct{}
	close  func() // once
}

const (
	maxAway  = 64
	awayTime = 200 * time.Millisecond
)

func newCountedListener(ln net.Listener, limit int64, refused func()) *countedListener {
	l := &countedListener{Listener: ln, max: limit, refused: refused, away: make(chan struct{}, maxAway), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() {
		close(l.closed)
		for range maxAway {
			l.away <- struct{}{}
		}
	})
	return l
}

func (l *countedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.max {
			return &countedConn{Conn: c, left: func() { l.open.Add(-1) }}, nil
		}
		l.open.Add(-1)
		l.refused()
		select {
		case l.away <- struct{}{}:
			go func() {
				defer func() { <-l.away }()
				turnAway(c, l.max)
			}()
		case <-l.closed:
			_ = c.Close()
		}
	}
}

// Close waits for those that are being turned away.
func (l *countedListener) Close() error {
	err := l.Listener.Close()
	l.close()
	return err
}

// turnAway answers what is asked first. An answer that came before the question, or a
// socket that was closed while it is still being asked, would be an error of the
// caller's, which tells him nothing.
func turnAway(c net.Conn, limit int64) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(awayTime))
	_, _ = c.Read(make([]byte, 4096))
	body := fmt.Sprintf(`{"code":%d,"msg":"all %d connections are in use"}`+"\n", protocol.CodeNetReqCountLimit, limit)
	_ = c.SetWriteDeadline(time.Now().Add(awayTime)) // fits into the socket's buffer
	fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		http.StatusServiceUnavailable, http.StatusText(http.StatusServiceUnavailable), len(body), body)
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, c) // until he closes, or the time is over
	}
}

type countedConn struct {
	net.Conn
	once sync.Once
	left func()
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.left)
	return err
}
