package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Every row is fit for what is made of it.
func TestRegistryRows(t *testing.T) {
	for _, i := range Methods() {
		if Lookup(i.Name) != i || i.Module()+"." != i.Name[:len(i.Module())+1] {
			t.Errorf("%s is not found", i.Name)
		}
		if i.Request.Kind() != reflect.Struct || i.Response.Kind() != reflect.Struct {
			t.Errorf("%s: %v, %v are not both structs", i.Name, i.Request, i.Response)
		}
		seen := map[Code]bool{}
		for _, c := range i.Codes {
			if _, ok := c.Row(); !ok || seen[c] {
				t.Errorf("%s: code %d is not in the table, or there twice", i.Name, c)
			}
			seen[c] = true
		}
		fields := jsonNames(i.Request)
		for _, a := range i.Aliases {
			if !slices.Contains(fields, a.Field) || slices.Contains(fields, a.Also) {
				t.Errorf("%s: alias %q of %q", i.Name, a.Also, a.Field)
			}
		}
		if slices.Contains(jsonNames(i.Response), "status") {
			t.Errorf("%s: the response has a field of the name that success has", i.Name)
		}
		if strings.HasSuffix(i.Doc, ".") || i.Source == "" || i.Route.String() == "?" || i.Scope.String() == "?" {
			t.Errorf("%s: %+v", i.Name, i)
		}
	}
	for _, e := range Events() {
		if LookupEvent(e.Name) != e || slices.Contains(jsonNames(e.Data), "eventType") || strings.HasSuffix(e.Doc, ".") {
			t.Errorf("%s: not found, or its data has an eventType", e.Name)
		}
		for _, l := range e.Listen {
			if !slices.Contains(Categories, l) {
				t.Errorf("%s: nobody can listen to %q", e.Name, l)
			}
		}
	}
	if !slices.IsSortedFunc(Methods(), func(a, b *Info) int { return strings.Compare(a.Name, b.Name) }) ||
		!slices.IsSortedFunc(Events(), func(a, b *EventInfo) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not by name")
	}
	if Lookup("im.nothing") != nil || LookupEvent("im.onNothing") != nil || Lookup("") != nil {
		t.Error("what is not declared is found")
	}
}

func jsonNames(t reflect.Type) []string {
	var out []string
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			out = append(out, name)
		}
	}
	return out
}

func TestDeclareRefuses(t *testing.T) {
	before := len(registry)
	for what, i := range map[string]Info{
		"twice":    {Name: "im.login", Doc: "d", Scope: Read, Route: Local},
		"no doc":   {Name: "im.x", Scope: Read, Route: Local},
		"no scope": {Name: "im.x", Doc: "d", Route: Local},
		"no route": {Name: "im.x", Doc: "d", Scope: Read},
		"no dot":   {Name: "x", Doc: "d", Scope: Read, Route: Local},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			Declare[Empty, Empty](i)
		}()
	}
	if len(registry) != before {
		t.Error("a bad declaration stayed")
	}
}

// A request with every kind of field, which is in no registry.
type probe struct {
	Text  string          `json:"text"`
	Flag  bool            `json:"flag,omitempty"`
	Small uint8           `json:"small,omitempty"`
	Sign  int32           `json:"sign,omitempty"`
	Big   int64           `json:"big,omitempty"`
	Huge  uint64          `json:"huge,omitempty"`
	List  []string        `json:"list,omitempty"`
	App   AppID           `json:"app,omitempty"`
	Inner struct{ N int } `json:"inner"`
}

func (p *probe) Validate() error {
	switch p.Text {
	case "":
		return invalid("text: missing")
	case "plain":
		return errors.New("plain")
	case "fill":
		p.Text = "filled"
	}
	return nil
}

var probeInfo = &Info{Name: "im.probe", Aliases: []Alias{{Also: "words", Field: "text"}, {Also: "phrase", Field: "text"}}}

