package localapi

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

func TestCall(t *testing.T) {
	g := start(t, nil)
	if a := g.post("/v1/im/sendC2CTextMessage", `{"userId":"indoor","text":"hello","unknown":1}`); a.raw != `{"status":true,"msgId":"m-1","queued":true}`+"\n" {
		t.Errorf("send: %s", a.raw)
	}
	if a := g.post("/v1/im/getVersion", ""); a.raw != `{"status":true,"version":"test"}`+"\n" {
		t.Errorf("empty body: %s", a.raw)
	}
	if c := <-g.callers; !strings.HasPrefix(c.Who, "uid ") || !strings.Contains(c.Who, " pid ") {
		t.Errorf("the caller on the socket is %q", c.Who)
	}
	a := do(t, g.client(), request(t, "GET", "http://socket/v1/status", ""))
	if !strings.HasPrefix(a.raw, `{"status":true,"version":"test","userId":"door"`) {
		t.Errorf("status: %s", a.raw)
	}
}

func TestBadCalls(t *testing.T) {
	g := start(t, nil)
	send, long := "/v1/im/sendC2CTextMessage", strings.Repeat("x", 8193)
	for _, c := range []struct {
		name, method, path, body, contentType string
		status                                int
		code                                  protocol.Code
		says                                  string
	}{
		{"unknown method", "POST", "/v1/im/sendPigeon", "{}", "", 404, 6017, "im.sendPigeon"},
		{"declared, not bound", "POST", "/v1/im/destroy", "{}", "", 404, 6017, "im.destroy"},
		{"unknown module", "POST", "/v1/post/office", "{}", "", 404, 6017, "post.office"},
		{"unknown method, other verb", "GET", "/v1/im/sendPigeon", "", "", 404, 6017, "im.sendPigeon"},
		{"too deep", "POST", "/v1/im/login/now", "{}", "", 404, 6017, "login/now"},
		{"unknown path", "GET", "/index.html", "", "", 404, 6017, "/index.html"},
		{"root", "GET", "/", "", "", 404, 6017, "/"},
		{"unclean path", "POST", "/v1//im/getVersion", "{}", "", 404, 6017, "method"},
		{"GET of a method", "GET", send, "", "", 405, 6017, "takes POST, not GET"},
		{"DELETE of a method", "DELETE", send, "", "", 405, 6017, "takes POST, not DELETE"},
		{"POST of events", "POST", "/v1/events", "", "", 405, 6017, "takes GET"},
		{"POST of health", "POST", "/healthz", "", "", 405, 6017, "takes GET"},
		{"form", "POST", send, "userId=indoor", "application/x-www-form-urlencoded", 400, 6017, "JSON"},
		{"text, as a page may send", "POST", send, `{"userId":"indoor","text":"x"}`, "text/plain", 415, 6017, "application/json"},
		{"nonsense type", "POST", send, `{}`, ";;", 415, 6017, "application/json"},
		{"malformed", "POST", send, `{"userId":`, "", 400, 6017, "JSON"},
		{"two objects", "POST", send, `{"userId":"a","text":"b"}{}`, "", 400, 6017, "JSON"},
		{"a list", "POST", send, `[]`, "application/json", 400, 6017, "object"},
		{"wrong type", "POST", send, `{"userId":7,"text":"x"}`, "", 400, 6017, "userId"},
		{"missing field", "POST", send, `{"userId":"indoor"}`, "", 400, 6017, "text: missing"},
		{"oversized field", "POST", send, `{"userId":"indoor","text":"` + long + `"}`, "", 413, 8001, "text"},
		{"bad userId", "POST", send, `{"userId":"in door","text":"x"}`, "", 400, 7003, "userId"},
		{"not valid UTF-8", "POST", send, "{\"userId\":\"\xff\xfe\",\"text\":\"x\"}", "", 400, 6017, "UTF-8"},
		{"deep", "POST", send, `{"userId":"indoor","text":` + strings.Repeat("[", 200000) + strings.Repeat("]", 200000) + `}`, "", 400, 6017, "JSON"},
		{"deep in an unknown field", "POST", send, `{"z":` + strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000) + `}`, "", 400, 6017, "JSON"},
		{"huge", "POST", send, `{"text":"` + strings.Repeat("x", MaxBody) + `"}`, "", 413, 9522, "1048576"},
		{"refused by the handler", "POST", send, `{"userId":"stranger","text":"x"}`, "", 404, protocol.CodeSvrMsgToAccountNotFound, "stranger"},
		{"panic in the handler", "POST", "/v1/im/logout", "", "", 500, 7012, "log"},
		{"stream name", "POST", "/v1/im/setSDKListener", `{"stream":"a b"}`, "", 400, 6017, "stream"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request(t, c.method, "http://socket"+c.path, c.body)
			if c.contentType != "" {
				r.Header.Set("Content-Type", c.contentType)
			}
			a := do(t, g.client(), r)
			if a.status != c.status || a.Code != c.code || !strings.Contains(a.Msg, c.says) {
				t.Errorf("got %d %s, want %d, code %d and %q in the sentence", a.status, a.raw, c.status, c.code, c.says)
			}
			if a.status == 405 && a.header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
			if len(a.raw) > 500 {
				t.Errorf("the sentence has %d bytes", len(a.raw))
			}
		})
	}
}

