package protocol

// The codes an API may return, one row each: what a program sees in "code",
// the name Tencent's documents give it, the HTTP status of the local API and
// the meaning in docs/methods.md. Nothing else in Herald invents a code.
const (
	CodeRequestTimeout                     Code = 6012
	CodeNotInitialized                     Code = 6013
	CodeNotLoggedIn                        Code = 6014
	CodeInProgress                         Code = 6015
	CodeInvalidMsgElem                     Code = 6016
	CodeInvalidParameters                  Code = 6017
	CodeIOOperationFailed                  Code = 6022
	CodeLoggedOutBeforeLoginFinished       Code = 6023
	CodeUserSigExpired                     Code = 6206
	CodeLoginAuthFailed                    Code = 6207
	CodeLoginKickedOffByOther              Code = 6208
	CodeUserCanceled                       Code = 6222
	CodeRevokeTimeLimitExceed              Code = 6223
	CodeCrossThread                        Code = 7001
	CodeInvalidIdentifier                  Code = 7003
	CodeFileNotFound                       Code = 7004
	CodeFileTooLarge                       Code = 7005
	CodeFileSizeEmpty                      Code = 7006
	CodeFileOpenFailed                     Code = 7007
	CodeAPICallFrequencyLimit              Code = 7008
	CodeInterrupt                          Code = 7009
	CodeDatabaseFailure                    Code = 7010
	CodeInternalError                      Code = 7012
	CodeAccountLoginInProcess              Code = 7501
	CodeAccountLogoutInProcess             Code = 7502
	CodeMsgBodySizeLimit                   Code = 8001
	CodeSignalingInvalidInviteID           Code = 8010
	CodeSignalingNoPermission              Code = 8011
	CodeSignalingAlreadyExists             Code = 8012
	CodeGroupInvalidID                     Code = 8501
	CodeGroupInvalidName                   Code = 8502
	CodeGroupInvalidIntroduction           Code = 8503
	CodeGroupInvalidNotification           Code = 8504
	CodeGroupInvalidFaceURL                Code = 8505
	CodeGroupInvalidNameCard               Code = 8506
	CodeGroupMemberCountLimit              Code = 8507
	CodeGroupJoinPrivateGroupDeny          Code = 8508
	CodeGroupInviteSuperDeny               Code = 8509
	CodeGroupInviteNoMember                Code = 8510
	CodeFriendshipInvalidAddRemark         Code = 9002
	CodeFriendshipInvalidAddWording        Code = 9003
	CodeFriendshipInvalidAddSource         Code = 9004
	CodeFriendshipFriendGroupEmpty         Code = 9005
	CodeFriendshipExceedTheLimit           Code = 9006
	CodeNetAuthInvalid                     Code = 9503
	CodeNetFreqLimit                       Code = 9506
	CodeNetReqCountLimit                   Code = 9507
	CodeNetDisconnect                      Code = 9508
	CodeNetConnTimeout                     Code = 9510
	CodeNetWaitAckTimeout                  Code = 9520
	CodeNetPkgSizeLimit                    Code = 9522
	CodeSvrGroupInternalError              Code = 10002
	CodeSvrGroupInvalidParameters          Code = 10004
	CodeSvrGroupFreqLimit                  Code = 10006
	CodeSvrGroupPermissionDeny             Code = 10007
	CodeSvrGroupSuperNotAllowQuit          Code = 10009
	CodeSvrGroupNotFound                   Code = 10010
	CodeSvrGroupAlreadyMember              Code = 10013
	CodeSvrGroupFullMemberCount            Code = 10014
	CodeSvrGroupInvalidGroupID             Code = 10015
	CodeSvrGroupShutupDeny                 Code = 10017
	CodeSvrGroupAccountNotFound            Code = 10019
	CodeSvrGroupGroupIDInUsed              Code = 10021
	CodeSvrGroupSendMsgFreqLimit           Code = 10023
	CodeSvrGroupReqAlreadyBeenProcessed    Code = 10024
	CodeSvrGroupGroupIDInUsedForSuper      Code = 10025
	CodeSvrGroupRevokeMsgNotFound          Code = 10030
	CodeSvrGroupRevokeMsgTimeLimit         Code = 10031
	CodeSvrGroupRevokeMsgDeny              Code = 10032
	CodeSvrGroupNotAllowRevokeMsg          Code = 10033
	CodeSvrGroupNotAllowRemoveMsg          Code = 10035
	CodeSvrGroupCountLimit                 Code = 10037
	CodeSvrGroupMemberCountLimit           Code = 10038
	CodeSvrMsgInvalidID                    Code = 20003
	CodeSvrMsgPushDeny                     Code = 20006
	CodeSvrMsgInPeerBlacklist              Code = 20007
	CodeSvrMsgBothNotFriend                Code = 20009
	CodeSvrMsgNotPeerFriend                Code = 20010
	CodeSvrMsgNotSelfFriend                Code = 20011
	CodeSvrMsgShutupDeny                   Code = 20012
	CodeSvrMsgRevokeTimeLimit              Code = 20016
	CodeSvrFriendshipInvalidParameters     Code = 30001
	CodeSvrFriendshipAccountNotFound       Code = 30003
	CodeSvrFriendshipInternalError         Code = 30006
	CodeSvrFriendshipCountLimit            Code = 30010
	CodeSvrFriendshipGroupCountLimit       Code = 30011
	CodeSvrFriendshipPendencyLimit         Code = 30012
	CodeSvrFriendshipBlacklistLimit        Code = 30013
	CodeSvrFriendshipPeerFriendLimit       Code = 30014
	CodeSvrFriendshipInSelfBlacklist       Code = 30515
	CodeSvrFriendshipAllowTypeDenyAny      Code = 30516
	CodeSvrFriendshipInPeerBlacklist       Code = 30525
	CodeSvrFriendshipAllowTypeNeedConfirm  Code = 30539
	CodeSvrFriendshipPendencyNotFound      Code = 30614
	CodeSvrFriendshipDelNonFriend          Code = 31704
	CodeSvrProfileInvalidParameters        Code = 40001
	CodeSvrProfileAccountNotFound          Code = 40003
	CodeSvrProfileSizeLimit                Code = 40601
	CodeSvrConvAccountNotFound             Code = 50001
	CodeSvrConvInvalidParameters           Code = 50002
	CodeSvrAccountUserSigExpired           Code = 70001
	CodeSvrAccountUserSigEmpty             Code = 70002
	CodeSvrAccountUserSigCheckFailed       Code = 70003
	CodeSvrAccountUserSigCheckFailedEx     Code = 70005
	CodeSvrAccountUserSigMismatchPublicKey Code = 70009
	CodeSvrAccountUserSigMismatchID        Code = 70013
	CodeSvrAccountUserSigMismatchSDKAppID  Code = 70014
	CodeSvrAccountSDKAppIDNotFound         Code = 70020
	CodeSvrAccountFreqLimit                Code = 70050
	CodeSvrAccountBlacklist                Code = 70051
	CodeSvrAccountInvalidUserSig           Code = 70052
	CodeSvrAccountNotFound                 Code = 70107
	CodeSvrAccountInvalidParameters        Code = 70402
	CodeSvrAccountInternalError            Code = 70500
	CodeSvrBodySizeLimit                   Code = 80002
	CodeSvrMsgToAccountNotFound            Code = 90012
	CodeSvrMsgAccountNotFound              Code = 90048
	CodeSvrResNotFound                     Code = 114000
	CodeSvrResAccessDeny                   Code = 114001
	CodeSvrResSizeLimit                    Code = 114002
	CodeSvrResSendCancel                   Code = 114003
	CodeSvrResReadFailed                   Code = 114004
	CodeSvrResTransferTimeout              Code = 114005
	CodeSvrResInvalidParameters            Code = 114011
	CodeCallPermissionDenied               Code = -1101
	CodeCallNotInitialized                 Code = -1201
	CodeCallInvalidParameter               Code = -1202
	CodeCallWrongState                     Code = -1203
	CodeCallRepeated                       Code = -1204
	CodeCallSceneUnsupported               Code = -1205
	CodeCallSignalingFailed                Code = -1406
)

