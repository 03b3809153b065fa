package protocol

import "strings"

// The four types of group.
const (
	GroupWork       = "Work"       // by invitation only
	GroupPublic     = "Public"     // on application
	GroupMeeting    = "Meeting"    // free to come and go, keeps history
	GroupAVChatRoom = "AVChatRoom" // free to come and go, live only
)

// Limits of a group's texts in bytes, and of lists (Tencent's).
const (
	MaxGroupName     = 30
	MaxIntroduction  = 240
	MaxNotification  = 300
	MaxGroupFaceURL  = 100
	MaxNameCard      = 50
	MaxMembersAtOnce = 100 // accounts of one request
	maxGroupList     = 50  // groups of one request
)

// Role of a member, as the document's tables number them.
type Role uint8

const (
	RoleMember    Role = 0
	RoleAdmin     Role = 1
	RoleOwner     Role = 2
	RoleUndefined Role = 3 // of who is no member
)

// AddOpt says who may join a group by himself.
type AddOpt uint8

const (
	AddFree     AddOpt = 0 // everybody
	AddApproval AddOpt = 1 // on application
	AddNobody   AddOpt = 2
)

// RecvOpt is what an account wants to have of a group's messages.
type RecvOpt uint8

const (
	RecvNormal RecvOpt = 0
	RecvQuiet  RecvOpt = 1 // received, without a push to who is away
	RecvNot    RecvOpt = 2 // neither told nor counted; they are in the history
)

// CreateGroupRequest is the request of im.createGroup.
type CreateGroupRequest struct {
	// GroupType is Work, Public, Meeting or AVChatRoom.
	GroupType string `json:"groupType"`
	// GroupID is 1 to 48 printable ASCII characters, not beginning with
	// "@TGS#". Missing: the hub makes one.
	GroupID string `json:"groupId,omitempty"`
	// GroupName, 1 to 30 bytes of UTF-8.
	GroupName string `json:"groupName"`
}

func (r *CreateGroupRequest) Validate() error {
	switch r.GroupType {
	case GroupWork, GroupPublic, GroupMeeting, GroupAVChatRoom:
	case "":
		return invalid("groupType: missing")
	default:
		return invalid("groupType: %q is not Work, Public, Meeting or AVChatRoom", Clip(r.GroupType))
	}
	if r.GroupID != "" {
		if err := CheckGroupID("groupId", r.GroupID); err != nil {
			return err
		}
		if strings.HasPrefix(r.GroupID, HubGroupPrefix) {
			return Errorf(CodeGroupInvalidID, "groupId: only the hub makes ids that begin with %s", HubGroupPrefix)
		}
	}
	if r.GroupName == "" {
		return invalid("groupName: missing")
	}
	return checkWords("groupName", r.GroupName, MaxGroupName, CodeGroupInvalidName)
}

// CreateGroupResponse is the response of im.createGroup.
type CreateGroupResponse struct {
	// GroupID of the new group.
	GroupID string `json:"groupId"`
}

// NewGroup is what a group is made as.
type NewGroup struct {
	CreateGroupRequest
	// Notification for the members, at most 300 bytes of UTF-8.
	Notification string `json:"notification,omitempty"`
	// Introduction for those who are none, at most 240 bytes of UTF-8.
	Introduction string `json:"introduction,omitempty"`
	// FaceURL of the group's picture, at most 100 bytes.
	FaceURL string `json:"faceUrl,omitempty"`
	// FaceURLAlso is another spelling of faceUrl.
	FaceURLAlso string `json:"faceURL,omitempty"`
	// AllMuted has ordinary members be silent. Not of a Work group.
	AllMuted bool `json:"allMuted,omitempty"`
	// GroupAddOpt says who may join by himself: 0 everybody, 1 on application,
	// 2 nobody. Missing: as the type has it. Not of a Work group.
	GroupAddOpt *AddOpt `json:"groupAddOpt,omitempty"`
}

func (g *NewGroup) validate() error {
	if err := g.CreateGroupRequest.Validate(); err != nil {
		return err
	}
	if err := checkAddOpt(g.GroupAddOpt); err != nil {
		return err
	}
	if g.GroupAddOpt != nil && g.GroupType == GroupWork {
		return Errorf(CodeSvrGroupInvalidParameters, "groupAddOpt: a Work group has none: one is invited to it")
	}
	return checkGroupTexts("", g.Notification, g.Introduction, g.FaceURL)
}

// NewMember is a member that a group is made with.
type NewMember struct {
	// UserID of the account.
	UserID string `json:"userId"`
	// Role is 0 ordinary, 1 admin. Missing, or 3: ordinary.
	Role *Role `json:"role,omitempty"`
}

