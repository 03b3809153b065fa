package localapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

// fakeFiles keeps files in memory.
type fakeFiles struct {
	mu    sync.Mutex
	files map[string][]byte
	names []string
	size  int64         // of the last file that came, also if it was refused
	hold  chan struct{} // not nil: Receive waits for it when it has begun
	began chan struct{}
	fail  error // of Receive
}

const pngHead = "\x89PNG\r\n\x1a\n"

var (
	pngHash  = hashOf(pngHead + "picture")
	goneHash = hashOf("gone")
)

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func newFakeFiles() *fakeFiles {
	f := &fakeFiles{files: map[string][]byte{}, began: make(chan struct{}, 8)}
	f.put(pngHead + "picture")
	return f
}

func (f *fakeFiles) put(s string) (uuid string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files[hashOf(s)] = []byte(s)
	return hashOf(s)
}

func (f *fakeFiles) Receive(ctx context.Context, body io.Reader, name string, limit int64) (string, int64, string, error) {
	select {
	case f.began <- struct{}{}:
	default:
	}
	if f.hold != nil {
		<-f.hold
	}
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(body, limit+1))
	f.mu.Lock()
	f.size, f.names = n, append(f.names, name)
	f.mu.Unlock()
	switch {
	case err != nil:
		return "", 0, "", fmt.Errorf("read it: %w", err)
	case n > limit:
		return "", 0, "", protocol.Errorf(protocol.CodeFileTooLarge, "over the limit of %d bytes", limit)
	case f.fail != nil:
		return "", 0, "", f.fail
	}
	return "upload:word/" + name, n, hex.EncodeToString(sum.Sum(nil)), nil
}

// memFile is a file that breaks off at fails, if that is not 0.
type memFile struct {
	*bytes.Reader
	at, fails int64
}

func (m *memFile) Read(p []byte) (int, error) {
	if m.fails > 0 && m.at >= m.fails {
		return 0, errors.New("what came was wrong")
	}
	n, err := m.Reader.Read(p)
	m.at += int64(n)
	return n, err
}

func (m *memFile) Seek(o int64, whence int) (int64, error) {
	m.at = 0
	return m.Reader.Seek(o, whence)
}

func (m *memFile) Close() error { return nil }

func (f *fakeFiles) Open(_ context.Context, uuid string) (io.ReadSeekCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch uuid {
	case hashOf("denied"):
		return nil, protocol.Errorf(protocol.CodeSvrResAccessDeny, "")
	case hashOf("offline"):
		return nil, protocol.Errorf(protocol.CodeNetDisconnect, "")
	case hashOf("broken"):
		return nil, errors.New("a secret of the inside")
	case hashOf("wrong"):
		return &memFile{Reader: bytes.NewReader(make([]byte, 1<<20)), fails: 1 << 19}, nil
	}
	b := f.files[uuid]
	if b == nil {
		return nil, protocol.Errorf(protocol.CodeSvrResNotFound, "")
	}
	return &memFile{Reader: bytes.NewReader(b)}, nil
}

func startFiles(t *testing.T, change func(*Config, *timing)) (*rig, *fakeFiles) {
	g, f := start(t, change), newFakeFiles()
	g.server.Files = f
	return g, f
}

