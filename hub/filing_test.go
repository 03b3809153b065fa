package hub

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// withFiles gives a hub a directory for files.
func withFiles(dir string) func(*Config) {
	return func(c *Config) { c.Files.Dir, c.Files.MinFree = dir, -1 }
}

type sent struct {
	data []byte
	hash string
}

func fileWith(text string, size int) sent {
	data := bytes.Repeat([]byte(text), size/len(text)+1)[:size]
	sum := sha256.Sum256(data)
	return sent{data, hex.EncodeToString(sum[:])}
}

func (f sent) size() int64 { return int64(len(f.data)) }

// ref is the file as a message names it.
func (f sent) ref(role protocol.FileRole) protocol.File {
	return protocol.File{Hash: f.hash, Size: f.size(), Role: role, Name: "name"}
}

func (f sent) body(t testing.TB) []byte {
	t.Helper()
	b, err := protocol.Marshal(protocol.Message{Elem: protocol.ElemFile, Files: []protocol.File{f.ref(protocol.RoleOriginal)}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (f sent) to(t testing.TB, user string) protocol.Item {
	return protocol.Item{Kind: protocol.ItemC2C, To: user, Body: f.body(t)}
}

func (f sent) toGroup(t testing.TB, id string) protocol.Item {
	return protocol.Item{Kind: protocol.ItemGroup, To: id, Body: f.body(t)}
}

// put asks to upload a file.
func (x *term) put(f sent, want protocol.Code) (res protocol.PutFileResponse) {
	x.t.Helper()
	if code := x.call("device.putFile", protocol.PutFileRequest{Hash: f.hash, Size: f.size()}, &res); code != want {
		x.t.Fatalf("device.putFile: %d, not %d", code, want)
	}
	return res
}

// get asks for a file.
func (x *term) get(f sent, want protocol.Code) (res protocol.GetFileResponse) {
	x.t.Helper()
	if code := x.call("device.getFile", protocol.GetFileRequest{Hash: f.hash}, &res); code != want {
		x.t.Fatalf("device.getFile: %d, not %d", code, want)
	}
	return res
}

// here makes a URL of the hub's one that can be reached from here.
func here(t testing.TB, url string) string {
	t.Helper()
	if !strings.HasPrefix(url, "http://"+protocol.IceHostHub+":") {
		t.Fatalf("the URL %q does not leave the host to the board", url)
	}
	return strings.Replace(url, protocol.IceHostHub, "127.0.0.1", 1)
}

func request(t testing.TB, method, url string, header map[string]string, body []byte) (status int, h http.Header, text []byte) {
	t.Helper()
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err = io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, text
}

// patch sends a part of a file.
func patch(t testing.TB, url string, f sent, from, to int) {
	t.Helper()
	status, _, text := request(t, "PATCH", url, map[string]string{
		"Upload-Offset": fmt.Sprint(from), "Content-Type": "application/offset+octet-stream",
	}, f.data[from:to])
	if status != 204 {
		t.Fatalf("PATCH: %d %s", status, text)
	}
}

// uploads uploads a file whole.
func (x *term) uploads(f sent) {
	x.t.Helper()
	res := x.put(f, 0)
	if res.Done {
		x.t.Fatal("the hub has it already")
	}
	url := here(x.t, res.URL)
	if status, _, text := request(x.t, "POST", url, map[string]string{"Upload-Length": fmt.Sprint(f.size())}, nil); status != 201 {
		x.t.Fatalf("POST: %d %s", status, text)
	}
	patch(x.t, url, f, 0, len(f.data))
}

// fetches fetches a file and returns where it was.
func (x *term) fetches(f sent) string {
	x.t.Helper()
	res := x.get(f, 0)
	url := here(x.t, res.URL)
	status, _, data := request(x.t, "GET", url, nil, nil)
	if status != 200 || !bytes.Equal(data, f.data) || res.Size != f.size() {
		x.t.Fatalf("GET: %d, %d bytes of %d", status, len(data), res.Size)
	}
	return url
}

func (x *term) sends(it protocol.Item, want protocol.Code) {
	x.t.Helper()
	if got := x.append(it)[0]; got.Code != want || want != 0 && got.Msg == "" {
		x.t.Fatalf("the message is answered with %d %s, not %d", got.Code, got.Msg, want)
	}
}

// The whole way of a file: uploaded, sent, fetched by whom it was sent to and by
// nobody else, and after the message was taken back by nobody.
func TestFileOfAMessage(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		s := serve(t, location, withFiles(filepath.Join(t.TempDir(), "files")))
		alice, bob, carol := s.online("alice", "t"), s.online("bob", "t"), s.online("carol", "t")
		f := fileWith("picture", 100_000)
		alice.sends(f.to(t, "bob"), protocol.CodeSvrResAccessDeny)
		alice.get(f, protocol.CodeSvrResAccessDeny)
		alice.uploads(f)
		if res := alice.put(f, 0); !res.Done || res.URL != "" {
			t.Errorf("%+v", res)
		}
		// That it is there tells nobody who has only its hash anything.
		bob.get(f, protocol.CodeSvrResAccessDeny)
		bob.sends(f.to(t, "carol"), protocol.CodeSvrResAccessDeny)
		if res := bob.put(f, 0); res.Done || res.URL == "" {
			t.Errorf("%+v", res)
		}
		lie := f
		lie.data = f.data[1:]
		alice.sends(lie.to(t, "bob"), protocol.CodeSvrResInvalidParameters)
		alice.put(lie, protocol.CodeInvalidParameters)
		alice.sends(f.to(t, "bob"), 0)
		number := alice.first - 1
		bob.until(func(f *protocol.Frame) bool { return f.Push != nil })
		bob.fetches(f)
		carol.get(f, protocol.CodeSvrResAccessDeny)
		alice.fetches(f)
		// Whom it was shown to may pass it on without uploading it.
		if res := bob.put(f, 0); !res.Done {
			t.Errorf("%+v", res)
		}
		carol.get(f, protocol.CodeSvrResAccessDeny)
		alice.sends(revokeOf("c2c:alice:bob", protocol.MsgID(protocol.MsgIDPrefix(s.app, "alice", "t", alice.epoch), number)), 0)
		bob.get(f, protocol.CodeSvrResAccessDeny)
		bob.sends(f.to(t, "carol"), protocol.CodeSvrResAccessDeny)
		alice.fetches(f)
		bob.uploads(f)
		bob.sends(f.to(t, "carol"), 0)
		carol.fetches(f)
	})
}

func TestRevokeTakesTheFile(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		s := serve(t, location, withFiles(filepath.Join(t.TempDir(), "files")))
		alice, bob := s.online("alice", "t"), s.online("bob", "t")
		f := fileWith("picture", 1000)
		alice.uploads(f)
		image, err := protocol.Marshal(protocol.Message{Elem: protocol.ElemImage, Files: []protocol.File{
			f.ref(protocol.RoleThumbnail), f.ref(protocol.RoleLarge), f.ref(protocol.RoleOriginal), // so small that it is its own thumbnail
		}})
		if err != nil {
			t.Fatal(err)
		}
		alice.sends(protocol.Item{Kind: protocol.ItemC2C, To: "bob", Body: image}, 0)
		id := protocol.MsgID(protocol.MsgIDPrefix(s.app, "alice", "t", alice.epoch), alice.first-1)
		url := bob.fetches(f)
		alice.sends(revokeOf("c2c:alice:bob", id), 0)
		bob.get(f, protocol.CodeSvrResAccessDeny)
		if status, _, _ := request(t, "GET", url, nil, nil); status != 403 {
			t.Errorf("the URL of before: %d", status)
		}
		// Sent and taken back within one transaction.
		second := protocol.MsgID(protocol.MsgIDPrefix(s.app, "alice", "t", alice.epoch), alice.first)
		for i, a := range alice.append(f.to(t, "bob"), revokeOf("c2c:alice:bob", second)) {
			if a.Code != 0 {
				t.Errorf("%d: %+v", i, a)
			}
		}
		bob.get(f, protocol.CodeSvrResAccessDeny)
		alice.sends(f.to(t, "bob"), 0)
		bob.fetches(f)
	})
}

