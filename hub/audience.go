package hub

import (
	"context"
	"errors"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

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
	return p.crowds.of(ctx, tx, p.hub.app, &r.Group)
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