func TestReceiveFile(t *testing.T) {
	g, f := startFiles(t, nil)
	for name, body := range map[string]io.Reader{"known length": strings.NewReader("hello"), "in chunks": io.MultiReader(strings.NewReader("hel"), strings.NewReader("lo"))} {
		r, err := http.NewRequest(http.MethodPost, "http://socket/v1/files?name=h%C3%A4.txt", body)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`{"status":true,"upload":"upload:word/hä.txt","size":5,"uuid":"%s"}`+"\n", hashOf("hello"))
		if a := do(t, g.client(), r); a.status != http.StatusOK || a.raw != want {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	if a := do(t, g.client(), request(t, http.MethodPost, "http://socket/v1/files", "x")); a.status != http.StatusOK || f.names[2] != "" {
		t.Errorf("without a name: %d %s", a.status, a.raw)
	}
	if a := do(t, http.DefaultClient, g.overTCP(http.MethodPost, "/v1/files", "x")); a.status != http.StatusOK {
		t.Errorf("over TCP: %d %s", a.status, a.raw)
	}
}

// zeros are so many bytes without a length.
func zeros(n int64) io.Reader { return io.MultiReader(io.LimitReader(zero{}, n)) }

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestReceiveRefused(t *testing.T) {
	g, f := startFiles(t, nil)
	send := func(name string, r *http.Request, status int, code protocol.Code) {
		t.Helper()
		if a := do(t, g.client(), r); a.status != status || a.Code != code {
			t.Errorf("%s: %d %s, not %d with code %d", name, a.status, a.raw, status, code)
		}
	}
	req := func(method, url string, body io.Reader) *http.Request {
		r, err := http.NewRequest(method, "http://socket"+url, body)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	send("empty", req(http.MethodPost, "/v1/files", nil), http.StatusBadRequest, protocol.CodeFileSizeEmpty)
	send("two names", req(http.MethodPost, "/v1/files?name=a&name=b", strings.NewReader("x")), http.StatusBadRequest, protocol.CodeInvalidParameters)
	send("a bad query", req(http.MethodPost, "/v1/files?name=%zz", strings.NewReader("x")), http.StatusBadRequest, protocol.CodeInvalidParameters)
	send("another method", req(http.MethodGet, "/v1/files", nil), http.StatusMethodNotAllowed, protocol.CodeInvalidParameters)
	encoded := req(http.MethodPost, "/v1/files", strings.NewReader("x"))
	encoded.Header.Set("Content-Encoding", "gzip")
	send("encoded", encoded, http.StatusUnsupportedMediaType, protocol.CodeInvalidParameters)

	f.fail = protocol.Errorf(protocol.CodeDatabaseFailure, "the disk is full")
	send("refused", req(http.MethodPost, "/v1/files", strings.NewReader("x")), http.StatusInternalServerError, protocol.CodeDatabaseFailure)
	f.fail = errors.New("a secret of the inside")
	r := req(http.MethodPost, "/v1/files", strings.NewReader("x"))
	if a := do(t, g.client(), r); a.status != http.StatusInternalServerError || strings.Contains(a.raw, "secret") {
		t.Errorf("broken: %d %s", a.status, a.raw)
	}
}

// TestReceiveSaidTooMuch: a body that is said to be too large is refused before any of it comes.
func TestReceiveSaidTooMuch(t *testing.T) {
	g, f := startFiles(t, nil)
	c, err := net.Dial("unix", g.sock)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", protocol.MaxFile+1)
	got, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 413 ") || !strings.Contains(string(got), fmt.Sprintf(`"code":%d`, protocol.CodeFileTooLarge)) {
		t.Errorf("%q, %v", got, err)
	}
	if len(f.began) > 0 {
		t.Error("it was received")
	}
}

// TestReceiveTooMuch sends more than may be without saying how much it is.
func TestReceiveTooMuch(t *testing.T) {
	g, f := startFiles(t, nil)
	for _, tc := range []struct {
		size   int64
		status int
	}{{protocol.MaxFile, http.StatusOK}, {protocol.MaxFile + 1, http.StatusRequestEntityTooLarge}} {
		r, err := http.NewRequest(http.MethodPost, "http://socket/v1/files", zeros(tc.size))
		if err != nil {
			t.Fatal(err)
		}
		a := do(t, g.client(), r)
		if a.status != tc.status || tc.status != http.StatusOK && a.Code != protocol.CodeFileTooLarge {
			t.Errorf("%d bytes: %d %s", tc.size, a.status, a.raw)
		}
	}
	if f.size > protocol.MaxFile+1 {
		t.Errorf("%d bytes were let through", f.size)
	}
}

func TestReceiveSlowly(t *testing.T) {
	g, _ := startFiles(t, func(_ *Config, tm *timing) { tm.body = 50 * time.Millisecond })
	c, err := net.Dial("unix", g.sock)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
	got, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 408 ") || !strings.Contains(string(got), `"code":6012`) {
		t.Errorf("%q, %v", got, err)
	}
}

// TestReceiveLastsLonger than a body of a call may: each part has its own time.
func TestReceiveLastsLonger(t *testing.T) {
	g, f := startFiles(t, func(_ *Config, tm *timing) { tm.body, tm.write = 400*time.Millisecond, 400*time.Millisecond })
	in, out := io.Pipe()
	go func() {
		for range 12 { // 600 ms in all
			_, _ = out.Write([]byte("x"))
			time.Sleep(50 * time.Millisecond) // this is a slow program
		}
		out.Close()
	}()
	r, err := http.NewRequest(http.MethodPost, "http://socket/v1/files", in)
	if err != nil {
		t.Fatal(err)
	}
	if a := do(t, g.client(), r); a.status != http.StatusOK || f.size != 12 {
		t.Errorf("%d %s, %d bytes", a.status, a.raw, f.size)
	}
}

