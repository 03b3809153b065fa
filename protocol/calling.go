package protocol

import "slices"

// Limits of calls. In a mesh each board sends to every other one.
const (
	MaxCallUsers      = 6    // in a voice call, the caller among them
	MaxVideoCallUsers = 4    // in a video call
	MaxRingUsers      = 32   // who may be rung at once where the first to answer has the call
	MaxRingTimeout    = 3600 // s
)

// CallType is the document's type of a call.
type CallType int

const (
	CallTypeUnknown CallType = 0
	CallTypeVideo   CallType = 1
	CallTypeVoice   CallType = 2
)

// Rect is where a page shows a picture, in its own pixels. What is missing is 0.
type Rect struct {
	// X of its left edge.
	X float64 `json:"x,omitempty"`
	// Y of its upper edge.
	Y float64 `json:"y,omitempty"`
	// W is how wide it is.
	W float64 `json:"w,omitempty"`
	// H is how high it is.
	H float64 `json:"h,omitempty"`
}

// maxRect is more than any screen has.
const maxRect = 1 << 16

func (r *Rect) check() error {
	if r == nil {
		return nil
	}
	for _, v := range [...]struct {
		name  string
		value float64
		least float64
	}{{"x", r.X, -maxRect}, {"y", r.Y, -maxRect}, {"w", r.W, 0}, {"h", r.H, 0}} {
		if v.value < v.least || v.value > maxRect {
			return badCall("rect.%s: %g is not %g to %d", v.name, v.value, v.least, maxRect)
		}
	}
	return nil
}

func badCall(format string, args ...any) error {
	return Errorf(CodeCallInvalidParameter, format, args...)
}

func checkCallUser(field, user string) error {
	switch {
	case user == "":
		return badCall("%s: missing", field)
	case !ValidUserID(user):
		return badCall("%s: %q is not 1 to %d bytes of A-Z a-z 0-9 _ -", field, Clip(user), MaxUserID)
	}
	return nil
}

func checkCallType(t *CallType) error {
	switch *t {
	case CallTypeUnknown:
		*t = CallTypeVoice
	case CallTypeVideo, CallTypeVoice:
	default:
		return badCall("type: %d is not 1 (video) or 2 (voice)", *t)
	}
	return nil
}

func checkRing(timeout *int) error {
	if timeout != nil && (*timeout < 1 || *timeout > MaxRingTimeout) {
		return badCall("timeout: %d is not 1 to %d seconds", *timeout, MaxRingTimeout)
	}
	return nil
}

// CallingLoginRequest is the request of calling.login.
type CallingLoginRequest struct {
	// SDKAppID of the app that the UserSig was made for.
	SDKAppID AppID `json:"sdkAppId"`
	// UserID is the account, 1 to 32 bytes of A-Z a-z 0-9 _ -.
	UserID string `json:"userId"`
	// UserSig is the account's ticket, made by the operator.
	UserSig string `json:"userSig"`
}

func (r *CallingLoginRequest) Validate() error {
	if r.SDKAppID == 0 {
		return badCall("sdkAppId: missing")
	}
	l := LoginRequest{r.UserID, r.UserSig}
	return l.Validate()
}

// CallRequest is the request of calling.call.
type CallRequest struct {
	// UserID of whom to call.
	UserID string `json:"userId"`
	// Type of the call: 1 video, 2 voice. Missing or 0: voice.
	Type CallType `json:"type,omitempty"`
	// Timeout in seconds for which it rings, 1 to 3600. Missing: 30.
	Timeout *int `json:"timeout,omitempty"`
}

func (r *CallRequest) Validate() error {
	if err := checkCallUser("userId", r.UserID); err != nil {
		return err
	}
	if err := checkCallType(&r.Type); err != nil {
		return err
	}
	return checkRing(r.Timeout)
}

// What GroupCallRequest.Answer can be.
const (
	AnswerAll   = "all"   // everybody who answers is in the call
	AnswerFirst = "first" // the first to answer has it, the others stop to ring
)

// GroupCallRequest is the request of calling.groupCall.
type GroupCallRequest struct {
	// UserIDList is whom to call. All who are in a call send to each other, so with
	// the caller they are at most 6 (voice) or 4 (video); where the first to answer
	// has the call 1 to 32 may be rung.
	UserIDList []string `json:"userIdList"`
	// Type of the call: 1 video, 2 voice. Missing or 0: voice.
	Type CallType `json:"type,omitempty"`
	// GroupID of a group that all of them are members of. Missing: each is called
	// for himself.
	GroupID string `json:"groupId,omitempty"`
	// Answer is "all" or "first": the first to answer has the call, and the others
	// stop to ring. Missing: all.
	Answer string `json:"answer,omitempty"`
	// Timeout in seconds for which it rings, 1 to 3600. Missing: 30.
	Timeout *int `json:"timeout,omitempty"`
}

