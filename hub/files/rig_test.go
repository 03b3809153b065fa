package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

const app protocol.AppID = 1400000001

// rig is a server on a directory, with a database and a web server whose times are
// the hub's.
type rig struct {
	t   testing.TB
	dir string
	log *logBook
	cfg Config
	now atomic.Int64 // Unix milliseconds

	talk store.LogID // of door with itself

	times time.Duration // what the web server gives other requests in all

	*Server
	base string
	stop func()
}

// logBook keeps what was logged.
type logBook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	base := runtime.NumGoroutine()
	if _, fuzzing := t.(*testing.F); !fuzzing { // that engine has goroutines of its own
		t.Cleanup(func() { settled(t, base) })
	}
	r := &rig{t: t, dir: t.TempDir(), log: new(logBook), times: 30 * time.Second}
	r.now.Store(time.Now().UnixMilli())
	r.cfg = Config{
		App: app, Now: func() time.Time { return time.UnixMilli(r.now.Load()) },
		Limits: Limits{Dir: filepath.Join(r.dir, "files"), MinFree: -1},
	}
	for _, f := range change {
		f(&r.cfg)
	}
	st, err := store.OpenAsOwner(t.Context(), filepath.Join(r.dir, store.File))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	r.cfg.Store = st
	if r.cfg.Write == nil {
		r.cfg.Write = func(f func(context.Context, *store.Tx) error) error { return st.Write(context.Background(), f) }
	}
	r.write(func(ctx context.Context, tx *store.Tx) error {
		err := tx.CreateApp(ctx, app, r.cfg.Now())
		if err == nil {
			err = tx.AddKey(ctx, app, store.Key{ID: "k1", Secret: "secret", Created: r.cfg.Now()})
		}
		for _, user := range []string{"door", "indoor", "stranger"} {
			if err == nil {
				err = tx.CreateUser(ctx, app, user, r.cfg.Now())
			}
		}
		if err == nil {
			var l store.Log
			l, _, err = tx.EnsureLog(ctx, app, protocol.C2CLog("door", "door"))
			r.talk = l.ID
		}
		if err == nil {
			err = tx.SetReader(ctx, app, "door", r.talk, 0, 0)
		}
		return err
	})
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

// settled fails if goroutines are left.
func settled(t testing.TB, base int) {
	t.Helper()
	for range 400 {
		if runtime.NumGoroutine() <= base {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	buf := make([]byte, 64<<10)
	t.Errorf("%d goroutines are left of %d:\n%s", runtime.NumGoroutine(), base, buf[:runtime.Stack(buf, true)])
}

// start starts a server on the rig's directory.
func (r *rig) start() {
	r.t.Helper()
	var err error
	r.Server, err = New(r.cfg, slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		r.t.Fatal(err)
	}
	s := r.Server
	ts := httptest.NewUnstartedServer(s)
	ts.Config.ReadHeaderTimeout, ts.Config.ReadTimeout, ts.Config.WriteTimeout = 10*time.Second, r.times, r.times
	ts.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	ts.Start()
	r.base = ts.URL
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		ts.CloseClientConnections()
		ts.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	r.awaitSweep()
}

// awaitSweep waits for the sweep that Run begins with: it would see what a test does
// meanwhile.
func (r *rig) awaitSweep() {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		r.sweeping.Lock() // a sweep has it all along
		swept := !r.checked.IsZero()
		r.sweeping.Unlock()
		if swept || strings.Contains(r.log.String(), "files that are due are not removed") {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatal("there is no sweep")
		}
		time.Sleep(time.Millisecond) // a state of another goroutine, without an event
	}
}

// restart is what a hub that was killed and started again is like, as far as its
// files go: nothing of the old one writes any more.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.start()
}

func (r *rig) write(f func(context.Context, *store.Tx) error) {
	r.t.Helper()
	if err := r.cfg.Store.Write(context.Background(), f); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) pass(d time.Duration) { r.now.Add(d.Milliseconds()) }

func (r *rig) upURL(user string, f file) string { return r.upURLOf(user, f.hash, int64(len(f.data))) }

func (r *rig) upURLOf(user, hash string, size int64) string {
	r.t.Helper()
	u, err := r.Upload(context.Background(), r.cfg.Store.View, r.base, user, hash, size)
	if err != nil {
		r.t.Fatal(err)
	}
	return u.URL
}

