package protocol

import (
	"encoding/json"
	"strings"
)

// Limits of invitations, and what is taken where a request names none.
const (
	MaxInvitees          = 100   // in one invitation
	MaxOpenInvites       = 100   // of one inviter
	MaxInviteTimeout     = 86400 // s
	DefaultInviteTimeout = 30    // s
)

// InviteRequest is the request of im.invite.
type InviteRequest struct {
	// Invitee is the userId of whoever is invited.
	Invitee string `json:"invitee"`
	// Data goes along as it is. With the rest of the signaling message at most 8 KB.
	Data string `json:"data"`
	// Timeout in seconds until the invitation ends by itself, 0 to 86400; 0: never.
	// Missing: 30.
	Timeout *int `json:"timeout,omitempty"`
}

func (r *InviteRequest) Validate() error {
	if err := CheckUserID("invitee", r.Invitee); err != nil {
		return err
	}
	return checkSignaling(r.Data, r.Timeout)
}

// InviteInGroupRequest is the request of im.inviteInGroup.
type InviteInGroupRequest struct {
	// GroupID of a group that inviter and invitees are members of. An AVChatRoom,
	// which keeps nothing, has no invitations.
	GroupID string `json:"groupId"`
	// InviteeList are the userIds of 1 to 100 members.
	InviteeList []string `json:"inviteeList"`
	// Data goes along as it is. With the rest of the signaling message at most 8 KB.
	Data string `json:"data"`
	// Timeout in seconds until the invitation ends by itself, 0 to 86400; 0: never.
	// Missing: 30.
	Timeout *int `json:"timeout,omitempty"`
}

func (r *InviteInGroupRequest) Validate() error {
	if err := CheckGroupID("groupId", r.GroupID); err != nil {
		return err
	}
	if err := checkUserIDs("inviteeList", r.InviteeList, MaxInvitees, CodeInvalidParameters); err != nil {
		return err
	}
	seen := make(map[string]bool, len(r.InviteeList))
	for _, user := range r.InviteeList {
		if seen[user] {
			return invalid("inviteeList: %s is in it twice", user)
		}
		seen[user] = true
	}
	return checkSignaling(r.Data, r.Timeout)
}

func checkSignaling(data string, timeout *int) error {
	if err := checkContent("data", data); err != nil {
		return err
	}
	if timeout != nil && (*timeout < 0 || *timeout > MaxInviteTimeout) {
		return invalid("timeout: %d is not 0 to %d seconds", *timeout, MaxInviteTimeout)
	}
	return nil
}

// InviteResponse is the response of im.invite and im.inviteInGroup.
type InviteResponse struct {
	// InviteID of the new invitation.
	InviteID string `json:"inviteId"`
	// RefusedList are those of a group who were not invited, as they have the inviter
	// in the blacklist.
	RefusedList []string `json:"refusedList,omitempty"`
}

// InviteStepRequest is the request of im.cancel, im.accept and im.reject.
type InviteStepRequest struct {
	// InviteID of the invitation.
	InviteID string `json:"inviteId"`
	// Data goes along as it is. With the rest of the signaling message at most 8 KB.
	Data string `json:"data"`
}

func (r *InviteStepRequest) Validate() error {
	if err := checkInviteID(r.InviteID); err != nil {
		return err
	}
	return checkContent("data", r.Data)
}

func checkInviteID(id string) error {
	switch {
	case id == "":
		return invalid("inviteId: missing")
	case !validWord(id, 64):
		return Errorf(CodeSignalingInvalidInviteID, "inviteId: %q is not valid", Clip(id))
	}
	return nil
}

// AddInvitedSignalingRequest is the request of im.addInvitedSignaling.
type AddInvitedSignalingRequest struct {
	// InviteID of the invitation, as it came by another way than the hub's.
	InviteID string `json:"inviteId"`
	// Data of the invitation; the hub's own counts.
	Data string `json:"data,omitempty"`
}

func (r *AddInvitedSignalingRequest) Validate() error { return checkInviteID(r.InviteID) }

// SignalingInfoRequest is the request of im.getSignalingInfo. It names a message
// and its conversation, or an invitation.
type SignalingInfoRequest struct {
	// MsgID of a signaling message.
	MsgID string `json:"msgId,omitempty"`
	// UserID is the other side of the conversation that MsgID is in.
	UserID string `json:"userId,omitempty"`
	// GroupID is the group that MsgID is in.
	GroupID string `json:"groupId,omitempty"`
	// InviteID of an invitation that is not over for long: inviter and invitees may
	// ask for it.
	InviteID string `json:"inviteId,omitempty"`
}

