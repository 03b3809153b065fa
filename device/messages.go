package device

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/herald-im/herald/device/mirror"
	"github.com/herald-im/herald/device/outbox"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// bindMessages has the device answer what concerns messages of all kinds.
func (d *Device) bindMessages(t *protocol.Table[protocol.Caller]) {
	protocol.Bind(t, protocol.CreateTextMessage, d.createText)
	protocol.Bind(t, protocol.CreateTextAtMessage, d.createTextAt)
	protocol.Bind(t, protocol.CreateCustomMessage, d.createCustom)
	protocol.Bind(t, protocol.CreateLocationMessage, d.createLocation)
	protocol.Bind(t, protocol.CreateFaceMessage, d.createFace)
	protocol.Bind(t, protocol.CreateImageMessage, d.createImage)
	protocol.Bind(t, protocol.CreateSoundMessage, d.createSound)
	protocol.Bind(t, protocol.CreateVideoMessage, d.createVideo)
	protocol.Bind(t, protocol.CreateFileMessage, d.createFile)
	protocol.Bind(t, protocol.SendMessage, d.sendMessage)
	protocol.Bind(t, protocol.RevokeMessage, d.revokeMessage)
	protocol.Bind(t, protocol.GetC2CHistory, d.getC2CHistory)
	protocol.Bind(t, protocol.GetGroupHistory, d.getGroupHistory)
	protocol.Bind(t, protocol.MarkC2CAsRead, d.markC2C)
	protocol.Bind(t, protocol.MarkGroupAsRead, d.markGroup)
	protocol.Bind(t, protocol.DeleteMessage, d.deleteMessages)
	protocol.Bind(t, protocol.DeleteMessages, d.deleteMessages)
	protocol.Bind(t, protocol.InsertGroupMessage, d.insertGroupMessage)
	protocol.Bind(t, protocol.GetConversationList, d.getConversationList)
	protocol.Bind(t, protocol.DeleteConversation, d.deleteConversation)
	protocol.Bind(t, protocol.SetConversationDraft, d.setConversationDraft)
	protocol.Bind(t, protocol.GetMessage, d.getMessage)
	protocol.Bind(t, protocol.SetLocalCustomData, d.setLocalCustomData)
	protocol.Bind(t, protocol.DownloadMessage, d.downloadMessage)
}

// made keeps a message without files.
func (d *Device) made(m protocol.Message) (protocol.MessageKeyResponse, error) {
	s, err := d.current()
	if err != nil {
		return protocol.MessageKeyResponse{}, err
	}
	return s.makeMessage(newKey(), m)
}

func (d *Device) createText(_ context.Context, _ protocol.Caller, r protocol.CreateTextRequest) (protocol.MessageKeyResponse, error) {
	return d.made(protocol.Message{Elem: protocol.ElemText, Text: r.Text})
}

func (d *Device) createTextAt(_ context.Context, _ protocol.Caller, r protocol.CreateTextAtRequest) (protocol.MessageKeyResponse, error) {
	return d.made(protocol.Message{Elem: protocol.ElemText, Text: r.Text, At: r.UserIDList})
}

func (d *Device) createCustom(_ context.Context, _ protocol.Caller, r protocol.CreateCustomRequest) (protocol.MessageKeyResponse, error) {
	return d.made(protocol.Message{Elem: protocol.ElemCustom, Custom: r.CustomMsg})
}

func (d *Device) createLocation(_ context.Context, _ protocol.Caller, r protocol.CreateLocationRequest) (protocol.MessageKeyResponse, error) {
	return d.made(protocol.Message{Elem: protocol.ElemLocation, Location: &protocol.Location{Desc: r.Desc, Latitude: *r.Latitude, Longitude: *r.Longitude}})
}

func (d *Device) createFace(_ context.Context, _ protocol.Caller, r protocol.CreateFaceRequest) (protocol.MessageKeyResponse, error) {
	return d.made(protocol.Message{Elem: protocol.ElemFace, Face: &protocol.Face{Index: r.Index, Data: r.DataMsg}})
}

// errAgain says that a made message was sent meanwhile.
var errAgain = protocol.Errorf(protocol.CodeInProgress, "the message has been sent already")

func (d *Device) sendMessage(ctx context.Context, _ protocol.Caller, r protocol.SendMessageRequest) (protocol.SendResponse, error) {
	s, err := d.current()
	if err != nil {
		return protocol.SendResponse{}, err
	}
	it := &outbox.Item{Kind: protocol.ItemC2C, To: r.Receiver, Priority: r.Priority}
	if r.GroupID != "" {
		it.Kind, it.To = protocol.ItemGroup, r.GroupID
	}
	for range 2 {
		made, err := s.getMade(r.MessageKey)
		if err != nil {
			return protocol.SendResponse{}, err
		}
		if made.Sent != "" {
			return s.sentBefore(made)
		}
		it.Body = made.Body
		res, err := s.sendMade(ctx, r, it)
		if !errors.Is(err, errAgain) {
			return res, err
		}
	}
	return protocol.SendResponse{}, errAgain
}

func (s *session) getMade(key string) (made madeMessage, err error) {
	err = s.d.db.View(func(tx *bbolt.Tx) error {
		made, err = getMade(s.account(tx).Bucket(madeName), key, s.d.clock.seconds())
		return err
	})
	return made, err
}