// Members of a group have its files while they are members; a URL that one was
// given is good for nothing once he was put out.
func TestFileOfAGroup(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		s := serve(t, location, withFiles(filepath.Join(t.TempDir(), "files")))
		owner, x, late := s.online("owner", "t"), s.online("x", "t"), s.online("late", "t")
		owner.mustCall("im.createGroup", create("m", "Meeting"))
		x.mustCall("im.joinGroup", join("m"))
		f := fileWith("video", 5000)
		owner.uploads(f)
		owner.sends(f.toGroup(t, "m"), 0)
		url := x.fetches(f)
		late.get(f, protocol.CodeSvrResAccessDeny)
		owner.mustCall("im.kickGroupMember", protocol.KickRequest{GroupID: "m", MemberList: []string{"x"}})
		x.get(f, protocol.CodeSvrResAccessDeny)
		x.sends(f.to(t, "late"), protocol.CodeSvrResAccessDeny)
		if status, _, _ := request(t, "GET", url, nil, nil); status != 403 {
			t.Errorf("the URL of before: %d", status)
		}
		owner.fetches(f)
	})
}

// Messages of a live room are kept nowhere, and have files; what is sent to those
// who are online has none.
func TestFileOfAMessageThatIsKeptNowhere(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		s := serve(t, location, withFiles(filepath.Join(t.TempDir(), "files")))
		alice, bob, carol := s.online("alice", "t"), s.online("bob", "t"), s.online("carol", "t")
		f := fileWith("live", 5000)
		alice.uploads(f)
		alice.mustCall("im.createGroup", create("room", "AVChatRoom"))
		carol.mustCall("im.joinGroup", join("room"))
		for _, to := range []protocol.SendOnlineRequest{{UserID: "bob"}, {GroupID: "room"}} {
			to.Message, to.IDEpoch, to.IDNumber = f.body(t), 1, protocol.FirstIDNumber
			if code := alice.call("device.sendOnline", to, nil); code != protocol.CodeInvalidParameters {
				t.Errorf("device.sendOnline: %d", code)
			}
		}
		carol.get(f, protocol.CodeSvrResAccessDeny)
		alice.sends(f.toGroup(t, "room"), 0)
		carol.fetches(f)
		bob.get(f, protocol.CodeSvrResAccessDeny)
		carol.mustCall("im.quitGroup", named("room"))
		carol.get(f, protocol.CodeSvrResAccessDeny)
	})
}

