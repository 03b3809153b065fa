package usersig

import (
	"crypto/hmac"
	"strings"
	"testing"
)

// seeds are documents, which the targets pack into sigs so that mutations get
// past base64 and zlib.
func seeds(t testing.TB) []string {
	doc := signed(t, "alice", 1400000001, issued.Unix(), 86400)
	return []string{
		doc, strings.ReplaceAll(doc, ",", " ,\n"), strings.Replace(doc, "{", `{"TLS.userbuf":"QUJD",`, 1),
		strings.Replace(doc, "{", `{"TLS.identifier":"bob",`, 1), strings.Replace(doc, "86400", "-0", 1),
		strings.Replace(doc, "86400", "9223372036854775807", 1), "{}", "null", "[[[", `{"a":{}}`, "",
	}
}

func addSeeds(f *testing.F) {
	for _, doc := range seeds(f) {
		f.Add(doc, true)
	}
	f.Add(mustSign(f, alice(), secret), false)
	f.Add(bomb(f, 1<<20), false)
	f.Add("eJxl", false)
	f.Add(strings.Repeat("_", MaxSize+1), false)
}

func fuzzedSig(t *testing.T, input string, isDocument bool) string {
	if isDocument {
		return mustPack(t, input)
	}
	return input
}

// Whatever Verify accepts has the claims that were asked for, under an HMAC
// that holds for exactly them.
func FuzzVerify(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, input string, isDocument bool) {
		sig, w := fuzzedSig(t, input, isDocument), wanted()
		c, key, err := Verify(sig, w)
		if err != nil {
			checkRefusal(t, err, sig)
			return
		}
		if c.UserID != w.UserID || c.AppID != w.AppID || key != "k1" || c.Expire <= 0 || c.Expire > DefaultMaxExpire ||
			c.ExpiresAt().Before(w.Now) || c.IssuedAt.After(w.Now.Add(DefaultTolerance)) {
			t.Fatalf("accepted %+v, key %q", c, key)
		}
		d, bad := parse(mustSign(t, c, secret))
		if bad != nil {
			t.Fatal(bad)
		}
		if own, bad := parse(sig); bad != nil || !hmac.Equal(own.mac, d.mac) {
			t.Fatalf("accepted %+v under another HMAC (%v)", c, bad)
		}
	})
}

// Whatever Inspect reads can be signed, and reads the same again.
func FuzzInspect(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, input string, isDocument bool) {
		sig := fuzzedSig(t, input, isDocument)
		c, err := Inspect(sig)
		if err != nil {
			checkRefusal(t, err, sig)
			return
		}
		if !validUserID(c.UserID) || c.AppID == 0 || c.Expire <= 0 || c.IssuedAt.Unix() < 0 || c.IssuedAt.Year() > 9999 {
			t.Fatalf("read %+v", c)
		}
		again, err := Sign(c, secret)
		if err != nil {
			// White space that went may have made room for a buffer that zlib then
			// packs worse; nothing else may stand in the way.
			if c.UserBuf == nil {
				t.Fatalf("read %+v, which does not sign: %v", c, err)
			}
			return
		}
		got, err := Inspect(again)
		if err != nil || !sameClaims(got, c) {
			t.Fatalf("read %+v, then %+v, %v", c, got, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	sig, w := mustSign(b, alice(), secret), wanted()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Verify(sig, w); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyBomb(b *testing.B) {
	sig, w := bomb(b, 5<<20), wanted()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Verify(sig, w); err == nil {
			b.Fatal("accepted")
		}
	}
}

func BenchmarkSign(b *testing.B) {
	c := alice()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Sign(c, secret); err != nil {
			b.Fatal(err)
		}
	}
}
