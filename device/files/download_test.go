package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/device/store/disktest"
	"github.com/herald-im/herald/protocol"
)

func (b *board) content(t testing.TB, hash string) []byte {
	t.Helper()
	f, err := b.Store.Open(hash)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer f.Close()
	got, err := io.ReadAll(f)
	if err != nil {
		t.Error(err)
	}
	return got
}

func TestFetch(t *testing.T) {
	noLeaks(t)
	h := newHub(t)
	b := newBoard(t, t.TempDir(), nil)
	c := newCourier(t, b, h, quick)
	for _, size := range []int{1, copyBuffer, 3<<20 + 1} {
		data := noise(uint64(size), size)
		hash := h.have(data)
		var last int64
		err := c.Fetch(context.Background(), hash, int64(size), func(done, total int64) {
			if done <= last || done > total || total != int64(size) {
				t.Errorf("%d of %d after %d", done, total, last)
			}
			last = done
		})
		if err != nil || last != int64(size) || !bytes.Equal(b.content(t, hash), data) {
			t.Errorf("%d bytes: %v, progress %d", size, err, last)
		}
		n := h.count("")
		if err := c.Fetch(context.Background(), hash, int64(size), nil); err != nil || h.count("") != n {
			t.Error("the second time: ", err, h.count("")-n)
		}
	}
	unknown := h.have([]byte("of no known size"))
	if err := c.Fetch(context.Background(), unknown, 0, nil); err != nil {
		t.Error(err)
	}
	if _, tmp := inFolder(t, b); len(tmp) != 0 || b.Stats().Pinned != 0 {
		t.Error(tmp, b.Stats())
	}
}

func TestFetchRefused(t *testing.T) {
	noLeaks(t)
	h := newHub(t)
	b := newBoard(t, t.TempDir(), func(o *Options) { o.Cache = 1 << 20 })
	c := newCourier(t, b, h, quick)
	hash := h.have([]byte("hello"))
	wantCode(t, c.Fetch(context.Background(), "x", 0, nil), protocol.CodeInvalidParameters)
	wantCode(t, c.Fetch(context.Background(), hash, protocol.MaxFile+1, nil), protocol.CodeSvrResSizeLimit)
	wantCode(t, c.Fetch(context.Background(), hash, 6, nil), protocol.CodeSvrResReadFailed)
	wantCode(t, c.Fetch(context.Background(), hashOf([]byte("no")), 0, nil), protocol.CodeSvrResNotFound)
	wantCode(t, c.Fetch(context.Background(), h.have(noise(1, 1<<20+1)), 0, nil), protocol.CodeNetReqCountLimit)
	h.mu.Lock()
	h.refuse = func(*protocol.GetFileRequest) error { return protocol.Errorf(protocol.CodeSvrResAccessDeny, "") }
	h.mu.Unlock()
	wantCode(t, c.Fetch(context.Background(), hash, 5, nil), protocol.CodeSvrResAccessDeny)
	offline := 0
	h.mu.Lock()
	h.refuse = func(*protocol.GetFileRequest) error {
		if offline++; offline < 3 {
			return protocol.Errorf(protocol.CodeNetDisconnect, "")
		}
		return nil
	}
	h.mu.Unlock()
	if err := c.Fetch(context.Background(), hash, 5, nil); err != nil || offline != 3 {
		t.Error(err, offline)
	}
	if s := b.Stats(); s != (Stats{Files: 1, Cached: 4096}) {
		t.Errorf("%+v", s)
	}
}

// served is a hub whose downloads a test answers; n counts them.
func served(t *testing.T, data []byte, answer func(n int, w http.ResponseWriter, r *http.Request) bool) (*hub, *int) {
	h := newHub(t)
	h.have(data)
	var mu sync.Mutex
	n := new(int)
	h.mu.Lock()
	h.before = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/dl/") {
			return false
		}
		mu.Lock()
		*n++
		mine := *n
		mu.Unlock()
		return answer(mine, w, r)
	}
	h.mu.Unlock()
	return h, n
}

