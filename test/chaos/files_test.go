package chaos

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/herald-im/herald/device/store/disktest"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

const (
	hugeFile = 100 << 20 // the limit of a file
	someCuts = 20
	block    = 64 << 10 // in which it is counted what was sent
)

// TestHugeFile: a file of 100 MB, through a link that is cut 20 times, by a board
// that is killed twice: what is said behind it is not held up, it arrives whole,
// and no part of it is sent more than twice.
func TestHugeFile(t *testing.T) {
	h := newHouse(t, "")
	net := newCutter(t, h.hub.HTTP)
	must(t, h.hub.Stop())
	must(t, h.hub.Configure("[files]\npublic_url = \""+net.server.URL+"\"\n"))
	h.startHub()
	door, indoor := h.actor("door"), h.actor("indoor")

	path := filepath.Join(h.rig.Dir, "huge.bin")
	sum := randomFile(t, path, hugeFile)
	key, code := api(t, door, protocol.CreateFileMessage, protocol.CreateFileRequest{FilePath: path, FileName: "huge.bin"})
	must(t, os.Remove(path)) // the board has a copy
	if code != 0 {
		t.Fatal(code)
	}
	net.cutAfter(1<<20, 4<<20, someCuts)
	killed := 0
	net.watch(func(passed int64) {
		if killed < 2 && passed > int64(killed+1)*(hugeFile/3) {
			killed++
			h.later(0, func() {
				door.board.Kill()
				door.start()
			})
		}
	})
	// A call that the board did not live to answer is made again: one key, one message.
	sent := persist(t, door, protocol.SendMessage, protocol.SendMessageRequest{Receiver: "indoor", MessageKey: key.MessageKey})
	behind := persist(t, door, protocol.CreateTextMessage, protocol.CreateTextRequest{Text: "not held up"})
	persist(t, door, protocol.SendMessage, protocol.SendMessageRequest{Receiver: "indoor", MessageKey: behind.MessageKey})
	var came protocol.MessageInfo
	h.poll("the file's message", func() bool {
		for _, m := range indoor.says(t, "door", "") {
			if m.MsgID == sent.MsgID {
				came = m
				return true
			}
		}
		return false
	})
	h.tasks.Wait()
	if all := indoor.says(t, "door", ""); all[0].MsgID != sent.MsgID || all[1].Msg.Text != "not held up" {
		t.Error("the message did not take its place when its file was there:", all)
	}
	if came.Msg.UUID != sum || came.Msg.Size != hugeFile || came.Msg.Name != "huge.bin" {
		t.Errorf("%+v", came.Msg)
	}
	cuts, most := net.count()
	t.Logf("%d cuts, the board killed %d times; of %d MB the most any part was sent: %d times", cuts, killed, hugeFile>>20, most)
	if cuts < someCuts || killed != 2 || most > 2 {
		t.Errorf("%d cuts, %d kills, a part was sent %d times", cuts, killed, most)
	}

	// And down, through as many cuts, by a board that is killed, too.
	net.watch(nil)
	net.cutAfter(1<<20, 4<<20, someCuts)
	if _, code := api(t, indoor, protocol.DownloadMessage, protocol.DownloadRequest{MsgID: came.MsgID}); code != 0 {
		t.Fatal(code)
	}
	h.poll("some cuts", func() bool { n, _ := net.count(); return n > 5 })
	indoor.board.Kill()
	indoor.start()
	indoor.awaitLink("up")
	if _, code := api(t, indoor, protocol.DownloadMessage, protocol.DownloadRequest{MsgID: came.MsgID}); code != 0 {
		t.Fatal(code)
	}
	h.poll("the file", func() bool {
		m, _ := api(t, indoor, protocol.GetMessage, protocol.MessageRequest{MsgID: came.MsgID})
		return m.Message.Msg.Path != nil && *m.Message.Msg.Path != ""
	})
	m, _ := api(t, indoor, protocol.GetMessage, protocol.MessageRequest{MsgID: came.MsgID})
	if got := hashOf(t, *m.Message.Msg.Path); got != sum {
		t.Error("another file arrived:", got)
	}
	cuts, most = net.count()
	t.Logf("%d cuts, the board killed once; the most any part was fetched: %d times", cuts, most)
	if cuts < someCuts || most > 2 {
		t.Errorf("%d cuts, a part was fetched %d times", cuts, most)
	}
}

// persist calls a method until the board lives long enough to answer.
func persist[Req, Res any](t *testing.T, a *actor, m protocol.Method[Req, Res], req Req) (res Res) {
	t.Helper()
	a.h.poll("an answer to "+m.Info().Name, func() bool {
		var err error
		res, err = client.Call(a.h.ctx, a.board.Client(), m, req)
		var e *protocol.Error
		if errors.As(err, &e) && e.Code != protocol.CodeNotLoggedIn && e.Code != protocol.CodeInterrupt {
			t.Fatal(err)
		}
		return err == nil
	})
	return res
}

