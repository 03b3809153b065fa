package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Machine is a board in software: Debian's kernel under qemu, with cameras and sound
// cards that its drivers make, and this machine's files, read only but for /tmp and
// /run. Programs in it are run from outside, over a serial port of its own.
type Machine struct {
	Image   string   // folder of scripts/board
	Inside  string   // the program of test/board/inside
	Under   []string // a command that qemu is run by, as "ip netns exec NAME"; may be none
	Tap     string   // its network interface outside
	Address string   // of the board's, with the prefix length, such as 10.0.0.2/24

	cmd     *exec.Cmd
	conn    net.Conn
	dir     string
	console tail
	done    chan struct{} // closed when qemu has ended

	mu   sync.Mutex
	runs map[int]*Run
	last int
}

// MachineRequest is what is asked of the program inside, a line of JSON each.
type MachineRequest struct {
	Run    int      `json:"run"`
	Line   []string `json:"line,omitempty"` // to start: the program and its arguments
	Env    []string `json:"env,omitempty"`  // in addition to those that it has
	Signal int      `json:"signal,omitempty"`
}

// MachineReply is what the program inside says.
type MachineReply struct {
	Run  int    `json:"run"` // 0: it is ready
	Out  []byte `json:"out,omitempty"`
	Exit *int   `json:"exit,omitempty"` // it has ended; -1: by a signal, or it could not be started
}

// Run is a program in a Machine.
type Run struct {
	machine *Machine
	id      int
	line    []string
	out     tail
	done    chan struct{}
	exit    int
}

// Start boots the machine. It takes 10 s or so.
func (m *Machine) Start(ctx context.Context) (err error) {
	if m.dir, err = os.MkdirTemp("", "board"); err != nil {
		return err
	}
	control := filepath.Join(m.dir, "control")
	line := slices.Concat(m.Under, []string{
		"qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024",
		"-display", "none", "-vga", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot",
		"-kernel", filepath.Join(m.Image, "vmlinuz"), "-initrd", filepath.Join(m.Image, "initrd"),
		"-append", fmt.Sprintf("console=ttyS0 quiet panic=-1 board=%s address=%s", m.Inside, m.Address),
		"-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap", "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
		"-netdev", "tap,id=net,ifname=" + m.Tap + ",script=no,downscript=no", "-device", "virtio-net-pci,netdev=net,romfile=",
		"-chardev", "socket,id=control,server=on,wait=off,path=" + control, "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=control,name=control",
	})
	m.cmd = exec.Command(line[0], line[1:]...)
	m.cmd.Stdout, m.cmd.Stderr = &m.console, &m.console
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := start(m.cmd); err != nil {
		return err
	}
	m.done, m.runs = make(chan struct{}), make(map[int]*Run)
	go func() {
		_ = m.cmd.Wait() // what matters is on the console
		close(m.done)
	}()
	ctx, cancel := context.WithTimeout(ctx, bootWait)
	defer cancel()
	if err := m.connect(ctx, control); err != nil {
		m.Stop()
		return fmt.Errorf("%w\n%s", err, m.Console())
	}
	return nil
}

// bootWait is how long the machine may take to boot: on a busy host it has little of a
// processor.
const bootWait = 3 * time.Minute

func (m *Machine) connect(ctx context.Context, control string) error {
	for m.conn == nil {
		conn, err := net.Dial("unix", control)
		if err == nil {
			m.conn = conn
			break
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-m.done:
			return errors.New("qemu has ended")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ready := make(chan struct{})
	go m.listen(ready)
	select {
	case <-ready:
		return nil
	case <-m.done:
		return errors.New("the board did not come up")
	case <-ctx.Done():
		return fmt.Errorf("the board is not up in %v", bootWait)
	}
}

// listen takes what the program inside says, until the machine ends.
func (m *Machine) listen(ready chan struct{}) {
	for d := json.NewDecoder(m.conn); ; {
		var r MachineReply
		if d.Decode(&r) != nil {
			m.mu.Lock()
			defer m.mu.Unlock()
			for id, run := range m.runs {
				run.exit = -1
				close(run.done)
				delete(m.runs, id)
			}
			return
		}
		if r.Run == 0 {
			close(ready)
			continue
		}
		m.mu.Lock()
		run := m.runs[r.Run]
		if r.Exit != nil {
			delete(m.runs, r.Run)
		}
		m.mu.Unlock()
		if run == nil {
			continue
		}
		_, _ = run.out.Write(r.Out)
		if r.Exit != nil {
			run.exit = *r.Exit
			close(run.done)
		}
	}
}

// Console is what the machine has written to its console.
func (m *Machine) Console() string { return m.console.String() }

// Stop ends the machine as a power cut does.
func (m *Machine) Stop() {
	_ = m.cmd.Process.Kill()
	<-m.done
	if m.conn != nil {
		_ = m.conn.Close()
	}
	_ = os.RemoveAll(m.dir)
}

// Begin starts a program in the machine. env is in addition to what it has.
func (m *Machine) Begin(env []string, line ...string) (*Run, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	r := &Run{machine: m, id: m.last, line: line, done: make(chan struct{})}
	m.runs[r.id] = r
	return r, m.ask(MachineRequest{Run: r.id, Line: line, Env: env})
}

// ask says something to the program inside; called with mu held.
func (m *Machine) ask(r MachineRequest) error {
	b, err := json.Marshal(r)
	if err == nil {
		_, err = m.conn.Write(append(b, '\n'))
	}
	return err
}

// Do runs a program in the machine to its end and returns what it wrote.
func (m *Machine) Do(ctx context.Context, line ...string) (string, error) {
	r, err := m.Begin(nil, line...)
	if err == nil {
		err = r.Wait(ctx)
	}
	return r.Output(), err
}

// Wait waits for the program's end. It is an error if it fails.
func (r *Run) Wait(ctx context.Context) error {
	select {
	case <-r.done:
	case <-ctx.Done():
		_ = r.Signal(syscall.SIGKILL)
		return fmt.Errorf("%s in the board: %w\n%s", strings.Join(r.line, " "), ctx.Err(), r.Output())
	}
	if r.exit != 0 {
		return fmt.Errorf("%s in the board: exit code %d\n%s", strings.Join(r.line, " "), r.exit, r.Output())
	}
	return nil
}

// Signal sends the program a signal.
func (r *Run) Signal(s syscall.Signal) error {
	r.machine.mu.Lock()
	defer r.machine.mu.Unlock()
	return r.machine.ask(MachineRequest{Run: r.id, Signal: int(s)})
}

// Output is the end of what the program has written, to stdout and stderr.
func (r *Run) Output() string { return r.out.String() }
