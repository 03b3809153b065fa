package protocol

// SendMessageRequest is the request of im.sendMessage.
type SendMessageRequest struct {
	// Receiver is the userId it goes to; or GroupID.
	Receiver string `json:"receiver,omitempty"`
	// GroupID it goes to; or Receiver.
	GroupID string `json:"groupId,omitempty"`
	// MessageKey of a message that was made and not yet sent. Sent twice, it goes
	// once, and the second call returns what the first did.
	MessageKey string `json:"messageKey"`
	// Priority in a group is 0 default, 1 high, 2 normal, 3 low. Missing: 0.
	Priority uint8 `json:"priority,omitempty"`
	// OnlineUserOnly has it reach those who are online alone: it is not stored, not
	// counted, and not queued (9508 while there is no link).
	OnlineUserOnly bool `json:"onlineUserOnly,omitempty"`
}

// MaxMessageKey is the longest messageKey in bytes.
const MaxMessageKey = 64

func (r *SendMessageRequest) Validate() error {
	if err := checkConversation("receiver", r.Receiver, r.GroupID); err != nil {
		return err
	}
	if r.Priority > MaxPriority {
		return invalid("priority: %d is not 0 to %d", r.Priority, MaxPriority)
	}
	return checkMessageKey(r.MessageKey)
}

// The priorities of a group message.
const (
	PriorityDefault = 0 // as PriorityNormal
	PriorityHigh    = 1
	PriorityNormal  = 2
	PriorityLow     = 3
	MaxPriority     = PriorityLow
)

func checkMessageKey(key string) error {
	switch {
	case key == "":
		return invalid("messageKey: missing")
	case len(key) > MaxMessageKey:
		return invalid("messageKey: %q is none", Clip(key))
	}
	return nil
}

// checkConversation wants one of the two.
func checkConversation(userField, userID, groupID string) error {
	switch {
	case userID == "" && groupID == "":
		return invalid("%s: missing, and so is groupId", userField)
	case userID != "" && groupID != "":
		return invalid("%s: one of it and groupId is meant, not both", userField)
	case userID != "":
		return CheckUserID(userField, userID)
	}
	return CheckGroupID("groupId", groupID)
}

// RevokeRequest is the request of im.revokeMessage.
type RevokeRequest struct {
	// MsgID of the message to take back.
	MsgID string `json:"msgId"`
	// UserID of the other side of the conversation it is in; or GroupID.
	UserID string `json:"userId,omitempty"`
	// GroupID of the group it is in; or UserID.
	GroupID string `json:"groupId,omitempty"`
}

func (r *RevokeRequest) Validate() error {
	if err := CheckMsgID("msgId", r.MsgID); err != nil {
		return err
	}
	return checkConversation("userId", r.UserID, r.GroupID)
}

// CheckMsgID returns CodeInvalidParameters, naming the field, for what is no
// message id.
func CheckMsgID(field, s string) error {
	switch {
	case s == "":
		return invalid("%s: missing", field)
	case !ValidMsgID(s):
		return invalid("%s: %q is not the id of a message", field, Clip(s))
	}
	return nil
}

// MaxHistory is the most messages of one page of history.
const MaxHistory = 100

// C2CHistoryRequest is the request of im.getC2CHistoryMessageList.
type C2CHistoryRequest struct {
	// UserID of the other side.
	UserID string `json:"userId"`
	// Count of messages at most, 1 to 100. Missing: 20.
	Count int `json:"count,omitempty"`
	// MsgID before which the page begins, itself not in it. Missing: from the newest.
	MsgID string `json:"msgId,omitempty"`
}

func (r *C2CHistoryRequest) Validate() error {
	if err := CheckUserID("userId", r.UserID); err != nil {
		return err
	}
	return checkPage(&r.Count, r.MsgID)
}

