package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// maxDecodeCost bounds what decoding a stranger's frame may allocate: the
// structs that maxFrameArrays lets him have and what an error or the copies of
// his bytes take.
const maxDecodeCost = 4 << 20

// Whatever decodes is within the limits, encodes again, and then always to the
// same bytes.
func FuzzDecodeFrame(f *testing.F) {
	for _, v := range readVectors[frameVector](f, "frames") {
		f.Add(unhex(f, v.CBOR))
	}
	for _, s := range []string{
		"", "f6", "a1 0e a0", "a1 06 a1 01 9a ffffffff", "a1 06 a1 01 81 a1 02 84 a0 a0 a0 a0", "bf ff", "a2 0e a0 0e a0", "a1 0d a1 07 80",
		"a1 0d a1 06 81818181818181818181818181818181 01", "a1 04 a4 01 01 02 01 03 01 04 81 a2 01 01 03 f6", "a1 09 a3 01 01 02 60 03 f97e00",
	} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		frame, err := DecodeFrame(wire)
		runtime.ReadMemStats(&after)
		if cost := after.TotalAlloc - before.TotalAlloc; cost > maxDecodeCost {
			t.Fatalf("%d bytes for a frame of %d", cost, len(wire))
		}
		if err != nil {
			if frame != nil || !strings.HasPrefix(err.Error(), "decode frame: ") {
				t.Fatalf("%+v, %v", frame, err)
			}
			return
		}
		once, err := EncodeFrame(frame)
		if err != nil {
			// Numbers that were absent are written as 0: a frame near the limit may
			// grow beyond it.
			if len(wire) < MaxFrameBytes/16 {
				t.Fatal(err)
			}
			return
		}
		again, err := DecodeFrame(once)
		if err != nil {
			t.Fatalf("%x: %v", once, err)
		}
		if twice, err := EncodeFrame(again); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%x\nthen %x, %v", once, twice, err)
		}
	})
}

// A message that is taken has an element and is within its limit.
func FuzzDecodeMessage(f *testing.F) {
	for _, m := range []Message{{}, {Elem: ElemText, Text: "hello"}, {Elem: ElemCustom, Custom: "ä", Text: "both"}} {
		b, err := Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	step, err := EncodeSignaling(SignalingStep{InviteID: "I", Inviter: "a", InviteeList: []string{"b"}, ActionType: SignalingInvite}, []string{"a", "b"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(step)
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, _, err := DecodeSignaling(body); err != nil {
			checkCode(t, err, CodeInvalidMsgElem, CodeSvrBodySizeLimit)
		}
		m, err := DecodeMessage(body)
		if err != nil {
			checkCode(t, err, CodeInvalidMsgElem, CodeSvrBodySizeLimit)
			return
		}
		if m.Elem == 0 || len(m.Text) > MaxTextBytes || len(m.Custom) > MaxTextBytes || !utf8.ValidString(m.Text) || !utf8.ValidString(m.Custom) {
			t.Fatalf("%+v", m)
		}
	})
}

// Whatever a hub says has happened is one of its events with data as declared, which
// programs can read, or none.
func FuzzDecodeHubEvent(f *testing.F) {
	for _, add := range []func() ([]byte, error){
		func() ([]byte, error) { return NewHubEvent(OnGroupCreated, OneGroupEvent{GroupID: "g"}) },
		func() ([]byte, error) {
			return NewHubEvent(OnFriendListAdded, FriendsEvent{InfoList: []FriendInfo{{UserID: "a", FriendGroups: []string{"g"}}}})
		},
		func() ([]byte, error) {
			return NewHubEvent(OnGroupAttributeChanged, GroupAttributesEvent{GroupID: "g", GroupAttributeMap: map[string]string{"k": "v"}})
		},
		func() ([]byte, error) { return NewHubEvent(OnConnecting, Empty{}) }, // which no hub may tell of
		func() ([]byte, error) { return Marshal(HubEvent{Name: "im.onSomethingNew"}) },
	} {
		b, err := add()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		ev, o, err := DecodeHubEvent(body)
		if err != nil || o.Info == nil {
			return
		}
		if o.Info.Name != ev.Name || !o.Info.FromHub || !json.Valid(o.JSON) || !utf8.Valid(o.JSON) {
			t.Fatalf("%q: %q", ev.Name, o.JSON)
		}
	})
}

