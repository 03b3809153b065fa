package protocol

// Status of a message, as in the document's message object.
const (
	StatusSending = 0
	StatusSent    = 1
	StatusFailed  = 2
	StatusDeleted = 3
	StatusRevoked = 4
)

// MessageInfo is the document's message.
type MessageInfo struct {
	// MsgID of the message, the same at every receiver.
	MsgID string `json:"msgId"`
	// Timestamp is the hub's, in Unix seconds; of a message that it does not have yet
	// the board's.
	Timestamp int64 `json:"timestamp"`
	// Sender is the userId of whoever sent it.
	Sender string `json:"sender"`
	// NickName of the sender, empty if he has none.
	NickName string `json:"nickName"`
	// FriendRemark that this account has given the sender.
	FriendRemark string `json:"friendRemark"`
	// NameCard of the sender in the group.
	NameCard string `json:"nameCard"`
	// FaceURL of the sender's picture.
	FaceURL string `json:"faceUrl"`
	// GroupID of the group it is in; left out between two accounts.
	GroupID string `json:"groupId,omitempty"`
	// UserID of the other side of the conversation; left out in a group.
	UserID string `json:"userId,omitempty"`
	// Status is 0 being sent, 1 sent, 2 failed, 3 deleted, 4 taken back.
	Status int `json:"status"`
	// IsSelf says that this account sent it.
	IsSelf bool `json:"isSelf"`
	// IsRead says that this account has read it, which it has what it sent.
	IsRead bool `json:"isRead"`
	// IsPeerRead says that the other side has read it; between two accounts only.
	IsPeerRead bool `json:"isPeerRead"`
	// Priority of a group message: 0 default, 1 high, 2 normal, 3 low.
	Priority uint8 `json:"priority"`
	// ElemType is 1 text, 2 custom, 3 image, 4 sound, 5 video, 6 file, 7 location,
	// 8 face, 9 group tip, 0 unknown or taken back.
	ElemType Elem `json:"elemType"`
	// Msg is what it says, by ElemType.
	Msg MessageElem `json:"msg"`
	// LocalCustomData is what this board's programs have noted at it
	// (device.setLocalCustomData).
	LocalCustomData string `json:"localCustomData"`
	// LocalCustomInt likewise.
	LocalCustomInt int64 `json:"localCustomInt"`
}

// MessageElem is what a message says: of its fields those that its elemType has.
type MessageElem struct {
	// Text of a text.
	Text string `json:"text,omitempty"`
	// UserIDList are whom a text is meant for.
	UserIDList []string `json:"userIdList,omitempty"`
	// CustomMsg of custom data.
	CustomMsg string `json:"customMsg,omitempty"`
	// ImageList are the three sizes of an image.
	ImageList []ImageInfo `json:"imageList,omitempty"`
	// UUID names the file of a sound, video or file: the SHA-256 of its bytes.
	UUID string `json:"uuid,omitempty"`
	// Name of a file, as people see it.
	Name string `json:"name,omitempty"`
	// Size of the file in bytes.
	Size int64 `json:"size,omitempty"`
	// Duration of a sound or video in seconds.
	Duration *int `json:"duration,omitempty"`
	// Type of a video, such as mp4.
	Type string `json:"type,omitempty"`
	// Path of the file on this board; empty as long as it is not here.
	Path *string `json:"path,omitempty"`
	// URL of the file at this board's API, which fetches it when it is asked for.
	URL string `json:"url,omitempty"`
	// Snapshot is the still picture of a video.
	Snapshot *SnapshotInfo `json:"snapshot,omitempty"`
	// Desc of a location.
	Desc *string `json:"desc,omitempty"`
	// Longitude of a location in degrees.
	Longitude *float64 `json:"longitude,omitempty"`
	// Latitude of a location in degrees.
	Latitude *float64 `json:"latitude,omitempty"`
	// Index of a face.
	Index *int64 `json:"index,omitempty"`
	// Data of a face.
	Data *string `json:"data,omitempty"`
	// GroupTip is what changed in the group.
	GroupTip *GroupTipInfo `json:"groupTip,omitempty"`
}

// ImageInfo is one size of an image.
type ImageInfo struct {
	// UUID names the file: the SHA-256 of its bytes.
	UUID string `json:"uuid"`
	// Type is 0 thumbnail (longest side at most 198 pixels), 1 large (720), 2
	// original.
	Type FileRole `json:"type"`
	// Size in bytes.
	Size int64 `json:"size"`
	// Width in pixels; 0: not known.
	Width uint32 `json:"width"`
	// Height in pixels; 0: not known.
	Height uint32 `json:"height"`
	// Path of the file on this board; empty as long as it is not here.
	Path string `json:"path"`
	// URL of the file at this board's API, which fetches it when it is asked for.
	URL string `json:"url"`
}

// SnapshotInfo is the still picture of a video.
type SnapshotInfo struct {
	// UUID names the file: the SHA-256 of its bytes.
	UUID string `json:"uuid"`
	// Size in bytes.
	Size int64 `json:"size"`
	// Width in pixels; 0: not known.
	Width uint32 `json:"width"`
	// Height in pixels; 0: not known.
	Height uint32 `json:"height"`
	// Path of the file on this board; empty as long as it is not here.
	Path string `json:"path"`
	// URL of the file at this board's API, which fetches it when it is asked for.
	URL string `json:"url"`
}

