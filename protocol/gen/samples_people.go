package main

import "github.com/herald-im/herald/protocol"

// Examples of groups, profiles and friends.

func some[T any](v T) *T { return &v }

func memberInfo() protocol.GroupMemberInfo {
	return protocol.GroupMemberInfo{UserID: "phone", NickName: "Anna's phone", FriendRemark: "Anna", NameCard: "Anna (mobile)", FaceURL: "https://pictures.example/anna.png"}
}

func fullMember() protocol.GroupMemberInfo {
	m := memberInfo()
	m.Role, m.JoinTime, m.MuteUntil = some(protocol.RoleAdmin), seconds-86400, seconds+60
	return m
}

func groupInfo() protocol.GroupInfo {
	return protocol.GroupInfo{
		GroupID: family, GroupType: protocol.GroupPublic, GroupName: "The family", Notification: "Dinner is at seven", Introduction: "Those who live here",
		FaceURL: "https://pictures.example/house.png", Owner: door, CreateTime: seconds - 86400, GroupAddOpt: protocol.AddApproval, LastInfoTime: seconds - 3600,
		LastMessageTime: seconds, MemberCount: 3, OnlineCount: 2, Role: protocol.RoleOwner, JoinTime: seconds - 86400,
	}
}

func friend() protocol.FriendInfo {
	return protocol.FriendInfo{
		UserID: "phone", FriendRemark: "Anna", FriendCustomInfo: map[string]string{}, FriendGroups: []string{"family"},
		UserInfo: protocol.UserInfo{UserID: "phone", NickName: "Anna's phone", FaceURL: "https://pictures.example/anna.png"},
	}
}

func friendDone(user string) protocol.FriendOperationResult {
	return protocol.FriendOperationResult{UserID: user, ResultCode: "0"}
}

func groupMethods() []methodSample {
	none := protocol.Empty{}
	applications := protocol.GroupApplicationsResponse{UnreadCount: 1, GroupApplicationList: []protocol.GroupApplication{{
		GroupID: family, FromUser: "phone", FromUserNickName: "Anna's phone", ToUser: "0", AddTime: "1760000000", RequestMsg: "It is Anna",
	}}}
	return []methodSample{
		method(protocol.SetGroupListener, `{"stream":"default"}`, none, `{}`, ``),
		method(protocol.RemoveGroupListener, `{"stream":"default"}`, none, `{}`, ``),
		method(protocol.CreateGroup, `{"groupType":"Meeting","groupId":"family","groupName":"The family"}`,
			protocol.CreateGroupResponse{GroupID: family}),
		method(protocol.CreateGroupWithMemberList, `{"groupInfo":{"groupType":"Public","groupId":"family","groupName":"The family","notification":"Dinner is at seven","introduction":"Those who live here","faceUrl":"https://pictures.example/house.png","groupAddOpt":1},"memberList":[{"userId":"indoor","role":1},{"userId":"phone"}]}`,
			protocol.CreateGroupResponse{GroupID: family}),
		method(protocol.JoinGroup, `{"groupId":"family","msg":"It is the door"}`, protocol.JoinGroupResponse{Applied: true}),
		method(protocol.QuitGroup, `{"groupId":"family"}`, none),
		method(protocol.DismissGroup, `{"groupId":"family"}`, none),
		method(protocol.GetJoinedGroupList, `{}`, protocol.GroupListResponse{GroupList: []protocol.GroupInfo{groupInfo()}}, ``),
		method(protocol.GetGroupsInfo, `{"groupIdList":["family","cellar"]}`, protocol.GroupsResponse{GroupResultList: []protocol.GroupResult{
			{GroupInfo: groupInfo()},
			{ResultCode: protocol.CodeSvrGroupNotFound, ResultMessage: "there is no group cellar", GroupInfo: protocol.GroupInfo{GroupID: "cellar", Role: protocol.RoleUndefined}},
		}}),
		method(protocol.SetGroupInfo, `{"groupId":"family","groupName":"The house","notification":"Dinner is at eight","introduction":"Those who live here","faceUrl":"https://pictures.example/house.png","groupAddOpt":0,"allMuted":true}`, none),
		method(protocol.SetReceiveMessageOpt, `{"groupId":"family","opt":2}`, none),
		method(protocol.GetGroupMemberList, `{"groupId":"family","filter":2,"nextSeq":0}`,
			protocol.MemberListResponse{MemberList: []protocol.GroupMemberInfo{fullMember()}, NextSeq: 118}, `{"groupId":"family","filter":2}`),
		method(protocol.GetGroupMembersInfo, `{"groupId":"family","userIdList":["phone"]}`, protocol.MembersResponse{MemberList: []protocol.GroupMemberInfo{fullMember()}}),
		method(protocol.SetGroupMemberInfo, `{"groupId":"family","info":{"userId":"phone","nameCard":"Anna (mobile)"}}`, none),
		method(protocol.MuteGroupMember, `{"groupId":"family","userId":"phone","seconds":60}`, none),
		method(protocol.KickGroupMember, `{"groupId":"family","memberList":["phone"],"reason":"moved out"}`, protocol.MemberResultsResponse{
			ResultList: []protocol.MemberResult{{UserID: "phone", Result: protocol.MemberDone}},
		}, `{"groupId":"family","userId":"phone","reason":"moved out"}`),
		method(protocol.SetGroupMemberRole, `{"groupId":"family","userId":"phone","role":1}`, none),
		method(protocol.TransferGroupOwner, `{"groupId":"family","userId":"phone"}`, none),
		method(protocol.InviteUserToGroup, `{"groupId":"family","userIdList":["phone"]}`, protocol.MemberResultsResponse{
			ResultList: []protocol.MemberResult{{UserID: "phone", Result: protocol.MemberDone}},
		}, `{"groupId":"family","userId":"phone"}`),
		method(protocol.GetGroupApplicationList, `{}`, applications, ``),
		method(protocol.AcceptGroupApplication, `{"index":0,"reason":"welcome"}`, none),
		method(protocol.RefuseGroupApplication, `{"index":0,"reason":"not now"}`, none),
		method(protocol.SetGroupApplicationRead, `{}`, none, ``),
		method(protocol.ListGroupApplications, `{}`, applications, ``),
		method(protocol.DecideGroupApplication, `{"groupId":"family","userId":"phone","agree":true,"reason":"welcome"}`, none),
	}
}