// GroupHistoryRequest is the request of im.getGroupHistoryMessageList.
type GroupHistoryRequest struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// Count of messages at most, 1 to 100. Missing: 20.
	Count int `json:"count,omitempty"`
	// MsgID before which the page begins, itself not in it. Missing: from the newest.
	MsgID string `json:"msgId,omitempty"`
}

func (r *GroupHistoryRequest) Validate() error {
	if err := CheckGroupID("groupId", r.GroupID); err != nil {
		return err
	}
	return checkPage(&r.Count, r.MsgID)
}

func checkPage(count *int, msgID string) error {
	if *count == 0 {
		*count = 20
	}
	if *count < 1 || *count > MaxHistory {
		return invalid("count: %d is not 1 to %d", *count, MaxHistory)
	}
	if msgID != "" {
		return CheckMsgID("msgId", msgID)
	}
	return nil
}

// HistoryResponse is the response of the two histories.
type HistoryResponse struct {
	// MessageList is the page, the newest first.
	MessageList []MessageInfo `json:"messageList"`
	// IsFinished says that there is nothing older.
	IsFinished bool `json:"isFinished"`
	// Offline says that there is older history at the hub, which cannot be asked
	// at present.
	Offline bool `json:"offline,omitempty"`
}

// MarkC2CRequest is the request of im.markC2CMessageAsRead.
type MarkC2CRequest struct {
	// UserID of the other side.
	UserID string `json:"userId"`
}

func (r *MarkC2CRequest) Validate() error { return CheckUserID("userId", r.UserID) }

// DeleteMessagesRequest is the request of im.deleteMessageFromLocalStorage.
type DeleteMessagesRequest struct {
	// MsgID of the message; or MsgIDList.
	MsgID string `json:"msgId,omitempty"`
	// MsgIDList are the ids of 1 to 100 messages; or MsgID.
	MsgIDList []string `json:"msgIdList,omitempty"`
}

func (r *DeleteMessagesRequest) Validate() error {
	if r.MsgID != "" {
		r.MsgIDList = append(r.MsgIDList, r.MsgID)
		r.MsgID = ""
	}
	if len(r.MsgIDList) == 0 {
		return invalid("msgId: missing")
	}
	if len(r.MsgIDList) > MaxMarkSeqs {
		return invalid("msgIdList: %d messages are over the limit of %d", len(r.MsgIDList), MaxMarkSeqs)
	}
	for _, id := range r.MsgIDList {
		if err := CheckMsgID("msgIdList", id); err != nil {
			return err
		}
	}
	return nil
}

// InsertGroupRequest is the request of im.insertGroupMessageToLocalStorage.
type InsertGroupRequest struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// Sender is the userId who is shown to have sent it.
	Sender string `json:"sender"`
	// MessageKey of a message that was made and not sent.
	MessageKey string `json:"messageKey"`
}

func (r *InsertGroupRequest) Validate() error {
	if err := CheckGroupID("groupId", r.GroupID); err != nil {
		return err
	}
	if err := CheckUserID("sender", r.Sender); err != nil {
		return err
	}
	return checkMessageKey(r.MessageKey)
}

// InsertResponse is the response of im.insertGroupMessageToLocalStorage.
type InsertResponse struct {
	// MsgID of the message, which this board alone has.
	MsgID string `json:"msgId"`
}

var (
	historyCodes = []Code{CodeNotInitialized, CodeNotLoggedIn, CodeInvalidIdentifier, CodeDatabaseFailure}
	markCodes    = append([]Code{CodeNetReqCountLimit}, historyCodes...)
	revokeCodes  = []Code{
		CodeNotInitialized, CodeNotLoggedIn, CodeInvalidIdentifier, CodeGroupInvalidID, CodeDatabaseFailure, CodeRevokeTimeLimitExceed,
		CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny, CodeSvrGroupRevokeMsgNotFound, CodeSvrGroupRevokeMsgTimeLimit, CodeSvrGroupRevokeMsgDeny, CodeSvrGroupNotAllowRevokeMsg,
	}
	deleteCodes = append([]Code{CodeSvrGroupNotAllowRemoveMsg}, markCodes...)
)