func TestRequestForms(t *testing.T) {
	for in, want := range map[string]probe{
		`{"text":"a"}`:                              {Text: "a"},
		" \n\t{\"text\":\"a\"}\r\n":                 {Text: "a"},
		`{"words":"a"}`:                             {Text: "a"},
		`{"phrase":"a"}`:                            {Text: "a"},
		`{"words":"a","phrase":"b"}`:                {Text: "a"}, // the first alias that is there
		`{"words":"a","text":"own"}`:                {Text: "own"},
		`{"text":"own","words":{"not":"a string"}}`: {Text: "own"},
		`{"text":"a","unknown":{"x":[1,2]}}`:        {Text: "a"},
		`{"text":"a","text":"b"}`:                   {Text: "b"}, // RFC 8259 §4 leaves it open; the last one, as everywhere in Go
		`{"words":"a","words":"b"}`:                 {Text: "b"},
		`{"text":"fill"}`:                           {Text: "filled"}, // what Validate fills in arrives
		`{"text":"a","small":255,"sign":-2147483648,"big":9223372036854775807,"huge":18446744073709551615}`: {
			Text: "a", Small: 255, Sign: math.MinInt32, Big: math.MaxInt64, Huge: math.MaxUint64,
		},
		`{"text":"a","app":"7","flag":true,"list":["x"]}`: {Text: "a", App: 7, Flag: true, List: []string{"x"}},
		`{"text":"\u0000<>&\u2028\"\\"}`:                  {Text: "\x00<>&\u2028\"\\"},
		`{"text":"\ud83d\udc4b \uD83D\uDC4B \\ud83d"}`:    {Text: "👋 👋 \\ud83d"},
		`{"text":"` + strings.Repeat("ä", 9000) + `"}`:    {Text: strings.Repeat("ä", 9000)},
		`{"text":"\ufffd"}`:                               {Text: "\ufffd"},
	} {
		got, err := decodeJSONRequest[probe](probeInfo, []byte(in))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%.80s: %+v, %v", in, got, err)
		}
	}
}

