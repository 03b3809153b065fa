// Package conformance holds the JavaScript client, and with it the board's whole API,
// to the user's document: the cases of web/conformance, and where it is at hand the
// document's own samples, run in Node and in Chromium against a hub and three boards.
package conformance

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/test/rig"
)

const (
	root  = "../.."
	token = "0123456789abcdef0123456789abcdef"
)

var bin string

func TestMain(m *testing.M) { rig.Main(m, &bin) }

// user is an account with its board, as the cases know it.
type user struct {
	User   string `json:"user"`
	Sig    string `json:"sig"`
	URL    string `json:"url"`
	Token  string `json:"token"`
	Socket string `json:"socket"`
}

// config is the configuration of web/conformance/world.mjs.
type config struct {
	SDKAppID protocol.AppID    `json:"sdkAppId"`
	Users    []user            `json:"users"`
	Group    string            `json:"group"`
	Others   string            `json:"others"`
	Files    map[string]string `json:"files"` // paths
	Sizes    map[string]int64  `json:"sizes"`
	Control  string            `json:"control"`
	Spec     string            `json:"spec"`
	// Spellings are the fields that a method takes by more than one name, by its name.
	Spellings map[string][]string `json:"spellings"`
}

// house is a hub, three boards, and the server of the page and of what the cases ask
// for beside the boards.
type house struct {
	t      *testing.T
	hub    *rig.Hub
	boards map[string]*rig.Board // by account
	config config
	pages  string // http://HOST:PORT
}

func newHouse(t *testing.T) *house {
	t.Helper()
	r := rig.TestHouse(t, bin)
	h := &house{t: t, boards: map[string]*rig.Board{}}
	h.serve()
	var err error
	if h.hub, err = r.AddHub("", ""); err != nil {
		t.Fatal(err)
	}
	if err := h.hub.Configure("[turn]\nlisten = \"off\"\n"); err != nil {
		t.Fatal(err)
	}
	h.run(&h.hub.Process)
	h.config = config{Group: "group001", Others: "others", Control: h.pages + "/control", Spec: document(t)}
	h.config.Files, h.config.Sizes = files(t, r.Dir)
	h.config.Spellings = map[string][]string{}
	for _, i := range protocol.Methods() {
		for _, a := range i.Aliases {
			h.config.Spellings[i.Name] = append(h.config.Spellings[i.Name], a.Field, a.Also)
		}
	}
	for _, name := range []string{"test001", "test002", "test003"} {
		h.config.Users = append(h.config.Users, h.board(r, name))
	}
	out, err := h.hub.Command(t.Context(), "app", "show", "--json")
	var app struct {
		SDKAppID protocol.AppID `json:"sdkAppId"`
	}
	if err == nil {
		err = json.Unmarshal([]byte(out), &app)
	}
	if err != nil || app.SDKAppID == 0 {
		t.Fatalf("app show: %s, %v", out, err)
	}
	h.config.SDKAppID = app.SDKAppID
	return h
}

