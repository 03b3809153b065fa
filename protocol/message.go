package protocol

import (
	"math"
	"strings"
	"unicode/utf8"
)

// Elem is the kind of a message's element, as in the document's message object.
type Elem uint8

const (
	ElemNone     Elem = 0 // also of a message that was taken back
	ElemText     Elem = 1
	ElemCustom   Elem = 2
	ElemImage    Elem = 3
	ElemSound    Elem = 4
	ElemVideo    Elem = 5
	ElemFile     Elem = 6
	ElemLocation Elem = 7
	ElemFace     Elem = 8
	ElemGroupTip Elem = 9 // programs see an EntryTip as such a message; nobody sends one
)

// Limits of what is in a message.
const (
	MaxAt       = 50        // userIds in Message.At
	MaxFiles    = 4         // in Message.Files
	MaxFileName = 255       // bytes of File.Name
	MaxFileType = 16        // bytes of Message.Type
	MaxImage    = 28 << 20  // bytes of an image or a sound (Tencent's limit)
	MaxFile     = 100 << 20 // bytes of a video or a file (Tencent's limit)
)

// Message is the body of an EntryMessage. The hub checks its form and size and
// hands it on as it came.
type Message struct {
	Elem     Elem      `cbor:"1,keyasint"`
	Text     string    `cbor:"2,keyasint,omitempty"`
	Custom   string    `cbor:"3,keyasint,omitempty"`
	At       []string  `cbor:"4,keyasint,omitempty"` // userIds whom a text is meant for
	Files    []File    `cbor:"5,keyasint,omitempty"` // of an image RoleThumbnail, RoleLarge, RoleOriginal; of a video RoleOriginal, RoleSnapshot; else RoleOriginal
	Duration uint32    `cbor:"6,keyasint,omitempty"` // of a sound or a video, in seconds
	Location *Location `cbor:"7,keyasint,omitempty"`
	Face     *Face     `cbor:"8,keyasint,omitempty"`
	Type     string    `cbor:"9,keyasint,omitempty"` // of a video, such as "mp4"
}

// FileRole says what a file is to its message. The first three are the document's
// types of an image.
type FileRole uint8

const (
	RoleThumbnail FileRole = 0 // longest side at most 198 pixels
	RoleLarge     FileRole = 1 // longest side at most 720 pixels
	RoleOriginal  FileRole = 2 // the thing itself
	RoleSnapshot  FileRole = 3 // the still picture of a video
)

// File is a file of a message, kept by the hub under its hash.
type File struct {
	Hash   string   `cbor:"1,keyasint"` // SHA-256 in 64 lower hex digits
	Size   int64    `cbor:"2,keyasint"` // bytes, at least 1
	Role   FileRole `cbor:"3,keyasint"`
	Width  uint32   `cbor:"4,keyasint,omitempty"` // pixels; 0: not known
	Height uint32   `cbor:"5,keyasint,omitempty"`
	Name   string   `cbor:"6,keyasint,omitempty"` // of a file, as people see it
}

// Location is a place on earth.
type Location struct {
	Desc      string  `cbor:"1,keyasint"`
	Latitude  float64 `cbor:"2,keyasint"` // degrees, -90 to 90
	Longitude float64 `cbor:"3,keyasint"` // degrees, -180 to 180
}

// Face is a picture of a set that programs agree on.
type Face struct {
	Index int64  `cbor:"1,keyasint"`
	Data  string `cbor:"2,keyasint,omitempty"`
}