// A hub that was started again goes on with an upload, and its URLs are good.
func TestUploadOutlivesTheHub(t *testing.T) {
	at, dir := sqlite(t), filepath.Join(t.TempDir(), "files")
	s := serve(t, at, withFiles(dir))
	f := fileWith("long", 300_000)
	url := here(t, s.online("alice", "t").put(f, 0).URL)
	if status, _, _ := request(t, "POST", url, map[string]string{"Upload-Length": "300000"}, nil); status != 201 {
		t.Fatal(status)
	}
	patch(t, url, f, 0, 100_000)
	path := url[strings.Index(url, "/files/"):]
	s.stop()
	s = serve(t, at, withFiles(dir))
	url = "http://" + s.hub.HTTPAddr().String() + path
	status, h, _ := request(t, "HEAD", url, nil, nil)
	if status != 200 || h.Get("Upload-Offset") != "100000" {
		t.Fatalf("HEAD: %d %v", status, h)
	}
	patch(t, url, f, 100_000, 300_000)
	alice := s.online("alice", "t")
	if !alice.put(f, 0).Done {
		t.Error("it is not there")
	}
	alice.fetches(f)
	_, _, text := request(t, "GET", "http://"+s.hub.HTTPAddr().String()+"/metrics", nil, nil)
	for _, line := range []string{"herald_hub_files 1\n", "herald_hub_files_bytes 300000\n", "herald_hub_files_uploads_total 1\n", "herald_hub_files_downloads_total 1\n"} {
		if !strings.Contains(string(text), line) {
			t.Errorf("the metrics lack %q", line)
		}
	}
}

// A file that is gone has left its message behind.
func TestFileThatIsGone(t *testing.T) {
	c := &clock{at: time.Now()}
	s := serve(t, sqlite(t), withFiles(filepath.Join(t.TempDir(), "files")), func(cfg *Config) {
		cfg.Now, cfg.Files.MaxAge, cfg.Files.MaxBytes = c.now, time.Hour, 150_000
	})
	alice, bob := s.online("alice", "t"), s.online("bob", "t")
	f, g := fileWith("old", 100_000), fileWith("new", 100_000)
	alice.uploads(f)
	alice.sends(f.to(t, "bob"), 0)
	bob.fetches(f)
	c.pass(time.Minute)
	alice.uploads(g) // there is room for one of them
	for deadline := time.Now().Add(patience); s.hub.files.Stats().Files != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is removed")
		}
	}
	bob.get(f, protocol.CodeSvrResNotFound)
	alice.get(f, protocol.CodeSvrResNotFound)
	alice.sends(f.to(t, "bob"), protocol.CodeSvrResNotFound)
	alice.sends(g.to(t, "bob"), 0)
	bob.fetches(g)
	big := fileWith("big", 200_000)
	alice.put(big, protocol.CodeIOOperationFailed)
	if !s.log.has("files removed") {
		t.Error("the operator is not told")
	}
	alice.uploads(f) // again
	bob.fetches(f)
}