func friendMethods() []methodSample {
	none := protocol.Empty{}
	applications := protocol.FriendApplicationsResponse{UnreadCount: 1, ApplicationList: []protocol.FriendApplication{{
		UserID: "phone", NickName: "Anna's phone", AddTime: seconds, AddSource: "panel", AddWording: "It is Anna", Type: protocol.ApplicationReceived,
	}}}
	done := protocol.FriendResultResponse{Result: friendDone("phone")}
	all := protocol.FriendResultsResponse{ResultList: []protocol.FriendOperationResult{friendDone("phone")}}
	info := protocol.UserFullInfo{UserInfo: friend().UserInfo, SelfSignature: "ring twice", Gender: protocol.GenderFemale, AllowType: protocol.AllowConfirm}
	return []methodSample{
		method(protocol.GetUsersInfo, `{"userIdList":["phone"]}`, protocol.UsersResponse{InfoList: []protocol.UserFullInfo{info}}),
		method(protocol.SetSelfInfo, `{"selfSignature":"ring twice","gender":2,"allowType":2,"nickName":"Anna's phone","faceUrl":"https://pictures.example/anna.png"}`, none),
		method(protocol.AddToBlackList, `{"userIdList":["salesman"]}`, protocol.FriendResultsResponse{ResultList: []protocol.FriendOperationResult{friendDone("salesman")}}),
		method(protocol.DeleteFromBlackList, `{"userIdList":["salesman"]}`, protocol.FriendResultsResponse{ResultList: []protocol.FriendOperationResult{friendDone("salesman")}}),
		method(protocol.GetBlackList, `{}`, protocol.FriendsResponse{InfoList: []protocol.FriendInfo{{
			UserID: "salesman", FriendCustomInfo: map[string]string{}, FriendGroups: []string{}, UserInfo: protocol.UserInfo{UserID: "salesman"},
		}}}, ``),
		method(protocol.SetFriendListener, `{"stream":"default"}`, none, `{}`, ``),
		method(protocol.RemoveFriendListener, `{"stream":"default"}`, none, `{}`, ``),
		method(protocol.GetFriendList, `{}`, protocol.FriendsResponse{InfoList: []protocol.FriendInfo{friend()}}, ``),
		method(protocol.GetFriendsInfo, `{"userIdList":["phone"]}`, protocol.FriendInfosResponse{ResultList: []protocol.FriendInfoResult{{FriendInfo: friend()}}}),
		method(protocol.SetFriendInfo, `{"userId":"phone","friendRemark":"Anna"}`, none),
		method(protocol.AddFriend, `{"userId":"phone","friendRemark":"Anna","addWording":"It is the door","addSource":"panel","addType":0}`, protocol.FriendResultResponse{
			Result: protocol.FriendOperationResult{UserID: "phone", ResultCode: "30539", ResultInfo: "phone has to agree first"},
		}),
		method(protocol.DeleteFromFriendList, `{"userIdList":["phone"],"deleteType":1}`, all),
		method(protocol.CheckFriend, `{"userId":"phone","type":0}`, protocol.FriendCheckResponse{Result: protocol.FriendCheckResult{UserID: "phone"}}, `{"userId":"phone","checkType":0}`),
		method(protocol.GetFriendApplicationList, `{}`, applications, ``),
		method(protocol.AcceptFriendApplication, `{"index":0,"type":0}`, done),
		method(protocol.RefuseFriendApplication, `{"index":0}`, done),
		method(protocol.DeleteFriendApplication, `{"index":0}`, none),
		method(protocol.SetFriendApplicationRead, `{}`, none, ``),
		method(protocol.ListFriendApplications, `{}`, applications, ``),
		method(protocol.DecideFriendApplication, `{"userId":"phone","type":1,"do":1}`, done),
		method(protocol.CreateFriendGroup, `{"groupName":"family","userIdList":["phone"]}`, all),
		method(protocol.GetFriendGroupList, `{"groupNameList":["family"]}`, protocol.FriendGroupsResponse{GroupList: []protocol.FriendGroup{
			{GroupName: "family", UserCount: 1, FriendList: []string{"phone"}},
		}}, `{"groupNameList":["family"]}`),
		method(protocol.DeleteFriendGroup, `{"groupNameList":["family"]}`, none),
		method(protocol.RenameFriendGroup, `{"oldName":"family","newName":"the flat"}`, none),
		method(protocol.AddFriendsToFriendGroup, `{"groupName":"family","userIdList":["phone"]}`, all),
		method(protocol.DeleteFriendsFromFriendGroup, `{"groupName":"family","userIdList":["phone"]}`, all),
	}
}