// What a terminal marks or takes back is refused with a code, or is within limits
// and says the same when it is written again.
func FuzzDecodeMark(f *testing.F) {
	for _, v := range []any{
		Mark{Kind: MarkRead, Log: C2CLog("a", "b"), UpTo: 7}, Mark{Kind: MarkDeleted, Log: GroupLog("g"), Seqs: []uint64{1, 2}},
		Mark{Kind: MarkCleared, Log: C2CLog("a", "a"), UpTo: maxNumber}, Mark{Kind: 9, Log: UserLog("a"), UpTo: 1},
		Mark{Kind: MarkOption, Log: GroupLog("g"), Opt: RecvNot}, Mark{Kind: MarkOption, Log: C2CLog("a", "b"), UpTo: 7, Opt: 9},
		Mark{Kind: MarkDeleted, Log: GroupLog("g"), Seqs: make([]uint64, MaxMarkSeqs+1)},
		Revoke{Log: C2CLog("a", "b"), MsgID: MsgID(MsgIDPrefix(1, "a", "t", 1), FirstIDNumber)}, Revoke{MsgID: "x", Seq: 3, Sender: "a"},
	} {
		b, err := Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		same := func(v any, decode func([]byte) (any, error)) {
			b, err := Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := decode(b); err != nil && len(b) <= MaxBodyBytes || err == nil && !reflect.DeepEqual(again, v) {
				t.Fatalf("%+v, then %+v, %v", v, again, err)
			}
		}
		if m, err := DecodeMark(body); err != nil {
			checkCode(t, err, CodeInvalidParameters, CodeSvrBodySizeLimit)
		} else {
			kind, _, _ := ParseLog(m.Log)
			upTo, deleted := m.Kind == MarkRead || m.Kind == MarkCleared, m.Kind == MarkDeleted
			if kind != LogC2C && kind != LogGroup || !upTo && !deleted && m.Kind != MarkOption || upTo && m.UpTo == 0 || m.UpTo > maxNumber ||
				deleted && (len(m.Seqs) == 0 || len(m.Seqs) > MaxMarkSeqs) || m.Opt > RecvNot {
				t.Fatalf("%+v", m)
			}
			if len(m.Seqs) == 0 {
				m.Seqs = nil // an empty list and none are the same
			}
			same(m, func(b []byte) (any, error) { return DecodeMark(b) })
		}
		if r, err := DecodeRevoke(body); err != nil {
			checkCode(t, err, CodeInvalidParameters, CodeSvrBodySizeLimit)
		} else if !ValidMsgID(r.MsgID) {
			t.Fatalf("%+v", r)
		} else {
			same(r, func(b []byte) (any, error) { return DecodeRevoke(b) })
		}
	})
}

// A survey and its answer are within the limits of the wire, or no frame.
func FuzzDecodeSurvey(f *testing.F) {
	for _, fr := range []*Frame{
		{Boot: 1, Survey: &Survey{ID: 1, Items: []SurveyItem{{Log: C2CLog("a", "b"), Before: 9}, {Log: "x"}}}},
		{Survey: &Survey{Items: make([]SurveyItem, MaxSurvey)}},
		{States: &States{ID: 1, Items: []State{{Log: "x", Gone: true}, {Log: C2CLog("a", "b"), Head: 3, Last: &Entry{Seq: 3, Kind: EntryMessage}}}}},
	} {
		b, err := EncodeFrame(fr)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		fr, err := DecodeFrame(wire)
		if err != nil {
			return
		}
		if fr.Survey != nil && len(fr.Survey.Items) > MaxSurvey {
			t.Fatalf("%d logs", len(fr.Survey.Items))
		}
		if fr.States != nil {
			for _, s := range fr.States.Items {
				if s.Last != nil && len(s.Last.Body) > MaxBodyBytes {
					t.Fatalf("a body of %d bytes", len(s.Last.Body))
				}
			}
			if len(fr.States.Items) > MaxSurvey {
				t.Fatalf("%d states", len(fr.States.Items))
			}
		}
	})
}

// checkCode holds an error to be an *Error with one of the codes, and a
// sentence that JSON can say.
func checkCode(t *testing.T, err error, codes ...Code) {
	var e *Error
	if !errors.As(err, &e) || !slices.Contains(codes, e.Code) || e.Msg == "" || len(e.Msg) > 1024 || !utf8.ValidString(e.Msg) {
		t.Fatalf("%v is not an Error with one of %v", err, codes)
	}
}

// What parses is what this package builds.
func FuzzParseTopic(f *testing.F) {
	for _, s := range []string{
		TopicIn(1, "door", "board"), TopicTo(1, "door"), TopicToTerminal(1, "door", "board"), TopicLive(1, "lobby", 7), TopicConfig(1, "door"),
		TopicConfig(1, "@lifts"), TopicReported(1, "door"), "im/1/01/to/a", "im/1/1/to/+", "$share/g/im/1/1/to/a", "im/1/1/live/6C/1", "im/1/1/cfg/@", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := ParseTopic(s)
		var built string
		switch p.Kind {
		case TopicOther:
			if p != (Topic{}) {
				t.Fatalf("%q: %+v", s, p)
			}
			return
		case TopicKindIn:
			built = TopicIn(p.App, p.User, p.Terminal)
		case TopicKindTo:
			if built = TopicTo(p.App, p.User); p.Terminal != "" {
				built = TopicToTerminal(p.App, p.User, p.Terminal)
			}
		case TopicKindLive:
			built = TopicLive(p.App, p.Group, p.Epoch)
		case TopicKindConfig:
			if built = TopicConfig(p.App, p.User); p.User == "" {
				built = TopicConfig(p.App, "@"+p.Cohort)
			}
		case TopicKindReported:
			built = TopicReported(p.App, p.User)
		}
		if built != s {
			t.Fatalf("%q: %+v, which is %q", s, p, built)
		}
	})
}

