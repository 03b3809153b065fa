package protocol

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

type methodVector struct {
	Method       string          `json:"method"`
	RequestJSON  json.RawMessage `json:"requestJSON"`
	AlsoAccepted []string        `json:"alsoAccepted"`
	Request      string          `json:"request"`
	ResponseJSON json.RawMessage `json:"responseJSON"`
	Response     string          `json:"response"`
}

type eventVector struct {
	Event     string          `json:"event"`
	Listen    []string        `json:"listen"`
	Transient bool            `json:"transient"`
	JSON      json.RawMessage `json:"json"`
}

type frameVector struct {
	About string          `json:"about"`
	CBOR  string          `json:"cbor"`
	Diag  string          `json:"diag"`
	Frame json.RawMessage `json:"frame"`
}

// readVectors reads testdata/<kind>, by the names of the files.
func readVectors[V any](tb testing.TB, kind string) map[string]V {
	files, err := filepath.Glob(filepath.Join("testdata", kind, "*.json"))
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string]V{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			tb.Fatal(err)
		}
		var v V
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(&v); err != nil {
			tb.Fatalf("%s: %v", f, err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".json")] = v
	}
	return out
}

// sameNames tells that what is declared and what has a vector are the same.
func sameNames(t *testing.T, declared, vectors []string) {
	slices.Sort(declared)
	slices.Sort(vectors)
	if !slices.Equal(declared, vectors) {
		t.Errorf("go generate: declared are\n%v\nand there are vectors of\n%v", declared, vectors)
	}
}

func keys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return out
}

func compact(t *testing.T, doc []byte) string {
	var b bytes.Buffer
	if err := json.Compact(&b, doc); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestMethodVectors(t *testing.T) {
	all := readVectors[methodVector](t, "methods")
	var declared []string
	for _, i := range Methods() {
		declared = append(declared, i.Name)
	}
	sameNames(t, declared, keys(all))
	for name, v := range all {
		t.Run(name, func(t *testing.T) {
			i := Lookup(v.Method)
			if i == nil || v.Method != name {
				t.Fatalf("it is of %q", v.Method)
			}
			request, response := unhex(t, v.Request), unhex(t, v.Response)
			for _, form := range append([]string{string(v.RequestJSON)}, v.AlsoAccepted...) {
				if got, err := i.RequestToCBOR([]byte(form)); err != nil || !bytes.Equal(got, request) {
					t.Errorf("%s: %x, %v; want %x", form, got, err, request)
				}
			}
			for _, a := range i.Aliases {
				if !slices.ContainsFunc(v.AlsoAccepted, func(form string) bool { return strings.Contains(form, `"`+a.Also+`"`) }) {
					t.Errorf("the alias %s has no vector", a.Also)
				}
			}
			got := reflect.New(i.Request)
			if err := Unmarshal(request, got.Interface()); err != nil {
				t.Fatal(err)
			}
			if again, err := Marshal(got.Elem().Interface()); err != nil || !bytes.Equal(again, request) {
				t.Errorf("the request again: %x, %v", again, err)
			}
			answer, err := i.ResponseToJSON(response)
			if err != nil {
				t.Fatal(err)
			}
			if compact(t, answer) != compact(t, v.ResponseJSON) {
				t.Errorf("%s\nwant %s", compact(t, answer), compact(t, v.ResponseJSON))
			}
			got = reflect.New(i.Response)
			if err := Unmarshal(response, got.Interface()); err != nil {
				t.Fatal(err)
			}
			if again, err := Marshal(got.Elem().Interface()); err != nil || !bytes.Equal(again, response) {
				t.Errorf("the response again: %x, %v", again, err)
			}
		})
	}
}

func TestEventVectors(t *testing.T) {
	all := readVectors[eventVector](t, "events")
	var declared []string
	for _, e := range Events() {
		declared = append(declared, e.Name)
	}
	sameNames(t, declared, keys(all))
	for name, v := range all {
		t.Run(name, func(t *testing.T) {
			e := LookupEvent(v.Event)
			if e == nil || v.Event != name || !slices.Equal(e.Listen, v.Listen) || e.Transient != v.Transient {
				t.Fatalf("%+v is of another event", v)
			}
			rest, ok := strings.CutPrefix(compact(t, v.JSON), `{"eventType":"`+e.Type()+`"`)
			if !ok {
				t.Fatalf("%s does not begin with its type", v.JSON)
			}
			rest = "{" + strings.TrimPrefix(rest, ",")
			data := reflect.New(e.Data)
			d := json.NewDecoder(strings.NewReader(rest))
			d.DisallowUnknownFields()
			if err := d.Decode(data.Interface()); err != nil {
				t.Fatal(err)
			}
			if again, err := json.Marshal(data.Elem().Interface()); err != nil || compact(t, again) != rest {
				t.Errorf("%s, %v; want %s", again, err, rest)
			}
		})
	}
}

// kindOf names the kind of a frame as its vector is named.
func kindOf(f *Frame) string {
	v := reflect.ValueOf(f).Elem()
	for i := range v.NumField() {
		if field := v.Field(i); field.Kind() == reflect.Pointer && !field.IsNil() {
			return strings.ToLower(v.Type().Field(i).Name)
		}
	}
	return ""
}

func TestFrameVectors(t *testing.T) {
	all := readVectors[frameVector](t, "frames")
	var declared, seen []string
	for i := range reflect.TypeFor[Frame]().NumField() {
		if f := reflect.TypeFor[Frame]().Field(i); f.Type.Kind() == reflect.Pointer {
			declared = append(declared, strings.ToLower(f.Name))
		}
	}
	for name, v := range all {
		wire := unhex(t, v.CBOR)
		f, err := DecodeFrame(wire)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if kind, _, _ := strings.Cut(name, "-"); kind != kindOf(f) || v.About == "" {
			t.Errorf("%s is a %s: %q", name, kindOf(f), v.About)
		}
		seen = append(seen, kindOf(f))
		if again, err := EncodeFrame(f); err != nil || !bytes.Equal(again, wire) {
			t.Errorf("%s: again %x, %v", name, again, err)
		}
		if diag, err := cbor.Diagnose(wire); err != nil || diag != v.Diag {
			t.Errorf("%s: %s, %v", name, diag, err)
		}
		var named Frame
		if err := json.Unmarshal(v.Frame, &named); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if again, err := EncodeFrame(&named); err != nil || hex.EncodeToString(again) != v.CBOR {
			t.Errorf("%s: the frame by names is another: %x, %v", name, again, err)
		}
	}
	slices.Sort(seen)
	sameNames(t, declared, slices.Compact(seen))
}

// Deterministic: the bytes do not depend on the order in which a program wrote
// the fields.
func TestRequestsAreDeterministic(t *testing.T) {
	i := SendGroupTextMessage.Info()
	a, err := i.RequestToCBOR([]byte(`{"text":"a","groupId":"g","priority":1}`))
	if err != nil {
		t.Fatal(err)
	}
	b, err := i.RequestToCBOR([]byte(`{"priority":1,"unknown":1,"groupId":"g","text":"a"}`))
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("%x, %x, %v", a, b, err)
	}
}
