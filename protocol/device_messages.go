package protocol

// MessageRequest is the request of what concerns one message.
type MessageRequest struct {
	// MsgID of the message.
	MsgID string `json:"msgId"`
}

func (r *MessageRequest) Validate() error { return CheckMsgID("msgId", r.MsgID) }

// MessageResponse is the response of device.getMessage.
type MessageResponse struct {
	// Message with that id.
	Message MessageInfo `json:"message"`
}

// CustomDataRequest is the request of device.setLocalCustomData.
type CustomDataRequest struct {
	// MsgID of the message.
	MsgID string `json:"msgId"`
	// LocalCustomData to note at it, at most 1024 bytes of UTF-8. Missing: empty.
	LocalCustomData string `json:"localCustomData,omitempty"`
	// LocalCustomInt to note at it. Missing: 0.
	LocalCustomInt int64 `json:"localCustomInt,omitempty"`
}

// MaxCustomData is the most bytes that may be noted at a message.
const MaxCustomData = 1024

func (r *CustomDataRequest) Validate() error {
	if len(r.LocalCustomData) > MaxCustomData {
		return Errorf(CodeMsgBodySizeLimit, "localCustomData: %d bytes are over the limit of %d", len(r.LocalCustomData), MaxCustomData)
	}
	return CheckMsgID("msgId", r.MsgID)
}

// DownloadRequest is the request of device.downloadMessage.
type DownloadRequest struct {
	// MsgID of a message with a file.
	MsgID string `json:"msgId"`
	// Type of the file: of an image 0 thumbnail, 1 large, 2 original; of a video 3
	// its still picture, 2 the video; else 2. Missing: 2.
	Type *FileRole `json:"type,omitempty"`
}

func (r *DownloadRequest) Validate() error {
	if r.Type == nil {
		role := RoleOriginal
		r.Type = &role
	}
	if *r.Type > RoleSnapshot {
		return invalid("type: %d is not 0 to 3", *r.Type)
	}
	return CheckMsgID("msgId", r.MsgID)
}

// DownloadResponse is the response of device.downloadMessage.
type DownloadResponse struct {
	// UUID names the file: the SHA-256 of its bytes.
	UUID string `json:"uuid"`
	// Path of the file, if it is on this board already. Else im.onRecvNewMessage
	// tells with download how it comes.
	Path string `json:"path"`
	// URL of the file at this board's API.
	URL string `json:"url"`
}

// What the board offers beyond the document.
var (
	GetMessage = Declare[MessageRequest, MessageResponse](Info{
		Name: "device.getMessage", Doc: "gives the message with an id", Source: "Herald", Scope: Read, Route: Local,
		Codes: historyCodes,
	})
	SetLocalCustomData = Declare[CustomDataRequest, Empty](Info{
		Name: "device.setLocalCustomData", Doc: "notes something at a message, on this board: that it was played, for instance", Source: "Herald", Scope: Write, Route: Local,
		Codes: append([]Code{CodeMsgBodySizeLimit}, markCodes...),
	})
	DownloadMessage = Declare[DownloadRequest, DownloadResponse](Info{
		Name: "device.downloadMessage", Doc: "fetches a file of a message from the hub", Source: "Herald", Scope: Write, Route: Local,
		Codes: append([]Code{CodeNetDisconnect, CodeSvrResNotFound, CodeSvrResAccessDeny}, historyCodes...),
	})
)

// SendOnlineRequest is the request of device.sendOnline.
type SendOnlineRequest struct {
	// UserID it goes to; or GroupID.
	UserID string `json:"userId,omitempty"`
	// GroupID it goes to; or UserID.
	GroupID string `json:"groupId,omitempty"`
	// Priority in a group is 0 default, 1 high, 2 normal, 3 low.
	Priority uint8 `json:"priority,omitempty"`
	// Message in CBOR.
	Message []byte `json:"message"`
	// IDEpoch and IDNumber make the message's id, see Item.
	IDEpoch  uint32 `json:"idEpoch"`
	IDNumber uint64 `json:"idNumber"`
}

func (r *SendOnlineRequest) Validate() error { return checkConversation("userId", r.UserID, r.GroupID) }

// PutFileRequest is the request of device.putFile.
type PutFileRequest struct {
	// Hash of the file: SHA-256 in 64 lower hex digits.
	Hash string `json:"hash"`
	// Size in bytes.
	Size int64 `json:"size"`
}

func (r *PutFileRequest) Validate() error {
	switch {
	case !ValidHash(r.Hash):
		return invalid("hash: not a SHA-256 in 64 lower hex digits")
	case r.Size < 1:
		return Errorf(CodeFileSizeEmpty, "size: the file is empty")
	case r.Size > MaxFile:
		return Errorf(CodeSvrResSizeLimit, "size: %d bytes are over the limit of %d", r.Size, MaxFile)
	}
	return nil
}

// PutFileResponse is the response of device.putFile.
type PutFileResponse struct {
	// Done says that the hub has the file, and that this account may send it.
	Done bool `json:"done"`
	// URL to upload to by the tus protocol (1.0.0): a HEAD tells how far it is, 404
	// that it is not begun; then a POST begins it and PATCHes go on. The host may be
	// IceHostHub: that by which the board reaches the hub.
	URL string `json:"url,omitempty"`
	// ExpiresAt is until when URL is good, in Unix seconds.
	ExpiresAt int64 `json:"expiresAt,omitempty"`
}

// GetFileRequest is the request of device.getFile.
type GetFileRequest struct {
	// Hash of the file.
	Hash string `json:"hash"`
}

func (r *GetFileRequest) Validate() error {
	if !ValidHash(r.Hash) {
		return invalid("hash: not a SHA-256 in 64 lower hex digits")
	}
	return nil
}

// GetFileResponse is the response of device.getFile.
type GetFileResponse struct {
	// URL to GET, with Range if part of it is here (RFC 9110 §14). The host may be
	// IceHostHub.
	URL string `json:"url"`
	// Size in bytes.
	Size int64 `json:"size"`
	// ExpiresAt is until when URL is good, in Unix seconds.
	ExpiresAt int64 `json:"expiresAt"`
}

// What the board asks of the hub for its messages.
var (
	SendOnline = Declare[SendOnlineRequest, Empty](Info{
		Name: "device.sendOnline", Doc: "sends a message to those who are online", Source: "Herald", Scope: Write, Route: Inner,
		Codes: hubCodes(CodeSvrMsgToAccountNotFound, CodeSvrMsgInPeerBlacklist, CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny, CodeSvrBodySizeLimit, CodeInvalidMsgElem, CodeInvalidIdentifier, CodeGroupInvalidID),
	})
	PutFile = Declare[PutFileRequest, PutFileResponse](Info{
		Name: "device.putFile", Doc: "begins the upload of a file, or goes on with it", Source: "Herald", Scope: Write, Route: Inner,
		Codes: hubCodes(CodeFileSizeEmpty, CodeSvrResSizeLimit, CodeIOOperationFailed),
	})
	GetFile = Declare[GetFileRequest, GetFileResponse](Info{
		Name: "device.getFile", Doc: "gives a URL for a file of a message that the account may read", Source: "Herald", Scope: Read, Route: Inner,
		Codes: hubCodes(CodeSvrResNotFound, CodeSvrResAccessDeny, CodeIOOperationFailed),
	})
)