// CreateGroupWithMembersRequest is the request of im.createGroupWithMemberList.
type CreateGroupWithMembersRequest struct {
	// GroupInfo is what it is made as.
	GroupInfo NewGroup `json:"groupInfo"`
	// MemberList are its members beside the caller, who owns it; at most 100, and
	// none of an AVChatRoom.
	MemberList []NewMember `json:"memberList,omitempty"`
}

func (r *CreateGroupWithMembersRequest) Validate() error {
	g := &r.GroupInfo
	if g.FaceURL == "" {
		g.FaceURL, g.FaceURLAlso = g.FaceURLAlso, ""
	}
	if err := g.validate(); err != nil {
		e := AsError(err)
		return Errorf(e.Code, "groupInfo.%s", e.Msg)
	}
	switch {
	case len(r.MemberList) > MaxMembersAtOnce:
		return Errorf(CodeGroupMemberCountLimit, "memberList: %d members are over the limit of %d", len(r.MemberList), MaxMembersAtOnce)
	case len(r.MemberList) > 0 && g.GroupType == GroupAVChatRoom:
		return Errorf(CodeSvrGroupPermissionDeny, "memberList: one joins an AVChatRoom by oneself")
	}
	for _, m := range r.MemberList {
		if err := CheckUserID("memberList", m.UserID); err != nil {
			return err
		}
		switch {
		case m.Role == nil || *m.Role == RoleMember || *m.Role == RoleUndefined:
		case *m.Role != RoleAdmin:
			return Errorf(CodeSvrGroupInvalidParameters, "memberList: the role of %s is %d, not 0, 1 or 3: the caller owns the group", m.UserID, *m.Role)
		case g.GroupType == GroupWork:
			return Errorf(CodeSvrGroupInvalidParameters, "memberList: a Work group has no admins")
		}
	}
	return nil
}

// checkGroupTexts holds those of a group's texts to their limits that are given.
func checkGroupTexts(name, notification, introduction, faceURL string) error {
	if err := checkWords("groupName", name, MaxGroupName, CodeGroupInvalidName); err != nil {
		return err
	}
	if err := checkWords("notification", notification, MaxNotification, CodeGroupInvalidNotification); err != nil {
		return err
	}
	if err := checkWords("introduction", introduction, MaxIntroduction, CodeGroupInvalidIntroduction); err != nil {
		return err
	}
	return checkWords("faceUrl", faceURL, MaxGroupFaceURL, CodeGroupInvalidFaceURL)
}

func checkAddOpt(opt *AddOpt) error {
	if opt != nil && *opt > AddNobody {
		return Errorf(CodeSvrGroupInvalidParameters, "groupAddOpt: %d is not 0 to 2", *opt)
	}
	return nil
}

// MaxJoinMsg is the limit of the words that go with an application, in bytes.
const MaxJoinMsg = 300

// JoinGroupRequest is the request of im.joinGroup.
type JoinGroupRequest struct {
	// GroupID of the group to join.
	GroupID string `json:"groupId"`
	// Msg goes to those who decide about an application, at most 300 bytes
	// without a zero byte.
	Msg string `json:"msg,omitempty"`
}

func (r *JoinGroupRequest) Validate() error {
	if err := checkWords("msg", r.Msg, MaxJoinMsg, CodeInvalidParameters); err != nil {
		return err
	}
	return CheckGroupID("groupId", r.GroupID)
}

// JoinGroupResponse is the response of im.joinGroup.
type JoinGroupResponse struct {
	// Applied says that the owner or an admin has to let the account in first.
	Applied bool `json:"applied,omitempty"`
}

// GroupRequest is the request of the methods that name a group only.
type GroupRequest struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
}

func (r *GroupRequest) Validate() error { return CheckGroupID("groupId", r.GroupID) }

// GroupInfo is the document's groupInfo.
type GroupInfo struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// GroupType is Work, Public, Meeting or AVChatRoom.
	GroupType string `json:"groupType"`
	// GroupName as people see it.
	GroupName string `json:"groupName"`
	// Notification for the members.
	Notification string `json:"notification"`
	// Introduction for those who are none.
	Introduction string `json:"introduction"`
	// FaceURL of the group's picture.
	FaceURL string `json:"faceUrl"`
	// AllMuted says that ordinary members are silent.
	AllMuted bool `json:"allMuted"`
	// Owner is the userId of who owns it.
	Owner string `json:"owner"`
	// CreateTime in Unix seconds.
	CreateTime int64 `json:"createTime"`
	// GroupAddOpt says who may join by himself: 0 everybody, 1 on application, 2 nobody.
	GroupAddOpt AddOpt `json:"groupAddOpt"`
	// LastInfoTime is when any of this was changed last, in Unix seconds.
	LastInfoTime int64 `json:"lastInfoTime"`
	// LastMessageTime is when something was said last, in Unix seconds; 0: never.
	LastMessageTime int64 `json:"lastMessageTime"`
	// MemberCount is how many members it has.
	MemberCount int `json:"memberCount"`
	// OnlineCount is how many of them are online.
	OnlineCount int `json:"onlineCount"`
	// Role of this account: 0 ordinary member, 1 admin, 2 owner, 3 no member.
	Role Role `json:"role"`
	// RecvOpt of this account: 0 received, 1 received without a push, 2 not received.
	RecvOpt RecvOpt `json:"recvOpt"`
	// JoinTime is when this account became a member, in Unix seconds; 0: it is none.
	JoinTime int64 `json:"joinTime"`
}

