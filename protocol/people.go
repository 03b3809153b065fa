package protocol

import (
	"strings"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// MaxPeople is the most that a frame has in People.
const MaxPeople = 1000

// Person is how an account shows itself. A frame brings those who are in its
// entries and have given themselves a name or a picture, or had, so that a terminal
// knows them before it tells of what they did.
type Person struct {
	User string `cbor:"1,keyasint"`
	Nick string `cbor:"2,keyasint,omitempty"` // userInfo's nickName
	Face string `cbor:"3,keyasint,omitempty"` // URL of a picture
	// Group: Card is the account's name in it. A person may stand once for each.
	Group string `cbor:"4,keyasint,omitempty"`
	Card  string `cbor:"5,keyasint,omitempty"`
}

// HubEvent is the body of an EntryEvent: something that programs are told and that
// is in no conversation. Data is the event's, as its declaration has it.
type HubEvent struct {
	Name string          `cbor:"1,keyasint"`
	Data cbor.RawMessage `cbor:"2,keyasint,omitempty"`
}

// NewHubEvent makes the body of an entry that tells of e.
func NewHubEvent[T any](e Event[T], data T) ([]byte, error) {
	b, err := Marshal(data)
	if err != nil {
		return nil, err
	}
	return Marshal(HubEvent{e.info.Name, b})
}

// DecodeHubEvent reads the body of an EntryEvent. The occurrence has no Info where
// the event is none that this version knows or that a hub may tell of.
func DecodeHubEvent(b []byte) (ev HubEvent, o Occurrence, err error) {
	if err := decodeBody(b, &ev); err != nil {
		return ev, o, err
	}
	if i := LookupEvent(ev.Name); i != nil && i.FromHub {
		o, err = i.fromCBOR(ev.Data)
	}
	return ev, o, err
}

// As reads the data of an event that is e; false: it is another.
func (ev HubEvent) As(name string, data any) bool {
	return ev.Name == name && Unmarshal(ev.Data, data) == nil
}

// checkWords holds a text to its limit in bytes.
func checkWords(field, s string, limit int, code Code) error {
	switch {
	case len(s) > limit:
		return Errorf(code, "%s: %d bytes are over the limit of %d", field, len(s), limit)
	case !utf8.ValidString(s):
		return Errorf(code, "%s: it is not UTF-8", field)
	case strings.ContainsRune(s, 0):
		return Errorf(code, "%s: there is a zero byte in it", field) // no text of PostgreSQL takes one
	}
	return nil
}
