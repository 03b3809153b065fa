package localapi

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
)

// overTCP makes a request as an entitled caller would.
func (g *rig) overTCP(method, path, body string) *http.Request {
	g.t.Helper()
	r := request(g.t, method, "http://"+g.server.Addr().String()+path, body)
	r.Header.Set("Authorization", "Bearer "+testToken)
	return r
}

func TestTCPAdmits(t *testing.T) {
	g := start(t, nil)
	_, port, _ := net.SplitHostPort(g.server.Addr().String())
	for _, host := range []string{"", "localhost:" + port, "LOCALHOST:" + port, "127.0.0.1:" + port, "[::1]:" + port, "door.local", "door.local:" + port} {
		r := g.overTCP("POST", "/v1/im/getVersion", "{}")
		r.Host = host
		if a := do(t, http.DefaultClient, r); a.status != 200 {
			t.Errorf("Host %q: %d %s", host, a.status, a.raw)
		}
		if c := <-g.callers; c.Who != "token" {
			t.Errorf("the caller is %q", c.Who)
		}
	}
	r := g.overTCP("POST", "/v1/im/getVersion", "{}")
	r.Header.Set("Authorization", "bearer "+testToken)
	r.Header.Set("Origin", "https://panel.example")
	if a := do(t, http.DefaultClient, r); a.status != 200 || a.header.Get("Access-Control-Allow-Origin") != "https://panel.example" || a.header.Get("Vary") != "Origin" {
		t.Errorf("allowed origin: %d %v", a.status, a.header)
	}
}

// TestTCPOnEveryAddress listens on all addresses, and is called by one of them.
func TestTCPOnEveryAddress(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0"} {
		g := start(t, func(c *Config, _ *timing) { c.HTTP = listen })
		_, port, _ := net.SplitHostPort(g.server.Addr().String())
		for host, status := range map[string]int{
			"127.0.0.2:" + port: 200, "door.local:" + port: 200,
			"127.0.0.2": 403, "127.0.0.2:1": 403, "127.0.0.3:" + port: 403, "0.0.0.0:" + port: 403, "[::]:" + port: 403, "rebound.example:" + port: 403,
		} {
			r := g.overTCP("GET", "/v1/status", "")
			r.URL.Host, r.Host = "127.0.0.2:"+port, host
			if a := do(t, http.DefaultClient, r); a.status != status {
				t.Errorf("on %s, Host %q: %d %s", listen, host, a.status, a.raw)
			}
		}
		r := g.overTCP("GET", "/v1/status", "")
		r.URL.Host, r.Host = "127.0.0.2:"+port, ""
		r.Header.Set("Origin", "http://127.0.0.2:"+port)
		if a := do(t, http.DefaultClient, r); a.status != 403 {
			t.Errorf("an Origin: %d %s", a.status, a.raw)
		}
	}
}

// TestFormsOfPages: a browser sends these without asking the board first, so
// over TCP they are refused whatever they hold. On the socket they are what
// curl -d says of a JSON body.
func TestFormsOfPages(t *testing.T) {
	g := start(t, nil)
	const form = "application/x-www-form-urlencoded"
	r := g.overTCP("POST", "/v1/im/getVersion", "{}")
	r.Header.Set("Content-Type", form)
	if a := do(t, http.DefaultClient, r); a.status != 415 || a.Code != 6017 {
		t.Errorf("over TCP: %d %s", a.status, a.raw)
	}
	r = request(t, "POST", "http://herald/v1/im/getVersion", "{}")
	r.Header.Set("Content-Type", form)
	if a := do(t, g.client(), r); a.status != 200 {
		t.Errorf("on the socket: %d %s", a.status, a.raw)
	}
}

