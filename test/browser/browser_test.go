// Package browser tests what a page on a board shows: a real Chromium plays the
// pictures and the sound that the boards' local API offers.
package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	_ "image/jpeg" // the snapshot
	"image/png"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "embed"

	"github.com/chromedp/chromedp"

	"github.com/herald-im/herald/media/fake"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
	"github.com/herald-im/herald/test/rig"
)

const (
	patience = time.Minute
	token    = "0123456789abcdef0123456789abcdef"
)

//go:embed page.html
var page []byte

var bin string

func TestMain(m *testing.M) { rig.Main(m, &bin) }

// house is a hub, two boards with an API for pages, and a browser.
type house struct {
	t            *testing.T
	door, indoor *board
	pages        string          // URL of the page whose origin is allowed
	strange      string          // of one whose is not
	tab          context.Context // of Chromium
}

type board struct {
	*rig.Board
	api string // http://HOST:PORT
}

func newHouse(t *testing.T) *house {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is needed: scripts/deps test installs it")
	}
	r := rig.TestHouse(t, bin)
	h := &house{t: t, pages: serve(t), strange: serve(t)}
	hub, err := r.AddHub("", "")
	if err == nil {
		err = hub.Configure("[turn]\nlisten = \"off\"\n")
	}
	if err != nil {
		t.Fatal(err)
	}
	h.run(&hub.Process)
	h.door, h.indoor = h.board(r, hub, "door"), h.board(r, hub, "indoor")
	h.tab = newTab(t, chromium, filepath.Join(r.Dir, "profile"))
	return h
}

// newTab starts Chromium, and gives a tab of it.
func newTab(t *testing.T, chromium, profile string) context.Context {
	t.Helper()
	o := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.WindowSize(800, 800), chromedp.UserDataDir(profile),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("force-device-scale-factor", "1"))
	browser, end := chromedp.NewExecAllocator(t.Context(), o...)
	t.Cleanup(end)
	tab, closeTab := chromedp.NewContext(browser)
	t.Cleanup(closeTab)
	return tab
}

func (h *house) run(p *rig.Process) {
	h.t.Helper()
	p.StopAfter(h.t)
	if err := p.Start(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) board(r *rig.House, hub *rig.Hub, user string) *board {
	h.t.Helper()
	port, err := rig.FreePort()
	if err != nil {
		h.t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	x, err := r.AddBoard(h.t.Context(), user, user, hub.MQTT, "--fake-media", "--http", addr)
	if err != nil {
		h.t.Fatal(err)
	}
	tokenFile := filepath.Join(filepath.Dir(x.State), "token")
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		h.t.Fatal(err)
	}
	if err := x.Configure(fmt.Sprintf("[api]\nsocket_group = \"\"\ntoken_file = %q\nallow_origins = %q\n", tokenFile, strings.TrimSuffix(h.pages, "/"))); err != nil {
		h.t.Fatal(err)
	}
	b := &board{x, "http://" + addr}
	h.run(&b.Process)
	return b
}

// serve serves the page on an origin of its own.
func serve(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page)
	})}
	go func() { _ = s.Serve(l) }() // it ends with Close
	t.Cleanup(func() { _ = s.Close() })
	return "http://" + l.Addr().String() + "/"
}

// eval runs an expression in the page, which may be a promise, and decodes the JSON
// that it makes of it.
func eval[T any](h *house, expression string) (out T) {
	h.t.Helper()
	text, err := chromedp.Run(h.tab, chromedp.Evaluate[string](
		"(async () => JSON.stringify(await ("+expression+")))()", chromedp.EvalAwaitPromise))
	if err == nil {
		err = json.Unmarshal([]byte(text), &out)
	}
	if err != nil {
		h.t.Fatalf("%s: %v", expression, err)
	}
	return out
}

func (h *house) open(url string) {
	h.t.Helper()
	if err := chromedp.Do(h.tab, chromedp.Navigate(url)); err != nil {
		h.t.Fatal(err)
	}
}

// outcome is what the page's play gives.
type outcome struct {
	Status   int
	Location string
	Error    string
}

// play has the page play a picture.
func (h *house) play(url, codec string) outcome {
	h.t.Helper()
	return eval[outcome](h, fmt.Sprintf("play(%q, %q, %q)", url, token, codec))
}

// stats are what Chromium says of the picture and the sound.
type stats struct {
	FramesDecoded, KeyFramesDecoded, FreezeCount, NackCount, PliCount int
	Codec, State                                                      string
	Samples, Concealed                                                float64
}

func (h *house) until(what string, is func(stats) bool) stats {
	h.t.Helper()
	var s stats
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if s = eval[stats](h, "stats()"); is(s) {
			return s
		}
	}
	h.t.Fatalf("not %s in %v: %+v", what, patience, s)
	return s
}

// late is a picture that stands still rather than one of a slow machine.
const late = 5 * time.Second

// delay reads the time code from a screenshot: how old the picture on the screen is.
func (h *house) delay() time.Duration {
	h.t.Helper()
	var last error
	for range 20 {
		b, err := chromedp.Run(h.tab, chromedp.CaptureScreenshot())
		shot := time.Now()
		if err != nil {
			h.t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(b))
		if err != nil {
			h.t.Fatal(err)
		}
		at, err := fake.ReadTimeCode(img, image.Rect(0, 0, 640, 480)) // where the page has it
		if err == nil {
			d := shot.Sub(at).Round(time.Millisecond)
			if d < 0 || d > late {
				h.t.Errorf("the picture on the screen is %v old", d)
			}
			return d
		}
		last = err
	}
	h.t.Fatal(last)
	return 0
}

