package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd/v2/pkg/filestore"
	"github.com/tus/tusd/v2/pkg/handler"
	"github.com/tus/tusd/v2/pkg/memorylocker"
	expslog "golang.org/x/exp/slog"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
)

// TestMain is also the board that a test kills: see child.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	os.Exit(m.Run())
}

var quiet = slog.New(slog.DiscardHandler)

// noise makes bytes that are the same for a seed.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	key[0] = byte(seed)
	key[1] = byte(seed >> 8)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// board is a store with its database.
type board struct {
	*Store
	db *store.DB
}

// openBoard opens the store in dir. Its files are in dir/files.
func openBoard(dir string, change func(*Options)) (*board, error) {
	db, _, err := store.Open(store.Options{Dir: dir, MinFree: 1, Log: quiet})
	if err != nil {
		return nil, err
	}
	o := Options{Dir: filepath.Join(dir, "files"), Cache: 256 << 20, Spool: 512 << 20, Private: []string{dir}, DB: db, Log: quiet}
	if change != nil {
		change(&o)
	}
	s, err := Open(o)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &board{s, db}, nil
}

func (b *board) close() error {
	b.Store.Close()
	return b.db.Close()
}

func newBoard(t testing.TB, dir string, change func(*Options)) *board {
	t.Helper()
	b, err := openBoard(dir, change)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.close() })
	return b
}

// Stats are a store's figures.
type Stats struct {
	Files          int
	Cached, Pinned int64 // bytes, in blocks of 4 KiB
}

// Stats returns them as they are now.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Files: len(s.entries), Cached: s.cached, Pinned: s.pinned}
}

func (b *board) again(t testing.TB, change func(*Options)) *board {
	t.Helper()
	if err := b.close(); err != nil {
		t.Fatal(err)
	}
	return newBoard(t, filepath.Dir(b.opts.Dir), change)
}

// put stores bytes with an owner.
func (b *board) put(t testing.TB, data []byte, owner string) File {
	t.Helper()
	f, err := b.Put(context.Background(), data, owner)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// wantCode holds an error to a code.
func wantCode(t testing.TB, err error, code protocol.Code) {
	t.Helper()
	var e *protocol.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("%v, not code %d", err, code)
	}
}

// hub is a server with tusd's own handler, as a hub has it, and with files to
// get. What arrives is noted.
type hub struct {
	t     testing.TB
	dir   string
	http  *httptest.Server
	tus   *handler.UnroutedHandler
	proxy string // HOST:PORT that URLs have, empty: its own

	tokens atomic.Int64 // of URLs, counted

	mu       sync.Mutex
	done     map[string]bool   // what was uploaded, by hash
	files    map[string][]byte // what can be downloaded
	arrived  [][2]int64        // ranges of uploads, begin and end
	sent     int64             // bytes of downloads
	requests []string          // method and path
	refuse   func(*protocol.GetFileRequest) error
	before   func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
}

func newHub(t testing.TB) *hub {
	h := &hub{t: t, dir: t.TempDir(), done: map[string]bool{}, files: map[string][]byte{}}
	disk := filestore.New(h.dir)
	composer := handler.NewStoreComposer()
	disk.UseIn(composer)
	composer.UseLocker(unhurried{memorylocker.New()})
	var err error
	h.tus, err = handler.NewUnroutedHandler(handler.Config{
		BasePath: "/files/", StoreComposer: composer, MaxSize: protocol.MaxFile, GracefulRequestCompletionTimeout: time.Second, Logger: expslog.New(expslog.NewTextHandler(io.Discard, nil)),
		PreUploadCreateCallback: func(e handler.HookEvent) (handler.HTTPResponse, handler.FileInfoChanges, error) {
			uri, _, _ := strings.Cut(e.HTTPRequest.URI, "?")
			return handler.HTTPResponse{}, handler.FileInfoChanges{ID: strings.TrimPrefix(uri, "/files/")}, nil
		},
		PreFinishResponseCallback: func(e handler.HookEvent) (handler.HTTPResponse, error) { return h.finish(e.Upload.ID) },
	})
	if err != nil {
		t.Fatal(err)
	}
	h.http = httptest.NewServer(h)
	t.Cleanup(h.http.Close)
	return h
}

// unhurried locks without asking who has the lock to give it up, as a hub does: tusd
// does not guard what it would interrupt then.
type unhurried struct{ handler.Locker }

func (u unhurried) NewLock(id string) (handler.Lock, error) {
	l, err := u.Locker.NewLock(id)
	return unhurriedLock{l}, err
}

type unhurriedLock struct{ inner handler.Lock }

