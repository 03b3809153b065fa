package main

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/herald-im/herald/protocol"
)

// The house that all examples are of: a board at the door, one in the flat, and
// a group of those who live there.
const (
	app      = protocol.AppID(1400000001)
	door     = "door"
	indoor   = "indoor"
	family   = "family"
	inviteID = "H4PXNW5GOYSKLC3TSQFJ7AEB2M"
	board    = "board"    // both terminals' name
	lobby    = "lobby"    // a live room
	seconds  = 1760000000 // the hub's time, Unix seconds
	millis   = seconds * 1000
	boot     = 0x5eed0000c0ffee01
	epoch    = 3
)

// msgID is the id of the message that door numbered cseq.
func msgID(cseq uint64) string {
	return protocol.MsgID(protocol.MsgIDPrefix(app, door, board, epoch), cseq)
}

// methodSample is an example of a method's use.
type methodSample struct {
	info    *protocol.Info
	request string   // as a program writes it
	also    []string // other forms of the same request
	result  any      // of the response's type
}

func (s methodSample) responseJSON() ([]byte, error) { return protocol.EncodeResponse(s.result) }

// method holds a sample to the types of its declaration.
func method[Req, Res any](m protocol.Method[Req, Res], request string, result Res, also ...string) methodSample {
	return methodSample{m.Info(), request, also, result}
}

