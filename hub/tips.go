package hub

import (
	"context"
	"fmt"
	"slices"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// audienceOf lists who is told of a change in a group: its members, who of a live
// room are reached by its topic.
func (c Caller) audienceOf(ctx context.Context, g store.Group) ([]string, error) {
	if !rulesOf[g.Type].log {
		return nil, nil
	}
	return c.members(ctx, g)
}

// tip tells of a change in a group: in its log, of which it returns the id and the
// tip's seq, or in its live room, which has none. readers are told after the commit.
func (h *Hub) tip(ctx context.Context, c Caller, g store.Group, tip protocol.Tip, readers []string) (store.LogID, uint64, error) {
	body, err := protocol.Marshal(tip)
	if err != nil {
		return 0, 0, err
	}
	return h.tell(ctx, c, g, protocol.EntryTip, body, readers)
}

func (h *Hub) tell(ctx context.Context, c Caller, g store.Group, kind protocol.EntryKind, body []byte, readers []string) (store.LogID, uint64, error) {
	if !rulesOf[g.Type].log {
		c.res.out = append(c.res.out, &liveMessage{epoch: g.LiveEpoch, signal: protocol.Signal{
			Group: g.ID, From: c.User, Time: c.now.UnixMilli(), Kind: kind, Body: body,
		}})
		return 0, 0, nil
	}
	name := protocol.GroupLog(g.ID)
	l, _, err := c.tx.EnsureLog(ctx, c.App, name)
	if err != nil {
		return 0, 0, err
	}
	seq, err := h.enter(ctx, c, l.ID, name, readers, func(seq uint64) *protocol.Entry {
		e := &protocol.Entry{Kind: kind, From: c.User, Body: body}
		if kind == protocol.EntryTip {
			e.MsgID = protocol.MsgID(protocol.MsgIDPrefix(c.App, name, "", h.era.Ord), seq) // no account has the name of a log
		}
		return e
	})
	return l.ID, seq, err
}

// enter writes an entry of the hub's own into a log and returns its seq. entry
// gives the entry at that seq. readers are told after the commit.
func (h *Hub) enter(ctx context.Context, c Caller, id store.LogID, name string, readers []string, entry func(seq uint64) *protocol.Entry) (uint64, error) {
	seq, err := c.tx.Extend(ctx, id, 1, h.era.Ord)
	if err != nil {
		return 0, err
	}
	e := entry(seq)
	if len(e.Body) > protocol.MaxBodyBytes { // no frame takes it, and nobody would read the log beyond it
		return 0, fmt.Errorf("an entry of kind %d for %s has %d bytes, which is over the limit of %d", e.Kind, name, len(e.Body), protocol.MaxBodyBytes)
	}
	e.Seq, e.Era, e.Time = seq, h.era.Ord, c.now.UnixMilli()
	if err := c.tx.Insert(ctx, []store.Row{{Log: id, Entry: e}}); err != nil {
		return 0, err
	}
	c.res.entries++
	c.res.out = append(c.res.out, &run{log: name, readers: readers, entries: []*protocol.Entry{e}})
	return seq, nil
}

// inform tells accounts of something, each in the log of its own. body gives what
// one is told.
func (h *Hub) inform(ctx context.Context, c Caller, users []string, body func(user string) []byte) error {
	return h.informAs(ctx, c, users, protocol.EntryEvent, body)
}

func (h *Hub) informAs(ctx context.Context, c Caller, users []string, kind protocol.EntryKind, body func(user string) []byte) error {
	type own struct {
		user string
		id   store.LogID
	}
	logs := make([]own, 0, len(users))
	for _, user := range users {
		l, made, err := c.tx.EnsureLog(ctx, c.App, protocol.UserLog(user))
		if err == nil && made {
			err = c.tx.SetReader(ctx, c.App, user, l.ID, 0, 0)
		}
		if err != nil {
			return err
		}
		logs = append(logs, own{user, l.ID})
	}
	slices.SortFunc(logs, func(a, b own) int { return int(a.id - b.id) }) // as all do who take several
	for _, l := range logs {
		_, err := h.enter(ctx, c, l.id, protocol.UserLog(l.user), []string{l.user}, func(uint64) *protocol.Entry {
			return &protocol.Entry{Kind: kind, From: c.User, Body: body(l.user)}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// informOf is inform of one event that is the same for all.
func informOf[T any](ctx context.Context, h *Hub, c Caller, e protocol.Event[T], data T, users ...string) error {
	body, err := protocol.NewHubEvent(e, data)
	if err != nil || len(users) == 0 {
		return err
	}
	return h.inform(ctx, c, users, func(string) []byte { return body })
}

// tellRooms tells users' terminals after the commit which live rooms they are in.
func (c Caller) tellRooms(users ...string) {
	for _, user := range users {
		c.res.out = append(c.res.out, &roomsChanged{user, c.now.UnixMilli()})
	}
}

// forgetCards has members' names in a group read anew after the commit.
func (h *Hub) forgetCards(c Caller, group string, users ...string) {
	c.res.done = append(c.res.done, func() { h.faces.forgetCards(group, users...) })
}
