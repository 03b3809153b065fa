package hub

import (
	"context"
	"sync"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// crowds remembers who is in groups, for who asks how many of them are online.
type crowds struct {
	mu   sync.Mutex
	rows bounded[string, membership]
}

// of lists a group's members.
func (x *crowds) of(ctx context.Context, v store.View, app protocol.AppID, g store.Group) ([]string, error) {
	x.mu.Lock()
	m, ok := x.rows.rows[g.ID]
	x.mu.Unlock()
	if ok && m.version == g.Version {
		return m.users, nil
	}
	list, err := v.Members(ctx, app, g.ID)
	if err != nil {
		return nil, err
	}
	m = newMembership(g.Version, list)
	// A change between the two reads has made a new version, which asks again.
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows.put(g.ID, m)
	return m.users, nil
}

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
