package hub

import (
	"context"
	"slices"
	"sync"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// maxCrowd is how many members of groups the hub remembers: about 20 MB of them.
const maxCrowd = 250_000

// membership is the members of a group as of a version of it. It never changes.
type membership struct {
	version uint64
	users   []string // the longest-standing first
	wanting []string // those who want to have its messages, in any order; the same slice if all do
}

func newMembership(version uint64, list []store.Member) membership {
	m := membership{version: version, users: make([]string, len(list))}
	for i, x := range list {
		m.users[i] = x.User
		if x.RecvOpt != protocol.RecvNot {
			m.wanting = append(m.wanting, x.User)
		}
	}
	return m.share()
}

func (m membership) share() membership {
	if len(m.wanting) == len(m.users) {
		m.wanting = m.users
	}
	return m
}

// with is m with one more member.
func (m membership) with(version uint64, user string) membership {
	return membership{version, slices.Concat(m.users, []string{user}), slices.Concat(m.wanting, []string{user})}.share()
}

func (m membership) without(user string) membership {
	is := func(u string) bool { return u == user }
	return membership{m.version, slices.DeleteFunc(slices.Clone(m.users), is), slices.DeleteFunc(slices.Clone(m.wanting), is)}.share()
}

// asking is m where a member wants to have the group's messages, or does not.
func (m membership) asking(user string, wants bool) membership {
	switch has := slices.Contains(m.wanting, user); {
	case wants && !has:
		m.wanting = slices.Concat(m.wanting, []string{user})
	case has && !wants:
		m.wanting = slices.DeleteFunc(slices.Clone(m.wanting), func(u string) bool { return u == user })
	}
	return m.share()
}

// crowds remembers who is in groups, so that a great one is not read anew for each
// thing that is said or done in it. A version that is in the database stands for the
// same members for ever.
type crowds struct {
	mu   sync.Mutex
	rows map[string]membership
	size int // members in rows
}

func (x *crowds) at(group string, version uint64) (membership, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	m, ok := x.rows[group]
	return m, ok && m.version == version
}

// put remembers a group as it is in the database. When there is too much, it begins
// anew.
func (x *crowds) put(group string, m membership) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.size -= len(x.rows[group].users)
	delete(x.rows, group)
	if len(m.users) > maxCrowd {
		return
	}
	if x.rows == nil || x.size+len(m.users) > maxCrowd || len(x.rows) == maxCrowd {
		x.rows, x.size = make(map[string]membership), 0
	}
	x.rows[group] = m
	x.size += len(m.users)
}

// of lists a group's members, for who only reads.
func (x *crowds) of(ctx context.Context, v store.View, app protocol.AppID, g store.Group) ([]string, error) {
	if m, ok := x.at(g.ID, g.Version); ok {
		return m.users, nil
	}
	list, err := v.Members(ctx, app, g.ID)
	if err != nil {
		return nil, err
	}
	m := newMembership(g.Version, list)
	x.put(g.ID, m) // if it has changed between the two reads, nobody asks for this version any more
	return m.users, nil
}

// crowding is crowds as a transaction sees and changes them. Versions that it makes
// stand for nothing before its commit: after a rollback they are given anew.
type crowding struct {
	shared *crowds
	rows   map[string]membership
	undo   []crowdChange
}

type crowdChange struct {
	group string
	old   membership
	had   bool
}

func (x *crowding) begin() {
	clear(x.rows)
	clear(x.undo)
	x.undo = x.undo[:0]
}

func (x *crowding) committed() {
	for group, m := range x.rows {
		x.shared.put(group, m)
	}
}

// back undoes what was done since undo had this length: a savepoint was rolled back.
func (x *crowding) back(length int) {
	for _, c := range slices.Backward(x.undo[length:]) {
		if c.had {
			x.rows[c.group] = c.old
		} else {
			delete(x.rows, c.group)
		}
	}
	x.undo = x.undo[:length]
}

func (x *crowding) at(group string, version uint64) (membership, bool) {
	if m, ok := x.rows[group]; ok {
		return m, m.version == version
	}
	return x.shared.at(group, version)
}

func (x *crowding) put(group string, m membership) {
	old, had := x.rows[group]
	x.undo = append(x.undo, crowdChange{group, old, had})
	if x.rows == nil {
		x.rows = make(map[string]membership)
	}
	x.rows[group] = m
}

// of tells who is in a group.
func (x *crowding) of(ctx context.Context, tx *store.Tx, app protocol.AppID, g *store.Group) (membership, error) {
	if m, ok := x.at(g.ID, g.Version); ok {
		return m, nil
	}
	list, err := tx.Members(ctx, app, g.ID)
	if err != nil {
		return membership{}, err
	}
	m := newMembership(g.Version, list)
	x.put(g.ID, m)
	return m, nil
}

// locked: the group has got the next version, and has the members that it had.
func (x *crowding) locked(g *store.Group) {
	if m, ok := x.at(g.ID, g.Version-1); ok {
		m.version = g.Version
		x.put(g.ID, m)
	}
}

// addMember adds a member to a group that was locked.
func (c Caller) addMember(ctx context.Context, g *store.Group, m store.Member) error {
	crowd, known := c.plan.crowds.at(g.ID, g.Version)
	err := c.tx.AddMember(ctx, c.App, g, m, c.now)
	if err == nil && known {
		c.plan.crowds.put(g.ID, crowd.with(g.Version, m.User))
	}
	return err
}

// removeMember removes a member of a group that was locked.
func (c Caller) removeMember(ctx context.Context, g *store.Group, user string) error {
	crowd, known := c.plan.crowds.at(g.ID, g.Version)
	err := c.tx.RemoveMember(ctx, c.App, g.ID, user)
	if err == nil && known {
		c.plan.crowds.put(g.ID, crowd.without(user))
	}
	return err
}

// updateMember writes a member of a group that was locked.
func (c Caller) updateMember(ctx context.Context, g *store.Group, m store.Member) error {
	crowd, known := c.plan.crowds.at(g.ID, g.Version)
	err := c.tx.UpdateMember(ctx, c.App, g.ID, m)
	if err == nil && known {
		c.plan.crowds.put(g.ID, crowd.asking(m.User, m.RecvOpt != protocol.RecvNot))
	}
	return err
}

// clearMembers removes all members of a group that was locked, and its applications.
func (c Caller) clearMembers(ctx context.Context, g *store.Group) error {
	err := c.tx.ClearGroup(ctx, c.App, g.ID)
	if err == nil {
		c.plan.crowds.put(g.ID, membership{version: g.Version})
	}
	return err
}
