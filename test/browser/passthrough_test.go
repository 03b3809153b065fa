package browser

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "embed"

	"github.com/pion/webrtc/v4/pkg/media"

	"github.com/herald-im/herald/media/fake"
	"github.com/herald-im/herald/media/peer"
	"github.com/herald-im/herald/media/video"
)

//go:embed passthrough.html
var passthroughPage []byte

var passed = video.Format{Width: 640, Height: 480, Rate: 30}

// ownStream is of the board's encoder, x264Stream of another one, in access units.
func ownStream(t *testing.T) (units [][]byte) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	s := video.NewSender(1_000_000, quiet)
	defer s.Close()
	s.Select(video.NewCamera(fake.NewCamera("front"), passed, quiet), true)
	got := make(chan []byte, 64)
	defer s.Follow(video.H264, func(u video.AccessUnit) {
		select {
		case got <- u.Data:
		default:
		}
	})()
	for len(units) < 45 {
		select {
		case u := <-got: // the first one is an IDR
			units = append(units, u)
		case <-time.After(patience):
			t.Fatalf("%d pictures", len(units))
		}
	}
	return units
}

func x264Stream(t *testing.T, args string) [][]byte {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("ffmpeg is needed for streams of other encoders: scripts/deps test installs it")
	}
	line := "-loglevel error -f lavfi -i testsrc2=size=640x480:rate=30:duration=2 -c:v libx264 -b:v 1M " + args + " -bsf:v h264_metadata=aud=insert -f h264 pipe:1"
	b, err := exec.CommandContext(t.Context(), "ffmpeg", strings.Fields(line)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	delimiter := []byte("\x00\x00\x00\x01\x09")
	var units [][]byte
	for _, u := range bytes.Split(b, delimiter)[1:] {
		units = append(units, append(bytes.Clone(delimiter), u...))
	}
	return units
}

// serveCamera serves a page, and at /whep the pictures of a camera.
func serveCamera(t *testing.T, camera *video.Camera) (url string) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	sender := video.NewSender(10_000_000, quiet) // more than the cameras take: else the board encodes
	t.Cleanup(sender.Close)
	sender.Select(camera, true)
	var track *peer.VideoTrack
	var stop func()
	track, err := peer.NewVideoTrack(peer.H264, peer.Hooks{
		Keyframe: func() { sender.Keyframe(video.H264) },
		Watched: func(n int) {
			switch {
			case n > 0 && stop == nil:
				stop = sender.Follow(video.H264, func(u video.AccessUnit) { track.WriteSample(media.Sample{Data: u.Data, Duration: u.Since}) })
			case n == 0 && stop != nil:
				stop()
				stop = nil
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := peer.New(peer.Config{IncludeLoopback: true, CertFile: filepath.Join(t.TempDir(), "dtls.pem"), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/whep" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write(passthroughPage)
			return
		}
		offer, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		var answer string
		if err == nil {
			answer, _, err = f.View(r.Context(), string(offer), peer.Sources{Video: &peer.VideoTracks{H264: track}})
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, answer)
	})}
	go func() { _ = s.Serve(l) }() // it ends with Close
	t.Cleanup(func() { _ = s.Close() })
	return "http://" + l.Addr().String() + "/"
}

// slicesOf are the coded pictures' NAL units of a byte stream: browsers take
// delimiters away, and complete what an SPS says on showing.
func slicesOf(unit []byte) (out [][]byte) {
	for _, nal := range bytes.Split(unit, []byte{0, 0, 1}) {
		if nal = bytes.TrimRight(nal, "\x00"); len(nal) > 0 && (nal[0]&0x1f == 1 || nal[0]&0x1f == 5) {
			out = append(out, nal)
		}
	}
	return out
}

// What a camera has encoded arrives in Chromium byte by byte, and Chromium shows it.
func TestPassthrough(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is needed: scripts/deps test installs it")
	}
	profile, err := os.MkdirTemp("", "chromium") // what it leaves goes with it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	h := &house{t: t, tab: newTab(t, chromium, profile)}
	for name, stream := range map[string]func() [][]byte{
		"constrained baseline of the board": func() [][]byte { return ownStream(t) },
		"constrained baseline":              func() [][]byte { return x264Stream(t, "-profile:v baseline -g 30") },
		"main":                              func() [][]byte { return x264Stream(t, "-profile:v main -bf 0 -g 30") },
		"high":                              func() [][]byte { return x264Stream(t, "-profile:v high -bf 0 -g 30") },
		"B, which is not passed on":         func() [][]byte { return x264Stream(t, "-profile:v high -bf 2 -g 30") },
	} {
		t.Run(name, func(t *testing.T) {
			units := stream()
			known := make(map[string]int)
			for i, u := range units {
				known[fmt.Sprintf("%x", slicesOf(u))] = i
			}
			camera := video.NewCamera(fake.NewEncodingCamera("front", units), passed, slog.New(slog.DiscardHandler))
			h.open(serveCamera(t, camera))
			if got := eval[outcome](h, "play('whep')"); got.Status != http.StatusOK {
				t.Fatalf("%+v", got)
			}
			type seen struct {
				FramesDecoded, KeyFramesDecoded, FramesDropped, Width int
				Codec                                                 string
			}
			var s seen
			for end := time.Now().Add(patience); s.FramesDecoded < 45; time.Sleep(50 * time.Millisecond) {
				if s = eval[seen](h, "stats()"); time.Now().After(end) {
					t.Fatalf("%+v", s)
				}
			}
			if s.Width != passed.Width || s.Codec != "video/H264" || s.KeyFramesDecoded < 1 {
				t.Errorf("%+v", s)
			}
			f := camera.Figures()
			if passes := !strings.HasPrefix(name, "B"); f.Passthrough != passes {
				t.Errorf("%+v", f)
			} else if !passes {
				return
			}
			arrived := eval[[]string](h, "arrived(0)")
			last := -1
			for n, text := range arrived {
				b, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					t.Fatal(err)
				}
				i, ok := known[fmt.Sprintf("%x", slicesOf(b))]
				if !ok {
					t.Fatalf("picture %d is none of the camera's: %x", n, b[:min(64, len(b))])
				}
				if i != (last+1)%len(units) && i != 0 { // 0: a key frame was asked for
					t.Errorf("picture %d of the camera after %d", i, last)
				}
				last = i
			}
			t.Logf("%d pictures arrived as the camera gave them; %+v", len(arrived), s)
		})
	}
}
