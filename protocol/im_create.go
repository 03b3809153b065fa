package protocol

import (
	"math"
	"path/filepath"
	"unicode/utf8"
)

// MessageKeyResponse is the response of what makes a message.
type MessageKeyResponse struct {
	// MessageKey names the message until it is sent, at most for 24 hours.
	MessageKey string `json:"messageKey"`
}

// CreateTextRequest is the request of im.createTextMessage.
type CreateTextRequest struct {
	// Text of the message, 1 to 8192 bytes of UTF-8.
	Text string `json:"text"`
}

func (r *CreateTextRequest) Validate() error { return checkContent("text", r.Text) }

// CreateTextAtRequest is the request of im.createTextAtMessage.
type CreateTextAtRequest struct {
	// Text of the message, 1 to 8192 bytes of UTF-8.
	Text string `json:"text"`
	// UserIDList are the userIds whom the text is meant for, 1 to 50.
	UserIDList []string `json:"userIdList"`
}

func (r *CreateTextAtRequest) Validate() error {
	if err := checkUserIDs("userIdList", r.UserIDList, MaxAt, CodeInvalidParameters); err != nil {
		return err
	}
	return checkContent("text", r.Text)
}

// CreateCustomRequest is the request of im.createCustomMessage.
type CreateCustomRequest struct {
	// CustomMsg of the message, 1 to 8192 bytes of UTF-8.
	CustomMsg string `json:"customMsg"`
}

func (r *CreateCustomRequest) Validate() error { return checkContent("customMsg", r.CustomMsg) }

// CreateImageRequest is the request of im.createImageMessage.
type CreateImageRequest struct {
	// Img is the path of a picture that the daemon can read, or "upload:" and the
	// name that POST /v1/files gave. At most 28 MB.
	Img string `json:"img"`
}

func (r *CreateImageRequest) Validate() error { return checkPath("img", r.Img) }

// CreateSoundRequest is the request of im.createSoundMessage.
type CreateSoundRequest struct {
	// SoundPath is the path of a recording, or "upload:" and the name that POST
	// /v1/files gave. At most 28 MB.
	SoundPath string `json:"soundPath"`
	// SoundDuration is its length in seconds, 0 to 86400. Missing: 0.
	SoundDuration int `json:"soundDuration,omitempty"`
}

func (r *CreateSoundRequest) Validate() error {
	if err := checkDuration("soundDuration", r.SoundDuration); err != nil {
		return err
	}
	return checkPath("soundPath", r.SoundPath)
}

// CreateVideoRequest is the request of im.createVideoMessage.
type CreateVideoRequest struct {
	// VideoFilePath is the path of a video, or "upload:" and the name that POST
	// /v1/files gave. At most 100 MB.
	VideoFilePath string `json:"videoFilePath"`
	// Type of the video, such as mp4 or mov. 1 to 16 of A-Z a-z 0-9.
	Type string `json:"type"`
	// Duration is its length in seconds, 0 to 86400. Missing: 0.
	Duration int `json:"duration,omitempty"`
	// SnapshotPath is the path of a still picture of it, as VideoFilePath. At most
	// 28 MB.
	SnapshotPath string `json:"snapshotPath"`
}

func (r *CreateVideoRequest) Validate() error {
	if err := checkDuration("duration", r.Duration); err != nil {
		return err
	}
	if r.Type == "" {
		return invalid("type: missing")
	}
	if !validWord(r.Type, MaxFileType) {
		return invalid("type: %q is not 1 to %d of A-Z a-z 0-9", Clip(r.Type), MaxFileType)
	}
	if err := checkPath("videoFilePath", r.VideoFilePath); err != nil {
		return err
	}
	return checkPath("snapshotPath", r.SnapshotPath)
}

// CreateFileRequest is the request of im.createFileMessage.
type CreateFileRequest struct {
	// FilePath is the path of a file that the daemon can read, or "upload:" and the
	// name that POST /v1/files gave. At most 100 MB.
	FilePath string `json:"filePath"`
	// FileName is what people see, 1 to 255 bytes of UTF-8. Missing: the last part
	// of FilePath.
	FileName string `json:"fileName,omitempty"`
}

func (r *CreateFileRequest) Validate() error {
	if err := checkPath("filePath", r.FilePath); err != nil {
		return err
	}
	if r.FileName == "" {
		r.FileName = filepath.Base(r.FilePath)
	}
	if len(r.FileName) > MaxFileName || !utf8.ValidString(r.FileName) {
		return invalid("fileName: %d bytes are over the limit of %d", len(r.FileName), MaxFileName)
	}
	return nil
}

// CreateLocationRequest is the request of im.createLocationMessage.
type CreateLocationRequest struct {
	// Desc says in words where it is, at most 8192 bytes of UTF-8.
	Desc string `json:"desc"`
	// Latitude in degrees, -90 to 90.
	Latitude *float64 `json:"latitude"`
	// Longitude in degrees, -180 to 180.
	Longitude *float64 `json:"longitude"`
}

