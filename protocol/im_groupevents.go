package protocol

// OneGroupEvent is the data of the events that tell of a group alone.
type OneGroupEvent struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// OpUser is who did it; without a userId the operator. Left out where the account did.
	OpUser *GroupMemberInfo `json:"opUser,omitempty"`
}

// MembersEvent is the data of the events about some members of a group.
type MembersEvent struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// OpUser is who did it; without a userId the operator, left out where they did it
	// themselves.
	OpUser *GroupMemberInfo `json:"opUser,omitempty"`
	// MemberList are those whom it is about.
	MemberList []GroupMemberInfo `json:"memberList"`
	// Reason of it, where one was given.
	Reason string `json:"reason,omitempty"`
}

// MemberLeftEvent is the data of im.onMemberLeave.
type MemberLeftEvent struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// Member who has left.
	Member GroupMemberInfo `json:"member"`
}

// MemberChangeInfo is the document's groupMemberChangeInfo.
type MemberChangeInfo struct {
	// UserID of the member.
	UserID string `json:"userId"`
	// MuteTime is for how long he is to be silent, in seconds from then on; 0: he may speak; left out where that has not changed.
	MuteTime *int64 `json:"muteTime,omitempty"`
	// NameCard is his name in the group; left out where that has not changed.
	NameCard *string `json:"nameCard,omitempty"`
}

// MembersChangedEvent is the data of im.onMemberInfoChanged.
type MembersChangedEvent struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// OpUser is who changed it; without a userId the operator.
	OpUser *GroupMemberInfo `json:"opUser,omitempty"`
	// InfoList says of whom what has changed.
	InfoList []MemberChangeInfo `json:"infoList"`
}

// GroupChanged is what has changed of a group: what is not there has not.
type GroupChanged struct {
	GroupChange
	// Owner is the userId of the new owner.
	Owner string `json:"owner,omitempty"`
}

// GroupChangedEvent is the data of im.onGroupInfoChanged.
type GroupChangedEvent struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// OpUser is who changed it; without a userId the operator.
	OpUser *GroupMemberInfo `json:"opUser,omitempty"`
	// GroupInfo has what has changed.
	GroupInfo GroupChanged `json:"groupInfo"`
}

// JoinApplicationEvent is the data of im.onReceiveJoinApplication.
type JoinApplicationEvent struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// Member is who wants to join.
	Member GroupMemberInfo `json:"member"`
	// OpReason are his words.
	OpReason string `json:"opReason"`
}

// ApplicationProcessedEvent is the data of im.onApplicationProcessed.
type ApplicationProcessedEvent struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// OpUser is who has decided.
	OpUser GroupMemberInfo `json:"opUser"`
	// IsAgreeJoin says that the account is a member now.
	IsAgreeJoin bool `json:"isAgreeJoin"`
	// OpReason are the words of OpUser.
	OpReason string `json:"opReason"`
}

// GroupNoticeEvent is the data of im.onReceiveRESTCustomData.
type GroupNoticeEvent struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// CustomData that the operator has sent, at most 8 KiB.
	CustomData string `json:"customData"`
}

// GroupAttributesEvent is the data of im.onGroupAttributeChanged.
type GroupAttributesEvent struct {
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// GroupAttributeMap are all attributes of the group as they are now.
	GroupAttributeMap map[string]string `json:"groupAttributeMap"`
}

// The events of groups. Of an AVChatRoom they are told to those who are online.
var (
	OnMemberEnter = DeclareEvent[MembersEvent](EventInfo{
		Name: "im.onMemberEnter", Doc: "accounts have joined a group; all members are told", Listen: []string{"group"},
	})
	OnMemberLeave = DeclareEvent[MemberLeftEvent](EventInfo{
		Name: "im.onMemberLeave", Doc: "a member has left a group; all members are told", Listen: []string{"group"},
	})
	OnMemberInvited = DeclareEvent[MembersEvent](EventInfo{
		Name: "im.onMemberInvited", Doc: "somebody has made accounts members of a group; all members are told, the new ones too", Listen: []string{"group"},
	})
	OnMemberKicked = DeclareEvent[MembersEvent](EventInfo{
		Name: "im.onMemberKicked", Doc: "somebody has put members out of a group; all members are told, and those who were", Listen: []string{"group"},
	})
	OnMemberInfoChanged = DeclareEvent[MembersChangedEvent](EventInfo{
		Name: "im.onMemberInfoChanged", Doc: "a member is muted or may speak again, or has another name in the group; all members are told", Listen: []string{"group"},
	})
	OnGroupCreated = DeclareEvent[OneGroupEvent](EventInfo{
		Name: "im.onGroupCreated", Doc: "the account has made a group; its terminals are told", Listen: []string{"group"}, FromHub: true,
	})
	OnGroupDismissed = DeclareEvent[OneGroupEvent](EventInfo{
		Name: "im.onGroupDismissed", Doc: "a group was dismissed; all who were members are told", Listen: []string{"group"},
	})
	OnGroupRecycled = DeclareEvent[OneGroupEvent](EventInfo{
		Name: "im.onGroupRecycled", Doc: "the operator has ended a group in which nothing was said for long; all who were members are told", Listen: []string{"group"},
	})
	OnGroupInfoChanged = DeclareEvent[GroupChangedEvent](EventInfo{
		Name: "im.onGroupInfoChanged", Doc: "a group has changed; all members are told", Listen: []string{"group"},
	})
	OnReceiveJoinApplication = DeclareEvent[JoinApplicationEvent](EventInfo{
		Name: "im.onReceiveJoinApplication", Doc: "somebody wants to join a group; its owner and its admins are told", Listen: []string{"group"}, FromHub: true,
	})
	OnApplicationProcessed = DeclareEvent[ApplicationProcessedEvent](EventInfo{
		Name: "im.onApplicationProcessed", Doc: "it is decided whether the account may join a group; the applicant is told", Listen: []string{"group"}, FromHub: true,
	})
	OnGrantAdministrator = DeclareEvent[MembersEvent](EventInfo{
		Name: "im.onGrantAdministrator", Doc: "the owner has made members admins; all members are told", Listen: []string{"group"},
	})
	OnRevokeAdministrator = DeclareEvent[MembersEvent](EventInfo{
		Name: "im.onRevokeAdministrator", Doc: "the owner has made admins ordinary members; all members are told", Listen: []string{"group"},
	})
	OnQuitFromGroup = DeclareEvent[OneGroupEvent](EventInfo{
		Name: "im.onQuitFromGroup", Doc: "the account has left a group, which is no AVChatRoom; its terminals are told", Listen: []string{"group"},
	})
	OnReceiveRESTCustomData = DeclareEvent[GroupNoticeEvent](EventInfo{
		Name: "im.onReceiveRESTCustomData", Doc: "the operator has sent something to a group; all members are told", Listen: []string{"group"}, FromHub: true,
	})
	OnGroupAttributeChanged = DeclareEvent[GroupAttributesEvent](EventInfo{
		Name: "im.onGroupAttributeChanged", Doc: "the operator has changed the attributes of a group; all members are told", Listen: []string{"group"}, FromHub: true,
	})
)
