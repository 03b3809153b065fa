package files

import (
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// FuzzParseGrant: whatever is taken apart is put together again to the same, so one
// grant has one form, and no path leads out of the directory.
func FuzzParseGrant(f *testing.F) {
	hash := strings.Repeat("a", 64)
	proof := strings.Repeat("0f", 32)
	for _, target := range []string{
		Path + hash + "?u=door&n=1&e=1&s=" + proof, uploadPath + hash + "?u=door&n=104857600&e=1&s=" + proof,
		Path + "../" + hash + "?u=door&n=1&e=1&s=" + proof, Path + hash + "?u=do%2For&n=01&e=-1&s=" + proof[1:],
		"?", Path + "?u&n&e&s", Path + hash + "?u=a;n=1&e=1&s=" + strings.ToUpper(proof),
	} {
		path, query, _ := strings.Cut(target, "?")
		f.Add(path, query)
	}
	f.Fuzz(func(t *testing.T, path, query string) {
		g, sig, ok := parseGrant(path, query)
		if !ok {
			return
		}
		if !protocol.ValidHash(g.hash) || !protocol.ValidUserID(g.user) || g.size < 1 || g.size > protocol.MaxFile || g.expires < 1 || len(sig) != 32 {
			t.Fatalf("%+v", g)
		}
		again, rest, _ := strings.Cut(g.target(sig), "?")
		if again != path {
			t.Errorf("the path %q comes back as %q", path, again)
		}
		g2, sig2, ok := parseGrant(again, rest)
		if !ok || g2 != g || hex.EncodeToString(sig2) != hex.EncodeToString(sig) {
			t.Errorf("%+v comes back as %+v", g, g2)
		}
		if id := g.id(1); len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
			t.Errorf("the upload is called %q", id)
		}
	})
}

// FuzzServe: requests of strangers, and of an account with a good URL, get an
// answer and write nothing outside of the directory.
func FuzzServe(f *testing.F) {
	r := newRig(f)
	one := newFile(100, 1)
	r.put("door", one)
	up, down := r.upURL("door", newFile(50, 2)), r.downURL("door", one)
	f.Add("GET", "", "Range", "bytes=0-1", "", uint8(0))
	f.Add("POST", "", "Upload-Length", "50", "", uint8(1))
	f.Add("PATCH", "", "Upload-Offset", "0", "abc", uint8(1))
	f.Add("POST", "", "Upload-Concat", "final;/files/up/x", "", uint8(1))
	f.Add("POST", "", "Upload-Metadata", "hash Li4vLi4v", "abc", uint8(1))
	f.Add("DELETE", "/../x", "X-HTTP-Method-Override", "PATCH", "", uint8(1))
	f.Add("GET", "/files/../../etc/passwd", "If-Range", "x", "", uint8(2))
	f.Fuzz(func(t *testing.T, method, path, name, value, body string, kind uint8) {
		target := []string{down, up, r.base + Path}[kind%3]
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		u.Path += path
		req, err := http.NewRequest(method, u.String(), strings.NewReader(body))
		if err != nil {
			return
		}
		req.RequestURI = u.RequestURI()
		req.Header.Set("Tus-Resumable", "1.0.0")
		req.Header.Set("Content-Type", "application/offset+octet-stream")
		req.Header.Set("Upload-Length", "50")
		req.Header.Set("Upload-Offset", "0")
		req.Header.Set(name, value)
		r.t = t
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		if w.Code < 200 || w.Code == 500 {
			t.Errorf("%s %s: %d %s", method, u, w.Code, w.Body)
		}
		for _, file := range r.onDisk() {
			if !strings.HasPrefix(file, uploadsDir+"/") && file != one.hash[:2]+"/"+one.hash {
				t.Fatalf("on disk: %q", file)
			}
		}
	})
}
