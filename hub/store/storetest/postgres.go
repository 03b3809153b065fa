// Package storetest gives tests the two databases that a hub may have: a fresh
// SQLite file, and a fresh database of a real PostgreSQL that it starts itself.
package storetest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// Databases starts a PostgreSQL when the first test needs it. Stop it in
// TestMain. The zero value is ready.
type Databases struct {
	once sync.Once
	err  error
	dir  string // holds the socket and the data
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended

	mu sync.Mutex
	n  int
}

// Each runs f once with a SQLite database and once with a PostgreSQL one.
// Where there is no PostgreSQL the second is skipped, or fails with CI=true.
func (d *Databases) Each(t *testing.T, f func(t *testing.T, location string)) {
	t.Run("sqlite", func(t *testing.T) { f(t, filepath.Join(t.TempDir(), "hub.db")) })
	t.Run("postgres", func(t *testing.T) { f(t, d.Postgres(t)) })
}

// Postgres makes an empty database and returns its URL.
func (d *Databases) Postgres(t testing.TB) string {
	t.Helper()
	d.once.Do(func() { d.err = d.start() })
	if d.err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no PostgreSQL: %v (scripts/deps test installs it)", d.err)
		}
		t.Skipf("no PostgreSQL: %v (scripts/deps test installs it)", d.err)
	}
	d.mu.Lock()
	d.n++
	name := "t" + strconv.Itoa(d.n)
	d.mu.Unlock()
	db, err := sql.Open("pgx", d.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	return d.url(name)
}

func (d *Databases) url(name string) string {
	return fmt.Sprintf("postgres://postgres@/%s?host=%s", name, d.dir)
}

func (d *Databases) start() error {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian keeps it out of PATH
	if err != nil {
		return err
	}
	slices.Sort(bins)
	if path, err := exec.LookPath("initdb"); err == nil {
		bins = append(bins, path)
	}
	if len(bins) == 0 {
		return errors.New("there is no initdb in PATH or /usr/lib/postgresql/*/bin")
	}
	bin := filepath.Dir(bins[len(bins)-1])
	if d.dir, err = os.MkdirTemp("", "herald-pg"); err != nil {
		return err
	}
	attr, err := d.account()
	if err != nil {
		return err
	}
	data := filepath.Join(d.dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
	initdb.SysProcAttr, initdb.Dir = attr, d.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(out))
	}
	var out bytes.Buffer
	d.cmd = exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", d.dir, "-c", "listen_addresses=",
		"-c", "fsync=off", "-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "lc_messages=C", "-c", "deadlock_timeout=20ms")
	d.cmd.SysProcAttr, d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = attr, d.dir, &out, &out
	d.done = make(chan struct{})
	started := make(chan error, 1)
	go func() {
		// The signal of a parent's death comes when the thread ends that started
		// the child, so this one stays. It is given back at the end: a thread that
		// stays locked ends with its goroutine, and takes along what else it started.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(d.done)
		err := d.cmd.Start()
		started <- err
		if err == nil {
			_ = d.cmd.Wait() // it is stopped by a signal
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	db, err := sql.Open("pgx", d.url("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for db.PingContext(ctx) != nil {
		select {
		case <-tick.C:
		case <-d.done:
			return fmt.Errorf("postgres ended: %s", lastLines(out.String()))
		case <-ctx.Done():
			return errors.New("postgres does not answer after 30 s")
		}
	}
	return nil
}

// account is whom PostgreSQL runs as: it refuses root.
func (d *Databases) account() (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Geteuid() != 0 {
		return attr, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2, os.Chown(d.dir, uid, gid)); err != nil {
		return nil, err
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, nil
}

func lastLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}

// Restart stops the server, breaking all connections, and starts it again.
// Between the two it runs while.
func (d *Databases) Restart(t testing.TB, while func()) {
	t.Helper()
	args, attr, dir := d.cmd.Args, d.cmd.SysProcAttr, d.cmd.Dir
	d.end()
	while()
	d.cmd = exec.Command(args[0], args[1:]...)
	d.cmd.SysProcAttr, d.cmd.Dir = attr, dir
	d.done = make(chan struct{})
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // as in start
		defer runtime.UnlockOSThread()
		defer close(d.done)
		err := d.cmd.Start()
		started <- err
		if err == nil {
			_ = d.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
}

func (d *Databases) end() {
	if d.cmd == nil || d.cmd.Process == nil {
		return
	}
	_ = d.cmd.Process.Signal(syscall.SIGINT) // fast shutdown
	select {
	case <-d.done:
	case <-time.After(20 * time.Second):
		_ = d.cmd.Process.Kill()
		<-d.done
	}
}

// Stop ends the server and removes its files.
func (d *Databases) Stop() {
	d.end()
	if d.dir != "" {
		_ = os.RemoveAll(d.dir) // under the temporary directory
	}
}