// A body whose length is not announced is held to the same limit.
func TestHugeBodyInChunks(t *testing.T) {
	g := start(t, nil)
	r, err := http.NewRequest("POST", "http://socket/v1/im/getVersion", io.MultiReader(strings.NewReader("{}"), strings.NewReader(strings.Repeat(" ", MaxBody))))
	if err != nil {
		t.Fatal(err)
	}
	if a := do(t, g.client(), r); a.status != 413 || a.Code != 9522 {
		t.Errorf("%d %s", a.status, a.raw)
	}
	r, err = http.NewRequest("POST", "http://socket/v1/im/getVersion", io.MultiReader(strings.NewReader("{}"), strings.NewReader(strings.Repeat(" ", MaxBody-2))))
	if err != nil {
		t.Fatal(err)
	}
	if a := do(t, g.client(), r); a.status != 200 {
		t.Errorf("a body of just the limit: %d %s", a.status, a.raw)
	}
}

func TestSlowBody(t *testing.T) {
	g := start(t, func(_ *Config, tm *timing) { tm.body = 50 * time.Millisecond })
	c, err := net.Dial("unix", g.sock)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST /v1/im/getVersion HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	got, err := io.ReadAll(c) // the server closes
	if err != nil {
		t.Fatal(err)
	}
	if s := string(got); !strings.HasPrefix(s, "HTTP/1.1 408 ") || !strings.HasSuffix(s, "}\n") || !strings.Contains(s, `"code":6012`) {
		t.Errorf("got %q", s)
	}
}

// A slow head gets no answer, only an end.
func TestSlowHead(t *testing.T) {
	g := start(t, func(_ *Config, tm *timing) { tm.header = 50 * time.Millisecond })
	c, err := net.Dial("unix", g.sock)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST /v1/im/getVersion HTTP/1.1\r\nHost:")
	if _, err := io.ReadAll(c); err != nil {
		t.Fatal(err)
	}
}

func TestLargeBodiesWaitForTheirPlace(t *testing.T) {
	g := start(t, func(_ *Config, tm *timing) { tm.body = 50 * time.Millisecond })
	large := `{"x":"` + strings.Repeat("x", smallBody) + `"}`
	for range bigBodies {
		g.server.big <- struct{}{} // as calls under way do
	}
	if a := g.post("/v1/im/getVersion", large); a.status != 503 || a.Code != 9507 {
		t.Errorf("over the limit: %d %s", a.status, a.raw)
	}
	if a := g.post("/v1/im/getVersion", "{}"); a.status != 200 {
		t.Errorf("a small body: %d %s", a.status, a.raw)
	}
	<-g.server.big
	for range 3 { // the place is given back
		if a := g.post("/v1/im/getVersion", large); a.status != 200 {
			t.Errorf("with a place free: %d %s", a.status, a.raw)
		}
	}
}

