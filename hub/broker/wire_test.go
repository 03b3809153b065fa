package broker

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// desk is a Handler whose answers a test can replace. By default it lets everybody do everything.
type desk struct {
	authenticate func(Login) (any, error)
	mayPublish   func(*Peer, string) bool
	maySubscribe func(*Peer, string) bool
	receive      func(*Peer, string, []byte) error
	gone         func(*Peer, []byte)

	received chan received
	left     chan departure
}

type received struct {
	peer    *Peer
	topic   string
	payload string
}

type departure struct {
	peer *Peer
	will []byte
}

func newDesk() *desk {
	return &desk{received: make(chan received, 1<<16), left: make(chan departure, 1<<16)}
}

func (d *desk) Authenticate(l Login) (any, error) {
	if d.authenticate != nil {
		return d.authenticate(l)
	}
	return l.Username, nil
}

func (d *desk) MayPublish(p *Peer, topic string) bool {
	return d.mayPublish == nil || d.mayPublish(p, topic)
}

func (d *desk) MaySubscribe(p *Peer, filter string) bool {
	return d.maySubscribe == nil || d.maySubscribe(p, filter)
}

func (d *desk) Receive(p *Peer, topic string, payload []byte) error {
	if d.receive != nil {
		return d.receive(p, topic, payload)
	}
	d.received <- received{p, topic, string(payload)}
	return nil
}

func (d *desk) Gone(p *Peer, will []byte) {
	if d.gone != nil {
		d.gone(p, will)
	}
	d.left <- departure{p, will}
}

// next waits for a value.
func next[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("not reached")
	}
}

// lockedBuffer collects log lines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// runs is a broker that runs for the length of a test.
type runs struct {
	*Broker
	addr string
	log  *lockedBuffer
	stop func() error // idempotent
}

// start runs a broker on loopback. At the end of the test it must stop, and have caught no panic
// unless the test expected one.
func start(t testing.TB, d *desk, limits Limits) *runs {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, d, limits, l)
}

func startOn(t testing.TB, d *desk, limits Limits, l net.Listener) *runs {
	t.Helper()
	log := new(lockedBuffer)
	b, err := New(Config{
		Listeners: []net.Listener{l},
		Log:       slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Limits:    limits,
	}, d)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	r := &runs{Broker: b, addr: l.Addr().String(), log: log}
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if n := b.Stats().QueuedBytes; n != 0 {
			t.Errorf("%d bytes are still accounted as queued", n)
		}
	})
	return r
}

// wire is a client that says exactly what the test wants.
type wire struct {
	testing.TB
	net.Conn
	r *bufio.Reader
}

func (r *runs) dial(t testing.TB) *wire {
	t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &wire{t, c, bufio.NewReader(c)}
}

// hello describes a CONNECT.
type hello struct {
	name      string // MQTT
	level     byte   // 4
	client    string
	user      string
	password  string
	persist   bool // CleanSession=false
	keepalive uint16
	willTopic string
	will      string
}

func str(s string) []byte { return append([]byte{byte(len(s) >> 8), byte(len(s))}, s...) }

// frame puts a fixed header before a body.
func frame(head byte, body ...[]byte) []byte {
	b := bytes.Join(body, nil)
	out := []byte{head}
	for n := len(b); ; {
		d := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			out = append(out, d|0x80)
			continue
		}
		return append(append(out, d), b...)
	}
}

func (h hello) bytes() []byte {
	if h.name == "" {
		h.name = "MQTT"
	}
	if h.level == 0 {
		h.level = 4
	}
	flags, tail := byte(0), [][]byte{}
	if !h.persist {
		flags |= 2
	}
	if h.level == 5 {
		tail = append(tail, []byte{0}) // no properties
	}
	tail = append(tail, str(h.client))
	if h.willTopic != "" {
		flags |= 4 | 1<<3
		tail = append(tail, str(h.willTopic), str(h.will))
	}
	if h.user != "" {
		flags |= 0x80
		tail = append(tail, str(h.user))
	}
	if h.password != "" {
		flags |= 0x40
		tail = append(tail, str(h.password))
	}
	body := append(str(h.name), h.level, flags, byte(h.keepalive>>8), byte(h.keepalive))
	return frame(headConnect, append([][]byte{body}, tail...)...)
}

