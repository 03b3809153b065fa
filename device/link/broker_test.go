package link

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/herald-im/herald/protocol"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// broker is a real one on loopback.
type broker struct {
	server *mochi.Server
	addr   string
	hook   *hook
}

// hook lets in whom a test lets in, and shows what was published.
type hook struct {
	mochi.HookBase
	admit     func(username string) bool
	subscribe func(filter string) bool
	why       *protocol.Bye // what a client hears that asks why
	published chan packets.Packet
	connected chan string // user names
}

func (h *hook) ID() string { return "test" }
func (h *hook) Provides(b byte) bool {
	return bytes.IndexByte([]byte{mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnSessionEstablished, mochi.OnPublish}, b) >= 0
}
func (h *hook) OnConnectAuthenticate(_ *mochi.Client, pk packets.Packet) bool {
	return h.admit(string(pk.Connect.Username))
}
func (h *hook) OnACLCheck(_ *mochi.Client, topic string, write bool) bool {
	return write || h.subscribe(topic)
}
func (h *hook) OnSessionEstablished(cl *mochi.Client, pk packets.Packet) {
	name := string(pk.Connect.Username)
	h.connected <- name
	if !strings.HasPrefix(name, protocol.WhyPrefix) || h.why == nil {
		return
	}
	b, err := protocol.EncodeFrame(&protocol.Frame{Bye: h.why})
	if err == nil {
		err = cl.WritePacket(packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Publish}, ProtocolVersion: 4,
			TopicName: protocol.TopicToTerminal(testApp, "door", "t1"), Payload: b,
		})
	}
	cl.Stop(err)
}
func (h *hook) OnPublish(_ *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	select {
	case h.published <- pk:
	default:
	}
	return pk, nil
}

const testApp = protocol.AppID(1400000001)

func startBroker(t testing.TB, l net.Listener) *broker {
	t.Helper()
	b := &broker{
		server: mochi.New(&mochi.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)}),
		hook: &hook{
			admit: func(string) bool { return true }, subscribe: func(string) bool { return true },
			published: make(chan packets.Packet, 1000), connected: make(chan string, 100),
		},
	}
	if l == nil {
		l = listen(t)
	}
	b.addr = l.Addr().String()
	if err := b.server.AddHook(b.hook, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.server.AddListener(listeners.NewNet("tcp", l)); err != nil {
		t.Fatal(err)
	}
	// Until it is closed there is a client more: a connection that is just accepted
	// is else the first to be counted while Close waits for the last, which is a race.
	b.server.Listeners.ClientsWg.Add(1)
	if err := b.server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.Close()
		b.server.Listeners.ClientsWg.Done()
		_ = b.server.Close()
	})
	return b
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// publish sends a payload to the terminal.
func (b *broker) publish(t testing.TB, payload []byte) {
	t.Helper()
	if err := b.server.Publish(protocol.TopicToTerminal(testApp, "door", "t1"), payload, false, 1); err != nil {
		t.Error(err)
	}
}

// proxy stands between a link and its broker, and can swallow all bytes.
type proxy struct {
	l     net.Listener
	mu    sync.Mutex
	dead  bool
	conns []net.Conn
	wg    sync.WaitGroup
}

func startProxy(t testing.TB, to string) *proxy {
	p := &proxy{l: listen(t)}
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		for {
			c, err := p.l.Accept()
			if err != nil {
				return
			}
			u, err := net.Dial("tcp", to)
			if err != nil {
				_ = c.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, c, u)
			p.mu.Unlock()
			p.wg.Add(2)
			go p.pump(c, u)
			go p.pump(u, c)
		}
	}()
	t.Cleanup(func() {
		_ = p.l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) pump(from, to net.Conn) {
	defer p.wg.Done()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			break
		}
		p.mu.Lock()
		dead := p.dead
		p.mu.Unlock()
		if dead {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.dead { // a dead line does not tell of the other end either
		_ = to.Close()
	}
}

func (p *proxy) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
}
