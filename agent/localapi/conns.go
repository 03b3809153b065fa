package localapi

import (
	"fmt"
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
		turnAway(c, l.max)
	}
}

func turnAway(c net.Conn, limit int64) {
	body := fmt.Sprintf(`{"code":%d,"msg":"all %d connections are in use"}`+"\n", protocol.CodeNetReqCountLimit, limit)
	_ = c.SetDeadline(time.Now().Add(100 * time.Millisecond)) // fits into the socket's buffer
	fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		http.StatusServiceUnavailable, http.StatusText(http.StatusServiceUnavailable), len(body), body)
	c.Close()
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
