package protocol

// StatusResponse is the response of device.getStatus and of GET /v1/status.
type StatusResponse struct {
	// Version of this build.
	Version string `json:"version"`
	// UserID of the account, empty if none is logged in.
	UserID string `json:"userId"`
	// SDKAppID of the account.
	SDKAppID AppID `json:"sdkAppId,omitempty"`
	// Terminal is this board's name among the account's terminals.
	Terminal string `json:"terminal,omitempty"`
	// LoginStatus is 0 logged in, 1 logging in, 2 logged out.
	LoginStatus LoginStatus `json:"loginStatus"`
	// Link is "up", "connecting" or "down".
	Link string `json:"link"`
	// LinkSince is when Link became so, in Unix seconds of the hub's clock
	// (the board's own where the hub was never heard of).
	LinkSince int64 `json:"linkSince"`
	// LastError is why the link or the login failed last, empty if all is well.
	LastError *Error `json:"lastError,omitempty"`
	// Hub is its address.
	Hub string `json:"hub"`
	// Queue is what waits to be sent.
	Queue QueueStatus `json:"queue"`
	// Journal is what programs may still read.
	Journal JournalStatus `json:"journal"`
	// UptimeSeconds of the daemon.
	UptimeSeconds int64 `json:"uptimeSeconds"`
}

// QueueStatus sums up the outbox.
type QueueStatus struct {
	// Items waiting.
	Items int `json:"items"`
	// Bytes they take in the store.
	Bytes int64 `json:"bytes"`
	// MaxItems the outbox takes.
	MaxItems int `json:"maxItems"`
	// MaxBytes the outbox takes.
	MaxBytes int64 `json:"maxBytes"`
	// Uploading is how many messages wait beside the outbox until their files are
	// at the hub.
	Uploading int `json:"uploading"`
}

// JournalStatus tells which positions the journal holds.
type JournalStatus struct {
	// First position held; Last+1 when it is empty.
	First uint64 `json:"first"`
	// Last position given out.
	Last uint64 `json:"last"`
	// Bytes held.
	Bytes int64 `json:"bytes"`
	// Trimmed is how many events left the journal because it was full.
	Trimmed uint64 `json:"trimmed"`
}

// QueueRequest is the request of device.getQueue.
type QueueRequest struct {
	// Count is how many items to return, oldest first, 1 to 1000. Missing: 20.
	Count int `json:"count,omitempty"`
}

func (r *QueueRequest) Validate() error {
	if r.Count == 0 {
		r.Count = 20
	}
	if r.Count < 1 || r.Count > 1000 {
		return invalid("count: %d is not 1 to 1000", r.Count)
	}
	return nil
}

// QueueItem is one message that waits.
type QueueItem struct {
	// MsgID of the message.
	MsgID string `json:"msgId"`
	// UserID of the receiver, if it goes to an account.
	UserID string `json:"userId,omitempty"`
	// GroupID of the receiver, if it goes to a group.
	GroupID string `json:"groupId,omitempty"`
	// Bytes of its body, and of its files if they are on their way.
	Bytes int64 `json:"bytes"`
	// Uploading says that its files are on their way.
	Uploading bool `json:"uploading,omitempty"`
	// QueuedAt is when it was accepted, in Unix seconds of the hub's clock
	// (the board's own where the hub was never heard of).
	QueuedAt int64 `json:"queuedAt"`
}

// QueueResponse is the response of device.getQueue.
type QueueResponse struct {
	QueueStatus
	// List holds the oldest items, and then those whose files are on their way.
	List []QueueItem `json:"list"`
}

// The family of the board itself.
var (
	SetDeviceListener = Declare[ListenRequest, Empty](Info{
		Name: "device.setDeviceListener", Doc: "has a program's event stream carry what happens to the board itself", Source: "Herald", Scope: Read, Route: Local,
	})
	RemoveDeviceListener = Declare[ListenRequest, Empty](Info{
		Name: "device.removeDeviceListener", Doc: "ends what device.setDeviceListener began", Source: "Herald", Scope: Read, Route: Local,
	})
	GetStatus = Declare[Empty, StatusResponse](Info{
		Name: "device.getStatus", Doc: "tells how the board is: account, link, queue, journal", Source: "Herald", Scope: Read, Route: Local,
	})
	GetQueue = Declare[QueueRequest, QueueResponse](Info{
		Name: "device.getQueue", Doc: "lists what waits to be sent", Source: "Herald", Scope: Read, Route: Local,
		Codes: []Code{CodeNotInitialized, CodeNotLoggedIn, CodeDatabaseFailure},
	})
)
