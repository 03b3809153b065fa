// Package link is one MQTT 3.1.1 connection from the board to the hub's broker.
// It ends at the first trouble and never comes back: whoever uses it makes a
// new one, at a pace of his own. Nothing that was handed to it counts as
// arrived until the hub itself has answered.
package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/herald-im/herald/protocol"
)

const (
	inQueue     = 64               // frames received and not yet taken; then the broker waits
	pingTimeout = 4 * time.Second  // with a keepalive of 10 s a dead link is found in under 20 s
	writeLimit  = 10 * time.Second // for one write, and for unacknowledged data (TCP_USER_TIMEOUT)
	quiesceMs   = 250              // time for a goodbye to leave
	goneMs      = 15_000           // for what ends once its socket is closed; never reached
	byeWait     = 5 * time.Second  // for the answer to the question why a login was refused
	lastWords   = 200 * time.Millisecond
)

// Params say where to connect to and as whom.
type Params struct {
	Addr           string // HOST:PORT of the broker
	TLS            *TLS   // nil: plain TCP
	App            protocol.AppID
	User, Terminal string
	Sig            string
	Boot           uint64
	ConnectTimeout time.Duration
	KeepAlive      time.Duration // whole seconds
}

// Message is one payload that came; Ack is called once it needs no redelivery.
type Message struct {
	Payload []byte
	Ack     func()
}

// Conn is a connection that stands and has its subscriptions.
type Conn struct {
	client     mqtt.Client
	dialer     *dialer
	connecting mqtt.Token
	topic      string
	in         chan Message
	down       chan struct{}
	err        error // why down; set before it is closed
	close      sync.Once
	ended      chan struct{}
	watchers   sync.WaitGroup // of subscriptions
}

// Refused is a login that the broker refused.
type Refused struct {
	Code protocol.Code // as the hub says; CodeLoginAuthFailed when it could not be asked
	Msg  string
}

func (r *Refused) Error() string { return fmt.Sprintf("login refused: %s (code %d)", r.Msg, r.Code) }

// Dial connects, logs in and subscribes. A refused login is a *Refused.
func Dial(ctx context.Context, p Params) (*Conn, error) {
	c, err := connect(ctx, p, protocol.Username(p.App, p.User))
	if errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword) || errors.Is(err, packets.ErrorRefusedNotAuthorised) {
		return nil, why(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	for _, filter := range []string{protocol.TopicTo(p.App, p.User), protocol.TopicToTerminal(p.App, p.User, p.Terminal)} {
		if err := c.subscribe(ctx, filter, p.ConnectTimeout); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

func connect(ctx context.Context, p Params, username string) (*Conn, error) {
	c := &Conn{
		topic: protocol.TopicIn(p.App, p.User, p.Terminal),
		in:    make(chan Message, inQueue), down: make(chan struct{}), ended: make(chan struct{}),
	}
	will, err := protocol.EncodeFrame(&protocol.Frame{Boot: p.Boot, Bye: &protocol.Bye{Boot: p.Boot}})
	if err != nil {
		return nil, err
	}
	c.dialer = newDialer(ctx, p)
	o := mqtt.NewClientOptions().
		AddBroker("tcp://"+p.Addr). // for its form only: the dialer knows better
		SetProtocolVersion(4).      // else a refusal is tried again as MQTT 3.1
		SetClientID(protocol.ClientID(p.App, p.User, p.Terminal)).
		SetUsername(username).SetPassword(p.Sig).
		SetCleanSession(false). // an instant clean reconnect may lose its subscriptions to the end of the old session
		SetAutoReconnect(false).SetConnectRetry(false).
		SetConnectTimeout(p.ConnectTimeout).
		SetKeepAlive(p.KeepAlive).SetPingTimeout(pingTimeout).SetWriteTimeout(writeLimit).
		SetBinaryWill(c.topic, will, 1, false).
		SetStore(mqtt.NewMemoryStore()).
		SetOrderMatters(true).SetAutoAckDisabled(true).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) { return c.dialer.open() }).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			select {
			case c.in <- Message{m.Payload(), m.Ack}:
			case <-c.ended:
			}
		}).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) {
			c.err = err
			close(c.down)
		})
	c.client = mqtt.NewClient(o)
	c.connecting = c.client.Connect()
	if err := wait(ctx, c.connecting, p.ConnectTimeout); err != nil {
		c.Close()
		return nil, fmt.Errorf("connect to %s: %w", p.Addr, err)
	}
	return c, nil
}

// inUse is what mochi answers [MQTT 5, 3.9.3] when a message of its own that is
// not acknowledged yet bears the number that the subscription has. In MQTT the
// numbers of the two directions have nothing to do with each other.
const inUse = 0x91

