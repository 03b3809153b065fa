// Package rig runs Herald's programs as a user would — real processes, real
// sockets, a directory of their own — for tests, benchmarks and the demo, and
// does to them what life does: kills them, cuts and delays their connections.
package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startWait is how long a program may take to become ready. It is generous:
// tests run on slow, shared machines.
const startWait = 60 * time.Second

// Process is one program that was started, may be killed and started again.
type Process struct {
	Name  string
	Path  string
	Args  []string
	Under []string  // a command that it is run by, as "ip netns exec NAME"; may be none
	Env   []string  // in addition to ours
	Log   io.Writer // its stderr and stdout; nil: kept, see Output

	mu     sync.Mutex
	cmd    *exec.Cmd
	done   chan struct{} // closed when it has ended
	err    error
	ready  bool
	killed bool
	out    tail
}

// Start starts the program and returns once it has told systemd's way
// (sd_notify(3)) that it is ready.
func (p *Process) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	dir, err := os.MkdirTemp("", "rig")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		return err
	}
	defer notify.Close()
	if err := p.spawn(notify.LocalAddr().String()); err != nil {
		return err
	}
	ready := make(chan error, 1)
	go func() { ready <- awaitReady(notify) }()
	select {
	case err := <-ready:
		p.mu.Lock()
		p.ready = err == nil
		p.mu.Unlock()
		return err
	case <-p.done:
		return fmt.Errorf("%s ended before it was ready: %w\n%s", p.Name, p.err, p.Output())
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("%s was not ready in %v\n%s", p.Name, startWait, p.Output())
	}
}

func awaitReady(notify *net.UnixConn) error {
	buf := make([]byte, 4096)
	for {
		n, err := notify.Read(buf)
		if err != nil {
			return err
		}
		for _, line := range strings.Split(string(buf[:n]), "\n") {
			if line == "READY=1" {
				return nil
			}
		}
	}
}

func (p *Process) spawn(notify string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		return fmt.Errorf("%s runs already", p.Name)
	}
	line := slices.Concat(p.Under, []string{p.Path}, p.Args)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(append(os.Environ(), "NOTIFY_SOCKET="+notify), p.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // nothing is left behind by a test that dies
	var w io.Writer = &p.out
	if p.Log != nil {
		w = io.MultiWriter(&p.out, p.Log)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	done := make(chan struct{})
	p.cmd, p.done, p.err, p.ready, p.killed = cmd, done, nil, false, false
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.cmd, p.err = nil, err
		p.mu.Unlock()
		close(done)
	}()
	return nil
}

// spawner is a thread that lasts: the kernel kills a program with Pdeathsig when the
// thread ends that has started it, as those do that have been in another namespace.
var spawner = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func start(cmd *exec.Cmd) error {
	started := make(chan error)
	spawner() <- func() { started <- cmd.Start() }
	return <-started
}

// Kill ends the program as a power cut does (SIGKILL) and waits until it is gone.
func (p *Process) Kill() {
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	_ = p.signal(syscall.SIGKILL, nil)
}

// Stop asks the program to end and waits. A program that takes over 20 s is
// killed, which is an error, and so is one that has failed by itself.
func (p *Process) Stop() error { return p.signal(syscall.SIGTERM, time.After(20*time.Second)) }

func (p *Process) signal(sig syscall.Signal, limit <-chan time.Time) error {
	p.mu.Lock()
	cmd, done, err, alone := p.cmd, p.done, p.err, p.ready && !p.killed
	p.mu.Unlock()
	if cmd == nil {
		if alone && err != nil {
			return fmt.Errorf("%s ended by itself: %w\n%s", p.Name, err, p.Output())
		}
		return nil
	}
	_ = cmd.Process.Signal(sig)
	select {
	case <-done:
		if sig == syscall.SIGTERM && p.err != nil {
			return fmt.Errorf("%s: %w\n%s", p.Name, p.err, p.Output())
		}
		return nil
	case <-limit:
		_ = cmd.Process.Kill()
		<-done
		return fmt.Errorf("%s did not end when asked to\n%s", p.Name, p.Output())
	}
}

// Done is closed when the program that was started last has ended.
func (p *Process) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// WasKilled tells whether an error of Start says that the program was killed.
func WasKilled(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	st, ok := exit.Sys().(syscall.WaitStatus)
	return ok && st.Signal() == syscall.SIGKILL
}

// PID of the running program; 0 if it does not run.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Output is the end of what the program wrote, over all its runs.
func (p *Process) Output() string { return p.out.String() }

// tail keeps the last of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 256 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if len(t.buf) > 2*tailBytes {
		t.buf = bytes.Clone(t.buf[len(t.buf)-tailBytes:])
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// BinDir is where the programs are: $HERALD_BIN_DIR, or a directory in dir into
// which they are built now.
func BinDir(dir string) (string, error) {
	if bin := os.Getenv("HERALD_BIN_DIR"); bin != "" {
		return filepath.Abs(bin)
	}
	cmd := exec.Command("go", "build", "-o", dir+"/", "github.com/herald-im/herald/cmd/herald", "github.com/herald-im/herald/cmd/herald-hub")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return dir, nil
}

// FreePort is a TCP port of loopback that nobody listens on.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// Output runs a program to its end and returns what it wrote to stdout.
func Output(ctx context.Context, path string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(out), fmt.Errorf("%s %s: %w: %s", filepath.Base(path), strings.Join(args, " "), err, bytes.TrimSpace(exit.Stderr))
	}
	return string(out), err
}
