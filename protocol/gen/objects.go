package main

import "github.com/herald-im/herald/protocol"

// hash is the SHA-256 of nothing in particular.
const hash = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"

// typing is a Message of custom data in base64.
const typing = "ogECA2Z0eXBpbmc="

// message is an example of a text in a conversation of door's.
func message() protocol.MessageInfo {
	return protocol.MessageInfo{
		MsgID: msgID(41), Timestamp: seconds, Sender: door, NickName: "Front door", UserID: indoor, Status: protocol.StatusSent, IsSelf: true, IsRead: true,
		IsPeerRead: true, ElemType: protocol.ElemText, Msg: protocol.MessageElem{Text: "Somebody is at the door"}, LocalCustomData: "shown on the panel", LocalCustomInt: 1,
	}
}

// picture is one of an image in a group.
func picture() protocol.MessageInfo {
	url := "/v1/files/" + hash
	return protocol.MessageInfo{
		MsgID: msgID(46), Timestamp: seconds, Sender: indoor, GroupID: family, Status: protocol.StatusSent, Priority: 1, ElemType: protocol.ElemImage,
		Msg: protocol.MessageElem{ImageList: []protocol.ImageInfo{
			{UUID: hash, Type: protocol.RoleThumbnail, Size: 4711, Width: 198, Height: 149, Path: "/var/lib/herald/files/2c/" + hash, URL: url},
			{UUID: hash, Type: protocol.RoleLarge, Size: 48120, Width: 720, Height: 540, URL: url},
			{UUID: hash, Type: protocol.RoleOriginal, Size: 1048576, Width: 2048, Height: 1536, URL: url},
		}},
	}
}

// conversation is door's with indoor.
func conversation() protocol.Conversation {
	last := message()
	return protocol.Conversation{
		Type: protocol.ConversationC2C, ConversationID: "c2c_indoor", UserID: indoor, ShowName: "The flat", UnreadCount: 2, LastMessage: &last, DraftText: "On my",
	}
}
