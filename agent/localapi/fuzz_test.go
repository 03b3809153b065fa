package localapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// FuzzLocalAPI sends strangers' requests through both doors. None may panic,
// and every answer is the stream, the metrics, or JSON with a code of the
// table.
func FuzzLocalAPI(f *testing.F) {
	const auth = "Authorization: Bearer " + testToken + "\r\n"
	for _, seed := range []string{
		"POST /v1/im/sendC2CTextMessage HTTP/1.1\r\nHost: localhost:80\r\n" + auth + "Content-Length: 34\r\n\r\n" + `{"userId":"indoor","text":"hello"}`,
		"POST /v1/im/sendC2CTextMessage HTTP/1.1\r\nHost: localhost:80\r\n" + auth + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"POST /v1/im/setSDKListener HTTP/1.1\r\nHost: localhost:80\r\n" + auth + "Content-Type: application/json; charset=utf-8\r\nContent-Length: 14\r\n\r\n" + `{"stream":"a"}`,
		"POST /v1/im/logout HTTP/1.1\r\nHost: localhost:80\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
		"GET /v1/events?from=1&listen=simple,sdk&stream=a HTTP/1.1\r\nHost: localhost:80\r\n" + auth + "Last-Event-ID: 7\r\n\r\n",
		"GET /v1/events?stream=a HTTP/1.1\r\nHost: localhost:80\r\n" + auth + "\r\n",
		"GET /v1/status HTTP/1.1\r\nHost: localhost:80\r\n\r\n",
		"GET /healthz HTTP/1.0\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nHost: [::1]:80\r\n" + auth + "\r\n",
		"OPTIONS /v1/im/login HTTP/1.1\r\nHost: localhost:80\r\nOrigin: https://panel.example\r\nAccess-Control-Request-Method: POST\r\n\r\n",
		"GET http://evil.example/v1/status HTTP/1.1\r\nHost: localhost:80\r\nOrigin: null\r\n\r\n",
		"POST /v1/im/%6cogin/%2e%2e HTTP/1.1\r\nHost: localhost:80\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: localhost:80\r\n\r\n",
		"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n",
		"POST /v1/files?name=a.png HTTP/1.1\r\nHost: localhost:80\r\n" + auth + "Content-Length: 3\r\n\r\nabc",
		"GET /v1/files/" + pngHash + " HTTP/1.1\r\nHost: localhost:80\r\n" + auth + "Range: bytes=1-2\r\n\r\n",
		"HEAD /v1/files/" + goneHash + " HTTP/1.1\r\nHost: localhost:80\r\n" + auth + "\r\n",
	} {
		f.Add([]byte(seed))
	}
	g := &rig{t: f}
	tcp := Config{HTTP: "localhost:80", Token: testToken, Origins: []string{"https://panel.example"}, MaxStreams: 8}
	s, err := newServer(tcp, g.parts(), defaultTiming())
	if err != nil {
		f.Fatal(err)
	}
	protocol.Bind(s.Table, protocol.Logout, func(context.Context, protocol.Caller, protocol.Empty) (r protocol.Empty, err error) {
		return r, nil // the other one panics
	})
	g.journal.append(text(1), text(2))
	g.journal.trimTo(2)
	close(s.closing) // a stream ends when it has caught up
	close(g.release)
	s.cfg = tcp
	s.Files = newFakeFiles()
	doors := []*door{
		{Server: s, guard: newGuard(false, &tcp, addr80{})},
		{Server: s, guard: newGuard(true, &tcp, addr80{})},
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, d := range doors {
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
			if err != nil {
				return // net/http's to answer
			}
			w := httptest.NewRecorder()
			d.ServeHTTP(w, r)
			for len(g.callers) > 0 {
				<-g.callers
			}
			checkAnswer(t, w)
		}
	})
}

type addr80 struct{}

func (addr80) Network() string { return "tcp" }
func (addr80) String() string  { return "127.0.0.1:80" }

func checkAnswer(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	body := w.Body.String()
	switch ct := w.Header().Get("Content-Type"); {
	case w.Code == http.StatusNoContent:
		return
	case w.Code == http.StatusOK && ct == "text/event-stream":
		if !strings.HasPrefix(body, ": herald ") || !strings.HasSuffix(body, "\n\n") {
			t.Errorf("stream: %q", body)
		}
		return
	case w.Code == http.StatusOK && strings.HasPrefix(ct, "text/plain"):
		return
	case w.Code < 300 && w.Header().Get("Content-Security-Policy") != "", w.Code == http.StatusNotModified, w.Code == http.StatusPreconditionFailed:
		return // a file
	case ct != "application/json":
		t.Fatalf("%d with %s: %q", w.Code, ct, body)
	}
	var a struct {
		Status bool          `json:"status"`
		Code   protocol.Code `json:"code"`
		Msg    string        `json:"msg"`
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil || !strings.HasSuffix(body, "}\n") || strings.Count(body, "\n") != 1 {
		t.Fatalf("%d %q: %v", w.Code, body, err)
	}
	if a.Code == protocol.CodeInternalError { // what a recovered panic is answered with
		t.Errorf("%d %q", w.Code, body)
	}
	if a.Status != (w.Code == http.StatusOK) {
		t.Errorf("status %d with %q", w.Code, body)
	}
	if _, ok := a.Code.Row(); !a.Status && (!ok || a.Msg == "") {
		t.Errorf("%d %q", w.Code, body)
	}
}
