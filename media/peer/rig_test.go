package peer

import (
	"bytes"
	"log/slog"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4/pkg/media"
)

// patience is how long a test waits for an event that has to come; slow shared machines need it long.
const patience = 30 * time.Second

func testConfig(t testing.TB) Config {
	level := slog.LevelWarn
	if os.Getenv("PEER_DEBUG") != "" {
		level = slog.LevelDebug
	}
	return Config{
		Interfaces: []string{"lo"}, IncludeLoopback: true, MaxConnections: 256,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level})),
	}
}

func newFactory(t testing.TB, config Config) *Factory {
	t.Helper()
	f, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// end is a Peer with what its callbacks told.
type end struct {
	*Peer
	t          testing.TB
	states     chan State
	tracks     chan *RemoteTrack
	candidates chan string // lines for the far end, in order
}

func newEnd(t testing.TB, f *Factory, options Options) *end {
	t.Helper()
	e := &end{
		t: t, states: make(chan State, 64), tracks: make(chan *RemoteTrack, 8), candidates: make(chan string, 128),
	}
	options.Callbacks = Callbacks{
		Candidate: func(line string) { e.candidates <- line },
		State:     func(s State) { e.states <- s },
		Track:     func(r *RemoteTrack) { e.tracks <- r },
	}
	p, err := f.NewPeer(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	e.Peer = p
	return e
}

// must gives a value or ends the test.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err) // with the line; the tests' own goroutine only
	}
	return value
}

func receive[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

func (e *end) awaitState(want State) {
	e.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case s := <-e.states:
			if s == want {
				return
			}
		case <-limit:
			e.t.Fatalf("waited in vain for state %s, state is %s", want, e.State())
		}
	}
}

// trickle hands candidates over as they come, until the test ends.
func trickle(t testing.TB, from, to *end) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case line := <-from.candidates:
				if err := to.AddCandidate(line); err != nil && to.State() != StateClosed {
					t.Errorf("AddCandidate(%q): %v", line, err)
				}
			case <-stop:
				return
			}
		}
	})
	t.Cleanup(func() { close(stop); wg.Wait() })
}

// connect negotiates between two ends with trickled candidates.
func connect(t testing.TB, a, b *end) {
	t.Helper()
	trickle(t, a, b)
	trickle(t, b, a)
	negotiate(t, a, b)
	a.awaitState(StateConnected)
	b.awaitState(StateConnected)
}

func negotiate(t testing.TB, a, b *end) {
	t.Helper()
	offer, err := a.Offer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answer, err := b.Answer(t.Context(), offer)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Accept(answer); err != nil {
		t.Fatal(err)
	}
}

// Frames that look right from outside: parameter sets and a slice, a VP8 key frame, an Opus packet.
var (
	frameH264 = bytes.Join([][]byte{
		{0x67, 0x42, 0xe0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xe8}, {0x68, 0xce, 0x3c, 0x80},
		append([]byte{0x65, 0x88, 0x84}, bytes.Repeat([]byte{0x55}, 3000)...),
	}, []byte{0, 0, 0, 1})
	frameVP8  = append([]byte{0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00}, bytes.Repeat([]byte{0xaa}, 2000)...)
	frameOpus = append([]byte{0xfc}, bytes.Repeat([]byte{0x11}, 60)...)
)

func init() { frameH264 = append([]byte{0, 0, 0, 1}, frameH264...) }

// camera writes canned media to tracks until the test ends.
type camera struct {
	video   *VideoTracks
	audio   *AudioTrack
	wanted  chan struct{} // key frames asked for
	watched chan int      // followers of the H264 track
}

func newCamera(t testing.TB) *camera {
	c := &camera{wanted: make(chan struct{}, 256), watched: make(chan int, 256)}
	hooks := Hooks{Keyframe: func() {
		select {
		case c.wanted <- struct{}{}:
		default:
		}
	}}
	vp8, err := NewVideoTrack(VP8, hooks)
	if err != nil {
		t.Fatal(err)
	}
	hooks.Watched = func(n int) {
		select {
		case c.watched <- n:
		default:
		}
	}
	h264, err := NewVideoTrack(H264, hooks)
	if err != nil {
		t.Fatal(err)
	}
	c.video, c.audio = &VideoTracks{H264: h264, VP8: vp8}, NewAudioTrack(Hooks{})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				h264.WriteSample(media.Sample{Data: frameH264, Duration: 20 * time.Millisecond})
				vp8.WriteSample(media.Sample{Data: frameVP8, Duration: 20 * time.Millisecond})
				c.audio.WriteSample(media.Sample{Data: frameOpus, Duration: 20 * time.Millisecond})
			case <-stop:
				return
			}
		}
	})
	t.Cleanup(func() { close(stop); wg.Wait() })
	return c
}

func (c *camera) options() Options { return Options{Audio: c.audio, Video: c.video} }

// awaitTracks waits for both kinds and gives them by kind.
func (e *end) awaitTracks(n int) map[Kind]*RemoteTrack {
	e.t.Helper()
	got := map[Kind]*RemoteTrack{}
	for len(got) < n {
		r := receive(e.t, e.tracks, "a remote track")
		got[r.Kind()] = r
	}
	return got
}

// awaitPackets waits for n more packets of a track and gives copies.
func awaitPackets(t testing.TB, r *RemoteTrack, n int) []rtp.Packet {
	t.Helper()
	packets := make(chan rtp.Packet, 4096)
	stop := r.Follow(func(p *rtp.Packet) {
		select {
		case packets <- *p:
		default:
		}
	})
	defer stop()
	var got []rtp.Packet
	for len(got) < n {
		got = append(got, receive(t, packets, "a packet of "+string(r.Codec())))
	}
	return got
}

// noLeak checks that what the test starts is gone at its end. To be called first: cleanups run in reverse.
func noLeak(t testing.TB) {
	t.Helper()
	before, files := runtime.NumGoroutine(), openFiles(t)
	t.Cleanup(func() {
		deadline := time.Now().Add(patience)
		for runtime.NumGoroutine() > before+stuckInPion(t) || openFiles(t) > files {
			if time.Now().After(deadline) {
				var all strings.Builder
				_ = pprof.Lookup("goroutine").WriteTo(&all, 1)
				t.Errorf("%d goroutines, %d before; %d files, %d before\n%s", runtime.NumGoroutine(), before, openFiles(t), files, &all)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
}

// stuckInPion counts the goroutines that pion forgets: where a connection is closed
// between its handshake and its streams, a packet that has come already may wait for
// ever to be taken (SessionSRTP.decrypt), as nothing closes what it waits at.
func stuckInPion(t testing.TB) (n int) {
	t.Helper()
	b := make([]byte, 1<<20)
	for g := range strings.SplitSeq(string(b[:runtime.Stack(b, true)]), "\n\n") {
		head, _, _ := strings.Cut(g, "\n")
		if strings.Contains(head, "[chan send") && strings.Contains(g, "srtp/v3.(*SessionSRTP).decrypt(") {
			n++
		}
	}
	if n > 0 {
		t.Logf("%d goroutines are stuck in pion", n)
	}
	const rare = 3 // of hundreds of connections: more are ours to look into
	return min(n, rare)
}

func openFiles(t testing.TB) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