// Each refusal has code 6017 and says what was wrong.
func TestRequestRefusals(t *testing.T) {
	for in, says := range map[string]string{
		``:                                       "im.probe: text: missing",
		" \n ":                                   "im.probe: text: missing",
		`{}`:                                     "im.probe: text: missing",
		`{"text":null}`:                          "im.probe: text: missing",
		`null`:                                   "the body is not a JSON object",
		`[]`:                                     "the body is not a JSON object",
		`"text"`:                                 "the body is not a JSON object",
		`7`:                                      "the body is not a JSON object",
		`<html>`:                                 "the body is not a JSON object",
		`{`:                                      "not valid JSON",
		`{"text":"a"`:                            "not valid JSON",
		`{"text":"a"}}`:                          "not valid JSON",
		`{"text":"a"} {}`:                        "not valid JSON",
		`{"text":"a",}`:                          "not valid JSON",
		`{'text':'a'}`:                           "not valid JSON",
		`{"text":"a` + "\n" + `"}`:               "not valid JSON",
		`{"text":"\x"}`:                          "not valid JSON",
		`{"text":"\u12"}`:                        "not valid JSON",
		"\xef\xbb\xbf{}":                         "the body is not a JSON object",
		`{"text":7}`:                             "text: a string is needed, not a number",
		`{"words":7}`:                            "text: a string is needed, not a number",
		`{"text":["a"]}`:                         "text: a string is needed, not a list",
		`{"text":{"a":1}}`:                       "text: a string is needed, not an object",
		`{"text":true}`:                          "text: a string is needed, not a bool",
		`{"text":"a","flag":"true"}`:             "flag: a boolean is needed, not a string",
		`{"text":"a","list":"a"}`:                "list: a list is needed, not a string",
		`{"text":"a","inner":"a"}`:               "inner: an object is needed, not a string",
		`{"text":"a","inner":{"N":""}}`:          "inner.N: a whole number is needed, not a string",
		`{"text":"a","small":256}`:               "small: a whole number from 0 to 255 is needed, not 256",
		`{"text":"a","small":-1}`:                "small: a whole number from 0 to 255 is needed, not -1",
		`{"text":"a","small":1.5}`:               "small: a whole number from 0 to 255 is needed, not 1.5",
		`{"text":"a","small":1e2}`:               "small: a whole number from 0 to 255 is needed, not 1e2",
		`{"text":"a","sign":2147483648}`:         "sign: a whole number from -2147483648 to 2147483647 is needed, not 2147483648",
		`{"text":"a","big":9223372036854775808}`: "big: a whole number is needed",
		`{"text":"a","huge":18446744073709551616}`:               "huge: a whole number is needed",
		`{"text":"a","huge":1` + strings.Repeat("0", 5000) + `}`: "huge: a whole number is needed",
		`{"text":"a","app":0}`:                                   "im.probe: sdkAppId: not a number from 1 to 4294967295",
		"{\"text\":\"a\xff\"}":                                   "not valid UTF-8",
		"{\"text\":\"a\xed\xa0\x80\"}":                           "not valid UTF-8", // a surrogate half in the form of UTF-8
		"{\"\xff\":1,\"text\":\"a\"}":                            "not valid UTF-8",
		`{"text":"\ud800"}`:                                      `half of a surrogate pair (\ud800)`,
		`{"text":"\udc00\ud800"}`:                                `half of a surrogate pair (\udc00)`,
		`{"text":"\ud800 \udc00"}`:                               `half of a surrogate pair (\ud800)`,
		`{"text":"\\\ud800\u0041"}`:                              `half of a surrogate pair (\ud800)`,
		`{"text":"\ud83d\udc4b\uDFFF"}`:                          `half of a surrogate pair (\uDFFF)`,
		`{"text":"` + strings.Repeat("[", 20000):                 "not valid JSON",
		`{"text":"a","list":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`: "not valid JSON",
	} {
		_, err := decodeJSONRequest[probe](probeInfo, []byte(in))
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeInvalidParameters || !strings.Contains(e.Msg, says) || !strings.HasPrefix(e.Msg, "im.probe: ") || len(e.Msg) > 300 {
			t.Errorf("%.80s: %v; want code 6017, %q", in, err, says)
		}
	}
	if _, err := decodeJSONRequest[probe](probeInfo, []byte(`{"text":"plain"}`)); err == nil || AsError(err).Code != CodeInternalError {
		t.Errorf("an error of Validate without a code: %v", err)
	}
}

