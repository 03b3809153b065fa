package relay

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"

	"github.com/herald-im/herald/protocol"
)

// grace is how long a user name that has expired still serves an allocation that
// was made with it: a call may last longer than what it began with. Who shall have
// it no longer is ended by End.
const grace = 30 * 24 * time.Hour

// Credentials makes a user name that expires and its password, in the form of
// draft-uberti-behave-turn-rest. expires counts in whole seconds.
func Credentials(secret []byte, user string, expires time.Time) (username, password string) {
	username = strconv.FormatInt(expires.Unix(), 10) + ":" + user
	return username, passwordOf(secret, username)
}

func passwordOf(secret []byte, username string) string {
	mac := hmac.New(sha1.New, secret)
	_, _ = mac.Write([]byte(username)) // it never fails
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// parseUsername takes apart what Credentials has made, and nothing else.
func parseUsername(s string) (expires time.Time, user string, ok bool) {
	digits, user, ok := strings.Cut(s, ":")
	if !ok || len(digits) > 12 || !protocol.ValidUserID(user) {
		return expires, "", false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != digits { // one login has one name
		return expires, "", false
	}
	return time.Unix(n, 0), user, true
}

// authenticate is pion's: it gives the key that a request must be signed with.
func (s *Server) authenticate(r *turn.RequestAttributes) (userID string, key []byte, ok bool) {
	expires, user, ok := parseUsername(r.Username)
	if !ok || r.Realm != Realm {
		return "", nil, false
	}
	until := expires
	if r.Method != stun.MethodAllocate {
		until = until.Add(grace)
	}
	if !s.cfg.Now().Before(until) {
		return "", nil, false
	}
	secret, ok := s.cfg.Secret(expires)
	if !ok {
		return "", nil, false
	}
	return user, turn.GenerateAuthKey(r.Username, r.Realm, passwordOf(secret, r.Username)), true
}
