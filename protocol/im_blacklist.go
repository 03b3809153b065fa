package protocol

// UserListRequest is the request of what concerns some accounts.
type UserListRequest struct {
	// UserIDList are 1 to 100 userIds.
	UserIDList []string `json:"userIdList"`
}

// maxUserList is the most userIds of one request.
const maxUserList = 100

func (r *UserListRequest) Validate() error {
	return checkUserIDs("userIdList", r.UserIDList, maxUserList, CodeFriendshipExceedTheLimit)
}

// FriendOperationResult is the document's friendOperationResult.
type FriendOperationResult struct {
	// UserID it is about.
	UserID string `json:"userId"`
	// ResultCode is 0 if it was done.
	ResultCode Code `json:"resultCode"`
	// ResultInfo says why not.
	ResultInfo string `json:"resultInfo"`
}

// FriendResultsResponse is the response of what was done to some accounts.
type FriendResultsResponse struct {
	// ResultList has one result for each of the request, in its order.
	ResultList []FriendOperationResult `json:"resultList"`
}

// BlacklistResponse is the response of im.getBlackList.
type BlacklistResponse struct {
	// InfoList are those in the blacklist, by userId.
	InfoList []FriendInfo `json:"infoList"`
}

// FriendInfo is the document's friendInfo.
type FriendInfo struct {
	// UserID of the account.
	UserID string `json:"userId"`
	// FriendRemark that this account has given it.
	FriendRemark string `json:"friendRemark"`
	// FriendCustomInfo is what programs have noted at it.
	FriendCustomInfo map[string]string `json:"friendCustomInfo"`
	// FriendGroups are the friend groups that it is in.
	FriendGroups []string `json:"friendGroups"`
	// UserInfo of the account.
	UserInfo UserInfo `json:"userInfo"`
}

// The family of the blacklist.
var (
	AddToBlackList = Declare[UserListRequest, FriendResultsResponse](Info{
		Name: "im.addToBlackList", Doc: "has the hub refuse what these accounts send to this one", Source: "addToBlackList", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeInvalidIdentifier, CodeFriendshipExceedTheLimit),
	})
	DeleteFromBlackList = Declare[UserListRequest, FriendResultsResponse](Info{
		Name: "im.deleteFromBlackList", Doc: "takes accounts out of the blacklist", Source: "deleteFromBlackList", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeInvalidIdentifier, CodeFriendshipExceedTheLimit),
	})
	GetBlackList = Declare[Empty, BlacklistResponse](Info{
		Name: "im.getBlackList", Doc: "lists the blacklist", Source: "getBlackList", Scope: Read, Route: Hub, Codes: hubCodes(),
	})
)
