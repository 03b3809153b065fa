package usersig

import (
	"strconv"
	"time"
)

// Limits of what is read. They bound the memory a stranger can make Verify
// use, whatever he sends.
const (
	// MaxSize is the longest sig that is looked at, in bytes of its text. A
	// usual one has about 200.
	MaxSize = 8 << 10
	// MaxInflated is the longest JSON that is unpacked from one, in bytes. It is
	// more than incompressible text that fills MaxSize unpacks to.
	MaxInflated = 16 << 10
	// MaxUserID is the longest user id, in bytes.
	MaxUserID = 32
)

// lastTime is the last second of the year 9999, the end of what RFC 3339 and
// most databases can write down.
const lastTime = 253402300799

// Claims are what a UserSig says.
type Claims struct {
	UserID   string    // TLS.identifier: 1 to 32 of A-Z a-z 0-9 _ -
	AppID    uint32    // TLS.sdkappid, never 0
	IssuedAt time.Time // TLS.time, whole seconds, 1970 to 9999
	// Expire is TLS.expire: how long the sig is good for after IssuedAt, in
	// whole seconds, at least one.
	Expire time.Duration
	// UserBuf is TLS.userbuf, bytes that the signer vouches for besides. nil
	// means that there is none, which is not the same as an empty one.
	UserBuf []byte
}

// ExpiresAt is the last moment at which the sig is good.
func (c Claims) ExpiresAt() time.Time { return c.IssuedAt.Add(c.Expire) }

// signedText is what the HMAC covers. userBuf is the base64 text of the user
// buffer, looked at when hasBuf is set. Numbers are in decimal as the signer
// wrote them; parse refuses any that are written otherwise.
func signedText(userID string, appID uint32, issued, expire int64, userBuf string, hasBuf bool) []byte {
	b := make([]byte, 0, 128+len(userBuf))
	b = append(b, "TLS.identifier:"...)
	b = append(b, userID...)
	b = append(b, "\nTLS.sdkappid:"...)
	b = strconv.AppendUint(b, uint64(appID), 10)
	b = append(b, "\nTLS.time:"...)
	b = strconv.AppendInt(b, issued, 10)
	b = append(b, "\nTLS.expire:"...)
	b = strconv.AppendInt(b, expire, 10)
	b = append(b, '\n')
	if hasBuf {
		b = append(b, "TLS.userbuf:"...)
		b = append(b, userBuf...)
		b = append(b, '\n')
	}
	return b
}

// validUserID tells whether id may name an account. No byte in it can end a
// line of signedText, so two sets of claims never sign the same text.
func validUserID(id string) bool {
	if len(id) == 0 || len(id) > MaxUserID {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