func subscribe(id uint16, qos byte, filters ...string) []byte {
	body := [][]byte{{byte(id >> 8), byte(id)}}
	for _, f := range filters {
		body = append(body, str(f), []byte{qos})
	}
	return frame(headSubscribe, body...)
}

func publish(id uint16, topic, payload string) []byte {
	if id == 0 {
		return frame(headPublish, str(topic), []byte(payload))
	}
	return frame(headPublish|2, str(topic), []byte{byte(id >> 8), byte(id)}, []byte(payload))
}

func puback(id uint16) []byte { return frame(headPuback, []byte{byte(id >> 8), byte(id)}) }

func (w *wire) send(p ...[]byte) {
	w.Helper()
	if _, err := w.Write(bytes.Join(p, nil)); err != nil {
		w.Fatalf("send: %v", err)
	}
}

// packet reads one packet. At the end of the connection head is 0.
func (w *wire) packet() (head byte, body []byte) {
	w.Helper()
	_ = w.SetReadDeadline(time.Now().Add(patience))
	head, err := w.r.ReadByte()
	if err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			w.Fatalf("waited in vain for a packet")
		}
		return 0, nil
	}
	n := 0
	for shift := 0; ; shift += 7 {
		b, err := w.r.ReadByte()
		if err != nil {
			return 0, nil
		}
		n |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			break
		}
	}
	body = make([]byte, n)
	if _, err := io.ReadFull(w.r, body); err != nil {
		return 0, nil
	}
	return head, body
}

// expect reads a packet that must be equal to p.
func (w *wire) expect(p []byte) {
	w.Helper()
	head, body := w.packet()
	if got := frame(head, body); head == 0 || !bytes.Equal(got, p) {
		w.Fatalf("got %x, want %x", got, p)
	}
}

// closed expects the end of the connection, with no packet before it.
func (w *wire) closed() {
	w.Helper()
	if head, body := w.packet(); head != 0 {
		w.Fatalf("got packet %#x %x, want the end", head, body)
	}
}

// message reads a PUBLISH.
func (w *wire) message() (head byte, id uint16, topic, payload string) {
	w.Helper()
	head, body := w.packet()
	return w.read(head, body)
}

// read takes a message apart.
func (w *wire) read(head byte, body []byte) (_ byte, id uint16, topic, payload string) {
	w.Helper()
	if head&0xf0 != headPublish {
		w.Fatalf("got %#x %x, want a message", head, body)
	}
	n := int(body[0])<<8 | int(body[1])
	topic, body = string(body[2:2+n]), body[2+n:]
	if head&6 != 0 {
		id, body = uint16(body[0])<<8|uint16(body[1]), body[2:]
	}
	return head, id, topic, string(body)
}

var connackOK = []byte{headConnack, 2, 0, 0}

// login connects and expects to be let in.
func (r *runs) login(t testing.TB, h hello) *wire {
	t.Helper()
	w := r.dial(t)
	w.send(h.bytes())
	w.expect(connackOK)
	return w
}

// subscribed logs in and subscribes with QoS 1.
func (r *runs) subscribed(t testing.TB, client string, filters ...string) *wire {
	t.Helper()
	w := r.login(t, hello{client: client})
	w.send(subscribe(1, 1, filters...))
	w.expect(frame(0x90, []byte{0, 1}, bytes.Repeat([]byte{1}, len(filters))))
	return w
}

// alive proves that a broker still lets somebody in and carries messages.
func (r *runs) alive(t testing.TB) {
	t.Helper()
	w := r.subscribed(t, "alive", "alive")
	if err := r.Publish("alive", []byte("yes"), 1, false); err != nil {
		t.Fatal(err)
	}
	if _, _, topic, payload := w.message(); topic != "alive" || payload != "yes" {
		t.Fatalf("got %q %q", topic, payload)
	}
	w.send(frame(headDisconnect))
	w.closed()
}

// eventually waits until ok, for states that nobody announces.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func contains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in %q", p, text)
		}
	}
}

// bufioSmall reads through a small buffer, where the test's own memory counts.
func bufioSmall(w *wire) *bufio.Reader { return bufio.NewReaderSize(w.Conn, 16) }
