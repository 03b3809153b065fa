package chaos

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/usersig"
)

// knock is what a CONNECT says.
type knock struct {
	from                     string // the local address; "": any
	client, name, password   string
	willTopic, will          string // no will if the topic is empty
	deaf                     bool   // nothing is ever read
	keepalive, receiveBuffer int    // seconds (0: none), bytes (0: the system's)
}

// stranger is a terminal that speaks MQTT byte by byte and owes nobody to make
// sense.
type stranger struct {
	t              *testing.T
	app            protocol.AppID
	user, terminal string
	boot           uint64
	conn           net.Conn

	mu      sync.Mutex
	id      uint16
	pubacks int
	suback  [][]byte
	frames  []*protocol.Frame
	ended   error         // why reading ended
	more    chan struct{} // closed at the next change of any of these
}

// mqttString is a length and the bytes.
func mqttString(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

// mqttPacket puts a fixed header before a body.
func mqttPacket(head byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(binary.AppendUvarint([]byte{head}, uint64(len(body))), body...)
}

func (k knock) packet() []byte {
	flags := byte(0xc2) // user name, password, clean session
	parts := [][]byte{mqttString("MQTT"), {4, 0}, {byte(k.keepalive >> 8), byte(k.keepalive)}, mqttString(k.client)}
	if k.willTopic != "" {
		flags |= 0x0c // with QoS 1
		parts = append(parts, mqttString(k.willTopic), mqttString(k.will))
	}
	parts[1][1] = flags
	return mqttPacket(0x10, append(parts, mqttString(k.name), mqttString(k.password))...)
}

// street is a house with strangers before it, who may have UserSigs.
type street struct {
	*house
	app protocol.AppID
	key []byte
}

func newStreet(t *testing.T, db string) *street {
	t.Helper()
	h := newHouse(t, db)
	app, key := h.app()
	return &street{h, protocol.AppID(app), key}
}

// dial opens a connection to the hub's broker, from an address of loopback.
func (h *street) dial(from string) net.Conn {
	h.t.Helper()
	d := net.Dialer{Timeout: patience}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	c, err := d.DialContext(h.ctx, "tcp", h.hub.MQTT)
	must(h.t, err)
	return c
}

// knock connects and returns the CONNACK's code. The caller closes.
func (h *street) knock(k knock) (*stranger, byte) {
	h.t.Helper()
	c := h.dial(k.from)
	if k.receiveBuffer > 0 {
		must(h.t, c.(*net.TCPConn).SetReadBuffer(k.receiveBuffer))
	}
	must(h.t, c.SetDeadline(time.Now().Add(patience)))
	s := &stranger{t: h.t, conn: c, more: make(chan struct{})}
	_, err := c.Write(k.packet())
	must(h.t, err)
	var answer [4]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		h.t.Fatalf("no answer to the CONNECT of %s: %v", k.client, err)
	}
	if !bytes.Equal(answer[:3], []byte{0x20, 2, 0}) {
		h.t.Fatalf("the answer to the CONNECT of %s is % x", k.client, answer)
	}
	if !k.deaf {
		go s.listen(bufio.NewReader(c))
	}
	return s, answer[3]
}

// ticket is a good UserSig of an account.
func (h *street) ticket(user string) string {
	h.t.Helper()
	sig, err := usersig.Sign(usersig.Claims{UserID: user, AppID: uint32(h.app), IssuedAt: time.Now(), Expire: time.Hour}, h.key)
	must(h.t, err)
	return sig
}

// login is what a terminal of an account says when it is honest.
func (h *street) login(user, terminal string) knock {
	h.t.Helper()
	sig := h.ticket(user)
	return knock{client: protocol.ClientID(h.app, user, terminal), name: protocol.Username(h.app, user), password: sig}
}

// stranger logs a terminal in and has it say hello.
func (h *street) stranger(user, terminal string) *stranger {
	h.t.Helper()
	s := h.visit(h.login(user, terminal), user, terminal)
	s.hello(terminal)
	return s
}

// visit logs in and no more.
func (h *street) visit(k knock, user, terminal string) *stranger {
	h.t.Helper()
	s, code := h.knock(k)
	h.t.Cleanup(s.close)
	if code != 0 {
		h.t.Fatalf("the login of %s/%s is refused with code %d", user, terminal, code)
	}
	s.app, s.user, s.terminal, s.boot = h.app, user, terminal, uint64(time.Now().UnixNano())
	return s
}

// hello opens the session and waits for the welcome.
func (s *stranger) hello(platform string) *protocol.Welcome {
	s.t.Helper()
	if code := s.subscribe(protocol.TopicToTerminal(s.app, s.user, s.terminal), protocol.TopicTo(s.app, s.user)); !bytes.Equal(code, []byte{1, 1}) {
		s.t.Fatalf("a terminal's own topics are granted with % x", code)
	}
	s.send(&protocol.Frame{Hello: &protocol.Hello{Version: protocol.Version, Platform: platform}})
	return s.frame("the welcome", func(f *protocol.Frame) bool { return f.Welcome != nil && f.Welcome.Boot == s.boot }).Welcome
}

func (s *stranger) close() { _ = s.conn.Close() }

