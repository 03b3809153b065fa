package files

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

// asking is a hub whose answers a test changes.
type asking struct {
	*hub
	put func(protocol.PutFileRequest) (protocol.PutFileResponse, error)
}

func (a *asking) PutFile(ctx context.Context, r protocol.PutFileRequest) (protocol.PutFileResponse, error) {
	if a.put != nil {
		return a.put(r)
	}
	return a.hub.PutFile(ctx, r)
}

func TestUpload(t *testing.T) {
	noLeaks(t)
	h := newHub(t)
	b := newBoard(t, t.TempDir(), nil)
	c := newCourier(t, b, h, quick)
	for _, size := range []int{1, chunk - 1, chunk, chunk + 1, 2*chunk + 5} {
		data := noise(uint64(size), size)
		f := b.put(t, data, "m")
		var last, calls int64
		err := c.Upload(context.Background(), f.Hash, f.Size, func(done, total int64) {
			if calls++; total != f.Size || done < 0 || done > total {
				t.Errorf("%d of %d", done, total)
			}
			last = done
		})
		if err != nil || last != f.Size || !h.has(f.Hash) {
			t.Errorf("%d bytes: %v, progress %d", size, err, last)
		}
		if got, err := os.ReadFile(filepath.Join(h.dir, f.Hash)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	// What the hub has is not sent again.
	n := h.count("")
	if err := c.Upload(context.Background(), hashOf(noise(1, 1)), 1, nil); err != nil || h.count("") != n {
		t.Error(err, h.count("")-n)
	}
	wantCode(t, c.Upload(context.Background(), hashOf([]byte("no")), 2, nil), protocol.CodeFileNotFound)
	wantCode(t, c.Upload(context.Background(), hashOf(noise(1, 1)), 2, nil), protocol.CodeSvrResInvalidParameters)
}

// TestUploadCutAndRestarted is 100 MB through 20 cuts, with the courier and the
// store made anew twice, at the hub none of it more than twice.
func TestUploadCutAndRestarted(t *testing.T) {
	noLeaks(t)
	h, dir := newHub(t), t.TempDir()
	b := newBoard(t, dir, nil)
	f := b.put(t, noise(3, largeFile), "m")
	p := newCutter(t, h.addr(), evenly(cutsMade, largeFile))
	h.mu.Lock()
	h.proxy = p.ln.Addr().String()
	h.mu.Unlock()
	p.hold(evenly(2, largeFile))
	for i := range 3 {
		c := newCourier(t, b, h, quick)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- c.Upload(ctx, f.Hash, f.Size, nil) }()
		select {
		case letGo := <-p.holding:
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			c.Close()
			close(letGo)
		case err := <-done:
			if err != nil || i < 2 {
				t.Fatalf("run %d: %v", i, err)
			}
			c.Close()
		}
		cancel()
		b = b.again(t, nil)
	}
	n, most := h.got()
	cuts, passed := p.made()
	t.Logf("%d of %d bytes arrived, none more than %d times; %d bytes went over the network", n, largeFile, most, passed)
	if !h.has(f.Hash) || most > 2 || cuts != cutsMade {
		t.Errorf("done %v, %d times, %d cuts", h.has(f.Hash), most, cuts)
	}
}

// TestUploadGoesOn where the trouble is not for ever: each kind of it once or twice.
func TestUploadGoesOn(t *testing.T) {
	redirect := elsewhere(t)
	for name, trouble := range map[string]func(n int, w http.ResponseWriter, r *http.Request) bool{
		"the disk is full":   func(n int, w http.ResponseWriter, r *http.Request) bool { return n < 2 && status(w, 507) },
		"too many":           func(n int, w http.ResponseWriter, r *http.Request) bool { return n < 2 && status(w, 429) },
		"locked":             func(n int, w http.ResponseWriter, r *http.Request) bool { return n < 2 && status(w, 423) },
		"in between":         func(n int, w http.ResponseWriter, r *http.Request) bool { return n < 2 && status(w, 400) },
		"a hotel's page":     func(n int, w http.ResponseWriter, r *http.Request) bool { return n < 2 && status(w, 200) },
		"a hotel's redirect": func(n int, w http.ResponseWriter, r *http.Request) bool { return n < 2 && redirect(w, r) },
		"a proxy's limit": func(_ int, w http.ResponseWriter, r *http.Request) bool {
			return r.ContentLength > 1<<20 && status(w, 413)
		},
		"the URL has expired": func(_ int, w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Query().Get("token") == "1" && status(w, 403)
		},
		"the upload was swept": func(n int, w http.ResponseWriter, r *http.Request) bool { return n == 2 && status(w, 410) },
		"another offset":       func(n int, w http.ResponseWriter, r *http.Request) bool { return n == 2 && status(w, 409) },
		"it says what it likes": func(n int, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Upload-Offset", []string{"-1", "", "999999999999", "0"}[n%4])
			return r.Method == http.MethodPatch && n < 6 && status(w, 204)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			var mu sync.Mutex
			n := 0
			h.mu.Lock()
			h.before = func(w http.ResponseWriter, r *http.Request) bool {
				mu.Lock()
				defer mu.Unlock()
				n++
				return trouble(n-1, w, r)
			}
			h.mu.Unlock()
			b := newBoard(t, t.TempDir(), nil)
			f := b.put(t, noise(1, 2*chunk+100), "m")
			if err := newCourier(t, b, h, quick).Upload(context.Background(), f.Hash, f.Size, nil); err != nil || !h.has(f.Hash) {
				t.Error(err)
			}
		})
	}
}

