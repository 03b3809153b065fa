package hub

import (
	"context"
	"errors"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// What the planner says to an item: whether it may stand, and where.

// item judges one new item: it gets its answer, or a place in a log.
func (p *planner) item(ctx context.Context, tx *store.Tx, b *plannedBatch, i int) error {
	it := &b.job.items[i]
	var err error
	refusal := it.refusal
	if refusal == nil && len(it.files) > 0 {
		refusal, err = p.files(ctx, tx, b.job.s.user, it.files)
	}
	switch {
	case err != nil || refusal != nil || it.Kind == protocol.ItemVoid:
	case it.Kind == protocol.ItemC2C:
		refusal, err = p.conversation(ctx, tx, b, i)
	case it.Kind == protocol.ItemMark:
		refusal, err = p.mark(ctx, tx, b, i)
	case it.Kind == protocol.ItemRevoke:
		refusal, err = p.revoke(ctx, tx, b, i)
	default:
		refusal, err = p.group(ctx, tx, b, i)
	}
	if refusal != nil {
		b.acks[i] = protocol.Ack{Code: refusal.Code, Msg: refusal.Msg, Time: p.now.UnixMilli()}
	}
	return err
}

func (p *planner) conversation(ctx context.Context, tx *store.Tx, b *plannedBatch, i int) (*protocol.Error, error) {
	from, to := b.job.s.user, b.job.items[i].To
	name := protocol.C2CLog(from, to)
	_, known := p.ids.rows[name]
	if refusal, err := p.mayWriteTo(ctx, tx, from, to, known || p.logs[name] != nil); refusal != nil || err != nil {
		return refusal, err
	}
	l, err := p.openNamed(ctx, tx, name)
	if err == nil {
		b.add(l, i, protocol.EntryMessage, b.job.items[i].Body)
	}
	return nil, err
}

// mayWriteTo says why an account cannot write to another one: it is not there, unless
// the caller knows that, or does not want it.
func (p *planner) mayWriteTo(ctx context.Context, tx *store.Tx, from, to string, there bool) (*protocol.Error, error) {
	if !there {
		if there, err := p.account(ctx, tx, to); err != nil {
			return nil, err
		} else if !there {
			return protocol.Errorf(protocol.CodeSvrMsgToAccountNotFound, "there is no account %s", to), nil
		}
	}
	refused, err := p.refusals.refuses(ctx, tx, p.hub.app, to, from)
	if err == nil && refused {
		return blacklisted(to, from), nil
	}
	if err == nil && p.hub.cfg.FriendsOnly && to != from {
		return p.strangers(ctx, tx, from, to)
	}
	return nil, err
}

// strangers refuses who is no friend of whom he writes to.
func (p *planner) strangers(ctx context.Context, tx *store.Tx, from, to string) (*protocol.Error, error) {
	mine, err := tx.HasFriend(ctx, p.hub.app, from, to)
	if err != nil {
		return nil, err
	}
	theirs, err := tx.HasFriend(ctx, p.hub.app, to, from)
	switch {
	case err != nil, mine && theirs:
		return nil, err
	case mine:
		return protocol.Errorf(protocol.CodeSvrMsgNotPeerFriend, "%s does not have %s as a friend", to, from), nil
	case theirs:
		return protocol.Errorf(protocol.CodeSvrMsgNotSelfFriend, "%s does not have %s as a friend", from, to), nil
	}
	return protocol.Errorf(protocol.CodeSvrMsgBothNotFriend, "%s and %s are no friends", from, to), nil
}

func (p *planner) account(ctx context.Context, tx *store.Tx, user string) (bool, error) {
	if _, ok := p.known.rows[user]; ok {
		return true, nil
	}
	_, err := tx.User(ctx, p.hub.app, user)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err == nil {
		p.newAccount = append(p.newAccount, user)
	}
	return err == nil, err
}

func (p *planner) group(ctx context.Context, tx *store.Tx, b *plannedBatch, i int) (*protocol.Error, error) {
	s, it := b.job.s, &b.job.items[i]
	r, refusal, err := p.speaker(ctx, tx, s.user, it)
	if refusal != nil || err != nil {
		return refusal, err
	}
	if r.live() {
		now := p.now.UnixMilli()
		b.acks[i] = protocol.Ack{Time: now}
		b.signals = append(b.signals, &liveMessage{epoch: r.LiveEpoch, signal: protocol.Signal{
			Group: r.ID, From: s.user, Term: s.terminal, MsgID: b.msgID(p.hub.app, i), Time: now, Body: it.Body, Priority: it.Priority,
		}})
		return nil, p.grant(ctx, tx, it.files, r.ID)
	}
	l, err := p.openNamed(ctx, tx, protocol.GroupLog(r.ID))
	if err == nil {
		b.add(l, i, protocol.EntryMessage, it.Body)
	}
	return nil, err
}

// speaker finds the group that an account says something in, or says why it cannot.
func (p *planner) speaker(ctx context.Context, tx *store.Tx, user string, it *item) (*room, *protocol.Error, error) {
	r, refusal, err := p.joined(ctx, tx, user, it.To)
	if refusal != nil || err != nil {
		return nil, refusal, err
	}
	m := r.senders[user]
	switch now := p.now; {
	case m.MutedUntil > now.UnixMilli():
		return nil, protocol.Errorf(protocol.CodeSvrGroupShutupDeny, "%s is muted in the group %s until %s", user, r.ID, time.UnixMilli(m.MutedUntil).UTC().Format(time.RFC3339)), nil
	case r.AllMuted && m.Role == protocol.RoleMember:
		return nil, protocol.Errorf(protocol.CodeSvrGroupShutupDeny, "ordinary members are muted in the group %s", r.ID), nil
	case !p.rates.take(now, user, r.ID, it.Priority, it.Waited):
		return nil, protocol.Errorf(protocol.CodeSvrGroupSendMsgFreqLimit, "over %d messages a second are said in the group %s: try again", p.rates.limit, r.ID), nil
	}
	if r.live() {
		p.hub.lively.said(r.ID, p.now)
	}
	return r, nil, nil
}

// joined finds a group that an account is in, or says why it is not.
func (p *planner) joined(ctx context.Context, tx *store.Tx, user, id string) (*room, *protocol.Error, error) {
	r, err := p.room(ctx, tx, id)
	if err != nil {
		return nil, nil, err
	}
	if r.missing || r.Dismissed {
		return nil, protocol.Errorf(protocol.CodeSvrGroupNotFound, "there is no group %s", id), nil
	}
	member, asked := r.senders[user]
	if !asked {
		m, err := tx.Member(ctx, p.hub.app, r.ID, user)
		if err == nil {
			member = &m
		} else if !errors.Is(err, store.ErrNotFound) {
			return nil, nil, err
		}
		r.senders[user] = member
	}
	if member == nil {
		return nil, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s is not a member of the group %s", user, id), nil
	}
	return r, nil, nil
}
