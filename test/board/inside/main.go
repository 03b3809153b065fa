// Command inside is the first program of the board of the tests: it runs there what
// package rig's Machine asks for over a serial port.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/herald-im/herald/test/rig"
)

// port is what the kernel calls the serial port.
const port = "/dev/vport"

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "inside:", err)
		os.Exit(1)
	}
}

type server struct {
	mu  sync.Mutex // of port and running
	out *os.File

	running map[int]*exec.Cmd
}

func serve() error {
	f, err := openPort()
	if err != nil {
		return err
	}
	s := &server{out: f, running: make(map[int]*exec.Cmd)}
	s.say(rig.MachineReply{})
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r rig.MachineRequest
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return err
		}
		if r.Line != nil {
			s.start(r)
			continue
		}
		s.mu.Lock()
		if cmd := s.running[r.Run]; cmd != nil {
			_ = cmd.Process.Signal(syscall.Signal(r.Signal)) // it may just have ended
		}
		s.mu.Unlock()
	}
	return lines.Err()
}

func openPort() (*os.File, error) {
	for n := range 8 {
		f, err := os.OpenFile(fmt.Sprintf("%s%dp1", port, n), os.O_RDWR, 0)
		if !errors.Is(err, os.ErrNotExist) {
			return f, err
		}
	}
	return nil, errors.New("there is no serial port")
}

func (s *server) say(r rig.MachineReply) {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.out.Write(append(b, '\n')); err != nil {
		fmt.Fprintln(os.Stderr, "inside:", err)
	}
}

// writer hands on what a program writes.
type writer struct {
	s   *server
	run int
}

func (w writer) Write(b []byte) (int, error) {
	w.s.say(rig.MachineReply{Run: w.run, Out: b})
	return len(b), nil
}

func (s *server) start(r rig.MachineRequest) {
	cmd := exec.Command(r.Line[0], r.Line[1:]...)
	cmd.Env = append(os.Environ(), r.Env...)
	w := writer{s, r.Run}
	cmd.Stdout, cmd.Stderr = w, w
	code := -1
	if err := cmd.Start(); err != nil {
		s.say(rig.MachineReply{Run: r.Run, Out: []byte(err.Error()), Exit: &code})
		return
	}
	s.mu.Lock()
	s.running[r.Run] = cmd
	s.mu.Unlock()
	go func() {
		_ = cmd.Wait() // its exit code tells
		s.mu.Lock()
		delete(s.running, r.Run)
		s.mu.Unlock()
		code := cmd.ProcessState.ExitCode()
		s.say(rig.MachineReply{Run: r.Run, Exit: &code})
	}()
}