func (l unhurriedLock) Lock(ctx context.Context, _ func()) error { return l.inner.Lock(ctx, func() {}) }
func (l unhurriedLock) Unlock() error                            { return l.inner.Unlock() }

// finish is what a hub does with a complete upload.
func (h *hub) finish(id string) (handler.HTTPResponse, error) {
	f, err := os.Open(filepath.Join(h.dir, id))
	if err != nil {
		return handler.HTTPResponse{}, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return handler.HTTPResponse{}, err
	}
	if hex.EncodeToString(sum.Sum(nil)) != id {
		_ = os.Remove(f.Name())
		_ = os.Remove(f.Name() + ".info")
		return handler.HTTPResponse{}, handler.NewError("ERR_HASH", "the file is not what its hash says", http.StatusUnprocessableEntity)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done[id] = true
	return handler.HTTPResponse{}, nil
}

// has tells whether a file was uploaded.
func (h *hub) has(hash string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.done[hash]
}

func (h *hub) addr() string { return strings.TrimPrefix(h.http.URL, "http://") }

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.requests = append(h.requests, r.Method+" "+r.URL.Path)
	before := h.before
	h.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	switch {
	case r.URL.Path == "/put":
		answer(w, r, func(q protocol.PutFileRequest) (any, error) { return h.PutFile(r.Context(), q) })
	case r.URL.Path == "/get":
		answer(w, r, func(q protocol.GetFileRequest) (any, error) { return h.GetFile(r.Context(), q) })
	case strings.HasPrefix(r.URL.Path, "/files/"):
		if r.Method == http.MethodPatch {
			h.note(r)
		}
		http.StripPrefix("/files/", h.tus.Middleware(http.HandlerFunc(h.upload))).ServeHTTP(w, r)
	case strings.HasPrefix(r.URL.Path, "/dl/"):
		hash := strings.TrimPrefix(r.URL.Path, "/dl/")
		h.mu.Lock()
		b := h.files[hash]
		h.mu.Unlock()
		w.Header().Set("ETag", `"`+hash+`"`)
		http.ServeContent(&countedWriter{w, h}, r, "", time.Time{}, bytes.NewReader(b))
	}
}

func answer[Q any](w http.ResponseWriter, r *http.Request, do func(Q) (any, error)) {
	var q Q
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	out, err := do(q)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		out = protocol.AsError(err)
	}
	_ = json.NewEncoder(w).Encode(out)
}

func (h *hub) upload(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		h.tus.PostFile(w, r)
	case http.MethodHead:
		h.tus.HeadFile(w, r)
	case http.MethodPatch:
		h.tus.PatchFile(w, r)
	}
}

// note counts what arrives of an upload.
func (h *hub) note(r *http.Request) {
	at, _ := strconv.ParseInt(r.Header.Get("Upload-Offset"), 10, 64)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.arrived = append(h.arrived, [2]int64{at, at})
	i := len(h.arrived) - 1
	r.Body = &countedBody{r.Body, func(n int) {
		h.mu.Lock()
		h.arrived[i][1] += int64(n)
		h.mu.Unlock()
	}}
}

type countedBody struct {
	io.ReadCloser
	count func(int)
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.count(n)
	return n, err
}

type countedWriter struct {
	http.ResponseWriter
	h *hub
}

func (w *countedWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.h.mu.Lock()
	w.h.sent += int64(n)
	w.h.mu.Unlock()
	return n, err
}

func (h *hub) url(path string) string {
	addr := h.proxy
	if addr == "" {
		addr = h.addr()
	}
	_, port, _ := net.SplitHostPort(addr)
	return fmt.Sprintf("http://%s:%s%s?token=%d", protocol.IceHostHub, port, path, h.tokens.Add(1))
}

func (h *hub) PutFile(_ context.Context, r protocol.PutFileRequest) (protocol.PutFileResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.done[r.Hash] {
		return protocol.PutFileResponse{Done: true}, nil
	}
	return protocol.PutFileResponse{URL: h.url("/files/" + r.Hash), ExpiresAt: 1 << 40}, r.Validate()
}

func (h *hub) GetFile(_ context.Context, r protocol.GetFileRequest) (protocol.GetFileResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse != nil {
		if err := h.refuse(&r); err != nil {
			return protocol.GetFileResponse{}, err
		}
	}
	b := h.files[r.Hash]
	if b == nil {
		return protocol.GetFileResponse{}, protocol.Errorf(protocol.CodeSvrResNotFound, "")
	}
	return protocol.GetFileResponse{URL: h.url("/dl/" + r.Hash), Size: int64(len(b)), ExpiresAt: 1 << 40}, nil
}

