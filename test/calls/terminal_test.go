package calls

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/herald-im/herald/media"
	"github.com/herald-im/herald/media/peer"
	"github.com/herald-im/herald/media/video"
	"github.com/herald-im/herald/test/rig"
)

// A terminal is the media of a board, without its signaling, as a process of its own, which may live in a network
// namespace. It is this test's program, run with terminalEnv; a line of JSON on its stdin is an order, and one on its stdout
// what it says.

const terminalEnv = "HERALD_TEST_TERMINAL"

func init() {
	if config := os.Getenv(terminalEnv); config != "" {
		if err := runTerminal(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// terminalConfig is what it is run with.
type terminalConfig struct {
	Dir                      string
	Width, Height, Rate      int
	Bitrate, MinBitrate      int
	Interfaces               []string
	Links                    int // connections that it has, by number
	NoCamera, NoSound, Debug bool
}

// word is what is said to and by a terminal.
type word struct {
	Kind  string // offer, answer, candidate, state, stats, restart, network
	Link  int
	Text  string
	Stats media.LinkStats
}

func runTerminal(text string) error {
	var c terminalConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	level := slog.LevelWarn
	if c.Debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	config := media.Config{
		FrontCamera: media.Fake, Format: video.Format{Width: c.Width, Height: c.Height, Rate: float64(c.Rate)},
		Bitrate: c.Bitrate, MinBitrate: c.MinBitrate, Microphone: media.Fake, Speaker: media.Fake, StateDir: c.Dir, Interfaces: c.Interfaces,
	}
	if c.NoCamera {
		config.FrontCamera = ""
	}
	engine, err := media.New(config, log)
	if err != nil {
		return err
	}
	defer engine.Close()
	ctx := context.Background()
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	say := func(w word) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(w) // who does not listen any more ends us
	}
	engine.NetworkChanged(func() { say(word{Kind: "network"}) })
	if err := engine.Begin(ctx, !c.NoCamera); err != nil {
		return err
	}
	defer engine.End()
	var links []*media.Link
	for i := range max(c.Links, 1) {
		l, err := engine.Connect(media.Linking{
			Video:     true,
			Candidate: func(line string) { say(word{Kind: "candidate", Link: i, Text: line}) },
			State:     func(s peer.State) { say(word{Kind: "state", Link: i, Text: string(s)}) },
		})
		if err != nil {
			return err
		}
		links = append(links, l)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	wg.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				for i, l := range links {
					say(word{Kind: "stats", Link: i, Stats: l.Stats()})
				}
			case <-stop:
				return
			}
		}
	})
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	for {
		var w word
		if err := in.Decode(&w); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		l := links[w.Link]
		sdp, kind, err := "", "", error(nil)
		switch w.Kind {
		case "begin":
			kind = "offer"
			sdp, err = l.Offer(ctx)
		case "restart":
			kind = "offer"
			sdp, err = l.Restart(ctx)
		case "offer":
			kind = "answer"
			sdp, err = l.Answer(ctx, w.Text)
		case "answer":
			err = l.Accept(w.Text)
		case "candidate":
			err = l.AddCandidate(w.Text)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", w.Kind, err)
		}
		if kind != "" {
			say(word{Kind: kind, Link: w.Link, Text: sdp})
		}
	}
}

// terminal is one that runs.
type terminal struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	in   *json.Encoder

	mu       sync.Mutex
	partners map[int]partner // by link
	stats    map[int]media.LinkStats
	state    map[int]string
	changes  int // of the network
	changed  chan struct{}
}

type partner struct {
	to   *terminal
	link int
}

func startTerminal(t testing.TB, n *rig.Network, space string, c terminalConfig) *terminal {
	t.Helper()
	c.Dir = t.TempDir()
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	line := append(n.Inside(space), self)
	x := &terminal{
		t: t, name: space, cmd: exec.Command(line[0], line[1:]...), partners: map[int]partner{}, stats: map[int]media.LinkStats{},
		state: map[int]string{}, changed: make(chan struct{}),
	}
	x.cmd.Env = append(os.Environ(), terminalEnv+"="+string(config))
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	x.cmd.Stderr = os.Stderr
	in, err := x.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := x.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	x.in = json.NewEncoder(in)
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		x.listen(out)
	}()
	t.Cleanup(func() {
		_ = in.Close() // that ends it
		<-read
		if err := x.cmd.Wait(); err != nil {
			t.Errorf("%s: %v", x.name, err)
		}
	})
	return x
}

func (x *terminal) listen(out io.Reader) {
	for d := json.NewDecoder(bufio.NewReader(out)); ; {
		var w word
		if d.Decode(&w) != nil {
			return
		}
		x.mu.Lock()
		p, ok := x.partners[w.Link]
		switch w.Kind {
		case "stats":
			x.stats[w.Link] = w.Stats
		case "state":
			x.state[w.Link] = w.Text
		case "network":
			x.changes++
		}
		close(x.changed)
		x.changed = make(chan struct{})
		x.mu.Unlock()
		if ok && (w.Kind == "offer" || w.Kind == "answer" || w.Kind == "candidate" && w.Text != "") {
			p.to.say(word{Kind: w.Kind, Link: p.link, Text: w.Text})
		}
	}
}

func (x *terminal) say(w word) {
	x.mu.Lock()
	defer x.mu.Unlock()
	_ = x.in.Encode(w) // one that has ended shows at the end
}

// until waits until is tells true of a link's figures.
func (x *terminal) until(link int, what string, is func(media.LinkStats) bool) media.LinkStats {
	x.t.Helper()
	deadline := time.After(patience)
	for {
		x.mu.Lock()
		s, changed := x.stats[link], x.changed
		x.mu.Unlock()
		if is(s) {
			return s
		}
		select {
		case <-changed:
		case <-deadline:
			x.t.Fatalf("%s: not %s in %v: %+v", x.name, what, patience, s)
		}
	}
}

func (x *terminal) now(link int) media.LinkStats {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.stats[link]
}

func (x *terminal) networkChanges() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.changes
}

// join connects a link of a with one of b, and waits until pictures come at both.
func join(a *terminal, linkA int, b *terminal, linkB int) {
	a.t.Helper()
	a.mu.Lock()
	a.partners[linkA] = partner{b, linkB}
	a.mu.Unlock()
	b.mu.Lock()
	b.partners[linkB] = partner{a, linkA}
	b.mu.Unlock()
	a.say(word{Kind: "begin", Link: linkA})
	for _, x := range []struct {
		*terminal
		link int
	}{{a, linkA}, {b, linkB}} {
		x.until(x.link, "seeing", func(s media.LinkStats) bool { return s.Received[peer.Video].Pictures > 10 })
	}
}
