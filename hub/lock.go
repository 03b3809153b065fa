package hub

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

const (
	lockTime     = time.Minute // in which failures are counted, and for which they lock
	lockAttempts = 8192        // pairs of user and address that are remembered, of each kind
)

// attempt is who tries to log in, from where. Counting by both keeps a stranger
// elsewhere from locking an account's own devices out.
type attempt struct {
	user string
	ip   netip.Addr
}

// trust is what the lock thinks of an attempt.
type trust uint8

const (
	open     trust = iota // judge it
	doubtful              // locked, but a right UserSig came from there before: judge it, tell a wrong one nothing
	suspect               // locked
)

// lock refuses those who have failed too often. A right UserSig from the same
// address exempts from it, so that a stranger behind the same router does not
// lock out the device that is logged in.
type lock struct {
	limit int // failures in lockTime

	mu       sync.Mutex
	failures lru[attempt, failures]
	proofs   lru[attempt, struct{}]
}

type failures struct {
	n     int
	asks  bool // whoever failed last may ask why without failing again
	since time.Time
	until time.Time // locked until then
}

func newLock(limit int) *lock {
	return &lock{
		limit:    limit,
		failures: newLRU[attempt, failures](lockAttempts),
		proofs:   newLRU[attempt, struct{}](lockAttempts),
	}
}

func (k *lock) trust(a attempt, now time.Time) trust {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.failures.get(a)
	if f == nil || !now.Before(f.until) {
		return open
	}
	if k.proofs.get(a) != nil {
		return doubtful
	}
	return suspect
}

// failed counts a wrong UserSig. Asking why it is wrong, once, counts with it.
func (k *lock) failed(a attempt, why bool, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.failures.get(a)
	if f != nil && why && f.asks {
		f.asks = false
		return
	}
	if f == nil {
		f = k.failures.put(a, failures{since: now})
	}
	if now.Sub(f.since) >= lockTime || now.Before(f.since) {
		*f = failures{since: now}
	}
	f.asks = !why
	if f.n++; f.n >= k.limit {
		*f = failures{since: now, until: now.Add(lockTime)}
	}
}

func (k *lock) proved(a attempt) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.proofs.put(a, struct{}{})
}

// lru keeps the entries used last.
type lru[K comparable, V any] struct {
	size  int
	rows  map[K]*list.Element
	order *list.List // of *lruRow, the newest first
}

type lruRow[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](size int) lru[K, V] {
	return lru[K, V]{size: size, rows: make(map[K]*list.Element), order: list.New()}
}

func (c *lru[K, V]) get(k K) *V {
	e := c.rows[k]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return &e.Value.(*lruRow[K, V]).value
}

func (c *lru[K, V]) put(k K, v V) *V {
	if old := c.get(k); old != nil {
		*old = v
		return old
	}
	row := &lruRow[K, V]{k, v}
	c.rows[k] = c.order.PushFront(row)
	if c.order.Len() > c.size {
		last := c.order.Back()
		c.order.Remove(last)
		delete(c.rows, last.Value.(*lruRow[K, V]).key)
	}
	return &row.value
}
