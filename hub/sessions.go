package hub

import (
	"container/heap"
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/herald-im/herald/hub/broker"
	"github.com/herald-im/herald/protocol"
)

// login is a connection whose UserSig is being looked at or was good. It is the
// Data of its Peer.
type login struct {
	user, terminal string
	clientID       string

	// Guarded by the table.
	keyID   string    // of the key that signed the UserSig; empty while it is looked at
	expires time.Time // of the UserSig
	known   bool      // in the table
	ended   bool      // by the hub: what still comes of it is not heard
	place   int       // in the heap, if it has a keyID
}

// session is what a hello opens: a terminal that gets pushes. It ends with its
// boot, whatever comes first: the next hello, a bye, the will, the connection.
type session struct {
	user, terminal string
	platform       string
	boot           uint64
	number         uint64 // rises from hello to hello
	login          *login

	calls         ring
	signals, asks *rate.Limiter // nil until the first signal
}

// account is what a user has online here.
type account struct {
	logins   []*login
	sessions []*session
}

// place is a terminal of an account.
type place struct{ user, terminal string }

const (
	maxLeft    = 4096             // terminals that are known to have left
	leftLately = 30 * time.Second // for which that is of interest: a call does not last longer without its people
)

// table knows who is online at this hub.
type table struct {
	mu       sync.Mutex
	accounts map[string]*account
	number   uint64
	logins   int
	sessions int
	expiry   loginHeap
	left     map[place]time.Time // when a terminal ended its session, of those that have none
	sooner   chan struct{}       // the first expiry has moved forward
}

func newTable() *table {
	return &table{accounts: make(map[string]*account), left: make(map[place]time.Time), sooner: make(chan struct{}, 1)}
}

func (t *table) account(user string) *account {
	a := t.accounts[user]
	if a == nil {
		a = new(account)
		t.accounts[user] = a
	}
	return a
}

// clean forgets a user of whom nothing is left; called with mu held.
func (t *table) clean(user string) {
	if a := t.accounts[user]; a != nil && len(a.logins) == 0 && len(a.sessions) == 0 {
		delete(t.accounts, user)
	}
}

// begin notes a connection before anything is asked about it, so that an order
// of the operator that comes meanwhile meets it. The broker's Gone takes it out.
func (t *table) begin(l *login) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.known = true
	a := t.account(l.user)
	a.logins = append(a.logins, l)
}

// admit notes that a connection's UserSig is good. It is false for one that the
// hub has ended.
func (t *table) admit(l *login, keyID string, expires time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.ended {
		return false
	}
	l.keyID, l.expires = keyID, expires
	t.logins++
	heap.Push(&t.expiry, l)
	if l.place == 0 {
		select {
		case t.sooner <- struct{}{}:
		default:
		}
	}
	return true
}

// heard is false for a connection that the hub has ended.
func (t *table) heard(l *login) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !l.ended
}

// gone takes a connection out, and its session with it. left says that it was its own end that
// has closed it.
func (t *table) gone(l *login, left bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.remove(l); s != nil && left {
		t.noteLeft(s)
	}
	l.ended = true
}

// remove takes a connection out, and gives the session that it had, or nil.
func (t *table) remove(l *login) (session *session) {
	if !l.known {
		return nil
	}
	l.known = false
	if l.keyID != "" {
		t.logins--
		heap.Remove(&t.expiry, l.place)
	}
	a := t.accounts[l.user]
	a.logins = without(a.logins, l)
	for _, s := range a.sessions {
		if s.login == l {
			a.sessions = without(a.sessions, s)
			t.sessions--
			session = s
			break
		}
	}
	t.clean(l.user)
	return session
}

// noteLeft remembers for a while that a terminal has ended its session; called with mu
// held.
func (t *table) noteLeft(s *session) {
	now := time.Now()
	if len(t.left) >= maxLeft {
		maps.DeleteFunc(t.left, func(_ place, at time.Time) bool { return now.Sub(at) > leftLately })
	}
	if len(t.left) >= maxLeft {
		clear(t.left) // a call then waits as long as for one of whom nothing is known
	}
	t.left[place{s.user, s.terminal}] = now
}

// absent tells whether a terminal has ended its session lately, and has no other since. One
// that has fallen silent may be back at once, and one that was not seen yet be on its way.
func (t *table) absent(user, terminal string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.left[place{user, terminal}]
	return ok && time.Since(at) < leftLately
}

