package device

import (
	"context"
	"maps"
	"slices"

	"github.com/herald-im/herald/device/mirror"
	"github.com/herald-im/herald/device/outbox"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

func (d *Device) getConversationList(_ context.Context, _ protocol.Caller, r protocol.ConversationListRequest) (res protocol.ConversationListResponse, err error) {
	s, err := d.current()
	if err != nil {
		return res, err
	}
	newest, err := s.newestPending()
	if err == nil {
		err = d.db.View(func(tx *bbolt.Tx) error {
			list, after, more := s.mirror.List(r.NextSeq, r.Count, timesOf(newest))
			res = protocol.ConversationListResponse{NextSeq: after, IsFinished: !more, ConversationList: make([]protocol.Conversation, len(list))}
			for i, c := range list {
				res.ConversationList[i] = s.conversation(tx, c, newest[c.Log])
			}
			return nil
		})
	}
	if err != nil {
		return res, protocol.Errorf(protocol.CodeDatabaseFailure, "%v", err)
	}
	return res, nil
}

// newestPending is of each log the newest message that waits.
func (s *session) newestPending() (map[string]*pendingMessage, error) {
	all, err := s.pending()
	if err != nil || len(all) == 0 {
		return nil, err
	}
	out := make(map[string]*pendingMessage)
	for i := range all {
		if p := &all[i]; out[p.log] == nil {
			out[p.log] = p
		}
	}
	return out, nil
}

func timesOf(newest map[string]*pendingMessage) map[string]int64 {
	if len(newest) == 0 {
		return nil
	}
	out := make(map[string]int64, len(newest))
	for log, p := range newest {
		out[log] = p.at * 1000
	}
	return out
}

// showWaiting tells programs of a message that was accepted, which is the last of
// its conversation now. It is called on the committer's goroutine.
func (s *session) showWaiting(it outbox.Item) {
	p, is := s.asPending(it)
	if !is || !s.d.moments.watched() {
		return
	}
	e := protocol.OnConversationChanged
	c := s.mirror.Conv(p.log)
	if c == nil || !c.Visible() {
		e = protocol.OnNewConversation
	}
	if c == nil {
		c = s.mirror.Empty(p.log)
	}
	err := s.d.db.View(func(tx *bbolt.Tx) error {
		raise(s.d, e, protocol.ConversationsEvent{ConversationList: []protocol.Conversation{s.conversation(tx, c, &p)}})
		return nil
	})
	if err != nil {
		s.log.Warn("programs could not be told of a conversation", "err", err)
	}
}

// conversationLog is the log of a conversationId that Validate has seen.
func (s *session) conversationLog(conversationID string) string {
	kind, id, err := protocol.CheckConversationID("conversationId", conversationID)
	switch {
	case err != nil:
		return ""
	case kind == protocol.LogGroup:
		return protocol.GroupLog(id)
	}
	return protocol.C2CLog(s.user, id)
}

func (d *Device) setConversationDraft(_ context.Context, _ protocol.Caller, r protocol.DraftRequest) (protocol.Empty, error) {
	s, err := d.current()
	if err != nil {
		return protocol.Empty{}, err
	}
	if err := d.db.Room(); err != nil && r.DraftText != "" {
		return protocol.Empty{}, err
	}
	now, _ := d.clock.now()
	return protocol.Empty{}, s.write(func(tx *bbolt.Tx) error {
		return s.mirror.SetDraft(tx, s.conversationLog(r.ConversationID), r.DraftText, now)
	})
}

// write changes the mirror in a transaction of its own.
func (s *session) write(f func(tx *bbolt.Tx) error) error {
	res := make(chan error, 1)
	s.d.db.Go(func(tx *bbolt.Tx) error {
		if s.over() { // another session may have opened the account since
			return errNotLoggedIn
		}
		return f(tx)
	}, func(err error) {
		s.mirrored(err)
		res <- err
	})
	return <-res
}

// mirrored is called with the result of each transaction that may have written
// the mirror, on the committer's goroutine: it tells programs what became of
// conversations.
func (s *session) mirrored(err error) {
	changes := s.mirror.Committed(err)
	if len(changes) == 0 || !s.d.moments.watched() {
		return
	}
	lists := make(map[mirror.Change][]protocol.Conversation)
	err = s.d.db.View(func(tx *bbolt.Tx) error {
		for _, log := range slices.Sorted(maps.Keys(changes)) {
			if c := s.mirror.Conv(log); c != nil {
				lists[changes[log]] = append(lists[changes[log]], s.conversation(tx, c, nil))
			}
		}
		return nil
	})
	if err != nil {
		s.log.Warn("programs could not be told of conversations", "err", err)
		return
	}
	showConversations(s.d, protocol.OnNewConversation, lists[mirror.Appeared])
	showConversations(s.d, protocol.OnConversationChanged, lists[mirror.Changed])
	showConversations(s.d, protocol.OnConversationDeleted, lists[mirror.Vanished])
}

// maxShown is the most conversations of one event.
const maxShown = 100

func showConversations(d *Device, e protocol.Event[protocol.ConversationsEvent], list []protocol.Conversation) {
	for part := range slices.Chunk(list, maxShown) {
		raise(d, e, protocol.ConversationsEvent{ConversationList: part})
	}
}
