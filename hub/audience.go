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
}

// room is a group as the present transaction sees it.
type room struct {
	store.Group
	missing bool
	senders map[string]bool // asked for: is he a member
}

func (r *room) live() bool { return r.Type == protocol.GroupAVChatRoom }

// audience lists who gets the entries of a log.
func (p *planner) audience(ctx context.Context, tx *store.Tx, l *openLog) ([]string, error) {
	if l.group == "" {
		return l.users, nil
	}
	r, err := p.room(ctx, tx, l.group)
	if err != nil {
		return nil, err
	}
	return p.readers(ctx, tx, &r.Group)
}

func (p *planner) room(ctx context.Context, tx *store.Tx, id string) (*room, error) {
	if r := p.rooms[id]; r != nil {
		return r, nil
	}
	g, err := tx.Group(ctx, p.hub.app, id)
	r := &room{Group: g, missing: errors.Is(err, store.ErrNotFound), senders: make(map[string]bool)}
	if err != nil && !r.missing {
		return nil, err
	}
	p.rooms[id] = r
	return r, nil
}

// readers lists who gets the entries of a group.
func (p *planner) readers(ctx context.Context, tx *store.Tx, g *store.Group) ([]string, error) {
	if m, ok := p.members.rows[g.ID]; ok && m.version == g.Version {
		return m.users, nil
	}
	list, err := tx.Members(ctx, p.hub.app, g.ID)
	if err != nil {
		return nil, err
	}
	users := make([]string, len(list))
	for i, m := range list {
		users[i] = m.User
	}
	// Should the transaction be rolled back, the version is that of no row, and
	// the next change of the group takes it again, with other members.
	if !p.mixed {
		p.members.put(g.ID, membership{g.Version, users})
	}
	return users, nil
}
