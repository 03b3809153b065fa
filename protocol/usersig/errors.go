package usersig

import (
	"errors"
	"fmt"
)

// Reason is why a UserSig is refused.
type Reason uint8

// The reasons, and the code of the error table that each has (Error.Code).
const (
	// Empty: there is no sig. 70002.
	Empty Reason = iota + 1
	// TooLarge: the text or what it unpacks to is over MaxSize or MaxInflated. 70003.
	TooLarge
	// Malformed: not base64, zlib, JSON or not the claims in the form they must have. 70003.
	Malformed
	// WrongApp: it is for another sdkAppId. 70014.
	WrongApp
	// WrongUser: it is another user's. 70013.
	WrongUser
	// BadSignature: the form is right and no key of the app has signed it. 70009.
	BadSignature
	// Expired: it was good once. 70001.
	Expired
	// NotYetValid: it was issued in the future, beyond the clock tolerance. 70003.
	NotYetValid
	// ExpireTooLong: it would be good for longer than the hub allows. 70003.
	ExpireTooLong
)

// row is what a Reason is called and its code in Tencent's error table.
func (r Reason) row() (name string, code int) {
	switch r {
	case Empty:
		return "empty", 70002
	case TooLarge:
		return "too large", 70003
	case Malformed:
		return "malformed", 70003
	case WrongApp:
		return "wrong app", 70014
	case WrongUser:
		return "wrong user", 70013
	case BadSignature:
		// A forged or altered sig and one that was made with a key the hub no
		// longer has cannot be told apart. The second is what happens to honest
		// people, who are then told to look at the key, not at the text.
		return "bad signature", 70009
	case Expired:
		return "expired", 70001
	case NotYetValid:
		return "not yet valid", 70003
	case ExpireTooLong:
		return "expire too long", 70003
	}
	return fmt.Sprintf("reason %d", uint8(r)), 70003
}

func (r Reason) String() string {
	name, _ := r.row()
	return name
}

// Error is a refused UserSig. Its text is a sentence for the person who has to
// get a better sig; it never holds the sig, its HMAC or a key.
type Error struct {
	Reason Reason
	text   string
}

func (e *Error) Error() string { return e.text }

// Code is the number of the API's error table: 70001, 70002, 70003, 70009,
// 70013 or 70014.
func (e *Error) Code() int {
	_, code := e.Reason.row()
	return code
}

// ReasonOf finds the Reason in err's chain; 0 when err is not of this package.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return 0
}

func refuse(r Reason, format string, args ...any) *Error {
	return &Error{Reason: r, text: fmt.Sprintf(format, args...)}
}
