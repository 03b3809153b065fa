package rig

import (
	"syscall"
	"testing"
)

var bin string

func TestMain(m *testing.M) { Main(m, &bin) }

// A program that has ended by itself is an error of whoever stops it; one that was
// killed is none.
func TestEndedByItself(t *testing.T) {
	hub, err := TestHouse(t, bin).AddHub("", "")
	if err != nil {
		t.Fatal(err)
	}
	start := func() {
		t.Helper()
		if err := hub.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	start()
	if err := syscall.Kill(hub.PID(), syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	<-hub.Done()
	if err := hub.Stop(); err == nil {
		t.Error("nothing is said of a program that has crashed")
	}
	start()
	hub.Kill()
	if err := hub.Stop(); err != nil {
		t.Error(err)
	}
	start()
	if err := hub.Stop(); err != nil {
		t.Error(err)
	}
}