// GroupListResponse is the response of im.getJoinedGroupList.
type GroupListResponse struct {
	// GroupList are the groups, by groupId.
	GroupList []GroupInfo `json:"groupList"`
}

// GroupsRequest is the request of im.getGroupsInfo.
type GroupsRequest struct {
	// GroupIDList are 1 to 50 groupIds.
	GroupIDList []string `json:"groupIdList"`
}

func (r *GroupsRequest) Validate() error {
	switch {
	case len(r.GroupIDList) == 0:
		return invalid("groupIdList: missing")
	case len(r.GroupIDList) > maxGroupList:
		return invalid("groupIdList: %d groups are over the limit of %d", len(r.GroupIDList), maxGroupList)
	}
	for _, id := range r.GroupIDList {
		if err := CheckGroupID("groupIdList", id); err != nil {
			return err
		}
	}
	return nil
}

// GroupResult is one group of im.getGroupsInfo.
type GroupResult struct {
	// ResultCode is 0 if GroupInfo is the group.
	ResultCode Code `json:"resultCode"`
	// ResultMessage says why not.
	ResultMessage string `json:"resultMessage"`
	// GroupInfo is the group; of one that cannot be told its id alone.
	GroupInfo GroupInfo `json:"groupInfo"`
}

// GroupsResponse is the response of im.getGroupsInfo.
type GroupsResponse struct {
	// GroupResultList has one result for each of the request, in its order.
	GroupResultList []GroupResult `json:"groupResultList"`
}

// GroupChange is what of a group is to be changed, or was.
type GroupChange struct {
	// GroupName, 1 to 30 bytes of UTF-8.
	GroupName *string `json:"groupName,omitempty" cbor:"1,keyasint,omitempty"`
	// Notification for the members, at most 300 bytes of UTF-8.
	Notification *string `json:"notification,omitempty" cbor:"2,keyasint,omitempty"`
	// Introduction for those who are none, at most 240 bytes of UTF-8.
	Introduction *string `json:"introduction,omitempty" cbor:"3,keyasint,omitempty"`
	// FaceURL of the group's picture, at most 100 bytes.
	FaceURL *string `json:"faceUrl,omitempty" cbor:"4,keyasint,omitempty"`
	// GroupAddOpt says who may join by himself: 0 everybody, 1 on application,
	// 2 nobody. Not of a Work group.
	GroupAddOpt *AddOpt `json:"groupAddOpt,omitempty" cbor:"5,keyasint,omitempty"`
	// AllMuted has ordinary members be silent.
	AllMuted *bool `json:"allMuted,omitempty" cbor:"6,keyasint,omitempty"`
}

// Empty tells whether nothing is changed.
func (c GroupChange) Empty() bool { return c == GroupChange{} }

// SetGroupInfoRequest is the request of im.setGroupInfo. What is missing stays.
type SetGroupInfoRequest struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	GroupChange
}

func (r *SetGroupInfoRequest) Validate() error {
	if err := CheckGroupID("groupId", r.GroupID); err != nil {
		return err
	}
	switch {
	case r.Empty():
		return invalid("there is nothing to change")
	case r.GroupName != nil && *r.GroupName == "":
		return Errorf(CodeGroupInvalidName, "groupName: it is empty")
	}
	if err := checkAddOpt(r.GroupAddOpt); err != nil {
		return err
	}
	return checkGroupTexts(deref(r.GroupName), deref(r.Notification), deref(r.Introduction), deref(r.FaceURL))
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// RecvOptRequest is the request of im.setReceiveMessageOpt.
type RecvOptRequest struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// Opt is 0 received, 1 received without a push, 2 not received.
	Opt *RecvOpt `json:"opt"`
}

func (r *RecvOptRequest) Validate() error {
	switch {
	case r.Opt == nil:
		return invalid("opt: missing")
	case *r.Opt > RecvNot:
		return invalid("opt: %d is not 0 to 2", *r.Opt)
	}
	return CheckGroupID("groupId", r.GroupID)
}