// The family of advanced messages.
var (
	SetAdvancedMsgListener = Declare[ListenRequest, Empty](Info{
		Name: "im.setAdvancedMsgListener", Doc: "has a program's event stream carry messages of all kinds, receipts and what is taken back",
		Source: "setAdvancedMsgListener", Scope: Read, Route: Local,
	})
	RemoveAdvancedMsgListener = Declare[ListenRequest, Empty](Info{
		Name: "im.removeAdvancedMsgListener", Doc: "ends what im.setAdvancedMsgListener began", Source: "removeAdvancedMsgListener", Scope: Read, Route: Local,
	})
	SendMessage = Declare[SendMessageRequest, SendResponse](Info{
		Name: "im.sendMessage", Doc: "sends a message that was made; one with files goes once they are at the hub, and holds up none behind it",
		Source: "sendMessage", Scope: Write, Route: Queued,
		Codes: append([]Code{CodeGroupInvalidID, CodeNetDisconnect, CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny, CodeSvrResNotFound, CodeSvrResSizeLimit}, sendCodes...),
	})
	RevokeMessage = Declare[RevokeRequest, Empty](Info{
		Name: "im.revokeMessage", Doc: "takes a message back, one's own within two minutes; a group's owner and admins may any at any time",
		Source: "revokeMessage", Scope: Write, Route: Queued, Codes: revokeCodes,
	})
	GetC2CHistory = Declare[C2CHistoryRequest, HistoryResponse](Info{
		Name: "im.getC2CHistoryMessageList", Doc: "reads a conversation backwards, from the board as far as that has it, then from the hub",
		Source: "getC2CHistoryMessageList", Scope: Read, Route: Local, Codes: historyCodes,
	})
	GetGroupHistory = Declare[GroupHistoryRequest, HistoryResponse](Info{
		Name: "im.getGroupHistoryMessageList", Doc: "reads a group's messages backwards, from the board as far as that has them, then from the hub",
		Source: "getGroupHistoryMessageList", Scope: Read, Route: Local, Codes: append([]Code{CodeGroupInvalidID}, historyCodes...),
	})
	MarkC2CAsRead = Declare[MarkC2CRequest, Empty](Info{
		Name: "im.markC2CMessageAsRead", Doc: "says that all of a conversation that has arrived is read; the other side gets a receipt",
		Source: "markC2CMessageAsRead", Scope: Write, Route: Queued, Codes: markCodes,
	})
	MarkGroupAsRead = Declare[GroupRequest, Empty](Info{
		Name: "im.markGroupMessageAsRead", Doc: "says that all of a group that has arrived is read", Source: "markGroupMessageAsRead", Scope: Write, Route: Queued,
		Codes: append([]Code{CodeGroupInvalidID}, markCodes...),
	})
	DeleteMessage = Declare[DeleteMessagesRequest, Empty](Info{
		Name: "im.deleteMessageFromLocalStorage", Doc: "deletes messages for this account, on all of its terminals; others keep them",
		Source: "deleteMessageFromLocalStorage", Scope: Write, Route: Queued, Codes: deleteCodes,
	})
	DeleteMessages = Declare[DeleteMessagesRequest, Empty](Info{
		Name: "im.deleteMessages", Doc: "is im.deleteMessageFromLocalStorage by the name that the document's sample has", Source: "deleteMessageFromLocalStorage", Scope: Write, Route: Queued, Codes: deleteCodes,
	})
	InsertGroupMessage = Declare[InsertGroupRequest, InsertResponse](Info{
		Name: "im.insertGroupMessageToLocalStorage", Doc: "puts a message into this board's history of a group; nobody else gets it",
		Source: "insertGroupMessageToLocalStorage", Scope: Write, Route: Local, Codes: append([]Code{CodeGroupInvalidID}, markCodes...),
	})
)
