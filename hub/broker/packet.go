package broker

import (
	"bufio"
	"fmt"
	"io"
	"slices"
)

// First bytes of packets: type and flags (MQTT 3.1.1 tables 2.1 and 2.2).
const (
	headConnect     = 0x10
	headConnack     = 0x20
	headPublish     = 0x30 // without flags
	headPuback      = 0x40
	headSubscribe   = 0x82
	headSuback      = 0x90
	headUnsubscribe = 0xa2
	headUnsuback    = 0xb0
	headPingreq     = 0xc0
	headPingresp    = 0xd0
	headDisconnect  = 0xe0
)

// violation is a breach of the protocol by a peer that has logged in.
type violation struct{ error }

func violated(format string, args ...any) error { return &violation{fmt.Errorf(format, args...)} }

// bounds says how long the rest of a packet may be that starts with head. Only what a 3.1.1 client
// of ours may send after its login has bounds at all: QoS 0 and 1, no second CONNECT, nothing of
// MQTT 5. The rest never reaches a decoder.
func bounds(head byte, maxPublish int) (lo, hi int, err error) {
	switch {
	case head&0xf0 == headPublish:
		if qos := head >> 1 & 3; qos > 1 {
			return 0, 0, violated("publish with QoS %d", qos)
		}
		return 3, maxPublish, nil
	case head == headPuback:
		return 2, 2, nil
	case head == headSubscribe, head == headUnsubscribe:
		return 5, controlBytes, nil
	case head == headPingreq, head == headDisconnect:
		return 0, 0, nil
	}
	return 0, 0, violated("unexpected packet type %d with flags %#x", head>>4, head&0xf)
}

// readPacket reads one packet of a peer. The body is nobody else's. A large one is read piece by
// piece, so that who only announces it makes us hold little; alive is called before each further
// piece, so that who has a slow line gets time for each.
func readPacket(r *bufio.Reader, maxPublish int, alive func()) (head byte, body []byte, err error) {
	if head, err = r.ReadByte(); err != nil {
		return 0, nil, err
	}
	lo, hi, err := bounds(head, maxPublish)
	if err != nil {
		return 0, nil, err
	}
	n, err := readLength(r)
	if err != nil {
		return 0, nil, err
	}
	if n < lo || n > hi {
		return 0, nil, violated("packet type %d of %d bytes, want %d to %d", head>>4, n, lo, hi)
	}
	const piece = 32 << 10
	for have := 0; have < n; have = len(body) {
		if have > 0 {
			alive()
		}
		more := min(n-have, piece)
		body = slices.Grow(body, more)[:have+more]
		if _, err := io.ReadFull(r, body[have:]); err != nil {
			return 0, nil, err
		}
	}
	return head, body, nil
}

// readLength reads a remaining length (§2.2.3).
func readLength(r io.ByteReader) (int, error) {
	n := 0
	for shift := 0; shift < 28; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		n |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			return n, nil
		}
	}
	return 0, violated("malformed remaining length")
}

// packet is one PUBLISH, encoded once for all its receivers.
type packet struct {
	head0, head1 []byte // up to the payload, for QoS 0 and 1; the last two bytes of head1 are the packet id
	payload      []byte
}

func newPacket(topic string, payload []byte, retained bool) *packet {
	first := byte(headPublish)
	if retained {
		first |= 1
	}
	head := func(first byte, idBytes int) []byte {
		h := make([]byte, 0, 1+4+2+len(topic)+idBytes)
		h = append(h, first)
		for n := 2 + len(topic) + idBytes + len(payload); ; {
			b := byte(n & 0x7f)
			if n >>= 7; n == 0 {
				h = append(h, b)
				break
			}
			h = append(h, b|0x80)
		}
		h = append(h, byte(len(topic)>>8), byte(len(topic)))
		h = append(h, topic...)
		return append(h, make([]byte, idBytes)...)
	}
	return &packet{head0: head(first, 0), head1: head(first|1<<1, 2), payload: payload}
}
