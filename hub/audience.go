package hub

import (
	"context"
	"errors"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// membership is the members of a group as of a version of it.
type membership struct {
	version uint64
	users   []string
	wanting []string // those who want to have its messages; the same slice if all do
}

func newMembership(version uint64, list []store.Member) membership {
	m := membership{version: version, users: make([]string, len(list))}
	var wanting []string
	for i, x := range list {
		m.users[i] = x.User
		if x.RecvOpt != protocol.RecvNot {
			wanting = append(wanting, x.User)
		}
	}
	if m.wanting = wanting; len(wanting) == len(m.users) {
		m.wanting = m.users
	}
	return m
}

// room is a group as the present transaction sees it.
type room struct {
	store.Group
	missing bool
	senders map[string]*store.Member // asked for; nil: he is none
}

func (r *room) live() bool { return r.Type == protocol.GroupAVChatRoom }

// audience tells who gets the entries of a log.
func (p *planner) audience(ctx context.Context, tx *store.Tx, l *openLog) (membership, error) {
	if l.group == "" {
		return membership{users: l.users, wanting: l.users}, nil
	}
	r, err := p.room(ctx, tx, l.group)
	if err != nil {
		return membership{}, err
	}
	return p.readers(ctx, tx, &r.Group)
}

func (p *planner) room(ctx context.Context, tx *store.Tx, id string) (*room, error) {
	if r := p.rooms[id]; r != nil {
		return r, nil
	}
	g, err := tx.Group(ctx, p.hub.app, id)
	r := &room{Group: g, missing: errors.Is(err, store.ErrNotFound), senders: make(map[string]*store.Member)}
	if err != nil && !r.missing {
		return nil, err
	}
	p.rooms[id] = r
	return r, nil
}

// readers tells who gets the entries of a group.
func (p *planner) readers(ctx context.Context, tx *store.Tx, g *store.Group) (membership, error) {
	if m, ok := p.members.rows[g.ID]; ok && m.version == g.Version {
		return m, nil
	}
	list, err := tx.Members(ctx, p.hub.app, g.ID)
	if err != nil {
		return membership{}, err
	}
	m := newMembership(g.Version, list)
	// Should the transaction be rolled back, the version is that of no row, and
	// the next change of the group takes it again, with other members.
	if !p.mixed {
		p.members.put(g.ID, m)
	}
	return m, nil
}
