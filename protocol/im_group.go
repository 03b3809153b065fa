package protocol

import "strings"

// The four types of group.
const (
	GroupWork       = "Work"       // by invitation only
	GroupPublic     = "Public"     // on application
	GroupMeeting    = "Meeting"    // free to come and go, keeps history
	GroupAVChatRoom = "AVChatRoom" // free to come and go, live only
)

// MaxGroupName is a group name's limit in bytes.
const MaxGroupName = 30

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
	switch {
	case r.GroupName == "":
		return invalid("groupName: missing")
	case strings.Contains(r.GroupName, "\x00"):
		return Errorf(CodeGroupInvalidName, "groupName: there is a NUL in it") // no text of PostgreSQL takes one
	case len(r.GroupName) > MaxGroupName:
		return Errorf(CodeGroupInvalidName, "groupName: %d bytes are over the limit of %d", len(r.GroupName), MaxGroupName)
	}
	return nil
}

// CreateGroupResponse is the response of im.createGroup.
type CreateGroupResponse struct {
	// GroupID of the new group.
	GroupID string `json:"groupId"`
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
	if len(r.Msg) > MaxJoinMsg {
		return invalid("msg: %d bytes are over the limit of %d", len(r.Msg), MaxJoinMsg)
	}
	if strings.ContainsRune(r.Msg, 0) {
		return invalid("msg: it has a zero byte")
	}
	return CheckGroupID("groupId", r.GroupID)
}

// GroupRequest is the request of the methods that name a group only.
type GroupRequest struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
}

func (r *GroupRequest) Validate() error { return CheckGroupID("groupId", r.GroupID) }

// hubCodes are what any method asked of the hub may return.
func hubCodes(more ...Code) []Code {
	return append([]Code{CodeNotInitialized, CodeNotLoggedIn, CodeNetDisconnect, CodeRequestTimeout, CodeSvrGroupInternalError}, more...)
}

// The family of groups.
var (
	CreateGroup = Declare[CreateGroupRequest, CreateGroupResponse](Info{
		Name: "im.createGroup", Doc: "makes a group, owned by the caller", Source: "createGroup", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeGroupInvalidID, CodeGroupInvalidName, CodeSvrGroupGroupIDInUsed, CodeSvrGroupGroupIDInUsedForSuper, CodeSvrGroupCountLimit),
	})
	JoinGroup = Declare[JoinGroupRequest, Empty](Info{
		Name: "im.joinGroup", Doc: "joins a Meeting or AVChatRoom, applies to a Public group; nothing decides about applications yet", Source: "joinGroup", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeGroupInvalidID, CodeSvrGroupNotFound, CodeSvrGroupAlreadyMember, CodeSvrGroupFullMemberCount,
			CodeGroupJoinPrivateGroupDeny, CodeSvrGroupCountLimit, CodeSvrGroupPermissionDeny),
	})
	QuitGroup = Declare[GroupRequest, Empty](Info{
		Name: "im.quitGroup", Doc: "leaves a group; the owner may leave a Work group only", Source: "quitGroup", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeGroupInvalidID, CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny, CodeSvrGroupSuperNotAllowQuit),
	})
	DismissGroup = Declare[GroupRequest, Empty](Info{
		Name: "im.dismissGroup", Doc: "ends a group; the owner may, a Work group nobody but the operator", Source: "dismissGroup", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeGroupInvalidID, CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny),
	})
)

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

// MaxMembersAtOnce is the most accounts of one request (Tencent's limit).
const MaxMembersAtOnce = 100

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

// KickRequest is the request of im.kickGroupMember.
type KickRequest struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// UserID of the member to put out; or MemberList.
	UserID string `json:"userId,omitempty"`
	// MemberList are the userIds of 1 to 100 members to put out; or UserID.
	MemberList []string `json:"memberList,omitempty"`
	// Reason of it, at most 512 bytes of UTF-8. It is not passed on yet.
	Reason string `json:"reason,omitempty"`
}

func (r *KickRequest) Validate() error {
	if err := CheckGroupID("groupId", r.GroupID); err != nil {
		return err
	}
	if len(r.Reason) > maxReason {
		return invalid("reason: %d bytes are over the limit of %d", len(r.Reason), maxReason)
	}
	return checkMembers("memberList", &r.MemberList, &r.UserID)
}

const maxReason = 512

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

// What changes the members of a group.
var (
	InviteUserToGroup = Declare[InviteToGroupRequest, MemberResultsResponse](Info{
		Name: "im.inviteUserToGroup", Doc: "makes accounts members of a Work group; any member may", Source: "inviteUserToGroup", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeInvalidIdentifier, CodeGroupInvalidID, CodeGroupMemberCountLimit, CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny, CodeSvrGroupFullMemberCount),
	})
	KickGroupMember = Declare[KickRequest, MemberResultsResponse](Info{
		Name: "im.kickGroupMember", Doc: "puts members out of a group; the owner may, of a Public or Meeting group also an admin ordinary members", Source: "kickGroupMember", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeInvalidIdentifier, CodeGroupInvalidID, CodeGroupMemberCountLimit, CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny),
	})
)
