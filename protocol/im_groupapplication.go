package protocol

// GroupApplication is the document's groupApplication: somebody wants to join a
// group of which the account is the owner or an admin.
type GroupApplication struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// FromUser is the userId of who wants to join.
	FromUser string `json:"fromUser"`
	// FromUserNickName is the nickname of FromUser.
	FromUserNickName string `json:"fromUserNickName"`
	// FromUserFaceURL is the picture of FromUser.
	FromUserFaceURL string `json:"fromUserFaceUrl"`
	// ToUser is 0, as it is of any application to join.
	ToUser string `json:"toUser"`
	// AddTime is when it was made, in Unix seconds, as text.
	AddTime string `json:"addTime"`
	// RequestMsg are the applicant's words.
	RequestMsg string `json:"requestMsg"`
	// HandleMsg are the words of who has decided.
	HandleMsg string `json:"handleMsg"`
	// GetType is 0, an application to join.
	GetType int `json:"getType"`
	// HandleStatus is 0 open, 1 decided by somebody else, 2 by this account.
	HandleStatus int `json:"handleStatus"`
	// HandleResult is 0 let in, 1 refused; once it is decided.
	HandleResult int `json:"handleResult"`
}

// What became of an application.
const (
	HandleOpen    = 0
	HandleByOther = 1
	HandleBySelf  = 2

	HandleAgreed  = 0
	HandleRefused = 1
)

// GroupApplicationsResponse is the response of im.getGroupApplicationList.
type GroupApplicationsResponse struct {
	// UnreadCount is how many open ones came after im.setGroupApplicationRead.
	UnreadCount int `json:"unreadCount"`
	// GroupApplicationList are the open ones, the newest first, then those that were
	// decided within the last week; at most 200.
	GroupApplicationList []GroupApplication `json:"groupApplicationList"`
}

// MaxApplications is the most that im.getGroupApplicationList lists.
const MaxApplications = 200

// HandleRequest is the request of the methods that decide about an application to
// join a group.
type HandleRequest struct {
	// Index of the application in the list that this program has fetched last.
	Index *int `json:"index"`
	// Reason goes to the applicant, at most 300 bytes of UTF-8.
	Reason string `json:"reason,omitempty"`
}

func (r *HandleRequest) Validate() error {
	if err := checkIndex(r.Index); err != nil {
		return err
	}
	return checkWords("reason", r.Reason, MaxJoinMsg, CodeInvalidParameters)
}

func checkIndex(index *int) error {
	switch {
	case index == nil:
		return invalid("index: missing")
	case *index < 0:
		return invalid("index: %d is not the place of an application in the list", *index)
	}
	return nil
}

// DecideRequest is the request of device.decideGroupApplication.
type DecideRequest struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// UserID of the applicant.
	UserID string `json:"userId"`
	// Agree lets him in.
	Agree bool `json:"agree"`
	// Reason goes to the applicant, at most 300 bytes of UTF-8.
	Reason string `json:"reason,omitempty"`
}

func (r *DecideRequest) Validate() error {
	if err := checkWords("reason", r.Reason, MaxJoinMsg, CodeInvalidParameters); err != nil {
		return err
	}
	return checkMember(r.GroupID, r.UserID)
}

// decideCodes are what a decision about an application to join may return.
var decideCodes = []Code{CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny, CodeSvrGroupReqAlreadyBeenProcessed, CodeSvrGroupFullMemberCount, CodeSvrGroupCountLimit}

// The applications to join groups.
var (
	GetGroupApplicationList = Declare[Empty, GroupApplicationsResponse](Info{
		Name: "im.getGroupApplicationList", Doc: "lists the applications to join groups that the account decides about", Source: "getGroupApplicationList",
		Scope: Read, Route: Local, Codes: hubCodes(),
	})
	AcceptGroupApplication = Declare[HandleRequest, Empty](Info{
		Name: "im.acceptGroupApplication", Doc: "lets an applicant into a group", Source: "acceptGroupApplication", Scope: Write, Route: Local, Codes: hubCodes(decideCodes...),
	})
	RefuseGroupApplication = Declare[HandleRequest, Empty](Info{
		Name: "im.refuseGroupApplication", Doc: "refuses an applicant", Source: "refuseGroupApplication", Scope: Write, Route: Local, Codes: hubCodes(decideCodes...),
	})
	SetGroupApplicationRead = Declare[Empty, Empty](Info{
		Name: "im.setGroupApplicationRead", Doc: "counts all applications to join groups as read", Source: "setGroupApplicationRead", Scope: Write, Route: Hub, Codes: hubCodes(),
	})
	ListGroupApplications = Declare[Empty, GroupApplicationsResponse](Info{
		Name: "device.listGroupApplications", Doc: "lists the applications to join groups that the account decides about", Source: "Herald", Scope: Read, Route: Inner, Codes: hubCodes(),
	})
	DecideGroupApplication = Declare[DecideRequest, Empty](Info{
		Name: "device.decideGroupApplication", Doc: "lets an applicant into a group, or refuses him", Source: "Herald", Scope: Write, Route: Inner,
		Codes: hubCodes(append([]Code{CodeGroupInvalidID, CodeInvalidIdentifier}, decideCodes...)...),
	})
)
