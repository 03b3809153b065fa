package peer

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"golang.org/x/sys/unix"
)

// The tests in this file give two boards a network namespace and a process each, and play with the cable between them.

// machine is a board in a namespace of its own, driven over its standard input and output.
type machine struct {
	t    testing.TB
	ns   string
	in   io.WriteCloser
	said chan order
	// candidates that it named, as far as await has passed them on
	candidates []string
}

// order is a line between the test and a machine.
type order struct{ Do, Text string }

const machineEnv = "PEER_TEST_MACHINE"

func ip(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// newMachines makes two namespaces with a cable between them: eth0 at both ends, without addresses and down.
func newMachines(t testing.TB) (a, b *machine) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("network namespaces need the program ip")
	}
	names := []string{fmt.Sprintf("herald-peer-%d-a", os.Getpid()), fmt.Sprintf("herald-peer-%d-b", os.Getpid())}
	for _, ns := range names {
		if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
			t.Skipf("this system lets us make no network namespace: %s", out)
		}
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
		ip(t, "-n", ns, "link", "set", "lo", "up")
	}
	ip(t, "-n", names[0], "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", names[1])
	return &machine{t: t, ns: names[0]}, &machine{t: t, ns: names[1]}
}

func (m *machine) ip(args ...string) { m.t.Helper(); ip(m.t, append([]string{"-n", m.ns}, args...)...) }

func (m *machine) up(address string) {
	m.t.Helper()
	m.ip("addr", "add", address, "dev", "eth0")
	m.ip("link", "set", "eth0", "up")
}

// carrier waits until the kernel calls the cable connected, which it does up to a second later.
func (m *machine) carrier() {
	m.t.Helper()
	for limit := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		out, err := exec.Command("ip", "-n", m.ns, "link", "show", "eth0").CombinedOutput()
		if err == nil && strings.Contains(string(out), "state UP") {
			return
		}
		if time.Now().After(limit) {
			m.t.Fatalf("eth0 in %s does not come up: %s", m.ns, out)
		}
	}
}

// boot starts the process.
func (m *machine) boot() {
	m.t.Helper()
	c := exec.Command("ip", "netns", "exec", m.ns, os.Args[0], "-test.run=^TestMachine$", "-test.timeout=5m")
	c.Env = append(os.Environ(), machineEnv+"=1")
	c.Stderr = m.t.Output()
	var err error
	if m.in, err = c.StdinPipe(); err != nil {
		m.t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.said = make(chan order, 1024)
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var o order
			if json.Unmarshal(lines.Bytes(), &o) == nil {
				m.said <- o
			}
		}
	}()
	m.t.Cleanup(func() {
		_ = m.in.Close() // the machine ends at the end of its input
		<-read
		_ = c.Wait()
	})
	m.await("ready", "")
}

func (m *machine) tell(do, text string) {
	m.t.Helper()
	if err := json.NewEncoder(m.in).Encode(order{do, text}); err != nil {
		m.t.Fatal(err)
	}
}

// await reads what the machine says until it says that; with text "" the text does not matter. Candidates on the way go to
// the other machine.
func (m *machine) await(do, text string, others ...*machine) string {
	m.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case o := <-m.said:
			switch {
			case o.Do == "error":
				m.t.Fatalf("%s: %s", m.ns, o.Text)
			case o.Do == do && (text == "" || o.Text == text):
				return o.Text
			case o.Do == "candidate" && len(others) > 0:
				m.candidates = append(m.candidates, o.Text)
				others[0].tell("candidate", o.Text)
			}
		case <-limit:
			m.t.Fatalf("%s: waited in vain for %s %s", m.ns, do, text)
		}
	}
}

// call negotiates from a to b and waits until media arrives at both.
func call(a, b *machine, how string) {
	a.t.Helper()
	a.tell(how, "")
	b.tell("answer", a.await("offer", "", b))
	a.tell("accept", b.await("answer", "", a))
	// Candidates lie between the states, so one reads on for the other.
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.await("state", "connected", a)
	}()
	a.await("state", "connected", b)
	<-done
	a.tell("count", "")
	b.tell("count", "")
	a.await("media", "")
	b.await("media", "")
}