func status(w http.ResponseWriter, code int) bool {
	w.WriteHeader(code)
	_, _ = w.Write(nil)
	return true
}

// elsewhere is another server, which must not hear anything of ours.
func elsewhere(t *testing.T) (redirect func(w http.ResponseWriter, r *http.Request) bool) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another server got %s %s", r.Method, r.URL)
	}))
	t.Cleanup(other.Close)
	return func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, other.URL+r.URL.RequestURI(), http.StatusTemporaryRedirect)
		return true
	}
}

// TestUploadRefused: what would be refused again ends it, with the hub's code.
func TestUploadRefused(t *testing.T) {
	b := newBoard(t, t.TempDir(), nil)
	f := b.put(t, noise(1, 1000), "m")
	h := newHub(t)
	a := &asking{hub: h}
	c := newCourier(t, b, a, quick)
	for _, code := range []protocol.Code{protocol.CodeSvrResSizeLimit, protocol.CodeSvrResAccessDeny, protocol.CodeInvalidParameters} {
		a.put = func(protocol.PutFileRequest) (r protocol.PutFileResponse, err error) {
			return r, fmt.Errorf("asked: %w", protocol.Errorf(code, "no"))
		}
		wantCode(t, c.Upload(context.Background(), f.Hash, f.Size, nil), code)
	}
	n := 0
	for _, code := range []protocol.Code{protocol.CodeNetDisconnect, protocol.CodeIOOperationFailed, protocol.CodeNetReqCountLimit} {
		n = 0
		a.put = func(r protocol.PutFileRequest) (protocol.PutFileResponse, error) {
			if n++; n < 3 {
				return protocol.PutFileResponse{}, protocol.Errorf(code, "later")
			}
			return protocol.PutFileResponse{Done: true}, nil
		}
		if err := c.Upload(context.Background(), f.Hash, f.Size, nil); err != nil || n != 3 {
			t.Errorf("%d: %v after %d", code, err, n)
		}
	}
	a.put = nil
	for _, tc := range []struct {
		status int
		body   string
		code   protocol.Code
	}{
		{422, "no", protocol.CodeSvrResInvalidParameters},
		{413, "no", protocol.CodeSvrResSizeLimit},
		{400, `{"code":114004,"msg":"not what its hash says"}`, protocol.CodeSvrResReadFailed},
		{400, `{"code":1,"msg":"of no table"}`, protocol.CodeSvrResInvalidParameters},
	} {
		patches := 0
		h.mu.Lock()
		h.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPatch {
				return false
			}
			patches++
			w.Header().Set("Tus-Resumable", tusVersion)
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.body)
			return true
		}
		h.mu.Unlock()
		wantCode(t, c.Upload(context.Background(), f.Hash, f.Size, nil), tc.code)
		if patches != 2 {
			t.Errorf("status %d: %d tries", tc.status, patches)
		}
	}
	h.mu.Lock()
	h.before = nil
	h.mu.Unlock()
	// What the flash has lost is no fault of the hub's.
	if err := os.Chmod(b.path(f.Hash), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.path(f.Hash), make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	err := c.Upload(context.Background(), f.Hash, f.Size, nil)
	wantCode(t, err, protocol.CodeSvrResReadFailed)
	if err != nil && !strings.Contains(err.Error(), "on this board") {
		t.Error(err)
	}
}