func (r *CreateLocationRequest) Validate() error {
	switch {
	case r.Latitude == nil:
		return invalid("latitude: missing")
	case r.Longitude == nil:
		return invalid("longitude: missing")
	case math.Abs(*r.Latitude) > 90:
		return invalid("latitude: %v is not -90 to 90", *r.Latitude)
	case math.Abs(*r.Longitude) > 180:
		return invalid("longitude: %v is not -180 to 180", *r.Longitude)
	}
	return checkContent("desc", r.Desc)
}

// CreateFaceRequest is the request of im.createFaceMessage.
type CreateFaceRequest struct {
	// Index of the picture in the set that the programs agree on. Missing: 0.
	Index int64 `json:"index,omitempty"`
	// DataMsg is handed on as it is, at most 8192 bytes of UTF-8. Missing: empty.
	DataMsg string `json:"dataMsg,omitempty"`
}

func (r *CreateFaceRequest) Validate() error {
	if len(r.DataMsg) > MaxTextBytes {
		return Errorf(CodeMsgBodySizeLimit, "dataMsg: %d bytes are over the limit of %d", len(r.DataMsg), MaxTextBytes)
	}
	return nil
}

// maxPath is the longest path that the kernel takes, PATH_MAX without the zero.
const maxPath = 4095

func checkPath(field, path string) error {
	switch {
	case path == "":
		return invalid("%s: missing", field)
	case len(path) > maxPath:
		return invalid("%s: %d bytes are no path, which has at most %d", field, len(path), maxPath)
	}
	return nil
}

func checkDuration(field string, seconds int) error {
	if seconds < 0 || seconds > 86400 {
		return invalid("%s: %d is not 0 to 86400 seconds", field, seconds)
	}
	return nil
}

var (
	createCodes = []Code{CodeNotInitialized, CodeNotLoggedIn, CodeMsgBodySizeLimit, CodeNetReqCountLimit, CodeDatabaseFailure}
	// fileCodes are what a message with a file may be refused with at once.
	fileCodes = append([]Code{
		CodeFileNotFound, CodeFileTooLarge, CodeFileSizeEmpty, CodeFileOpenFailed, CodeIOOperationFailed,
	}, createCodes...)
)

// What makes messages to be sent with im.sendMessage.
var (
	CreateTextMessage = Declare[CreateTextRequest, MessageKeyResponse](Info{
		Name: "im.createTextMessage", Doc: "makes a text message", Source: "createTextMessage", Scope: Write, Route: Local, Codes: createCodes,
	})
	CreateTextAtMessage = Declare[CreateTextAtRequest, MessageKeyResponse](Info{
		Name: "im.createTextAtMessage", Doc: "makes a text message that is meant for some", Source: "createTextAtMessage", Scope: Write, Route: Local,
		Codes: append([]Code{CodeInvalidIdentifier}, createCodes...),
	})
	CreateCustomMessage = Declare[CreateCustomRequest, MessageKeyResponse](Info{
		Name: "im.createCustomMessage", Doc: "makes a message of custom data", Source: "createCustomMessage", Scope: Write, Route: Local, Codes: createCodes,
	})
	CreateImageMessage = Declare[CreateImageRequest, MessageKeyResponse](Info{
		Name: "im.createImageMessage", Doc: "makes a message of a picture, in three sizes", Source: "createImageMessage", Scope: Write, Route: Local, Codes: fileCodes,
	})
	CreateSoundMessage = Declare[CreateSoundRequest, MessageKeyResponse](Info{
		Name: "im.createSoundMessage", Doc: "makes a message of a recording", Source: "createSoundMessage", Scope: Write, Route: Local, Codes: fileCodes,
		Aliases: []Alias{{Also: "path", Field: "soundPath"}, {Also: "duration", Field: "soundDuration"}},
	})
	CreateVideoMessage = Declare[CreateVideoRequest, MessageKeyResponse](Info{
		Name: "im.createVideoMessage", Doc: "makes a message of a video with a still picture of it", Source: "createVideoMessage", Scope: Write, Route: Local, Codes: fileCodes,
	})
	CreateFileMessage = Declare[CreateFileRequest, MessageKeyResponse](Info{
		Name: "im.createFileMessage", Doc: "makes a message of a file", Source: "createFileMessage", Scope: Write, Route: Local, Codes: fileCodes,
	})
	CreateLocationMessage = Declare[CreateLocationRequest, MessageKeyResponse](Info{
		Name: "im.createLocationMessage", Doc: "makes a message of a place", Source: "createLocationMessage", Scope: Write, Route: Local, Codes: createCodes,
	})
	CreateFaceMessage = Declare[CreateFaceRequest, MessageKeyResponse](Info{
		Name: "im.createFaceMessage", Doc: "makes a message of a picture of a set that the programs agree on", Source: "createFaceMessage", Scope: Write, Route: Local, Codes: createCodes,
	})
)