func TestHugeHeader(t *testing.T) {
	g := start(t, nil)
	r := request(t, "GET", "http://socket/v1/status", "")
	r.Header.Set("X-Filler", strings.Repeat("x", 64<<10))
	res, err := g.client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestConnectionLimit(t *testing.T) {
	g := start(t, nil)
	conns := make([]net.Conn, 0, maxUnixConns+8)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range maxUnixConns + 8 {
		c, err := net.Dial("unix", g.sock)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	c, err := net.Dial("unix", g.sock)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 503 ") || !strings.Contains(string(got), `"code":9507`) {
		t.Errorf("one too many got %q, %v", got, err)
	}
	// TCP has places of its own.
	if a := do(t, http.DefaultClient, g.overTCP("POST", "/v1/im/getVersion", "{}")); a.status != 200 {
		t.Errorf("over TCP: %s", a.raw)
	}
	conns[0].Close()
	for { // the server notices the end of a connection on its own time
		c, err := net.Dial("unix", g.sock)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		got, _ := io.ReadAll(c)
		c.Close()
		if strings.HasPrefix(string(got), "HTTP/1.1 200 ") {
			break
		}
	}
}

func TestHealth(t *testing.T) {
	g := start(t, nil)
	get := func(c *http.Client, r *http.Request) answer { t.Helper(); return do(t, c, r) }
	noToken := g.overTCP("GET", "/healthz", "")
	noToken.Header.Del("Authorization")
	if a := get(http.DefaultClient, noToken); a.status != 200 {
		t.Errorf("well: %d %s", a.status, a.raw)
	}
	g.health = fmt.Errorf("the disk is full")
	if a := get(g.client(), request(t, "GET", "http://socket/healthz", "")); a.status != 503 || a.Msg != "the disk is full" {
		t.Errorf("on the socket: %d %s", a.status, a.raw)
	}
	if a := get(http.DefaultClient, noToken); a.status != 503 || strings.Contains(a.raw, "disk") {
		t.Errorf("without a token: %d %s", a.status, a.raw)
	}
	if a := get(http.DefaultClient, g.overTCP("GET", "/healthz", "")); a.status != 503 || a.Msg != "the disk is full" {
		t.Errorf("with the token: %d %s", a.status, a.raw)
	}
}

func TestMetrics(t *testing.T) {
	g := start(t, nil)
	g.post("/v1/im/getVersion", "{}")
	res, err := g.client().Get("http://socket/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	for _, want := range []string{"herald_api_calls_total 1\n", "herald_api_streams 0\n", "process_resident_memory_bytes"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %q in\n%s", want, b)
		}
	}
}

// When the daemon ends a call under way is finished, one that does not end is
// interrupted, and Run returns only then.
func TestShutdown(t *testing.T) {
	for _, finishes := range []bool{true, false} {
		g := start(t, func(_ *Config, tm *timing) {
			if !finishes {
				tm.grace = time.Millisecond
			}
		})
		stream := g.openEvents("")
		stream.block()
		done := make(chan error, 1)
		began := make(chan struct{})
		c := g.client()
		go func() {
			r, err := http.NewRequestWithContext(context.Background(), "POST", "http://socket/v1/im/getServerTime", &notify{"{}", began})
			if err != nil {
				done <- err
				return
			}
			res, err := c.Do(r)
			if err == nil {
				res.Body.Close()
				if res.StatusCode != 200 {
					err = fmt.Errorf("status %d", res.StatusCode)
				}
			}
			done <- err
		}()
		<-began
		for g.server.counts.calls.Get() == 0 {
			time.Sleep(time.Millisecond) // until the handler has the call
		}
		ended := make(chan struct{})
		go func() { g.end(); close(ended) }()
		if _, err := io.ReadAll(stream.in); err != nil {
			t.Errorf("the stream did not end well: %v", err)
		}
		if finishes {
			close(g.release)
		}
		if err := <-done; (err == nil) != finishes {
			t.Errorf("finishes %v: %v", finishes, err)
		}
		<-ended
		if !g.left.Load() {
			t.Error("the handler is still there")
		}
		if _, err := net.Dial("unix", g.sock); err == nil {
			t.Error("somebody still answers")
		}
	}
}

// notify is a body that tells when it is read.
type notify struct {
	rest  string
	began chan struct{}
}

func (n *notify) Read(b []byte) (int, error) {
	if n.began != nil {
		close(n.began)
		n.began = nil
	}
	if n.rest == "" {
		return 0, io.EOF
	}
	k := copy(b, n.rest)
	n.rest = n.rest[k:]
	return k, nil
}
