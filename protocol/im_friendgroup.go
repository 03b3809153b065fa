package protocol

import "slices"

// Limits of friend groups.
const (
	MaxFriendGroups    = 32 // Tencent's
	MaxFriendGroupName = 30 // bytes
)

// FriendGroup is the document's friendGroup.
type FriendGroup struct {
	// GroupName of the friend group.
	GroupName string `json:"groupName"`
	// UserCount is how many friends are in it.
	UserCount int `json:"userCount"`
	// FriendList are their userIds, in order.
	FriendList []string `json:"friendList"`
}

func checkFriendGroup(field, name string) error {
	if name == "" {
		return invalid("%s: missing", field)
	}
	return checkWords(field, name, MaxFriendGroupName, CodeInvalidParameters)
}

// FriendGroupRequest is the request of what concerns friends in a friend group.
type FriendGroupRequest struct {
	// GroupName of the friend group, 1 to 30 bytes of UTF-8.
	GroupName string `json:"groupName"`
	UserListRequest
}

func (r *FriendGroupRequest) Validate() error {
	if err := checkFriendGroup("groupName", r.GroupName); err != nil {
		return err
	}
	return r.UserListRequest.Validate()
}

// NewFriendGroupRequest is the request of im.createFriendGroup.
type NewFriendGroupRequest struct {
	// GroupName of the friend group, 1 to 30 bytes of UTF-8.
	GroupName string `json:"groupName"`
	// UserIDList are the friends to be in it, at most 100 userIds. Missing or empty: nobody.
	UserIDList []string `json:"userIdList,omitempty"`
}

func (r *NewFriendGroupRequest) Validate() error {
	if err := checkFriendGroup("groupName", r.GroupName); err != nil || len(r.UserIDList) == 0 {
		return err
	}
	return checkUserIDs("userIdList", r.UserIDList, maxUserList, CodeFriendshipExceedTheLimit)
}

// FriendGroupNames is the request of what concerns some friend groups.
type FriendGroupNames struct {
	// GroupNameList are 1 to 32 names.
	GroupNameList []string `json:"groupNameList"`
}

func (r *FriendGroupNames) Validate() error {
	if len(r.GroupNameList) == 0 {
		return invalid("groupNameList: missing")
	}
	return checkFriendGroups(r.GroupNameList)
}

func checkFriendGroups(names []string) error {
	if len(names) > MaxFriendGroups {
		return Errorf(CodeFriendshipExceedTheLimit, "groupNameList: %d names are over the limit of %d", len(names), MaxFriendGroups)
	}
	i := slices.IndexFunc(names, func(name string) bool { return checkFriendGroup("groupNameList", name) != nil })
	if i >= 0 {
		return checkFriendGroup("groupNameList", names[i])
	}
	return nil
}

// GetFriendGroupsRequest is the request of im.getFriendGroupList.
type GetFriendGroupsRequest struct {
	// GroupNameList are at most 32 names. Missing or empty: all.
	GroupNameList []string `json:"groupNameList,omitempty"`
}

func (r *GetFriendGroupsRequest) Validate() error { return checkFriendGroups(r.GroupNameList) }

// FriendGroupsResponse is the response of im.getFriendGroupList.
type FriendGroupsResponse struct {
	// GroupList are those of the request that there are, by name.
	GroupList []FriendGroup `json:"groupList"`
}

// RenameFriendGroupRequest is the request of im.renameFriendGroup.
type RenameFriendGroupRequest struct {
	// OldName of the friend group.
	OldName string `json:"oldName"`
	// NewName, 1 to 30 bytes of UTF-8.
	NewName string `json:"newName"`
}

func (r *RenameFriendGroupRequest) Validate() error {
	if err := checkFriendGroup("oldName", r.OldName); err != nil {
		return err
	}
	return checkFriendGroup("newName", r.NewName)
}

var friendGroupCodes = []Code{CodeSvrFriendshipInvalidParameters, CodeFriendshipExceedTheLimit}

// The groups of friends, which the account alone sees.
var (
	CreateFriendGroup = Declare[NewFriendGroupRequest, FriendResultsResponse](Info{
		Name: "im.createFriendGroup", Doc: "makes a friend group", Source: "createFriendGroup", Scope: Write, Route: Hub,
		Codes: hubCodes(append([]Code{CodeInvalidIdentifier, CodeSvrFriendshipGroupCountLimit}, friendGroupCodes...)...),
	})
	GetFriendGroupList = Declare[GetFriendGroupsRequest, FriendGroupsResponse](Info{
		Name: "im.getFriendGroupList", Doc: "lists friend groups", Source: "getFriendGroupList", Scope: Read, Route: Hub, Codes: hubCodes(friendGroupCodes...),
	})
	DeleteFriendGroup = Declare[FriendGroupNames, Empty](Info{
		Name: "im.deleteFriendGroup", Doc: "deletes friend groups; the friends stay", Source: "deleteFriendGroup", Scope: Write, Route: Hub, Codes: hubCodes(friendGroupCodes...),
	})
	RenameFriendGroup = Declare[RenameFriendGroupRequest, Empty](Info{
		Name: "im.renameFriendGroup", Doc: "renames a friend group", Source: "renameFriendGroup", Scope: Write, Route: Hub, Codes: hubCodes(friendGroupCodes...),
	})
	AddFriendsToFriendGroup = Declare[FriendGroupRequest, FriendResultsResponse](Info{
		Name: "im.addFriendsToFriendGroup", Doc: "puts friends into a friend group", Source: "addFriendsToFriendGroup", Scope: Write, Route: Hub,
		Codes: hubCodes(append([]Code{CodeInvalidIdentifier}, friendGroupCodes...)...),
	})
	DeleteFriendsFromFriendGroup = Declare[FriendGroupRequest, FriendResultsResponse](Info{
		Name: "im.deleteFriendsFromFriendGroup", Doc: "takes friends out of a friend group", Source: "deleteFriendsFromFriendGroup", Scope: Write, Route: Hub,
		Codes: hubCodes(append([]Code{CodeInvalidIdentifier}, friendGroupCodes...)...),
	})
)
