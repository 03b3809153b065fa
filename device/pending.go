package device

import (
	"slices"

	"github.com/herald-im/herald/device/mirror"
	"github.com/herald-im/herald/device/outbox"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// maxPendingShown is how many messages that wait are looked at for histories and
// the list, from the newest on.
const maxPendingShown = 2000

// pendingMessage is a message that was accepted and that the hub does not have yet.
type pendingMessage struct {
	log      string
	kind     protocol.LogKind
	id       string
	msgID    string
	cseq     uint64 // in the outbox; 0: its files are on their way
	waiting  uint64 // among those whose files are on their way
	body     []byte
	priority uint8
	at       int64  // Unix seconds
	owner    string // of its files; "": it has none
}

// pending lists what waits, the newest first.
func (s *session) pending() (out []pendingMessage, err error) {
	out = s.uploads.pending(s)
	if s.box.Status().Items == 0 {
		return out, nil
	}
	items, err := s.box.Newest(maxPendingShown)
	for _, it := range items {
		if p, is := s.asPending(it); is {
			out = append(out, p)
		}
	}
	return out, err
}

// asPending is an item of the outbox as a message; false: it is none.
func (s *session) asPending(it outbox.Item) (p pendingMessage, is bool) {
	p = pendingMessage{
		id: it.To, msgID: s.itemID(it), cseq: it.Cseq, body: it.Body, priority: it.Priority, at: it.QueuedAt,
	}
	if it.IDNumber != 0 {
		p.owner = s.fileOwner(it.IDEpoch, it.IDNumber)
	}
	p.log, p.kind, is = s.logOf(it.Kind, it.To)
	return p, is
}

// itemID is the message id of an item.
func (s *session) itemID(it outbox.Item) string {
	return protocol.MsgID(s.msgIDPrefix(it.IDEpoch), it.Number())
}

// logOf is the log that an item goes to; false: it is no message.
func (s *session) logOf(kind protocol.ItemKind, to string) (log string, of protocol.LogKind, is bool) {
	switch kind {
	case protocol.ItemC2C:
		return protocol.C2CLog(s.user, to), protocol.LogC2C, true
	case protocol.ItemGroup:
		return protocol.GroupLog(to), protocol.LogGroup, true
	}
	return "", 0, false
}

// entry is the message as it will be in its log, as far as that is known.
func (p pendingMessage) entry(s *session) protocol.Entry {
	return protocol.Entry{
		Time: p.at * 1000, Kind: protocol.EntryMessage, From: s.user, Term: s.d.terminal, MsgID: p.msgID, Body: p.body, Priority: p.priority,
	}
}

func (s *session) renderPending(tx *bbolt.Tx, p pendingMessage) protocol.MessageInfo {
	info := s.render(tx, p.kind, p.id, nil, mirror.Row{Entry: p.entry(s)})
	info.Status = protocol.StatusSending
	return info
}

// findPending returns the message of that id that waits; nil: none does.
func (s *session) findPending(msgID string) (*pendingMessage, error) {
	all, err := s.pending()
	i := slices.IndexFunc(all, func(p pendingMessage) bool { return p.msgID == msgID })
	if err != nil || i < 0 {
		return nil, err
	}
	return &all[i], nil
}

// queued is what waits as device.getQueue shows it.
func (p pendingMessage) queued() protocol.QueueItem {
	q := protocol.QueueItem{MsgID: p.msgID, Bytes: int64(len(p.body)), QueuedAt: p.at, Uploading: p.cseq == 0}
	switch p.kind {
	case protocol.LogC2C:
		q.UserID = p.id
	case protocol.LogGroup:
		q.GroupID = p.id
	}
	if m, err := protocol.DecodeMessage(p.body); q.Uploading && err == nil {
		for _, f := range m.Files {
			q.Bytes += f.Size
		}
	}
	return q
}
