package usersig

import (
	"crypto/hmac"
	"crypto/sha256"
	"time"
)

// What Want has where it leaves a limit at zero.
const (
	// DefaultTolerance is how far ahead of the hub's clock a signer's may be.
	DefaultTolerance = 10 * time.Minute
	// DefaultMaxExpire is the longest that a sig may be good for: ten years.
	DefaultMaxExpire = 10 * 365 * 24 * time.Hour
)

// Key is one of an app's secrets. An app has several while it changes from one
// to the next.
type Key struct {
	ID     string // tells the operator which one was used; not part of the sig
	Secret []byte // the text that the console shows, as bytes; never empty
}

// Want is what a sig must satisfy.
type Want struct {
	AppID  uint32
	UserID string // who wants to log in
	// Now is the verifier's clock. The zero time makes every sig one of the
	// future.
	Now time.Time
	// Keys are all those of AppID that are in force. Without any, or with
	// empty secrets only, no sig is accepted.
	Keys []Key
	// Tolerance is how far TLS.time may lie after Now. 0 is DefaultTolerance,
	// a negative one is none. It does not prolong a sig.
	Tolerance time.Duration
	// MaxExpire is the longest TLS.expire. 0 or less is DefaultMaxExpire.
	MaxExpire time.Duration
}

// Verify checks a sig against w and returns what it says and the ID of the key
// that signed it. The error is always an *Error.
//
// What is cheap and needs no secret comes first: size, form, then app and user,
// which the sender has written himself and learns nothing from. Times are
// judged after the HMAC only, so that "expired" is said of sigs that the app
// has really given out, and nobody can probe clock or limits with sigs of his
// own making. All keys are tried, so the time does not depend on which one fits.
func Verify(sig string, w Want) (c Claims, keyID string, err error) {
	d, bad := parse(sig)
	if bad != nil {
		return Claims{}, "", bad
	}
	if d.appID != w.AppID {
		return Claims{}, "", refuse(WrongApp, "the UserSig is for sdkAppId %d, not for %d", d.appID, w.AppID)
	}
	if d.userID != w.UserID {
		return Claims{}, "", refuse(WrongUser, "the UserSig is user %q's, not user %.64q's", d.userID, w.UserID)
	}
	keyID, ok := d.signedBy(w.Keys)
	if !ok {
		return Claims{}, "", refuse(BadSignature, "the UserSig was not made with a key of sdkAppId %d, or was altered", d.appID)
	}
	if bad := d.inTime(w); bad != nil {
		return Claims{}, "", bad
	}
	return d.claims(), keyID, nil
}

// signedBy finds the key that made the HMAC. An empty secret is passed over:
// anybody could sign with it.
func (d document) signedBy(keys []Key) (id string, ok bool) {
	text := signedText(d.userID, d.appID, d.issued, d.expire, d.userBuf, d.hasBuf)
	for _, k := range keys {
		if len(k.Secret) == 0 {
			continue
		}
		if hmac.Equal(sum(text, k.Secret), d.mac) && !ok {
			id, ok = k.ID, true
		}
	}
	return id, ok
}

func sum(text, secret []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write(text)
	return h.Sum(nil)
}

// inTime judges the times. The order keeps issued+expire from overflowing.
func (d document) inTime(w Want) *Error {
	tolerance, longest := w.Tolerance, w.MaxExpire
	if tolerance == 0 {
		tolerance = DefaultTolerance
	}
	if longest <= 0 {
		longest = DefaultMaxExpire
	}
	now := w.Now.Unix()
	latest := now + int64(max(tolerance, 0)/time.Second)
	if d.issued > latest {
		return refuse(NotYetValid, "the UserSig was issued at %s, %d s after the hub's clock: the signer's or the hub's clock is wrong",
			clock(d.issued), d.issued-now)
	}
	if d.expire > int64(longest/time.Second) {
		return refuse(ExpireTooLong, "the UserSig is valid for %d s; the hub allows at most %d s", d.expire, int64(longest/time.Second))
	}
	if now > d.issued+d.expire {
		return refuse(Expired, "the UserSig expired at %s", clock(d.issued+d.expire))
	}
	return nil
}

func clock(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }
