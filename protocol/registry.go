package protocol

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Route says who answers a method.
type Route uint8

const (
	Local  Route = iota + 1 // answered on the board
	Hub                     // asked of the hub; needs the link
	Queued                  // put into the outbox, succeeds once it is on disk
	Inner                   // asked of the hub by the board itself; programs cannot
)

func (r Route) String() string { return [...]string{"?", "local", "hub", "queued", "inner"}[r] }

// Scope says what a token needs for a method.
type Scope uint8

const (
	Read  Scope = iota + 1 // looks only
	Write                  // acts as the account
	Admin                  // changes the daemon itself
)

func (s Scope) String() string { return [...]string{"?", "read", "write", "admin"}[s] }

// Alias is another spelling of a request's field that is accepted too.
type Alias struct{ Also, Field string }

// Info is all that is said once about a method. Declare fills in what follows
// from its types.
type Info struct {
	Name    string // the document's own with its module: "im.login"
	Doc     string // one line
	Source  string // where it is described: a heading of the document, or ours
	Scope   Scope
	Route   Route
	Codes   []Code  // it may return, besides those any method may (CodeInvalidParameters, …)
	Aliases []Alias // of fields

	Request, Response reflect.Type // struct types, for the generators

	requestToCBOR  func(jsonBody []byte) ([]byte, error)
	responseToJSON func(cborBody []byte) ([]byte, error)
}

// Module is the part of Name before the dot.
func (i *Info) Module() string { m, _, _ := strings.Cut(i.Name, "."); return m }

// RequestToCBOR reads a request as a program wrote it (JSON, aliases accepted),
// checks it and encodes it for the hub.
func (i *Info) RequestToCBOR(jsonBody []byte) ([]byte, error) { return i.requestToCBOR(jsonBody) }

// ResponseToJSON turns the hub's answer into what a program gets.
func (i *Info) ResponseToJSON(cborBody []byte) ([]byte, error) { return i.responseToJSON(cborBody) }

// validator is what a request type implements to check itself: the error names
// the field.
type validator interface{ Validate() error }

// Method is a declared method with its types.
type Method[Req, Res any] struct{ info *Info }

// Info returns what was declared.
func (m Method[Req, Res]) Info() *Info { return m.info }

// registry is filled by Declare while this package is initialised and is
// read-only from then on.
var registry []*Info

// Declare says a method, once. It panics on a name said twice or without doc,
// which the first run of any test shows.
func Declare[Req, Res any](i Info) Method[Req, Res] {
	if Lookup(i.Name) != nil || i.Doc == "" || i.Route == 0 || i.Scope == 0 || !strings.Contains(i.Name, ".") {
		panic("protocol: bad declaration of " + i.Name)
	}
	info := &i
	info.Request, info.Response = reflect.TypeFor[Req](), reflect.TypeFor[Res]()
	info.requestToCBOR = func(b []byte) ([]byte, error) {
		req, err := decodeJSONRequest[Req](info, b)
		if err != nil {
			return nil, err
		}
		return Marshal(req)
	}
	info.responseToJSON = func(b []byte) ([]byte, error) {
		var res Res
		if len(b) > 0 {
			if err := Unmarshal(b, &res); err != nil {
				return nil, fmt.Errorf("%s: the hub's answer: %w", info.Name, err)
			}
		}
		return EncodeResponse(res)
	}
	registry = append(registry, info)
	return Method[Req, Res]{info}
}

// Methods returns every declared method, by name.
func Methods() []*Info {
	out := append([]*Info(nil), registry...)
	sort.Slice(out, func(a, b int) bool { return out[a].Name < out[b].Name })
	return out
}

// Lookup finds a method by its full name; nil if it is not declared.
func Lookup(name string) *Info {
	for _, i := range registry {
		if i.Name == name {
			return i
		}
	}
	return nil
}

// Table binds methods to what answers them in one program. C tells a handler
// who calls.
type Table[C any] struct {
	rows map[string]row[C]
}