func (h *house) run(p *rig.Process) {
	h.t.Helper()
	p.StopAfter(h.t)
	if err := p.Start(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// board starts an account's board, with an API for pages.
func (h *house) board(r *rig.House, name string) user {
	h.t.Helper()
	port, err := rig.FreePort()
	if err != nil {
		h.t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	b, err := r.AddBoard(h.t.Context(), name, name, h.hub.MQTT, "--http", addr)
	if err != nil {
		h.t.Fatal(err)
	}
	tokenFile := filepath.Join(filepath.Dir(b.State), "token")
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		h.t.Fatal(err)
	}
	back := "fake"
	if name == "test003" {
		back = "fake:" + filepath.Join(r.Dir, "no.h264") // a camera that fails
	}
	err = b.Configure(fmt.Sprintf("[api]\nsocket_group = \"\"\ntoken_file = %q\nallow_origins = %q\n[media]\nfront_camera = \"fake\"\nback_camera = %q\n"+
		"microphone = \"fake\"\nspeaker = \"fake\"\nhands_free = \"fake\"\n", tokenFile, h.pages, back))
	if err != nil {
		h.t.Fatal(err)
	}
	h.boards[name] = b
	h.run(&b.Process)
	sig, err := os.ReadFile(b.Sig)
	if err != nil {
		h.t.Fatal(err)
	}
	return user{User: name, Sig: strings.TrimSpace(string(sig)), URL: "http://" + addr, Token: token, Socket: b.Socket}
}

// document is the text of the user's document: it stands beside the checkout, or
// $HERALD_SPEC says where it is. Its samples are run and never kept here.
func document(t *testing.T) string {
	t.Helper()
	path, named := os.LookupEnv("HERALD_SPEC")
	if !named {
		path = filepath.Join(root, "..", "shared", "spec", "tencentIMPro.txt")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		if named {
			t.Fatal(err)
		}
		t.Run("document", func(t *testing.T) {
			t.Skip("the document is not beside the checkout, so its samples are not run: HERALD_SPEC says where it is")
		})
	}
	return string(b)
}

// files makes the files that messages have.
func files(t *testing.T, dir string) (paths map[string]string, sizes map[string]int64) {
	t.Helper()
	paths, sizes = map[string]string{}, map[string]int64{}
	add := func(name, file string, write func(*os.File) error) {
		t.Helper()
		path := filepath.Join(dir, file)
		f, err := os.Create(path)
		if err == nil {
			err = write(f)
		}
		if err == nil {
			err = f.Close()
		}
		var info fs.FileInfo
		if err == nil {
			info, err = os.Stat(path)
		}
		if err != nil {
			t.Fatal(err)
		}
		paths[name], sizes[name] = path, info.Size()
	}
	picture := image.NewGray(image.Rect(0, 0, 1000, 500))
	_, _ = rand.Read(picture.Pix)
	noise := func(n int) func(*os.File) error {
		return func(f *os.File) error {
			b := make([]byte, n)
			_, _ = rand.Read(b)
			_, err := f.Write(b)
			return err
		}
	}
	add("image", "picture.png", func(f *os.File) error { return png.Encode(f, picture) })
	add("snapshot", "snapshot.png", func(f *os.File) error { return png.Encode(f, picture.SubImage(image.Rect(0, 0, 100, 50))) })
	add("sound", "sound.aac", noise(5000))
	add("video", "video.mp4", noise(200000))
	add("plain", "plain.bin", noise(300001))
	add("small", "small.bin", noise(1001))
	add("large", "large.bin", noise(3<<20)) // over what boards fetch by themselves
	return paths, sizes
}

// serve serves the page with its scripts, and what the cases ask for.
func (h *house) serve() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	h.pages = "http://" + l.Addr().String()
	mux := http.NewServeMux()
	web := http.FileServer(http.Dir(filepath.Join(root, "web")))
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		if filepath.Ext(r.URL.Path) == ".mjs" { // the machine's own list of types may lack it
			w.Header().Set("Content-Type", "text/javascript")
		}
		web.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /config.json", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(h.config) })
	mux.HandleFunc("POST /control/{what}", func(w http.ResponseWriter, r *http.Request) {
		out, err := h.control(r.Context(), r.PathValue("what"), r.FormValue)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte(out))
	})
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: mux}
	go func() { _ = s.Serve(l) }() // it ends with Close
	h.t.Cleanup(func() { _ = s.Close() })
}

// control does what no program of a board can.
func (h *house) control(ctx context.Context, what string, field func(string) string) (string, error) {
	user := field("user")
	switch what {
	case "stop-hub":
		return "", h.hub.Stop()
	case "start-hub":
		return "", h.hub.Start(ctx)
	case "stop-board":
		return "", h.boards[user].Stop()
	case "start-board":
		return "", h.boards[user].Start(ctx)
	case "kick":
		return h.hub.Command(ctx, "user", "kick", user)
	case "sig":
		return h.hub.UserSig(ctx, user, "--expire", field("expire"))
	case "notify", "attribute":
		return h.hub.Command(ctx, "group", what, field("group"), field("text"))
	case "recycle":
		return h.hub.Command(ctx, "group", what, field("group"))
	}
	return "", fmt.Errorf("there is no %q", what)
}