func TestReceiveManyAtOnce(t *testing.T) {
	g, f := startFiles(t, nil)
	f.hold = make(chan struct{})
	c := g.client()
	done := make(chan int, maxReceived)
	for range maxReceived {
		go func() { done <- do(t, c, request(t, http.MethodPost, "http://socket/v1/files", "x")).status }()
	}
	for range maxReceived {
		<-f.began
	}
	if a := do(t, c, request(t, http.MethodPost, "http://socket/v1/files", "x")); a.status != http.StatusServiceUnavailable || a.Code != protocol.CodeNetReqCountLimit {
		t.Errorf("one more: %d %s", a.status, a.raw)
	}
	close(f.hold)
	for range maxReceived {
		if status := <-done; status != http.StatusOK {
			t.Error(status)
		}
	}
	if a := do(t, c, request(t, http.MethodPost, "http://socket/v1/files", "x")); a.status != http.StatusOK {
		t.Errorf("afterwards: %d %s", a.status, a.raw)
	}
}

// A program that goes away while it sends is no fault of the daemon's.
func TestSenderGoesAway(t *testing.T) {
	g, f := startFiles(t, nil)
	var logged strings.Builder
	g.server.log = slog.New(slog.NewTextHandler(&logged, nil))
	c, err := net.Dial("unix", g.sock)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
	<-f.began
	c.Close()
	g.end()
	if strings.Contains(logged.String(), "level=ERROR") {
		t.Error(logged.String())
	}
}

func TestSendFile(t *testing.T) {
	g, f := startFiles(t, nil)
	get := func(method, uuid string, headers ...string) (*http.Response, string) {
		t.Helper()
		r := request(t, method, "http://socket/v1/files/"+uuid, "")
		r.Body, r.ContentLength = nil, 0
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		return whole(t, g.client(), r)
	}
	for content, want := range map[string]string{
		pngHead + "picture":            "image/png",
		"\xff\xd8\xff jpeg":            "image/jpeg",
		"RIFF\x00\x00\x00\x00WEBPVP8 ": "image/webp",
		"OggS\x00 sound":               "audio/ogg",
		"ID3 sound":                    "audio/mpeg",
		"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom": "video/mp4",
		"<html><script>alert(1)</script>":                  otherType,
		"<svg xmlns='http://www.w3.org/2000/svg'/>":        otherType,
		"<?xml version='1.0'?><svg/>":                      otherType,
		"%PDF-1.7":                                         otherType,
		"text":                                             otherType,
		"x":                                                otherType,
	} {
		res, body := get(http.MethodGet, f.put(content))
		h := res.Header
		if res.StatusCode != http.StatusOK || body != content || h.Get("Content-Type") != want {
			t.Errorf("%q: %d %q as %s", content, res.StatusCode, body, h.Get("Content-Type"))
		}
		if attached := h.Get("Content-Disposition") == "attachment"; attached != (want == otherType) {
			t.Errorf("%q: attached %v", content, attached)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") || h.Get("ETag") != `"`+hashOf(content)+`"` {
			t.Errorf("%q: %v", content, h)
		}
	}
	if res, body := get(http.MethodHead, pngHash); res.StatusCode != http.StatusOK || body != "" || res.ContentLength != int64(len(pngHead)+7) {
		t.Errorf("HEAD: %d, %d bytes", res.StatusCode, res.ContentLength)
	}
	if res, body := get(http.MethodGet, pngHash, "Range", "bytes=8-10"); res.StatusCode != http.StatusPartialContent || body != "pic" || res.Header.Get("Content-Type") != "image/png" {
		t.Errorf("Range: %d %q %s", res.StatusCode, body, res.Header.Get("Content-Type"))
	}
	if res, _ := get(http.MethodGet, pngHash, "If-None-Match", `"`+pngHash+`"`); res.StatusCode != http.StatusNotModified {
		t.Errorf("If-None-Match: %d", res.StatusCode)
	}
	if res, body := get(http.MethodGet, pngHash, "Range", "bytes=99-"); res.StatusCode != http.StatusRequestedRangeNotSatisfiable || !strings.Contains(body, `"code"`) {
		t.Errorf("beyond the end: %d %q", res.StatusCode, body)
	}
}

