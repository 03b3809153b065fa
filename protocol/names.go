package protocol

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"
)

// Limits on names (spec: userId 1–32 bytes, groupId 1–48 bytes).
const (
	MaxUserID    = 32
	MaxGroupID   = 48
	MaxTerminal  = 16
	MaxPlatform  = 16
	MaxLogName   = len("group:") + MaxGroupID + 32 // longest of the three forms, with room to spare
	MaxTextBytes = 8 << 10                         // of a text or custom message (Tencent's limit)
)

// AppID is a sdkAppId, 1 … 2^32-1. JSON may give it as a number or, as the
// document describes it, as a string of digits.
type AppID uint32

func (a *AppID) UnmarshalJSON(b []byte) error {
	s := string(b)
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &s); err != nil {
			return invalid("sdkAppId: not valid JSON: %v", err)
		}
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return invalid("sdkAppId: not a number from 1 to 4294967295")
	}
	*a = AppID(n)
	return nil
}

var _ json.Unmarshaler = (*AppID)(nil)

func (a AppID) String() string { return strconv.FormatUint(uint64(a), 10) }

// ValidUserID tells whether s may name an account: 1–32 bytes of A-Z a-z 0-9 _ -.
func ValidUserID(s string) bool { return validWord(s, MaxUserID) }

// ValidTerminal tells whether s may name a terminal: 1–16 bytes of A-Z a-z 0-9.
// It has no hyphen, so that a client id can be taken apart in one way only:
// else the terminal "c" of "a-b" and the terminal "b-c" of "a" were one client.
func ValidTerminal(s string) bool {
	return validWord(s, MaxTerminal) && !strings.ContainsAny(s, "-_")
}

// ValidPlatform tells whether s may name a platform, by the rule of a terminal.
func ValidPlatform(s string) bool { return validWord(s, MaxPlatform) }

func validWord(s string, limit int) bool {
	if len(s) == 0 || len(s) > limit {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			continue
		}
		return false
	}
	return true
}

// HubGroupPrefix begins the groupIds that the hub makes; nobody else may use it.
const HubGroupPrefix = "@TGS#"

// ValidGroupID tells whether s may name a group: 1–48 printable ASCII bytes.
func ValidGroupID(s string) bool {
	if len(s) == 0 || len(s) > MaxGroupID {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// CheckUserID returns CodeInvalidIdentifier, naming the field, for a bad userId.
func CheckUserID(field, s string) error {
	switch {
	case s == "":
		return invalid("%s: missing", field)
	case !ValidUserID(s):
		return Errorf(CodeInvalidIdentifier, "%s: %q is not 1 to 32 of A-Z a-z 0-9 _ -", field, Clip(s))
	}
	return nil
}

// checkUserIDs wants 1 to most userIds; for more of them it returns the code given.
func checkUserIDs(field string, list []string, most int, code Code) error {
	switch {
	case len(list) == 0:
		return invalid("%s: missing", field)
	case len(list) > most:
		return Errorf(code, "%s: %d userIds are over the limit of %d", field, len(list), most)
	}
	for _, user := range list {
		if err := CheckUserID(field, user); err != nil {
			return err
		}
	}
	return nil
}

// CheckGroupID returns CodeGroupInvalidID, naming the field, for a bad groupId.
func CheckGroupID(field, s string) error {
	switch {
	case s == "":
		return invalid("%s: missing", field)
	case !ValidGroupID(s):
		return Errorf(CodeGroupInvalidID, "%s: %q is not 1 to 48 printable ASCII characters", field, Clip(s))
	}
	return nil
}

// Clip shortens a stranger's value so that an error sentence stays a sentence.
func Clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// C2CLog names the log of the conversation of two accounts, the same from both
// sides. An account may write to itself.
func C2CLog(a, b string) string {
	if b < a {
		a, b = b, a
	}
	return "c2c:" + a + ":" + b
}

// GroupLog names a group's log.
func GroupLog(groupID string) string { return "group:" + groupID }

// UserLog names the log of what concerns one account alone.
func UserLog(userID string) string { return "user:" + userID }

// LogKind says which of the three kinds of log a name belongs to.
type LogKind uint8

const (
	LogUnknown LogKind = iota
	LogC2C
	LogGroup
	LogUser
)

// ParseLog splits a log's name: a and b are the two accounts of a
// conversation, or a is the group or the account.
func ParseLog(name string) (kind LogKind, a, b string) {
	if len(name) > MaxLogName {
		return LogUnknown, "", ""
	}
	prefix, rest, _ := strings.Cut(name, ":")
	switch prefix {
	case "c2c":
		a, b, ok := strings.Cut(rest, ":")
		if ok && ValidUserID(a) && ValidUserID(b) && a <= b {
			return LogC2C, a, b
		}
	case "group":
		if ValidGroupID(rest) {
			return LogGroup, rest, ""
		}
	case "user":
		if ValidUserID(rest) {
			return LogUser, rest, ""
		}
	}
	return LogUnknown, "", ""
}

// Peer is the other account of a conversation's log, seen from self.
func Peer(a, b, self string) string {
	if a == self {
		return b
	}
	return a
}

// MsgIDPrefix is the part of a message id that all messages of one producer
// share. Agent and hub derive it alike from what the hub has authenticated, so
// that nobody can make a message that bears another's id. 80 bits.
func MsgIDPrefix(app AppID, user, terminal string, epoch uint32) string {
	b := make([]byte, 0, 64)
	b = binary.BigEndian.AppendUint32(b, uint32(app))
	b = binary.BigEndian.AppendUint32(b, epoch)
	b = append(append(append(b, user...), '/'), terminal...)
	sum := sha256.Sum256(b)
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10])) + "-"
}

// MsgID names the message that a producer numbered cseq.
func MsgID(prefix string, cseq uint64) string { return prefix + strconv.FormatUint(cseq, 36) }

// ValidMsgID tells whether s has the form of a message id: what MsgID makes, or
// the id of an invitation's step.
func ValidMsgID(s string) bool {
	prefix, number, ok := strings.Cut(s, "-")
	return ok && len(prefix) >= 16 && len(prefix) <= 32 && len(number) >= 1 && len(number) <= 13 &&
		strings.Trim(prefix, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz234567") == "" &&
		strings.Trim(number, "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}

// ConversationID is the document's name of a conversation: "c2c_" and a userId,
// or "group_" and a groupId.
func ConversationID(kind LogKind, id string) string {
	if kind == LogGroup {
		return "group_" + id
	}
	return "c2c_" + id
}

// CheckConversationID splits a conversationId. CodeSvrConvInvalidParameters,
// naming the field, for a bad one.
func CheckConversationID(field, s string) (kind LogKind, id string, err error) {
	switch user, c2c := strings.CutPrefix(s, "c2c_"); {
	case s == "":
		return LogUnknown, "", invalid("%s: missing", field)
	case c2c && ValidUserID(user):
		return LogC2C, user, nil
	}
	if group, is := strings.CutPrefix(s, "group_"); is && ValidGroupID(group) {
		return LogGroup, group, nil
	}
	return LogUnknown, "", Errorf(CodeSvrConvInvalidParameters, "%s: %q is not c2c_ and a userId or group_ and a groupId", field, Clip(s))
}
