package localapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/herald-im/herald/web"
)

// Pages load the client without a token, again only if it has changed, and it is
// what the package web has.
func TestScripts(t *testing.T) {
	g := start(t, nil)
	base := "http://" + g.server.Addr().String()
	defer http.DefaultClient.CloseIdleConnections()
	for _, f := range web.Files {
		r := request(t, "GET", base+"/"+f.Name, "")
		r.Header.Set("Origin", "https://panel.example") // as import does from an allowed page
		res, b := whole(t, http.DefaultClient, r)
		h := res.Header
		if res.StatusCode != http.StatusOK || b != string(f.Body) || h.Get("ETag") != f.ETag {
			t.Fatalf("%s: %d %v, %d bytes", f.Name, res.StatusCode, h, len(b))
		}
		if h.Get("Content-Type") != f.Type || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Access-Control-Allow-Origin") != "https://panel.example" {
			t.Errorf("%s: %v", f.Name, h)
		}
		r = request(t, "GET", base+"/"+f.Name, "")
		r.Header.Set("If-None-Match", f.ETag)
		if res, b := whole(t, http.DefaultClient, r); res.StatusCode != http.StatusNotModified || len(b) != 0 {
			t.Errorf("%s, which it has: %d and %d bytes", f.Name, res.StatusCode, len(b))
		}
		if res, b := whole(t, http.DefaultClient, request(t, "HEAD", base+"/"+f.Name, "")); res.StatusCode != http.StatusOK || len(b) != 0 {
			t.Errorf("HEAD %s: %d and %d bytes", f.Name, res.StatusCode, len(b))
		}
		if a := do(t, http.DefaultClient, request(t, "POST", base+"/"+f.Name, "{}")); a.status != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", f.Name, a.status)
		}
		if a := do(t, http.DefaultClient, request(t, "GET", base+"/"+f.Name, "a body")); a.status != http.StatusBadRequest {
			t.Errorf("GET %s with a body: %d", f.Name, a.status)
		}
	}
	r := request(t, "GET", base+"/herald.js", "")
	r.Header.Set("Origin", "https://evil.example")
	if a := do(t, http.DefaultClient, r); a.status != http.StatusForbidden {
		t.Errorf("a page of another origin: %d", a.status)
	}
	if !strings.Contains(string(web.Files[0].Body), "Im, calling") {
		t.Error("herald.js is not the client")
	}
}
