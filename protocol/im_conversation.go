package protocol

import "unicode/utf8"

// Conversation is the document's conversation.
type Conversation struct {
	// Type is 0 of two accounts, 1 of a group.
	Type int `json:"type"`
	// ConversationID is c2c_ and the other's userId, or group_ and the groupId.
	ConversationID string `json:"conversationId"`
	// UserID of the other side; left out of a group.
	UserID string `json:"userId,omitempty"`
	// GroupID of the group; left out between two accounts.
	GroupID string `json:"groupId,omitempty"`
	// GroupType is Work, Public or Meeting; left out between two accounts.
	GroupType string `json:"groupType,omitempty"`
	// ShowName is what people see: a group's name; the remark, the nickname or the
	// userId of an account.
	ShowName string `json:"showName"`
	// FaceURL of the conversation's picture.
	FaceURL string `json:"faceUrl"`
	// UnreadCount is how many messages are unread, at most 10000.
	UnreadCount int `json:"unreadCount"`
	// LastMessage is the newest; left out where there is none.
	LastMessage *MessageInfo `json:"lastMessage,omitempty"`
	// RecvOpt of a group: 0 received, 1 received without a push, 2 not received.
	RecvOpt int `json:"recvOpt"`
	// DraftText is what was written and not sent (im.setConversationDraft).
	DraftText string `json:"draftText"`
}

// The types of a conversation.
const (
	ConversationC2C   = 0
	ConversationGroup = 1
)

// ConversationListRequest is the request of im.getConversationList.
type ConversationListRequest struct {
	// NextSeq is 0 for the first page, then what the page before returned.
	NextSeq uint64 `json:"nextSeq,omitempty"`
	// Count of conversations at most, 1 to 1000. Missing: 100.
	Count int `json:"count,omitempty"`
}

func (r *ConversationListRequest) Validate() error {
	if r.Count == 0 {
		r.Count = 100
	}
	if r.Count < 1 || r.Count > 1000 {
		return invalid("count: %d is not 1 to 1000", r.Count)
	}
	return nil
}

// ConversationListResponse is the response of im.getConversationList.
type ConversationListResponse struct {
	// NextSeq is where the next page begins.
	NextSeq uint64 `json:"nextSeq"`
	// IsFinished says that there are no more.
	IsFinished bool `json:"isFinished"`
	// ConversationList is the page, the conversation with the newest message first.
	ConversationList []Conversation `json:"conversationList"`
}

// ConversationRequest is the request of what concerns one conversation.
type ConversationRequest struct {
	// ConversationID is c2c_ and the other's userId, or group_ and the groupId.
	ConversationID string `json:"conversationId"`
}

func (r *ConversationRequest) Validate() error {
	_, _, err := CheckConversationID("conversationId", r.ConversationID)
	return err
}

// DraftRequest is the request of im.setConversationDraft.
type DraftRequest struct {
	// ConversationID is c2c_ and the other's userId, or group_ and the groupId.
	ConversationID string `json:"conversationId"`
	// DraftText to keep on this board, at most 8192 bytes of UTF-8. Missing or empty: none.
	DraftText string `json:"draftText,omitempty"`
}

func (r *DraftRequest) Validate() error {
	if len(r.DraftText) > MaxTextBytes || !utf8.ValidString(r.DraftText) {
		return Errorf(CodeMsgBodySizeLimit, "draftText: %d bytes are over the limit of %d", len(r.DraftText), MaxTextBytes)
	}
	_, _, err := CheckConversationID("conversationId", r.ConversationID)
	return err
}

// ConversationsEvent is the data of the events of conversations.
type ConversationsEvent struct {
	// ConversationList are the conversations.
	ConversationList []Conversation `json:"conversationList"`
}

var conversationCodes = []Code{CodeNotInitialized, CodeNotLoggedIn, CodeSvrConvInvalidParameters, CodeDatabaseFailure}

// The family of conversations.
var (
	SetConversationListener = Declare[ListenRequest, Empty](Info{
		Name: "im.setConversationListener", Doc: "has a program's event stream carry what becomes of conversations", Source: "setConversationListener", Scope: Read, Route: Local,
	})
	RemoveConversationListener = Declare[ListenRequest, Empty](Info{
		Name: "im.removeConversationListener", Doc: "ends what im.setConversationListener began", Source: "removeConversationListener", Scope: Read, Route: Local,
	})
	GetConversationList = Declare[ConversationListRequest, ConversationListResponse](Info{
		Name: "im.getConversationList", Doc: "lists the conversations, the one with the newest message first", Source: "getConversationList", Scope: Read, Route: Local,
		Codes: conversationCodes,
	})
	DeleteConversation = Declare[ConversationRequest, Empty](Info{
		Name: "im.deleteConversation", Doc: "deletes a conversation and its messages for this account, on all of its terminals; it returns with the next message",
		Source: "deleteConversation", Scope: Write, Route: Queued, Codes: append([]Code{CodeNetReqCountLimit}, conversationCodes...),
	})
	SetConversationDraft = Declare[DraftRequest, Empty](Info{
		Name: "im.setConversationDraft", Doc: "keeps what was written and not sent, on this board", Source: "setConversationDraft", Scope: Write, Route: Local,
		Codes: append([]Code{CodeMsgBodySizeLimit, CodeNetReqCountLimit}, conversationCodes...), Aliases: []Alias{{Also: "conversationID", Field: "conversationId"}},
	})
)

// The events of conversations. None is kept: they tell what is to be read with
// im.getConversationList, and each message would be written twice.
var (
	OnSyncServerStart = DeclareEvent[Empty](EventInfo{
		Name: "im.onSyncServerStart", Doc: "the link is back, and what was missed is being read", Listen: []string{"conversation"}, Transient: true,
	})
	OnSyncServerFinish = DeclareEvent[Empty](EventInfo{
		Name: "im.onSyncServerFinish", Doc: "all that was missed is here", Listen: []string{"conversation"}, Transient: true,
	})
	OnSyncServerFailed = DeclareEvent[Empty](EventInfo{
		Name: "im.onSyncServerFailed", Doc: "the link broke before all that was missed was here; it goes on when it is back", Listen: []string{"conversation"}, Transient: true,
	})
	OnNewConversation = DeclareEvent[ConversationsEvent](EventInfo{
		Name: "im.onNewConversation", Doc: "there are new conversations", Listen: []string{"conversation"}, Transient: true,
	})
	OnConversationChanged = DeclareEvent[ConversationsEvent](EventInfo{
		Name: "im.onConversationChanged", Doc: "the last message, the unread count, the name or the draft of conversations has changed", Listen: []string{"conversation"}, Transient: true,
	})
	OnConversationDeleted = DeclareEvent[ConversationsEvent](EventInfo{
		Name: "im.onConversationDeleted", Doc: "conversations were deleted, perhaps on another terminal", Listen: []string{"conversation"}, Transient: true,
	})
)