func (r *GroupCallRequest) Validate() error {
	if err := checkCallType(&r.Type); err != nil {
		return err
	}
	if r.Answer == "" {
		r.Answer = AnswerAll
	}
	most := MaxCallUsers - 1
	switch {
	case r.Answer == AnswerFirst:
		most = MaxRingUsers
	case r.Answer != AnswerAll:
		return badCall("answer: %q is not \"all\" or \"first\"", Clip(r.Answer))
	case r.Type == CallTypeVideo:
		most = MaxVideoCallUsers - 1
	}
	switch n := len(r.UserIDList); {
	case n == 0:
		return badCall("userIdList: missing")
	case n > most:
		return badCall("userIdList: %d are over the limit of %d for this kind of call", n, most)
	}
	for i, user := range r.UserIDList {
		if err := checkCallUser("userIdList", user); err != nil {
			return err
		}
		if slices.Contains(r.UserIDList[:i], user) {
			return badCall("userIdList: %s is in it twice", user)
		}
	}
	if r.GroupID != "" && !ValidGroupID(r.GroupID) {
		return badCall("groupId: %q is no group id", Clip(r.GroupID))
	}
	return checkRing(r.Timeout)
}

// RemoteViewRequest is the request of calling.startRemoteView.
type RemoteViewRequest struct {
	// UserID of whose picture to show.
	UserID string `json:"userId"`
	// Rect is where the page shows it.
	Rect *Rect `json:"rect,omitempty"`
}

func (r *RemoteViewRequest) Validate() error {
	if err := checkCallUser("userId", r.UserID); err != nil {
		return err
	}
	return r.Rect.check()
}

// StopRemoteViewRequest is the request of calling.stopRemoteView.
type StopRemoteViewRequest struct {
	// UserID of whose picture to show no more.
	UserID string `json:"userId"`
}

func (r *StopRemoteViewRequest) Validate() error { return checkCallUser("userId", r.UserID) }

// ViewResponse is the response of calling.startRemoteView and calling.openCamera.
type ViewResponse struct {
	// URL of the picture in the local API, for a page or a player that speaks WHEP:
	// POST an SDP offer to it.
	URL string `json:"url"`
}

// OpenCameraRequest is the request of calling.openCamera.
type OpenCameraRequest struct {
	// IsFront chooses the camera: the front one or the back one.
	IsFront *bool `json:"isFront"`
	// Rect is where the page shows one's own picture.
	Rect *Rect `json:"rect,omitempty"`
}

func (r *OpenCameraRequest) Validate() error {
	if r.IsFront == nil {
		return badCall("isFront: missing")
	}
	return r.Rect.check()
}

// SwitchCameraRequest is the request of calling.switchCamera.
type SwitchCameraRequest struct {
	// IsFront chooses the camera: the front one or the back one.
	IsFront *bool `json:"isFront"`
}

func (r *SwitchCameraRequest) Validate() error {
	if r.IsFront == nil {
		return badCall("isFront: missing")
	}
	return nil
}

// MicMuteRequest is the request of calling.setMicMute.
type MicMuteRequest struct {
	// IsMute silences the microphone.
	IsMute *bool `json:"isMute"`
}

func (r *MicMuteRequest) Validate() error {
	if r.IsMute == nil {
		return badCall("isMute: missing")
	}
	return nil
}

// HandsFreeRequest is the request of calling.setHandsFree.
type HandsFreeRequest struct {
	// IsHandsFree plays the sound on the loud device of the configuration.
	IsHandsFree *bool `json:"isHandsFree"`
}

func (r *HandsFreeRequest) Validate() error {
	if r.IsHandsFree == nil {
		return badCall("isHandsFree: missing")
	}
	return nil
}

// callCodes are what the methods of a call may be refused with.
func callCodes(more ...Code) []Code {
	return append([]Code{CodeCallNotInitialized, CodeCallInvalidParameter, CodeCallWrongState}, more...)
}

// placeCodes are what placing or answering a call may be refused with: what the
// hub may say of an invitation among them.
var placeCodes = callCodes(CodeCallRepeated, CodeCallSignalingFailed, CodeNotLoggedIn, CodeNetDisconnect, CodeRequestTimeout,
	CodeSvrMsgToAccountNotFound, CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny, CodeSignalingInvalidInviteID, CodeSignalingNoPermission, CodeNetReqCountLimit)