func (r *SignalingInfoRequest) Validate() error {
	switch {
	case r.MsgID == "" && r.InviteID == "":
		return invalid("msgId: missing, and so is inviteId")
	case r.MsgID == "":
		return checkInviteID(r.InviteID)
	case r.UserID != "" && r.GroupID != "":
		return invalid("userId: given beside groupId; a message is in one conversation")
	case r.GroupID != "":
		return CheckGroupID("groupId", r.GroupID)
	}
	return CheckUserID("userId", r.UserID)
}

// SignalingInfo is the document's signalingInfo.
type SignalingInfo struct {
	// InviteID of the invitation.
	InviteID string `json:"inviteId"`
	// GroupID of the group it is in, empty between two accounts.
	GroupID string `json:"groupId"`
	// Inviter is the userId of whoever invited.
	Inviter string `json:"inviter"`
	// InviteeList are the userIds that the step concerns: of an invitation or its
	// cancellation all whom it waits for, of an answer the one who gave it, of a
	// timeout those who gave none.
	InviteeList []string `json:"inviteeList"`
	// Data of the step.
	Data string `json:"data"`
	// Timeout of the invitation in seconds; 0: none.
	Timeout int `json:"timeout"`
	// ActionType of the step: 1 invite, 2 cancel, 3 accept, 4 reject, 5 timeout.
	ActionType SignalingAction `json:"actionType"`
}

// SignalingInfoResponse is the response of im.getSignalingInfo.
type SignalingInfoResponse struct {
	// SignalingInfo is the step.
	SignalingInfo SignalingInfo `json:"signalingInfo"`
}

// SignalingAction is a step of an invitation (rules of signaling, actionType).
type SignalingAction uint8

const (
	SignalingInvite  SignalingAction = 1
	SignalingCancel  SignalingAction = 2
	SignalingAccept  SignalingAction = 3
	SignalingReject  SignalingAction = 4
	SignalingTimeout SignalingAction = 5
)

// SignalingStep is the custom data of a signaling message, in the JSON that
// Tencent's clients use.
type SignalingStep struct {
	BusinessID     int             `json:"businessID"` // 1
	InviteID       string          `json:"inviteID"`
	GroupID        string          `json:"groupID"`
	Inviter        string          `json:"inviter"`
	InviteeList    []string        `json:"inviteeList"`
	Data           string          `json:"data"`
	Timeout        int             `json:"timeout"` // s
	ActionType     SignalingAction `json:"actionType"`
	OnlineUserOnly bool            `json:"onlineUserOnly"`
}

// SignalingBusiness is the businessID of signaling.
const SignalingBusiness = 1

// Info is the step as programs see it.
func (s SignalingStep) Info() SignalingInfo {
	return SignalingInfo{
		InviteID: s.InviteID, GroupID: s.GroupID, Inviter: s.Inviter, InviteeList: s.InviteeList, Data: s.Data, Timeout: s.Timeout, ActionType: s.ActionType,
	}
}

// Signaling is the body of an EntrySignaling: a Message of custom data, and for
// whom it is an event, too.
type Signaling struct {
	Elem     Elem     `cbor:"1,keyasint"` // ElemCustom
	Custom   string   `cbor:"3,keyasint"` // a SignalingStep in JSON
	Concerns []string `cbor:"4,keyasint"` // userIds: the inviter and all invitees
}

// EncodeSignaling makes the body of an EntrySignaling. CodeMsgBodySizeLimit: it
// is over the limit of a message.
func EncodeSignaling(s SignalingStep, concerns []string) ([]byte, error) {
	s.BusinessID = SignalingBusiness
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return nil, err
	}
	text := strings.TrimSuffix(b.String(), "\n")
	if len(text) > MaxTextBytes {
		return nil, Errorf(CodeMsgBodySizeLimit, "data: with the rest of the signaling message %d bytes are over the limit of %d", len(text), MaxTextBytes)
	}
	return Marshal(Signaling{ElemCustom, text, concerns})
}

// DecodeSignaling reads the body of an EntrySignaling. Fields that it does not
// know are passed over.
func DecodeSignaling(body []byte) (s SignalingStep, concerns []string, err error) {
	if _, err := DecodeMessage(body); err != nil {
		return s, nil, err
	}
	var b Signaling
	if err := Unmarshal(body, &b); err != nil {
		return s, nil, Errorf(CodeInvalidMsgElem, "the signaling message cannot be read: %v", err)
	}
	if err := json.Unmarshal([]byte(b.Custom), &s); err != nil {
		return s, nil, Errorf(CodeInvalidMsgElem, "the signaling message is not valid JSON: %v", err)
	}
	return s, b.Concerns, nil
}