// ValidHash tells whether s is a SHA-256 as files are named by.
func ValidHash(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// File returns the message's file of a role; nil if it has none.
func (m *Message) File(role FileRole) *File {
	for i := range m.Files {
		if m.Files[i].Role == role {
			return &m.Files[i]
		}
	}
	return nil
}

// roles are the files of each kind of message, in order.
var roles = map[Elem][]FileRole{
	ElemImage: {RoleThumbnail, RoleLarge, RoleOriginal},
	ElemSound: {RoleOriginal},
	ElemVideo: {RoleOriginal, RoleSnapshot},
	ElemFile:  {RoleOriginal},
}

// MaxBytes is the longest file of a role in a message of this kind; 0: it has none.
func (e Elem) MaxBytes(role FileRole) int64 {
	switch {
	case e == ElemVideo && role == RoleOriginal, e == ElemFile:
		return MaxFile
	case e == ElemImage, e == ElemSound, e == ElemVideo:
		return MaxImage
	}
	return 0
}

// DecodeMessage reads a message's body. An element of a kind that this version
// does not know is no error: its fields are empty.
func DecodeMessage(b []byte) (Message, error) {
	var m Message
	if len(b) > MaxBodyBytes {
		return m, Errorf(CodeSvrBodySizeLimit, "the message body has %d bytes, over %d", len(b), MaxBodyBytes)
	}
	if err := unmarshal(bodyMode, b, &m); err != nil {
		return m, Errorf(CodeInvalidMsgElem, "the message body is not valid: %v", err)
	}
	return m, m.check()
}

// check holds a message to its kind. The rules are those that a program's
// request is held to, as a hub may hear from anything.
func (m *Message) check() error {
	if m.Elem == ElemNone {
		return Errorf(CodeInvalidMsgElem, "the message has no element")
	}
	for _, text := range [...]string{m.Text, m.Custom} {
		if len(text) > MaxTextBytes {
			return Errorf(CodeSvrBodySizeLimit, "the message is over its limit of %d bytes", MaxTextBytes)
		}
	}
	if len(m.At) > MaxAt || len(m.Files) > MaxFiles || len(m.Type) > MaxFileType {
		return Errorf(CodeInvalidMsgElem, "the message has too many people or files in it, or too long a type")
	}
	for _, user := range m.At {
		if !ValidUserID(user) {
			return Errorf(CodeInvalidMsgElem, "userIdList: %q is not a userId", Clip(user))
		}
	}
	if want, has := roles[m.Elem]; has {
		if len(m.Files) != len(want) {
			return Errorf(CodeInvalidMsgElem, "the message has %d files, not %d", len(m.Files), len(want))
		}
		for i := range m.Files {
			if err := m.Files[i].check(m.Elem, want[i]); err != nil {
				return err
			}
		}
	}
	return m.checkPlace()
}

func (m *Message) checkPlace() error {
	switch {
	case m.Elem == ElemLocation && m.Location == nil || m.Elem == ElemFace && m.Face == nil:
		return Errorf(CodeInvalidMsgElem, "the message has no element")
	case m.Location != nil && !(math.Abs(m.Location.Latitude) <= 90 && math.Abs(m.Location.Longitude) <= 180): // a NaN is in no range
		return Errorf(CodeInvalidMsgElem, "the location is not on earth: latitude is -90 to 90, longitude -180 to 180")
	case m.Location != nil && len(m.Location.Desc) > MaxTextBytes, m.Face != nil && len(m.Face.Data) > MaxTextBytes:
		return Errorf(CodeSvrBodySizeLimit, "the message is over its limit of %d bytes", MaxTextBytes)
	}
	return nil
}

func (f *File) check(e Elem, role FileRole) error {
	switch {
	case f.Role != role:
		return Errorf(CodeInvalidMsgElem, "the files of the message are not in order")
	case !ValidHash(f.Hash):
		return Errorf(CodeInvalidMsgElem, "a file's hash is not valid")
	case f.Size < 1:
		return Errorf(CodeFileSizeEmpty, "a file of the message is empty")
	case f.Size > e.MaxBytes(role):
		return Errorf(CodeSvrResSizeLimit, "the file has %d bytes, over the limit of %d", f.Size, e.MaxBytes(role))
	case len(f.Name) > MaxFileName || !utf8.ValidString(f.Name):
		return Errorf(CodeInvalidMsgElem, "fileName: it is over %d bytes", MaxFileName)
	}
	return nil
}

// MarkKind says what a Mark is about.
type MarkKind uint8

const (
	MarkRead    MarkKind = 1 // all up to UpTo is read
	MarkDeleted MarkKind = 2 // Seqs are deleted
	MarkCleared MarkKind = 3 // all up to UpTo is deleted, and the conversation with it
	MarkOption  MarkKind = 4 // Opt is what is wanted of a group; only the hub writes it
)

// MaxMarkSeqs is the most seqs of a Mark.
const MaxMarkSeqs = 100

// Mark is what an account has read or deleted. It is said with seqs of the log,
// never with counts, so that it may come late, twice or in any order.
type Mark struct {
	Kind MarkKind `cbor:"1,keyasint"`
	Log  string   `cbor:"2,keyasint"` // of a conversation or a group
	UpTo uint64   `cbor:"3,keyasint,omitempty"`
	Seqs []uint64 `cbor:"4,keyasint,omitempty"`
	Opt  RecvOpt  `cbor:"5,keyasint,omitempty"`
}

// DecodeMark reads and checks the body of an ItemMark or an EntryMark.
func DecodeMark(b []byte) (m Mark, err error) {
	if err := decodeBody(b, &m); err != nil {
		return m, err
	}
	kind, _, _ := ParseLog(m.Log)
	switch {
	case kind != LogC2C && kind != LogGroup:
		return m, invalid("the mark is of no conversation")
	case m.Kind == MarkDeleted && (len(m.Seqs) == 0 || len(m.Seqs) > MaxMarkSeqs):
		return m, invalid("the mark is of %d messages, not 1 to %d", len(m.Seqs), MaxMarkSeqs)
	case m.Kind != MarkDeleted && m.Kind != MarkOption && m.UpTo == 0, m.UpTo > maxNumber:
		return m, invalid("the mark is of nothing")
	case m.Kind < MarkRead || m.Kind > MarkOption || m.Opt > RecvNot:
		return m, invalid("the mark is of a kind (%d) that is not known", m.Kind)
	}
	for _, seq := range m.Seqs {
		if seq == 0 || seq > maxNumber {
			return m, invalid("the mark is of a message that cannot be")
		}
	}
	return m, nil
}

// Revoke is a message that is taken back. In an item it says which (Log, MsgID);
// in an entry, which is in the message's log, the hub says where it is and whose.
type Revoke struct {
	Log    string `cbor:"1,keyasint,omitempty"`
	MsgID  string `cbor:"2,keyasint"`
	Seq    uint64 `cbor:"3,keyasint,omitempty"`
	Sender string `cbor:"4,keyasint,omitempty"`
}

// DecodeRevoke reads the body of an ItemRevoke or an EntryRevoke.
func DecodeRevoke(b []byte) (r Revoke, err error) {
	if err := decodeBody(b, &r); err != nil {
		return r, err
	}
	if !ValidMsgID(r.MsgID) {
		return r, invalid("msgId: not valid")
	}
	return r, nil
}

// decodeBody reads a body that is no message.
func decodeBody(b []byte, v any) error {
	if len(b) > MaxBodyBytes {
		return Errorf(CodeSvrBodySizeLimit, "the body has %d bytes, over %d", len(b), MaxBodyBytes)
	}
	if err := unmarshal(bodyMode, b, v); err != nil {
		return invalid("the body is not valid: %v", err)
	}
	return nil
}

// TipKind says what changed in a group.
type TipKind uint8

const (
	TipCreated   TipKind = 1
	TipJoined    TipKind = 2 // by themselves, or let in by From
	TipQuit      TipKind = 3
	TipDismissed TipKind = 4
	TipOwner     TipKind = 5 // Users[0] owns the group now
	TipKicked    TipKind = 6
	TipInvited   TipKind = 7
	TipAdmin     TipKind = 8 // Users are admins now
	TipNoAdmin   TipKind = 9 // Users are admins no more
	TipChanged   TipKind = 10
	TipMuted     TipKind = 11 // Users may speak again after Seconds; 0: at once
	TipCard      TipKind = 12 // Users[0] has the name Card
	TipRecycled  TipKind = 13 // as TipDismissed, by the operator
)

// Tip is the body of an EntryTip. From is who did it; none: the operator.
type Tip struct {
	Kind    TipKind      `cbor:"1,keyasint"`
	Users   []string     `cbor:"2,keyasint,omitempty"` // whom it is about, at most 100
	Group   string       `cbor:"3,keyasint,omitempty"`
	Name    string       `cbor:"4,keyasint,omitempty"` // of the group, for those who do not know it
	Type    string       `cbor:"5,keyasint,omitempty"`
	Face    string       `cbor:"6,keyasint,omitempty"`
	Change  *GroupChange `cbor:"7,keyasint,omitempty"` // of TipChanged
	Seconds uint32       `cbor:"8,keyasint,omitempty"` // of TipMuted
	Card    string       `cbor:"9,keyasint,omitempty"` // of TipCard
	Reason  string       `cbor:"10,keyasint,omitempty"`
}
