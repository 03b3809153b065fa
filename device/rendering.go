package device

import (
	"github.com/herald-im/herald/device/mirror"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// filesPath is where the local API serves the files of messages.
const filesPath = "/v1/files/"

// render makes the document's message of a row. c is its conversation as it stands.
func (s *session) render(tx *bbolt.Tx, kind protocol.LogKind, id string, c *mirror.Conv, r mirror.Row) protocol.MessageInfo {
	var m *protocol.Message
	if r.Entry.Kind != protocol.EntryTip && r.Entry.RevokedBy == "" {
		// One that cannot be read is of no known kind: it comes from a newer side.
		if decoded, err := protocol.DecodeMessage(r.Entry.Body); err == nil {
			m = &decoded
		}
	}
	return s.renderDecoded(tx, kind, id, c, &r, m)
}

// renderDecoded is render for a message whose body, m, is at hand; nil: it has none.
func (s *session) renderDecoded(tx *bbolt.Tx, kind protocol.LogKind, id string, c *mirror.Conv, r *mirror.Row, m *protocol.Message) protocol.MessageInfo {
	e := &r.Entry
	group := ""
	if kind == protocol.LogGroup {
		group = id
	}
	from, card := s.people.of(e.From, group)
	info := protocol.MessageInfo{
		MsgID: e.MsgID, Timestamp: e.Time / 1000, Sender: e.From, NickName: from.Nick, FriendRemark: from.Remark, NameCard: card, FaceURL: from.Face,
		Status: protocol.StatusSent, IsSelf: e.From == s.user, Priority: e.Priority,
	}
	if kind == protocol.LogGroup {
		info.GroupID = id
	} else {
		info.UserID = id
	}
	if c != nil {
		info.IsRead = info.IsSelf || e.Seq <= c.Floor() || r.Pos.Sub > 0
		info.IsPeerRead = info.IsSelf && kind == protocol.LogC2C && e.Seq <= c.PeerRead && r.Pos.Sub == 0
	} else {
		info.IsRead = info.IsSelf
	}
	if kind == protocol.LogC2C && id == s.user { // what one writes to oneself one has read
		info.IsPeerRead = r.Status == 0
	}
	switch {
	case e.RevokedBy != "":
		info.Status = protocol.StatusRevoked
	case r.Status != 0:
		info.Status = int(r.Status)
	}
	if tx != nil {
		note := s.mirror.Note(tx, e.MsgID)
		info.LocalCustomData, info.LocalCustomInt = note.Data, note.Int
	}
	switch {
	case info.Status == protocol.StatusRevoked:
	case e.Kind == protocol.EntryTip:
		s.tipElem(&info, e)
	case m != nil:
		s.elem(&info, m)
	}
	return info
}

func (s *session) tipElem(info *protocol.MessageInfo, e *protocol.Entry) {
	var tip protocol.Tip
	if protocol.Unmarshal(e.Body, &tip) == nil {
		info.ElemType = protocol.ElemGroupTip
		info.Msg.GroupTip = &protocol.GroupTipInfo{
			Type: tip.Kind, OpUser: e.From, UserIDList: append([]string{}, tip.Users...), MemberList: s.memberList(info.GroupID, tip.Users), GroupInfo: tip.Change,
			InfoList: memberChanges(&tip), Reason: tip.Reason,
		}
	}
}

// elem fills in what a message says.
func (s *session) elem(info *protocol.MessageInfo, m *protocol.Message) {
	info.ElemType = m.Elem
	msg := &info.Msg
	switch m.Elem {
	case protocol.ElemText:
		msg.Text, msg.UserIDList = m.Text, m.At
	case protocol.ElemCustom:
		msg.CustomMsg = m.Custom
	case protocol.ElemLocation:
		msg.Desc, msg.Latitude, msg.Longitude = &m.Location.Desc, &m.Location.Latitude, &m.Location.Longitude
	case protocol.ElemFace:
		msg.Index, msg.Data = &m.Face.Index, &m.Face.Data
	case protocol.ElemImage:
		for _, f := range m.Files {
			msg.ImageList = append(msg.ImageList, protocol.ImageInfo{
				UUID: f.Hash, Type: f.Role, Size: f.Size, Width: f.Width, Height: f.Height, Path: s.d.filePath(f.Hash), URL: filesPath + f.Hash,
			})
		}
	case protocol.ElemSound, protocol.ElemVideo, protocol.ElemFile:
		s.elemFile(msg, m)
	default:
		info.ElemType = protocol.ElemNone
	}
}

func (s *session) elemFile(msg *protocol.MessageElem, m *protocol.Message) {
	f := m.File(protocol.RoleOriginal)
	path := s.d.filePath(f.Hash)
	msg.UUID, msg.Size, msg.Path, msg.URL = f.Hash, f.Size, &path, filesPath+f.Hash
	if m.Elem == protocol.ElemFile {
		msg.Name = f.Name
		return
	}
	seconds := int(m.Duration)
	msg.Duration = &seconds
	if shot := m.File(protocol.RoleSnapshot); shot != nil {
		msg.Type = m.Type
		msg.Snapshot = &protocol.SnapshotInfo{
			UUID: shot.Hash, Size: shot.Size, Width: shot.Width, Height: shot.Height, Path: s.d.filePath(shot.Hash), URL: filesPath + shot.Hash,
		}
	}
}

// conversation makes the document's conversation. pending is the newest of its
// messages that are not at the hub yet.
func (s *session) conversation(tx *bbolt.Tx, c *mirror.Conv, pending *pendingMessage) protocol.Conversation {
	out := protocol.Conversation{
		ConversationID: protocol.ConversationID(c.Kind, c.ID), UnreadCount: c.Unread(), DraftText: s.mirror.Draft(tx, c), ShowName: c.ID,
		RecvOpt: int(c.RecvOpt),
	}
	if c.Kind == protocol.LogGroup {
		out.Type, out.GroupID, out.GroupType, out.FaceURL = protocol.ConversationGroup, c.ID, c.GroupType, c.Face
		if c.Name != "" {
			out.ShowName = c.Name
		}
	} else {
		out.Type, out.UserID = protocol.ConversationC2C, c.ID
		out.ShowName, out.FaceURL = s.people.showName(c.ID)
	}
	switch row, ok := s.mirror.LastRow(tx, c); {
	case pending != nil:
		last := s.renderPending(tx, *pending)
		out.LastMessage = &last
	case ok:
		last := s.render(tx, c.Kind, c.ID, c, row)
		out.LastMessage = &last
	}
	return out
}