// TestUploadFinishes what had come whole when its answer was lost.
func TestUploadFinishes(t *testing.T) {
	h := newHub(t)
	b := newBoard(t, t.TempDir(), nil)
	f := b.put(t, noise(1, 1000), "m")
	var cut atomic.Bool
	h.mu.Lock()
	h.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPatch && cut.CompareAndSwap(false, true) {
			h.note(r)
			rec := &discard{h: http.Header{}}
			http.StripPrefix("/files/", h.tus.Middleware(http.HandlerFunc(h.upload))).ServeHTTP(rec, r)
			panic(http.ErrAbortHandler) // it has it, and does not say so
		}
		return false
	}
	h.mu.Unlock()
	if err := newCourier(t, b, h, quick).Upload(context.Background(), f.Hash, f.Size, nil); err != nil {
		t.Fatal(err)
	}
	if n, most := h.got(); n != 1000 || most != 1 {
		t.Errorf("%d bytes, %d times", n, most)
	}
}

// TestUploadWhole: the hub has all bytes and has not taken the file. Only its own
// word that it has counts.
func TestUploadWhole(t *testing.T) {
	h := newHub(t)
	h.mu.Lock()
	h.before = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Upload-Offset", "1000")
		return r.Method == http.MethodHead && status(w, 200)
	}
	h.mu.Unlock()
	asked := 0
	a := &asking{hub: h, put: func(r protocol.PutFileRequest) (protocol.PutFileResponse, error) {
		if asked++; asked < 4 {
			return protocol.PutFileResponse{URL: h.url("/files/x")}, nil
		}
		return protocol.PutFileResponse{Done: true}, nil
	}}
	b := newBoard(t, t.TempDir(), nil)
	f := b.put(t, noise(1, 1000), "m")
	if err := newCourier(t, b, a, quick).Upload(context.Background(), f.Hash, f.Size, nil); err != nil || asked != 4 {
		t.Errorf("%v after %d questions", err, asked)
	}
}

type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// TestSameFileOnce: two messages with one file bring it once.
func TestSameFileOnce(t *testing.T) {
	h := newHub(t)
	b := newBoard(t, t.TempDir(), nil)
	f := b.put(t, noise(1, chunk), "m")
	c := newCourier(t, b, h, quick)
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() { errs <- c.Upload(context.Background(), f.Hash, f.Size, nil) }()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n, most := h.got(); n != chunk || most != 1 || h.count("HEAD") != 1 {
		t.Errorf("%d bytes, %d times, %d times asked how far", n, most, h.count("HEAD"))
	}
}

// TestSilentServer: one that takes a connection and nothing from it is given up.
func TestSilentServer(t *testing.T) {
	noLeaks(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	h := newHub(t)
	h.mu.Lock()
	h.proxy = ln.Addr().String()
	h.mu.Unlock()
	tm := quick
	tm.idle = 50 * time.Millisecond
	b := newBoard(t, t.TempDir(), nil)
	c := newCourier(t, b, h, tm)
	f := b.put(t, noise(1, 1000), "m")
	done := make(chan error, 1)
	go func() { done <- c.Upload(context.Background(), f.Hash, f.Size, nil) }()
	for range 3 {
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); err != nil { // until it is given up
			t.Log(err)
		}
		conn.Close()
	}
	h.mu.Lock()
	h.proxy = ""
	h.mu.Unlock()
	c.mu.Lock()
	sending := len(c.sending)
	c.mu.Unlock()
	if sending != 1 {
		t.Error("it has ended")
	}
	c.Close()
	if err := <-done; err == nil || protocol.AsError(err).Code != protocol.CodeInterrupt {
		t.Error(err)
	}
	if err := c.Upload(context.Background(), f.Hash, f.Size, nil); protocol.AsError(err).Code != protocol.CodeInterrupt {
		t.Error("closed: ", err)
	}
}

