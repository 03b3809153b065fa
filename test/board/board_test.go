// Package board tests the programs on a board in software: Debian's kernel under qemu,
// whose drivers make its cameras and sound cards. `make test-board` runs it.
package board

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/test/rig"
)

var bin string

func TestMain(m *testing.M) { rig.Main(m, &bin) }

// The network of these tests: the board, and what is outside.
const (
	outsideAddr = "10.79.0.1"
	boardAddr   = "10.79.0.2"
)

// patience is how long a test waits for what must come: the board is emulated, on what
// may be a busy machine.
const patience = 2 * time.Minute

// boot makes a network with a board in it.
func boot(t *testing.T) (*rig.Machine, *rig.Network) {
	t.Helper()
	image := os.Getenv("HERALD_BOARD")
	if image == "" {
		t.Skip("make test-board makes the board that this needs, and says where it is (HERALD_BOARD)")
	}
	inside := filepath.Join(bin, "herald-board-inside")
	build := exec.Command("go", "build", "-o", inside, "./inside")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n := rig.NewNetwork(t)
	n.Space("out")
	n.In("out", "ip tuntap add tap0 mode tap")
	n.In("out", "ip addr add "+outsideAddr+"/24 dev tap0")
	n.In("out", "ip link set tap0 up")
	m := &rig.Machine{Image: image, Inside: inside, Under: n.Inside("out"), Tap: "tap0", Address: boardAddr + "/24"}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.Stop()
		if t.Failed() {
			t.Logf("the board's console:\n%s", m.Console())
		}
	})
	return m, n
}

// do runs a program on the board.
func do(t *testing.T, m *rig.Machine, line ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := m.Do(ctx, line...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDevices: herald finds the board's cameras and sound cards.
func TestDevices(t *testing.T) {
	m, _ := boot(t)
	out := do(t, m, filepath.Join(bin, "herald"), "devices")
	t.Log(out)
	for _, want := range []string{"/dev/video0", "/dev/video1", "Ear", "Loud"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
}
