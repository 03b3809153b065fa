package protocol

// ApplicationType says who wants to be whose friend.
type ApplicationType uint8

const (
	ApplicationSent     ApplicationType = 0 // by this account
	ApplicationReceived ApplicationType = 1
)

// FriendApplication is the document's friendApplication.
type FriendApplication struct {
	// UserID of the other.
	UserID string `json:"userId"`
	// NickName of the other.
	NickName string `json:"nickName"`
	// FaceURL of the other's picture.
	FaceURL string `json:"faceUrl"`
	// AddTime is when it was made, in Unix seconds.
	AddTime int64 `json:"addTime"`
	// AddSource says where it comes from.
	AddSource string `json:"addSource"`
	// AddWording are the words of who applies.
	AddWording string `json:"addWording"`
	// Type is 0 made by this account, 1 by the other.
	Type ApplicationType `json:"type"`
}

// FriendApplicationsResponse is the response of im.getFriendApplicationList.
type FriendApplicationsResponse struct {
	// UnreadCount is how many of the others' came after im.setFriendApplicationRead.
	UnreadCount int `json:"unreadCount"`
	// ApplicationList are the open ones, the newest first.
	ApplicationList []FriendApplication `json:"applicationList"`
}

// IndexRequest is the request of the methods that name a friend application.
type IndexRequest struct {
	// Index of the application in the list that this program has fetched last.
	Index *int `json:"index"`
}

func (r *IndexRequest) Validate() error { return checkIndex(r.Index) }

// AcceptFriendRequest is the request of im.acceptFriendApplication.
type AcceptFriendRequest struct {
	IndexRequest
	// Type is 0 to be friends of each other, 1 to be in the other's list alone.
	Type FriendType `json:"type,omitempty"`
}

func (r *AcceptFriendRequest) Validate() error {
	if err := checkFriendType("type", r.Type); err != nil {
		return err
	}
	return checkIndex(r.Index)
}

// What is done with a friend application.
const (
	FriendAccept = 1 // and be friends of each other
	FriendAllow  = 2 // and be in the other's list alone
	FriendRefuse = 3
	FriendDelete = 4
)

// DecideFriendRequest is the request of device.decideFriendApplication.
type DecideFriendRequest struct {
	// UserID of the other.
	UserID string `json:"userId"`
	// Type is 0 made by this account, 1 by the other.
	Type ApplicationType `json:"type"`
	// Do is 1 accept, 2 accept on one side, 3 refuse, 4 delete.
	Do int `json:"do"`
}

func (r *DecideFriendRequest) Validate() error {
	switch {
	case r.Do < FriendAccept || r.Do > FriendDelete:
		return invalid("do: %d is not 1 to 4", r.Do)
	case r.Type > ApplicationReceived, r.Type == ApplicationSent && r.Do != FriendDelete:
		return invalid("type: one's own application can be deleted only")
	}
	return CheckUserID("userId", r.UserID)
}

// FriendApplicationsEvent is the data of im.onFriendApplicationListAdded.
type FriendApplicationsEvent struct {
	// ApplicationList are the new ones.
	ApplicationList []FriendApplication `json:"applicationList"`
}

var friendDecisions = []Code{
	CodeSvrFriendshipPendencyNotFound, CodeSvrFriendshipCountLimit, CodeSvrFriendshipPeerFriendLimit, CodeSvrFriendshipInvalidParameters,
	CodeSvrFriendshipInSelfBlacklist, CodeSvrFriendshipInPeerBlacklist,
}

// The applications to be friends.
var (
	GetFriendApplicationList = Declare[Empty, FriendApplicationsResponse](Info{
		Name: "im.getFriendApplicationList", Doc: "lists the open applications to be friends, of both sides", Source: "getFriendApplicationList", Scope: Read, Route: Local, Codes: hubCodes(),
	})
	AcceptFriendApplication = Declare[AcceptFriendRequest, FriendResultResponse](Info{
		Name: "im.acceptFriendApplication", Doc: "accepts an application to be friends", Source: "acceptFriendApplication", Scope: Write, Route: Local, Codes: hubCodes(friendDecisions...),
	})
	RefuseFriendApplication = Declare[IndexRequest, FriendResultResponse](Info{
		Name: "im.refuseFriendApplication", Doc: "refuses an application to be friends", Source: "refuseFriendApplication", Scope: Write, Route: Local, Codes: hubCodes(friendDecisions...),
	})
	DeleteFriendApplication = Declare[IndexRequest, Empty](Info{
		Name: "im.deleteFriendApplication", Doc: "deletes an application to be friends from the own list", Source: "deleteFriendApplication", Scope: Write, Route: Local, Codes: hubCodes(friendDecisions...),
	})
	SetFriendApplicationRead = Declare[Empty, Empty](Info{
		Name: "im.setFriendApplicationRead", Doc: "counts all applications to be friends as read", Source: "setFriendApplicationRead", Scope: Write, Route: Hub, Codes: hubCodes(),
	})
	ListFriendApplications = Declare[Empty, FriendApplicationsResponse](Info{
		Name: "device.listFriendApplications", Doc: "lists the open applications to be friends", Source: "Herald", Scope: Read, Route: Inner, Codes: hubCodes(),
	})
	DecideFriendApplication = Declare[DecideFriendRequest, FriendResultResponse](Info{
		Name: "device.decideFriendApplication", Doc: "accepts, refuses or deletes an application to be friends", Source: "Herald", Scope: Write, Route: Inner,
		Codes: hubCodes(append([]Code{CodeInvalidIdentifier}, friendDecisions...)...),
	})

	OnFriendApplicationListAdded = DeclareEvent[FriendApplicationsEvent](EventInfo{
		Name: "im.onFriendApplicationListAdded", Doc: "somebody wants to be the account's friend, or the account somebody's", Listen: []string{"friend"}, FromHub: true,
	})
	OnFriendApplicationListDeleted = DeclareEvent[FriendsGoneEvent](EventInfo{
		Name: "im.onFriendApplicationListDeleted", Doc: "applications are accepted, refused or deleted", Listen: []string{"friend"}, FromHub: true,
	})
	OnFriendApplicationListRead = DeclareEvent[Empty](EventInfo{
		Name: "im.onFriendApplicationListRead", Doc: "the account has read the applications, perhaps on another terminal", Listen: []string{"friend"}, FromHub: true,
	})
)
