package protocol

import (
	"encoding/json"
	"strconv"
	"strings"
)

// CallCommand is what the data of a call's invitation asks for.
type CallCommand string

const (
	CommandVideo   CallCommand = "videoCall"
	CommandVoice   CallCommand = "audioCall"
	CommandHangup  CallCommand = "hangup"
	CommandToVoice CallCommand = "switchToAudio"
)

// CallData is the data of a call's signaling steps, in the form of TUICalling's
// version 4.
type CallData struct {
	Command CallCommand // empty: of a later version
	Video   bool        // call_type 2
	Room    uint32      // room_id, 1 to 2^31-1; 0: none given
	UserIDs []string    // who is called, where it is said
	// Message is "lineBusy" of a reject because of another call.
	Message string
	// Seconds for which it was connected, of a hangup.
	Seconds int64
}

// messageBusy is the message of a reject because of another call.
const (
	messageBusy  = "lineBusy"
	callBusiness = "av_call"
	callVersion  = 4
	maxRoom      = 1<<31 - 1
)

// Busy makes d the data of a reject because of another call.
func (d CallData) Busy() CallData { d.Message = messageBusy; return d }

// IsBusy tells whether a reject was because of another call.
func (d CallData) IsBusy() bool { return d.Message == messageBusy }

type callJSON struct {
	Version    int         `json:"version"`
	BusinessID string      `json:"businessID"`
	Platform   string      `json:"platform"`
	ExtInfo    string      `json:"extInfo"`
	CallType   int         `json:"call_type"`
	RoomID     uint32      `json:"room_id"`
	LineBusy   string      `json:"line_busy,omitempty"`
	CallEnd    *int64      `json:"call_end,omitempty"`
	Data       commandJSON `json:"data"`
}

type commandJSON struct {
	Command CallCommand `json:"cmd"`
	RoomID  uint32      `json:"room_id"`
	UserIDs []string    `json:"userIDs"`
	Message string      `json:"message"`
	CmdInfo string      `json:"cmdInfo"`
}

// Encode writes d as TUICalling's version 4 does.
func (d CallData) Encode() string {
	j := callJSON{
		Version: callVersion, BusinessID: callBusiness, Platform: "Linux", CallType: 1, RoomID: d.Room,
		Data: commandJSON{Command: d.Command, RoomID: d.Room, UserIDs: d.UserIDs, Message: d.Message},
	}
	if d.UserIDs == nil {
		j.Data.UserIDs = []string{}
	}
	if d.Video {
		j.CallType = 2
	}
	if d.IsBusy() {
		j.LineBusy = "line_busy"
	}
	if d.Command == CommandHangup { // its mere presence means a hangup to clients of before version 4
		j.CallEnd = &d.Seconds
	}
	b, err := json.Marshal(j)
	if err != nil {
		panic(err) // strings and numbers: it does not happen
	}
	return string(b)
}

// DecodeCallData reads the data of a signaling step, in the form of any version
// of TUICalling; false: it is none of a call's. Fields that it does not know are
// passed over, and so is a value of another kind than is due, as clients differ.
func DecodeCallData(data string) (d CallData, ok bool) {
	if len(data) > MaxTextBytes || !strings.HasPrefix(strings.TrimLeft(data, " \t\r\n"), "{") {
		return d, false
	}
	var top map[string]json.RawMessage
	if json.Unmarshal([]byte(data), &top) != nil {
		return d, false
	}
	var command map[string]json.RawMessage
	hasCommand := json.Unmarshal(top["data"], &command) == nil && command != nil
	_, hasType := top["call_type"]
	switch business := textOf(top["businessID"]); {
	case business == callBusiness:
	case business == "" && !hasCommand && hasType: // of before version 4
	default:
		return d, false
	}
	d.Video = numberOf(top["call_type"]) == 2
	d.Room = roomOf(top["room_id"])
	if !hasCommand {
		return d.oldForm(top), true
	}
	if d.Room == 0 {
		d.Room = roomOf(command["room_id"])
	}
	d.Message = textOf(command["message"])
	if textOf(top["line_busy"]) != "" {
		d.Message = messageBusy
	}
	switch c := CallCommand(textOf(command["cmd"])); c {
	case CommandVideo, CommandVoice: // rather than call_type
		d.Command, d.Video = c, c == CommandVideo
	case CommandHangup:
		d.Command, d.Seconds = c, max(0, numberOf(top["call_end"]))
	case CommandToVoice:
		d.Command = c
	}
	var users []json.RawMessage
	if json.Unmarshal(command["userIDs"], &users) == nil {
		for _, u := range users[:min(len(users), MaxInvitees)] {
			if user := textOf(u); ValidUserID(user) {
				d.UserIDs = append(d.UserIDs, user)
			}
		}
	}
	return d, true
}

// oldForm completes data of before version 4, which has no command.
func (d CallData) oldForm(top map[string]json.RawMessage) CallData {
	d.Command = CommandVoice
	if d.Video {
		d.Command = CommandVideo
	}
	if _, end := top["call_end"]; end {
		d.Command, d.Seconds = CommandHangup, max(0, numberOf(top["call_end"]))
	}
	if textOf(top["line_busy"]) != "" {
		d.Message = messageBusy
	}
	if textOf(top["switch_to_audio_call"]) != "" {
		d.Command = CommandToVoice
	}
	return d
}

func textOf(b json.RawMessage) (s string) {
	if json.Unmarshal(b, &s) != nil {
		return ""
	}
	return s
}

// numberOf reads a whole number that may be written as 7, 7.0 or "7"; else 0.
func numberOf(b json.RawMessage) int64 {
	s := textOf(b)
	if s == "" {
		s = string(b)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != float64(int64(f)) || f > 1<<53 || f < -1<<53 {
		return 0
	}
	return int64(f)
}

// roomOf reads a room_id; 0 for none that is valid.
func roomOf(b json.RawMessage) uint32 {
	if n := numberOf(b); n > 0 && n <= maxRoom {
		return uint32(n)
	}
	return 0
}