func TestTCPKeepsOut(t *testing.T) {
	g := start(t, nil)
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"no token", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		{"wrong token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer 0123456789abcdeF") }, 401},
		{"a part of the token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer 0123456789") }, 401},
		{"empty token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }, 401},
		{"other scheme", func(r *http.Request) { r.Header.Set("Authorization", "Basic "+testToken) }, 401},
		{"two tokens", func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+testToken) }, 401},
		{"foreign Host", func(r *http.Request) { r.Host = "rebound.example" }, 403},
		{"foreign Host, our port", func(r *http.Request) { r.Host = strings.Replace(r.URL.Host, "127.0.0.1", "rebound.example", 1) }, 403},
		{"loopback, other port", func(r *http.Request) { r.Host = "127.0.0.1:1" }, 403},
		{"foreign Origin", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		{"null Origin", func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		{"nearly the Origin", func(r *http.Request) { r.Header.Set("Origin", "https://panel.example.evil.example") }, 403},
		{"two Origins", func(r *http.Request) {
			r.Header["Origin"] = []string{"https://panel.example", "https://evil.example"}
		}, 403},
		{"foreign Origin without a token", func(r *http.Request) {
			r.Header.Set("Origin", "https://evil.example")
			r.Header.Del("Authorization")
		}, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			var first string
			for _, path := range []string{"/v1/im/getVersion", "/v1/im/noSuchMethod", "/v1/events", "/v1/status", "/metrics", "/"} {
				for _, method := range []string{"POST", "GET", "OPTIONS"} {
					r := g.overTCP(method, path, "{}")
					c.change(r)
					a := do(t, http.DefaultClient, r)
					if a.status != c.status || a.Code != 9503 || a.header.Get("Access-Control-Allow-Origin") != "" {
						t.Errorf("%s %s: %d %s %v", method, path, a.status, a.raw, a.header)
					}
					if first == "" {
						first = a.raw
					}
					if a.raw != first {
						t.Errorf("%s %s is told apart: %s", method, path, a.raw)
					}
				}
			}
		})
	}
	if n := len(g.callers); n != 0 {
		t.Errorf("%d calls went through", n)
	}
}

// A stranger is answered before the body has come.
func TestStrangersBodyIsNotRead(t *testing.T) {
	g := start(t, nil)
	c, err := net.Dial("tcp", g.server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /v1/im/getVersion HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\n\r\n", g.server.Addr())
	got, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 401 ") {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestPreflight(t *testing.T) {
	g := start(t, nil)
	r := g.overTCP("OPTIONS", "/v1/im/getVersion", "")
	r.Header.Del("Authorization") // a browser sends none
	r.Header.Set("Origin", "https://panel.example")
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "authorization,content-type")
	a := do(t, http.DefaultClient, r)
	if a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != "https://panel.example" ||
		!strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "Authorization") || a.header.Get("Access-Control-Allow-Methods") != "GET, POST, DELETE" {
		t.Errorf("allowed: %d %v", a.status, a.header)
	}
	r.Header.Set("Origin", "https://evil.example")
	if a := do(t, http.DefaultClient, r); a.status != 403 || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("foreign: %d %v", a.status, a.header)
	}
}

// A page's request that a proxy let through to the socket.
func TestOriginOnTheSocket(t *testing.T) {
	g := start(t, nil)
	r := request(t, "POST", "http://socket/v1/im/getVersion", "{}")
	r.Header.Set("Origin", "https://panel.example")
	if a := do(t, g.client(), r); a.status != 403 || a.Code != 9503 {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

func TestBadConfig(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		says string
	}{
		{Config{}, "neither"},
		{Config{HTTP: "127.0.0.1:0"}, "token"},
		{Config{HTTP: "127.0.0.1:0", Token: "short"}, "16"},
		{Config{HTTP: "127.0.0.1:0", Token: "0123456789 abcdef"}, "white space"},
		{Config{HTTP: "127.0.0.1:0", Token: testToken, Origins: []string{"*"}}, `"*"`},
		{Config{HTTP: "127.0.0.1:0", Token: testToken, Origins: []string{"https://a/"}}, `"https://a/"`},
		{Config{HTTP: "127.0.0.1:0", Token: testToken, Hosts: []string{"*.local"}}, `"*.local"`},
		{Config{HTTP: "127.0.0.1:99999", Token: testToken, MaxStreams: 8}, "99999"},
		{Config{Socket: "/x"}, "0 is no limit"},
	} {
		g := &rig{t: t}
		s, err := Open(c.cfg, g.parts())
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q in it", c.cfg, err, c.says)
		}
	}
	var warned strings.Builder
	g := &rig{t: t}
	p := g.parts()
	p.Log = slog.New(slog.NewTextHandler(&warned, nil))
	s, err := Open(Config{HTTP: "0.0.0.0:0", Token: testToken, MaxStreams: 8}, p)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if !strings.Contains(warned.String(), "reachable from the network") {
		t.Errorf("no warning: %s", warned.String())
	}
}