// TestRetry: when the link is up again nobody waits out a long wait.
func TestRetry(t *testing.T) {
	h := newHub(t)
	asked := make(chan bool, 10)
	a := &asking{hub: h, put: func(protocol.PutFileRequest) (r protocol.PutFileResponse, err error) {
		asked <- true
		return r, protocol.Errorf(protocol.CodeNetDisconnect, "")
	}}
	tm := quick
	tm.min, tm.max = 24*time.Hour, 24*time.Hour
	b := newBoard(t, t.TempDir(), nil)
	c := newCourier(t, b, a, tm)
	f := b.put(t, noise(1, 1000), "m")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Upload(ctx, f.Hash, f.Size, nil) }()
	<-asked
	for tries := 0; tries < 2; {
		c.Retry()
		select {
		case <-asked:
			tries++
		case <-time.After(time.Millisecond): // it had not begun to wait yet
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestLocate(t *testing.T) {
	c := &Courier{}
	for _, tc := range []struct{ host, url, want string }{
		{"10.0.0.1", "http://hub.invalid:8080/files/x?t=1", "http://10.0.0.1:8080/files/x?t=1"},
		{"fd00::1", "http://hub.invalid:8080/x", "http://[fd00::1]:8080/x"},
		{"[fd00::1]", "https://hub.invalid/x", "https://[fd00::1]/x"},
		{"fe80::1%eth0", "http://hub.invalid:1/x", "http://[fe80::1%25eth0]:1/x"},
		{"hub.example", "https://files.example/x?hub.invalid", "https://files.example/x?hub.invalid"},
		{"hub.example", "ftp://files.example/x", ""},
		{"hub.example", "file:///etc/passwd", ""},
		{"hub.example", "http:///x", ""},
		{"hub.example", "", ""},
		{"hub.example", "http://a b/", ""},
		{"", "http://hub.invalid/x", ""},
	} {
		c.opts.Host = func() string { return tc.host }
		u, err := c.locate(tc.url)
		if got := fmt.Sprint(u); (err == nil) != (tc.want != "") || err == nil && got != tc.want {
			t.Errorf("%s for %q: %s, %v", tc.url, tc.host, got, err)
		}
	}
}

func TestBackoff(t *testing.T) {
	c := NewCourier(CourierOptions{timing: timing{min: time.Nanosecond, max: 8 * time.Nanosecond}})
	defer c.Close()
	b := backoff{timing: c.opts.timing}
	var got []time.Duration
	for range 6 {
		if err := c.wait(context.Background(), &b, nil); err != nil {
			t.Fatal(err)
		}
		got = append(got, b.next)
	}
	if !slices.Equal(got, []time.Duration{1, 2, 4, 8, 8, 8}) {
		t.Error(got)
	}
}

// TestTLS: a hub with an authority of its own is trusted by that alone.
func TestTLS(t *testing.T) {
	h := newHub(t)
	secure := httptest.NewUnstartedServer(h)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	b := newBoard(t, t.TempDir(), nil)
	f := b.put(t, noise(1, 1000), "m")
	a := &asking{hub: h, put: func(r protocol.PutFileRequest) (protocol.PutFileResponse, error) {
		return protocol.PutFileResponse{Done: h.has(r.Hash), URL: secure.URL + "/files/" + r.Hash}, nil
	}}
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	for name, config := range map[string]*tls.Config{"trusted": {RootCAs: roots}, "not trusted": nil} {
		h.mu.Lock()
		h.done = map[string]bool{}
		h.mu.Unlock()
		c := NewCourier(CourierOptions{Store: b.Store, Hub: a, Host: func() string { return "" }, TLS: config, Log: quiet, timing: quick})
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		if config != nil {
			cancel()
			ctx, cancel = context.WithCancel(context.Background())
		}
		if err := c.Upload(ctx, f.Hash, f.Size, nil); (err == nil) != (config != nil) || h.has(f.Hash) != (config != nil) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		c.Close()
	}
}