func randomFile(t *testing.T, path string, size int64) (hash string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	sum := sha256.New()
	_, err = io.CopyN(io.MultiWriter(f, sum), rand.NewChaCha8([32]byte{1}), size)
	must(t, errors.Join(err, f.Close()))
	return hex.EncodeToString(sum.Sum(nil))
}

func hashOf(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	must(t, err)
	return hex.EncodeToString(sum.Sum(nil))
}

// cutter is a web proxy that cuts connections, and counts what passes.
type cutter struct {
	server *httptest.Server

	mu        sync.Mutex
	low, high int64 // bytes after which a connection is cut
	next      int64 // bytes until the next cut
	left      int   // cuts to come
	cuts      int
	at        func(passed int64) // told of what has gone up in all; it must not block
	passed    int64
	sent      map[int64]int // how often a block went up, or down since the last cutAfter
	asked     []string      // what was to be fetched: paths with queries
}

func newCutter(t *testing.T, target string) *cutter {
	c := &cutter{sent: make(map[int64]int)}
	to, err := url.Parse("http://" + target)
	must(t, err)
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.FlushInterval = -1
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	c.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = to.Host
		if r.Method == http.MethodPatch {
			offset, _ := strconv.ParseInt(r.Header.Get("Upload-Offset"), 10, 64)
			r.Body = io.NopCloser(&counting{r: r.Body, c: c, offset: offset})
		}
		if r.Method == http.MethodGet {
			var offset int64
			_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &offset)
			w = &limited{ResponseWriter: w, c: c, offset: offset}
			c.mu.Lock()
			c.asked = append(c.asked, r.URL.String())
			c.mu.Unlock()
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(c.server.Close)
	return c
}

// cutAfter has the next connections cut, each after low to high bytes.
func (c *cutter) cutAfter(low, high int64, cuts int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.low, c.high, c.left, c.cuts, c.next = low, high, cuts, 0, low
	clear(c.sent)
}