// A refusal keeps the code that the check of the field gives.
func TestRequestCodes(t *testing.T) {
	over := func(n int) string { return strings.Repeat("ä", n/2) + strings.Repeat("a", n%2) }
	for _, c := range []struct {
		i    *Info
		body string
		code Code
	}{
		{SendC2CTextMessage.Info(), `{"text":"a","userId":"a b"}`, CodeInvalidIdentifier},
		{SendC2CTextMessage.Info(), `{"text":"a"}`, CodeInvalidParameters},
		{SendC2CTextMessage.Info(), `{"userId":"door"}`, CodeInvalidParameters},
		{SendC2CTextMessage.Info(), `{"userId":"door","text":"` + over(8192) + `"}`, 0},
		{SendC2CTextMessage.Info(), `{"userId":"door","text":"` + over(8193) + `"}`, CodeMsgBodySizeLimit},
		{SendGroupTextMessage.Info(), `{"groupId":"family","text":"a"}`, 0},
		{SendGroupTextMessage.Info(), `{"groupId":"family","text":"a","priority":4}`, CodeInvalidParameters},
		{SendGroupTextMessage.Info(), `{"groupId":"\u00e4","text":"a"}`, CodeGroupInvalidID},
		{SendGroupCustomMessage.Info(), `{"groupId":"family","customMsg":"` + over(8193) + `"}`, CodeMsgBodySizeLimit},
		{CreateGroup.Info(), `{"groupType":"Work","groupName":"` + over(30) + `"}`, 0},
		{CreateGroup.Info(), `{"groupType":"Work","groupName":"` + over(31) + `"}`, CodeGroupInvalidName},
		{CreateGroup.Info(), `{"groupType":"Work","groupName":"a\u0000"}`, CodeGroupInvalidName},
		{CreateGroup.Info(), `{"groupType":"work","groupName":"a"}`, CodeInvalidParameters},
		{CreateGroup.Info(), `{"groupType":"Work","groupName":"a","groupId":"@TGS#1"}`, CodeGroupInvalidID},
		{JoinGroup.Info(), `{"groupId":"@TGS#1","msg":"` + over(300) + `"}`, 0},
		{JoinGroup.Info(), `{"groupId":"@TGS#1","msg":"` + over(301) + `"}`, CodeInvalidParameters},
		{Login.Info(), `{"userId":"door"}`, CodeSvrAccountUserSigEmpty},
		{Login.Info(), `{"userId":"door","userSig":"` + over(8193) + `"}`, CodeSvrAccountUserSigCheckFailed},
		{Init.Info(), `{"sdkAppId":"0"}`, CodeInvalidParameters},
		{Init.Info(), `{"sdkAppId":1,"logLevel":5}`, CodeInvalidParameters},
		{GetQueue.Info(), `{"count":1001}`, CodeInvalidParameters},
		{GetQueue.Info(), `{"count":-1}`, CodeInvalidParameters},
		{SetSDKListener.Info(), `{"stream":"a b"}`, CodeInvalidParameters},
	} {
		_, err := c.i.RequestToCBOR([]byte(c.body))
		if c.code == 0 {
			if err != nil {
				t.Errorf("%s %.60s: %v", c.i.Name, c.body, err)
			}
			continue
		}
		var e *Error
		if !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%s %.60s: %v; want code %d", c.i.Name, c.body, err, c.code)
		}
	}
}