func methodSamples() []methodSample {
	none := protocol.Empty{}
	key := protocol.MessageKeyResponse{MessageKey: "k-7Q2M4XDZ"}
	return slices.Concat(groupMethods(), friendMethods(), []methodSample{
		method(protocol.Init, `{"sdkAppId":1400000001,"logLevel":2}`, none, `{"sdkAppId":"1400000001","logLevel":2}`),
		method(protocol.SetSDKListener, `{"stream":"kitchen"}`, none),
		method(protocol.RemoveSDKListener, `{"stream":"kitchen"}`, none),
		method(protocol.Destroy, `{}`, none, ``),
		method(protocol.GetVersion, `{}`, protocol.VersionResponse{Version: "1.0.0"}, ``),
		method(protocol.GetServerTime, `{}`, protocol.ServerTimeResponse{ServerTime: seconds}, ``),
		method(protocol.Login, `{"userId":"door","userSig":"USERSIG-OF-DOOR"}`, none),
		method(protocol.Logout, `{}`, none, ``),
		method(protocol.GetLoginUser, `{}`, protocol.LoginUserResponse{UserID: door}, ``),
		method(protocol.GetLoginStatus, `{}`, protocol.LoginStatusResponse{LoginStatus: protocol.LoggedIn}, ``),

		method(protocol.SetSimpleMsgListener, `{"stream":"default"}`, none, `{}`, ``),
		method(protocol.RemoveSimpleMsgListener, `{"stream":"default"}`, none, `{}`, ``),
		method(protocol.SendC2CTextMessage, `{"text":"Somebody is at the door","userId":"indoor"}`,
			protocol.SendResponse{MsgID: msgID(41)}),
		method(protocol.SendC2CCustomMessage, `{"customData":"{\"bell\":\"long\"}","userId":"indoor"}`,
			protocol.SendResponse{MsgID: msgID(42), Queued: true}, `{"customMsg":"{\"bell\":\"long\"}","userId":"indoor"}`),
		method(protocol.SendGroupTextMessage, `{"text":"Grüße von der Tür 👋","groupId":"family","priority":0}`,
			protocol.SendResponse{MsgID: msgID(43)}, `{"text":"Gr\u00fc\u00dfe von der T\u00fcr \ud83d\udc4b","groupId":"family"}`),
		method(protocol.SendGroupCustomMessage, `{"customData":"{\"bell\":\"short\"}","groupId":"family","priority":1}`,
			protocol.SendResponse{MsgID: msgID(44)}, `{"customMsg":"{\"bell\":\"short\"}","groupId":"family","priority":1}`),

		method(protocol.SetAdvancedMsgListener, `{"stream":"default"}`, none, `{}`, ``),
		method(protocol.RemoveAdvancedMsgListener, `{"stream":"default"}`, none, `{}`, ``),
		method(protocol.CreateTextMessage, `{"text":"Somebody is at the door"}`, key),
		method(protocol.CreateTextAtMessage, `{"text":"Dinner!","userIdList":["indoor","phone"]}`, key),
		method(protocol.CreateCustomMessage, `{"customMsg":"{\"bell\":\"long\"}"}`, key),
		method(protocol.CreateImageMessage, `{"img":"/var/lib/door/visitor.jpg"}`, key),
		method(protocol.CreateSoundMessage, `{"soundPath":"/var/lib/door/hello.ogg","soundDuration":4}`, key, `{"path":"/var/lib/door/hello.ogg","duration":4}`),
		method(protocol.CreateVideoMessage, `{"videoFilePath":"/var/lib/door/visitor.mp4","type":"mp4","duration":12,"snapshotPath":"/var/lib/door/visitor.jpg"}`, key),
		method(protocol.CreateFileMessage, `{"filePath":"/var/log/door.log","fileName":"door.log"}`, key, `{"filePath":"/var/log/door.log"}`),
		method(protocol.CreateLocationMessage, `{"desc":"The parcel is behind the hedge","latitude":52.52,"longitude":13.405}`, key),
		method(protocol.CreateFaceMessage, `{"index":0,"dataMsg":"smile"}`, key),
		method(protocol.SendMessage, `{"groupId":"family","messageKey":"k-7Q2M4XDZ","priority":1}`, protocol.SendResponse{MsgID: msgID(46), Queued: true}),
		method(protocol.RevokeMessage, `{"msgId":"`+msgID(41)+`","userId":"indoor"}`, none),
		method(protocol.GetC2CHistory, `{"userId":"indoor","count":20,"msgId":"`+msgID(43)+`"}`, protocol.HistoryResponse{MessageList: []protocol.MessageInfo{message()}, IsFinished: true},
			`{"userId":"indoor","msgId":"`+msgID(43)+`"}`),
		method(protocol.GetGroupHistory, `{"groupId":"family","count":20,"msgId":"`+msgID(43)+`"}`, protocol.HistoryResponse{MessageList: []protocol.MessageInfo{picture()}, Offline: true}),
		method(protocol.MarkC2CAsRead, `{"userId":"indoor"}`, none),
		method(protocol.MarkGroupAsRead, `{"groupId":"family"}`, none),
		method(protocol.DeleteMessage, `{"msgId":"`+msgID(41)+`"}`, none, `{"msgIdList":["`+msgID(41)+`"]}`),
		method(protocol.DeleteMessages, `{"msgIdList":["`+msgID(41)+`"]}`, none, `{"msgId":"`+msgID(41)+`"}`),
		method(protocol.InsertGroupMessage, `{"groupId":"family","sender":"door","messageKey":"k-7Q2M4XDZ"}`, protocol.InsertResponse{MsgID: msgID(1 << 41)}),
		method(protocol.SetConversationListener, `{"stream":"default"}`, none, `{}`, ``),
		method(protocol.RemoveConversationListener, `{"stream":"default"}`, none, `{}`, ``),
		method(protocol.GetConversationList, `{"nextSeq":0,"count":100}`, protocol.ConversationListResponse{
			NextSeq: millis, IsFinished: true, ConversationList: []protocol.Conversation{conversation()},
		}, `{}`, ``),
		method(protocol.DeleteConversation, `{"conversationId":"c2c_indoor"}`, none),
		method(protocol.SetConversationDraft, `{"conversationId":"group_family","draftText":"Dinner is"}`, none, `{"conversationID":"group_family","draftText":"Dinner is"}`),
		method(protocol.GetMessage, `{"msgId":"`+msgID(41)+`"}`, protocol.MessageResponse{Message: message()}),
		method(protocol.SetLocalCustomData, `{"msgId":"`+msgID(41)+`","localCustomData":"shown on the panel","localCustomInt":1}`, none),
		method(protocol.DownloadMessage, `{"msgId":"`+msgID(41)+`","type":0}`, protocol.DownloadResponse{UUID: hash, URL: "/v1/files/" + hash}),
		method(protocol.SendOnline, `{"userId":"indoor","message":"`+typing+`","idEpoch":3,"idNumber":2199023255553}`, none),
		method(protocol.PutFile, `{"hash":"`+hash+`","size":48120}`, protocol.PutFileResponse{URL: "http://hub.invalid:8080/files/up?token=t", ExpiresAt: seconds + 3600}),
		method(protocol.GetFile, `{"hash":"`+hash+`"}`, protocol.GetFileResponse{URL: "http://hub.invalid:8080/files/" + hash + "?token=t", Size: 48120, ExpiresAt: seconds + 600}),

		method(protocol.SetSignalingListener, `{"stream":"default"}`, none, `{}`, ``),
		method(protocol.RemoveSignalingListener, `{"stream":"default"}`, none, `{}`, ``),
		method(protocol.Invite, `{"invitee":"indoor","data":"{\"bell\":\"long\"}","timeout":45}`, protocol.InviteResponse{InviteID: inviteID}),
		method(protocol.InviteInGroup, `{"groupId":"family","inviteeList":["indoor","phone"],"data":"dinner","timeout":0}`,
			protocol.InviteResponse{InviteID: inviteID}),
		method(protocol.Cancel, `{"inviteId":"`+inviteID+`","data":"never mind"}`, none),
		method(protocol.Accept, `{"inviteId":"`+inviteID+`","data":"coming"}`, none),
		method(protocol.Reject, `{"inviteId":"`+inviteID+`","data":"not now"}`, none),
		method(protocol.GetSignalingInfo, `{"msgId":"`+inviteID+`-17","userId":"indoor"}`, protocol.SignalingInfoResponse{SignalingInfo: protocol.SignalingInfo{
			InviteID: inviteID, Inviter: door, InviteeList: []string{indoor}, Data: "never mind", Timeout: 45, ActionType: protocol.SignalingCancel,
		}}),
		method(protocol.AddInvitedSignaling, `{"inviteId":"`+inviteID+`","data":"{\"bell\":\"long\"}"}`, none, `{"inviteId":"`+inviteID+`","data":"{\"bell\":\"long\"}","timeout":3}`),

		method(protocol.CallingInit, `{}`, none, ``),
		method(protocol.SetCallingListener, `{"stream":"default"}`, none, `{}`, ``),
		method(protocol.RemoveCallingListener, `{"stream":"default"}`, none, `{}`, ``),
		method(protocol.CallingDestroy, `{}`, none, ``),
		method(protocol.CallingLogin, `{"sdkAppId":1400000001,"userId":"door","userSig":"USERSIG-OF-DOOR"}`, none),
		method(protocol.CallingLogout, `{}`, none, ``),
		method(protocol.PlaceCall, `{"userId":"indoor","type":1,"timeout":45}`, none),
		method(protocol.PlaceGroupCall, `{"userIdList":["indoor","phone"],"type":1,"groupId":"family","answer":"first","timeout":45}`, none),
		method(protocol.AcceptCall, `{}`, none, ``),
		method(protocol.RejectCall, `{}`, none, ``),
		method(protocol.Hangup, `{}`, none, ``),
		method(protocol.StartRemoteView, `{"userId":"indoor","rect":{"x":8,"y":16,"w":320,"h":240.5}}`, protocol.ViewResponse{URL: "/v1/whep/remote/indoor"}),
		method(protocol.StopRemoteView, `{"userId":"indoor"}`, none),
		method(protocol.OpenCamera, `{"isFront":true,"rect":{"x":8,"y":16,"w":160,"h":120}}`, protocol.ViewResponse{URL: "/v1/whep/self"}),
		method(protocol.SwitchCamera, `{"isFront":false}`, none),
		method(protocol.CloseCamera, `{}`, none, ``),
		method(protocol.SetMicMute, `{"isMute":true}`, none),
		method(protocol.SetHandsFree, `{"isHandsFree":true}`, none),

		method(protocol.GetCall, `{}`, protocol.CallResponse{
			State: protocol.CallConnected, RoomID: 81427, Type: protocol.CallTypeVideo, Inviter: door, GroupID: family, Seconds: 33,
			MicMuted: true, CameraOn: true, HandsFree: true, Users: []protocol.CallUser{{
				UserID: door, State: "connected", Audio: true, Video: true, VideoCodec: "H264", FramesPerSecond: 29.5, RoundTripMs: 3.2, PacketsLost: 1,
				SentBitrate: 812_000, ReceivedBitrate: 640_000, TargetBitrate: 1_000_000, LossPercent: 0.5, JitterMs: 2.5, BufferMs: 60, ConcealedPercent: 0.2,
				FramesSent: 990, Path: "host/host",
			}},
			Camera: &protocol.CallCamera{
				Device: "/dev/video0", State: "running", Warning: "the camera gives 15 pictures/s, not 30", Format: "YUYV 640×480", FramesPerSecond: 15,
				FramesCaptured: 495, FramesDropped: 2,
				Streams: []protocol.CallStream{{Codec: "H264", Width: 640, Height: 480, FramesPerSecond: 15, Bitrate: 1_000_000, FramesEncoded: 493}},
			},
			Sound: &protocol.CallSound{Microphone: "running", Speaker: "running", Xruns: 1, Echo: "cancel", EchoReturnLossDb: 12.5, EchoRemovedDb: 21},
		}, ``),
		method(protocol.GetICEServers, `{}`, protocol.ICEServersResponse{ICEServers: []protocol.ICEServer{
			{URLs: []string{"stun:hub.example:3478"}},
			{URLs: []string{"turn:hub.example:3478?transport=udp", "turn:hub.example:3478?transport=tcp"}, Username: "1760021600:door", Credential: "bm90IGEgcmVhbCBvbmU="},
		}, TTLSeconds: 21600}, ``),
		method(protocol.GetInvitations, `{}`, protocol.InvitationsResponse{Time: millis + 4000, Invitations: []protocol.Invitation{{
			InviteID: inviteID, GroupID: family, Inviter: indoor, Terminal: board, InviteeList: []string{door, "phone"}, Accepted: []string{"phone"}, Data: "dinner",
			CreatedAt: millis, EndsAt: millis + 30000,
		}}}, ``),
		method(protocol.GetMediaDevices, `{}`, protocol.MediaDevicesResponse{List: []protocol.MediaDevice{{
			Kind: "camera", Device: "/dev/video0", Name: "USB Camera", Use: "front", State: "failed", Error: "the camera does not answer",
			Formats: []string{"YUYV 640×480 30/s"},
			Controls: []protocol.CameraControl{
				{Name: "brightness", Max: 255, Step: 1, Default: 128, Value: 120},
				{Name: "power_line_frequency", Max: 2, Step: 1, Default: 1, Value: 1, Menu: []protocol.ControlChoice{{Value: 0, Name: "Disabled"}, {Value: 1, Name: "50 Hz"}, {Value: 2, Name: "60 Hz"}}},
			},
		}}}, ``),
		method(protocol.SetDeviceListener, `{"stream":"default"}`, none, `{}`, ``),
		method(protocol.RemoveDeviceListener, `{"stream":"default"}`, none, `{}`, ``),
		method(protocol.GetStatus, `{}`, protocol.StatusResponse{
			Version: "1.0.0", UserID: door, SDKAppID: app, Terminal: board, LoginStatus: protocol.LoggedIn,
			Link: "connecting", LinkSince: seconds, LastError: protocol.Errorf(protocol.CodeNetDisconnect, "the hub does not answer"),
			Hub:           "mqtts://hub.example:8883",
			Queue:         protocol.QueueStatus{Items: 1, Bytes: 34, MaxItems: 100000, MaxBytes: 64 << 20},
			Journal:       protocol.JournalStatus{First: 1, Last: 217, Bytes: 48120},
			UptimeSeconds: 86400,
		}, ``),
		method(protocol.GetQueue, `{"count":20}`, protocol.QueueResponse{
			QueueStatus: protocol.QueueStatus{Items: 2, Bytes: 68, MaxItems: 100000, MaxBytes: 64 << 20},
			List: []protocol.QueueItem{
				{MsgID: msgID(42), UserID: indoor, Bytes: 34, QueuedAt: seconds},
				{MsgID: msgID(44), GroupID: family, Bytes: 34, QueuedAt: seconds + 1},
			},
		}, `{}`, ``),
	})
}

