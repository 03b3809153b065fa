package protocol

import (
	"strings"
	"testing"
)

// Values of FNV-1a, 32 bit, from the reference vectors of draft-eastlake-fnv:
// "" 811c9dc5, "a" e40c292c, "b" e70c2de5, "foobar" bf9cf968.
func TestShard(t *testing.T) {
	for user, want := range map[string]uint8{"": 0xc5 % 64, "a": 0x2c % 64, "b": 0xe5 % 64, "foobar": 0x68 % 64} {
		if got := Shard(user); got != want {
			t.Errorf("%q: shard %d, want %d", user, got, want)
		}
	}
}

func TestTopicsRoundTrip(t *testing.T) {
	const app = AppID(1400000001)
	longUser, longTerminal, longGroup := strings.Repeat("u", MaxUserID), strings.Repeat("t", MaxTerminal), strings.Repeat("g", MaxGroupID)
	for s, want := range map[string]Topic{
		TopicIn(app, "foobar", "board"):              {Kind: TopicKindIn, App: app, User: "foobar", Terminal: "board"},
		TopicIn(4294967295, longUser, longTerminal):  {Kind: TopicKindIn, App: 4294967295, User: longUser, Terminal: longTerminal},
		TopicTo(app, "door"):                         {Kind: TopicKindTo, App: app, User: "door"},
		TopicToTerminal(app, "door", "board"):        {Kind: TopicKindTo, App: app, User: "door", Terminal: "board"},
		TopicLive(app, "a/b+c#", 0):                  {Kind: TopicKindLive, App: app, Group: "a/b+c#"},
		TopicLive(4294967295, longGroup, 4294967295): {Kind: TopicKindLive, App: 4294967295, Group: longGroup, Epoch: 4294967295},
		TopicConfig(app, "door"):                     {Kind: TopicKindConfig, App: app, User: "door"},
		TopicConfig(app, "@lifts"):                   {Kind: TopicKindConfig, App: app, Cohort: "lifts"},
		TopicReported(app, "door"):                   {Kind: TopicKindReported, App: app, User: "door"},
		TopicConfig(1, "reported"):                   {Kind: TopicKindConfig, App: 1, User: "reported"},
	} {
		if got := ParseTopic(s); got != want {
			t.Errorf("%s: %+v, want %+v", s, got, want)
		}
	}
	if got := TopicIn(app, "foobar", "board"); got != "im/1/1400000001/in/28/foobar/board" {
		t.Error(got)
	}
	if got := TopicLive(app, "lobby", 2); got != "im/1/1400000001/live/6c6f626279/2" {
		t.Error(got)
	}
}

// What this package would not have built is of no kind.
func TestTopicsOfStrangers(t *testing.T) {
	for _, s := range []string{
		"", "im", "im/1", "im/1/1", "im/1/1/in", "im/1/1/to", "im/1/1/to/", "im/1/1/to/a/", "im/1/1/to/a/b/c", "im/1/1/to//b", "im/1/1/to/a b",
		"im/1/1/in/28/foobar", "im/1/1/in/28/foobar/", "im/1/1/in/28/foobar/board/x", "im/1/1/in/27/foobar/board", "im/1/1/in/40/foobar/board",
		"im/1/1/in/2/foobar/board", "im/1/1/in/028/foobar/board", "im/1/1/in//foobar/board", "im/1/1/in/28/foobar/" + strings.Repeat("t", 17),
		"im/1/0/to/a", "im/1/01/to/a", "im/1/+1/to/a", "im/1/-1/to/a", "im/1/4294967296/to/a", "im/1//to/a", "im/1/1_0/to/a", "im/1/0x1/to/a",
		"im/2/1/to/a", "IM/1/1/to/a", "/im/1/1/to/a", "im/1/1/to/a/b/", " im/1/1/to/a", "im//1/1/to/a", "im/1/1/other/a",
		"im/1/1/to/+", "im/1/1/to/#", "im/+/1/to/a", "im/1/1/in/+/foobar/board", "im/1/1/to/a#", "im/1/1/to/a\x00",
		"$share/g/im/1/1/to/a", "$SYS/broker/version", "$share/im/1/1/in/28/foobar/board",
		"im/1/1/live/6C6F/1", "im/1/1/live/6c6f6/1", "im/1/1/live//1", "im/1/1/live/6c6f/01", "im/1/1/live/6c6f/-1", "im/1/1/live/6c6f/+1",
		"im/1/1/live/6c6f/4294967296", "im/1/1/live/6c6f/", "im/1/1/live/6c6f", "im/1/1/live/6c6f/1/2", "im/1/1/live/1f/1", "im/1/1/live/zz/1",
		"im/1/1/live/" + strings.Repeat("61", 49) + "/1",
		"im/1/1/cfg", "im/1/1/cfg/", "im/1/1/cfg/@", "im/1/1/cfg/@a/reported", "im/1/1/cfg/@@a", "im/1/1/cfg/a/other", "im/1/1/cfg/a/reported/x", "im/1/1/cfg/a.b",
		"im/1/1/cfg/@" + strings.Repeat("a", 33), strings.Repeat("im/1/1/to/a/", 100),
	} {
		if got := ParseTopic(s); got != (Topic{}) {
			t.Errorf("%q: %+v", s, got)
		}
	}
}

func TestUsernames(t *testing.T) {
	for s, want := range map[string]struct {
		app  AppID
		user string
		why  bool
	}{
		Username(1400000001, "door"):             {1400000001, "door", false},
		WhyPrefix + Username(1400000001, "door"): {1400000001, "door", true},
		"4294967295/a":                           {4294967295, "a", false},
	} {
		app, user, why, ok := ParseUsername(s)
		if !ok || app != want.app || user != want.user || why != want.why {
			t.Errorf("%q: %d %q %v %v", s, app, user, why, ok)
		}
	}
	for _, s := range []string{
		"", "/", "1", "1/", "/door", "0/door", "01/door", "+1/door", "-1/door", "4294967296/door", "1/do or", "1/a/b", "1/" + strings.Repeat("a", 33),
		"why:", "why:why:1/door", "WHY:1/door", " 1/door", "1/door ", "1 /door", "1\x00/door",
	} {
		if app, user, _, ok := ParseUsername(s); ok || app != 0 || user != "" {
			t.Errorf("%q: %d %q", s, app, user)
		}
	}
	if got := ClientID(1400000001, "door", "board"); got != "1400000001-door-board" {
		t.Error(got)
	}
}
