package broker

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Why a message does not go to a peer, or a peer's connection is ended.
var (
	errQueueFull  = errors.New("write queue is full")
	errWindowFull = errors.New("too many messages are not acknowledged")
	errEnded      = errors.New("connection is ending")
	errTakenOver  = errors.New("a newer connection has the same client id")
	errNoAck      = errors.New("peer has stopped acknowledging")
	errStopping   = errors.New("broker is stopping")
)

// link is one connection: its reading end, and a queue of bytes with a limit that is written by a
// goroutine which exists only while there is something to write.
//
// It ends in one of two ways: end stops reading and lets the queue leave, abort closes at once.
// Either way the connection's own goroutine sees its reads fail, unwinds and calls finish.
type link struct {
	conn    net.Conn
	broker  *Broker
	session *session // nil before the login; guarded by Broker.mu

	// Both are touched only by the connection's own goroutine.
	peerClosed bool // reading ended, and not by us
	peerLeft   bool // and because the peer has closed, not because nothing came through any more

	mu       sync.Mutex
	room     sync.Cond // the queue has shrunk, or the link is over
	queue    []byte    // not yet given to the flusher
	writing  int       // bytes that the flusher holds
	flushing bool      // a flusher runs
	wrote    bool      // something was queued since the connection began
	ended    bool      // nothing more is read or delivered
	sealed   bool      // nothing more is queued
	aborted  error     // the connection is closed, and why
	finishBy time.Time // if set, no write may last longer
	flusher  sync.WaitGroup
}

func newLink(b *Broker, c net.Conn) *link {
	l := &link{conn: c, broker: b}
	l.room.L = &l.mu
	return l
}

// Read reads from the peer.
func (l *link) Read(p []byte) (int, error) {
	n, err := l.conn.Read(p)
	l.broker.count.bytesIn.Add(uint64(n))
	l.peerClosed = err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	l.peerLeft = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
	return n, err
}

// Write queues an answer. Unlike a delivery it waits for room, because it runs on the goroutine that
// reads this peer: who does not read its answers is not read either. The allowance keeps deliveries
// from crowding out answers.
func (l *link) Write(p []byte) (int, error) {
	const allowance = 16 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.aborted == nil && len(l.queue)+l.writing > l.broker.limits.QueueBytes+allowance {
		l.room.Wait()
	}
	if l.aborted != nil || l.sealed {
		return 0, net.ErrClosed
	}
	l.push(p, nil)
	return len(p), nil
}

// offer queues one packet, or says why not. It never waits. An empty queue takes any packet, and a
// short one does whatever others' queues hold: else a few who do not read would silence all who do.
func (l *link) offer(head, body []byte) error {
	n := len(head) + len(body)
	l.mu.Lock()
	defer l.mu.Unlock()
	queued := len(l.queue) + l.writing
	switch {
	case l.ended || l.sealed:
		return errEnded
	case queued > 0 && queued+n > l.broker.limits.QueueBytes:
		return errQueueFull
	case queued > 0 && queued+n > queueShare && l.broker.count.queued.Load()+int64(n) > l.broker.limits.TotalQueueBytes:
		return errQueueFull
	}
	l.push(head, body)
	return nil
}

// push appends to the queue and sees to it that somebody writes it; called with mu held.
func (l *link) push(head, body []byte) {
	if l.queue == nil {
		l.queue = l.broker.buffers.get()
	}
	l.queue = append(append(l.queue, head...), body...)
	l.wrote = true
	l.broker.count.queued.Add(int64(len(head) + len(body)))
	if !l.flushing {
		l.flushing = true
		l.flusher.Go(l.flush)
	}
}

// flush writes until the queue is empty. What gathers during a write leaves with the next one.
func (l *link) flush() {
	for {
		l.mu.Lock()
		if l.aborted != nil || len(l.queue) == 0 {
			l.flushing = false
			l.room.Broadcast()
			l.mu.Unlock()
			return
		}
		out := l.queue
		l.queue, l.writing = nil, len(out)
		l.mu.Unlock()

		err := l.writeOut(out)
		l.broker.buffers.put(out)

		l.mu.Lock()
		l.writing = 0
		l.room.Broadcast()
		l.mu.Unlock()
		l.broker.count.queued.Add(-int64(len(out)))
		if err != nil {
			l.abort(err) // a part of a packet may have left: the stream is spoilt
		}
	}
}

func (l *link) writeOut(out []byte) error {
	for len(out) > 0 {
		l.mu.Lock()
		by := time.Now().Add(l.broker.limits.WriteTimeout)
		if !l.finishBy.IsZero() && l.finishBy.Before(by) {
			by = l.finishBy
		}
		err := l.conn.SetWriteDeadline(by)
		l.mu.Unlock()
		if err != nil {
			return err
		}
		n, err := l.conn.Write(out[:min(len(out), writeChunk)])
		l.broker.count.bytesOut.Add(uint64(n))
		if err != nil {
			return err
		}
		out = out[n:]
	}
	return nil
}

// readBy sets until when the next packet must have come.
func (l *link) readBy(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended { // else end has set a deadline that must stand
		_ = l.conn.SetReadDeadline(t) // if it fails, so does the next read
	}
}

// end stops reading and delivering. It does not wait.
func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.ended = true
		_ = l.conn.SetReadDeadline(time.Unix(1, 0)) // wakes a Read; on a closed connection there is none
	}
}

// hasEnded says whether end or abort was called: whether it was us who ended the connection.
func (l *link) hasEnded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// abort closes the connection at once and lets the queue go. It does not wait.
func (l *link) abort(why error) {
	l.mu.Lock()
	first := l.aborted == nil
	if first {
		l.aborted, l.ended, l.sealed = why, true, true
		l.broker.count.queued.Add(-int64(len(l.queue)))
		l.queue = nil
		l.room.Broadcast()
	}
	l.mu.Unlock()
	if !first {
		return
	}
	// tls.Conn.Close would first try to send a farewell, for up to 5 s.
	c := l.conn
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	_ = c.Close() // nothing to be done about an error
}

// finish writes what is queued, says goodbye and closes, within two DrainTimeouts. Its caller is the
// connection's own goroutine, and afterwards nothing of the link runs any more.
func (l *link) finish() {
	l.mu.Lock()
	l.ended, l.sealed = true, true
	aborted := l.aborted != nil
	if !aborted {
		l.finishBy = time.Now().Add(l.broker.limits.DrainTimeout)
		_ = l.conn.SetWriteDeadline(l.finishBy) // on a closed connection the write fails by itself
	}
	l.mu.Unlock()
	l.flusher.Wait()
	l.linger()
	l.abort(errEnded)
}

// linger half-closes and waits for the peer to close. Closing while something of the peer's is still
// unread would make the kernel send a reset, which can overtake and destroy the last packets.
func (l *link) linger() {
	half, ok := l.conn.(interface{ CloseWrite() error })
	if !ok || l.peerClosed || !l.wrote || half.CloseWrite() != nil {
		return
	}
	l.mu.Lock()
	err := l.conn.SetReadDeadline(time.Now().Add(l.broker.limits.DrainTimeout))
	l.mu.Unlock()
	if err == nil {
		_, _ = io.CopyN(io.Discard, l.conn, 1<<20) // ends by the peer, the deadline or the amount: all the same
	}
}

// buffers lends out the slices that queues are made of, so that an idle peer holds none.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return (*p)[:0]
	}
	return make([]byte, 0, 1<<10)
}

// put takes a slice back, unless it has grown so large that it would be a waste to keep.
func (b *buffers) put(p []byte) {
	if cap(p) <= 64<<10 {
		b.pool.Put(&p)
	}
}
