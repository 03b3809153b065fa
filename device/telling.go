package device

import (
	"errors"
	"maps"

	"github.com/herald-im/herald/device/mirror"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// telling is what programs are told of entries, within the transaction in which
// the mirror takes them.
type telling struct {
	s         *session
	tx        *bbolt.Tx
	events    []protocol.Occurrence
	withFiles []protocol.MessageInfo
	people    map[string]person // whose names have changed
}

// entry tells of an entry. A step of an invitation is a message, too.
func (t *telling) entry(log string, e *protocol.Entry) {
	s := t.s
	if e.From == s.user && e.Term == s.d.terminal {
		return
	}
	tell := func(ev protocol.Occurrence, err error) {
		switch {
		case err != nil:
			// It came through the hub's checks, so a newer side wrote it. The
			// cursor must go past it, or nothing behind it would ever arrive.
			s.log.Warn("an entry cannot be read", "log", log, "seq", e.Seq, "err", err)
		case ev.Info != nil:
			t.events = append(t.events, ev)
		}
	}
	kind, id := mirror.Identify(log, s.user)
	if c := s.mirror.InTx(log); c != nil && c.RecvOpt == protocol.RecvNot && (e.Kind == protocol.EntryMessage || e.Kind == protocol.EntryRevoke) {
		return // it is in the history, and that is all that is wanted
	}
	switch e.Kind {
	case protocol.EntryMessage, protocol.EntrySignaling:
		m, err := protocol.DecodeMessage(e.Body)
		if err == nil && e.RevokedBy == "" {
			tell(s.simpleEvent(kind, id, e, &m))
		} else if e.RevokedBy == "" {
			tell(protocol.Occurrence{}, err)
		}
		info := s.renderDecoded(t.tx, kind, id, s.mirror.InTx(log), &mirror.Row{Entry: *e, Pos: mirror.Pos{Seq: e.Seq}}, &m)
		if hasFiles(info.ElemType) {
			t.withFiles = append(t.withFiles, info)
		}
		tell(newMessage(info, false))
	case protocol.EntryTip:
		if f := cards(id, e); f != nil {
			t.learned(s.record(t.tx, f))
		}
		tell(newMessage(s.renderDecoded(t.tx, kind, id, s.mirror.InTx(log), &mirror.Row{Entry: *e, Pos: mirror.Pos{Seq: e.Seq}}, nil), false))
		tell(s.groupEvent(id, e))
	case protocol.EntryEvent:
		ev, o, err := protocol.DecodeHubEvent(e.Body)
		tell(o, err)
		if err == nil && kind == protocol.LogUser {
			t.learned(s.learn(t.tx, ev))
		}
	case protocol.EntryRevoke:
		tell(s.revokedEvent(kind, id, e))
	case protocol.EntryMark:
		tell(s.receiptEvent(t.tx, log, kind, id, e))
	}
	if e.Kind == protocol.EntrySignaling {
		tell(s.signalingEvent(e))
	}
}

// learned notes whose names have changed.
func (t *telling) learned(changed map[string]person, err error) {
	if err != nil {
		t.s.log.Warn("names could not be written down", "err", err)
	}
	if t.people == nil {
		t.people = changed
		return
	}
	maps.Copy(t.people, changed)
}

// newMessage is the event of a message of any kind.
func newMessage(info protocol.MessageInfo, online bool) (protocol.Occurrence, error) {
	return protocol.OnRecvNewMessage.New(protocol.NewMessageEvent{ElemType: info.ElemType, Message: info, OnlineUserOnly: online})
}

func (s *session) revokedEvent(kind protocol.LogKind, id string, e *protocol.Entry) (protocol.Occurrence, error) {
	r, err := protocol.DecodeRevoke(e.Body)
	if err != nil {
		return protocol.Occurrence{}, err
	}
	ev := protocol.RevokedEvent{MsgID: r.MsgID, Revoker: e.From, UserID: id}
	if kind == protocol.LogGroup {
		ev.UserID, ev.GroupID = "", id
	}
	return protocol.OnRecvMessageRevoked.New(ev)
}

// receiptEvent is the event of the other side's having read; without Info for
// what the account has done itself.
func (s *session) receiptEvent(tx *bbolt.Tx, log string, kind protocol.LogKind, id string, e *protocol.Entry) (protocol.Occurrence, error) {
	mark, err := protocol.DecodeMark(e.Body)
	if err != nil || kind != protocol.LogC2C || mark.Kind != protocol.MarkRead || e.From == s.user {
		return protocol.Occurrence{}, err
	}
	at := e.Time
	if c := s.mirror.InTx(log); c != nil {
		if row, ok := s.mirror.Row(tx, c, mirror.Pos{Seq: mark.UpTo}); ok {
			at = row.Entry.Time
		}
	}
	return protocol.OnRecvC2CReadReceipt.New(protocol.ReadReceiptEvent{ReceiptList: []protocol.ReadReceipt{{UserID: id, Timestamp: at / 1000}}})
}

// passing are the events of a message that is in no log. The error says that it
// cannot be read.
func (s *session) passing(sig *protocol.Signal) (out []protocol.Occurrence, err error) {
	kind, id := protocol.LogGroup, sig.Group
	if sig.Group == "" {
		kind, id = protocol.LogC2C, sig.From
		if sig.From == s.user {
			id = sig.Peer
		}
	}
	e := &protocol.Entry{Kind: protocol.EntryMessage, From: sig.From, Term: sig.Term, MsgID: sig.MsgID, Time: sig.Time, Priority: sig.Priority, Body: sig.Body}
	switch sig.Kind {
	case 0, protocol.EntryMessage:
	case protocol.EntryTip:
		e.Kind = sig.Kind
		if f := cards(id, e); f != nil {
			s.keepPeople(f)
		}
		one, err := s.groupEvent(id, e)
		if err != nil || one.Info == nil || one.Info == protocol.OnQuitFromGroup.Info() { // which is not told of a live room
			return nil, err
		}
		return []protocol.Occurrence{one}, nil
	case protocol.EntryEvent:
		_, one, err := protocol.DecodeHubEvent(e.Body)
		if err != nil || one.Info == nil {
			return nil, err
		}
		return []protocol.Occurrence{one}, nil
	default: // of a newer hub
		return nil, nil
	}
	m, err := protocol.DecodeMessage(e.Body)
	if err != nil {
		return nil, err
	}
	simple, err1 := s.simpleEvent(kind, id, e, &m)
	all, err2 := newMessage(s.renderDecoded(nil, kind, id, nil, &mirror.Row{Entry: *e}, &m), true)
	for _, ev := range []protocol.Occurrence{simple, all} {
		if ev.Info != nil {
			out = append(out, ev)
		}
	}
	if err := errors.Join(err1, err2); err != nil {
		s.log.Error("programs could not be told of a live message", "err", err)
	}
	return out, nil
}

// simpleEvent is the event of a text or of custom data, as simple listeners get
// it; without Info for any other element.
func (s *session) simpleEvent(kind protocol.LogKind, id string, e *protocol.Entry, m *protocol.Message) (protocol.Occurrence, error) {
	who, _ := s.people.of(e.From, "")
	from, self, at := protocol.UserInfo{UserID: e.From, NickName: who.Nick, FaceURL: who.Face}, e.From == s.user, e.Time/1000
	switch {
	case kind == protocol.LogC2C && m.Elem == protocol.ElemText:
		return protocol.OnRecvC2CTextMessage.New(protocol.C2CTextEvent{
			MsgID: e.MsgID, Text: m.Text, Sender: from, UserID: id, IsSelf: self, Timestamp: at,
		})
	case kind == protocol.LogC2C && m.Elem == protocol.ElemCustom:
		return protocol.OnRecvC2CCustomMessage.New(protocol.C2CCustomEvent{
			MsgID: e.MsgID, CustomData: m.Custom, Sender: from, UserID: id, IsSelf: self, Timestamp: at,
		})
	case kind == protocol.LogGroup && m.Elem == protocol.ElemText:
		return protocol.OnRecvGroupTextMessage.New(protocol.GroupTextEvent{
			MsgID: e.MsgID, GroupID: id, Text: m.Text, Sender: from, IsSelf: self, Timestamp: at,
		})
	case kind == protocol.LogGroup && m.Elem == protocol.ElemCustom:
		return protocol.OnRecvGroupCustomMessage.New(protocol.GroupCustomEvent{
			MsgID: e.MsgID, GroupID: id, CustomData: m.Custom, Sender: from, IsSelf: self, Timestamp: at,
		})
	}
	return protocol.Occurrence{}, nil
}