// TestFetchFromHostile servers: what is wrong is never kept, and ends.
func TestFetchFromHostile(t *testing.T) {
	data := noise(9, 300<<10)
	bad := noise(10, len(data))
	part := func(w http.ResponseWriter, header string, body []byte) bool {
		w.Header().Set("Content-Range", header)
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(body)
		return true
	}
	for name, tc := range map[string]struct {
		code   protocol.Code
		tries  int
		answer func(n int, w http.ResponseWriter, r *http.Request) bool
	}{
		"other bytes": {protocol.CodeSvrResReadFailed, 2, func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write(bad)
			return true
		}},
		"without an end": {protocol.CodeSvrResReadFailed, 2, func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.(http.Flusher).Flush() // so that no length is said
			for {
				if _, err := w.Write(bad); err != nil {
					return true
				}
			}
		}},
		"another length": {protocol.CodeSvrResReadFailed, maxRefused, func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", strconv.Itoa(len(bad)+1))
			_, _ = w.Write(append(bad, 1))
			return true
		}},
		"another part": {protocol.CodeSvrResReadFailed, maxRefused, func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			return part(w, fmt.Sprintf("bytes 5-%d/%d", len(data)+4, len(data)), data)
		}},
		"part of another": {protocol.CodeSvrResReadFailed, maxRefused, func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			return part(w, fmt.Sprintf("bytes 0-%d/%d", len(data)-1, len(data)+1), data)
		}},
		"nonsense for a part": {protocol.CodeSvrResReadFailed, maxRefused, func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			return part(w, "bytes */x", data)
		}},
		"gone":         {protocol.CodeSvrResNotFound, maxRefused, func(_ int, w http.ResponseWriter, _ *http.Request) bool { return status(w, 404) }},
		"not allowed":  {protocol.CodeSvrResAccessDeny, maxRefused, func(_ int, w http.ResponseWriter, _ *http.Request) bool { return status(w, 403) }},
		"nothing":      {protocol.CodeSvrResReadFailed, maxRefused, func(_ int, w http.ResponseWriter, _ *http.Request) bool { return status(w, 204) }},
		"no such part": {protocol.CodeSvrResReadFailed, maxRefused, func(_ int, w http.ResponseWriter, _ *http.Request) bool { return status(w, 416) }},
	} {
		t.Run(name, func(t *testing.T) {
			h, n := served(t, data, tc.answer)
			b := newBoard(t, t.TempDir(), nil)
			wantCode(t, newCourier(t, b, h, quick).Fetch(context.Background(), hashOf(data), int64(len(data)), nil), tc.code)
			if *n != tc.tries {
				t.Errorf("%d tries, not %d", *n, tc.tries)
			}
			if hashes, tmp := inFolder(t, b); len(hashes) != 0 || len(tmp) != 0 || b.Stats() != (Stats{}) {
				t.Error(hashes, tmp, b.Stats())
			}
		})
	}
}

// TestFetchGoesOn where the trouble is not for ever.
func TestFetchGoesOn(t *testing.T) {
	redirect := elsewhere(t)
	data := noise(9, 300<<10)
	for name, answer := range map[string]func(n int, w http.ResponseWriter, r *http.Request) bool{
		"once other bytes": func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == 1 {
				_, _ = w.Write(noise(10, len(data)))
			}
			return n == 1
		},
		"broken":             func(n int, w http.ResponseWriter, _ *http.Request) bool { return n < 9 && status(w, 503) },
		"the URL expired":    func(n int, w http.ResponseWriter, _ *http.Request) bool { return n < 3 && status(w, 403) },
		"a hotel's redirect": func(n int, w http.ResponseWriter, r *http.Request) bool { return n < 9 && redirect(w, r) },
		"a redirect to itself": func(_ int, w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("again") == "" {
				http.Redirect(w, r, r.URL.Path+"?again=1", http.StatusFound)
				return true
			}
			return false
		},
		"no ranges": func(n int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			_, _ = w.Write(data[:min(len(data), n*60<<10)]) // a bit more each time
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := served(t, data, answer)
			b := newBoard(t, t.TempDir(), nil)
			if err := newCourier(t, b, h, quick).Fetch(context.Background(), hashOf(data), int64(len(data)), nil); err != nil || !bytes.Equal(b.content(t, hashOf(data)), data) {
				t.Error(err)
			}
		})
	}
}

