package protocol

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestValidNames(t *testing.T) {
	words := []struct {
		s    string
		good bool
	}{
		{"a", true}, {"door", true}, {"Door_7-x", true}, {"-", true}, {"0", true}, {strings.Repeat("a", 16), true},
		{"", false}, {"a b", false}, {"a/b", false}, {"a.b", false}, {"a:b", false}, {"a+b", false}, {"#", false}, {"@a", false},
		{"ä", false}, {"a\x00", false}, {"a\n", false}, {"\xff", false}, {"d\u200bor", false},
	}
	for _, w := range words {
		plain := !strings.ContainsAny(w.s, "-_") // else a client id could be read in two ways
		if ValidUserID(w.s) != w.good || ValidTerminal(w.s) != (w.good && plain) || ValidPlatform(w.s) != w.good {
			t.Errorf("%q: user %v, terminal %v, platform %v; want %v", w.s, ValidUserID(w.s), ValidTerminal(w.s), ValidPlatform(w.s), w.good)
		}
	}
	for _, n := range []int{MaxTerminal, MaxPlatform, MaxUserID, MaxGroupID} {
		s := strings.Repeat("a", n)
		if got := [...]bool{ValidTerminal(s), ValidUserID(s), ValidGroupID(s)}; got != [...]bool{n <= 16, n <= 32, true} {
			t.Errorf("%d bytes: %v", n, got)
		}
		if s += "a"; ValidTerminal(s) != (n < 16) || ValidUserID(s) != (n < 32) || ValidGroupID(s) != (n < 48) {
			t.Errorf("%d bytes: terminal %v, user %v, group %v", n+1, ValidTerminal(s), ValidUserID(s), ValidGroupID(s))
		}
	}
	for s, good := range map[string]bool{
		"family": true, " ": true, "~": true, "a/b+c#d": true, "@TGS#1": true, "c2c:a:b": true,
		"": false, "\x1f": false, "\x7f": false, "ä": false, "a\x00": false,
	} {
		if ValidGroupID(s) != good {
			t.Errorf("group %q: %v", s, !good)
		}
	}
}

func TestCheckNamesTheField(t *testing.T) {
	long := strings.Repeat("x", 4096)
	for _, c := range []struct {
		err  error
		code Code
	}{
		{CheckUserID("userId", ""), CodeInvalidParameters},
		{CheckUserID("userId", "a b"), CodeInvalidIdentifier},
		{CheckUserID("userId", long), CodeInvalidIdentifier},
		{CheckUserID("userId", "ok"), 0},
		{CheckGroupID("groupId", ""), CodeInvalidParameters},
		{CheckGroupID("groupId", "ä"), CodeGroupInvalidID},
		{CheckGroupID("groupId", long), CodeGroupInvalidID},
		{CheckGroupID("groupId", "ok"), 0},
	} {
		if c.code == 0 {
			if c.err != nil {
				t.Error(c.err)
			}
			continue
		}
		var e *Error
		if !errors.As(c.err, &e) || e.Code != c.code || !strings.Contains(e.Msg, "Id: ") || len(e.Msg) > 200 {
			t.Errorf("%v; want code %d, the field's name and a short sentence", c.err, c.code)
		}
	}
}

func TestAppIDForms(t *testing.T) {
	for in, want := range map[string]AppID{
		`1`: 1, `1400000001`: 1400000001, `"1400000001"`: 1400000001, `4294967295`: 4294967295, `"4294967295"`: 4294967295, `"\u0031"`: 1,
		`0`: 0, `"0"`: 0, `-1`: 0, `"-1"`: 0, `1.0`: 0, `1e3`: 0, `4294967296`: 0, `"4294967296"`: 0, `99999999999999999999`: 0,
		`""`: 0, `"\"1\""`: 0, `"'1'"`: 0, `" 1"`: 0, `"+1"`: 0, `"0x10"`: 0, `"1_0"`: 0, `"١"`: 0, `null`: 0, `true`: 0, `[1]`: 0, `{}`: 0,
	} {
		var r struct {
			ID AppID `json:"id"`
		}
		err := json.Unmarshal([]byte(`{"id":`+in+`}`), &r)
		if r.ID != want || (err == nil) != (want != 0) || err != nil && !errors.Is(err, invalid("")) {
			t.Errorf("%s: %d, %v; want %d", in, r.ID, err, want)
		}
	}
	if err := new(AppID).UnmarshalJSON(nil); err == nil {
		t.Error("nothing was an sdkAppId")
	}
}