// A login's name has one spelling.
func FuzzParseUsername(f *testing.F) {
	for _, s := range []string{"1/door", "why:1/door", "01/door", "why:why:1/a", "/", "4294967296/a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		app, user, why, ok := ParseUsername(s)
		if !ok {
			return
		}
		built := Username(app, user)
		if why {
			built = WhyPrefix + built
		}
		if built != s || app == 0 || !ValidUserID(user) {
			t.Fatalf("%q: %d %q %v", s, app, user, why)
		}
	})
}

// A log's name has one spelling.
func FuzzParseLog(f *testing.F) {
	for _, s := range []string{C2CLog("door", "indoor"), GroupLog("family"), UserLog("door"), "c2c:b:a", "group:", "user:a:b", "c2c:a:a", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		kind, a, b := ParseLog(s)
		var built string
		switch kind {
		case LogUnknown:
			if a != "" || b != "" {
				t.Fatalf("%q: %q %q", s, a, b)
			}
			return
		case LogC2C:
			if built = C2CLog(b, a); C2CLog(a, b) != built || !ValidUserID(a) || !ValidUserID(b) {
				t.Fatalf("%q: %q %q", s, a, b)
			}
		case LogGroup:
			built = GroupLog(a)
		case LogUser:
			built = UserLog(a)
		}
		if built != s || len(s) > MaxLogName {
			t.Fatalf("%q: %v %q %q", s, kind, a, b)
		}
	})
}

// Any bytes are a request, or are refused with a code that the method's page
// has. A request that is taken says the same after it has been to the hub.
func FuzzRequestJSON(f *testing.F) {
	names := map[string]byte{}
	for n, i := range Methods() {
		names[i.Name] = byte(n)
	}
	for name, v := range readVectors[methodVector](f, "methods") {
		for _, form := range append([]string{string(v.RequestJSON)}, v.AlsoAccepted...) {
			f.Add(names[name], []byte(form))
		}
	}
	for _, s := range []string{
		"", "null", "{", `{"text":7}`, `{"userId":"a b"}`, `{"text":"\ud800","userId":"a"}`, "{\"text\":\"\xff\"}", `{"sdkAppId":"\"1\""}`, `{"count":1e9}`,
		`{"TEXT":"a","text":"b","USERID":"a"}`, `{"customdata":"a","customMsg":"b","userId":"a"}`,
	} {
		for _, n := range names {
			f.Add(n, []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, n byte, body []byte) {
		i := Methods()[int(n)%len(registry)]
		wire, err := i.RequestToCBOR(body)
		if err != nil {
			checkCode(t, err, append([]Code{CodeInvalidParameters}, i.Codes...)...)
			return
		}
		req := reflect.New(i.Request)
		if err := Unmarshal(wire, req.Interface()); err != nil {
			t.Fatalf("%s %q: the hub cannot read %x: %v", i.Name, body, wire, err)
		}
		if v, ok := req.Interface().(validator); ok {
			if err := v.Validate(); err != nil {
				t.Fatalf("%s %q: valid on the board only: %v", i.Name, body, err)
			}
		}
		again, err := json.Marshal(req.Interface())
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := i.RequestToCBOR(again); err != nil || !bytes.Equal(wire, twice) {
			t.Fatalf("%s %q: %x, then %x, %v", i.Name, body, wire, twice, err)
		}
	})
}

// The hub is not trusted with the daemon's life either.
func FuzzResponseToJSON(f *testing.F) {
	names := map[string]byte{}
	for n, i := range Methods() {
		names[i.Name] = byte(n)
	}
	for name, v := range readVectors[methodVector](f, "methods") {
		f.Add(names[name], unhex(f, v.Response))
	}
	f.Add(byte(0), []byte{0xa1, 0x61, 0x61, 0x9b})
	f.Fuzz(func(t *testing.T, n byte, body []byte) {
		if got, err := Methods()[int(n)%len(registry)].ResponseToJSON(body); err == nil && (!json.Valid(got) || !bytes.HasPrefix(got, []byte(`{"status":true`))) {
			t.Fatalf("%s", got)
		}
	})
}
