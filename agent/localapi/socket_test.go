package localapi

import (
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestSocketFile(t *testing.T) {
	gid := "0"
	if g, err := user.LookupGroup("nogroup"); err == nil && os.Getuid() == 0 {
		gid = g.Gid
	}
	g := start(t, func(c *Config, _ *timing) { c.Group = "nogroup" })
	fi, err := os.Lstat(g.sock)
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("the socket's mode is %v", fi.Mode())
	}
	if gid != "0" {
		var st = statGid(t, g.sock)
		if st != gid {
			t.Errorf("the socket's group is %s, want %s", st, gid)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(g.sock))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "s.sock s.sock.lock" {
		t.Errorf("the directory holds %s", got)
	}
	g.end()
	if _, err := os.Lstat(g.sock); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the end the socket is still there: %v", err)
	}
}

func TestTwoDaemonsOnOneSocket(t *testing.T) {
	g := start(t, nil)
	second := &rig{t: t}
	if _, err := Open(Config{Socket: g.sock, MaxStreams: 8}, second.parts()); !errors.Is(err, ErrSocketTaken) || !strings.Contains(err.Error(), g.sock) {
		t.Fatalf("the second daemon: %v", err)
	}
	if a := g.post("/v1/im/getVersion", "{}"); a.status != 200 {
		t.Errorf("the first one after that: %s", a.raw)
	}
	// Also while its socket file is away.
	if err := os.Rename(g.sock, g.sock+"~"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Socket: g.sock, MaxStreams: 8}, second.parts()); !errors.Is(err, ErrSocketTaken) {
		t.Fatalf("the second daemon, with the file away: %v", err)
	}
	if err := os.Rename(g.sock+"~", g.sock); err != nil {
		t.Fatal(err)
	}
	// Also where something else than Herald answers on the path.
	other := filepath.Join(t.TempDir(), "other.sock")
	ln, err := net.Listen("unix", other)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := Open(Config{Socket: other, MaxStreams: 8}, second.parts()); !errors.Is(err, ErrSocketTaken) || !strings.Contains(err.Error(), other) {
		t.Fatalf("beside another server: %v", err)
	}
	// The path is free once the first has ended.
	g.end()
	s, err := Open(Config{Socket: g.sock, MaxStreams: 8}, second.parts())
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func TestStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false) // as after kill -9
	ln.Close()
	g := start(t, func(c *Config, _ *timing) { c.Socket = path })
	g.sock = path
	if a := g.post("/v1/im/getVersion", "{}"); a.status != 200 {
		t.Errorf("%s", a.raw)
	}
}

func TestSocketPlaces(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		file:                                    "not a socket",
		filepath.Join(dir, "no", "such", "dir"): "directory",
		filepath.Join(dir, strings.Repeat("x", 120)): "kernel takes 107",
	} {
		g := &rig{t: t}
		s, err := Open(Config{Socket: path, MaxStreams: 8}, g.parts())
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "mine" {
		t.Errorf("the file in the way: %q, %v", b, err)
	}
	// One missing directory is made.
	g := &rig{t: t}
	s, err := Open(Config{Socket: filepath.Join(dir, "herald", "herald.sock"), Group: "no-such-group", MaxStreams: 8}, g.parts())
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// A daemon that ends late does not take its successor's socket away.
func TestCloseLeavesAnothersSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	s, err := listenSocket(path, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

func statGid(t *testing.T, path string) string {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(int(st.Gid))
}
