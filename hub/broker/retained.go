package broker

import (
	"bytes"
	"errors"
	"strings"
	"sync"
)

// ErrRetainedFull says that a message was not retained, because the limits on their number or size
// are reached. It was still delivered.
var ErrRetainedFull = errors.New("broker: too many retained messages")

// retained keeps the last retained message of each topic, in memory and without an expiry.
//
// Its lock is held over storing and delivering, and over looking up and delivering. So a new
// subscriber never gets an older message after a newer one.
type retained struct {
	broker *Broker

	mu    sync.Mutex
	last  map[string]retainedMessage
	bytes int64
}

type retainedMessage struct {
	payload []byte
	qos     byte
}

// publish stores the message (an empty payload removes it, [MQTT-3.3.1-10]) and calls deliver.
func (r *retained) publish(topic string, payload []byte, qos byte, deliver func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer deliver()
	old, had := r.last[topic]
	freed, taken := int64(0), int64(len(topic)+len(payload))
	if had {
		freed = int64(len(topic) + len(old.payload))
	}
	if len(payload) == 0 {
		delete(r.last, topic)
		r.bytes -= freed
		return nil
	}
	limits := &r.broker.limits
	if r.bytes-freed+taken > limits.RetainedBytes || (!had && len(r.last) >= limits.Retained) {
		return ErrRetainedFull // what was retained before stays
	}
	r.last[topic] = retainedMessage{bytes.Clone(payload), qos}
	r.bytes += taken - freed
	return nil
}

// replay delivers what is retained under a filter that the session has just subscribed to.
func (r *retained) replay(s *session, filter string, qos byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !strings.ContainsAny(filter, "+#") {
		if m, ok := r.last[filter]; ok {
			s.deliver(newPacket(filter, m.payload, true), min(qos, m.qos))
		}
		return
	}
	for topic, m := range r.last {
		if Match(filter, topic) {
			s.deliver(newPacket(topic, m.payload, true), min(qos, m.qos))
		}
	}
}

func (r *retained) size() (messages int, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.last), r.bytes
}
