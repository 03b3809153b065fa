package peer

import "sync"

// State of a Peer.
type State string

// The states of a Peer.
const (
	StateNew          State = "new"          // nothing negotiated
	StateConnecting   State = "connecting"   // looking for a path, or for a new one after RestartOffer
	StateConnected    State = "connected"    // media can flow
	StateDisconnected State = "disconnected" // nothing heard for about 3 s; it may come back by itself
	StateFailed       State = "failed"       // no path found within 25 s, or the far end is not who its SDP says
	StateClosed       State = "closed"       // by Close, or by the far end
)

// maxEvents bounds the callbacks that wait. Candidates, states and tracks come in tens.
const maxEvents = 256

// events runs callbacks one after the other in a goroutine of its own.
type events struct {
	mu      sync.Mutex
	list    []func()
	running bool // a callback is under way
	stopped bool
	wake    chan struct{}
	done    chan struct{} // closed when the goroutine has ended
}

func newEvents() *events {
	return &events{wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// add queues a callback; it tells false when the queue is full or stopped.
func (e *events) add(call func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped || len(e.list) >= maxEvents {
		return false
	}
	e.list = append(e.list, call)
	select {
	case e.wake <- struct{}{}:
	default:
	}
	return true
}

func (e *events) run() {
	defer close(e.done)
	for range e.wake {
		for {
			e.mu.Lock()
			if e.running = false; e.stopped {
				e.mu.Unlock()
				return
			}
			if len(e.list) == 0 {
				e.mu.Unlock()
				break
			}
			call := e.list[0]
			e.list = e.list[1:]
			e.running = true
			e.mu.Unlock()
			call()
		}
	}
}

// stop lets no further callback begin, and waits for the goroutine unless a callback is under way: that one may be waiting
// for us, or be us.
func (e *events) stop() {
	e.mu.Lock()
	e.stopped = true
	e.list = nil
	running := e.running
	select {
	case e.wake <- struct{}{}:
	default:
	}
	e.mu.Unlock()
	if !running {
		<-e.done
	}
}