func TestEncodeResponse(t *testing.T) {
	type inner struct {
		A int `json:"a"`
	}
	for want, res := range map[string]any{
		`{"status":true}`:       Empty{},
		`{"status":true,"a":1}`: inner{1},
		`{"status":true,"a":1,"b":"\u003c"}`: struct {
			inner
			B string `json:"b"`
		}{inner{1}, "<"},
		`{"status":true,"a":2}`: &inner{2},
	} {
		if got, err := EncodeResponse(res); err != nil || string(got) != want || !json.Valid(got) {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
	for _, res := range []any{nil, (*inner)(nil), 7, "", []int{}, math.Inf(1), func() {}} {
		if got, err := EncodeResponse(res); err == nil {
			t.Errorf("%T: %s", res, got)
		}
	}
}

func TestTable(t *testing.T) {
	table := NewTable[Caller]()
	Bind(table, CreateGroup, func(_ context.Context, c Caller, req CreateGroupRequest) (CreateGroupResponse, error) {
		if c.Who != "uid 1000" {
			return CreateGroupResponse{}, Errorf(CodeSvrGroupPermissionDeny, "who?")
		}
		return CreateGroupResponse{GroupID: req.GroupID}, nil
	})
	BindForward(table, DismissGroup.Info(), func(_ context.Context, _ Caller, method string, body []byte) ([]byte, error) {
		var req GroupRequest
		if err := Unmarshal(body, &req); err != nil || method != "im.dismissGroup" || req.GroupID != "family" {
			t.Errorf("forwarded %s %x: %v", method, body, err)
		}
		return nil, nil
	})
	BindForward(table, GetVersion.Info(), func(context.Context, Caller, string, []byte) ([]byte, error) { return []byte{0xff}, nil })

	me, request := Caller{"uid 1000"}, CreateGroupRequest{GroupType: GroupWork, GroupID: "family", GroupName: "f"}
	wire, err := Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := table.CallJSON(t.Context(), me, "im.createGroup", []byte(`{"groupType":"Work","groupId":"family","groupName":"f"}`)); err != nil ||
		string(got) != `{"status":true,"groupId":"family"}` {
		t.Errorf("%s, %v", got, err)
	}
	got, err := table.CallCBOR(t.Context(), me, "im.createGroup", wire)
	var res CreateGroupResponse
	if err != nil || Unmarshal(got, &res) != nil || res.GroupID != "family" {
		t.Errorf("%x, %v", got, err)
	}
	if got, err := table.CallJSON(t.Context(), me, "im.dismissGroup", []byte(`{"groupId":"family"}`)); err != nil || string(got) != `{"status":true}` {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := table.CallJSON(t.Context(), me, "im.getVersion", nil); err == nil || AsError(err).Code != CodeInternalError {
		t.Errorf("an answer that is not CBOR: %v", err)
	}

	for _, c := range []struct {
		name, body string
		code       Code
	}{
		{"im.createGroup", "\xa1", CodeInvalidParameters},                // cut short
		{"im.createGroup", "\x80", CodeInvalidParameters},                // no map
		{"im.createGroup", "", CodeInvalidParameters},                    // nothing in it
		{"im.createGroup", string(wire) + "\x00", CodeInvalidParameters}, // bytes behind it
		{"im.dismissGroup", "", CodeInvalidParameters},                   // a forwarded method is not for terminals
		{"im.nothing", "", CodeInvalidParameters},
	} {
		if _, err := table.CallCBOR(t.Context(), me, c.name, []byte(c.body)); err == nil || AsError(err).Code != c.code {
			t.Errorf("%s %q: %v", c.name, c.body, err)
		}
	}
	if _, err := table.CallCBOR(t.Context(), Caller{}, "im.createGroup", wire); AsError(err).Code != CodeSvrGroupPermissionDeny {
		t.Errorf("the handler's code is lost: %v", err)
	}
	for _, err := range []error{second(table.CallJSON(t.Context(), me, "im.nothing", nil)), second(table.CallCBOR(t.Context(), me, "im.nothing", nil))} {
		if !errors.Is(err, ErrUnknownMethod) || !strings.Contains(AsError(err).Msg, "im.nothing") {
			t.Error(err)
		}
	}
	unbound := table.Unbound(Hub)
	if slices.Contains(unbound, "im.createGroup") || slices.Contains(unbound, "im.dismissGroup") || !slices.Contains(unbound, "im.joinGroup") ||
		slices.Contains(unbound, "im.login") || len(table.Unbound(Local, Hub, Queued, Inner)) != len(Methods())-3 {
		t.Error(unbound)
	}
}

func second(_ []byte, err error) error { return err }

func TestOccurrences(t *testing.T) {
	o, err := OnConnecting.New(Empty{})
	if err != nil || string(o.JSON) != `{"eventType":"onConnecting"}` || o.Info != OnConnecting.Info() {
		t.Errorf("%s, %v", o.JSON, err)
	}
	o, err = OnConnectFailed.New(Error{Code: 9508, Msg: `"<`})
	if err != nil || string(o.JSON) != `{"eventType":"onConnectFailed","code":9508,"msg":"\"\u003c"}` {
		t.Errorf("%s, %v", o.JSON, err)
	}
	for _, bad := range []EventInfo{{Name: "im.onConnecting", Doc: "d", Listen: []string{"sdk"}}, {Name: "im.onX", Doc: "d"}, {Name: "im.onX", Listen: []string{"sdk"}}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v: no panic", bad)
				}
			}()
			DeclareEvent[Empty](bad)
		}()
	}
}
