package protocol

// InvitedEvent is the data of calling.onInvited.
type InvitedEvent struct {
	// UserID of whoever calls.
	UserID string `json:"userId"`
	// UserIDList is who is called, this account among them.
	UserIDList []string `json:"userIdList"`
	// Type of the call: 1 video, 2 voice.
	Type CallType `json:"type"`
	// GroupID of the group it is in, empty if it is in none.
	GroupID string `json:"groupId"`
	// IsFromGroup says that several are called.
	IsFromGroup bool `json:"isFromGroup"`
	// RoomID of the call, chosen by the caller.
	RoomID uint32 `json:"roomId"`
}

// CallUserEvent is the data of the events about one of a call.
type CallUserEvent struct {
	// UserID of whom it is about.
	UserID string `json:"userId"`
}

// CallingCancelEvent is the data of calling.onCallingCancel.
type CallingCancelEvent struct {
	// UserID of whoever called and does no more, or of this account if another
	// terminal of it answered.
	UserID string `json:"userId"`
}

// InviteeListEvent is the data of calling.onGroupCallInviteeListUpdate.
type InviteeListEvent struct {
	// UserIDList is who still rings.
	UserIDList []string `json:"userIdList"`
}

// AudioAvailableEvent is the data of calling.onUserAudioAvailable.
type AudioAvailableEvent struct {
	// UserID of whom it is about.
	UserID string `json:"userId"`
	// IsAudioAvailable says that he sends sound.
	IsAudioAvailable bool `json:"isAudioAvailable"`
}

// VideoAvailableEvent is the data of calling.onUserVideoAvailable.
type VideoAvailableEvent struct {
	// UserID of whom it is about.
	UserID string `json:"userId"`
	// IsVideoAvailable says that he sends a picture.
	IsVideoAvailable bool `json:"isVideoAvailable"`
}

// VoiceVolumeEvent is the data of calling.onUserVoiceVolume.
type VoiceVolumeEvent struct {
	// UserID of who is heard, this account itself among them.
	UserID string `json:"userId"`
	// Volume is 0 to 100.
	Volume int `json:"volume"`
}

// Why a call ended (CallEndEvent.Reason).
const (
	EndHangup    = "hangup"    // one of the two, or the last other one, left
	EndRejected  = "rejected"  // nobody accepted
	EndBusy      = "busy"      // nobody accepted: in a call already
	EndNoAnswer  = "noAnswer"  // nobody answered in time
	EndCancelled = "cancelled" // taken back before it was accepted
	EndElsewhere = "elsewhere" // another terminal of this account answered, or somebody was faster
	EndLost      = "lost"      // the other side is not heard of any more, or was never reached
	EndError     = "error"     // see calling.onError
)

// CallEndEvent is the data of calling.onCallEnd.
type CallEndEvent struct {
	// RoomID of the call.
	RoomID uint32 `json:"roomId"`
	// Reason is hangup, rejected, busy, noAnswer, cancelled, elsewhere, lost or error.
	Reason string `json:"reason"`
	// Seconds for which it was connected.
	Seconds int64 `json:"seconds"`
}

// The events of calls.
var (
	OnInvited = DeclareEvent[InvitedEvent](EventInfo{
		Name: "calling.onInvited", Doc: "somebody calls: accept or reject", Listen: []string{"calling"},
	})
	OnCallingCancel = DeclareEvent[CallingCancelEvent](EventInfo{
		Name: "calling.onCallingCancel", Doc: "the call that rang was taken back, or answered by another terminal of this account", Listen: []string{"calling"},
	})
	OnCallingTimeOut = DeclareEvent[Empty](EventInfo{
		Name: "calling.onCallingTimeOut", Doc: "the call that rang was not answered in time", Listen: []string{"calling"},
	})
	OnReject = DeclareEvent[CallUserEvent](EventInfo{
		Name: "calling.onReject", Doc: "somebody who was called has rejected", Listen: []string{"calling"},
	})
	OnNoResp = DeclareEvent[CallUserEvent](EventInfo{
		Name: "calling.onNoResp", Doc: "somebody who was called has not answered in time", Listen: []string{"calling"},
	})
	OnLineBusy = DeclareEvent[CallUserEvent](EventInfo{
		Name: "calling.onLineBusy", Doc: "somebody who was called is in a call already", Listen: []string{"calling"},
	})
	OnGroupCallInviteeListUpdate = DeclareEvent[InviteeListEvent](EventInfo{
		Name: "calling.onGroupCallInviteeListUpdate", Doc: "others ring than before", Listen: []string{"calling"},
	})
	OnUserEnter = DeclareEvent[CallUserEvent](EventInfo{
		Name: "calling.onUserEnter", Doc: "somebody is in the call now, connected with this board", Listen: []string{"calling"},
	})
	OnUserLeave = DeclareEvent[CallUserEvent](EventInfo{
		Name: "calling.onUserLeave", Doc: "somebody has left the call, or is lost", Listen: []string{"calling"},
	})
	OnUserAudioAvailable = DeclareEvent[AudioAvailableEvent](EventInfo{
		Name: "calling.onUserAudioAvailable", Doc: "somebody has begun to send sound, or ceased to", Listen: []string{"calling"},
	})
	OnUserVideoAvailable = DeclareEvent[VideoAvailableEvent](EventInfo{
		Name: "calling.onUserVideoAvailable", Doc: "somebody has begun to send a picture, or ceased to", Listen: []string{"calling"},
	})
	OnUserVoiceVolume = DeclareEvent[VoiceVolumeEvent](EventInfo{
		Name: "calling.onUserVoiceVolume", Doc: "how loud somebody is, every 300 ms while connected", Listen: []string{"calling"}, Transient: true,
	})
	OnCallEnd = DeclareEvent[CallEndEvent](EventInfo{
		Name: "calling.onCallEnd", Doc: "the call is over for this board: the last event of each call", Listen: []string{"calling"},
	})
	OnCallingError = DeclareEvent[Error](EventInfo{
		Name: "calling.onError", Doc: "something of the call went wrong; if the call ends of it, calling.onCallEnd follows", Listen: []string{"calling"},
	})
)
