package hub

import "sync"

// ringSize is how many calls of a boot are remembered: more than a terminal has
// under way at a time.
const ringSize = 32

// ring remembers a session's newest calls and their replies, because MQTT's
// QoS 1 may deliver a call twice.
type ring struct {
	mu   sync.Mutex
	rows []remembered // nil until the first call: most terminals are idle
	next int
}

type remembered struct {
	id    uint64
	reply []byte // a frame; nil while the call is under way
}

// begin notes a call. known says that it was there before; reply is then what it
// was answered, if it was.
func (r *ring) begin(id uint64) (reply []byte, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, row := range r.rows {
		if row.id == id {
			return row.reply, true
		}
	}
	if len(r.rows) < ringSize {
		r.rows = append(r.rows, remembered{id: id})
		return nil, false
	}
	r.rows[r.next] = remembered{id: id}
	r.next = (r.next + 1) % ringSize
	return nil, false
}

// end notes the reply of a call. A nil reply forgets the call.
func (r *ring) end(id uint64, reply []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.rows {
		if r.rows[i].id == id {
			r.rows[i].reply = reply
			if reply == nil {
				r.rows[i] = remembered{}
			}
		}
	}
}
