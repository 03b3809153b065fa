package protocol

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"
)

// EventInfo is all that is said once about an event.
type EventInfo struct {
	Name   string   // "im.onRecvC2CTextMessage"
	Doc    string   // one line
	Listen []string // the categories it belongs to
	// Transient events go to the streams that are open and are not kept in
	// the journal: they tell of a moment, and a board's flash is not worn for
	// a bad network.
	Transient bool
	// FromHub events are told by the hub, in an EntryEvent.
	FromHub bool

	Data reflect.Type

	fromCBOR func([]byte) (Occurrence, error)
}

// Type is the document's name of the event: Name without its module, and without
// what tells apart two events that the document has under one name.
func (e *EventInfo) Type() string {
	_, t, _ := strings.Cut(e.Name, ".")
	t, _, _ = strings.Cut(t, ".")
	return t
}

// Categories are the names that "listen" accepts in this version.
var Categories = []string{"sdk", "simple", "advanced", "device", "signaling", "calling", "conversation", "group", "friend"}

// Event is a declared event with the type of its data.
type Event[T any] struct{ info *EventInfo }

// Info returns what was declared.
func (e Event[T]) Info() *EventInfo { return e.info }

var eventRegistry []*EventInfo

// DeclareEvent says an event, once.
func DeclareEvent[T any](i EventInfo) Event[T] {
	if LookupEvent(i.Name) != nil || i.Doc == "" || len(i.Listen) == 0 {
		panic("protocol: bad declaration of " + i.Name)
	}
	i.Data = reflect.TypeFor[T]()
	e := Event[T]{&i}
	i.fromCBOR = func(b []byte) (Occurrence, error) {
		var data T
		if err := Unmarshal(b, &data); err != nil {
			return Occurrence{}, invalid("the data of %s is not valid: %v", i.Name, err)
		}
		return e.New(data)
	}
	eventRegistry = append(eventRegistry, &i)
	return e
}

// Events returns every declared event, by name.
func Events() []*EventInfo {
	out := append([]*EventInfo(nil), eventRegistry...)
	sort.Slice(out, func(a, b int) bool { return out[a].Name < out[b].Name })
	return out
}

// LookupEvent finds an event by its full name; nil if it is not declared.
func LookupEvent(name string) *EventInfo {
	for _, i := range eventRegistry {
		if i.Name == name {
			return i
		}
	}
	return nil
}

// Occurrence is an event that happened: its name and the JSON that programs
// get, which begins with the document's eventType.
type Occurrence struct {
	Info *EventInfo
	JSON []byte
}

// New makes an occurrence of e.
func (e Event[T]) New(data T) (Occurrence, error) {
	b, err := json.Marshal(data)
	if err != nil {
		return Occurrence{}, fmt.Errorf("encode %s: %w", e.info.Name, err)
	}
	out := make([]byte, 0, len(b)+64)
	out = append(out, `{"eventType":"`...)
	out = append(append(out, e.info.Type()...), '"')
	if len(b) > 2 {
		out = append(out, ',')
		out = append(out, b[1:]...)
	} else {
		out = append(out, '}')
	}
	return Occurrence{Info: e.info, JSON: out}, nil
}

// UserInfo is the document's userInfo.
type UserInfo struct {
	// UserID of the account.
	UserID string `json:"userId"`
	// NickName of the account, empty if it has none.
	NickName string `json:"nickName"`
	// FaceURL of the account's picture, empty if it has none.
	FaceURL string `json:"faceUrl"`
}

// C2CTextEvent is the data of im.onRecvC2CTextMessage.
type C2CTextEvent struct {
	// MsgID of the message.
	MsgID string `json:"msgId"`
	// Text received.
	Text string `json:"text"`
	// Sender of the message.
	Sender UserInfo `json:"sender"`
	// UserID is the other side of the conversation.
	UserID string `json:"userId"`
	// IsSelf says that another terminal of this account sent it.
	IsSelf bool `json:"isSelf"`
	// Timestamp is the hub's, in Unix seconds.
	Timestamp int64 `json:"timestamp"`
}

// C2CCustomEvent is the data of im.onRecvC2CCustomMessage.
type C2CCustomEvent struct {
	// MsgID of the message.
	MsgID string `json:"msgId"`
	// CustomData received.
	CustomData string `json:"customData"`
	// Sender of the message.
	Sender UserInfo `json:"sender"`
	// UserID is the other side of the conversation.
	UserID string `json:"userId"`
	// IsSelf says that another terminal of this account sent it.
	IsSelf bool `json:"isSelf"`
	// Timestamp is the hub's, in Unix seconds.
	Timestamp int64 `json:"timestamp"`
}

// GroupTextEvent is the data of im.onRecvGroupTextMessage.
type GroupTextEvent struct {
	// MsgID of the message.
	MsgID string `json:"msgId"`
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// Text received.
	Text string `json:"text"`
	// Sender of the message.
	Sender UserInfo `json:"sender"`
	// IsSelf says that another terminal of this account sent it.
	IsSelf bool `json:"isSelf"`
	// Timestamp is the hub's, in Unix seconds.
	Timestamp int64 `json:"timestamp"`
}

// GroupCustomEvent is the data of im.onRecvGroupCustomMessage.
type GroupCustomEvent struct {
	// MsgID of the message.
	MsgID string `json:"msgId"`
	// GroupID of the group.
	GroupID string `json:"groupId"`
	// CustomData received.
	CustomData string `json:"customData"`
	// Sender of the message.
	Sender UserInfo `json:"sender"`
	// IsSelf says that another terminal of this account sent it.
	IsSelf bool `json:"isSelf"`
	// Timestamp is the hub's, in Unix seconds.
	Timestamp int64 `json:"timestamp"`
}