// eventSample is an example of an event.
type eventSample struct {
	occurrence protocol.Occurrence
	err        error
}

// event holds a sample to the type of its declaration.
func event[T any](e protocol.Event[T], data T) eventSample {
	o, err := e.New(data)
	return eventSample{o, err}
}

func eventSamples() []eventSample {
	none := protocol.Empty{}
	sender := protocol.UserInfo{UserID: door, NickName: "Front door"}
	return append(peopleEvents(), []eventSample{
		event(protocol.OnConnecting, none),
		event(protocol.OnConnectSuccess, none),
		event(protocol.OnConnectFailed, protocol.Error{Code: protocol.CodeNetConnTimeout, Msg: "the connection timed out"}),
		event(protocol.OnKickedOffline, protocol.Error{Code: protocol.CodeLoginKickedOffByOther, Msg: "the account logged in on another linux terminal"}),
		event(protocol.OnUserSigExpired, protocol.Error{Code: protocol.CodeUserSigExpired, Msg: "the UserSig has expired: get a new one and log in again"}),
		event(protocol.OnRecvC2CTextMessage, protocol.C2CTextEvent{
			MsgID: msgID(41), Text: "Somebody is at the door", Sender: sender, UserID: door, Timestamp: seconds,
		}),
		event(protocol.OnRecvC2CCustomMessage, protocol.C2CCustomEvent{
			MsgID: msgID(42), CustomData: `{"bell":"long"}`, Sender: sender, UserID: indoor, IsSelf: true, Timestamp: seconds,
		}),
		event(protocol.OnRecvGroupTextMessage, protocol.GroupTextEvent{
			MsgID: msgID(43), GroupID: family, Text: "Grüße von der Tür 👋", Sender: sender, Timestamp: seconds,
		}),
		event(protocol.OnRecvGroupCustomMessage, protocol.GroupCustomEvent{
			MsgID: msgID(44), GroupID: family, CustomData: `{"bell":"short"}`, Sender: sender, Timestamp: seconds,
		}),
		event(protocol.OnMessageStatusChanged, protocol.MessageStatusEvent{
			MsgID: msgID(42), Status: protocol.StatusFailed, Code: protocol.CodeSvrMsgToAccountNotFound, Msg: "the receiver does not exist",
		}),
		event(protocol.OnRecvNewMessage, protocol.NewMessageEvent{ElemType: protocol.ElemImage, Message: picture()}),
		event(protocol.OnDownload, protocol.DownloadEvent{ElemType: protocol.ElemImage, Message: picture(), Download: protocol.DownloadInfo{
			EventType: protocol.DownloadProgress, UUID: hash, ProgressInfo: protocol.ProgressInfo{CurrentSize: 32768, TotalSize: 48120},
		}}),
		event(protocol.OnRecvC2CReadReceipt, protocol.ReadReceiptEvent{ReceiptList: []protocol.ReadReceipt{{UserID: indoor, Timestamp: seconds}}}),
		event(protocol.OnRecvMessageRevoked, protocol.RevokedEvent{MsgID: msgID(41), UserID: door, Revoker: door}),
		event(protocol.OnHistoryTruncated, protocol.HistoryTruncatedEvent{ConversationID: "group_family", Missed: 20117}),
		event(protocol.OnSyncServerStart, none),
		event(protocol.OnSyncServerFinish, none),
		event(protocol.OnSyncServerFailed, none),
		event(protocol.OnNewConversation, protocol.ConversationsEvent{ConversationList: []protocol.Conversation{conversation()}}),
		event(protocol.OnConversationChanged, protocol.ConversationsEvent{ConversationList: []protocol.Conversation{conversation()}}),
		event(protocol.OnConversationDeleted, protocol.ConversationsEvent{ConversationList: []protocol.Conversation{conversation()}}),
		event(protocol.OnReceiveNewInvitation, protocol.InvitationEvent{
			InviteID: inviteID, Inviter: door, InviteeList: []string{indoor}, Data: `{"bell":"long"}`,
		}),
		event(protocol.OnInviteeAccepted, protocol.InviteeEvent{InviteID: inviteID, Invitee: indoor, Data: "coming"}),
		event(protocol.OnInviteeRejected, protocol.InviteeEvent{InviteID: inviteID, Invitee: indoor, Data: "not now"}),
		event(protocol.OnInvitationCancelled, protocol.CancelledEvent{InviteID: inviteID, Inviter: door, Data: "never mind"}),
		event(protocol.OnInvitationTimeout, protocol.InvitationTimeoutEvent{InviteID: inviteID, InviteeList: []string{indoor}}),
		event(protocol.OnInvited, protocol.InvitedEvent{
			UserID: door, UserIDList: []string{indoor, "phone"}, Type: protocol.CallTypeVideo, GroupID: family, IsFromGroup: true, RoomID: 81427,
		}),
		event(protocol.OnCallingCancel, protocol.CallingCancelEvent{UserID: door}),
		event(protocol.OnCallingTimeOut, none),
		event(protocol.OnReject, protocol.CallUserEvent{UserID: indoor}),
		event(protocol.OnNoResp, protocol.CallUserEvent{UserID: indoor}),
		event(protocol.OnLineBusy, protocol.CallUserEvent{UserID: indoor}),
		event(protocol.OnGroupCallInviteeListUpdate, protocol.InviteeListEvent{UserIDList: []string{"phone"}}),
		event(protocol.OnUserEnter, protocol.CallUserEvent{UserID: indoor}),
		event(protocol.OnUserLeave, protocol.CallUserEvent{UserID: indoor}),
		event(protocol.OnUserAudioAvailable, protocol.AudioAvailableEvent{UserID: indoor, IsAudioAvailable: true}),
		event(protocol.OnUserVideoAvailable, protocol.VideoAvailableEvent{UserID: indoor, IsVideoAvailable: true}),
		event(protocol.OnUserVoiceVolume, protocol.VoiceVolumeEvent{UserID: indoor, Volume: 42}),
		event(protocol.OnCallEnd, protocol.CallEndEvent{RoomID: 81427, Reason: protocol.EndHangup, Seconds: 33}),
		event(protocol.OnCallingError, protocol.Error{Code: protocol.CodeCallSignalingFailed, Msg: "the camera /dev/video0 cannot be opened: no such device"}),
		event(protocol.OnStoreReplaced, protocol.StoreReplacedEvent{
			Reason: "invalid database", SetAside: "/var/lib/herald/agent.db.damaged-1760000000",
		}),
		event(protocol.OnMediaChanged, protocol.MediaChangedEvent{Kind: "camera", State: "running", Warning: "the camera gives 640×480 at 15 pictures/s, not 640×480 at 30"}),
		event(protocol.OnHubRewound, protocol.HubRewoundEvent{Logs: 2, Entries: 17, Sent: 3, Queue: 4}),
	}...)
}

func methodSampleOf(i *protocol.Info) (methodSample, error) {
	var found []methodSample
	for _, s := range methodSamples() {
		if s.info == i {
			found = append(found, s)
		}
	}
	if len(found) != 1 || reflect.TypeOf(found[0].result) != i.Response {
		return methodSample{}, fmt.Errorf("samples.go has %d samples of %s, not one", len(found), i.Name)
	}
	return found[0], nil
}

func eventSampleOf(e *protocol.EventInfo) (eventSample, error) {
	var found []eventSample
	for _, s := range eventSamples() {
		if s.err != nil {
			return s, s.err
		}
		if s.occurrence.Info == e {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		return eventSample{}, fmt.Errorf("samples.go has %d samples of %s, not one", len(found), e.Name)
	}
	return found[0], nil
}
