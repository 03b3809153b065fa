package files

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// turns lets one at a time do something with an upload or with a stored file,
// which are named by ids and hashes.
type turns struct {
	mu   sync.Mutex
	held map[string]*turn
}

type turn struct {
	interrupt func() // nil: whoever has it cannot be hurried
	done      chan struct{}
}

var errTaken = errors.New("something else goes on with this upload at present")

// take waits until name is free. Whoever has it is interrupted: of two requests
// for one upload the newer counts, as the older one's connection may be dead
// without anybody knowing.
func (t *turns) take(ctx context.Context, name string, interrupt func()) (release func(), err error) {
	for {
		t.mu.Lock()
		other := t.held[name]
		if other == nil {
			break
		}
		if other.interrupt != nil {
			other.interrupt()
		}
		t.mu.Unlock()
		select {
		case <-other.done:
		case <-ctx.Done():
			return nil, errTaken
		}
	}
	defer t.mu.Unlock()
	return t.hold(name, interrupt), nil
}

// try is take that does not wait; nil: somebody else has it.
func (t *turns) try(name string) (release func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held[name] != nil {
		return nil
	}
	return t.hold(name, nil)
}

func (t *turns) hold(name string, interrupt func()) (release func()) {
	own := &turn{interrupt, make(chan struct{})}
	if t.held == nil {
		t.held = make(map[string]*turn)
	}
	t.held[name] = own
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.held, name)
		close(own.done)
	}
}

// transfers are the requests that are served.
type transfers struct {
	mu     sync.Mutex
	all    map[*transfer]struct{}
	users  map[string]int
	closed bool
	gone   sync.WaitGroup
}

// transfer is one of them.
type transfer struct {
	user string
	key  string // that its URL is signed with, by its id
	mu   sync.Mutex
	rc   *http.ResponseController
	cut  bool // it is to end
}

// begin is nil if there are too many, all in all or of that account, or if the
// server ends.
func (t *transfers) begin(user, key string, w http.ResponseWriter) *transfer {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.all) >= maxTransfers || t.users[user] >= maxPerUser {
		return nil
	}
	if t.all == nil {
		t.all, t.users = make(map[*transfer]struct{}), make(map[string]int)
	}
	x := &transfer{user: user, key: key, rc: http.NewResponseController(w)}
	t.all[x] = struct{}{}
	t.users[user]++
	t.gone.Add(1)
	return x
}

func (t *transfers) end(x *transfer) {
	t.mu.Lock()
	delete(t.all, x)
	if t.users[x.user]--; t.users[x.user] == 0 {
		delete(t.users, x.user)
	}
	t.mu.Unlock()
	x.mu.Lock()
	x.rc = nil // the connection may serve another request from here on
	x.mu.Unlock()
	t.gone.Done()
}

// interrupt breaks off the transfers that match.
func (t *transfers) interrupt(match func(*transfer) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for x := range t.all {
		if match(x) {
			x.interrupt()
		}
	}
}

// close breaks off all, and no more may begin.
func (t *transfers) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.interrupt(func(*transfer) bool { return true })
}

// wait returns when none is left.
func (t *transfers) wait() { t.gone.Wait() }

func (t *transfers) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}

// interrupt makes reads and writes of the connection fail from here on.
func (x *transfer) interrupt() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cut = true
	if x.rc != nil {
		past := time.Unix(1, 0)
		_ = x.rc.SetReadDeadline(past) // where it cannot, stallTime ends it
		_ = x.rc.SetWriteDeadline(past)
	}
}

// over tells whether the transfer is to end. It is asked after each extension of a
// deadline, which may have undone what interrupt did.
func (x *transfer) over() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.cut
}

// patience sets the deadlines of the next piece.
func (x *transfer) patience(read, write time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.cut && x.rc != nil {
		_ = x.rc.SetReadDeadline(read) // a connection that is gone fails at the next read or write
		_ = x.rc.SetWriteDeadline(write)
	}
}