func peopleEvents() []eventSample {
	none := protocol.Empty{}
	op := protocol.GroupMemberInfo{UserID: door, NickName: "Front door"}
	who := protocol.MembersEvent{GroupID: family, OpUser: &op, MemberList: []protocol.GroupMemberInfo{memberInfo()}}
	kicked := who
	kicked.Reason = "moved out"
	group := protocol.OneGroupEvent{GroupID: family, OpUser: &op}
	friends := protocol.FriendsEvent{InfoList: []protocol.FriendInfo{friend()}}
	gone := protocol.FriendsGoneEvent{UserIDList: []string{"phone"}, UserIDListAlso: []string{"phone"}}
	return []eventSample{
		event(protocol.OnMemberEnter, protocol.MembersEvent{GroupID: family, MemberList: []protocol.GroupMemberInfo{memberInfo()}}),
		event(protocol.OnMemberLeave, protocol.MemberLeftEvent{GroupID: family, Member: memberInfo()}),
		event(protocol.OnMemberInvited, who),
		event(protocol.OnMemberKicked, kicked),
		event(protocol.OnMemberInfoChanged, protocol.MembersChangedEvent{GroupID: family, OpUser: &op, InfoList: []protocol.MemberChangeInfo{
			{UserID: "phone", MuteTime: some[int64](60)}, {UserID: "door", NameCard: some("Front door")},
		}}),
		event(protocol.OnGroupCreated, protocol.OneGroupEvent{GroupID: family}),
		event(protocol.OnGroupDismissed, group),
		event(protocol.OnGroupRecycled, protocol.OneGroupEvent{GroupID: family}),
		event(protocol.OnGroupInfoChanged, protocol.GroupChangedEvent{GroupID: family, OpUser: &op, GroupInfo: protocol.GroupChanged{
			GroupChange: protocol.GroupChange{GroupName: some("The house")}, Owner: "phone",
		}}),
		event(protocol.OnReceiveJoinApplication, protocol.JoinApplicationEvent{GroupID: family, Member: memberInfo(), OpReason: "It is Anna"}),
		event(protocol.OnApplicationProcessed, protocol.ApplicationProcessedEvent{GroupID: family, OpUser: op, IsAgreeJoin: true, OpReason: "welcome"}),
		event(protocol.OnGrantAdministrator, who),
		event(protocol.OnRevokeAdministrator, who),
		event(protocol.OnQuitFromGroup, protocol.OneGroupEvent{GroupID: family}),
		event(protocol.OnReceiveRESTCustomData, protocol.GroupNoticeEvent{GroupID: family, CustomData: `{"alarm":"test"}`}),
		event(protocol.OnGroupAttributeChanged, protocol.GroupAttributesEvent{GroupID: family, GroupAttributeMap: map[string]string{"floor": "2"}}),
		event(protocol.OnSelfInfoUpdated, protocol.SelfInfoEvent{Info: protocol.UserFullInfo{UserInfo: protocol.UserInfo{UserID: door, NickName: "Front door"}}}),
		event(protocol.OnFriendApplicationListAdded, protocol.FriendApplicationsEvent{ApplicationList: []protocol.FriendApplication{{
			UserID: "phone", NickName: "Anna's phone", AddTime: seconds, AddSource: "panel", AddWording: "It is Anna", Type: protocol.ApplicationReceived,
		}}}),
		event(protocol.OnFriendApplicationListDeleted, gone),
		event(protocol.OnFriendApplicationListRead, none),
		event(protocol.OnFriendListAdded, friends),
		event(protocol.OnFriendListDeleted, gone),
		event(protocol.OnFriendProfileChanged, friends),
		event(protocol.OnBlackListAdded, friends),
		event(protocol.OnBlackListDeleted, gone),
	}
}