func without[T comparable](list []T, v T) []T {
	for i, x := range list {
		if x == v {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}

// enter opens a session, in place of an older one of the same terminal. Beyond
// limit sessions of one platform the oldest are ended; they are returned. A
// repeated hello finds its session as it is. ok is false if the connection has
// been ended.
func (t *table) enter(l *login, boot uint64, platform string, limit int) (s *session, kicked []*session, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !l.known || l.ended {
		return nil, nil, false
	}
	a := t.account(l.user)
	for _, old := range a.sessions {
		if old.terminal != l.terminal {
			continue
		}
		if old.boot == boot && old.login == l && old.platform == platform {
			return old, nil, true
		}
		a.sessions = without(a.sessions, old)
		t.sessions--
		break
	}
	delete(t.left, place{l.user, l.terminal})
	t.number++
	s = &session{user: l.user, terminal: l.terminal, platform: platform, boot: boot, number: t.number, login: l}
	a.sessions = append(a.sessions, s) // in the order of their hellos
	t.sessions++
	same := 0
	for _, x := range a.sessions {
		if x.platform == platform {
			same++
		}
	}
	for _, x := range a.sessions {
		if same <= limit {
			break
		}
		if x.platform == platform {
			kicked = append(kicked, x)
			same--
		}
	}
	for _, x := range kicked {
		x.login.ended = true
		t.remove(x.login)
	}
	return s, kicked, true
}

// find is a terminal's session, or nil.
func (t *table) find(user, terminal string) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.accounts[user]; a != nil {
		for _, s := range a.sessions {
			if s.terminal == terminal {
				return s
			}
		}
	}
	return nil
}

// leave ends the session of a boot and no other.
func (t *table) leave(user, terminal string, boot uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.accounts[user]
	if a == nil {
		return false
	}
	for _, s := range a.sessions {
		if s.terminal == terminal && s.boot == boot {
			a.sessions = without(a.sessions, s)
			t.sessions--
			t.noteLeft(s)
			t.clean(user)
			return true
		}
	}
	return false
}

// online tells whether a user has a session here.
func (t *table) online(user string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.accounts[user]
	return a != nil && len(a.sessions) > 0
}

// others lists a user's terminals with a session, but for one.
func (t *table) others(user, terminal string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.accounts[user]
	if a == nil {
		return nil
	}
	var out []string
	for _, s := range a.sessions {
		if s.terminal != terminal {
			out = append(out, s.terminal)
		}
	}
	return out
}

// ending is a connection that the hub has just ended.
type ending struct {
	*login
	boot uint64 // of its session, 0: none
}

// end ends a user's connections that match; user "" means everybody's.
func (t *table) end(user string, match func(*login) bool) []ending {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []*login
	pick := func(a *account) {
		for _, l := range a.logins {
			if match(l) {
				found = append(found, l)
			}
		}
	}
	if user == "" {
		for _, a := range t.accounts {
			pick(a)
		}
	} else if a := t.accounts[user]; a != nil {
		pick(a)
	}
	return t.endAll(found)
}

// endExpired ends the connections whose UserSig is good until before now, and
// says how long it is to the next one, or 0 for none.
func (t *table) endExpired(now time.Time) (out []ending, next time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.expiry) > 0 {
		l := t.expiry[0]
		if wait := l.expires.Sub(now); wait > 0 {
			next = wait
			break
		}
		out = append(out, t.endAll([]*login{l})...)
	}
	return out, next
}

func (t *table) endAll(found []*login) (out []ending) {
	for _, l := range found {
		e := ending{login: l}
		for _, s := range t.accounts[l.user].sessions {
			if s.login == l {
				e.boot = s.boot
			}
		}
		l.ended = true
		t.remove(l)
		out = append(out, e)
	}
	return out
}

func (t *table) counts() (logins, sessions int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.logins, t.sessions
}

// loginHeap has the login that expires first at 0.
type loginHeap []*login

func (h loginHeap) Len() int           { return len(h) }
func (h loginHeap) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }
func (h loginHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
func (h *loginHeap) Push(x any) {
	l := x.(*login)
	l.place = len(*h)
	*h = append(*h, l)
}
func (h *loginHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return l
}

// Gone is the broker's: the connection is over. Its will says no more than that.
func (h *Hub) Gone(p *broker.Peer, _ []byte) {
	l := p.Data.(*login)
	h.table.gone(l, p.Left)
	h.log.Debug("terminal gone", "user", l.user, "terminal", l.terminal)
}

// dismiss tells terminals why their connections end, and ends them.
func (h *Hub) dismiss(why protocol.Bye, gone []ending) {
	for _, e := range gone {
		h.log.Info("session ended", "user", e.user, "terminal", e.terminal, "code", why.Code, "reason", why.Msg)
		why.Boot = e.boot
		h.sayBye(e.user, e.terminal, why)
		h.wire.Disconnect(e.clientID, e.login)
	}
}

// bye tells a terminal that its boot is over, and why.
func (h *Hub) bye(user, terminal string, boot uint64, code protocol.Code, msg string) {
	h.sayBye(user, terminal, protocol.Bye{Boot: boot, Code: code, Msg: msg})
}

func (h *Hub) sayBye(user, terminal string, why protocol.Bye) {
	h.metrics.byes(why.Code)
	h.publish(protocol.TopicToTerminal(h.app, user, terminal), &protocol.Frame{Bye: &why}, 1)
}