func TestLogNames(t *testing.T) {
	longest := C2CLog(strings.Repeat("a", MaxUserID), strings.Repeat("b", MaxUserID))
	for _, c := range []struct {
		name string
		kind LogKind
		a, b string
	}{
		{C2CLog("indoor", "door"), LogC2C, "door", "indoor"},
		{C2CLog("door", "indoor"), LogC2C, "door", "indoor"},
		{C2CLog("door", "door"), LogC2C, "door", "door"},
		{longest, LogC2C, strings.Repeat("a", MaxUserID), strings.Repeat("b", MaxUserID)},
		{GroupLog("family"), LogGroup, "family", ""},
		{GroupLog("c2c:a:b"), LogGroup, "c2c:a:b", ""},
		{GroupLog(strings.Repeat("~", MaxGroupID)), LogGroup, strings.Repeat("~", MaxGroupID), ""},
		{UserLog("door"), LogUser, "door", ""},
	} {
		kind, a, b := ParseLog(c.name)
		if kind != c.kind || a != c.a || b != c.b {
			t.Errorf("%q: %v %q %q", c.name, kind, a, b)
		}
	}
	for _, s := range []string{
		"", "c2c", "c2c:", "c2c:a", "c2c:a:", "c2c::a", "c2c:b:a", "c2c:a:b:c", "c2c:a:b ", "C2C:a:b", "group", "group:", "group:ä",
		"group:" + strings.Repeat("a", 49), "user:", "user:a:b", "user:a b", "other:a", ":a", "c2c:a:" + strings.Repeat("b", 33), strings.Repeat("group:", 1000),
	} {
		if kind, a, b := ParseLog(s); kind != LogUnknown || a != "" || b != "" {
			t.Errorf("%q: %v %q %q", s, kind, a, b)
		}
	}
	if len(longest) > MaxLogName {
		t.Errorf("MaxLogName is too small for %d", len(longest))
	}
	if Peer("a", "b", "a") != "b" || Peer("a", "b", "b") != "a" || Peer("a", "a", "a") != "a" {
		t.Error("Peer")
	}
}

// A message's id is made by agent and hub alike, so its form must not change.
func TestMsgID(t *testing.T) {
	prefix := MsgIDPrefix(1400000001, "door", "board", 3)
	if prefix != "gxnttlmm5nownsfh-" || MsgID(prefix, 41) != "gxnttlmm5nownsfh-15" {
		t.Errorf("%s, %s", prefix, MsgID(prefix, 41))
	}
	if got := MsgID(prefix, 1<<64-1); got != prefix+"3w5e11264sgsf" {
		t.Error(got)
	}
	seen := map[string]string{}
	for _, p := range []struct {
		app            AppID
		user, terminal string
		epoch          uint32
	}{
		{1, "a", "b", 1}, {2, "a", "b", 1}, {1, "a", "b", 2}, {1, "b", "a", 1}, {1, "a-b", "c", 1}, {1, "a", "b-c", 1}, {1, "ab", "c", 1}, {1, "a", "bc", 1},
	} {
		prefix := MsgIDPrefix(p.app, p.user, p.terminal, p.epoch)
		if was, ok := seen[prefix]; ok {
			t.Errorf("%+v has the prefix of %s", p, was)
		}
		seen[prefix] = p.user + "/" + p.terminal
	}
}
