package main

import (
	"fmt"
	"strings"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// simpler tells whether an event of a message says what another one, of the
// simple listeners, says too.
func simpler(e client.Event) bool {
	_, says, err := describe(e, func(d protocol.NewMessageEvent) (int64, string) {
		if d.Message.Status != protocol.StatusRevoked && (d.ElemType == protocol.ElemText || d.ElemType == protocol.ElemCustom) {
			return 0, "yes"
		}
		return 0, ""
	})
	return e.Name == protocol.OnRecvNewMessage.Info().Name && err == nil && says != ""
}

// describeMessage is describeEvent for messages of all kinds and conversations.
func describeMessage(e client.Event) (at int64, says string, err error) {
	switch e.Name {
	case protocol.OnRecvNewMessage.Info().Name:
		return describe(e, func(d protocol.NewMessageEvent) (int64, string) {
			m := d.Message
			from := between(protocol.UserInfo{UserID: m.Sender}, m.UserID, m.IsSelf)
			if m.GroupID != "" {
				from = inGroup(protocol.UserInfo{UserID: m.Sender}, m.GroupID, m.IsSelf)
			}
			return m.Timestamp, from + "  " + sayMessage(m) + "  " + m.MsgID
		})
	case protocol.OnDownload.Info().Name:
		return describe(e, func(d protocol.DownloadEvent) (int64, string) {
			switch p := d.Download.ProgressInfo; d.Download.EventType {
			case protocol.DownloadProgress:
				return 0, fmt.Sprintf("file of %s: %s of %s", d.Message.MsgID, size(p.CurrentSize), size(p.TotalSize))
			case protocol.DownloadSuccess:
				return 0, "file of " + d.Message.MsgID + " is here"
			}
			return 0, fmt.Sprintf("file of %s: %v", d.Message.MsgID, &protocol.Error{Code: d.Download.Code, Msg: d.Download.Msg})
		})
	case protocol.OnRecvC2CReadReceipt.Info().Name:
		return describe(e, func(d protocol.ReadReceiptEvent) (int64, string) {
			var who []string
			for _, r := range d.ReceiptList {
				who = append(who, r.UserID)
			}
			return 0, strings.Join(who, ", ") + " has read"
		})
	case protocol.OnRecvMessageRevoked.Info().Name:
		return describe(e, func(d protocol.RevokedEvent) (int64, string) {
			return 0, d.Revoker + " took the message " + d.MsgID + " back"
		})
	case protocol.OnHistoryTruncated.Info().Name:
		return describe(e, func(d protocol.HistoryTruncatedEvent) (int64, string) {
			return 0, fmt.Sprintf("%d messages of %s were missed for too long to be told: its history has them", d.Missed, d.ConversationID)
		})
	case protocol.OnSyncServerStart.Info().Name:
		return 0, "reading what was missed", nil
	case protocol.OnSyncServerFinish.Info().Name:
		return 0, "all that was missed is here", nil
	case protocol.OnSyncServerFailed.Info().Name:
		return 0, "the link broke before all that was missed was here", nil
	case protocol.OnNewConversation.Info().Name:
		return describe(e, func(d protocol.ConversationsEvent) (int64, string) { return 0, "new " + conversationNames(d) })
	case protocol.OnConversationChanged.Info().Name:
		return describe(e, func(d protocol.ConversationsEvent) (int64, string) { return 0, "changed " + conversationNames(d) })
	case protocol.OnConversationDeleted.Info().Name:
		return describe(e, func(d protocol.ConversationsEvent) (int64, string) { return 0, "deleted " + conversationNames(d) })
	}
	return describeCall(e)
}

func conversationNames(d protocol.ConversationsEvent) string {
	var names []string
	for _, c := range d.ConversationList {
		name := c.ConversationID
		if c.UnreadCount > 0 {
			name += fmt.Sprintf(" (%d unread)", c.UnreadCount)
		}
		names = append(names, name)
	}
	return "conversation " + strings.Join(names, ", ")
}