func (b *board) devices(t *testing.T, kind string) string {
	t.Helper()
	res, err := client.Call(t.Context(), b.Client(), protocol.GetMediaDevices, protocol.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range res.List {
		if d.Use == kind {
			return d.State
		}
	}
	return ""
}

func (b *board) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not %s in %v", b.User, what, patience)
		}
	}
}

func TestOwnPicture(t *testing.T) {
	h := newHouse(t)
	h.open(h.pages)
	for _, codec := range []string{"H264", "VP8"} {
		got := h.play(h.door.api+"/v1/whep/self", codec)
		if got.Status != http.StatusCreated || got.Location == "" {
			t.Fatalf("%+v", got)
		}
		s := h.until("playing", func(s stats) bool { return s.FramesDecoded > 30 })
		if s.Codec != "video/"+codec || s.KeyFramesDecoded < 1 {
			t.Errorf("%+v", s)
		}
		t.Logf("%s: the picture on the screen is %v old; %+v", codec, h.delay(), s)
		if state := h.door.devices(t, "front"); state != "running" {
			t.Errorf("the camera is %s", state)
		}
		if status := eval[int](h, fmt.Sprintf("end(%q, %q)", h.door.api+got.Location, token)); status != http.StatusOK {
			t.Errorf("DELETE: %d", status)
		}
		h.door.until(t, "closed", func() bool { return h.door.devices(t, "front") == "closed" })
	}
}

func TestRefusals(t *testing.T) {
	h := newHouse(t)
	h.open(h.pages)
	if got := h.play(h.door.api+"/v1/whep/self", "VP9"); got.Status != http.StatusBadRequest || !strings.Contains(got.Error, "no common codec") {
		t.Errorf("a codec that the board lacks: %+v", got)
	}
	if got := h.play(h.door.api+"/v1/whep/remote/indoor", ""); got.Status != http.StatusConflict || got.Error == "" {
		t.Errorf("without a call: %+v", got)
	}
	if got := eval[outcome](h, fmt.Sprintf("play(%q, 'wrong', '')", h.door.api+"/v1/whep/self")); got.Status != http.StatusUnauthorized {
		t.Errorf("a wrong token: %+v", got)
	}
	if status := eval[int](h, fmt.Sprintf("end(%q, %q)", h.door.api+"/v1/whep/self/nothing", token)); status != http.StatusNotFound {
		t.Errorf("DELETE of nothing: %d", status)
	}
	h.open(h.strange)
	if got := h.play(h.door.api+"/v1/whep/self", ""); got.Status != 0 {
		t.Errorf("a page of another origin: %+v", got)
	}
}

// In a call a page on the board sees and hears the other one.
func TestCall(t *testing.T) {
	h := newHouse(t)
	for _, b := range []*board{h.door, h.indoor} {
		if err := b.AwaitLink(t.Context(), "up"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Call(t.Context(), h.door.Client(), protocol.PlaceCall, protocol.CallRequest{UserID: "indoor", Type: protocol.CallTypeVideo}); err != nil {
		t.Fatal(err)
	}
	state := func(b *board) protocol.CallState {
		c, err := client.Call(t.Context(), b.Client(), protocol.GetCall, protocol.Empty{})
		if err != nil {
			t.Fatal(err)
		}
		return c.State
	}
	h.indoor.until(t, "ringing", func() bool { return state(h.indoor) == protocol.CallRinging })
	if _, err := client.Call(t.Context(), h.indoor.Client(), protocol.AcceptCall, protocol.Empty{}); err != nil {
		t.Fatal(err)
	}
	h.indoor.until(t, "connected", func() bool {
		c, err := client.Call(t.Context(), h.indoor.Client(), protocol.GetCall, protocol.Empty{})
		return err == nil && len(c.Users) == 1 && c.Users[0].FramesPerSecond > 0
	})
	h.open(h.pages)
	view, err := client.Call(t.Context(), h.indoor.Client(), protocol.StartRemoteView, protocol.RemoteViewRequest{UserID: "door"})
	if err != nil {
		t.Fatal(err)
	}
	if got := h.play(h.indoor.api+view.URL, ""); got.Status != http.StatusCreated {
		t.Fatalf("%+v", got)
	}
	s := h.until("playing", func(s stats) bool { return s.FramesDecoded > 60 && s.Samples > 48000 })
	if s.Codec != "video/H264" || s.KeyFramesDecoded < 1 {
		t.Errorf("%+v", s)
	}
	t.Logf("the picture on the screen is %v old, and was shown %.0f ms after it had come; %+v", h.delay(), eval[float64](h, "shown(60)"), s)
	// The fake microphone hears 440 Hz; a bin of the spectrum is 23 Hz wide.
	var peak float64
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if peak = eval[float64](h, "loudest()"); peak > 400 && peak < 480 {
			break
		}
	}
	if peak < 400 || peak > 480 {
		t.Errorf("the loudest tone is %.0f Hz", peak)
	}
	t.Logf("the loudest tone is %.0f Hz", peak)

	img, at := h.snapshot()
	code, err := fake.ReadTimeCode(img, img.Bounds())
	if err != nil || at.Sub(code) < 0 || at.Sub(code) > late {
		t.Errorf("the snapshot is of %v, and it was %v: %v", code, at, err)
	}
	if _, err := client.Call(t.Context(), h.door.Client(), protocol.Hangup, protocol.Empty{}); err != nil {
		t.Fatal(err)
	}
	h.until("ended", func(s stats) bool { return s.State != "connected" })
	h.indoor.until(t, "closed", func() bool { return h.indoor.devices(t, "front") == "closed" })
}

func (h *house) snapshot() (image.Image, time.Time) {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.door.api+"/v1/snapshot.jpg", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "image/jpeg" {
		h.t.Fatalf("%d %s %v", res.StatusCode, res.Header, err)
	}
	img, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		h.t.Fatal(err)
	}
	return img, time.Now()
}
