package broker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// What a CONNECT is turned away with before the hub is asked. A code of 0 means no answer at all.
var (
	errNotConnect = errors.New("the first packet is no CONNECT")
	errProtocol   = &Refusal{Code: 1, Err: errors.New("only MQTT 3.1.1 is spoken here")} // [MQTT-3.1.2-2]
	errClientID   = &Refusal{Code: BadIdentifier, Err: errors.New("client id is empty or too long")}
)

// connect is a CONNECT that is fit to be judged by the hub.
type connect struct {
	login     Login
	keepalive uint16 // s
	willTopic string
	will      []byte // nil if there is none
}

// readConnect reads the first packet and nothing beyond it.
func readConnect(r io.Reader, maxBytes int) (*connect, error) {
	var b [1]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return nil, err
	}
	if b[0] != headConnect {
		return nil, errNotConnect // [MQTT-3.1.0-1]
	}
	size, err := readLength(byteReader{r})
	if err != nil {
		return nil, err
	}
	if size > maxBytes {
		return nil, fmt.Errorf("CONNECT of %d bytes, at most %d are taken", size, maxBytes)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	return parseConnect(body)
}

// byteReader reads byte by byte, so as not to read too much.
type byteReader struct{ io.Reader }

func (r byteReader) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(r, b[:])
	return b[0], err
}

// parseConnect looks at the protocol itself, so that the library decodes nothing but level 4.
func parseConnect(body []byte) (*connect, error) {
	if len(body) < 2 {
		return nil, errors.New("CONNECT is too short")
	}
	n := int(body[0])<<8 | int(body[1])
	if len(body) < 2+n+1 {
		return nil, errors.New("CONNECT is too short")
	}
	name, level := string(body[2:2+n]), body[2+n]
	if name == "MQIsdp" || (name == "MQTT" && level != 4) {
		return nil, errProtocol
	}
	if name != "MQTT" {
		return nil, errors.New("unknown protocol name") // [MQTT-3.1.2-1]
	}

	pk := packets.Packet{
		FixedHeader:     packets.FixedHeader{Type: packets.Connect, Remaining: len(body)},
		ProtocolVersion: 4,
	}
	if err := pk.ConnectDecode(body); err != nil {
		return nil, err
	}
	if code := pk.ConnectValidate(); code != packets.CodeSuccess {
		return nil, code
	}
	c := pk.Connect
	if c.PasswordFlag && !c.UsernameFlag {
		return nil, errors.New("password without username") // [MQTT-3.1.2-22]
	}
	if c.ClientIdentifier == "" || len(c.ClientIdentifier) > clientIDBytes {
		return nil, errClientID
	}
	out := &connect{
		// Copies, because the strings are views of the whole packet and would keep it.
		login: Login{
			ClientID: strings.Clone(c.ClientIdentifier),
			Username: strings.ToValidUTF8(string(c.Username), "\uFFFD"),
			Password: c.Password,
		},
		keepalive: c.Keepalive,
	}
	if c.WillFlag {
		out.willTopic, out.will = strings.Clone(c.WillTopic), append([]byte{}, c.WillPayload...)
	}
	return out, nil
}

