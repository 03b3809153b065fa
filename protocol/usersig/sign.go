package usersig

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// wire is the JSON inside a sig.
type wire struct {
	Ver        string  `json:"TLS.ver"`
	Identifier string  `json:"TLS.identifier"`
	AppID      uint32  `json:"TLS.sdkappid"`
	Expire     int64   `json:"TLS.expire"`
	Time       int64   `json:"TLS.time"`
	UserBuf    *string `json:"TLS.userbuf,omitempty"`
	Sig        string  `json:"TLS.sig"`
}

// Sign makes the UserSig of c with the app's secret: the bytes of the text that
// the console shows, not decoded. Parts of a second are cut off. The errors say
// which claim cannot be signed; one that is too long to be read again is among
// them. Whether the hub allows so long an expiry is not looked at.
func Sign(c Claims, key []byte) (string, error) {
	issued, expire := c.IssuedAt.Unix(), int64(c.Expire/time.Second)
	switch {
	case len(key) == 0:
		return "", errors.New("sign UserSig: the key is empty")
	case !validUserID(c.UserID):
		return "", fmt.Errorf("sign UserSig: user id %.64q must be 1 to %d of A-Z a-z 0-9 _ -", c.UserID, MaxUserID)
	case c.AppID == 0:
		return "", errors.New("sign UserSig: the sdkAppId is 0")
	case issued < 0 || issued > lastTime:
		return "", fmt.Errorf("sign UserSig: issued at %s, which is not from 1970 to 9999", c.IssuedAt.UTC().Format(time.RFC3339))
	case expire < 1:
		return "", fmt.Errorf("sign UserSig: valid for %s, must be at least 1s", c.Expire)
	case base64.StdEncoding.EncodedLen(len(c.UserBuf)) > MaxInflated:
		return "", fmt.Errorf("sign UserSig: the user buffer of %d bytes is too long", len(c.UserBuf))
	}
	w := wire{Ver: "2.0", Identifier: c.UserID, AppID: c.AppID, Expire: expire, Time: issued}
	var buf string
	if c.UserBuf != nil {
		buf = base64.StdEncoding.EncodeToString(c.UserBuf)
		w.UserBuf = &buf
	}
	text := signedText(c.UserID, c.AppID, issued, expire, buf, c.UserBuf != nil)
	w.Sig = base64.StdEncoding.EncodeToString(sum(text, key))

	doc, err := json.Marshal(w)
	if err != nil {
		return "", fmt.Errorf("sign UserSig: %w", err)
	}
	sig, err := pack(doc)
	if err != nil {
		return "", fmt.Errorf("sign UserSig: %w", err)
	}
	if len(doc) > MaxInflated || len(sig) > MaxSize {
		return "", fmt.Errorf("sign UserSig: the user buffer of %d bytes makes a sig of %d bytes, more than the %d that are read", len(c.UserBuf), len(sig), MaxSize)
	}
	return sig, nil
}

// pack is unpack's inverse.
func pack(doc []byte) (string, error) {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := z.Write(doc); err != nil {
		return "", err
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	return textEncoding.EncodeToString(b.Bytes()), nil
}