func TestSendFileRefused(t *testing.T) {
	g, _ := startFiles(t, nil)
	for _, x := range []struct {
		method, path, body string
		status             int
		code               protocol.Code
	}{
		{http.MethodGet, "/v1/files/" + goneHash, "", http.StatusNotFound, protocol.CodeSvrResNotFound},
		{http.MethodGet, "/v1/files/" + hashOf("denied"), "", http.StatusForbidden, protocol.CodeSvrResAccessDeny},
		{http.MethodGet, "/v1/files/" + hashOf("offline"), "", http.StatusServiceUnavailable, protocol.CodeNetDisconnect},
		{http.MethodGet, "/v1/files/" + hashOf("broken"), "", http.StatusInternalServerError, protocol.CodeInternalError},
		{http.MethodGet, "/v1/files/" + pngHash, "body", http.StatusBadRequest, protocol.CodeInvalidParameters},
		{http.MethodDelete, "/v1/files/" + pngHash, "", http.StatusMethodNotAllowed, protocol.CodeInvalidParameters},
		{http.MethodGet, "/v1/files/", "", http.StatusNotFound, protocol.CodeInvalidParameters},
		{http.MethodGet, "/v1/files/x", "", http.StatusNotFound, protocol.CodeInvalidParameters},
		{http.MethodGet, "/v1/files/" + strings.ToUpper(pngHash), "", http.StatusNotFound, protocol.CodeInvalidParameters},
		{http.MethodGet, "/v1/files/" + pngHash + "/..", "", http.StatusNotFound, protocol.CodeInvalidParameters},
		{http.MethodGet, "/v1/files/..%2f..%2fetc%2fpasswd", "", http.StatusNotFound, protocol.CodeInvalidParameters},
		{http.MethodGet, "/v1/filesystem", "", http.StatusNotFound, protocol.CodeInvalidParameters},
	} {
		a := do(t, g.client(), request(t, x.method, "http://socket"+x.path, x.body))
		if a.status != x.status || a.Code != x.code || strings.Contains(a.raw, "secret") {
			t.Errorf("%s %s: %d %s", x.method, x.path, a.status, a.raw)
		}
	}
	g.server.Files = nil
	if a := do(t, g.client(), request(t, http.MethodGet, "http://socket/v1/files/"+pngHash, "")); a.status != http.StatusNotFound {
		t.Errorf("without files: %d", a.status)
	}
}

// TestFilesAreGuarded as all else is.
func TestFilesAreGuarded(t *testing.T) {
	g, _ := startFiles(t, nil)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		path := map[string]string{http.MethodGet: "/v1/files/" + pngHash, http.MethodPost: "/v1/files"}[method]
		for name, x := range map[string]struct {
			change func(*http.Request)
			status int
		}{
			"no token":        {func(r *http.Request) { r.Header.Del("Authorization") }, http.StatusUnauthorized},
			"another origin":  {func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, http.StatusForbidden},
			"another host":    {func(r *http.Request) { r.Host = "evil.example" }, http.StatusForbidden},
			"one's own token": {func(*http.Request) {}, http.StatusOK},
		} {
			r := g.overTCP(method, path, "")
			if method == http.MethodPost {
				r = g.overTCP(method, path, "hello")
			}
			x.change(r)
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != x.status {
				t.Errorf("%s with %s: %d", method, name, res.StatusCode)
			}
		}
	}
}

// TestFileBreaksOff: who gets a file learns from the connection that it is not whole.
func TestFileBreaksOff(t *testing.T) {
	g, _ := startFiles(t, nil)
	res, err := g.client().Do(request(t, http.MethodGet, "http://socket/v1/files/"+hashOf("wrong"), ""))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); !errors.Is(err, io.ErrUnexpectedEOF) || n >= res.ContentLength {
		t.Errorf("%d of %d bytes, %v", n, res.ContentLength, err)
	}
}

// TestSlowTaker: who asks for a file and does not take it is let go.
func TestSlowTaker(t *testing.T) {
	g, f := startFiles(t, func(_ *Config, tm *timing) { tm.write = 100 * time.Millisecond })
	uuid := f.put(strings.Repeat("x", 16<<20)) // more than any socket's buffer
	c, err := net.Dial("unix", g.sock)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /v1/files/%s HTTP/1.1\r\nHost: x\r\n\r\n", uuid)
	head := make([]byte, 12)
	if _, err := io.ReadFull(c, head); err != nil || string(head) != "HTTP/1.1 200" {
		t.Fatalf("%q %v", head, err)
	}
	g.server.handlers.Wait() // it is let go although nothing more is read
	if n, err := io.Copy(io.Discard, c); err != nil || n >= 16<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestPatientTaker: who takes a file slowly gets all of it, however long it lasts.
func TestPatientTaker(t *testing.T) {
	g, f := startFiles(t, func(_ *Config, tm *timing) { tm.write = 400 * time.Millisecond })
	uuid := f.put(strings.Repeat("x", 8<<20))
	c, err := net.Dial("unix", g.sock)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /v1/files/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", uuid)
	got, buf := 0, make([]byte, 128<<10)
	for {
		n, err := io.ReadFull(c, buf)
		if got += n; err != nil {
			break
		}
		time.Sleep(15 * time.Millisecond) // this is a slow program: a second in all
	}
	if got < 8<<20 {
		t.Errorf("%d bytes", got)
	}
}