// TestSlowServer: one that sends a byte at a time, for ever, is given up, and what
// it has sent is not asked for again.
func TestSlowServer(t *testing.T) {
	data := noise(9, 300<<10)
	ended := make(chan struct{}, 10)
	h, _ := served(t, data, func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n > 2 {
			if got := r.Header.Get("Range"); !strings.HasPrefix(got, "bytes=20") || r.Header.Get("If-Range") != `"`+hashOf(data)+`"` {
				t.Errorf("Range: %s", got)
			}
			return false
		}
		at := 2000
		if n == 2 {
			if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &at); err != nil || at < 2000 {
				t.Errorf("Range: %s", r.Header.Get("Range"))
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, len(data)-1, len(data)))
			w.WriteHeader(http.StatusPartialContent)
		} else {
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			_, _ = w.Write(data[:2000])
		}
		for ; r.Context().Err() == nil && at < len(data); at++ {
			_, _ = w.Write(data[at : at+1])
			w.(http.Flusher).Flush()
			time.Sleep(10 * time.Millisecond) // this is the slow server
		}
		ended <- struct{}{}
		return true
	})
	tm := quick
	tm.idle = 150 * time.Millisecond
	b := newBoard(t, t.TempDir(), nil)
	err := newCourier(t, b, h, tm).Fetch(context.Background(), hashOf(data), int64(len(data)), nil)
	if err != nil {
		t.Error(err)
	}
	<-ended
	<-ended
}

// TestResumeAfterRestart reads what is here first: a part that is damaged is thrown
// away, a good one is gone on with.
func TestResumeAfterRestart(t *testing.T) {
	data := noise(9, 300<<10)
	for name, tc := range map[string]struct {
		part  []byte
		first string // the first request's Range
		tries int
	}{
		"good":     {data[:100<<10], "bytes=102400-", 1},
		"damaged":  {noise(5, 100<<10), "bytes=102400-", 2},
		"whole":    {data, "", 0},
		"too much": {append(data[:len(data):len(data)], 1), "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			var ranges []string
			h, n := served(t, data, func(_ int, _ http.ResponseWriter, r *http.Request) bool {
				ranges = append(ranges, r.Header.Get("Range"))
				return false
			})
			b := newBoard(t, t.TempDir(), nil)
			if err := os.WriteFile(filepath.Join(b.opts.Dir, tmpDir, hashOf(data)+partSuffix), tc.part, 0o600); err != nil {
				t.Fatal(err)
			}
			b = b.again(t, nil)
			if err := newCourier(t, b, h, quick).Fetch(context.Background(), hashOf(data), int64(len(data)), nil); err != nil || !bytes.Equal(b.content(t, hashOf(data)), data) {
				t.Error(err)
			}
			if *n != tc.tries || tc.tries > 0 && ranges[0] != tc.first {
				t.Errorf("%d requests: %q", *n, ranges)
			}
			if s := b.Stats(); s != (Stats{Files: 1, Cached: 300 << 10}) {
				t.Errorf("%+v", s)
			}
		})
	}
}

// gate has downloads wait at half of the file.
func gate(t *testing.T, data []byte) (h *hub, half chan struct{}, open chan struct{}) {
	half, open = make(chan struct{}, 100), make(chan struct{})
	h = newHub(t)
	h.have(data)
	h.mu.Lock()
	h.before = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/dl/") {
			return false
		}
		h.mu.Lock()
		b := h.files[strings.TrimPrefix(r.URL.Path, "/dl/")]
		h.mu.Unlock()
		at := 0
		if s, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
			at, _ = strconv.Atoi(strings.TrimSuffix(s, "-"))
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, len(b)-1, len(b)))
			w.WriteHeader(http.StatusPartialContent)
		}
		if at < len(b)/2 {
			_, _ = w.Write(b[at : len(b)/2])
			w.(http.Flusher).Flush()
			at = len(b) / 2
		}
		half <- struct{}{}
		select {
		case <-open:
		case <-r.Context().Done():
		}
		_, _ = w.Write(b[at:])
		return true
	}
	h.mu.Unlock()
	return h, half, open
}

