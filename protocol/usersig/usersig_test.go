package usersig

import (
	"bytes"
	"compress/zlib"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"
)

var (
	secret = []byte("5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e")
	issued = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func alice() Claims {
	return Claims{UserID: "alice", AppID: 1400000001, IssuedAt: issued, Expire: 180 * 24 * time.Hour}
}

// wanted is what a hub asks for when alice logs in a minute after she got c.
func wanted() Want {
	return Want{AppID: 1400000001, UserID: "alice", Now: issued.Add(time.Minute), Keys: []Key{{ID: "k1", Secret: secret}}}
}

func mustSign(t testing.TB, c Claims, key []byte) string {
	t.Helper()
	sig, err := Sign(c, key)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func mustPack(t testing.TB, doc string) string {
	t.Helper()
	sig, err := pack([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// signed is a JSON document whose HMAC is right for the values given, which may
// be ones that Sign would not sign.
func signed(t testing.TB, user string, app uint32, at, expire int64) string {
	t.Helper()
	mac := base64.StdEncoding.EncodeToString(sum(signedText(user, app, at, expire, "", false), secret))
	return fmt.Sprintf(`{"TLS.ver":"2.0","TLS.identifier":%q,"TLS.sdkappid":%d,"TLS.expire":%d,"TLS.time":%d,"TLS.sig":%q}`,
		user, app, expire, at, mac)
}

func sameClaims(a, b Claims) bool {
	return a.UserID == b.UserID && a.AppID == b.AppID && a.IssuedAt.Equal(b.IssuedAt) && a.Expire == b.Expire &&
		bytes.Equal(a.UserBuf, b.UserBuf) && (a.UserBuf == nil) == (b.UserBuf == nil)
}

func TestRoundTrip(t *testing.T) {
	noise := make([]byte, 3000)
	_, _ = rand.Read(noise) // never fails
	for name, change := range map[string]func(*Claims){
		"plain":         func(*Claims) {},
		"user buffer":   func(c *Claims) { c.UserBuf = []byte{0, 1, 2, 0xff} },
		"empty buffer":  func(c *Claims) { c.UserBuf = []byte{} },
		"large buffer":  func(c *Claims) { c.UserBuf = noise },
		"longest id":    func(c *Claims) { c.UserID = strings.Repeat("Z", 32) },
		"all of an id":  func(c *Claims) { c.UserID = "aZ09_-" },
		"largest app":   func(c *Claims) { c.AppID = math.MaxUint32 },
		"one second":    func(c *Claims) { c.Expire = 61 * time.Second },
		"the cap":       func(c *Claims) { c.Expire = DefaultMaxExpire },
		"issued in '70": func(c *Claims) { c.IssuedAt, c.Expire = time.Unix(0, 0), 100*365*24*time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			c, w := alice(), wanted()
			change(&c)
			w.UserID, w.AppID, w.MaxExpire = c.UserID, c.AppID, 200*365*24*time.Hour
			sig := mustSign(t, c, secret)
			got, key, err := Verify(sig, w)
			if err != nil || key != "k1" || !sameClaims(got, c) {
				t.Errorf("Verify = %+v, %q, %v; want %+v", got, key, err, c)
			}
			got, err = Inspect(sig)
			if err != nil || !sameClaims(got, c) {
				t.Errorf("Inspect = %+v, %v; want %+v", got, err, c)
			}
		})
	}
}

func TestPartsOfASecondAreCutOff(t *testing.T) {
	c := alice()
	c.IssuedAt, c.Expire = issued.Add(700*time.Millisecond), 90*time.Second+999*time.Millisecond
	got, _, err := Verify(mustSign(t, c, secret), wanted())
	if err != nil || !got.IssuedAt.Equal(issued) || got.Expire != 90*time.Second {
		t.Errorf("got %v + %v, %v", got.IssuedAt, got.Expire, err)
	}
	if want := issued.Add(90 * time.Second); !got.ExpiresAt().Equal(want) {
		t.Errorf("ExpiresAt = %v, want %v", got.ExpiresAt(), want)
	}
}

func TestSignRefuses(t *testing.T) {
	noise := make([]byte, 8000)
	_, _ = rand.Read(noise)
	for name, tc := range map[string]struct {
		change func(*Claims)
		key    []byte
		says   string
	}{
		"empty key":       {func(*Claims) {}, nil, "key is empty"},
		"no user":         {func(c *Claims) { c.UserID = "" }, secret, "user id"},
		"long user":       {func(c *Claims) { c.UserID = strings.Repeat("a", 33) }, secret, "user id"},
		"user with break": {func(c *Claims) { c.UserID = "a\nTLS.sdkappid:1" }, secret, `a\nTLS`},
		"no app":          {func(c *Claims) { c.AppID = 0 }, secret, "sdkAppId"},
		"before 1970":     {func(c *Claims) { c.IssuedAt = time.Unix(-1, 0) }, secret, "1969"},
		"no time":         {func(c *Claims) { c.IssuedAt = time.Time{} }, secret, "0001"},
		"no expiry":       {func(c *Claims) { c.Expire = 0 }, secret, "at least 1s"},
		"under a second":  {func(c *Claims) { c.Expire = 999 * time.Millisecond }, secret, "at least 1s"},
		"negative expiry": {func(c *Claims) { c.Expire = -time.Hour }, secret, "-1h"},
		"buffer too long": {func(c *Claims) { c.UserBuf = noise }, secret, "8000 bytes"},
		"buffer unpacked": {func(c *Claims) { c.UserBuf = make([]byte, 12280) }, secret, "12280 bytes"},
		"buffer absurd":   {func(c *Claims) { c.UserBuf = make([]byte, 1<<20) }, secret, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			c := alice()
			tc.change(&c)
			sig, err := Sign(c, tc.key)
			if err == nil || !strings.Contains(err.Error(), tc.says) || sig != "" {
				t.Errorf("Sign = %q, %v; want an error that says %q", sig, err, tc.says)
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	good := mustSign(t, alice(), secret)
	goodDoc := signed(t, "alice", 1400000001, issued.Unix(), 86400)
	packed, err := textEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	enc := textEncoding.EncodeToString
	edit := func(old, new string) string {
		if !strings.Contains(goodDoc, old) {
			t.Fatalf("the document has no %s", old)
		}
		return mustPack(t, strings.Replace(goodDoc, old, new, 1))
	}
	with := func(member string) string { return edit("{", "{"+member+",") }
	sigAt := func(at, expire int64) string {
		return mustPack(t, signed(t, "alice", 1400000001, at, expire))
	}
	now := wanted().Now.Unix()
	none := func(*Want) {}
	badMAC := append([]byte(nil), packed...)
	badMAC[len(badMAC)-1] ^= 1 // zlib's checksum

	for name, tc := range map[string]struct {
		sig    string
		change func(*Want)
		reason Reason
		code   int
	}{
		"empty":                  {"", none, Empty, 70002},
		"over the cap by one":    {strings.Repeat("A", MaxSize+1), none, TooLarge, 70003},
		"350 KB":                 {strings.Repeat("eJxl", 350<<10/4), none, TooLarge, 70003},
		"not base64":             {"hello, world", none, Malformed, 70003},
		"plain base64":           {base64.StdEncoding.EncodeToString(append([]byte{0xff, 0xff}, packed...)), none, Malformed, 70003},
		"line break inside":      {good[:8] + "\n" + good[8:], none, Malformed, 70003},
		"line break after":       {good + "\n", none, Malformed, 70003},
		"space after":            {good + " ", none, Malformed, 70003},
		"cut short":              {good[:len(good)/2/4*4], none, Malformed, 70003},
		"one character only":     {"e", none, Malformed, 70003},
		"not zlib":               {enc([]byte(goodDoc)), none, Malformed, 70003},
		"zlib with a dictionary": {enc([]byte{0x78, 0xbb, 0, 0, 0, 0}), none, Malformed, 70003},
		"zlib cut short":         {enc(packed[:len(packed)-5]), none, Malformed, 70003},
		"zlib checksum":          {enc(badMAC), none, Malformed, 70003},
		"bytes after zlib":       {enc(append(append([]byte(nil), packed...), 'x')), none, Malformed, 70003},
		"a second zlib stream":   {enc(append(append([]byte(nil), packed...), packed...)), none, Malformed, 70003},
		"zlib bomb":              {bomb(t, 4<<20), none, TooLarge, 70003},
		"one byte too inflated":  {mustPack(t, strings.Repeat(" ", MaxInflated+1)), none, TooLarge, 70003},
		"nothing inside":         {mustPack(t, ""), none, Malformed, 70003},

		"not JSON":                   {mustPack(t, "alice"), none, Malformed, 70003},
		"JSON null":                  {mustPack(t, "null"), none, Malformed, 70003},
		"JSON list":                  {mustPack(t, "["+goodDoc+"]"), none, Malformed, 70003},
		"JSON empty":                 {mustPack(t, "{}"), none, Malformed, 70003},
		"JSON deep":                  {mustPack(t, strings.Repeat("[", 12000)+strings.Repeat("]", 4000)), none, Malformed, 70003},
		"JSON twice":                 {mustPack(t, goodDoc+goodDoc), none, Malformed, 70003},
		"JSON and more":              {mustPack(t, goodDoc+"x"), none, Malformed, 70003},
		"user twice, other first":    {with(`"TLS.identifier":"bob"`), none, Malformed, 70003},
		"user twice, same":           {with(`"TLS.identifier":"alice"`), none, Malformed, 70003},
		"user twice, escaped":        {with(`"TLS\u002eidentifier":"bob"`), none, Malformed, 70003},
		"expire twice":               {with(`"TLS.expire":1`), none, Malformed, 70003},
		"sig twice":                  {with(`"TLS.sig":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`), none, Malformed, 70003},
		"nested unknown":             {with(`"x":{"TLS.identifier":"bob"}`), none, Malformed, 70003},
		"list unknown":               {with(`"x":[1]`), none, Malformed, 70003},
		"33 members":                 {with(strings.Repeat(`"x":1,`, 26) + `"x":1`), none, Malformed, 70003},
		"version 1":                  {edit(`"2.0"`, `"1.0"`), none, Malformed, 70003},
		"version as a number":        {edit(`"2.0"`, `2.0`), none, Malformed, 70003},
		"no version":                 {edit(`"TLS.ver":"2.0",`, ``), none, Malformed, 70003},
		"no user":                    {edit(`"TLS.identifier":"alice",`, ``), none, Malformed, 70003},
		"user in small letters":      {edit(`"TLS.identifier"`, `"tls.identifier"`), none, Malformed, 70003},
		"user null":                  {edit(`"alice"`, `null`), none, Malformed, 70003},
		"user a number":              {edit(`"alice"`, `7`), none, Malformed, 70003},
		"user empty":                 {edit(`"alice"`, `""`), none, Malformed, 70003},
		"user too long":              {edit(`"alice"`, `"`+strings.Repeat("a", 33)+`"`), none, Malformed, 70003},
		"user with a slash":          {edit(`"alice"`, `"alice/x"`), none, Malformed, 70003},
		"user with a break":          {edit(`"alice"`, `"alice\nTLS.sdkappid:1"`), none, Malformed, 70003},
		"user with bad UTF-8":        {edit(`"alice"`, "\"ali\xffce\""), none, Malformed, 70003},
		"app as text":                {edit(`1400000001`, `"1400000001"`), none, Malformed, 70003},
		"app 0":                      {edit(`1400000001`, `0`), none, Malformed, 70003},
		"app negative":               {edit(`1400000001`, `-1`), none, Malformed, 70003},
		"app over 32 bits":           {edit(`1400000001`, `5694967297`), none, Malformed, 70003}, // the app + 2^32
		"app with a fraction":        {edit(`1400000001`, `1400000001.0`), none, Malformed, 70003},
		"app with an exponent":       {edit(`1400000001`, `1400000001e0`), none, Malformed, 70003},
		"expire 0":                   {edit(`:86400`, `:0`), none, Malformed, 70003},
		"expire -0":                  {edit(`:86400`, `:-0`), none, Malformed, 70003},
		"expire negative":            {edit(`:86400`, `:-86400`), none, Malformed, 70003},
		"expire over 64 bits":        {edit(`:86400`, `:9223372036854775808`), none, Malformed, 70003},
		"expire a fraction":          {edit(`:86400`, `:86400.5`), none, Malformed, 70003},
		"expire as text":             {edit(`:86400`, `:"86400"`), none, Malformed, 70003},
		"time negative":              {edit(`:1772366400`, `:-1`), none, Malformed, 70003},
		"time -0":                    {mustPack(t, strings.Replace(signed(t, "alice", 1400000001, 0, 86400), `"TLS.time":0`, `"TLS.time":-0`, 1)), none, Malformed, 70003},
		"time past the year 9999":    {edit(`:1772366400`, `:253402300800`), none, Malformed, 70003},
		"time over 64 bits":          {edit(`:1772366400`, `:99999999999999999999`), none, Malformed, 70003},
		"buffer not base64":          {with(`"TLS.userbuf":"?"`), none, Malformed, 70003},
		"buffer with a break":        {with(`"TLS.userbuf":"QU\nJD"`), none, Malformed, 70003},
		"buffer not canonical":       {with(`"TLS.userbuf":"QR=="`), none, Malformed, 70003},
		"buffer null":                {with(`"TLS.userbuf":null`), none, Malformed, 70003},
		"no sig":                     {mustPack(t, goodDoc[:strings.Index(goodDoc, `,"TLS.sig"`)]+"}"), none, Malformed, 70003},
		"sig empty":                  {mustPack(t, goodDoc[:strings.Index(goodDoc, `"TLS.sig"`)]+`"TLS.sig":""}`), none, Malformed, 70003},
		"sig too short":              {mustPack(t, goodDoc[:strings.Index(goodDoc, `"TLS.sig"`)]+`"TLS.sig":"QUJD"}`), none, Malformed, 70003},
		"sig null":                   {mustPack(t, goodDoc[:strings.Index(goodDoc, `"TLS.sig"`)]+`"TLS.sig":null}`), none, Malformed, 70003},
		"other app":                  {good, func(w *Want) { w.AppID++ }, WrongApp, 70014},
		"no app wanted":              {good, func(w *Want) { w.AppID = 0 }, WrongApp, 70014},
		"other user":                 {good, func(w *Want) { w.UserID = "bob" }, WrongUser, 70013},
		"user in another case":       {good, func(w *Want) { w.UserID = "Alice" }, WrongUser, 70013},
		"no user wanted":             {good, func(w *Want) { w.UserID = "" }, WrongUser, 70013},
		"other key":                  {good, func(w *Want) { w.Keys = []Key{{"k2", []byte("another")}} }, BadSignature, 70009},
		"no key":                     {good, func(w *Want) { w.Keys = nil }, BadSignature, 70009},
		"signed with the empty key":  {emptyKeySig(t), func(w *Want) { w.Keys = []Key{{"k0", nil}, {"k1", []byte{}}} }, BadSignature, 70009},
		"user rewritten":             {edit(`"alice"`, `"bob"`), func(w *Want) { w.UserID = "bob" }, BadSignature, 70009},
		"app rewritten":              {edit(`1400000001`, `1400000002`), func(w *Want) { w.AppID++ }, BadSignature, 70009},
		"expire rewritten":           {edit(`:86400`, `:86401`), none, BadSignature, 70009},
		"time rewritten":             {edit(`:1772366400`, `:1772366401`), none, BadSignature, 70009},
		"buffer slipped in":          {with(`"TLS.userbuf":"QUJD"`), none, BadSignature, 70009},
		"empty buffer slipped in":    {with(`"TLS.userbuf":""`), none, BadSignature, 70009},
		"forged, and expired":        {edit(`:86400`, `:1`), func(w *Want) { w.Now = issued.AddDate(9, 0, 0) }, BadSignature, 70009},
		"forged, and of the future":  {edit(`:1772366400`, `:99999999999`), none, BadSignature, 70009},
		"forged, and good for ages":  {edit(`:86400`, `:9223372036854775807`), none, BadSignature, 70009},
		"expired a second ago":       {sigAt(now-101, 100), none, Expired, 70001},
		"expired long ago":           {good, func(w *Want) { w.Now = issued.AddDate(5, 0, 0) }, Expired, 70001},
		"tolerance prolongs nothing": {sigAt(now-101, 100), func(w *Want) { w.Tolerance = 24 * time.Hour }, Expired, 70001},
		"beyond the tolerance":       {sigAt(now+601, 100), none, NotYetValid, 70003},
		"beyond no tolerance":        {sigAt(now+1, 100), func(w *Want) { w.Tolerance = -1 }, NotYetValid, 70003},
		"in the year 9999":           {sigAt(lastTime, math.MaxInt64), none, NotYetValid, 70003},
		"verifier without a clock":   {good, func(w *Want) { w.Now = time.Time{} }, NotYetValid, 70003},
		"a second over the cap":      {sigAt(now, 315360001), none, ExpireTooLong, 70003},
		"over a smaller cap":         {sigAt(now, 61), func(w *Want) { w.MaxExpire = time.Minute }, ExpireTooLong, 70003},
		"expire overflows":           {sigAt(now, math.MaxInt64), none, ExpireTooLong, 70003},
		"long, and expired too":      {sigAt(0, 1<<40), none, ExpireTooLong, 70003},
	} {
		t.Run(name, func(t *testing.T) {
			w := wanted()
			tc.change(&w)
			c, key, err := Verify(tc.sig, w)
			checkRefusal(t, err, tc.sig)
			if ReasonOf(err) != tc.reason {
				t.Fatalf("reason = %v (%v), want %v", ReasonOf(err), err, tc.reason)
			}
			var e *Error
			if errors.As(err, &e); e.Code() != tc.code {
				t.Errorf("code = %d, want %d", e.Code(), tc.code)
			}
			if !sameClaims(c, Claims{}) || key != "" {
				t.Errorf("claims %+v and key %q come with the error", c, key)
			}
		})
	}
}

// checkRefusal holds every error to be an *Error with a known reason and a
// short sentence that gives nothing of the sig away.
func checkRefusal(t *testing.T, err error, sig string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error = %v, want an *Error", err)
	}
	if e.Reason < Empty || e.Reason > ExpireTooLong || strings.HasPrefix(e.Reason.String(), "reason ") {
		t.Errorf("unknown reason %v", e.Reason)
	}
	if text := e.Error(); len(text) < 10 || len(text) > 300 {
		t.Errorf("sentence of %d bytes: %.400q", len(text), text)
	}
	if len(sig) >= 16 && strings.Contains(e.Error(), sig) {
		t.Errorf("the error tells the sig: %s", e)
	}
}

func TestVerifyAccepts(t *testing.T) {
	now := wanted().Now.Unix()
	sigAt := func(at, expire int64) string { return mustPack(t, signed(t, "alice", 1400000001, at, expire)) }
	doc := signed(t, "alice", 1400000001, issued.Unix(), 86400)
	slashed := doc // with a slash in its HMAC, which PHP's json_encode escapes
	for expire := int64(86401); !strings.Contains(slashed, "/"); expire++ {
		slashed = signed(t, "alice", 1400000001, issued.Unix(), expire)
	}
	none := func(*Want) {}
	for name, tc := range map[string]struct {
		sig    string
		change func(*Want)
		key    string
	}{
		"its last second":        {sigAt(now-100, 100), none, "k1"},
		"at the tolerance":       {sigAt(now+600, 100), none, "k1"},
		"within a wide one":      {sigAt(now+3600, 100), func(w *Want) { w.Tolerance = time.Hour }, "k1"},
		"exactly now":            {sigAt(now, 100), func(w *Want) { w.Tolerance = -1 }, "k1"},
		"at the cap":             {sigAt(now, 315360000), none, "k1"},
		"at a smaller cap":       {sigAt(now, 60), func(w *Want) { w.MaxExpire = time.Minute }, "k1"},
		"the old key of two":     {sigAt(now, 60), func(w *Want) { w.Keys = []Key{{"new", []byte("n")}, {"old", secret}} }, "old"},
		"the new key of two":     {sigAt(now, 60), func(w *Want) { w.Keys = []Key{{"new", secret}, {"old", []byte("o")}} }, "new"},
		"one key listed twice":   {sigAt(now, 60), func(w *Want) { w.Keys = []Key{{"a", secret}, {"b", secret}} }, "a"},
		"escaped as PHP does":    {mustPack(t, strings.ReplaceAll(slashed, "/", `\/`)), none, "k1"},
		"white space in JSON":    {mustPack(t, " "+strings.ReplaceAll(doc, ",", " ,\n\t")+"\n"), none, "k1"},
		"32 members":             {mustPack(t, strings.Replace(doc, "{", "{"+strings.Repeat(`"x":1,`, 26), 1)), none, "k1"},
		"unknown scalar members": {mustPack(t, strings.Replace(doc, "{", `{"x":1,"y":null,"tls.identifier":"bob",`, 1)), none, "k1"},
		"zlib without packing":   {stored(t, doc), none, "k1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := wanted()
			tc.change(&w)
			c, key, err := Verify(tc.sig, w)
			if err != nil || key != tc.key || c.UserID != "alice" {
				t.Errorf("Verify = %+v, %q, %v; want key %q", c, key, err, tc.key)
			}
		})
	}
}

// A board cannot tell whether a sig is good; it must still read it.
func TestInspectJudgesNeitherTimeNorKey(t *testing.T) {
	for _, at := range []int64{0, issued.Unix(), lastTime} {
		c, err := Inspect(mustPack(t, signed(t, "alice", 7, at, maxSeconds)))
		if err != nil || c.AppID != 7 || c.IssuedAt.Unix() != at || c.Expire <= 0 {
			t.Errorf("Inspect at %d = %+v, %v", at, c, err)
		}
	}
	_, err := Inspect(mustPack(t, signed(t, "alice", 7, 0, maxSeconds+1)))
	if ReasonOf(err) != ExpireTooLong {
		t.Errorf("an expiry beyond time.Duration: %v", err)
	}
	if _, err = Inspect(""); ReasonOf(err) != Empty {
		t.Errorf("Inspect of nothing: %v", err)
	}
}

func TestReasonOf(t *testing.T) {
	_, _, err := Verify("", wanted())
	if r := ReasonOf(fmt.Errorf("login: %w", err)); r != Empty {
		t.Errorf("wrapped: %v", r)
	}
	if r := ReasonOf(errors.New("other")); r != 0 {
		t.Errorf("of another error: %v", r)
	}
	if r := ReasonOf(nil); r != 0 {
		t.Errorf("of nil: %v", r)
	}
}

// bomb is a sig of a few KB that unpacks to size bytes.
func bomb(t testing.TB, size int) string {
	t.Helper()
	sig := mustPack(t, `{"TLS.ver":"`+strings.Repeat("0", size)+`"}`)
	if len(sig) > MaxSize {
		t.Fatalf("the bomb has %d bytes and would be refused for its size", len(sig))
	}
	return sig
}

func stored(t testing.TB, doc string) string {
	t.Helper()
	var b bytes.Buffer
	z, err := zlib.NewWriterLevel(&b, zlib.NoCompression)
	if err == nil {
		_, err = z.Write([]byte(doc))
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return textEncoding.EncodeToString(b.Bytes())
}

func emptyKeySig(t testing.TB) string {
	t.Helper()
	c := alice()
	mac := base64.StdEncoding.EncodeToString(sum(signedText(c.UserID, c.AppID, issued.Unix(), 86400, "", false), nil))
	doc := signed(t, c.UserID, c.AppID, issued.Unix(), 86400)
	return mustPack(t, doc[:strings.Index(doc, `"TLS.sig"`)]+`"TLS.sig":"`+mac+`"}`)
}

// A stranger must not make the hub work for him: what one attempt may allocate
// is bounded whatever he sends. The inflater itself takes some 40 KB.
func TestMemoryIsBounded(t *testing.T) {
	noise := make([]byte, 350<<10/4*3)
	_, _ = rand.Read(noise)
	for name, tc := range map[string]struct {
		sig      string
		maxBytes uint64 // per attempt
	}{
		"350 KB":        {textEncoding.EncodeToString(noise), 2 << 10},
		"350 KB of one": {strings.Repeat("A", 350<<10), 2 << 10},
		"zlib bomb":     {bomb(t, 5<<20), 200 << 10},
		"8 KB of noise": {textEncoding.EncodeToString(noise[:MaxSize/4*3]), 200 << 10},
		"many members":  {mustPack(t, "{"+strings.Repeat(`"":1,`, 3000)+`"":1}`), 200 << 10},
		"a good one":    {mustSign(t, alice(), secret), 200 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			const attempts = 20
			w := wanted()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range attempts {
				_, _, _ = Verify(tc.sig, w)
				_, _ = Inspect(tc.sig)
			}
			runtime.ReadMemStats(&after)
			each := (after.TotalAlloc - before.TotalAlloc) / (2 * attempts)
			t.Logf("%d bytes an attempt", each)
			if each > tc.maxBytes {
				t.Errorf("%d bytes allocated an attempt, want at most %d", each, tc.maxBytes)
			}
		})
	}
}
