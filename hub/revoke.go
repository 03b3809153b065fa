package hub

import (
	"context"
	"errors"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// revoke takes a message back: what it said leaves the database at once, and an
// entry of the same log tells all who read it.
func (p *planner) revoke(ctx context.Context, tx *store.Tx, b *plannedBatch, i int) (*protocol.Error, error) {
	user := b.job.s.user
	in, err := protocol.DecodeRevoke(b.job.items[i].Body)
	if err != nil {
		return protocol.AsError(err), nil
	}
	kind, x, _ := protocol.ParseLog(in.Log)
	group, admin := "", false
	switch kind {
	case protocol.LogC2C:
	case protocol.LogGroup:
		group = x
		var refusal *protocol.Error
		if admin, refusal, err = p.revoker(ctx, tx, user, group); err != nil || refusal != nil {
			return refusal, err
		}
	default:
		return protocol.Errorf(protocol.CodeInvalidParameters, "the message is in no conversation"), nil
	}
	// A message that the same transaction brings has no place in the log yet.
	if l := p.logs[in.Log]; l != nil && l.count > 0 {
		if err := p.write(ctx, tx); err != nil {
			return nil, err
		}
	}
	r, e, err := p.find(ctx, tx, user, in)
	if errors.Is(err, store.ErrNotFound) {
		code := protocol.CodeInvalidParameters
		if group != "" {
			code = protocol.CodeSvrGroupRevokeMsgNotFound
		}
		return protocol.Errorf(code, "msgId: there is no message %s in this conversation", in.MsgID), nil
	}
	if err != nil {
		return nil, err
	}
	switch age := time.Duration(p.now.UnixMilli()-e.Time) * time.Millisecond; {
	case e.Kind != protocol.EntryMessage:
		return protocol.Errorf(protocol.CodeSvrGroupNotAllowRevokeMsg, "msgId: %s is not a message that somebody sent, and stays", in.MsgID), nil
	case e.From != user && !admin:
		return protocol.Errorf(protocol.CodeSvrGroupRevokeMsgDeny, "msgId: the message is not %s's to take back", user), nil
	case e.RevokedBy != "": // it is as he wants it
		b.acks[i] = protocol.Ack{Time: p.now.UnixMilli()}
		return nil, nil
	case !admin && age > p.hub.cfg.RevokeWindow:
		code := protocol.CodeRevokeTimeLimitExceed
		if group != "" {
			code = protocol.CodeSvrGroupRevokeMsgTimeLimit
		}
		return protocol.Errorf(code, "msgId: a message may be taken back within %v, and this one is %v old", p.hub.cfg.RevokeWindow, age.Round(time.Second)), nil
	}
	if err := tx.RevokeEntry(ctx, r.ID, e.Seq, user); err != nil {
		return nil, err
	}
	if err := tx.DropFileRefs(ctx, p.hub.app, r.ID, e.Seq); err != nil {
		return nil, err
	}
	body, err := protocol.Marshal(protocol.Revoke{MsgID: in.MsgID, Seq: e.Seq, Sender: e.From})
	if err != nil {
		return nil, err
	}
	b.add(p.open(r.ID, in.Log), i, protocol.EntryRevoke, body)
	return nil, nil
}

// revoker tells whether a member of a group may take back what others sent.
func (p *planner) revoker(ctx context.Context, tx *store.Tx, user, group string) (admin bool, refusal *protocol.Error, err error) {
	g, err := p.room(ctx, tx, group)
	switch {
	case err != nil:
		return false, nil, err
	case g.missing || g.Dismissed:
		return false, protocol.Errorf(protocol.CodeSvrGroupNotFound, "there is no group %s", group), nil
	case g.live():
		return false, protocol.Errorf(protocol.CodeSvrGroupNotAllowRevokeMsg, "%s is an AVChatRoom: what was said there cannot be taken back", group), nil
	}
	m, err := tx.Member(ctx, p.hub.app, group, user)
	if errors.Is(err, store.ErrNotFound) {
		return false, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s is not a member of the group %s", user, group), nil
	}
	return m.Role != protocol.RoleMember, nil, err
}

// find finds the message that is to be taken back, where its sender may read it;
// else store.ErrNotFound.
func (p *planner) find(ctx context.Context, tx *store.Tx, user string, in protocol.Revoke) (r store.Reader, e protocol.Entry, err error) {
	if r, err = tx.Reader(ctx, p.hub.app, user, in.Log); err != nil {
		return r, e, err
	}
	if e, err = tx.Message(ctx, r.ID, in.MsgID); err == nil && (e.Seq <= r.From || e.Seq > r.Head) {
		err = store.ErrNotFound
	}
	return r, e, err
}