// hubCodes are what any method asked of the hub may return.
func hubCodes(more ...Code) []Code {
	return append([]Code{CodeNotInitialized, CodeNotLoggedIn, CodeNetDisconnect, CodeRequestTimeout, CodeSvrGroupInternalError}, more...)
}

var createGroupCodes = []Code{CodeGroupInvalidID, CodeGroupInvalidName, CodeSvrGroupGroupIDInUsed, CodeSvrGroupGroupIDInUsedForSuper, CodeSvrGroupCountLimit}

// The family of groups.
var (
	SetGroupListener = Declare[ListenRequest, Empty](Info{
		Name: "im.setGroupListener", Doc: "has a program's event stream carry what becomes of groups", Source: "setGroupListener", Scope: Read, Route: Local,
	})
	RemoveGroupListener = Declare[ListenRequest, Empty](Info{
		Name: "im.removeGroupListener", Doc: "ends what im.setGroupListener began", Source: "removeGroupListener", Scope: Read, Route: Local,
	})
	CreateGroup = Declare[CreateGroupRequest, CreateGroupResponse](Info{
		Name: "im.createGroup", Doc: "makes a group, owned by the caller", Source: "createGroup", Scope: Write, Route: Hub, Codes: hubCodes(createGroupCodes...),
	})
	CreateGroupWithMemberList = Declare[CreateGroupWithMembersRequest, CreateGroupResponse](Info{
		Name: "im.createGroupWithMemberList", Doc: "makes a group with its texts and its first members, all or nothing", Source: "createGroupWithMemberList",
		Scope: Write, Route: Hub, Codes: hubCodes(append([]Code{
			CodeInvalidIdentifier, CodeGroupInvalidIntroduction, CodeGroupInvalidNotification, CodeGroupInvalidFaceURL, CodeGroupMemberCountLimit,
			CodeSvrGroupInvalidParameters, CodeSvrGroupPermissionDeny, CodeSvrGroupAccountNotFound, CodeSvrGroupFullMemberCount,
		}, createGroupCodes...)...),
	})
	JoinGroup = Declare[JoinGroupRequest, JoinGroupResponse](Info{
		Name: "im.joinGroup", Doc: "joins a group, or applies to it where the owner or an admin decides", Source: "joinGroup", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeGroupInvalidID, CodeSvrGroupNotFound, CodeSvrGroupAlreadyMember, CodeSvrGroupFullMemberCount,
			CodeGroupJoinPrivateGroupDeny, CodeSvrGroupCountLimit, CodeSvrGroupPermissionDeny, CodeSvrGroupFreqLimit),
	})
	QuitGroup = Declare[GroupRequest, Empty](Info{
		Name: "im.quitGroup", Doc: "leaves a group; the owner may leave a Work group only", Source: "quitGroup", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeGroupInvalidID, CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny, CodeSvrGroupSuperNotAllowQuit),
	})
	DismissGroup = Declare[GroupRequest, Empty](Info{
		Name: "im.dismissGroup", Doc: "ends a group; the owner may, a Work group nobody but the operator", Source: "dismissGroup", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeGroupInvalidID, CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny),
	})
	GetJoinedGroupList = Declare[Empty, GroupListResponse](Info{
		Name: "im.getJoinedGroupList", Doc: "lists the groups that the account is a member of", Source: "getJoinedGroupList", Scope: Read, Route: Hub, Codes: hubCodes(),
	})
	GetGroupsInfo = Declare[GroupsRequest, GroupsResponse](Info{
		Name: "im.getGroupsInfo", Doc: "tells of groups; of a Work group its members only", Source: "getGroupsInfo", Scope: Read, Route: Hub, Codes: hubCodes(CodeGroupInvalidID),
	})
	SetGroupInfo = Declare[SetGroupInfoRequest, Empty](Info{
		Name: "im.setGroupInfo", Doc: "changes a group; in a Work group any member may, in an AVChatRoom the owner, else owner and admins", Source: "setGroupInfo",
		Scope: Write, Route: Hub, Codes: hubCodes(CodeGroupInvalidID, CodeGroupInvalidName, CodeGroupInvalidIntroduction, CodeGroupInvalidNotification,
			CodeGroupInvalidFaceURL, CodeSvrGroupInvalidParameters, CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny),
	})
	SetReceiveMessageOpt = Declare[RecvOptRequest, Empty](Info{
		Name: "im.setReceiveMessageOpt", Doc: "says whether the account's terminals are told of a group's messages; of an AVChatRoom's they always are", Source: "setReceiveMessageOpt", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeGroupInvalidID, CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny),
	})
)