// sayer is a log's writer.
type sayer func(line string)

func (s sayer) Write(line []byte) (int, error) {
	s(string(line))
	return len(line), nil
}

// TestMachine is the process of a machine, and no test by itself.
func TestMachine(t *testing.T) {
	if os.Getenv(machineEnv) == "" {
		t.Skip("started by the tests with network namespaces only")
	}
	out := make(chan order, 256)
	go func() {
		for o := range out {
			_ = json.NewEncoder(os.Stdout).Encode(o)
		}
	}()
	say := func(do, text string) { out <- order{do, text} }
	debug := os.Getenv("PEER_DEBUG") != ""
	watches := make(chan struct{})
	watched := sync.OnceFunc(func() { close(watches) })
	config := Config{ExcludeInterfaces: []string{"docker*", "veth*"}, Log: slog.New(slog.NewTextHandler(sayer(func(line string) {
		switch {
		case strings.Contains(line, "level=WARN"):
			say("warning", line)
		case strings.Contains(line, watching):
			watched()
		}
		if debug {
			fmt.Fprint(os.Stderr, line)
		}
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))}
	f := newFactory(t, config)
	go func() {
		if err := f.Watch(t.Context(), func() { say("changed", "") }); err != nil {
			say("error", err.Error())
			watched()
		}
	}()
	options := newCamera(t).options()
	var packets atomic.Uint64
	options.Callbacks = Callbacks{
		Candidate: func(line string) { say("candidate", line) },
		State:     func(s State) { say("state", string(s)) },
		Track: func(r *RemoteTrack) {
			r.Follow(func(*rtp.Packet) { packets.Add(1) })
		},
	}
	p := must(f.NewPeer(options))
	<-watches
	say("ready", "")
	lines := json.NewDecoder(os.Stdin)
	for {
		var o order
		if lines.Decode(&o) != nil {
			return
		}
		var text string
		var err error
		switch o.Do {
		case "offer":
			if text, err = p.Offer(t.Context()); err == nil {
				say("offer", text)
			}
		case "restart":
			if text, err = p.RestartOffer(t.Context()); err == nil {
				say("offer", text)
			}
		case "answer":
			if text, err = p.Answer(t.Context(), o.Text); err == nil {
				say("answer", text)
			}
		case "accept":
			err = p.Accept(o.Text)
		case "candidate":
			err = p.AddCandidate(o.Text)
		case "starve", "feed": // of files
			var limit unix.Rlimit
			err = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
			if limit.Cur = limit.Max; o.Do == "starve" {
				limit.Cur = 3
			}
			if err = errors.Join(err, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)); err == nil {
				say(o.Do, "")
			}
		case "count": // says when 50 more packets have come
			go func(from uint64) {
				for packets.Load() < from+50 {
					time.Sleep(5 * time.Millisecond)
				}
				say("media", fmt.Sprint(packets.Load()))
			}(packets.Load())
		}
		if err != nil {
			say("error", o.Do+": "+err.Error())
		}
	}
}

func TestRestartAfterAddressChange(t *testing.T) {
	a, b := newMachines(t)
	a.up("192.0.2.1/24")
	b.up("192.0.2.2/24")
	a.carrier()
	b.carrier()
	a.boot()
	b.boot()
	call(a, b, "offer")

	a.ip("addr", "del", "192.0.2.1/24", "dev", "eth0")
	a.ip("addr", "add", "192.0.2.77/24", "dev", "eth0")
	begun := time.Now()
	a.await("changed", "")
	t.Logf("the change was told after %v", time.Since(begun))
	begun = time.Now()
	a.candidates = nil
	call(a, b, "restart")
	t.Logf("media came again after %v", time.Since(begun))
	if all := strings.Join(a.candidates, "\n"); !strings.Contains(all, " 192.0.2.77 ") || strings.Contains(all, " 192.0.2.1 ") {
		t.Errorf("candidates after the change:\n%s", all)
	}

	// The first restart's answer is lost; the second one counts.
	a.tell("restart", "")
	a.await("offer", "")
	call(a, b, "restart")
}

// TestChangeWithoutFiles: a change that comes when the board has no file left to look at it is told once it has.
func TestChangeWithoutFiles(t *testing.T) {
	a, b := newMachines(t)
	a.up("192.0.2.1/24")
	b.up("192.0.2.2/24") // the other end of the cable
	a.carrier()
	a.boot()
	a.tell("starve", "")
	a.await("starve", "")
	a.ip("addr", "add", "192.0.2.77/24", "dev", "eth0")
	if text := a.await("warning", ""); !strings.Contains(text, "cannot be looked at") {
		t.Errorf("warned of: %s", text)
	}
	a.tell("feed", "")
	a.await("changed", "")
}

func TestCutCable(t *testing.T) {
	a, b := newMachines(t)
	a.up("192.0.2.1/24")
	b.up("192.0.2.2/24")
	a.carrier()
	b.carrier()
	a.boot()
	b.boot()
	call(a, b, "offer")
	a.ip("link", "set", "eth0", "down")
	begun := time.Now()
	a.await("state", "disconnected")
	b.await("state", "disconnected")
	took := time.Since(begun)
	t.Logf("disconnected after %v", took)
	if took < disconnectedAfter-keepalive || took > 4*disconnectedAfter {
		t.Errorf("disconnected after %v, want about 3 s", took)
	}
	a.ip("link", "set", "eth0", "up")
	b.await("state", "connected") // by itself
	a.tell("count", "")
	a.await("media", "")
}

// TestBootWithoutNetwork: the network comes after the program, beside interfaces that are not for calls.
func TestBootWithoutNetwork(t *testing.T) {
	a, b := newMachines(t)
	b.up("192.0.2.2/24")
	b.ip("addr", "add", "2001:db8::2/64", "dev", "eth0", "nodad")
	a.boot()
	b.boot()
	a.ip("link", "add", "docker0", "type", "veth", "peer", "name", "vethx")
	a.ip("link", "set", "vethx", "up")
	a.ip("addr", "add", "198.51.100.1/24", "dev", "docker0")
	a.ip("link", "set", "docker0", "up")
	a.up("192.0.2.1/24")
	a.ip("addr", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
	a.ip("route", "add", "default", "via", "192.0.2.2")
	a.carrier()
	b.carrier()
	a.await("changed", "")
	b.await("changed", "")

	a.tell("offer", "")
	var offer string
	var lines []string
	for reachable := false; offer == "" || !reachable; { // a candidate may be said before the offer
		switch o := receive(t, a.said, "a's offer and candidates"); o.Do {
		case "offer":
			offer = o.Text
		case "candidate":
			lines = append(lines, o.Text)
			reachable = reachable || strings.Contains(o.Text, "192.0.2.1 ")
		}
	}
	b.tell("answer", offer)
	for _, line := range lines {
		b.tell("candidate", line)
	}
	a.tell("accept", b.await("answer", "", a))
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.await("state", "connected", a)
	}()
	// All the candidates of a go through here.
	for connected := false; !connected; {
		switch o := receive(t, a.said, "a's connection"); o.Do {
		case "candidate":
			lines = append(lines, o.Text)
			b.tell("candidate", o.Text)
		case "state":
			connected = o.Text == string(StateConnected)
		}
	}
	<-done
	all := strings.Join(lines, "\n")
	if strings.Contains(all, "198.51.100.") || strings.Contains(all, "127.0.0.1") || !strings.Contains(all, "2001:db8::1") {
		t.Errorf("candidates:\n%s", all)
	}
	a.tell("count", "")
	a.await("media", "")
}