// sendMade sends a message that was made. errAgain: another call has sent it.
func (s *session) sendMade(ctx context.Context, r protocol.SendMessageRequest, it *outbox.Item) (protocol.SendResponse, error) {
	m, err := protocol.DecodeMessage(it.Body)
	if err != nil {
		return protocol.SendResponse{}, err
	}
	log, _, _ := s.logOf(it.Kind, it.To)
	once := hooks{
		check: func(tx *bbolt.Tx) error {
			made, err := getMade(s.account(tx).Bucket(madeName), r.MessageKey, s.d.clock.seconds())
			if err == nil && made.Sent != "" {
				return errAgain
			}
			return err
		},
		also: func(tx *bbolt.Tx) error { return s.noteSent(tx, r.MessageKey, s.itemID(*it), log) },
	}
	switch {
	case r.OnlineUserOnly && len(m.Files) > 0:
		return protocol.SendResponse{}, protocol.Errorf(protocol.CodeInvalidParameters, "onlineUserOnly: a message with a file cannot be so, as the hub keeps the file for it")
	case r.OnlineUserOnly:
		return s.sendOnline(ctx, r, it.Body)
	case len(m.Files) > 0:
		return s.uploads.send(ctx, s, it, m, r.MessageKey, once)
	}
	return s.post(ctx, it, once)
}

// noteSent notes at a made message that it was sent.
func (s *session) noteSent(tx *bbolt.Tx, key, msgID, log string) error {
	b := s.account(tx).Bucket(madeName)
	made, err := getMade(b, key, 0)
	if err != nil {
		return err
	}
	made.Sent, made.Log = msgID, log
	return putMade(b, key, made)
}

// sentBefore returns what the first sending of a message came to, as far as it is known.
func (s *session) sentBefore(made madeMessage) (protocol.SendResponse, error) {
	if p, err := s.findPending(made.Sent); err != nil || p != nil {
		return protocol.SendResponse{MsgID: made.Sent, Queued: true}, err
	}
	if _, row, err := s.find(made.Sent); err == nil && row.Status == protocol.StatusFailed {
		return protocol.SendResponse{}, protocol.Errorf(row.Code, "%s", row.Msg)
	}
	return protocol.SendResponse{MsgID: made.Sent}, nil
}

// Numbers in message ids that are no item's: from protocol.FirstIDNumber on those
// of messages whose files went up first, and from here on others.
const (
	firstOnline = protocol.FirstIDNumber << 1 // sent to those who are online
	firstLocal  = protocol.FirstIDNumber << 2 // put into the board's own history
)

// sendOnline sends a message to those who are online alone.
func (s *session) sendOnline(ctx context.Context, r protocol.SendMessageRequest, body []byte) (protocol.SendResponse, error) {
	epoch, number := s.box.Epoch(), firstOnline+s.onlines.Add(1)
	id := protocol.MsgID(s.msgIDPrefix(epoch), number)
	_, err := Ask(ctx, s.d, protocol.SendOnline, protocol.SendOnlineRequest{
		UserID: r.Receiver, GroupID: r.GroupID, Priority: r.Priority, Message: body, IDEpoch: epoch, IDNumber: number,
	})
	if err != nil {
		return protocol.SendResponse{}, err
	}
	err = s.write(func(tx *bbolt.Tx) error { return s.noteSent(tx, r.MessageKey, id, "") })
	return protocol.SendResponse{MsgID: id}, err
}

// onlines counts the messages of a session that went to those who were online.
type onlines = atomic.Uint64

func (d *Device) getMessage(_ context.Context, _ protocol.Caller, r protocol.MessageRequest) (res protocol.MessageResponse, err error) {
	s, err := d.current()
	if err != nil {
		return res, err
	}
	res.Message, err = s.message(r.MsgID)
	return res, err
}

// message is the document's message of an id.
func (s *session) message(msgID string) (info protocol.MessageInfo, err error) {
	log, row, err := s.find(msgID)
	if err != nil {
		return info, err
	}
	var p *pendingMessage
	if log == "" {
		if p, err = s.findPending(msgID); err != nil {
			return info, protocol.Errorf(protocol.CodeDatabaseFailure, "%v", err)
		}
		if p == nil {
			return info, protocol.Errorf(protocol.CodeInvalidParameters, "msgId: this board knows no message %s: read the history that it is in first", msgID)
		}
	}
	err = s.d.db.View(func(tx *bbolt.Tx) error {
		if p != nil {
			info = s.renderPending(tx, *p)
			return nil
		}
		kind, id := mirror.Identify(log, s.user)
		info = s.render(tx, kind, id, s.mirror.Conv(log), row)
		return nil
	})
	return info, err
}

func (d *Device) setLocalCustomData(_ context.Context, _ protocol.Caller, r protocol.CustomDataRequest) (protocol.Empty, error) {
	s, err := d.current()
	if err != nil {
		return protocol.Empty{}, err
	}
	note := mirror.Note{Data: r.LocalCustomData, Int: r.LocalCustomInt}
	if note != (mirror.Note{}) { // to take one away there is always room, and it may be all that is left of its message
		if err := d.db.Room(); err != nil {
			return protocol.Empty{}, err
		}
		if _, err := s.message(r.MsgID); err != nil {
			return protocol.Empty{}, err
		}
	}
	return protocol.Empty{}, s.write(func(tx *bbolt.Tx) error { return s.mirror.SetNote(tx, r.MsgID, note) })
}
