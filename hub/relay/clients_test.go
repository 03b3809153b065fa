package relay

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

// raw is a client that asks what turn.Client would not.
type raw struct {
	t    *testing.T
	conn net.Conn
	name stun.Username
	key  stun.MessageIntegrity
	once stun.Nonce
}

func (r *running) raw(network, user string) *raw {
	r.t.Helper()
	conn, err := net.Dial(network, r.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	name, password := Credentials(secret, user, time.Now().Add(time.Hour))
	c := &raw{t: r.t, conn: conn, name: stun.NewUsername(name), key: turn.GenerateAuthKey(name, Realm, password)}
	if code := c.ask(stun.MethodAllocate, udpPlease); code != stun.CodeUnauthorized || len(c.once) == 0 {
		r.t.Fatalf("the first request is answered with %d", code)
	}
	return c
}

var udpPlease = stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}

func attr(t stun.AttrType, value ...byte) stun.RawAttribute {
	return stun.RawAttribute{Type: t, Value: value}
}

// peerAddress is an XOR-PEER-ADDRESS (RFC 8656 §18.3) of IPv4.
func peerAddress(ip uint32, port uint16) stun.RawAttribute {
	b := binary.BigEndian.AppendUint16([]byte{0, 1}, port^0x2112)
	return attr(stun.AttrXORPeerAddress, binary.BigEndian.AppendUint32(b, ip^0x2112a442)...)
}

// ask sends a request and gives the code that it was answered with, 0 for success.
func (c *raw) ask(method stun.Method, attrs ...stun.RawAttribute) stun.ErrorCode {
	c.t.Helper()
	parts := []stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}
	for _, a := range attrs {
		parts = append(parts, a)
	}
	if len(c.once) > 0 {
		parts = append(parts, c.name, stun.NewRealm(Realm), c.once, c.key)
	}
	m := stun.MustBuild(parts...)
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.conn.Write(m.Raw); err != nil {
		c.t.Fatal(err)
	}
	answer := &stun.Message{Raw: make([]byte, 2000)}
	n, err := c.conn.Read(answer.Raw)
	if err != nil {
		c.t.Fatal(err)
	}
	answer.Raw = answer.Raw[:n]
	if err := answer.Decode(); err != nil || answer.TransactionID != m.TransactionID {
		c.t.Fatalf("%v: %v", answer, err)
	}
	_ = c.once.GetFrom(answer)
	var code stun.ErrorCodeAttribute
	if answer.Type.Class == stun.ClassErrorResponse {
		if err := code.GetFrom(answer); err != nil {
			c.t.Fatal(err)
		}
	}
	return code.Code
}

// An account may send to as many addresses as a call has, and not to all the world:
// each that it names costs memory and a timer.
func TestPeersAreBounded(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			r := run(t)
			c := r.raw(network, "door")
			if code := c.ask(stun.MethodAllocate, udpPlease); code != 0 {
				t.Fatalf("refused with %d", code)
			}
			const far = 0xc6336400 // 198.51.100.0
			for n := uint32(0); n < 4000; n += 100 {
				var many []stun.RawAttribute
				for i := range uint32(100) {
					many = append(many, peerAddress(far+n+i, 9))
				}
				c.ask(stun.MethodCreatePermission, many...)
			}
			held := func() (peers, channels int) {
				r.mu.Lock()
				defer r.mu.Unlock()
				for _, c := range r.clients {
					peers, channels = peers+len(c.peers), channels+c.channels
				}
				return peers, channels
			}
			if n, _ := held(); n != maxPeers {
				t.Errorf("%d peers are held, %d is the limit", n, maxPeers)
			}
			if code := c.ask(stun.MethodCreatePermission, peerAddress(far+maxPeers, 9)); code != stun.CodeForbidden {
				t.Errorf("one too many: %d", code)
			}
			if code := c.ask(stun.MethodCreatePermission, peerAddress(far, 9)); code != 0 {
				t.Errorf("one that is held cannot be held for longer: %d", code)
			}
			for n := range uint16(2 * maxPeers) {
				c.ask(stun.MethodChannelBind, attr(stun.AttrChannelNumber, byte(0x40+n>>8), byte(n), 0, 0), peerAddress(far, 1000+n))
			}
			if _, n := held(); n != maxPeers {
				t.Errorf("%d channels are held, %d is the limit", n, maxPeers)
			}
			if code := c.ask(stun.MethodRefresh, attr(stun.AttrLifetime, 0, 0, 0, 0)); code != 0 {
				t.Fatalf("refused with %d", code)
			}
			wait(t, "a client without an allocation is remembered", func() bool {
				r.mu.Lock()
				defer r.mu.Unlock()
				return len(r.clients) == 0
			})
		})
	}
}

// Pairs of ports would be kept in a list without bound.
func TestNoPairsOfPorts(t *testing.T) {
	r := run(t)
	c := r.raw("udp", "door")
	if code := c.ask(stun.MethodAllocate, udpPlease, attr(stun.AttrEvenPort, 0x80)); code != stun.CodeInsufficientCapacity {
		t.Errorf("a pair of ports: %d", code)
	}
	if code := c.ask(stun.MethodAllocate, udpPlease); code != 0 {
		t.Errorf("one port, after that: %d", code)
	}
}
