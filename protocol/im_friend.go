package protocol

// Limits of friends (Tencent's).
const (
	MaxFriendRemark = 96  // bytes
	MaxAddWording   = 120 // bytes
	maxAddSource    = 64  // bytes
)

// FriendType says whether a friendship is of both sides or of one.
type FriendType uint8

const (
	FriendBoth   FriendType = 0 // each is in the other's list
	FriendSingle FriendType = 1 // the other is in the own list
)

func checkFriendType(field string, t FriendType) error {
	if t > FriendSingle {
		return invalid("%s: %d is not 0 or 1", field, t)
	}
	return nil
}

// Relation is how two accounts stand.
type Relation uint8

const (
	RelationBoth  Relation = 0 // friends
	RelationMine  Relation = 1 // the other is in the own list alone
	RelationTheir Relation = 2 // the account is in the other's list alone
	RelationNone  Relation = 3
)

// FriendInfo is the document's friendInfo.
type FriendInfo struct {
	// UserID of the account.
	UserID string `json:"userId"`
	// FriendRemark that this account has given it.
	FriendRemark string `json:"friendRemark"`
	// FriendCustomInfo is empty: nothing in the API sets it.
	FriendCustomInfo map[string]string `json:"friendCustomInfo"`
	// FriendGroups are the friend groups that it is in.
	FriendGroups []string `json:"friendGroups"`
	// UserInfo of the account.
	UserInfo UserInfo `json:"userInfo"`
}

// FriendsResponse is the response of the methods that list accounts.
type FriendsResponse struct {
	// InfoList are the accounts, by userId.
	InfoList []FriendInfo `json:"infoList"`
}

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

// FriendInfoResult is the document's friendInfoResult.
type FriendInfoResult struct {
	// ResultCode is 0 if FriendInfo is the account.
	ResultCode Code `json:"resultCode"`
	// ResultInfo says why not.
	ResultInfo string `json:"resultInfo"`
	// Relation is 0 friends of each other, 1 the account is in the own list alone, 2 this
	// account is in its list alone, 3 no friends.
	Relation Relation `json:"relation"`
	// FriendInfo is the account; of one that is not there its userId alone.
	FriendInfo FriendInfo `json:"friendInfo"`
}

// FriendInfosResponse is the response of im.getFriendsInfo.
type FriendInfosResponse struct {
	// ResultList has one result for each of the request, in its order.
	ResultList []FriendInfoResult `json:"resultList"`
}

// FriendOperationResult is the document's friendOperationResult.
type FriendOperationResult struct {
	// UserID it is about.
	UserID string `json:"userId"`
	// ResultCode is "0" if it was done, "30539" if it waits for the other's consent.
	ResultCode string `json:"resultCode"`
	// ResultInfo says why not.
	ResultInfo string `json:"resultInfo"`
}

// FriendResultsResponse is the response of what was done to some accounts.
type FriendResultsResponse struct {
	// ResultList has one result for each of the request, in its order.
	ResultList []FriendOperationResult `json:"resultList"`
}

// FriendResultResponse is the response of what was done to one account.
type FriendResultResponse struct {
	// Result of it.
	Result FriendOperationResult `json:"result"`
}

// SetFriendInfoRequest is the request of im.setFriendInfo.
type SetFriendInfoRequest struct {
	// UserID of the friend.
	UserID string `json:"userId"`
	// FriendRemark is what this account calls the friend, at most 96 bytes of UTF-8.
	// Missing or empty: none.
	FriendRemark string `json:"friendRemark,omitempty"`
}

func (r *SetFriendInfoRequest) Validate() error {
	if err := CheckUserID("userId", r.UserID); err != nil {
		return err
	}
	return checkWords("friendRemark", r.FriendRemark, MaxFriendRemark, CodeFriendshipInvalidAddRemark)
}

// AddFriendRequest is the request of im.addFriend.
type AddFriendRequest struct {
	// UserID of the account.
	UserID string `json:"userId"`
	// FriendRemark is what this account will call the friend, at most 96 bytes of UTF-8.
	FriendRemark string `json:"friendRemark,omitempty"`
	// AddWording goes to the other where he decides, at most 120 bytes of UTF-8.
	AddWording string `json:"addWording,omitempty"`
	// AddSource says where it comes from, at most 64 bytes of UTF-8.
	AddSource string `json:"addSource,omitempty"`
	// AddType is 0 for friends of each other, 1 for one in the own list alone.
	AddType FriendType `json:"addType,omitempty"`
}

func (r *AddFriendRequest) Validate() error {
	if err := CheckUserID("userId", r.UserID); err != nil {
		return err
	}
	if err := checkWords("friendRemark", r.FriendRemark, MaxFriendRemark, CodeFriendshipInvalidAddRemark); err != nil {
		return err
	}
	if err := checkWords("addWording", r.AddWording, MaxAddWording, CodeFriendshipInvalidAddWording); err != nil {
		return err
	}
	if err := checkWords("addSource", r.AddSource, maxAddSource, CodeFriendshipInvalidAddSource); err != nil {
		return err
	}
	return checkFriendType("addType", r.AddType)
}

// DeleteFriendsRequest is the request of im.deleteFromFriendList.
type DeleteFriendsRequest struct {
	UserListRequest
	// DeleteType is 0 from the lists of both, 1 from the own alone.
	DeleteType FriendType `json:"deleteType,omitempty"`
}

func (r *DeleteFriendsRequest) Validate() error {
	if err := checkFriendType("deleteType", r.DeleteType); err != nil {
		return err
	}
	return r.UserListRequest.Validate()
}