var codeRows = []CodeRow{
	{CodeRequestTimeout, "ERR_REQUEST_TIMEOUT", 504, "the request timed out"},
	{CodeNotInitialized, "ERR_SDK_NOT_INITIALIZED", 409, "init has not been called"},
	{CodeNotLoggedIn, "ERR_SDK_NOT_LOGGED_IN", 409, "not logged in"},
	{CodeInProgress, "ERR_IN_PROGESS", 409, "the same operation is already in progress"},
	{CodeInvalidMsgElem, "ERR_INVALID_MSG_ELEM", 400, "the message has no element, or one that is not valid"},
	{CodeInvalidParameters, "ERR_INVALID_PARAMETERS", 400, "a parameter is missing or not valid (say which)"},
	{CodeIOOperationFailed, "ERR_IO_OPERATION_FAILED", 500, "reading or writing a local file failed"},
	{CodeLoggedOutBeforeLoginFinished, "ERR_LOGGED_OUT_BEFORE_LOGIN_FINISHED", 409, "logout was called before login finished"},
	{CodeUserSigExpired, "ERR_USER_SIG_EXPIRED", 403, "the UserSig has expired: get a new one and log in again"},
	{CodeLoginAuthFailed, "ERR_LOGIN_AUTH_FAILED", 403, "login refused"},
	{CodeLoginKickedOffByOther, "ERR_LOGIN_KICKED_OFF_BY_OTHER", 403, "kicked offline: the same account logged in elsewhere"},
	{CodeUserCanceled, "ERR_USER_CANCELED", 400, "cancelled by the user"},
	{CodeRevokeTimeLimitExceed, "ERR_REVOKE_TIME_LIMIT_EXCEED", 403, "past the time in which a message may be revoked (2 minutes)"},
	{CodeCrossThread, "ERR_SDK_COMM_CROSS_THREAD", 500, "internal: called from the wrong place"},
	{CodeInvalidIdentifier, "ERR_SDK_COMM_INVALID_IDENTIFIER", 400, "the userId is not valid"},
	{CodeFileNotFound, "ERR_SDK_COMM_FILE_NOT_FOUND", 404, "the file does not exist"},
	{CodeFileTooLarge, "ERR_SDK_COMM_FILE_TOO_LARGE", 413, "the file is too large"},
	{CodeFileSizeEmpty, "ERR_SDK_COMM_FILE_SIZE_EMPTY", 400, "the file is empty"},
	{CodeFileOpenFailed, "ERR_SDK_COMM_FILE_OPEN_FAILED", 400, "the file cannot be opened"},
	{CodeAPICallFrequencyLimit, "ERR_SDK_COMM_API_CALL_FREQUENCY_LIMIT", 429, "the API is called too often"},
	{CodeInterrupt, "ERR_SDK_COMM_INTERRUPT", 500, "interrupted"},
	{CodeDatabaseFailure, "ERR_SDK_COMM_DATABASE_FAILURE", 500, "the local database failed"},
	{CodeInternalError, "ERR_SDK_INTERNAL_ERROR", 500, "internal error"},
	{CodeAccountLoginInProcess, "ERR_SDK_ACCOUNT_LOGIN_IN_PROCESS", 409, "login is already in progress"},
	{CodeAccountLogoutInProcess, "ERR_SDK_ACCOUNT_LOGOUT_IN_PROCESS", 409, "logout is in progress"},
	{CodeMsgBodySizeLimit, "ERR_SDK_MSG_BODY_SIZE_LIMIT", 413, "the message body is too large"},
	{CodeSignalingInvalidInviteID, "ERR_SDK_SIGNALING_INVALID_INVITE_ID", 404, "the inviteId is not valid, or its invitation is finished"},
	{CodeSignalingNoPermission, "ERR_SDK_SIGNALING_NO_PERMISSION", 403, "no permission: not the inviter (cancel) or not an invitee (accept, reject)"},
	{CodeSignalingAlreadyExists, "ERR_SDK_SIGNALING_ALREADY_EXISTS", 409, "the invitation exists already"},
	{CodeGroupInvalidID, "ERR_SDK_GROUP_INVALID_ID", 400, "the groupId is not valid"},
	{CodeGroupInvalidName, "ERR_SDK_GROUP_INVALID_NAME", 400, "the group name is not valid"},
	{CodeGroupInvalidIntroduction, "ERR_SDK_GROUP_INVALID_INTRODUCTION", 400, "the group introduction is not valid"},
	{CodeGroupInvalidNotification, "ERR_SDK_GROUP_INVALID_NOTIFICATION", 400, "the group notification is not valid"},
	{CodeGroupInvalidFaceURL, "ERR_SDK_GROUP_INVALID_FACE_URL", 400, "the group faceUrl is not valid"},
	{CodeGroupInvalidNameCard, "ERR_SDK_GROUP_INVALID_NAME_CARD", 400, "the nameCard is not valid"},
	{CodeGroupMemberCountLimit, "ERR_SDK_GROUP_MEMBER_COUNT_LIMIT", 400, "too many members in one request"},
	{CodeGroupJoinPrivateGroupDeny, "ERR_SDK_GROUP_JOIN_PRIVATE_GROUP_DENY", 403, "a Work group cannot be joined on one's own"},
	{CodeGroupInviteSuperDeny, "ERR_SDK_GROUP_INVITE_SUPER_DENY", 403, "the owner cannot be invited"},
	{CodeGroupInviteNoMember, "ERR_SDK_GROUP_INVITE_NO_MEMBER", 400, "there is nobody to invite"},
	{CodeFriendshipInvalidAddRemark, "ERR_SDK_FRIENDSHIP_INVALID_ADD_REMARK", 400, "the friend remark is too long (96 bytes)"},
	{CodeFriendshipInvalidAddWording, "ERR_SDK_FRIENDSHIP_INVALID_ADD_WORDING", 400, "the addWording is too long (120 bytes)"},
	{CodeFriendshipInvalidAddSource, "ERR_SDK_FRIENDSHIP_INVALID_ADD_SOURCE", 400, "the addSource is not valid"},
	{CodeFriendshipFriendGroupEmpty, "ERR_SDK_FRIENDSHIP_FRIEND_GROUP_EMPTY", 400, "the friend group is empty"},
	{CodeFriendshipExceedTheLimit, "ERR_SDK_FRIENDSHIP_EXCEED_THE_LIMIT", 400, "too many items in one request"},
	{CodeNetAuthInvalid, "ERR_SDK_NET_AUTH_INVALID", 401, "not authenticated on the network layer"},
	{CodeNetFreqLimit, "ERR_SDK_NET_FREQ_LIMIT", 429, "too many requests a second"},
	{CodeNetReqCountLimit, "ERR_SDK_NET_REQ_COUNT_LIMIT", 503, "too many requests waiting"},
	{CodeNetDisconnect, "ERR_SDK_NET_DISCONNECT", 503, "offline"},
	{CodeNetConnTimeout, "ERR_SDK_NET_CONN_TIMEOUT", 504, "the connection timed out"},
	{CodeNetWaitAckTimeout, "ERR_SDK_NET_WAIT_ACK_TIMEOUT", 504, "no acknowledgement in time"},
	{CodeNetPkgSizeLimit, "ERR_SDK_NET_PKG_SIZE_LIMIT", 413, "the packet is over 1 MB"},
	{CodeSvrGroupInternalError, "ERR_SVR_GROUP_INTERNAL_ERROR", 500, "internal error of the group service"},
	{CodeSvrGroupInvalidParameters, "ERR_SVR_GROUP_INVALID_PARAMETERS", 400, "a group parameter is not valid"},
	{CodeSvrGroupFreqLimit, "ERR_SVR_GROUP_FREQ_LIMIT", 429, "too many group requests"},
	{CodeSvrGroupPermissionDeny, "ERR_SVR_GROUP_PERMISSION_DENY", 403, "no permission for this group operation"},
	{CodeSvrGroupSuperNotAllowQuit, "ERR_SVR_GROUP_SUPER_NOT_ALLOW_QUIT", 403, "the owner may not quit this type of group"},
	{CodeSvrGroupNotFound, "ERR_SVR_GROUP_NOT_FOUND", 404, "the group does not exist (or was dismissed)"},
	{CodeSvrGroupAlreadyMember, "ERR_SVR_GROUP_ALLREADY_MEMBER", 409, "already a member"},
	{CodeSvrGroupFullMemberCount, "ERR_SVR_GROUP_FULL_MEMBER_COUNT", 400, "the group is full"},
	{CodeSvrGroupInvalidGroupID, "ERR_SVR_GROUP_INVALID_GROUPID", 400, "the groupId is not valid"},
	{CodeSvrGroupShutupDeny, "ERR_SVR_GROUP_SHUTUP_DENY", 403, "muted in this group"},
	{CodeSvrGroupAccountNotFound, "ERR_SVR_GROUP_ACCOUNT_NOT_FOUND", 404, "the account does not exist"},
	{CodeSvrGroupGroupIDInUsed, "ERR_SVR_GROUP_GROUPID_IN_USED", 409, "the groupId is in use by another owner"},
	{CodeSvrGroupSendMsgFreqLimit, "ERR_SVR_GROUP_SEND_MSG_FREQ_LIMIT", 429, "too many messages a second in this group (40)"},
	{CodeSvrGroupReqAlreadyBeenProcessed, "ERR_SVR_GROUP_REQ_ALLREADY_BEEN_PROCESSED", 409, "the application has been handled already"},
	{CodeSvrGroupGroupIDInUsedForSuper, "ERR_SVR_GROUP_GROUPID_IN_USED_FOR_SUPER", 409, "the groupId is in use, and the caller owns it"},
	{CodeSvrGroupRevokeMsgNotFound, "ERR_SVR_GROUP_REVOKE_MSG_NOT_FOUND", 404, "the message to revoke does not exist"},
	{CodeSvrGroupRevokeMsgTimeLimit, "ERR_SVR_GROUP_REVOKE_MSG_TIME_LIMIT", 403, "past the time in which a group message may be revoked"},
	{CodeSvrGroupRevokeMsgDeny, "ERR_SVR_GROUP_REVOKE_MSG_DENY", 403, "no permission to revoke this message"},
	{CodeSvrGroupNotAllowRevokeMsg, "ERR_SVR_GROUP_NOT_ALLOW_REVOKE_MSG", 403, "this type of group or message cannot be revoked"},
	{CodeSvrGroupNotAllowRemoveMsg, "ERR_SVR_GROUP_NOT_ALLOW_REMOVE_MSG", 403, "this type of group cannot have messages deleted"},
	{CodeSvrGroupCountLimit, "ERR_SVR_GROUP_COUNT_LIMIT", 400, "the user has joined too many groups"},
	{CodeSvrGroupMemberCountLimit, "ERR_SVR_GROUP_MEMBER_COUNT_LIMIT", 400, "too many members"},
	{CodeSvrMsgInvalidID, "ERR_SVR_MSG_INVALID_ID", 404, "the sender or the receiver is not valid"},
	{CodeSvrMsgPushDeny, "ERR_SVR_MSG_PUSH_DENY", 403, "refused by the operator's rule"},
	{CodeSvrMsgInPeerBlacklist, "ERR_SVR_MSG_IN_PEER_BLACKLIST", 403, "refused: the receiver has blacklisted the sender"},
	{CodeSvrMsgBothNotFriend, "ERR_SVR_MSG_BOTH_NOT_FRIEND", 403, "not friends (only where the friend check is on)"},
	{CodeSvrMsgNotPeerFriend, "ERR_SVR_MSG_NOT_PEER_FRIEND", 403, "not in the receiver's friend list (only where the check is on)"},
	{CodeSvrMsgNotSelfFriend, "ERR_SVR_MSG_NOT_SELF_FRIEND", 403, "the receiver is not in the sender's friend list (only where the check is on)"},
	{CodeSvrMsgShutupDeny, "ERR_SVR_MSG_SHUTUP_DENY", 403, "muted"},
	{CodeSvrMsgRevokeTimeLimit, "ERR_SVR_MSG_REVOKE_TIME_LIMIT", 403, "past the time in which a message may be revoked"},
	{CodeSvrFriendshipInvalidParameters, "ERR_SVR_FRIENDSHIP_INVALID_PARAMETERS", 400, "a friendship parameter is not valid"},
	{CodeSvrFriendshipAccountNotFound, "ERR_SVR_FRIENDSHIP_ACCOUNT_NOT_FOUND", 404, "the user does not exist"},
	{CodeSvrFriendshipInternalError, "ERR_SVR_FRIENDSHIP_INTERNAL_ERROR", 500, "internal error of the friendship service"},
	{CodeSvrFriendshipCountLimit, "ERR_SVR_FRIENDSHIP_COUNT_LIMIT", 400, "too many friends (3000)"},
	{CodeSvrFriendshipGroupCountLimit, "ERR_SVR_FRIENDSHIP_GROUP_COUNT_LIMIT", 400, "too many friend groups (32)"},
	{CodeSvrFriendshipPendencyLimit, "ERR_SVR_FRIENDSHIP_PENDENCY_LIMIT", 400, "too many pending applications (100)"},
	{CodeSvrFriendshipBlacklistLimit, "ERR_SVR_FRIENDSHIP_BLACKLIST_LIMIT", 400, "the blacklist is full (1000)"},
	{CodeSvrFriendshipPeerFriendLimit, "ERR_SVR_FRIENDSHIP_PEER_FRIEND_LIMIT", 400, "the peer has too many friends"},
	{CodeSvrFriendshipInSelfBlacklist, "ERR_SVR_FRIENDSHIP_IN_SELF_BLACKLIST", 403, "the peer is in one's own blacklist"},
	{CodeSvrFriendshipAllowTypeDenyAny, "ERR_SVR_FRIENDSHIP_ALLOW_TYPE_DENY_ANY", 403, "the peer refuses all friend requests"},
	{CodeSvrFriendshipInPeerBlacklist, "ERR_SVR_FRIENDSHIP_IN_PEER_BLACKLIST", 403, "one is in the peer's blacklist"},
	{CodeSvrFriendshipAllowTypeNeedConfirm, "ERR_SVR_FRIENDSHIP_ALLOW_TYPE_NEED_CONFIRM", 200, "the request waits for the peer's confirmation (a success with this code)"},
	{CodeSvrFriendshipPendencyNotFound, "ERR_SVR_FRIENDSHIP_PENDENCY_NOT_FOUND", 404, "there is no such application"},
	{CodeSvrFriendshipDelNonFriend, "ERR_SVR_FRIENDSHIP_DEL_NONFRIEND", 400, "not a friend"},
	{CodeSvrProfileInvalidParameters, "ERR_SVR_PROFILE_INVALID_PARAMETERS", 400, "a profile parameter is not valid"},
	{CodeSvrProfileAccountNotFound, "ERR_SVR_PROFILE_ACCOUNT_NOT_FOUND", 404, "the user does not exist"},
	{CodeSvrProfileSizeLimit, "ERR_SVR_PROFILE_SIZE_LIMIT", 413, "the profile value is too long (500 bytes)"},
	{CodeSvrConvAccountNotFound, "ERR_SVR_CONV_ACCOUNT_NOT_FOUND", 404, "the account does not exist"},
	{CodeSvrConvInvalidParameters, "ERR_SVR_CONV_INVALID_PARAMETERS", 400, "a conversation parameter is not valid"},
	{CodeSvrAccountUserSigExpired, "ERR_SVR_ACCOUNT_USERSIG_EXPIRED", 403, "the UserSig has expired (hub's code; login returns 6206)"},
	{CodeSvrAccountUserSigEmpty, "ERR_SVR_ACCOUNT_USERSIG_EMPTY", 403, "the UserSig is empty"},
	{CodeSvrAccountUserSigCheckFailed, "ERR_SVR_ACCOUNT_USERSIG_CHECK_FAILED", 403, "the UserSig is not valid"},
	{CodeSvrAccountUserSigCheckFailedEx, "ERR_SVR_ACCOUNT_USERSIG_CHECK_FAILED_EX", 403, "the UserSig is not valid"},
	{CodeSvrAccountUserSigMismatchPublicKey, "ERR_SVR_ACCOUNT_USERSIG_MISMATCH_PUBLICKEY", 403, "the UserSig was made with another key"},
	{CodeSvrAccountUserSigMismatchID, "ERR_SVR_ACCOUNT_USERSIG_MISMATCH_ID", 403, "the UserSig is another user's"},
	{CodeSvrAccountUserSigMismatchSDKAppID, "ERR_SVR_ACCOUNT_USERSIG_MISMATCH_SDKAPPID", 403, "the UserSig is another sdkAppId's"},
	{CodeSvrAccountSDKAppIDNotFound, "ERR_SVR_ACCOUNT_SDKAPPID_NOT_FOUND", 404, "the sdkAppId does not exist"},
	{CodeSvrAccountFreqLimit, "ERR_SVR_ACCOUNT_FREQ_LIMIT", 429, "too many failed logins: locked for a minute"},
	{CodeSvrAccountBlacklist, "ERR_SVR_ACCOUNT_BLACKLIST", 403, "the account is blocked"},
	{CodeSvrAccountInvalidUserSig, "ERR_SVR_ACCOUNT_INVALID_USERSIG", 403, "the UserSig was revoked"},
	{CodeSvrAccountNotFound, "ERR_SVR_ACCOUNT_NOT_FOUND", 404, "the account does not exist"},
	{CodeSvrAccountInvalidParameters, "ERR_SVR_ACCOUNT_INVALID_PARAMETERS", 400, "an account parameter is not valid"},
	{CodeSvrAccountInternalError, "ERR_SVR_ACCOUNT_INTERNAL_ERROR", 500, "internal error of the account service"},
	{CodeSvrBodySizeLimit, "ERR_SVR_COMM_BODY_SIZE_LIMIT", 413, "the message body is over its limit (8 KB)"},
	{CodeSvrMsgToAccountNotFound, "ERR_SVR_MSG_TO_ACCOUNT_NOT_FOUND", 404, "the receiver does not exist"},
	{CodeSvrMsgAccountNotFound, "ERR_SVR_MSG_ACCOUNT_NOT_FOUND", 404, "the account does not exist"},
	{CodeSvrResNotFound, "ERR_SVR_RES_NOT_FOUND", 404, "the file is not there any more"},
	{CodeSvrResAccessDeny, "ERR_SVR_RES_ACCESS_DENY", 403, "no permission for this file"},
	{CodeSvrResSizeLimit, "ERR_SVR_RES_SIZE_LIMIT", 413, "the file is over its limit"},
	{CodeSvrResSendCancel, "ERR_SVR_RES_SEND_CANCEL", 400, "the transfer was cancelled"},
	{CodeSvrResReadFailed, "ERR_SVR_RES_READ_FAILED", 500, "the file cannot be read"},
	{CodeSvrResTransferTimeout, "ERR_SVR_RES_TRANSFER_TIMEOUT", 504, "the transfer timed out"},
	{CodeSvrResInvalidParameters, "ERR_SVR_RES_INVALID_PARAMETERS", 400, "a transfer parameter is not valid"},
	{CodeCallPermissionDenied, "CALL_PERMISSION_DENIED", 403, "calling: no permission for the camera or the microphone"},
	{CodeCallNotInitialized, "CALL_NOT_INITIALIZED", 409, "calling: init has not been called"},
	{CodeCallInvalidParameter, "CALL_INVALID_PARAMETER", 400, "calling: a parameter is not valid"},
	{CodeCallWrongState, "CALL_WRONG_STATE", 409, "calling: not possible in the present state"},
	{CodeCallRepeated, "CALL_REPEATED", 409, "calling: the same operation is already under way"},
	{CodeCallSceneUnsupported, "CALL_SCENE_UNSUPPORTED", 400, "calling: not possible for this kind of call"},
	{CodeCallSignalingFailed, "CALL_SIGNALING_FAILED", 400, "calling: the signaling failed"},
}