type row[C any] struct {
	info     *Info
	fromJSON func(ctx context.Context, c C, body []byte) ([]byte, error)
	fromCBOR func(ctx context.Context, c C, body []byte) ([]byte, error)
}

// NewTable makes an empty table.
func NewTable[C any]() *Table[C] { return &Table[C]{rows: make(map[string]row[C])} }

// Bind says what answers m. Requests reach f decoded and valid.
func Bind[C, Req, Res any](t *Table[C], m Method[Req, Res], f func(ctx context.Context, c C, req Req) (Res, error)) {
	info := m.info
	t.rows[info.Name] = row[C]{
		info: info,
		fromJSON: func(ctx context.Context, c C, body []byte) ([]byte, error) {
			req, err := decodeJSONRequest[Req](info, body)
			if err != nil {
				return nil, err
			}
			res, err := f(ctx, c, req)
			if err != nil {
				return nil, err
			}
			return EncodeResponse(res)
		},
		fromCBOR: func(ctx context.Context, c C, body []byte) ([]byte, error) {
			var req Req
			if len(body) > 0 {
				if err := Unmarshal(body, &req); err != nil {
					return nil, invalid("%s: the request is not valid: %v", info.Name, err)
				}
			}
			if err := validate(info, &req); err != nil {
				return nil, err
			}
			res, err := f(ctx, c, req)
			if err != nil {
				return nil, err
			}
			return Marshal(res)
		},
	}
}

// BindForward has f answer info by asking somebody else, the hub: f gets and
// returns CBOR, programs see JSON.
func BindForward[C any](t *Table[C], info *Info, f func(ctx context.Context, c C, method string, body []byte) ([]byte, error)) {
	t.rows[info.Name] = row[C]{
		info: info,
		fromJSON: func(ctx context.Context, c C, body []byte) ([]byte, error) {
			req, err := info.requestToCBOR(body)
			if err != nil {
				return nil, err
			}
			res, err := f(ctx, c, info.Name, req)
			if err != nil {
				return nil, err
			}
			return info.responseToJSON(res)
		},
	}
}

// Unbound names the declared methods of the given routes that nothing answers.
// A program with any must not start.
func (t *Table[C]) Unbound(routes ...Route) []string {
	var out []string
	for _, i := range Methods() {
		for _, r := range routes {
			if _, bound := t.rows[i.Name]; i.Route == r && !bound {
				out = append(out, i.Name)
			}
		}
	}
	return out
}

// CallJSON runs a method for a program of the board: JSON in, the JSON of a
// success out ({"status":true,…}). Its errors hold an *Error.
func (t *Table[C]) CallJSON(ctx context.Context, c C, method string, body []byte) ([]byte, error) {
	r, ok := t.rows[method]
	if !ok {
		return nil, unknownMethod(method)
	}
	return r.fromJSON(ctx, c, body)
}

// CallCBOR runs a method for a terminal.
func (t *Table[C]) CallCBOR(ctx context.Context, c C, method string, body []byte) ([]byte, error) {
	r, ok := t.rows[method]
	if !ok || r.fromCBOR == nil {
		return nil, unknownMethod(method)
	}
	return r.fromCBOR(ctx, c, body)
}

// ErrUnknownMethod is in the chain of the error for a method that is not there.
var ErrUnknownMethod = errors.New("unknown method")

func unknownMethod(name string) error {
	return fmt.Errorf("%w: %w", ErrUnknownMethod, invalid("method: there is no %q", Clip(name)))
}

func validate[Req any](info *Info, req *Req) error {
	v, ok := any(req).(validator)
	if !ok {
		return nil
	}
	if err := v.Validate(); err != nil {
		var e *Error
		if errors.As(err, &e) {
			return Errorf(e.Code, "%s: %s", info.Name, e.Msg)
		}
		return err
	}
	return nil
}