func (r *rig) downURL(user string, f file) string {
	r.t.Helper()
	u, err := r.Download(context.Background(), r.cfg.Store.View, r.base, user, f.hash, int64(len(f.data)))
	if err != nil {
		r.t.Fatal(err)
	}
	return u.URL
}

// file is something to send.
type file struct {
	data []byte
	hash string
}

func newFile(size int, seed uint64) file {
	data := make([]byte, size)
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = src.Read(data)
	return fileOf(data)
}

func fileOf(data []byte) file {
	sum := sha256.Sum256(data)
	return file{data, hex.EncodeToString(sum[:])}
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) offset() int64 {
	n, err := strconv.ParseInt(a.header.Get("Upload-Offset"), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func try(method, url string, header map[string]string, body io.Reader) (answer, error) {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, b}, err
}

func (r *rig) do(method, url string, header map[string]string, body io.Reader) answer {
	r.t.Helper()
	a, err := try(method, url, header, body)
	if err != nil {
		r.t.Fatalf("%s: %v", method, err)
	}
	return a
}

func (r *rig) want(what string, a answer, status int) answer {
	r.t.Helper()
	if a.status != status {
		r.t.Fatalf("%s: status %d, not %d: %s", what, a.status, status, a.body)
	}
	return a
}

func (r *rig) head(url string) answer { r.t.Helper(); return r.do("HEAD", url, nil, nil) }

func (r *rig) post(url string, size int64) answer {
	r.t.Helper()
	return r.do("POST", url, map[string]string{"Upload-Length": fmt.Sprint(size)}, nil)
}

func patchHeader(offset int64) map[string]string {
	return map[string]string{"Upload-Offset": fmt.Sprint(offset), "Content-Type": "application/offset+octet-stream"}
}

func (r *rig) patch(url string, offset int64, data []byte) answer {
	r.t.Helper()
	return r.do("PATCH", url, patchHeader(offset), bytes.NewReader(data))
}

// put uploads a file whole.
func (r *rig) put(user string, f file) {
	r.t.Helper()
	url := r.upURL(user, f)
	r.want("POST", r.post(url, int64(len(f.data))), 201)
	r.want("PATCH", r.patch(url, 0, f.data), 204)
}

// get fetches a file whole.
func (r *rig) get(user string, f file) {
	r.t.Helper()
	a := r.want("GET", r.do("GET", r.downURL(user, f), nil, nil), 200)
	if !bytes.Equal(a.body, f.data) {
		r.t.Fatalf("%d bytes came of %d, or others", len(a.body), len(f.data))
	}
}

// onDisk lists all files of the directory with bytes in them, but for the .info of
// uploads.
func (r *rig) onDisk() (names []string) {
	r.t.Helper()
	err := filepath.WalkDir(r.cfg.Dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(path, infoSuffix) {
			name, _ := filepath.Rel(r.cfg.Dir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return names
}

// kept fails unless exactly these files are kept, and nothing else is on disk.
func (r *rig) kept(want ...file) {
	r.t.Helper()
	names := r.onDisk()
	if len(names) != len(want) {
		r.t.Fatalf("on disk: %q", names)
	}
	for _, f := range want {
		b, err := os.ReadFile(r.disk.path(f.hash))
		if err != nil || !bytes.Equal(b, f.data) {
			r.t.Errorf("the file on disk is another one (%d bytes of %d): %v", len(b), len(f.data), err)
		}
		if row, err := r.cfg.Store.File(context.Background(), app, f.hash); err != nil || row.Size != int64(len(f.data)) {
			r.t.Errorf("its row: %+v %v", row, err)
		}
	}
}

func (r *rig) owns(user string, f file) bool {
	r.t.Helper()
	is, err := r.cfg.Store.OwnsFile(context.Background(), app, user, f.hash)
	if err != nil {
		r.t.Fatal(err)
	}
	return is
}

var errStep = errors.New("killed here")

// arrived waits until the hub has written n bytes of an account's upload.
func (r *rig) arrived(user string, f file, n int64) {
	r.t.Helper()
	path := r.shelf.path(grant{user: user, hash: f.hash}.id(app))
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if info, err := os.Stat(path); err == nil && info.Size() == n {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%d bytes do not arrive", n)
		}
	}
}

// idle waits until no request is served.
func (r *rig) idle() {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); r.Stats().Transfers > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatal("a transfer does not end")
		}
	}
}

func overwrite(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
