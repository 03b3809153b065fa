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

// newNetwork makes the network that the board is in, and all that is outside.
func newNetwork(t *testing.T) *rig.Network {
	t.Helper()
	n := rig.NewNetwork(t)
	n.Space("out")
	n.In("out", "ip tuntap add tap0 mode tap")
	n.In("out", "ip addr add "+outsideAddr+"/24 dev tap0")
	n.In("out", "ip link set tap0 up")
	return n
}

// boot starts the board.
func boot(t *testing.T, image string, n *rig.Network) *rig.Machine {
	t.Helper()
	inside := filepath.Join(t.TempDir(), "inside")
	build := exec.Command("go", "build", "-o", inside, "./inside")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
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
	return m
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
	h := newHouse(t, "front_camera = \"/dev/video0\"\nback_camera = \"/dev/video1\"\nmicrophone = \"Ear\"\nspeaker = \"Ear\"\nhands_free = \"Loud\"\n")
	out := do(t, h.machine, h.door.prog.Path, "devices", "--socket", h.door.prog.Socket)
	t.Log(out)
	for _, want := range []string{"/dev/video0", "/dev/video1", "Ear", "Loud"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	controls := do(t, h.machine, h.door.prog.Path, "devices", "--controls", "--socket", h.door.prog.Socket)
	if !strings.Contains(controls, "horizontal_movement") || !strings.Contains(controls, "4 Move Right Slow") {
		t.Error(controls)
	}
	h.door.stop()
}