// CheckFriendRequest is the request of im.checkFriend.
type CheckFriendRequest struct {
	// UserID of the account.
	UserID string `json:"userId"`
	// Type is 0 to look into the lists of both, 1 into the own alone.
	Type FriendType `json:"type,omitempty"`
}

func (r *CheckFriendRequest) Validate() error {
	if err := checkFriendType("type", r.Type); err != nil {
		return err
	}
	return CheckUserID("userId", r.UserID)
}

// FriendCheckResult is the document's friendCheckResult.
type FriendCheckResult struct {
	// UserID it is about.
	UserID string `json:"userId"`
	// ResultCode is 0 if there is such an account.
	ResultCode Code `json:"resultCode"`
	// ResultInfo says why not.
	ResultInfo string `json:"resultInfo"`
	// RelationType is 0 friends of each other, 1 the account is in the own list (of
	// type 0: alone), 2 this account is in its list alone, 3 no friends.
	RelationType Relation `json:"relationType"`
}

// FriendCheckResponse is the response of im.checkFriend.
type FriendCheckResponse struct {
	// Result of it.
	Result FriendCheckResult `json:"result"`
}

// FriendsEvent is the data of the events about accounts that have come, or changed.
type FriendsEvent struct {
	// InfoList are the accounts.
	InfoList []FriendInfo `json:"infoList"`
}

// FriendsGoneEvent is the data of the events about accounts that have gone.
type FriendsGoneEvent struct {
	// UserIDList are their userIds.
	UserIDList []string `json:"userIdList"`
	// UserIDListAlso is the same under another spelling.
	UserIDListAlso []string `json:"userIDList"`
}

// friendCodes are what any method about an account may return.
func friendCodes(more ...Code) []Code {
	return hubCodes(append([]Code{CodeInvalidIdentifier, CodeSvrFriendshipInvalidParameters, CodeSvrFriendshipAccountNotFound}, more...)...)
}

// The family of friends.
var (
	SetFriendListener = Declare[ListenRequest, Empty](Info{
		Name: "im.setFriendListener", Doc: "has a program's event stream carry what becomes of friends and the blacklist", Source: "setFriendListener", Scope: Read, Route: Local,
	})
	RemoveFriendListener = Declare[ListenRequest, Empty](Info{
		Name: "im.removeFriendListener", Doc: "ends what im.setFriendListener began", Source: "removeFriendListener", Scope: Read, Route: Local,
	})
	GetFriendList = Declare[Empty, FriendsResponse](Info{
		Name: "im.getFriendList", Doc: "lists the account's friends", Source: "getFriendList", Scope: Read, Route: Hub, Codes: hubCodes(),
	})
	GetFriendsInfo = Declare[UserListRequest, FriendInfosResponse](Info{
		Name: "im.getFriendsInfo", Doc: "tells of accounts and how they stand with this one", Source: "getFriendsInfo", Scope: Read, Route: Hub,
		Codes: hubCodes(CodeInvalidIdentifier, CodeFriendshipExceedTheLimit),
	})
	SetFriendInfo = Declare[SetFriendInfoRequest, Empty](Info{
		Name: "im.setFriendInfo", Doc: "says what this account calls a friend", Source: "setFriendInfo", Scope: Write, Route: Hub,
		Codes: friendCodes(CodeFriendshipInvalidAddRemark, CodeSvrFriendshipDelNonFriend),
	})
	AddFriend = Declare[AddFriendRequest, FriendResultResponse](Info{
		Name: "im.addFriend", Doc: "adds a friend, or asks the account where it decides itself", Source: "addFriend", Scope: Write, Route: Hub,
		Codes: friendCodes(CodeFriendshipInvalidAddRemark, CodeFriendshipInvalidAddWording, CodeFriendshipInvalidAddSource, CodeSvrFriendshipCountLimit,
			CodeSvrFriendshipPendencyLimit, CodeSvrFriendshipPeerFriendLimit, CodeSvrFriendshipInSelfBlacklist, CodeSvrFriendshipAllowTypeDenyAny,
			CodeSvrFriendshipInPeerBlacklist),
	})
	DeleteFromFriendList = Declare[DeleteFriendsRequest, FriendResultsResponse](Info{
		Name: "im.deleteFromFriendList", Doc: "ends friendships", Source: "deleteFromFriendList", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeInvalidIdentifier, CodeFriendshipExceedTheLimit),
	})
	CheckFriend = Declare[CheckFriendRequest, FriendCheckResponse](Info{
		Name: "im.checkFriend", Doc: "tells how an account stands with this one", Source: "checkFriend", Scope: Read, Route: Hub,
		Codes: hubCodes(CodeInvalidIdentifier), Aliases: []Alias{{Also: "checkType", Field: "type"}},
	})

	OnFriendListAdded = DeclareEvent[FriendsEvent](EventInfo{
		Name: "im.onFriendListAdded", Doc: "accounts have come into the friend list", Listen: []string{"friend"}, FromHub: true,
	})
	OnFriendListDeleted = DeclareEvent[FriendsGoneEvent](EventInfo{
		Name: "im.onFriendListDeleted", Doc: "accounts are out of the friend list: this one has ended the friendship, or they have on both sides", Listen: []string{"friend"}, FromHub: true,
	})
	OnFriendProfileChanged = DeclareEvent[FriendsEvent](EventInfo{
		Name: "im.onFriendProfileChanged", Doc: "friends have changed their profiles, or this account what it calls them", Listen: []string{"friend"}, FromHub: true,
	})
)
