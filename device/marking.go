package device

import (
	"context"
	"errors"

	"github.com/herald-im/herald/device/mirror"
	"github.com/herald-im/herald/device/outbox"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// What an account has read and deleted is true on the board at once, and goes to
// the hub through the outbox, as messages do: it is not lost, and keeps its order.

func (d *Device) markC2C(ctx context.Context, _ protocol.Caller, r protocol.MarkC2CRequest) (protocol.Empty, error) {
	s, err := d.current()
	if err != nil {
		return protocol.Empty{}, err
	}
	return protocol.Empty{}, s.markRead(ctx, protocol.C2CLog(s.user, r.UserID))
}

func (d *Device) markGroup(ctx context.Context, _ protocol.Caller, r protocol.GroupRequest) (protocol.Empty, error) {
	s, err := d.current()
	if err != nil {
		return protocol.Empty{}, err
	}
	return protocol.Empty{}, s.markRead(ctx, protocol.GroupLog(r.GroupID))
}

// markRead says that all of a log that is here is read. Where nothing is unread
// there is nothing to say.
func (s *session) markRead(ctx context.Context, log string) error {
	at, has := s.inbox.Cursor(log)
	c := s.mirror.Conv(log)
	if !has || at == 0 || c != nil && c.Known && !c.Stale && c.Unread() == 0 {
		return nil
	}
	return s.mark(ctx, protocol.Mark{Kind: protocol.MarkRead, Log: log, UpTo: at})
}

func (d *Device) deleteConversation(ctx context.Context, _ protocol.Caller, r protocol.ConversationRequest) (protocol.Empty, error) {
	s, err := d.current()
	if err != nil {
		return protocol.Empty{}, err
	}
	log := s.conversationLog(r.ConversationID)
	at, _ := s.inbox.Cursor(log)
	c := s.mirror.Conv(log)
	if c == nil && at == 0 {
		return protocol.Empty{}, nil // there is none
	}
	defer s.sweepInserted()
	if c != nil && c.Cleared >= at { // what is left of it is of this board alone
		return protocol.Empty{}, s.write(func(tx *bbolt.Tx) error { return s.mirror.Forget(tx, log, at) })
	}
	return protocol.Empty{}, s.mark(ctx, protocol.Mark{Kind: protocol.MarkCleared, Log: log, UpTo: at})
}

func (d *Device) deleteMessages(ctx context.Context, _ protocol.Caller, r protocol.DeleteMessagesRequest) (protocol.Empty, error) {
	s, err := d.current()
	if err != nil {
		return protocol.Empty{}, err
	}
	return protocol.Empty{}, s.deleteMessages(ctx, r.MsgIDList)
}

// deleteMessages looks for all of them before it deletes any.
func (s *session) deleteMessages(ctx context.Context, ids []string) error {
	marks := make(map[string]*protocol.Mark)
	own := make(map[string][]mirror.Pos) // what this board alone has, by log
	for _, id := range ids {
		log, row, err := s.find(id)
		if err != nil {
			return err
		}
		switch {
		case log == "":
			if p, err := s.findPending(id); err != nil {
				return protocol.Errorf(protocol.CodeDatabaseFailure, "%v", err)
			} else if p != nil {
				return protocol.Errorf(protocol.CodeInProgress, "msgId: the message %s is being sent: take it back with im.revokeMessage", id)
			}
			return protocol.Errorf(protocol.CodeInvalidParameters, "msgId: this board knows no message %s: read the history that it is in first", id)
		case row.Pos.Sub > 0:
			own[log] = append(own[log], row.Pos)
		case marks[log] == nil:
			marks[log] = &protocol.Mark{Kind: protocol.MarkDeleted, Log: log, Seqs: []uint64{row.Pos.Seq}}
		default:
			marks[log].Seqs = append(marks[log].Seqs, row.Pos.Seq)
		}
	}
	if len(own) > 0 {
		defer s.sweepInserted()
		err := s.write(func(tx *bbolt.Tx) error {
			for log, at := range own {
				for _, p := range at {
					if err := s.mirror.Delete(tx, log, p); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, mark := range marks {
		if err := s.mark(ctx, *mark); err != nil {
			return err
		}
	}
	for _, id := range ids {
		s.places.forget(id)
	}
	return nil
}

// mark puts a mark into the mirror and into the outbox in one transaction.
func (s *session) mark(ctx context.Context, mark protocol.Mark) error {
	body, err := protocol.Marshal(mark)
	if err != nil {
		return err
	}
	it := &outbox.Item{Kind: protocol.ItemMark, Body: body}
	_, err = s.post(ctx, it, hooks{also: func(tx *bbolt.Tx) error { return s.mirror.Mark(tx, mark) }})
	return err
}

func (d *Device) revokeMessage(ctx context.Context, _ protocol.Caller, r protocol.RevokeRequest) (protocol.Empty, error) {
	s, err := d.current()
	if err != nil {
		return protocol.Empty{}, err
	}
	log := protocol.GroupLog(r.GroupID)
	if r.UserID != "" {
		log = protocol.C2CLog(s.user, r.UserID)
	}
	return protocol.Empty{}, s.revoke(ctx, log, r.MsgID)
}

// revoke takes a message back: one that waits leaves the board, one that is at the
// hub, or may be, the hub takes back.
func (s *session) revoke(ctx context.Context, log, msgID string) error {
	p, err := s.findPending(msgID)
	if err != nil {
		return protocol.Errorf(protocol.CodeDatabaseFailure, "%v", err)
	}
	if p != nil {
		if p.log != log {
			return protocol.Errorf(protocol.CodeInvalidParameters, "msgId: the message %s is in another conversation", msgID)
		}
		err := s.withdraw(*p)
		if !errors.Is(err, outbox.ErrTaken) {
			return err
		}
	}
	if where, row, err := s.find(msgID); err == nil && where == log && row.Pos.Sub > 0 { // nobody else has it
		return s.deleteMessages(ctx, []string{msgID})
	}
	if !s.linkUp() {
		return protocol.Errorf(protocol.CodeNetDisconnect, "no link to the hub, which has the message or may have it: try again when it is back")
	}
	body, err := protocol.Marshal(protocol.Revoke{Log: log, MsgID: msgID})
	if err != nil {
		return err
	}
	_, err = s.post(ctx, &outbox.Item{Kind: protocol.ItemRevoke, Body: body}, hooks{})
	return err
}

// withdraw takes a message that waits off the board. outbox.ErrTaken: it is too late.
func (s *session) withdraw(p pendingMessage) error {
	res := make(chan error, 1)
	s.d.db.Go(func(tx *bbolt.Tx) error {
		if s.over() {
			return errNotLoggedIn
		}
		if p.cseq == 0 {
			return s.uploads.withdraw(s, tx, p.waiting)
		}
		return s.box.Withdraw(tx, p.cseq)
	}, func(err error) {
		s.box.Committed(err)
		res <- err
	})
	if err := <-res; err != nil {
		return err
	}
	if p.cseq == 0 {
		s.uploads.withdrawn(p.waiting)
	}
	if p.owner != "" {
		s.d.files.store.Unpin(p.owner)
	}
	s.wakeOutbox()
	s.answerWithdrawn(p.msgID)
	return nil
}
