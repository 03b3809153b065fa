package usersig

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// textEncoding is the outer base64. Strict, so that the last character's
// unused bits cannot vary.
var textEncoding = base64.NewEncoding(
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789*-").WithPadding('_').Strict()

// document is a sig that has the right form and that nobody has vouched for.
type document struct {
	userID         string
	appID          uint32
	issued, expire int64  // seconds, as signed; expire is only known to be positive
	userBuf        string // base64 text, canonical
	hasBuf         bool
	mac            []byte // sha256.Size bytes
}

// Inspect reads a sig's claims without a key: who it says it is for. It judges
// neither the signature nor the expiry, so nothing may be allowed on its word.
// The errors are *Error with Empty, TooLarge, Malformed, or ExpireTooLong for
// an expiry that no time.Duration holds (292 years).
func Inspect(sig string) (Claims, error) {
	d, bad := parse(sig)
	if bad != nil {
		return Claims{}, bad
	}
	if d.expire > maxSeconds {
		return Claims{}, refuse(ExpireTooLong, "the UserSig would be valid for %d s, which is not a sensible time", d.expire)
	}
	return d.claims(), nil
}

// maxSeconds is the longest expiry that fits a time.Duration.
const maxSeconds = int64(math.MaxInt64 / time.Second)

// claims needs d.expire to be at most maxSeconds.
func (d document) claims() Claims {
	c := Claims{
		UserID:   d.userID,
		AppID:    d.appID,
		IssuedAt: time.Unix(d.issued, 0).UTC(),
		Expire:   time.Duration(d.expire) * time.Second,
	}
	if d.hasBuf {
		c.UserBuf, _ = decodeStd(d.userBuf) // parse has seen that it decodes
	}
	return c
}

func parse(sig string) (document, *Error) {
	doc, bad := unpack(sig)
	if bad != nil {
		return document{}, bad
	}
	return parseJSON(doc)
}

// unpack undoes base64 and zlib. Cheapest first: an oversized text costs a
// comparison, and inflating stops just past MaxInflated.
func unpack(sig string) ([]byte, *Error) {
	if sig == "" {
		return nil, refuse(Empty, "the UserSig is empty")
	}
	if len(sig) > MaxSize {
		return nil, refuse(TooLarge, "the UserSig has %d bytes; at most %d are allowed", len(sig), MaxSize)
	}
	if strings.ContainsAny(sig, "\r\n") { // which the decoder would skip
		return nil, refuse(Malformed, "the UserSig has a line break in it")
	}
	packed, err := textEncoding.DecodeString(sig)
	if err != nil {
		return nil, refuse(Malformed, "the UserSig is not base64 of the form A-Z a-z 0-9 * - with _ at its end; it may have been cut short or altered")
	}
	in := bytes.NewReader(packed)
	z, err := zlib.NewReader(in)
	if err != nil {
		return nil, refuse(Malformed, "the UserSig is not zlib data inside its base64")
	}
	out, err := io.ReadAll(io.LimitReader(z, MaxInflated+1))
	switch {
	case len(out) > MaxInflated:
		return nil, refuse(TooLarge, "the UserSig unpacks to more than %d bytes", MaxInflated)
	case err != nil:
		return nil, refuse(Malformed, "the UserSig is damaged: its zlib data does not unpack")
	case in.Len() > 0:
		return nil, refuse(Malformed, "the UserSig has %d bytes too many after its zlib data", in.Len())
	}
	return out, nil
}

// The fields, one bit each so that a second one of a name is noticed.
const (
	hasVer = 1 << iota
	hasIdentifier
	hasAppID
	hasExpire
	hasTime
	hasUserBuf
	hasSig
	required = hasVer | hasIdentifier | hasAppID | hasExpire | hasTime | hasSig
)

// maxMembers is how many names the object may have. Seven are known; each costs
// a few allocations.
const maxMembers = 32

// parseJSON reads the claims token by token: encoding/json's struct decoding
// would take names in any case and the last of several of one name, so that two
// readers of one sig could see two users in it. Names it does not know are let
// be, as long as they are scalars: the HMAC covers only what is used here.
func parseJSON(doc []byte) (document, *Error) {
	if !json.Valid(doc) { // Decoder.Token alone lets some errors of grammar pass
		return document{}, refuse(Malformed, "the UserSig does not hold JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return document{}, refuse(Malformed, "the UserSig does not hold a JSON object")
	}
	var d document
	seen := 0
	for n := 1; dec.More(); n++ {
		if n > maxMembers {
			return document{}, refuse(Malformed, "the UserSig holds more than %d values", maxMembers)
		}
		name, err := dec.Token()
		if err != nil {
			return document{}, refuse(Malformed, "the UserSig does not hold JSON")
		}
		value, err := dec.Token()
		if err != nil {
			return document{}, refuse(Malformed, "the UserSig does not hold JSON")
		}
		if _, nested := value.(json.Delim); nested {
			return document{}, refuse(Malformed, "the UserSig holds a list or an object where a plain value must be")
		}
		bit, bad := d.set(name.(string), value)
		if bad != nil {
			return document{}, bad
		}
		if seen&bit != 0 {
			return document{}, refuse(Malformed, "the UserSig has %s twice", name)
		}
		seen |= bit
	}
	if seen&required != required {
		return document{}, refuse(Malformed, "the UserSig lacks %s", missing(seen))
	}
	d.hasBuf = seen&hasUserBuf != 0
	return d, nil
}

func missing(seen int) string {
	names := []string{"TLS.ver", "TLS.identifier", "TLS.sdkappid", "TLS.expire", "TLS.time", "TLS.userbuf", "TLS.sig"}
	for i, n := range names {
		if bit := 1 << i; required&bit != 0 && seen&bit == 0 {
			return n
		}
	}
	return "nothing"
}

// set takes one member of the object. The bit is 0 for names that are not
// known.
func (d *document) set(name string, value json.Token) (bit int, bad *Error) {
	text, isText := value.(string)
	switch name {
	case "TLS.ver":
		if !isText || text != "2.0" {
			return 0, refuse(Malformed, "the UserSig is not of version 2.0: it must be made with TLSSigAPIv2")
		}
		return hasVer, nil
	case "TLS.identifier":
		if !isText || !validUserID(text) {
			return 0, refuse(Malformed, "the UserSig's TLS.identifier is not a user id: 1 to %d of A-Z a-z 0-9 _ -", MaxUserID)
		}
		d.userID = text
		return hasIdentifier, nil
	case "TLS.sdkappid":
		n, ok := integer(value, 1, math.MaxUint32)
		if !ok {
			return 0, refuse(Malformed, "the UserSig's TLS.sdkappid is not a whole number from 1 to %d", uint32(math.MaxUint32))
		}
		d.appID = uint32(n)
		return hasAppID, nil
	case "TLS.expire":
		n, ok := integer(value, 1, math.MaxInt64)
		if !ok {
			return 0, refuse(Malformed, "the UserSig's TLS.expire is not a whole number of seconds from 1 up")
		}
		d.expire = n
		return hasExpire, nil
	case "TLS.time":
		n, ok := integer(value, 0, lastTime)
		if !ok {
			return 0, refuse(Malformed, "the UserSig's TLS.time is not in whole seconds since 1970, before the year 10000")
		}
		d.issued = n
		return hasTime, nil
	case "TLS.userbuf":
		if _, ok := decodeStd(text); !isText || !ok {
			return 0, refuse(Malformed, "the UserSig's TLS.userbuf is not base64")
		}
		d.userBuf = text
		return hasUserBuf, nil
	case "TLS.sig":
		mac, ok := decodeStd(text)
		if !isText || !ok || len(mac) != sha256.Size {
			return 0, refuse(Malformed, "the UserSig's TLS.sig is not the base64 of %d bytes", sha256.Size)
		}
		d.mac = mac
		return hasSig, nil
	}
	return 0, nil
}

// integer takes a number in the one spelling that the signer can have put
// under the HMAC: no fraction, exponent or "-0".
func integer(value json.Token, low, high int64) (int64, bool) {
	num, ok := value.(json.Number)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(string(num), 10, 64)
	if err != nil || n < low || n > high || strconv.FormatInt(n, 10) != string(num) {
		return 0, false
	}
	return n, true
}

// decodeStd takes standard base64 in its one canonical spelling, so that the
// text under the HMAC is the one that was read.
func decodeStd(text string) ([]byte, bool) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	return b, err == nil
}
