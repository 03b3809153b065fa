package protocol

// CallState is where a call stands.
type CallState string

const (
	CallIdle       CallState = "idle"
	CallCalling    CallState = "calling"    // placed from here, nobody has answered
	CallRinging    CallState = "ringing"    // placed by another, to be answered here
	CallConnecting CallState = "connecting" // answered, nobody is connected yet
	CallConnected  CallState = "connected"
)

// CallUser is another one in a call.
type CallUser struct {
	// UserID of the account.
	UserID string `json:"userId"`
	// State is "ringing", "connecting" or "connected".
	State string `json:"state"`
	// Audio says that he sends sound.
	Audio bool `json:"audio"`
	// Video says that he sends a picture.
	Video bool `json:"video"`
	// VideoCodec of his picture, empty until it comes: H264 or VP8.
	VideoCodec string `json:"videoCodec,omitempty"`
	// FramesPerSecond of his picture that arrive.
	FramesPerSecond float64 `json:"framesPerSecond"`
	// RoundTripMs is the last round trip that was measured, in milliseconds; 0: none yet.
	RoundTripMs float64 `json:"roundTripMs"`
	// PacketsLost of his sound and picture on the way, together.
	PacketsLost int64 `json:"packetsLost"`
	// Path is how the two are connected: the types of the two ICE candidates, for
	// instance "host/host" or "relay/srflx".
	Path string `json:"path,omitempty"`
}

// CallResponse is the response of device.getCall.
type CallResponse struct {
	// State is idle, calling, ringing, connecting or connected.
	State CallState `json:"state"`
	// RoomID of the call.
	RoomID uint32 `json:"roomId,omitempty"`
	// Type of the call: 1 video, 2 voice.
	Type CallType `json:"type,omitempty"`
	// Inviter is the userId of whoever began it.
	Inviter string `json:"inviter,omitempty"`
	// GroupID of the group it is in.
	GroupID string `json:"groupId,omitempty"`
	// Seconds for which it has been connected.
	Seconds int64 `json:"seconds,omitempty"`
	// MicMuted says that the microphone is silenced.
	MicMuted bool `json:"micMuted"`
	// CameraOn says that this board sends a picture.
	CameraOn bool `json:"cameraOn"`
	// HandsFree says that the loud playback device is chosen.
	HandsFree bool `json:"handsFree"`
	// Users are the others.
	Users []CallUser `json:"users"`
}

// MediaDevice is a camera, a microphone or a speaker of the board.
type MediaDevice struct {
	// Kind is "camera", "microphone" or "speaker".
	Kind string `json:"kind"`
	// Device is what the configuration calls it by.
	Device string `json:"device"`
	// Name that it bears.
	Name string `json:"name,omitempty"`
	// Use is what the configuration uses it for: front, back, microphone, speaker or
	// handsfree; empty: nothing.
	Use string `json:"use,omitempty"`
	// State is "closed", "opening", "running" or "failed" of one that is used.
	State string `json:"state,omitempty"`
	// Error is why it failed.
	Error string `json:"error,omitempty"`
	// Formats it offers, for instance "YUYV 640×480 30/s" or "S16_LE 48000 Hz 2 channels".
	Formats []string `json:"formats"`
}

// MediaDevicesResponse is the response of device.getMediaDevices.
type MediaDevicesResponse struct {
	// List of the devices found, and of those that the configuration names.
	List []MediaDevice `json:"list"`
}

// The board's own methods about calls.
var (
	GetCall = Declare[Empty, CallResponse](Info{
		Name: "device.getCall", Doc: "tells where the call stands, and how well it goes", Source: "Herald", Scope: Read, Route: Local,
	})
	GetMediaDevices = Declare[Empty, MediaDevicesResponse](Info{
		Name: "device.getMediaDevices", Doc: "lists cameras, microphones and speakers", Source: "Herald", Scope: Read, Route: Local,
	})
)
