package protocol

import (
	"encoding/hex"
	"hash/fnv"
	"strconv"
	"strings"
)

// Shards is the number of shards. Each is read by exactly one hub at a time,
// so that a terminal's frames are handled in order.
const Shards = 64

// Shard is the shard of a user: FNV-1a (32 bit) of the userId, modulo Shards.
func Shard(user string) uint8 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(user))
	return uint8(h.Sum32() % Shards)
}

// Root is what every topic of an app begins with.
func Root(app AppID) string { return "im/1/" + app.String() }

// TopicIn is where a terminal publishes its frames; it is its will topic too.
func TopicIn(app AppID, user, terminal string) string {
	return Root(app) + "/in/" + hex.EncodeToString([]byte{Shard(user)}) + "/" + user + "/" + terminal
}

// TopicTo is where the hub publishes to all terminals of a user.
func TopicTo(app AppID, user string) string { return Root(app) + "/to/" + user }

// TopicToTerminal is where the hub publishes to one terminal.
func TopicToTerminal(app AppID, user, terminal string) string {
	return TopicTo(app, user) + "/" + terminal
}

// TopicLive is where the messages of an AVChatRoom go. The epoch changes when
// somebody is kicked or the room is closed.
func TopicLive(app AppID, groupID string, epoch uint32) string {
	return Root(app) + "/live/" + hex.EncodeToString([]byte(groupID)) + "/" + strconv.FormatUint(uint64(epoch), 10)
}

// TopicConfig is where an operator leaves (retained) the configuration of one
// user's device, or of a cohort when name begins with '@'.
func TopicConfig(app AppID, name string) string { return Root(app) + "/cfg/" + name }

// TopicReported is where a device reports (retained) what it runs with.
func TopicReported(app AppID, user string) string { return TopicConfig(app, user) + "/reported" }

// TopicKind is the kind of a parsed topic.
type TopicKind uint8

const (
	TopicOther TopicKind = iota
	TopicKindIn
	TopicKindTo
	TopicKindLive
	TopicKindConfig
	TopicKindReported
)

// Topic is a topic taken apart.
type Topic struct {
	Kind     TopicKind
	App      AppID
	User     string // In, To, Config, Reported
	Terminal string // In; To when it names one terminal
	Cohort   string // Config of a cohort, without '@'
	Group    string // Live
	Epoch    uint32 // Live
}

// ParseTopic takes a topic apart. Anything that this package would not have
// built, wildcards among it, has the kind TopicOther.
func ParseTopic(s string) Topic {
	if len(s) > 256 || strings.ContainsAny(s, "+#\x00") {
		return Topic{}
	}
	p := strings.Split(s, "/")
	if len(p) < 5 || p[0] != "im" || p[1] != "1" {
		return Topic{}
	}
	n, err := strconv.ParseUint(p[2], 10, 32)
	if err != nil || n == 0 || p[2][0] == '0' || p[2][0] == '+' {
		return Topic{}
	}
	t := Topic{App: AppID(n)}
	switch rest := p[4:]; p[3] {
	case "in":
		if len(rest) == 3 && ValidUserID(rest[1]) && ValidTerminal(rest[2]) {
			t.Kind, t.User, t.Terminal = TopicKindIn, rest[1], rest[2]
			if TopicIn(t.App, t.User, t.Terminal) == s {
				return t
			}
		}
	case "to":
		if len(rest) <= 2 && ValidUserID(rest[0]) {
			t.Kind, t.User = TopicKindTo, rest[0]
			if len(rest) == 1 {
				return t
			}
			if t.Terminal = rest[1]; ValidTerminal(t.Terminal) {
				return t
			}
		}
	case "live":
		if len(rest) == 2 {
			return parseLive(t, rest, s)
		}
	case "cfg":
		return parseConfig(t, rest)
	}
	return Topic{}
}

func parseLive(t Topic, rest []string, s string) Topic {
	id, err := hex.DecodeString(rest[0])
	if err != nil || !ValidGroupID(string(id)) {
		return Topic{}
	}
	epoch, err := strconv.ParseUint(rest[1], 10, 32)
	if err != nil {
		return Topic{}
	}
	t.Kind, t.Group, t.Epoch = TopicKindLive, string(id), uint32(epoch)
	if TopicLive(t.App, t.Group, t.Epoch) != s {
		return Topic{}
	}
	return t
}

func parseConfig(t Topic, rest []string) Topic {
	if cohort, ok := strings.CutPrefix(rest[0], "@"); ok {
		if len(rest) == 1 && validWord(cohort, MaxUserID) {
			t.Kind, t.Cohort = TopicKindConfig, cohort
			return t
		}
		return Topic{}
	}
	if !ValidUserID(rest[0]) {
		return Topic{}
	}
	t.User = rest[0]
	switch {
	case len(rest) == 1:
		t.Kind = TopicKindConfig
		return t
	case len(rest) == 2 && rest[1] == "reported":
		t.Kind = TopicKindReported
		return t
	}
	return Topic{}
}

// ClientID is the MQTT client id of a terminal.
func ClientID(app AppID, user, terminal string) string {
	return app.String() + "-" + user + "-" + terminal
}

// Username is the MQTT user name of a terminal's login. Its password is the UserSig.
func Username(app AppID, user string) string { return app.String() + "/" + user }

// WhyPrefix before a user name asks the hub why a login was refused: an MQTT
// 3.1.1 CONNACK cannot say. Such a connection gets no session and no rights,
// one bye frame on the terminal's own topic, and is closed.
const WhyPrefix = "why:"

// ParseUsername splits "<sdkAppId>/<userId>", with or without WhyPrefix.
func ParseUsername(s string) (app AppID, user string, why, ok bool) {
	s, why = strings.CutPrefix(s, WhyPrefix)
	id, user, found := strings.Cut(s, "/")
	n, err := strconv.ParseUint(id, 10, 32)
	// One login has one name: a ban or a log line must not be dodged with "007".
	if !found || err != nil || n == 0 || !ValidUserID(user) || Username(AppID(n), user) != s {
		return 0, "", why, false
	}
	return AppID(n), user, why, true
}
