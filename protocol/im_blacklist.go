package protocol

// The family of the blacklist.
var (
	AddToBlackList = Declare[UserListRequest, FriendResultsResponse](Info{
		Name: "im.addToBlackList", Doc: "has the hub refuse what these accounts send to this one, and ends the friendship with them on this side", Source: "addToBlackList", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeInvalidIdentifier, CodeFriendshipExceedTheLimit),
	})
	DeleteFromBlackList = Declare[UserListRequest, FriendResultsResponse](Info{
		Name: "im.deleteFromBlackList", Doc: "takes accounts out of the blacklist", Source: "deleteFromBlackList", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeInvalidIdentifier, CodeFriendshipExceedTheLimit),
	})
	GetBlackList = Declare[Empty, FriendsResponse](Info{
		Name: "im.getBlackList", Doc: "lists the blacklist", Source: "getBlackList", Scope: Read, Route: Hub, Codes: hubCodes(),
	})

	OnBlackListAdded = DeclareEvent[FriendsEvent](EventInfo{
		Name: "im.onBlackListAdded", Doc: "accounts have come into the blacklist", Listen: []string{"friend"}, FromHub: true,
	})
	OnBlackListDeleted = DeclareEvent[FriendsGoneEvent](EventInfo{
		Name: "im.onBlackListDeleted", Doc: "accounts are out of the blacklist", Listen: []string{"friend"}, FromHub: true,
	})
)