// SignalingOf reads a step from a message's custom data; false: it is none.
func SignalingOf(custom string) (s SignalingStep, ok bool) {
	if !strings.HasPrefix(custom, "{") || json.Unmarshal([]byte(custom), &s) != nil {
		return SignalingStep{}, false
	}
	return s, s.BusinessID == SignalingBusiness && s.InviteID != "" && s.ActionType != 0
}

// InvitationEvent is the data of im.onReceiveNewInvitation.
type InvitationEvent struct {
	// InviteID of the invitation.
	InviteID string `json:"inviteId"`
	// Inviter is the userId of whoever invites.
	Inviter string `json:"inviter"`
	// GroupID of the group it is in, empty between two accounts.
	GroupID string `json:"groupId"`
	// InviteeList are the userIds of all who are invited.
	InviteeList []string `json:"inviteeList"`
	// Data as the inviter gave it.
	Data string `json:"data"`
}

// InviteeEvent is the data of im.onInviteeAccepted and im.onInviteeRejected.
type InviteeEvent struct {
	// InviteID of the invitation.
	InviteID string `json:"inviteId"`
	// Invitee is the userId of whoever answered.
	Invitee string `json:"invitee"`
	// Data as the invitee gave it.
	Data string `json:"data"`
}

// CancelledEvent is the data of im.onInvitationCancelled.
type CancelledEvent struct {
	// InviteID of the invitation.
	InviteID string `json:"inviteId"`
	// Inviter is the userId of whoever invited and does no more.
	Inviter string `json:"inviter"`
	// Data as the inviter gave it.
	Data string `json:"data"`
}

// InvitationTimeoutEvent is the data of im.onInvitationTimeout.
type InvitationTimeoutEvent struct {
	// InviteID of the invitation.
	InviteID string `json:"inviteId"`
	// InviteeList are the userIds of those who have not answered.
	InviteeList []string `json:"inviteeList"`
}

// The family of signaling.
var (
	SetSignalingListener = Declare[ListenRequest, Empty](Info{
		Name: "im.setSignalingListener", Doc: "has a program's event stream carry invitations and what becomes of them",
		Source: "setSignalingListener", Scope: Read, Route: Local,
	})
	RemoveSignalingListener = Declare[ListenRequest, Empty](Info{
		Name: "im.removeSignalingListener", Doc: "ends what im.setSignalingListener began",
		Source: "removeSignalingListener", Scope: Read, Route: Local,
	})
	Invite = Declare[InviteRequest, InviteResponse](Info{
		Name: "im.invite", Doc: "invites an account, to a call for instance", Source: "invite", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeInvalidIdentifier, CodeMsgBodySizeLimit, CodeSvrMsgToAccountNotFound, CodeNetReqCountLimit),
	})
	InviteInGroup = Declare[InviteInGroupRequest, InviteResponse](Info{
		Name: "im.inviteInGroup", Doc: "invites members of a group", Source: "inviteInGroup", Scope: Write, Route: Hub,
		Codes: hubCodes(CodeInvalidIdentifier, CodeGroupInvalidID, CodeMsgBodySizeLimit, CodeSvrGroupNotFound, CodeSvrGroupPermissionDeny, CodeNetReqCountLimit),
	})
	Cancel = Declare[InviteStepRequest, Empty](Info{
		Name: "im.cancel", Doc: "takes back one's own invitation from those who have not answered", Source: "cancel", Scope: Write, Route: Hub,
		Codes: stepCodes,
	})
	Accept = Declare[InviteStepRequest, Empty](Info{
		Name: "im.accept", Doc: "accepts an invitation", Source: "accept", Scope: Write, Route: Hub, Codes: stepCodes,
	})
	Reject = Declare[InviteStepRequest, Empty](Info{
		Name: "im.reject", Doc: "rejects an invitation", Source: "reject", Scope: Write, Route: Hub, Codes: stepCodes,
	})
	GetSignalingInfo = Declare[SignalingInfoRequest, SignalingInfoResponse](Info{
		Name: "im.getSignalingInfo", Doc: "says what a signaling message, or an invitation, is about", Source: "getSignalingInfo", Scope: Read, Route: Hub,
		Codes: hubCodes(CodeInvalidIdentifier, CodeGroupInvalidID, CodeSignalingInvalidInviteID, CodeSignalingNoPermission),
	})
	AddInvitedSignaling = Declare[AddInvitedSignalingRequest, Empty](Info{
		Name: "im.addInvitedSignaling", Doc: "asks whether an invitation that came by another way can be answered", Source: "addInvitedSignaling", Scope: Read, Route: Hub,
		Codes: hubCodes(CodeSignalingInvalidInviteID, CodeSignalingNoPermission),
	})
)

// stepCodes are what a step of an invitation may be refused with.
var stepCodes = hubCodes(CodeMsgBodySizeLimit, CodeSignalingInvalidInviteID, CodeSignalingNoPermission)