// TestJoin: who wants the same waits for the same, and when nobody wants it any
// more it ends, with what has come kept for the next.
func TestJoin(t *testing.T) {
	noLeaks(t)
	data := noise(9, 300<<10)
	h, half, open := gate(t, data)
	b := newBoard(t, t.TempDir(), nil)
	c := newCourier(t, b, h, quick)
	fetch := func(ctx context.Context) chan error {
		done := make(chan error, 1)
		go func() { done <- c.Fetch(ctx, hashOf(data), int64(len(data)), nil) }()
		return done
	}
	waiting := func(n int) {
		t.Helper()
		for {
			c.mu.Lock()
			d := c.jobs[hashOf(data)]
			refs := 0
			if d != nil {
				refs = d.refs
			}
			c.mu.Unlock()
			if refs == n {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	one, two := fetch(ctx), fetch(ctx)
	<-half
	waiting(2)
	c.mu.Lock()
	d := c.jobs[hashOf(data)]
	c.mu.Unlock()
	cancel()
	select {
	case <-d.ended:
	case <-time.After(10 * time.Second):
		t.Error("it goes on although nobody waits")
	}
	for _, done := range []chan error{one, two} {
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	three, four := fetch(context.Background()), fetch(context.Background())
	waiting(2)
	<-half
	close(open)
	for _, done := range []chan error{three, four} {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := h.count("GET /dl/"); n != 2 || !bytes.Equal(b.content(t, hashOf(data)), data) {
		t.Errorf("%d requests", n)
	}
	if _, tmp := inFolder(t, b); len(tmp) != 0 {
		t.Error(tmp)
	}
}

// TestNextWaitsForLast: the partial file is one, so a download waits for the last
// one of the same file to be gone.
func TestNextWaitsForLast(t *testing.T) {
	h := newHub(t)
	hash := h.have([]byte("hello"))
	b := newBoard(t, t.TempDir(), nil)
	asked, letGo := make(chan bool, 2), make(chan struct{})
	c := newCourier(t, b, slowAnswer{h, asked, letGo}, quick)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- c.Fetch(ctx, hash, 0, nil) }()
	<-asked
	cancel()
	<-done
	go func() { done <- c.Fetch(context.Background(), hash, 0, nil) }()
	for {
		c.mu.Lock()
		d := c.jobs[hash]
		refs := 0
		if d != nil {
			refs = d.refs
		}
		c.mu.Unlock()
		if refs == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	select {
	case <-asked:
		t.Error("it has begun while the last one is there")
	case <-time.After(20 * time.Millisecond): // it has had time to
	}
	close(letGo)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// slowAnswer is a hub that does not look at contexts.
type slowAnswer struct {
	*hub
	asked chan bool
	letGo chan struct{}
}

func (s slowAnswer) GetFile(ctx context.Context, r protocol.GetFileRequest) (protocol.GetFileResponse, error) {
	s.asked <- true
	<-s.letGo
	return s.hub.GetFile(ctx, r)
}

// TestTwoAtATime: more wait, and jobs are bounded.
func TestTwoAtATime(t *testing.T) {
	h, half, open := gate(t, noise(0, 1000))
	b := newBoard(t, t.TempDir(), nil)
	c := newCourier(t, b, h, quick)
	done := make(chan error, maxJobs)
	for i := range maxJobs {
		hash := h.have(noise(uint64(i), 1000))
		go func() { done <- c.Fetch(context.Background(), hash, 1000, nil) }()
	}
	for {
		c.mu.Lock()
		n := len(c.jobs)
		c.mu.Unlock()
		if n == maxJobs {
			break
		}
		time.Sleep(time.Millisecond)
	}
	wantCode(t, c.Fetch(context.Background(), h.have([]byte("one more")), 0, nil), protocol.CodeNetReqCountLimit)
	<-half
	<-half
	if n := h.count("GET /dl/"); n != maxDown {
		t.Errorf("%d at a time", n)
	}
	if n := h.tokens.Load(); n != maxDown { // a URL would expire in the queue
		t.Errorf("the hub was asked for %d", n)
	}
	close(open)
	for range maxJobs {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestFetchCrowded: a cache for one of two files has the second wait for the first.
func TestFetchCrowded(t *testing.T) {
	h, half, open := gate(t, noise(1, 600<<10))
	two := h.have(noise(2, 600<<10))
	b := newBoard(t, t.TempDir(), func(o *Options) { o.Cache = 1 << 20 })
	c := newCourier(t, b, h, quick)
	done := make(chan error, 2)
	go func() { done <- c.Fetch(context.Background(), hashOf(noise(1, 600<<10)), 0, nil) }()
	<-half
	go func() { done <- c.Fetch(context.Background(), two, 0, nil) }()
	for {
		c.mu.Lock()
		d := c.jobs[two]
		c.mu.Unlock()
		if d != nil && errors.Is(d.state().trouble, errCrowded) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	close(open)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if s := b.Stats(); s.Files != 1 || s.Cached != 600<<10 {
		t.Errorf("%+v", s)
	}
}

func TestFetchFullDisk(t *testing.T) {
	disk := disktest.Small(t, 4)
	h := newHub(t)
	b := newBoard(t, t.TempDir(), func(o *Options) { o.Dir, o.MinFree = disk, 1<<20 })
	c := newCourier(t, b, h, quick)
	wantCode(t, c.Fetch(context.Background(), h.have(noise(1, 4<<20)), 0, nil), protocol.CodeDatabaseFailure)
	b.opts.MinFree = -1 << 30 // as if somebody ate it meanwhile
	wantCode(t, c.Fetch(context.Background(), h.have(noise(1, 5<<20)), 0, nil), protocol.CodeDatabaseFailure)
	if hashes, tmp := inFolder(t, b); len(hashes) != 0 || len(tmp) != 0 || b.Stats() != (Stats{}) {
		t.Error(hashes, tmp, b.Stats())
	}
	if err := c.Fetch(context.Background(), h.have(noise(2, 3<<20)), 0, nil); err != nil {
		t.Error(err)
	}
}

// FuzzAnswer gives a download heads of every kind: none may panic, and one that is
// taken is of the part that is missing.
func FuzzAnswer(f *testing.F) {
	f.Add(206, "bytes 10-99/100", int64(90))
	f.Add(206, "bytes 10-99/*", int64(-1))
	f.Add(206, "bytes 0-99/100", int64(100))
	f.Add(200, "", int64(100))
	f.Add(416, "bytes */100", int64(0))
	f.Add(206, "bytes\t10-99/100", int64(90))
	f.Add(206, "bytes 10/100", int64(90))
	f.Add(206, "bytes +10-99/100", int64(90))
	f.Add(206, "bytes 010-99/100", int64(90)) // RFC 9110 §14.4: 1*DIGIT, so zeros may lead
	firstByte := regexp.MustCompile(`^bytes 0*10-`)
	f.Fuzz(func(t *testing.T, status int, contentRange string, length int64) {
		d := &download{size: 100, have: 10}
		err := d.judge(&http.Response{StatusCode: status, ContentLength: length, Header: http.Header{"Content-Range": {contentRange}}})
		switch {
		case err != nil:
		case status == http.StatusOK && (length < 0 || length == 100):
		case status == http.StatusPartialContent && firstByte.MatchString(contentRange):
		default:
			t.Errorf("%d %q %d is taken", status, contentRange, length)
		}
	})
}
