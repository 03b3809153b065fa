// The oracle does not build where an int has 32 bits.

//go:build !386 && !arm && !mips && !mipsle

package usersig

import (
	"errors"
	"testing"
	"time"

	"github.com/tencentyun/tls-sig-api-v2-golang/tencentyun"
)

const oracleKey = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e"

// Sigs that Tencent's own module makes are good here.
func TestOracleSignsWeVerify(t *testing.T) {
	signers := map[string]struct {
		sign   func() (string, error)
		buffer func([]byte) bool
	}{
		"GenUserSig": {
			func() (string, error) { return tencentyun.GenUserSig(1400000001, oracleKey, "alice", 86400) },
			func(b []byte) bool { return b == nil },
		},
		"GenUserSigWithBuf": {
			func() (string, error) {
				return tencentyun.GenUserSigWithBuf(1400000001, oracleKey, "alice", 86400, []byte("abc\x00\xff"))
			},
			func(b []byte) bool { return string(b) == "abc\x00\xff" },
		},
		"GenUserSigWithBuf, empty": {
			func() (string, error) {
				return tencentyun.GenUserSigWithBuf(1400000001, oracleKey, "alice", 86400, []byte{})
			},
			func(b []byte) bool { return b != nil && len(b) == 0 },
		},
		"GenPrivateMapKey": {
			func() (string, error) {
				return tencentyun.GenPrivateMapKey(1400000001, oracleKey, "alice", 86400, 10000, 255)
			},
			func(b []byte) bool { return len(b) == 3+len("alice")+20 },
		},
		"GenPrivateMapKeyWithStringRoomID": {
			func() (string, error) {
				return tencentyun.GenPrivateMapKeyWithStringRoomID(1400000001, oracleKey, "alice", 86400, "room", 255)
			},
			func(b []byte) bool { return len(b) == 3+len("alice")+20+2+len("room") },
		},
	}
	for name, tc := range signers {
		t.Run(name, func(t *testing.T) {
			before := time.Now().Unix()
			sig, err := tc.sign()
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			c, key, err := Verify(sig, Want{AppID: 1400000001, UserID: "alice", Now: now, Keys: []Key{{"k", []byte(oracleKey)}}})
			if err != nil {
				t.Fatal(err)
			}
			if at := c.IssuedAt.Unix(); key != "k" || c.UserID != "alice" || c.AppID != 1400000001 || c.Expire != 24*time.Hour ||
				at < before || at > now.Unix() || !tc.buffer(c.UserBuf) {
				t.Errorf("claims = %+v", c)
			}
			in, err := Inspect(sig)
			if err != nil || !sameClaims(in, c) {
				t.Errorf("Inspect = %+v, %v", in, err)
			}
			_, _, err = Verify(sig, Want{AppID: 1400000001, UserID: "alice", Now: now, Keys: []Key{{"k", []byte("other")}}})
			if ReasonOf(err) != BadSignature {
				t.Errorf("with another key: %v", err)
			}
		})
	}
}

// Sigs made here are good for Tencent's own module, and it refuses what we refuse.
func TestWeSignOracleVerifies(t *testing.T) {
	c := alice()
	sig := mustSign(t, c, []byte(oracleKey))
	last := c.ExpiresAt()
	for name, tc := range map[string]struct {
		app    uint64
		key    string
		user   string
		now    time.Time
		want   error
		reason Reason
	}{
		"good":       {1400000001, oracleKey, "alice", issued, nil, 0},
		"its last s": {1400000001, oracleKey, "alice", last, nil, 0},
		"expired":    {1400000001, oracleKey, "alice", last.Add(time.Second), tencentyun.ErrExpired, Expired},
		"other app":  {1400000002, oracleKey, "alice", issued, tencentyun.ErrSdkAppIDNotMatch, WrongApp},
		"other user": {1400000001, oracleKey, "bob", issued, tencentyun.ErrIdentifierNotMatch, WrongUser},
		"other key":  {1400000001, "x", "alice", issued, tencentyun.ErrSigNotMatch, BadSignature},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tencentyun.VerifyUserSig(tc.app, tc.key, tc.user, sig, tc.now); !errors.Is(err, tc.want) {
				t.Errorf("the oracle says %v, want %v", err, tc.want)
			}
			_, _, err := Verify(sig, Want{AppID: uint32(tc.app), UserID: tc.user, Now: tc.now, Keys: []Key{{"k", []byte(tc.key)}}})
			if ReasonOf(err) != tc.reason {
				t.Errorf("we say %v, want %v", err, tc.reason)
			}
		})
	}
	for _, buf := range [][]byte{{}, {5}, []byte("a longer one with + and / in it: \xfb\xff\xfe")} {
		c.UserBuf = buf
		sig := mustSign(t, c, []byte(oracleKey))
		if err := tencentyun.VerifyUserSigWithBuf(1400000001, oracleKey, "alice", sig, issued, buf); err != nil {
			t.Errorf("buffer %q: %v", buf, err)
		}
	}
}
