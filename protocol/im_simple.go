package protocol

// C2CTextRequest is the request of im.sendC2CTextMessage.
type C2CTextRequest struct {
	// Text to send, 1 to 8192 bytes of UTF-8.
	Text string `json:"text"`
	// UserID of the receiver.
	UserID string `json:"userId"`
}

func (r *C2CTextRequest) Validate() error {
	if err := CheckUserID("userId", r.UserID); err != nil {
		return err
	}
	return checkContent("text", r.Text)
}

// C2CCustomRequest is the request of im.sendC2CCustomMessage.
type C2CCustomRequest struct {
	// CustomData to send, 1 to 8192 bytes of UTF-8.
	CustomData string `json:"customData"`
	// UserID of the receiver.
	UserID string `json:"userId"`
}

func (r *C2CCustomRequest) Validate() error {
	if err := CheckUserID("userId", r.UserID); err != nil {
		return err
	}
	return checkContent("customData", r.CustomData)
}

// GroupTextRequest is the request of im.sendGroupTextMessage.
type GroupTextRequest struct {
	// Text to send, 1 to 8192 bytes of UTF-8.
	Text string `json:"text"`
	// GroupID of the group, of which the sender is a member.
	GroupID string `json:"groupId"`
	// Priority is 0 default, 1 high, 2 normal, 3 low. Missing: 0.
	Priority uint8 `json:"priority"`
}

func (r *GroupTextRequest) Validate() error {
	return checkGroupMessage(r.GroupID, r.Priority, "text", r.Text)
}

// GroupCustomRequest is the request of im.sendGroupCustomMessage.
type GroupCustomRequest struct {
	// CustomData to send, 1 to 8192 bytes of UTF-8.
	CustomData string `json:"customData"`
	// GroupID of the group, of which the sender is a member.
	GroupID string `json:"groupId"`
	// Priority is 0 default, 1 high, 2 normal, 3 low. Missing: 0.
	Priority uint8 `json:"priority"`
}

func (r *GroupCustomRequest) Validate() error {
	return checkGroupMessage(r.GroupID, r.Priority, "customData", r.CustomData)
}

func checkGroupMessage(groupID string, priority uint8, field, content string) error {
	if err := CheckGroupID("groupId", groupID); err != nil {
		return err
	}
	if priority > MaxPriority {
		return invalid("priority: %d is not 0 to %d", priority, MaxPriority)
	}
	return checkContent(field, content)
}

func checkContent(field, content string) error {
	switch {
	case content == "":
		return invalid("%s: missing", field)
	case len(content) > MaxTextBytes:
		return Errorf(CodeMsgBodySizeLimit, "%s: %d bytes are over the limit of %d", field, len(content), MaxTextBytes)
	}
	return nil
}

// SendResponse is the response of a send.
type SendResponse struct {
	// MsgID of the message, the same at every receiver.
	MsgID string `json:"msgId"`
	// Queued says that the hub does not have the message yet: it is on disk
	// and goes out when the link is back. im.onMessageStatusChanged follows.
	Queued bool `json:"queued,omitempty"`
}

// sendCodes are what a send may be refused with at once.
var sendCodes = []Code{
	CodeNotInitialized, CodeNotLoggedIn, CodeInvalidIdentifier, CodeMsgBodySizeLimit, CodeNetReqCountLimit, CodeDatabaseFailure,
	CodeSvrMsgToAccountNotFound, CodeSvrMsgInPeerBlacklist, CodeSvrBodySizeLimit,
}

var groupSendCodes = []Code{
	CodeNotInitialized, CodeNotLoggedIn, CodeGroupInvalidID, CodeMsgBodySizeLimit, CodeNetReqCountLimit, CodeDatabaseFailure,
	CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny, CodeSvrBodySizeLimit,
}

var customAlias = []Alias{{Also: "customMsg", Field: "customData"}}

// The family of simple messages.
var (
	SetSimpleMsgListener = Declare[ListenRequest, Empty](Info{
		Name: "im.setSimpleMsgListener", Doc: "has a program's event stream carry text and custom messages",
		Source: "setSimpleMsgListener", Scope: Read, Route: Local,
	})
	RemoveSimpleMsgListener = Declare[ListenRequest, Empty](Info{
		Name: "im.removeSimpleMsgListener", Doc: "ends what im.setSimpleMsgListener began",
		Source: "removeSimpleMsgListener", Scope: Read, Route: Local,
	})
	SendC2CTextMessage = Declare[C2CTextRequest, SendResponse](Info{
		Name: "im.sendC2CTextMessage", Doc: "sends a text to an account", Source: "sendC2CTextMessage",
		Scope: Write, Route: Queued, Codes: sendCodes,
	})
	SendC2CCustomMessage = Declare[C2CCustomRequest, SendResponse](Info{
		Name: "im.sendC2CCustomMessage", Doc: "sends custom data to an account", Source: "sendC2CCustomMessage",
		Scope: Write, Route: Queued, Codes: sendCodes, Aliases: customAlias,
	})
	SendGroupTextMessage = Declare[GroupTextRequest, SendResponse](Info{
		Name: "im.sendGroupTextMessage", Doc: "sends a text to a group", Source: "sendGroupTextMessage",
		Scope: Write, Route: Queued, Codes: groupSendCodes,
	})
	SendGroupCustomMessage = Declare[GroupCustomRequest, SendResponse](Info{
		Name: "im.sendGroupCustomMessage", Doc: "sends custom data to a group", Source: "sendGroupCustomMessage",
		Scope: Write, Route: Queued, Codes: groupSendCodes, Aliases: customAlias,
	})
)
