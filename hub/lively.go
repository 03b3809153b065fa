package hub

import (
	"sync"
	"time"
)

// lively remembers when something was said last in live rooms, of which nothing is
// kept.
type lively struct {
	mu   sync.Mutex
	rows bounded[string, time.Time]
}

func (x *lively) said(group string, at time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows.put(group, at)
}

func (x *lively) last(group string) time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.rows.rows[group]
}
