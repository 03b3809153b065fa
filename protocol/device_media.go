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
	// SentBitrate to him in the last second, in bit/s, sound and picture together.
	SentBitrate int `json:"sentBitrate"`
	// ReceivedBitrate from him in the last second, in bit/s.
	ReceivedBitrate int `json:"receivedBitrate"`
	// TargetBitrate is what the way to him is thought to carry of a picture, in bit/s; 0: not known.
	TargetBitrate int `json:"targetBitrate"`
	// LossPercent is which part of what is sent to him has not arrived lately.
	LossPercent float64 `json:"lossPercent"`
	// JitterMs is how much the delay of his sound varies (RFC 3550 §6.4.1), in milliseconds.
	JitterMs float64 `json:"jitterMs"`
	// BufferMs is how long his sound is gathered before it is heard, in milliseconds.
	BufferMs float64 `json:"bufferMs"`
	// ConcealedPercent is which part of his sound had to be made up since the call began.
	ConcealedPercent float64 `json:"concealedPercent"`
	// FramesSent to him, pictures of this board's camera.
	FramesSent uint64 `json:"framesSent"`
	// FramesDropped are pictures of it that he was not sent, or not as a whole, as the way to him was too slow.
	FramesDropped uint64 `json:"framesDropped"`
	// SoundOnly says that he gets no pictures for now, as the way to him is too slow.
	SoundOnly bool `json:"soundOnly"`
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
	// Camera is the one in use; missing where there is none.
	Camera *CallCamera `json:"camera,omitempty"`
	// Sound of this board.
	Sound *CallSound `json:"sound,omitempty"`
	// Users are the others.
	Users []CallUser `json:"users"`
}

// CallCamera is the camera of a call, and what is made of its pictures.
type CallCamera struct {
	// Device that the configuration names.
	Device string `json:"device"`
	// State is "closed", "opening", "running" or "failed".
	State string `json:"state"`
	// Error is why it failed.
	Error string `json:"error,omitempty"`
	// Warning says, in a sentence, what it gives less than it was asked for.
	Warning string `json:"warning,omitempty"`
	// Format that the driver has granted, for instance "NV12 640×480".
	Format string `json:"format,omitempty"`
	// FramesPerSecond that come.
	FramesPerSecond float64 `json:"framesPerSecond"`
	// FramesCaptured since the board started.
	FramesCaptured uint64 `json:"framesCaptured"`
	// FramesDropped of these, as they could not be encoded in time.
	FramesDropped uint64 `json:"framesDropped"`
	// Passthrough says that the camera itself encodes, and that this is sent as it is.
	Passthrough bool `json:"passthrough"`
	// Streams are what is sent, one for each codec that somebody gets.
	Streams []CallStream `json:"streams"`
}

// CallStream is the board's picture in one codec.
type CallStream struct {
	// Codec is H264 or VP8.
	Codec string `json:"codec"`
	// Width of the picture in pixels.
	Width int `json:"width"`
	// Height of the picture in pixels.
	Height int `json:"height"`
	// FramesPerSecond that are encoded.
	FramesPerSecond float64 `json:"framesPerSecond"`
	// Bitrate that is aimed at, in bit/s.
	Bitrate int `json:"bitrate"`
	// FramesEncoded since it began.
	FramesEncoded uint64 `json:"framesEncoded"`
}

// CallSound is the microphone and the speaker of a call.
type CallSound struct {
	// Microphone is its state: "closed", "opening", "running" or "failed".
	Microphone string `json:"microphone"`
	// MicrophoneError is why it failed.
	MicrophoneError string `json:"microphoneError,omitempty"`
	// Speaker is its state.
	Speaker string `json:"speaker"`
	// SpeakerError is why it failed.
	SpeakerError string `json:"speakerError,omitempty"`
	// Xruns are how often the devices were not served in time since the board started.
	Xruns uint64 `json:"xruns"`
	// Echo is what is done about it: "cancel", "duck" or "off".
	Echo string `json:"echo"`
	// EchoReturnLossDb is how much softer the others' sound comes back at the microphone, in dB; 0: not measured.
	EchoReturnLossDb float64 `json:"echoReturnLossDb"`
	// EchoRemovedDb is how much of that is taken away, in dB; 0: not measured.
	EchoRemovedDb float64 `json:"echoRemovedDb"`
}

// MediaChangedEvent is the data of device.onMediaChanged.
type MediaChangedEvent struct {
	// Kind of the device: "camera", "microphone" or "speaker".
	Kind string `json:"kind"`
	// State that it is in now: "closed", "opening", "running" or "failed".
	State string `json:"state"`
	// Error is why it failed.
	Error string `json:"error,omitempty"`
	// Warning says, in a sentence, what it gives less than it was asked for.
	Warning string `json:"warning,omitempty"`
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
	// Controls of a camera that media.controls may set; missing where there are none.
	Controls []CameraControl `json:"controls,omitempty"`
}

// CameraControl is a control of a camera.
type CameraControl struct {
	// Name that media.controls calls it by.
	Name string `json:"name"`
	// Min is the least value.
	Min int64 `json:"min"`
	// Max is the greatest value.
	Max int64 `json:"max"`
	// Step from one value to the next.
	Step int64 `json:"step"`
	// Default value.
	Default int64 `json:"default"`
	// Value that it has.
	Value int64 `json:"value"`
	// Menu says what values mean; missing where they are numbers.
	Menu []ControlChoice `json:"menu,omitempty"`
}

// ControlChoice is a value of a control with its meaning.
type ControlChoice struct {
	// Value of the control.
	Value int64 `json:"value"`
	// Name of what it means, as the camera's driver calls it.
	Name string `json:"name"`
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
