package broker

import "fmt"

// Handler is what the hub tells the broker. Its methods are called from many goroutines at once,
// but for one Peer from one goroutine at a time: the one that reads its connection. A panic in them
// ends that connection only.
type Handler interface {
	// Authenticate decides a CONNECT. With a nil error its identity becomes Peer.Data. A *Refusal
	// says how to answer; any other error means that no judgement was possible and is answered
	// with CONNACK 3 (server unavailable). Each identity is
	// given back by Gone, also where the connection ends before it becomes a Peer.
	Authenticate(Login) (identity any, err error)

	// MayPublish says whether the peer may publish to topic; it is asked for its will, too. A
	// refusal ends the connection (MQTT 3.1.1 has no other answer) and is logged.
	MayPublish(p *Peer, topic string) bool

	// MaySubscribe says whether the peer may subscribe to filter. A refusal is answered with
	// SUBACK 0x80 and logged. Filters that start with $ are refused without asking.
	MaySubscribe(p *Peer, filter string) bool

	// Receive takes each publish of the peer, in its order. While it blocks, nothing more is read
	// from this peer: that is the back-pressure. nil acknowledges (PUBACK); an error does not, and
	// the terminal has to send it again. The broker routes nothing by itself: what other terminals
	// should see, or what should be retained, the Handler hands to Publish, which is allowed here.
	// The payload is the Handler's to keep.
	Receive(p *Peer, topic string, payload []byte) error

	// Gone is called once for each identity, after the last other call about it. will is the payload of
	// its will if the connection ended without a DISCONNECT packet, else nil. The broker does not
	// publish it.
	Gone(p *Peer, will []byte)
}

// Peer is a connection that has logged in. Two connections of one terminal are two Peers: compare
// the pointers.
type Peer struct {
	ClientID string
	Username string
	Remote   string // address and port
	Data     any    // what Authenticate returned
	// Left says, once it is Gone, that its own end has closed the connection, or has said that
	// it will: it ended, and has not fallen silent.
	Left bool
}

// Login is what a CONNECT says about itself. The password must not be logged.
type Login struct {
	ClientID string // 1 to 256 bytes of UTF-8
	Username string
	Password []byte
	Remote   string // address and port
}

// CONNACK return codes for a Refusal, MQTT 3.1.1 table 3.1.
const (
	BadIdentifier  byte = 2
	Unavailable    byte = 3
	BadCredentials byte = 4
	NotAuthorized  byte = 5
)

// Refusal is an error of Authenticate that says how to answer.
//
// MQTT 3.1.1 cannot say in a CONNACK why a login is refused. A Refusal with a Notice therefore
// lets the connection in to read that one message: it gets CONNACK 0, the message with QoS 0, and
// is closed. Such a connection is no Peer: it takes over nobody, may send nothing, and is never
// heard of again.
type Refusal struct {
	Code   byte     // CONNACK return code; 0 means NotAuthorized; not looked at with a Notice
	Err    error    // the reason, for the log
	Notice *Message // what to tell the client, or nil
}

// Message is a topic and a payload.
type Message struct {
	Topic   string
	Payload []byte
}

func (r *Refusal) Error() string {
	if r.Err != nil {
		return r.Err.Error()
	}
	return fmt.Sprintf("login refused with code %d", r.code())
}

func (r *Refusal) Unwrap() error { return r.Err }

func (r *Refusal) code() byte {
	if r.Code == 0 {
		return NotAuthorized
	}
	return r.Code
}