// MessageStatusEvent is the data of im.onMessageStatusChanged.
type MessageStatusEvent struct {
	// MsgID of the message.
	MsgID string `json:"msgId"`
	// Status is 1 sent, 2 failed.
	Status int `json:"status"`
	// Code says why it failed.
	Code Code `json:"code,omitempty"`
	// Msg says why it failed, in a sentence.
	Msg string `json:"msg,omitempty"`
}

// StoreReplacedEvent is the data of device.onStoreReplaced.
type StoreReplacedEvent struct {
	// Reason for which the store could not be opened.
	Reason string `json:"reason"`
	// SetAside is the path of the damaged file.
	SetAside string `json:"setAside"`
	// Salvaged is how many messages that waited to be sent were carried over.
	Salvaged int `json:"salvaged"`
	// Damaged is how many parts of the store could not be read. Of messages
	// among them im.onMessageStatusChanged tells, as far as they are known.
	Damaged int `json:"damaged"`
}

// HubRewoundEvent is the data of device.onHubRewound.
type HubRewoundEvent struct {
	// Logs is how many logs of this account the hub has lost entries of that
	// this board had seen.
	Logs int `json:"logs"`
	// Entries is how many those are. Their events stay in the journal.
	Entries uint64 `json:"entries"`
	// Sent is how many messages of this board the hub had stored and lost.
	Sent uint64 `json:"sent"`
	// Queue is how many messages wait; they are sent as usual.
	Queue int `json:"queue"`
}

// The events.
var (
	OnConnecting = DeclareEvent[Empty](EventInfo{
		Name: "im.onConnecting", Doc: "the link to the hub is being made", Listen: []string{"sdk"}, Transient: true,
	})
	OnConnectSuccess = DeclareEvent[Empty](EventInfo{
		Name: "im.onConnectSuccess", Doc: "the link to the hub stands", Listen: []string{"sdk"}, Transient: true,
	})
	OnConnectFailed = DeclareEvent[Error](EventInfo{
		Name: "im.onConnectFailed", Doc: "the link could not be made, or broke; it is tried again", Listen: []string{"sdk"}, Transient: true,
	})
	OnKickedOffline = DeclareEvent[Error](EventInfo{
		Name: "im.onKickedOffline", Doc: "the account logged in elsewhere on the same platform, or the operator ended the session; log in again",
		Listen: []string{"sdk"},
	})
	OnUserSigExpired = DeclareEvent[Error](EventInfo{
		Name: "im.onUserSigExpired", Doc: "the UserSig in use ran out; log in with a new one", Listen: []string{"sdk"},
	})
	OnRecvC2CTextMessage = DeclareEvent[C2CTextEvent](EventInfo{
		Name: "im.onRecvC2CTextMessage", Doc: "a text from an account", Listen: []string{"simple"},
	})
	OnRecvC2CCustomMessage = DeclareEvent[C2CCustomEvent](EventInfo{
		Name: "im.onRecvC2CCustomMessage", Doc: "custom data from an account", Listen: []string{"simple"},
	})
	OnRecvGroupTextMessage = DeclareEvent[GroupTextEvent](EventInfo{
		Name: "im.onRecvGroupTextMessage", Doc: "a text in a group", Listen: []string{"simple"},
	})
	OnRecvGroupCustomMessage = DeclareEvent[GroupCustomEvent](EventInfo{
		Name: "im.onRecvGroupCustomMessage", Doc: "custom data in a group", Listen: []string{"simple"},
	})
	OnMessageStatusChanged = DeclareEvent[MessageStatusEvent](EventInfo{
		Name: "im.onMessageStatusChanged", Doc: "a message that was answered with queued has been stored by the hub, or refused",
		Listen: []string{"simple", "advanced"},
	})
	OnReceiveNewInvitation = DeclareEvent[InvitationEvent](EventInfo{
		Name: "im.onReceiveNewInvitation", Doc: "the account is invited", Listen: []string{"signaling"},
	})
	OnInviteeAccepted = DeclareEvent[InviteeEvent](EventInfo{
		Name: "im.onInviteeAccepted", Doc: "an invitee has accepted; it may be this account, on another terminal", Listen: []string{"signaling"},
	})
	OnInviteeRejected = DeclareEvent[InviteeEvent](EventInfo{
		Name: "im.onInviteeRejected", Doc: "an invitee has rejected; it may be this account, on another terminal", Listen: []string{"signaling"},
	})
	OnInvitationCancelled = DeclareEvent[CancelledEvent](EventInfo{
		Name: "im.onInvitationCancelled", Doc: "the inviter has taken an invitation back", Listen: []string{"signaling"},
	})
	OnInvitationTimeout = DeclareEvent[InvitationTimeoutEvent](EventInfo{
		Name: "im.onInvitationTimeout", Doc: "an invitation has ended without the answer of some", Listen: []string{"signaling"},
	})
	OnStoreReplaced = DeclareEvent[StoreReplacedEvent](EventInfo{
		Name: "device.onStoreReplaced", Doc: "the board's store was damaged: it was set aside and a new one begun", Listen: []string{"device"},
	})
	OnMediaChanged = DeclareEvent[MediaChangedEvent](EventInfo{
		Name: "device.onMediaChanged", Doc: "a device of the call has failed, works again, or gives less than it was asked for", Listen: []string{"device"}, Transient: true,
	})
	OnHubRewound = DeclareEvent[HubRewoundEvent](EventInfo{
		Name: "device.onHubRewound", Doc: "the hub's database came back from an older copy", Listen: []string{"device"},
	})
)
