package rig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Main runs the tests of a package and ends the process. Before, it finds the
// programs or builds them, and sets *bin to where they are; after, it calls what
// ends what all the tests shared.
func Main(m *testing.M, bin *string, after ...func()) {
	dir, err := os.MkdirTemp("", "herald-bin")
	if err == nil {
		*bin, err = BinDir(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	for _, f := range after {
		f()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// Program builds a program that a test runs beside Herald's, from the directory of its
// source.
func Program(t testing.TB, source string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(source))
	if out, err := exec.Command("go", "build", "-o", path, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// TestHouse is a house in a directory that goes with the test.
func TestHouse(t testing.TB, bin string) *House {
	t.Helper()
	dir, err := os.MkdirTemp("", "h") // sockets lie in it: their paths are at most 107 bytes long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &House{Dir: dir, Bin: bin}
}

// StopAfter stops the program when the test is over, whose error it is if it does
// not end as asked or has ended by itself before. Of a test that failed it shows
// what the program wrote.
func (p *Process) StopAfter(t testing.TB) {
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", p.Name, p.Output())
		}
	})
}
