package protocol

// GroupMemberInfo is the document's groupMemberInfo.
type GroupMemberInfo struct {
	// UserID of the member.
	UserID string `json:"userId"`
	// NickName of the account, empty if it has none.
	NickName string `json:"nickName"`
	// FriendRemark that this account has given the member.
	FriendRemark string `json:"friendRemark"`
	// NameCard of the member in the group.
	NameCard string `json:"nameCard"`
	// FaceURL of the account's picture.
	FaceURL string `json:"faceUrl"`
	// Role is 0 ordinary, 1 admin, 2 owner; left out where it is not told.
	Role *Role `json:"role,omitempty"`
	// MuteUntil is when the member may speak again, in Unix seconds; left out of who may.
	MuteUntil int64 `json:"muteUntil,omitempty"`
	// JoinTime is when he became a member, in Unix seconds; left out where it is not told.
	JoinTime int64 `json:"joinTime,omitempty"`
}

// The results of one account in an operation on a group's members.
const (
	MemberFailed  = 0
	MemberDone    = 1
	MemberInvalid = 2
	MemberPending = 3
)

// MemberResult is the document's groupMemberOperationResult.
type MemberResult struct {
	// UserID it is about.
	UserID string `json:"userId"`
	// Result is 0 failed, 1 done, 2 not valid, 3 waits for somebody's consent.
	Result int `json:"result"`
}

// MemberResultsResponse is the response of what was done with some members.
type MemberResultsResponse struct {
	// ResultList has one result for each of the request, in its order.
	ResultList []MemberResult `json:"resultList"`
}

// The filters of im.getGroupMemberList.
const (
	FilterAll    = 0
	FilterOwner  = 1
	FilterAdmin  = 2
	FilterCommon = 3
)

// MemberListRequest is the request of im.getGroupMemberList.
type MemberListRequest struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// Filter is 0 all, 1 the owner, 2 admins, 3 ordinary members.
	Filter int `json:"filter,omitempty"`
	// NextSeq is 0 for the first page, then what the page before returned.
	NextSeq uint64 `json:"nextSeq,omitempty"`
}

func (r *MemberListRequest) Validate() error {
	switch {
	case r.Filter < FilterAll || r.Filter > FilterCommon:
		return invalid("filter: %d is not 0 to 3", r.Filter)
	case r.NextSeq > maxNumber:
		return invalid("nextSeq: %d is not what a page has returned", r.NextSeq)
	}
	return CheckGroupID("groupId", r.GroupID)
}

// MemberListResponse is the response of im.getGroupMemberList.
type MemberListResponse struct {
	// MemberList is the page, at most 100 members, the longest-standing first.
	MemberList []GroupMemberInfo `json:"memberList"`
	// NextSeq is where the next page begins; 0: there is none.
	NextSeq uint64 `json:"nextSeq"`
}

// MembersRequest is the request of im.getGroupMembersInfo.
type MembersRequest struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// UserIDList are 1 to 100 userIds.
	UserIDList []string `json:"userIdList"`
}

func (r *MembersRequest) Validate() error {
	if err := CheckGroupID("groupId", r.GroupID); err != nil {
		return err
	}
	return checkUserIDs("userIdList", r.UserIDList, MaxMembersAtOnce, CodeGroupMemberCountLimit)
}

// MembersResponse is the response of im.getGroupMembersInfo.
type MembersResponse struct {
	// MemberList are those of the request who are members, in its order.
	MemberList []GroupMemberInfo `json:"memberList"`
}

// SetMemberInfoRequest is the request of im.setGroupMemberInfo.
type SetMemberInfoRequest struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// Info says of whom what.
	Info MemberChange `json:"info"`
}

// MemberChange is what of a member is to be changed.
type MemberChange struct {
	// UserID of the member.
	UserID string `json:"userId"`
	// NameCard in the group, at most 50 bytes of UTF-8. Missing or empty: none.
	NameCard string `json:"nameCard,omitempty"`
}

func (r *SetMemberInfoRequest) Validate() error {
	if err := CheckGroupID("groupId", r.GroupID); err != nil {
		return err
	}
	if err := CheckUserID("info.userId", r.Info.UserID); err != nil {
		return err
	}
	return checkWords("info.nameCard", r.Info.NameCard, MaxNameCard, CodeGroupInvalidNameCard)
}

// MuteRequest is the request of im.muteGroupMember.
type MuteRequest struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// UserID of the member.
	UserID string `json:"userId"`
	// Seconds from now on, by the hub's clock; 0 lets him speak again.
	Seconds *uint32 `json:"seconds"`
}

func (r *MuteRequest) Validate() error {
	if r.Seconds == nil {
		return invalid("seconds: missing")
	}
	return checkMember(r.GroupID, r.UserID)
}

func checkMember(group, user string) error {
	if err := CheckGroupID("groupId", group); err != nil {
		return err
	}
	return CheckUserID("userId", user)
}

// KickRequest is the request of im.kickGroupMember.
type KickRequest struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// UserID of the member to put out; or MemberList.
	UserID string `json:"userId,omitempty"`
	// MemberList are the userIds of 1 to 100 members to put out; or UserID.
	MemberList []string `json:"memberList,omitempty"`
	// Reason of it, which all members are told, at most 512 bytes of UTF-8.
	Reason string `json:"reason,omitempty"`
}

