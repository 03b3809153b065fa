package hub

import (
	"time"

	"github.com/herald-im/herald/protocol"
)

const (
	// What waited on a board while it had no link is not held to a group's rate, as
	// long as an account brings no more than this at once, and so many a second.
	waitedBurst  = 1000
	waitedEvery  = 250 * time.Millisecond
	maxRates     = 10_000
	maxWaitings  = 65536
	rateInterval = time.Second
)

// rates hold what is said in groups to so many messages in each second. Of more, low
// priority is refused from three quarters on, high priority beyond a quarter more.
// They belong to the writer's goroutine.
type rates struct {
	limit  int // 0: none
	groups bounded[string, second]
	waited bounded[string, time.Time] // when all that an account has used of its burst is given back

	// What stood there before the transaction. One that is lost is run again, and the
	// same messages must not count twice.
	groupsBefore map[string]second
	waitedBefore map[string]time.Time
}

// second counts the messages of a group in one second.
type second struct {
	begin time.Time
	n     int
}

func newRates(limit int) rates {
	return rates{limit: limit, groups: bounded[string, second]{size: maxRates}, waited: bounded[string, time.Time]{size: maxWaitings}}
}

// begin is before a transaction, or after one that failed: its messages are not said.
func (r *rates) begin() {
	for group, s := range r.groupsBefore {
		r.groups.put(group, s)
	}
	for user, at := range r.waitedBefore {
		r.waited.put(user, at)
	}
	r.committed()
}

func (r *rates) committed() {
	clear(r.groupsBefore)
	clear(r.waitedBefore)
}

// keep notes what stood at a key before the transaction.
func keep[V any](before *map[string]V, key string, now V) {
	if _, kept := (*before)[key]; kept {
		return
	}
	if *before == nil {
		*before = make(map[string]V)
	}
	(*before)[key] = now
}

// take counts a message; false: it is one too many.
func (r *rates) take(now time.Time, user, group string, priority uint8, waited bool) bool {
	if r.limit <= 0 || waited && r.allowance(now, user) {
		return true
	}
	s := r.groups.rows[group]
	before := s
	if now.Sub(s.begin) >= rateInterval || now.Before(s.begin) {
		s = second{begin: now}
	}
	most := r.limit
	switch priority {
	case protocol.PriorityLow:
		most -= r.limit / 4
	case protocol.PriorityHigh:
		most += r.limit / 4
	}
	if s.n >= most {
		return false
	}
	s.n++
	keep(&r.groupsBefore, group, before)
	r.groups.put(group, s)
	return true
}

// allowance uses one of what an account may bring beside the rate.
func (r *rates) allowance(now time.Time, user string) bool {
	at := r.waited.rows[user]
	before := at
	if at.Before(now) {
		at = now
	}
	if at = at.Add(waitedEvery); at.Sub(now) > waitedBurst*waitedEvery {
		return false
	}
	keep(&r.waitedBefore, user, before)
	r.waited.put(user, at)
	return true
}
