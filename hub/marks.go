package hub

import (
	"context"
	"errors"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// Marks: what an account has read and deleted. The rows change at once, so that
// the next item of the same transaction sees it; the entry that tells terminals of
// it is planned as a message is. A mark that changes nothing writes nothing.

// maxLook is how many entries are looked at for one that makes a receipt worth
// sending.
const maxLook = 10_000

func (p *planner) mark(ctx context.Context, tx *store.Tx, b *plannedBatch, i int) (*protocol.Error, error) {
	user := b.job.s.user
	m, err := protocol.DecodeMark(b.job.items[i].Body)
	if err != nil {
		return protocol.AsError(err), nil
	}
	if m.Kind == protocol.MarkOption {
		return protocol.Errorf(protocol.CodeInvalidParameters, "what is wanted of a group is set by im.setReceiveMessageOpt"), nil
	}
	r, err := tx.Reader(ctx, p.hub.app, user, m.Log)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return p.unmarkable(ctx, tx, user, m)
	case err != nil:
		return nil, err
	}
	b.acks[i] = protocol.Ack{Time: p.now.UnixMilli()}
	switch m.Kind {
	case protocol.MarkRead:
		return nil, p.markRead(ctx, tx, b, i, r, m.UpTo)
	case protocol.MarkCleared:
		upTo := min(m.UpTo, r.Head)
		if upTo <= r.Cleared {
			return nil, nil
		}
		if err := tx.SetCleared(ctx, p.hub.app, user, r.ID, upTo); err != nil {
			return nil, err
		}
		return nil, p.tellSelf(ctx, tx, b, i, protocol.Mark{Kind: m.Kind, Log: m.Log, UpTo: upTo})
	}
	seqs, err := tx.Hide(ctx, p.hub.app, user, r.ID, r.Least(), r.Head, m.Seqs)
	if err != nil || len(seqs) == 0 {
		return nil, err
	}
	return nil, p.tellSelf(ctx, tx, b, i, protocol.Mark{Kind: m.Kind, Log: m.Log, Seqs: seqs})
}

// unmarkable says why an account cannot mark a log that it does not read.
func (p *planner) unmarkable(ctx context.Context, tx *store.Tx, user string, m protocol.Mark) (*protocol.Error, error) {
	kind, group, _ := protocol.ParseLog(m.Log)
	if kind != protocol.LogGroup {
		return protocol.Errorf(protocol.CodeInvalidParameters, "%s has no such conversation to mark", user), nil
	}
	g, err := p.room(ctx, tx, group)
	switch {
	case err != nil:
		return nil, err
	case !g.missing && !g.Dismissed && g.live() && m.Kind == protocol.MarkDeleted:
		return protocol.Errorf(protocol.CodeSvrGroupNotAllowRemoveMsg, "%s is an AVChatRoom: it keeps nothing that could be deleted", group), nil
	case !g.missing && !g.Dismissed && g.live():
		return protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s is an AVChatRoom: it keeps nothing to mark", group), nil
	}
	return protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s may not read the group %s", user, group), nil
}

// markRead moves up to where an account has read. In a conversation of two the
// other side is told, if it was a message of its that was read.
func (p *planner) markRead(ctx context.Context, tx *store.Tx, b *plannedBatch, i int, r store.Reader, upTo uint64) error {
	user := b.job.s.user
	upTo = min(upTo, r.Head)
	if upTo <= r.Read {
		return nil
	}
	if err := tx.SetRead(ctx, p.hub.app, user, r.ID, upTo); err != nil {
		return err
	}
	after := max(r.Read, r.From)
	news := after < upTo && upTo-after > maxLook // so many that it is not worth to look: telling does no harm
	if !news {
		var err error
		if news, err = tx.OthersWrote(ctx, r.ID, user, after, upTo); err != nil || !news {
			return err
		}
	}
	mark := protocol.Mark{Kind: protocol.MarkRead, Log: r.Log, UpTo: upTo}
	kind, x, y := protocol.ParseLog(r.Log)
	if kind != protocol.LogC2C || x == y { // with oneself nobody else reads
		return p.tellSelf(ctx, tx, b, i, mark)
	}
	return b.addMark(p.open(r.ID, r.Log), i, mark)
}

// tellSelf plans an entry in the log of the sender's account.
func (p *planner) tellSelf(ctx context.Context, tx *store.Tx, b *plannedBatch, i int, m protocol.Mark) error {
	l, err := p.openNamed(ctx, tx, protocol.UserLog(b.job.s.user))
	if err != nil {
		return err
	}
	return b.addMark(l, i, m)
}

func (b *plannedBatch) addMark(l *openLog, i int, m protocol.Mark) error {
	body, err := protocol.Marshal(m)
	if err == nil {
		b.add(l, i, protocol.EntryMark, body)
	}
	return err
}
