package board

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDrivers runs those tests of the rooms that want a real camera and real cards.
func TestDrivers(t *testing.T) {
	image := imageOf(t)
	dir := t.TempDir()
	m := boot(t, image, newNetwork(t))
	for _, c := range []struct{ room, test, env string }{
		{"video", "TestRealCamera$", "HERALD_CAMERA=/dev/video0"},
		{"sound", "TestCards", ""},
	} {
		t.Run(c.room, func(t *testing.T) {
			tests := filepath.Join(dir, c.room+".test")
			if out, err := exec.Command("go", "test", "-c", "-o", tests, "../../media/"+c.room).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			r, err := m.Begin([]string{c.env}, tests, "-test.run", "^"+c.test, "-test.v", "-test.timeout", "5m")
			must(t, err)
			err = r.Wait(t.Context())
			t.Log(r.Output())
			must(t, err)
			if out := r.Output(); strings.Contains(out, "no tests to run") || strings.Contains(out, "--- SKIP") {
				t.Error("a test was not run")
			}
		})
	}
}