// GroupTipInfo is a change of a group, as a message of elemType 9.
type GroupTipInfo struct {
	// Type is 1 created, 2 joined, 3 quit, 4 dismissed, 5 the first of UserIDList
	// owns the group now, 6 kicked, 7 invited, 8 made admins, 9 admins no more, 10 the
	// group has changed, 11 muted or may speak again, 12 renamed, 13 ended by the
	// operator.
	Type TipKind `json:"type"`
	// OpUser is the userId of whoever did it, empty for the operator.
	OpUser string `json:"opUser"`
	// UserIDList are the userIds whom it concerns.
	UserIDList []string `json:"userIdList"`
	// MemberList are those of UserIDList.
	MemberList []GroupMemberInfo `json:"memberList"`
	// GroupInfo has what of the group has changed.
	GroupInfo *GroupChange `json:"groupInfo,omitempty"`
	// InfoList has what of those of UserIDList has changed, of type 11 and 12.
	InfoList []MemberChangeInfo `json:"infoList,omitempty"`
	// Reason of it, where one was given.
	Reason string `json:"reason,omitempty"`
}

// DownloadInfo tells how the fetching of a message's file goes.
type DownloadInfo struct {
	// EventType is onProgress, onSuccess or onError.
	EventType string `json:"eventType"`
	// UUID names the file.
	UUID string `json:"uuid"`
	// ProgressInfo is how far it is.
	ProgressInfo ProgressInfo `json:"progressInfo"`
	// Path of the file on this board, at onSuccess.
	Path string `json:"path,omitempty"`
	// Code says why it failed, at onError.
	Code Code `json:"code,omitempty"`
	// Msg says why it failed, in a sentence.
	Msg string `json:"msg,omitempty"`
}

// The event types of a download.
const (
	DownloadProgress = "onProgress"
	DownloadSuccess  = "onSuccess"
	DownloadError    = "onError"
)

// ProgressInfo is how far a download is.
type ProgressInfo struct {
	// CurrentSize in bytes.
	CurrentSize int64 `json:"currentSize"`
	// TotalSize in bytes.
	TotalSize int64 `json:"totalSize"`
}

// NewMessageEvent is the data of im.onRecvNewMessage.
type NewMessageEvent struct {
	// ElemType of the message.
	ElemType Elem `json:"elemType"`
	// Message is the message.
	Message MessageInfo `json:"message"`
	// OnlineUserOnly says that it is in no history.
	OnlineUserOnly bool `json:"onlineUserOnly,omitempty"`
}

// DownloadEvent is the data of im.onRecvNewMessage while a file is fetched: the
// document has the progress of downloads under the event of the message.
type DownloadEvent struct {
	// ElemType of the message.
	ElemType Elem `json:"elemType"`
	// Message that the file belongs to.
	Message MessageInfo `json:"message"`
	// Download is how it goes.
	Download DownloadInfo `json:"download"`
}

// ReadReceiptEvent is the data of im.onRecvC2CReadReceipt.
type ReadReceiptEvent struct {
	// ReceiptList are the receipts.
	ReceiptList []ReadReceipt `json:"receiptList"`
}

// ReadReceipt says how far somebody has read one's messages to him.
type ReadReceipt struct {
	// UserID of the reader.
	UserID string `json:"userId"`
	// Timestamp of the last message that he has read, in Unix seconds: his reading
	// makes isPeerRead of what was sent until then.
	Timestamp int64 `json:"timestamp"`
}

// RevokedEvent is the data of im.onRecvMessageRevoked.
type RevokedEvent struct {
	// MsgID of the message that was taken back. (The document writes it so here.)
	MsgID string `json:"msgID"`
	// UserID of the other side of the conversation; left out in a group.
	UserID string `json:"userId,omitempty"`
	// GroupID of the group; left out between two accounts.
	GroupID string `json:"groupId,omitempty"`
	// Revoker is the userId of whoever took it back.
	Revoker string `json:"revoker"`
}

// HistoryTruncatedEvent is the data of device.onHistoryTruncated.
type HistoryTruncatedEvent struct {
	// ConversationID of the conversation.
	ConversationID string `json:"conversationId"`
	// Missed is how many entries of it were passed over; its history has them.
	Missed uint64 `json:"missed"`
}

// The events of advanced messages.
var (
	OnRecvNewMessage = DeclareEvent[NewMessageEvent](EventInfo{
		Name: "im.onRecvNewMessage", Doc: "a message of any kind, and a change of a group as one", Listen: []string{"advanced"},
	})
	OnDownload = DeclareEvent[DownloadEvent](EventInfo{
		Name: "im.onRecvNewMessage.download", Doc: "the fetching of a message's file goes on; its eventType is onRecvNewMessage, too", Listen: []string{"advanced"}, Transient: true,
	})
	OnRecvC2CReadReceipt = DeclareEvent[ReadReceiptEvent](EventInfo{
		Name: "im.onRecvC2CReadReceipt", Doc: "the other side of a conversation has read", Listen: []string{"advanced"},
	})
	OnRecvMessageRevoked = DeclareEvent[RevokedEvent](EventInfo{
		Name: "im.onRecvMessageRevoked", Doc: "a message was taken back", Listen: []string{"advanced"},
	})
	OnHistoryTruncated = DeclareEvent[HistoryTruncatedEvent](EventInfo{
		Name: "device.onHistoryTruncated", Doc: "the board was away for more than the hub tells at once: what was passed over raises no events, history has it", Listen: []string{"device"},
	})
)
