package files

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

const childEnv = "HERALD_FILES_CHILD"

// child is a board of its own that uploads or downloads one file and ends. A test
// kills it.
func child() {
	if err := carry(os.Getenv(childEnv), os.Getenv("DIR"), os.Getenv("HUB"), os.Getenv("HASH"), os.Getenv("SIZE")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func carry(what, dir, hub, hash, bytes string) error {
	size, err := strconv.ParseInt(bytes, 10, 64)
	if err != nil {
		return err
	}
	b, err := openBoard(dir, nil)
	if err != nil {
		return err
	}
	c := NewCourier(CourierOptions{Store: b.Store, Hub: remote(hub), Host: func() string { return "127.0.0.1" }, Log: quiet, timing: quick})
	do := c.Upload
	if what == "fetch" {
		do = c.Fetch
	}
	if err := do(context.Background(), hash, size, nil); err != nil {
		return err
	}
	c.Close()
	return b.close()
}

// startChild starts a board that a test may kill.
func startChild(t *testing.T, what, dir string, h *hub, hash string, size int) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+what, "DIR="+dir, "HUB="+h.http.URL, "HASH="+hash, "SIZE="+strconv.Itoa(size))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// killedTwice runs a board until it has done its work, and kills it (SIGKILL) when
// a third and two thirds of it are done.
func killedTwice(t *testing.T, what, dir string, h *hub, p *cutter, hash string, size int) {
	t.Helper()
	p.holdAt = evenly(2, int64(size))
	h.proxy = p.ln.Addr().String()
	for range 2 {
		cmd := startChild(t, what, dir, h, hash, size)
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case letGo := <-p.holding:
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			<-ended
			close(letGo)
		case err := <-ended:
			t.Fatalf("the board ended before it was killed: %v", err)
		}
	}
	if err := startChild(t, what, dir, h, hash, size).Wait(); err != nil {
		t.Fatalf("the last board: %v", err)
	}
}

const (
	largeFile = 100 << 20
	cutsMade  = 20
)

// TestUploadKilledAndCut sends 100 MB from a process that is killed twice, over
// connections that are cut 20 times.
func TestUploadKilledAndCut(t *testing.T) {
	data, dir, h := noise(1, largeFile), t.TempDir(), newHub(t)
	b := newBoard(t, dir, nil)
	f := b.put(t, data, "m1")
	if err := b.close(); err != nil {
		t.Fatal(err)
	}
	p := newCutter(t, h.addr(), evenly(cutsMade, largeFile))
	killedTwice(t, "upload", dir, h, p, f.Hash, largeFile)
	if !h.done[f.Hash] || p.made() != cutsMade {
		t.Errorf("the hub has it: %v; %d cuts", h.done[f.Hash], p.made())
	}
	n, most := h.got()
	t.Logf("%d of %d bytes arrived, none more than %d times", n, largeFile, most)
	if most > 2 || n > largeFile+cutsMade*chunk/4 {
		t.Errorf("a byte arrived %d times, %d bytes in all", most, n)
	}
}

// TestFetchKilledAndCut is the same the other way.
func TestFetchKilledAndCut(t *testing.T) {
	data, dir, h := noise(2, largeFile), t.TempDir(), newHub(t)
	hash := h.have(data)
	p := newCutter(t, h.addr(), evenly(cutsMade, largeFile))
	part := filepath.Join(dir, "files", tmpDir, hash+partSuffix)
	killedTwice(t, "fetch", dir, h, p, hash, largeFile)
	b := newBoard(t, dir, nil)
	path, here := b.Path(hash)
	got, err := os.ReadFile(path)
	if !here || err != nil || hashOf(got) != hash {
		t.Errorf("here: %v, %d bytes, %v", here, len(got), err)
	}
	if _, err := os.Stat(part); err == nil {
		t.Error("the partial file is still there")
	}
	if p.made() != cutsMade {
		t.Errorf("%d cuts", p.made())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t.Logf("%d bytes came over the network for %d", p.passed, largeFile)
}