func (c *cutter) watch(at func(passed int64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

// pass counts the blocks that begin in n bytes at an offset. The caller holds mu.
func (c *cutter) pass(offset, n int64) {
	for at := (offset + block - 1) / block; at*block < offset+n; at++ {
		c.sent[at]++
	}
}

// spend takes bytes that pass, over all connections, and tells when one is to be cut.
func (c *cutter) spend(n int64) (cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == 0 {
		return false
	}
	if c.next -= n; c.next > 0 {
		return false
	}
	c.next = c.low + rand.Int64N(c.high-c.low)
	c.left, c.cuts = c.left-1, c.cuts+1
	return true
}

func (c *cutter) count() (cuts, most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.sent {
		most = max(most, n)
	}
	return c.cuts, most
}

var errCut = errors.New("cut")

// counting is the body of an upload.
type counting struct {
	r      io.Reader
	c      *cutter
	offset int64
}

func (b *counting) Read(p []byte) (int, error) {
	n, err := b.r.Read(p[:min(len(p), block)])
	b.c.mu.Lock()
	b.c.pass(b.offset, int64(n))
	b.offset, b.c.passed = b.offset+int64(n), b.c.passed+int64(n)
	if b.c.at != nil {
		b.c.at(b.c.passed)
	}
	b.c.mu.Unlock()
	if b.c.spend(int64(n)) {
		return 0, errCut // what was read is lost, as it is on a line that breaks
	}
	return n, err
}

// limited is the body of a download.
type limited struct {
	http.ResponseWriter
	c      *cutter
	offset int64
}

func (l *limited) Write(p []byte) (int, error) {
	l.c.mu.Lock()
	l.c.pass(l.offset, int64(len(p)))
	l.offset += int64(len(p))
	l.c.mu.Unlock()
	if l.c.spend(int64(len(p))) {
		panic(http.ErrAbortHandler)
	}
	return l.ResponseWriter.Write(p)
}

func (l *limited) Flush() { l.ResponseWriter.(http.Flusher).Flush() }

// TestFileAccess: who may fetch a file, by its name or by the URL that the hub gave.
func TestFileAccess(t *testing.T) {
	h := newHouse(t, "")
	net := newCutter(t, h.hub.HTTP)
	must(t, h.hub.Stop())
	must(t, h.hub.Configure("[files]\npublic_url = \""+net.server.URL+"\"\n"))
	h.startHub()
	owner, guest, stranger := h.actor("owner"), h.actor("guest"), h.actor("stranger")
	h.group("crew", protocol.GroupWork, owner)
	if _, code := api(t, owner, protocol.InviteUserToGroup, protocol.InviteToGroupRequest{GroupID: "crew", UserID: "guest"}); code != 0 {
		t.Fatal(code)
	}
	path := filepath.Join(h.rig.Dir, "secret.bin")
	sum := randomFile(t, path, 2<<20) // too large to be fetched by itself
	key, code := api(t, owner, protocol.CreateFileMessage, protocol.CreateFileRequest{FilePath: path})
	if code != 0 {
		t.Fatal(code)
	}
	sent, code := api(t, owner, protocol.SendMessage, protocol.SendMessageRequest{GroupID: "crew", MessageKey: key.MessageKey})
	if code != 0 {
		t.Fatal(code)
	}
	fetch := func(a *actor) error {
		body, err := a.board.Client().Download(h.ctx, sum)
		if err != nil {
			return err
		}
		defer body.Close()
		got, err := io.ReadAll(body)
		if err == nil {
			if s := sha256.Sum256(got); hex.EncodeToString(s[:]) != sum {
				err = errors.New("another file")
			}
		}
		return err
	}
	refused := func(what string, err error) {
		t.Helper()
		var e *protocol.Error
		if !errors.As(err, &e) || e.Code != protocol.CodeSvrResAccessDeny && e.Code != protocol.CodeSvrResNotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	h.poll("the message", func() bool { all := guest.says(t, "", "crew"); return len(all) > 0 && all[0].MsgID == sent.MsgID })
	refused("a stranger who knows the name", fetch(stranger))
	other := h.platform("other", "guest", "other")
	if err := fetch(guest); err != nil {
		t.Fatal("a member:", err)
	}
	at, err := url.Parse(net.asked[0]) // the board has its answer, so nothing writes there
	must(t, err)
	byURL := func(query string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(h.ctx, http.MethodGet, net.server.URL+at.Path+"?"+query, nil)
		must(t, err)
		res, err := http.DefaultClient.Do(r)
		must(t, err)
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		must(t, err)
		return res.StatusCode
	}
	if code := byURL(at.RawQuery); code != http.StatusOK {
		t.Error("a member's URL:", code)
	}
	for _, query := range []string{"", strings.ReplaceAll(at.RawQuery, "guest", "stranger")} {
		if code := byURL(query); code != http.StatusForbidden && code != http.StatusNotFound {
			t.Errorf("a URL that the hub gave to nobody, with %q: %d", query, code)
		}
	}
	if _, code := api(t, owner, protocol.KickGroupMember, protocol.KickRequest{GroupID: "crew", UserID: "guest"}); code != 0 {
		t.Fatal(code)
	}
	if code := byURL(at.RawQuery); code != http.StatusForbidden {
		t.Error("the URL of who was put out:", code)
	}
	refused("who was put out, on a board that does not have it", fetch(other))
}

// TestFileWithoutRoom: neither a hub nor a board without room loses anything, and both go
// on once there is some.
func TestFileWithoutRoom(t *testing.T) {
	small, state := disktest.Small(t, 24), disktest.Small(t, 24)
	h := newHouse(t, "")
	must(t, h.hub.Stop())
	must(t, h.hub.Configure("[files]\ndir = \""+filepath.Join(small, "files")+"\"\nmin_free = \"1MiB\"\n"))
	h.startHub()
	door, indoor := h.actor("door"), h.actor("indoor")
	fill := filepath.Join(small, "filler")
	must(t, os.WriteFile(fill, bytes.Repeat([]byte{1}, 18<<20), 0o600))
	path := filepath.Join(h.rig.Dir, "big.bin")
	sum := randomFile(t, path, 8<<20)
	key, code := api(t, door, protocol.CreateFileMessage, protocol.CreateFileRequest{FilePath: path})
	if code != 0 {
		t.Fatal(code)
	}
	sent, code := api(t, door, protocol.SendMessage, protocol.SendMessageRequest{Receiver: "indoor", MessageKey: key.MessageKey})
	if code != 0 || !sent.Queued {
		t.Fatal(sent, code)
	}
	door.send("indoor", "not held up")
	indoor.await("the text", func(events []event) bool { return len(texts(events)) == 1 })
	if m := door.says(t, "indoor", "")[0]; m.MsgID != sent.MsgID || m.Status != protocol.StatusSending {
		t.Errorf("%+v", m)
	}
	must(t, os.Remove(fill))
	h.poll("the message", func() bool { all := indoor.says(t, "door", ""); return len(all) == 2 && all[0].Msg.UUID == sum })

	// The board's own disk.
	tight := h.idle("tight", "tight", "--state", filepath.Join(state, "state"))
	tight.start()
	tight.awaitLink("up")
	if _, code := api(t, tight, protocol.CreateFileMessage, protocol.CreateFileRequest{FilePath: path}); code != 0 {
		t.Error("there is room for one:", code)
	}
	huge := filepath.Join(h.rig.Dir, "huge.bin")
	randomFile(t, huge, 30<<20)
	if _, code := api(t, tight, protocol.CreateFileMessage, protocol.CreateFileRequest{FilePath: huge}); code != protocol.CodeDatabaseFailure && code != protocol.CodeIOOperationFailed {
		t.Error("there is none for the other:", code)
	}
	if _, code := tight.made(t, "indoor", "", "texts go on"); code != 0 {
		t.Error(code)
	}
}