// The family of calls.
var (
	CallingInit = Declare[Empty, Empty](Info{
		Name: "calling.init", Doc: "makes calls possible; the daemon starts so, so this is needed after calling.destroy only",
		Source: "init (calling)", Scope: Write, Route: Local,
	})
	SetCallingListener = Declare[ListenRequest, Empty](Info{
		Name: "calling.setCallingListener", Doc: "has a program's event stream carry the events of calls", Source: "setCallingListener", Scope: Read, Route: Local,
	})
	RemoveCallingListener = Declare[ListenRequest, Empty](Info{
		Name: "calling.removeCallingListener", Doc: "ends what calling.setCallingListener began", Source: "removeCallingListener", Scope: Read, Route: Local,
	})
	CallingDestroy = Declare[Empty, Empty](Info{
		Name: "calling.destroy", Doc: "ends the call and has the board ring no more until calling.init", Source: "destroy (calling)", Scope: Write, Route: Local,
	})
	CallingLogin = Declare[CallingLoginRequest, Empty](Info{
		Name: "calling.login", Doc: "logs an account in, as im.login does: there is one login", Source: "login (calling)", Scope: Write, Route: Local,
		Codes: append([]Code{CodeCallNotInitialized, CodeCallInvalidParameter}, loginCodes...),
	})
	CallingLogout = Declare[Empty, Empty](Info{
		Name: "calling.logout", Doc: "ends the call and the login, as im.logout does", Source: "logout (calling)", Scope: Write, Route: Local,
		Codes: []Code{CodeCallNotInitialized, CodeNotInitialized},
	})
	PlaceCall = Declare[CallRequest, Empty](Info{
		Name: "calling.call", Doc: "calls an account", Source: "call", Scope: Write, Route: Local, Codes: placeCodes,
	})
	PlaceGroupCall = Declare[GroupCallRequest, Empty](Info{
		Name: "calling.groupCall", Doc: "calls several accounts at once", Source: "groupCall", Scope: Write, Route: Local, Codes: placeCodes,
	})
	AcceptCall = Declare[Empty, Empty](Info{
		Name: "calling.accept", Doc: "accepts the call that rings", Source: "accept (calling)", Scope: Write, Route: Local, Codes: placeCodes,
	})
	RejectCall = Declare[Empty, Empty](Info{
		Name: "calling.reject", Doc: "rejects the call that rings", Source: "reject (calling)", Scope: Write, Route: Local, Codes: placeCodes,
	})
	Hangup = Declare[Empty, Empty](Info{
		Name: "calling.hangup", Doc: "leaves the call, takes back the one that is being placed, or rejects the one that rings", Source: "hangup", Scope: Write, Route: Local,
		Codes: callCodes(),
	})
	StartRemoteView = Declare[RemoteViewRequest, ViewResponse](Info{
		Name: "calling.startRemoteView", Doc: "offers the picture of somebody in the call to a page on the board", Source: "startRemoteView", Scope: Write, Route: Local,
		Codes: callCodes(CodeCallSceneUnsupported),
	})
	StopRemoteView = Declare[StopRemoteViewRequest, Empty](Info{
		Name: "calling.stopRemoteView", Doc: "ends what calling.startRemoteView began", Source: "stopRemoteView", Scope: Write, Route: Local, Codes: callCodes(),
	})
	OpenCamera = Declare[OpenCameraRequest, ViewResponse](Info{
		Name: "calling.openCamera", Doc: "sends the picture of a camera, and offers it to a page on the board", Source: "openCamera", Scope: Write, Route: Local,
		Codes: callCodes(CodeCallSceneUnsupported, CodeCallPermissionDenied),
	})
	SwitchCamera = Declare[SwitchCameraRequest, Empty](Info{
		Name: "calling.switchCamera", Doc: "sends the picture of the other camera", Source: "switchCamera", Scope: Write, Route: Local,
		Codes: callCodes(CodeCallSceneUnsupported, CodeCallPermissionDenied),
	})
	CloseCamera = Declare[Empty, Empty](Info{
		Name: "calling.closeCamera", Doc: "sends no picture any more", Source: "closeCamera", Scope: Write, Route: Local, Codes: callCodes(),
	})
	SetMicMute = Declare[MicMuteRequest, Empty](Info{
		Name: "calling.setMicMute", Doc: "silences the microphone, or lets it be heard again", Source: "setMicMute", Scope: Write, Route: Local, Codes: callCodes(),
	})
	SetHandsFree = Declare[HandsFreeRequest, Empty](Info{
		Name: "calling.setHandsFree", Doc: "chooses between the two playback devices of the configuration", Source: "setHandsFree", Scope: Write, Route: Local, Codes: callCodes(),
	})
)