// What the operator orders ends what is transferred, and the URLs.
func TestOrdersEndTransfers(t *testing.T) {
	for what, order := range map[string]func(context.Context, *store.Tx, protocol.AppID) error{
		"block": func(ctx context.Context, tx *store.Tx, app protocol.AppID) error {
			return errors.Join(tx.SetBlocked(ctx, app, "alice", true, time.Now()),
				tx.AddOrder(ctx, store.Order{App: app, Kind: store.OrderBlock, User: "alice"}, time.Now()))
		},
		"key": func(ctx context.Context, tx *store.Tx, app protocol.AppID) error {
			return errors.Join(tx.RemoveKey(ctx, app, "k1", time.Now()),
				tx.AddOrder(ctx, store.Order{App: app, Kind: store.OrderKey, Arg: "k1"}, time.Now()))
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := serve(t, sqlite(t), withFiles(filepath.Join(t.TempDir(), "files")))
			alice := s.online("alice", "t")
			f, half := fileWith("picture", 1000), fileWith("half", 1000)
			alice.uploads(f)
			down, up := alice.fetches(f), here(t, alice.put(half, 0).URL)
			if status, _, _ := request(t, "POST", up, map[string]string{"Upload-Length": "1000"}, nil); status != 201 {
				t.Fatal(status)
			}
			conn, err := net.Dial("tcp", s.hub.HTTPAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, path, _ := strings.Cut(up, s.hub.HTTPAddr().String())
			fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: hub\r\nTus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n"+
				"Upload-Offset: 0\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n", path)
			r := bufio.NewReader(conn)
			if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
				t.Fatalf("%q %v", line, err)
			}
			if err := s.hub.write(func(ctx context.Context, tx *store.Tx) error { return order(ctx, tx, s.app) }); err != nil {
				t.Fatal(err)
			}
			var late net.Error
			if _, err := io.Copy(io.Discard, r); errors.As(err, &late) && late.Timeout() {
				t.Error("the upload goes on")
			}
			if status, _, _ := request(t, "GET", down, nil, nil); status != 403 {
				t.Errorf("the URL is still good: %d", status)
			}
		})
	}
}

// Who is told that the file is there already means to send it.
func TestDoneCountsAsUse(t *testing.T) {
	c := &clock{at: time.Now()}
	s := serve(t, sqlite(t), withFiles(filepath.Join(t.TempDir(), "files")), func(cfg *Config) { cfg.Now = c.now })
	alice, f := s.online("alice", "t"), fileWith("picture", 1000)
	alice.uploads(f)
	alice.sends(f.to(t, "alice"), 0)
	c.pass(48 * time.Hour)
	if !alice.put(f, 0).Done {
		t.Fatal("it is not there")
	}
	row, err := s.hub.store.File(t.Context(), s.app, f.hash)
	if err != nil || row.Used.UnixMilli() != c.now().UnixMilli() {
		t.Errorf("used at %v, and it is %v: %v", row.Used, c.now(), err)
	}
}

func TestHubWithoutFiles(t *testing.T) {
	r := newRig(t, sqlite(t))
	x := r.online("alice", "t")
	f := fileWith("picture", 1000)
	x.put(f, protocol.CodeIOOperationFailed)
	x.get(f, protocol.CodeIOOperationFailed)
	x.sends(f.to(t, "alice"), protocol.CodeSvrResAccessDeny)
}

// What the hub tells boards where the operator has said how they reach it.
func TestPublicURL(t *testing.T) {
	s := serve(t, sqlite(t), withFiles(filepath.Join(t.TempDir(), "files")), func(c *Config) { c.Files.PublicURL = "https://hub.example/herald" })
	f := fileWith("picture", 1000)
	res := s.online("alice", "t").put(f, 0)
	if !strings.HasPrefix(res.URL, "https://hub.example/herald/files/up/"+f.hash+"?") {
		t.Errorf("%q", res.URL)
	}
	if left := time.Until(time.Unix(res.ExpiresAt, 0)); left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("it is good for %v", left)
	}
}