func (r *KickRequest) Validate() error {
	if err := CheckGroupID("groupId", r.GroupID); err != nil {
		return err
	}
	if err := checkWords("reason", r.Reason, maxReason, CodeInvalidParameters); err != nil {
		return err
	}
	return checkMembers("memberList", &r.MemberList, &r.UserID)
}

const maxReason = 512 // bytes

// checkMembers wants a list or one, and makes a list of it.
func checkMembers(field string, list *[]string, one *string) error {
	if *one != "" {
		*list, *one = append(*list, *one), ""
	}
	if len(*list) == 0 {
		return invalid("%s: missing, and so is userId", field)
	}
	return checkUserIDs(field, *list, MaxMembersAtOnce, CodeGroupMemberCountLimit)
}

// SetRoleRequest is the request of im.setGroupMemberRole.
type SetRoleRequest struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// UserID of the member.
	UserID string `json:"userId"`
	// Role is 0 ordinary, 1 admin.
	Role *Role `json:"role"`
}

func (r *SetRoleRequest) Validate() error {
	switch {
	case r.Role == nil:
		return invalid("role: missing")
	case *r.Role > RoleAdmin:
		return Errorf(CodeSvrGroupInvalidParameters, "role: %d is not 0 or 1", *r.Role)
	}
	return checkMember(r.GroupID, r.UserID)
}

// MemberRequest is the request of im.transferGroupOwner.
type MemberRequest struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// UserID of the member.
	UserID string `json:"userId"`
}

func (r *MemberRequest) Validate() error { return checkMember(r.GroupID, r.UserID) }

// InviteToGroupRequest is the request of im.inviteUserToGroup.
type InviteToGroupRequest struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// UserIDList are the userIds to be members, 1 to 100.
	UserIDList []string `json:"userIdList,omitempty"`
	// UserID is one, in place of the list.
	UserID string `json:"userId,omitempty"`
}

func (r *InviteToGroupRequest) Validate() error {
	if err := CheckGroupID("groupId", r.GroupID); err != nil {
		return err
	}
	return checkMembers("userIdList", &r.UserIDList, &r.UserID)
}

// memberCodes are what any method about a member may return.
func memberCodes(more ...Code) []Code {
	return hubCodes(append([]Code{CodeInvalidIdentifier, CodeGroupInvalidID, CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny, CodeSvrGroupAccountNotFound}, more...)...)
}

// The members of groups.
var (
	GetGroupMemberList = Declare[MemberListRequest, MemberListResponse](Info{
		Name: "im.getGroupMemberList", Doc: "lists a group's members, 100 at a time", Source: "getGroupMemberList", Scope: Read, Route: Hub,
		Codes: hubCodes(CodeGroupInvalidID, CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny),
	})
	GetGroupMembersInfo = Declare[MembersRequest, MembersResponse](Info{
		Name: "im.getGroupMembersInfo", Doc: "tells of members of a group", Source: "getGroupMembersInfo", Scope: Read, Route: Hub,
		Codes: hubCodes(CodeInvalidIdentifier, CodeGroupInvalidID, CodeGroupMemberCountLimit, CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny),
	})
	SetGroupMemberInfo = Declare[SetMemberInfoRequest, Empty](Info{
		Name: "im.setGroupMemberInfo", Doc: "gives a member a name in the group: everybody his own, the owner all, an admin those of ordinary members",
		Source: "setGroupMemberInfo", Scope: Write, Route: Hub, Codes: memberCodes(CodeGroupInvalidNameCard),
	})
	MuteGroupMember = Declare[MuteRequest, Empty](Info{
		Name: "im.muteGroupMember", Doc: "has a member be silent for some time; the owner may, and an admin ordinary members; not in a Work group", Source: "muteGroupMember",
		Scope: Write, Route: Hub, Codes: memberCodes(),
	})
	KickGroupMember = Declare[KickRequest, MemberResultsResponse](Info{
		Name: "im.kickGroupMember", Doc: "puts members out of a group; the owner may, of a Public or Meeting group also an admin ordinary members", Source: "kickGroupMember", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeInvalidIdentifier, CodeGroupInvalidID, CodeGroupMemberCountLimit, CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny),
	})
	SetGroupMemberRole = Declare[SetRoleRequest, Empty](Info{
		Name: "im.setGroupMemberRole", Doc: "makes a member of a Public or Meeting group an admin, or an ordinary member again; the owner may", Source: "setGroupMemberRole",
		Scope: Write, Route: Hub, Codes: memberCodes(CodeSvrGroupInvalidParameters),
	})
	TransferGroupOwner = Declare[MemberRequest, Empty](Info{
		Name: "im.transferGroupOwner", Doc: "gives a group to another member; the owner may, but not an AVChatRoom", Source: "transferGroupOwner", Scope: Write, Route: Hub,
		Codes: memberCodes(CodeSvrGroupInvalidParameters),
	})
	InviteUserToGroup = Declare[InviteToGroupRequest, MemberResultsResponse](Info{
		Name: "im.inviteUserToGroup", Doc: "makes accounts members of a Work group; any member may", Source: "inviteUserToGroup", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeInvalidIdentifier, CodeGroupInvalidID, CodeGroupMemberCountLimit, CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny, CodeSvrGroupFullMemberCount),
	})
)