// decodeJSONRequest reads a program's request. An empty body is an empty
// object. Fields that the type does not have are ignored, as the document's
// own samples carry some.
func decodeJSONRequest[Req any](info *Info, body []byte) (req Req, err error) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		body = []byte("{}")
	}
	if body[0] != '{' {
		return req, invalid("%s: the body is not a JSON object", info.Name)
	}
	if err := checkText(body); err != nil {
		return req, invalid("%s: the body %v", info.Name, err)
	}
	if len(info.Aliases) > 0 {
		if body, err = renameFields(body, info.Aliases); err != nil {
			return req, invalid("%s: the body is not valid JSON: %v", info.Name, err)
		}
	}
	if err := json.Unmarshal(body, &req); err != nil {
		return req, jsonError(info, err)
	}
	// Not in the return itself: Validate also fills in what is missing.
	err = validate(info, &req)
	return req, err
}

func jsonError(info *Info, err error) error {
	var e *Error
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &e):
		return Errorf(e.Code, "%s: %s", info.Name, e.Msg)
	case errors.As(err, &typ) && typ.Field != "":
		return invalid("%s: %s: %s is needed, not %s", info.Name, typ.Field, jsonKind(typ.Type), jsonValue(typ.Value))
	}
	return invalid("%s: the body is not valid JSON: %v", info.Name, err)
}

// jsonValue says what was there instead.
func jsonValue(v string) string {
	switch kind, number, _ := strings.Cut(v, " "); {
	case number != "":
		return Clip(number)
	case kind == "array":
		return "a list"
	case kind == "object":
		return "an object"
	default:
		return "a " + v // string, bool, number
	}
}

// jsonKind says what JSON a field takes.
func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Int8, reflect.Int16, reflect.Int32:
		end := int64(1) << (t.Bits() - 1)
		return fmt.Sprintf("a whole number from %d to %d", -end, end-1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(1)<<t.Bits()-1)
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

// checkText refuses what encoding/json would take and silently alter: bytes
// that are not UTF-8 and escapes that name half of a surrogate pair.
func checkText(body []byte) error {
	if !utf8.Valid(body) {
		return errors.New("is not valid UTF-8")
	}
	for i := bytes.IndexByte(body, '\\'); i >= 0 && i+1 < len(body); {
		step := 2
		if first, ok := escapedUnit(body[i:]); ok && utf16.IsSurrogate(first) {
			second, _ := escapedUnit(body[i+6:])
			if utf16.DecodeRune(first, second) == utf8.RuneError {
				return fmt.Errorf("has half of a surrogate pair (%s)", body[i:i+6])
			}
			step = 12
		}
		next := bytes.IndexByte(body[i+step:], '\\')
		if next < 0 {
			return nil
		}
		i += step + next
	}
	return nil
}

// escapedUnit reads the UTF-16 code unit that b begins with as \uXXXX.
func escapedUnit(b []byte) (unit rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return rune(n), err == nil
}

// renameFields gives aliased fields their own name where that is not there.
func renameFields(body []byte, aliases []Alias) ([]byte, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, err
	}
	renamed := false
	for _, a := range aliases {
		v, ok := m[a.Also]
		if _, has := m[a.Field]; ok && !has {
			m[a.Field] = v
			delete(m, a.Also)
			renamed = true
		}
	}
	if !renamed {
		return body, nil
	}
	return json.Marshal(m)
}

// EncodeResponse makes the JSON of a success: the response's fields behind
// "status":true.
func EncodeResponse(res any) ([]byte, error) {
	b, err := json.Marshal(res)
	if err != nil {
		return nil, fmt.Errorf("encode response: %w", err)
	}
	const head = `{"status":true`
	if b[0] != '{' {
		return nil, fmt.Errorf("encode response: %T is no object", res)
	}
	if len(b) <= 2 {
		return []byte(head + "}"), nil
	}
	out := make([]byte, 0, len(head)+len(b))
	out = append(append(out, head...), ',')
	return append(out, b[1:]...), nil
}

// Caller tells a handler on the board which program calls, for the log.
type Caller struct {
	Who string // e.g. "uid 1000 pid 4711", "token"
}