// login takes a connection from its first byte to a session that holds its client id and has its
// CONNACK, or answers why not. All of it has to happen within ConnectTimeout, except what the Handler and the departure
// of an older connection take.
func (b *Broker) login(l *link) (*session, error) {
	if err := l.conn.SetDeadline(time.Now().Add(b.limits.ConnectTimeout)); err != nil {
		return nil, err
	}
	c, err := readConnect(l.conn, b.limits.ConnectBytes)
	if err != nil {
		return nil, b.refuse(l, err)
	}
	c.login.Remote = l.conn.RemoteAddr().String()
	identity, err := b.handler.Authenticate(c.login)
	if err != nil {
		if !errors.As(err, new(*Refusal)) {
			err = &Refusal{Code: Unavailable, Err: err}
		}
		return nil, b.refuse(l, err)
	}
	s := &session{
		peer: Peer{ClientID: c.login.ClientID, Username: c.login.Username, Remote: c.login.Remote, Data: identity},
		link: l,
		will: c.will,
		gone: make(chan struct{}),
		// No keepalive, or one of many hours, would let the dead stay for ever.
		keepalive: min(time.Duration(c.keepalive)*time.Second, b.limits.MaxKeepalive),
	}
	if s.keepalive == 0 {
		s.keepalive = b.limits.MaxKeepalive
	}
	entered := false
	defer func() {
		if !entered {
			b.handler.Gone(&s.peer, nil)
		}
	}()
	if c.will != nil && (!validTopic(c.willTopic) || !b.handler.MayPublish(&s.peer, c.willTopic)) {
		b.count.deniedPublishes.Add(1)
		b.complain.warn("will denied", "client", s.peer.ClientID, "user", s.peer.Username, "remote", s.peer.Remote, "topic", short(c.willTopic))
		return nil, b.refuse(l, &Refusal{Code: NotAuthorized, Err: fmt.Errorf("will on topic %q is not permitted", short(c.willTopic))})
	}
	if err := b.claim(s); err != nil {
		return nil, b.refuse(l, &Refusal{Code: Unavailable, Err: err})
	}
	entered = true
	// No session present, whatever the client asked for. If writing fails, so does reading.
	_, _ = l.Write([]byte{headConnack, 2, 0, 0})
	return s, nil
}

// refuse answers a login with what the error says, which it returns.
func (b *Broker) refuse(l *link, why error) error {
	refusal, ok := errors.AsType[*Refusal](why)
	if !ok {
		return why // a stranger who does not speak MQTT
	}
	answer := []byte{headConnack, 2, 0, refusal.code()}
	if m := refusal.Notice; m != nil {
		if !validTopic(m.Topic) || len(m.Topic)+len(m.Payload)+2 > b.limits.PacketBytes {
			b.log.Error("notice is not fit to be sent", "topic", short(m.Topic), "bytes", len(m.Payload))
		} else {
			p := newPacket(m.Topic, m.Payload, false)
			answer = bytes.Join([][]byte{{headConnack, 2, 0, 0}, p.head0, p.payload}, nil)
			b.count.notices.Add(1)
		}
	}
	if refusal.Notice == nil {
		b.count.loginsRefused.Add(1)
	}
	if _, err := l.Write(answer); err != nil {
		return errors.Join(why, err)
	}
	return why
}

// claim makes the session the owner of its client id. An older owner is ended, and waited for until
// the hub has heard of its end.
func (b *Broker) claim(s *session) error {
	timeout := time.NewTimer(b.limits.TakeoverTimeout)
	defer timeout.Stop()
	for {
		b.mu.Lock()
		if b.stopping {
			b.mu.Unlock()
			return errStopping
		}
		old := b.sessions[s.peer.ClientID]
		if old == nil {
			b.sessions[s.peer.ClientID] = s
			s.link.session = s
			b.decided(b.links[s.link])
			surplus := b.enlist(s)
			b.mu.Unlock()
			if surplus != nil {
				b.complain.warn("too many connections of one user, the oldest is ended", "user", s.peer.Username, "client", surplus.peer.ClientID)
				surplus.link.end()
			}
			return nil
		}
		b.mu.Unlock()

		b.count.takeovers.Add(1)
		old.link.abort(errTakenOver)
		select {
		case <-old.gone:
		case <-timeout.C:
			return errors.New("an older connection of this client id does not end")
		}
	}
}

// enlist counts a session under its user, and returns the user's oldest if he has
// too many now; called with mu held.
func (b *Broker) enlist(s *session) (surplus *session) {
	list := append(b.users[s.peer.Username], s)
	if len(list) > b.limits.PerUser {
		surplus, list = list[0], list[1:]
	}
	b.users[s.peer.Username] = list
	return surplus
}

// release gives the client id free.
func (b *Broker) release(s *session) {
	b.mu.Lock()
	delete(b.sessions, s.peer.ClientID)
	list := b.users[s.peer.Username]
	if i := slices.Index(list, s); i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	if b.users[s.peer.Username] = list; len(list) == 0 {
		delete(b.users, s.peer.Username)
	}
	b.mu.Unlock()
	close(s.gone)
}