// subscribe asks for one topic: paho takes the answers to several on trust, see
// conn.admit.
func (c *Conn) subscribe(ctx context.Context, filter string, timeout time.Duration) error {
	for began := time.Now(); ; {
		t := c.hand(func() mqtt.Token { return c.client.Subscribe(filter, 1, nil) })
		if t == nil {
			return fmt.Errorf("subscribe: the link broke: %w", c.err)
		}
		if err := wait(ctx, t, timeout-time.Since(began)); err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		switch granted, answered := t.(*mqtt.SubscribeToken).Result()[filter]; {
		case !answered:
			return errors.New("subscribe: the link broke before the answer")
		case granted == inUse:
			continue // with the next number
		case granted > 2: // 0x80 [MQTT-3.9.3]
			return fmt.Errorf("subscribe: the broker refuses %s", filter)
		}
		return nil
	}
}

// Listen changes the live rooms that are listened to. It does not wait: refused
// hears, on another goroutine and not after Close, of what the broker does not grant.
func (c *Conn) Listen(add, remove []string, refused func(filter string)) {
	for _, filter := range add {
		t := c.hand(func() mqtt.Token { return c.client.Subscribe(filter, 0, nil) })
		if t == nil {
			return
		}
		c.watchers.Go(func() {
			select {
			case <-t.Done():
			case <-c.ended:
				return
			}
			if t.(*mqtt.SubscribeToken).Result()[filter] > 2 { // 0x80 [MQTT-3.9.3], or inUse
				refused(filter)
			}
		})
	}
	if len(remove) > 0 {
		c.hand(func() mqtt.Token { return c.client.Unsubscribe(remove...) })
	}
}

func wait(ctx context.Context, t mqtt.Token, timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-t.Done():
		return t.Error()
	case <-timer.C:
		return errors.New("no answer in time")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// In is what comes. It is never closed: see Down.
func (c *Conn) In() <-chan Message { return c.in }

// Down is closed when the connection is lost and all that had come is in In;
// Err says why.
func (c *Conn) Down() <-chan struct{} { return c.down }

// Err is why the connection went down.
func (c *Conn) Err() error { return c.err }

// Send publishes a frame with QoS 1. It returns before anything is certain.
func (c *Conn) Send(f *protocol.Frame) error {
	_, err := c.publish(f)
	return err
}

// SendLast publishes a frame before Close and waits a moment until the broker has
// it. A socket that is closed while something unread lies in it is reset, and a
// broker that so cannot write does not read on either.
func (c *Conn) SendLast(f *protocol.Frame) error {
	t, err := c.publish(f)
	if t != nil {
		t.WaitTimeout(quiesceMs * time.Millisecond)
	}
	return err
}

func (c *Conn) publish(f *protocol.Frame) (mqtt.Token, error) {
	b, err := protocol.EncodeFrame(f)
	if err != nil {
		return nil, err
	}
	return c.hand(func() mqtt.Token { return c.client.Publish(c.topic, 1, false, b) }), nil
}

// hand gives paho something to write, and returns when it has it; nil: the link is down,
// as Down tells, behind what has come. Where a connection breaks just then, nobody takes
// it from paho any more, which waits for writeLimit to find that out: on a goroutine of
// its own, so that nothing else does.
func (c *Conn) hand(f func() mqtt.Token) mqtt.Token {
	taken := make(chan mqtt.Token, 1)
	go func() { taken <- f() }()
	select {
	case t := <-taken:
		return t
	case <-c.down:
		return nil
	}
}

// Homeless tells whether the address that the connection was made from is no
// longer one of the machine's: nothing will come of it any more, and TCP finds that
// out much later.
func (c *Conn) Homeless() bool {
	c.dialer.mu.Lock()
	socket := c.dialer.socket
	c.dialer.mu.Unlock()
	if socket == nil {
		return false
	}
	from, ok := socket.LocalAddr().(*net.TCPAddr)
	if !ok {
		return false
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(from.IP) {
			return false
		}
	}
	return true
}

// Close says goodbye on the MQTT level and returns when the connection's
// goroutines are gone.
func (c *Conn) Close() {
	c.close.Do(func() {
		close(c.ended)
		if !c.client.IsConnectionOpen() { // nobody to say goodbye to
			c.dialer.end()
			<-c.connecting.Done()
		}
		c.client.Disconnect(quiesceMs)
		c.dialer.end()
		c.client.Disconnect(goneMs) // again, as the first does not wait for all
		c.watchers.Wait()
	})
}

// why asks the hub for the reason of a refusal, see protocol.WhyPrefix.
func why(ctx context.Context, p Params) error {
	unknown := &Refused{protocol.CodeLoginAuthFailed, "the broker refused the login and the hub did not say why"}
	c, err := connect(ctx, p, protocol.WhyPrefix+protocol.Username(p.App, p.User))
	if err != nil {
		return unknown
	}
	defer c.Close()
	timer := time.NewTimer(byeWait)
	defer timer.Stop()
	down := c.Down()
	for {
		select {
		case m := <-c.in:
			f, err := protocol.DecodeFrame(m.Payload)
			if err == nil && f.Bye != nil && f.Bye.Code != 0 {
				return &Refused{f.Bye.Code, f.Bye.Msg}
			}
		case <-down: // what came before the end is taken first
			down = nil
			timer.Reset(lastWords)
		case <-timer.C:
			return unknown
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