// listen reads what comes until the connection ends. Publishes are acknowledged.
func (s *stranger) listen(r *bufio.Reader) {
	for {
		head, err := r.ReadByte()
		var size uint64
		if err == nil {
			size, err = binary.ReadUvarint(r)
		}
		if err == nil && size > 1<<20 {
			err = fmt.Errorf("a packet of %d bytes", size)
		}
		body := make([]byte, min(size, 1<<20))
		if err == nil {
			_, err = io.ReadFull(r, body)
		}
		s.mu.Lock()
		switch {
		case err != nil:
			s.ended = err
		case head == 0x40:
			s.pubacks++
		case head == 0x90:
			s.suback = append(s.suback, body[2:])
		case head&0xf0 == 0x30:
			n := 2 + int(binary.BigEndian.Uint16(body))
			if head&0x06 != 0 {
				_, _ = s.conn.Write([]byte{0x40, 2, body[n], body[n+1]}) // if it fails, so does the next read
				n += 2
			}
			if f, err := protocol.DecodeFrame(body[n:]); err == nil {
				s.frames = append(s.frames, f)
			} else {
				s.t.Errorf("%s/%s got what is no frame: %v", s.user, s.terminal, err)
			}
		}
		close(s.more)
		s.more = make(chan struct{})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// await waits until ok, which is asked with mu held.
func (s *stranger) await(what string, ok func() bool) {
	s.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		s.mu.Lock()
		done, more, ended := ok(), s.more, s.ended
		s.mu.Unlock()
		switch {
		case done:
			return
		case ended != nil:
			s.t.Fatalf("%s/%s waits for %s and its connection has ended: %v", s.user, s.terminal, what, ended)
		}
		select {
		case <-more:
		case <-limit.C:
			s.t.Fatalf("%s/%s waited in vain for %s", s.user, s.terminal, what)
		}
	}
}

// awaitEnd waits until the hub has ended the connection.
func (s *stranger) awaitEnd() {
	s.t.Helper()
	s.await("its end", func() bool { return s.ended != nil })
}

// frame waits for a frame, which is taken out of those that came.
func (s *stranger) frame(what string, ok func(*protocol.Frame) bool) (found *protocol.Frame) {
	s.t.Helper()
	s.await(what, func() bool {
		i := slices.IndexFunc(s.frames, ok)
		if i < 0 {
			return false
		}
		found = s.frames[i]
		s.frames = slices.Delete(s.frames, i, i+1)
		return true
	})
	return found
}

// write sends bytes as they are. It is no error if the hub has ended the
// connection.
func (s *stranger) write(b []byte) bool {
	_, err := s.conn.Write(b)
	return err == nil
}

func (s *stranger) nextID() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.id++; s.id == 0 {
		s.id = 1
	}
	return binary.BigEndian.AppendUint16(nil, s.id)
}

// publish sends a payload with QoS 1.
func (s *stranger) publish(topic string, payload []byte) bool {
	return s.write(mqttPacket(0x32, mqttString(topic), s.nextID(), payload))
}

// raw sends a payload to the terminal's own topic.
func (s *stranger) raw(payload []byte) bool {
	return s.publish(protocol.TopicIn(s.app, s.user, s.terminal), payload)
}

// send sends a frame as an honest terminal does.
func (s *stranger) send(f *protocol.Frame) {
	s.t.Helper()
	f.Boot = s.boot
	b, err := protocol.EncodeFrame(f)
	must(s.t, err)
	s.raw(b)
}

// subscribe returns the codes of the SUBACK.
func (s *stranger) subscribe(filters ...string) []byte {
	s.t.Helper()
	parts := [][]byte{s.nextID()}
	for _, f := range filters {
		parts = append(parts, mqttString(f), []byte{1})
	}
	s.mu.Lock()
	before := len(s.suback)
	s.mu.Unlock()
	s.write(mqttPacket(0x82, parts...))
	var code []byte
	s.await("the SUBACK", func() bool {
		if len(s.suback) == before {
			return false
		}
		code = s.suback[before]
		return true
	})
	return code
}

// text is an item for an account.
func text(to, s string) protocol.Item {
	body, _ := protocol.Marshal(protocol.Message{Elem: protocol.ElemText, Text: s}) // it cannot fail
	return protocol.Item{Kind: protocol.ItemC2C, To: to, Body: body}
}

// append sends a batch and waits for its answer.
func (s *stranger) append(epoch uint32, base, first uint64, items ...protocol.Item) []protocol.Ack {
	s.t.Helper()
	s.send(&protocol.Frame{Append: &protocol.Append{Epoch: epoch, Base: base, First: first, Items: items}})
	return s.frame("the answer to its batch", func(f *protocol.Frame) bool { return f.Acks != nil && f.Acks.First == first }).Acks.Results
}

// memory is what a process has and the most that it ever had in memory, in MiB.
func memory(t *testing.T, pid int) (now, most int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		switch key {
		case "VmRSS":
			now = kib >> 10
		case "VmHWM":
			most = kib >> 10
		}
	}
	if most == 0 {
		t.Fatalf("no figures in %q", b)
	}
	return now, most
}
