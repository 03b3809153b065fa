package broker

import (
	"bufio"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

var errDenied = errors.New("publish to a topic that is not permitted")

// converse reads a peer's packets and does what they ask for, until the connection ends. It returns
// nil after a DISCONNECT.
func (s *session) converse() error {
	b := s.link.broker
	r := bufio.NewReaderSize(s.link, 4<<10)
	alive := func() { s.link.readBy(time.Now().Add(s.keepalive * 3 / 2)) } // [MQTT-3.1.2-24]
	for {
		alive() // each time, because the Handler may have taken long over the last packet
		head, body, err := readPacket(r, b.limits.PacketBytes, alive)
		if err != nil {
			return err
		}
		if head == headDisconnect {
			s.disconnected = true // also if we were just ending it: the will is not wanted [MQTT-3.1.2-10]
			return nil
		}
		if s.link.hasEnded() {
			return errEnded // what was read ahead is not handled any more
		}
		switch head {
		case headPuback:
			s.acked(uint16(body[0])<<8 | uint16(body[1]))
		case headPingreq:
			_, err = s.link.Write([]byte{headPingresp, 0})
		case headSubscribe:
			err = s.subscribe(body)
		case headUnsubscribe:
			err = s.unsubscribe(body)
		default:
			err = s.publish(head, body)
		}
		if err != nil {
			return err
		}
	}
}

// publish hands a publish to the hub and acknowledges it.
func (s *session) publish(head byte, body []byte) error {
	b := s.link.broker
	pk := packets.Packet{ProtocolVersion: 4}
	if err := pk.FixedHeader.Decode(head); err != nil {
		return &violation{err}
	}
	if err := pk.PublishDecode(body); err != nil {
		return &violation{err}
	}
	if code := pk.PublishValidate(0); code != packets.CodeSuccess {
		return &violation{code}
	}
	if !validTopic(pk.TopicName) || !b.handler.MayPublish(&s.peer, pk.TopicName) {
		b.count.deniedPublishes.Add(1)
		b.complain.warn("publish denied", "client", s.peer.ClientID, "user", s.peer.Username, "topic", short(pk.TopicName))
		return errDenied
	}
	b.count.messagesIn.Add(1)
	if err := b.handler.Receive(&s.peer, pk.TopicName, pk.Payload); err != nil {
		b.count.unanswered.Add(1)
		b.complain.warn("publish not acknowledged", "client", s.peer.ClientID, "err", err)
		return nil
	}
	if pk.FixedHeader.Qos == 0 {
		return nil
	}
	_, err := s.link.Write([]byte{headPuback, 2, byte(pk.PacketID >> 8), byte(pk.PacketID)})
	return err
}

// subscribe answers with the QoS that is granted to each filter, or 0x80, and then with what is
// retained under the granted ones.
func (s *session) subscribe(body []byte) error {
	b := s.link.broker
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, ProtocolVersion: 4}
	if err := pk.SubscribeDecode(body); err != nil {
		return &violation{err}
	}
	if code := pk.SubscribeValidate(); code != packets.CodeSuccess {
		return &violation{code}
	}
	answer := ack(headSuback, pk.PacketID, len(pk.Filters))
	granted := pk.Filters[:0]
	for _, f := range pk.Filters {
		f.Filter = strings.Clone(f.Filter) // it is a view of the whole packet
		f.Qos = min(f.Qos, 1)
		if reason := s.grant(f); reason != "" {
			b.count.deniedSubscribes.Add(1)
			b.complain.warn("subscribe denied", "client", s.peer.ClientID, "user", s.peer.Username, "filter", short(f.Filter), "reason", reason)
			answer = append(answer, 0x80)
			continue
		}
		answer = append(answer, f.Qos)
		granted = append(granted, f)
	}
	if _, err := s.link.Write(answer); err != nil {
		return err
	}
	for _, f := range granted {
		b.retained.replay(s, f.Filter, f.Qos)
	}
	return nil
}

// grant subscribes the peer to a filter, or says why not.
func (s *session) grant(f packets.Subscription) (reason string) {
	s.filterMu.Lock()
	defer s.filterMu.Unlock()
	if reason := s.objection(f.Filter); reason != "" {
		return reason
	}
	s.link.broker.topics.Subscribe(s.peer.ClientID, f)
	if !slices.Contains(s.filters, f.Filter) {
		s.filters = append(s.filters, f.Filter)
	}
	s.filterCount.Store(int32(len(s.filters)))
	return ""
}

// objection says why a filter is not granted, or nothing; called with filterMu held.
func (s *session) objection(filter string) string {
	b := s.link.broker
	switch {
	case !validFilter(filter):
		return "invalid"
	case len(s.filters) >= b.limits.Subscriptions && !slices.Contains(s.filters, filter):
		return "too many"
	case !b.handler.MaySubscribe(&s.peer, filter):
		return "not permitted"
	}
	return ""
}

func (s *session) unsubscribe(body []byte) error {
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe, Qos: 1}, ProtocolVersion: 4}
	if err := pk.UnsubscribeDecode(body); err != nil {
		return &violation{err}
	}
	if code := pk.UnsubscribeValidate(); code != packets.CodeSuccess {
		return &violation{code}
	}
	s.confine(func(filter string) bool {
		return !slices.ContainsFunc(pk.Filters, func(f packets.Subscription) bool { return f.Filter == filter })
	})
	_, err := s.link.Write(ack(headUnsuback, pk.PacketID, 0))
	return err
}

// confine ends the subscriptions to all filters but those that may stay.
func (s *session) confine(may func(filter string) bool) {
	s.filterMu.Lock()
	defer s.filterMu.Unlock()
	s.filters = slices.DeleteFunc(s.filters, func(filter string) bool {
		if may(filter) {
			return false
		}
		s.link.broker.topics.Unsubscribe(filter, s.peer.ClientID)
		return true
	})
	s.filterCount.Store(int32(len(s.filters)))
}

// ack starts an answer that n more bytes will follow.
func ack(head byte, id uint16, n int) []byte {
	out := []byte{head}
	for n += 2; n > 0x7f; n >>= 7 {
		out = append(out, byte(n&0x7f|0x80))
	}
	return append(out, byte(n), byte(id>>8), byte(id))
}

// short keeps a stranger's text in a log line within bounds.
func short(s string) string {
	if len(s) > 128 {
		return s[:128] + "…"
	}
	return s
}