// have gives the hub a file to be had.
func (h *hub) have(b []byte) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.files[hashOf(b)] = b
	return hashOf(b)
}

func (h *hub) count(what string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.requests {
		if strings.HasPrefix(r, what) {
			n++
		}
	}
	return n
}

// got is how many bytes of uploads have arrived, and most how often one of them.
func (h *hub) got() (bytes int64, most int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	type edge struct {
		at     int64
		change int
	}
	var edges []edge
	for _, r := range h.arrived {
		if r[0] != r[1] {
			edges = append(edges, edge{r[0], 1}, edge{r[1], -1})
		}
		bytes += r[1] - r[0]
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		return a.change - b.change
	})
	depth := 0
	for _, e := range edges {
		depth += e.change
		most = max(most, depth)
	}
	return bytes, most
}

// quick is a courier's patience for tests.
var quick = timing{idle: 20 * time.Second, patience: 20 * time.Second, min: time.Millisecond, max: 20 * time.Millisecond}

func newCourier(t testing.TB, b *board, h Hub, tm timing) *Courier {
	c := NewCourier(CourierOptions{Store: b.Store, Hub: h, Host: func() string { return "127.0.0.1" }, Log: quiet, timing: tm})
	t.Cleanup(c.Close)
	return c
}

// noLeaks fails the test if goroutines are left when all else is closed.
func noLeaks(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for until := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(until) {
				buf := make([]byte, 1<<20)
				t.Errorf("%d goroutines are left over\n%s", runtime.NumGoroutine()-before, buf[:runtime.Stack(buf, true)])
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// cutter carries TCP connections to a target, and resets them all each time that
// so many bytes have passed.
type cutter struct {
	ln     net.Listener
	target string
	wg     sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	passed int64
	cutAt  []int64 // ascending
	cuts   int

	holdAt  []int64            // ascending: where nothing passes until it is let go
	holding chan chan struct{} // what to close for that
}

func newCutter(t testing.TB, target string, cutAt []int64) *cutter {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cutter{ln: ln, target: target, conns: map[net.Conn]bool{}, cutAt: cutAt, holding: make(chan chan struct{}, 1)}
	p.wg.Add(1)
	go p.accept()
	t.Cleanup(func() {
		_ = ln.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *cutter) accept() {
	defer p.wg.Done()
	for {
		in, err := p.ln.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		p.conns[in], p.conns[out] = true, true
		p.mu.Unlock()
		p.wg.Add(2)
		go p.carry(in, out)
		go p.carry(out, in)
	}
}

func (p *cutter) carry(dst, src net.Conn) {
	defer p.wg.Done()
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := src.Read(buf)
		if _, werr := dst.Write(buf[:n]); err != nil || werr != nil {
			return
		}
		p.mu.Lock()
		p.passed += int64(n)
		due := len(p.cutAt) > 0 && p.passed >= p.cutAt[0]
		if due {
			p.cutAt = p.cutAt[1:]
			p.cuts++
		}
		var held chan struct{}
		if len(p.holdAt) > 0 && p.passed >= p.holdAt[0] {
			p.holdAt, held = p.holdAt[1:], make(chan struct{})
			p.holding <- held
		}
		p.mu.Unlock()
		if held != nil {
			<-held
		}
		if due {
			p.cut()
		}
	}
}

func (p *cutter) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset: what is in the buffers is lost
		}
		_ = c.Close()
		delete(p.conns, c)
	}
}

// hold says where nothing passes any more until what comes from holding is closed.
func (p *cutter) hold(at []int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holdAt = at
}

// made are the cuts, and the bytes that have passed.
func (p *cutter) made() (cuts int, passed int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts, p.passed
}

// evenly are n places to cut on the way of size bytes.
func evenly(n int, size int64) (at []int64) {
	for i := range n {
		at = append(at, int64(i+1)*size/int64(n+1))
	}
	return at
}

// remote asks a hub over HTTP, as another process has to.
type remote string

func (r remote) call(ctx context.Context, path string, q, out any) error {
	b, err := json.Marshal(q)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, string(r)+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return json.NewDecoder(res.Body).Decode(out)
}

func (r remote) PutFile(ctx context.Context, q protocol.PutFileRequest) (out protocol.PutFileResponse, err error) {
	return out, r.call(ctx, "/put", q, &out)
}

func (r remote) GetFile(ctx context.Context, q protocol.GetFileRequest) (out protocol.GetFileResponse, err error) {
	return out, r.call(ctx, "/get", q, &out)
}
