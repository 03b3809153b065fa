package chaos

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func (h *house) signal(pid int, sig syscall.Signal) {
	h.t.Helper()
	if pid == 0 {
		h.t.Fatal("the program does not run")
	}
	must(h.t, syscall.Kill(pid, sig))
}

// metric is one of the hub's figures.
func (h *house) metric(name string) string {
	h.t.Helper()
	res, err := http.Get("http://" + h.hub.HTTP + "/metrics")
	must(h.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(h.t, err)
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// TestStoppedHub: the hub stands still (SIGSTOP), as a machine does whose disk
// hangs, until the boards have noticed; then it goes on. What was sent meanwhile
// arrives, once and in order.
func TestStoppedHub(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "")
	door, indoor := h.actor("door"), h.actor("indoor")
	door.sendAll("indoor", numbered("before", 3))
	h.signal(h.hub.PID(), syscall.SIGSTOP)
	door.sendAll("indoor", numbered("hanging", 2)) // each waits for an answer that does not come
	for _, a := range []*actor{door, indoor} {
		h.poll(a.user+" to notice", func() bool { return a.status().Link != "up" })
	}
	door.sendAll("indoor", numbered("offline", 3))
	h.signal(h.hub.PID(), syscall.SIGCONT)
	door.awaitDrained()
	want := slices.Concat(numbered("before", 3), numbered("hanging", 2), numbered("offline", 3))
	indoor.await("everything", func(ev []event) bool { return len(texts(ev)) >= len(want) })
	door.sendAll("indoor", numbered("after", 3))
	want = append(want, numbered("after", 3)...)
	indoor.await("what came after", func(ev []event) bool { return len(texts(ev)) >= len(want) })
	if got := texts(indoor.journal()); !slices.Equal(got, want) {
		t.Errorf("indoor heard %q", got)
	}
}

// TestStoppedBoard: a board stands still until the hub has given it up, and then
// has everything.
func TestStoppedBoard(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "")
	door, indoor := h.actor("door"), h.actor("indoor")
	pid := indoor.board.PID()
	h.signal(pid, syscall.SIGSTOP)
	door.sendAll("indoor", numbered("online", 3))
	h.poll("the hub to give the board up", func() bool { return h.metric("herald_hub_sessions") == "1" })
	door.sendAll("indoor", numbered("offline", 3))
	h.signal(pid, syscall.SIGCONT)
	want := append(numbered("online", 3), numbered("offline", 3)...)
	indoor.await("everything", func(ev []event) bool { return len(texts(ev)) >= len(want) })
	indoor.awaitLink("up")
	door.send("indoor", "after")
	want = append(want, "after")
	indoor.await("what came after", func(ev []event) bool { return len(texts(ev)) >= len(want) })
	if got := texts(indoor.journal()); !slices.Equal(got, want) {
		t.Errorf("indoor heard %q", got)
	}
}

// mostDead is how long a dead network may go unnoticed, in seconds: it is what
// is promised.
const mostDead = 20

// TestDeadNetwork: the network dies without a word. A board finds out within
// mostDead, whether it has something to say or not, and is back when it lives.
func TestDeadNetwork(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "")
	usual := func(a *actor) *actor { // with the keepalive that boards have
		must(t, a.board.Configure("[hub]\nreconnect_min = \"50ms\"\nreconnect_max = \"1s\"\nconnect_timeout = \"2s\"\n"))
		a.start()
		a.follow()
		a.awaitLink("up")
		return a
	}
	idle, busy := usual(h.idle("idle", "idle")), usual(h.idle("busy", "busy"))
	idle.proxy.Stall(true)
	busy.proxy.Stall(true)
	busy.sendAll("idle", numbered("dead", 2))
	noticed := make(map[*actor]int)
	// Seconds are counted and not read from a clock: on a machine that has no
	// time for the boards there is none for the count either.
	for second := 2 * 5; len(noticed) < 2; second++ { // two sends of five seconds have passed
		for _, a := range []*actor{idle, busy} {
			if _, before := noticed[a]; !before && a.status().Link != "up" {
				noticed[a] = second
				t.Logf("%s noticed after about %d s", a.user, second)
			}
		}
		if second > mostDead {
			t.Fatalf("of two boards %d have noticed after %d s", len(noticed), second)
		}
		time.Sleep(time.Second)
	}
	busy.send("idle", "offline")
	idle.proxy.Stall(false)
	busy.proxy.Stall(false)
	busy.awaitDrained()
	want := append(numbered("dead", 2), "offline")
	idle.await("everything", func(ev []event) bool { return len(texts(ev)) >= len(want) })
	if got := texts(idle.journal()); !slices.Equal(got, want) {
		t.Errorf("it heard %q", got)
	}
}

// load has two boards send to each other until stop is called, which returns
// what to check.
func (h *house) load(a, b *actor, n int) (progress <-chan struct{}, streams []*stream) {
	out := make(chan struct{}, 1<<16)
	streams = []*stream{{from: a, to: b.user}, {from: b, to: a.user}}
	var sending sync.WaitGroup
	for _, s := range streams {
		sending.Go(func() { s.run(h.ctx, n, out) })
	}
	go func() {
		sending.Wait()
		close(out)
	}()
	return out, streams
}

// TestTerminatedUnderLoad: hub and boards are told to end while messages pass.
// They do, in time and without an error, and nothing accepted is lost.
func TestTerminatedUnderLoad(t *testing.T) {
	h := newHouse(t, "")
	a, b := h.actor("a"), h.actor("b")
	progress, streams := h.load(a, b, 600)
	done, turn := 0, 0
	for range progress {
		if done++; done%100 != 0 {
			continue
		}
		switch turn++; turn % 2 {
		case 0:
			must(t, h.hub.Stop())
			h.startHub()
		case 1:
			must(t, a.board.Stop())
			a.start()
		}
	}
	a.awaitDrained()
	b.awaitDrained()
	a.check(streams)
	b.check(streams)
	h.checkStored(streams)
}

// TestTwentyKills: the hub is killed twenty times while two thousand messages
// pass.
func TestTwentyKills(t *testing.T) {
	h := newHouse(t, "")
	a, b := h.actor("a"), h.actor("b")
	progress, streams := h.load(a, b, 1000)
	kills, next := 0, 40
	done := 0
	for range progress {
		if done++; done >= next && kills < 20 {
			next += 90
			kills++
			h.hub.Kill()
			h.startHub()
		}
	}
	if kills != 20 {
		t.Errorf("the hub was killed %d times", kills)
	}
	a.awaitDrained()
	b.awaitDrained()
	a.check(streams)
	b.check(streams)
	h.checkStored(streams)
}

// TestHangups: SIGHUP by the hundred, which has the programs read their
// configuration again, and a configuration that is wrong for a while.
func TestHangups(t *testing.T) {
	h := newHouse(t, "")
	door, indoor := h.actor("door"), h.actor("indoor")
	talk := h.talk(door, indoor)
	for range 100 {
		for _, pid := range []int{h.hub.PID(), door.board.PID(), indoor.board.PID()} {
			h.signal(pid, syscall.SIGHUP)
		}
	}
	file := door.board.Args[slices.Index(door.board.Args, "--config")+1]
	good, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, []byte("[hub]\nkeepalive = \"never\"\n"), 0o600))
	h.signal(door.board.PID(), syscall.SIGHUP)
	h.poll("the board to complain", func() bool { return strings.Contains(door.board.Output(), "the configuration is not read again") })
	must(t, os.WriteFile(file, good, 0o600))
	h.signal(door.board.PID(), syscall.SIGHUP)
	h.poll("the hub to have reloaded", func() bool { return strings.Contains(h.hub.Output(), "reloaded") })
	talk.goesOn()
	talk.unbroken()
	talk.end()
}

// noFiles keeps a process from opening any more files and returns what undoes it.
func (h *house) noFiles(pid int) (undo func()) {
	h.t.Helper()
	var old unix.Rlimit
	must(h.t, unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &old))
	must(h.t, unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}, nil)) // what is open stays open
	return func() {
		h.t.Helper()
		must(h.t, unix.Prlimit(pid, unix.RLIMIT_NOFILE, &old, nil))
	}
}

// TestNoFilesLeft: hub and board may open no file more. Who is connected goes on
// talking; who has lost his connection comes back when there are files again.
func TestNoFilesLeft(t *testing.T) {
	h := newHouse(t, "")
	door, indoor, late := h.actor("door"), h.actor("indoor"), h.actor("late")
	talk := h.talk(door, indoor)
	talk.goesOn()

	undo := h.noFiles(h.hub.PID())
	late.proxy.Cut()
	h.warned("cannot accept connections")
	talk.goesOn()
	if st := late.status(); st.Link == "up" {
		t.Error("a board has a connection that the hub cannot have accepted")
	}
	undo()
	late.awaitLink("up")
	talk.goesOn()
	talk.unbroken()

	undo = h.noFiles(late.board.PID())
	late.proxy.Cut()
	h.poll("the board to lack a file", func() bool {
		e := late.status().LastError // by a connection that is open already
		return e != nil && strings.Contains(e.Msg, "too many open files")
	})
	undo()
	late.awaitLink("up")
	late.send("door", "back")
	door.await("it", func(ev []event) bool { return slices.Contains(texts(ev), "back") })
	talk.end()
}

// TestPostgresRestarted: the hub's PostgreSQL goes away and comes back.
func TestPostgresRestarted(t *testing.T) {
	h := newHouse(t, databases.Postgres(t))
	door, indoor := h.actor("door"), h.actor("indoor")
	talk := h.talk(door, indoor)
	for range 2 {
		talk.goesOn()
		databases.Restart(t, func() {
			h.poll("the hub to say that it cannot write", func() bool { return h.metric("herald_hub_database_failing") == "1" })
			if res := door.send("indoor", "queued"); !res.Queued {
				t.Error("a message was sent to a hub without a database")
			}
		})
		h.poll("the hub to write again", func() bool { return h.metric("herald_hub_database_failing") == "0" })
	}
	talk.goesOn()
	talk.unbroken()
	talk.end()
}

// TestUnknownCommit: PostgreSQL commits and its connection breaks before it can
// say so. The message is stored once, and pushed all the same: its receiver does
// not have to find out by itself.
func TestUnknownCommit(t *testing.T) {
	url := databases.Postgres(t)
	h := newHouse(t, url)
	door, indoor := h.actor("door"), h.actor("indoor")
	door.send("indoor", "before")
	db, err := sql.Open("pgx", url)
	must(t, err)
	defer db.Close()
	do := func(text string) {
		t.Helper()
		_, err := db.ExecContext(h.ctx, text)
		must(t, err)
	}
	// A commit waits for a standby that does not exist, after it was made here.
	do("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	defer func() {
		do("ALTER SYSTEM RESET synchronous_standby_names")
		do("SELECT pg_reload_conf()")
	}()
	do("SELECT pg_reload_conf()")
	pulls := h.metric("herald_hub_pulls_total")
	n := 0
	h.poll("a commit that waits", func() bool {
		n++
		door.send("indoor", fmt.Sprint(n)) // or it was committed before the server had read its configuration
		var waits bool
		must(t, db.QueryRowContext(h.ctx, "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'").Scan(&waits))
		return waits
	})
	do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
	indoor.await("all", func(ev []event) bool { return slices.Contains(texts(ev), fmt.Sprint(n)) })
	want := []string{"before"}
	for i := range n {
		want = append(want, fmt.Sprint(i+1))
	}
	if got := texts(indoor.journal()); !slices.Equal(got, want) {
		t.Errorf("indoor heard %q", got)
	}
	if now := h.metric("herald_hub_pulls_total"); now != pulls {
		t.Errorf("it came by a pull: %s after %s", now, pulls)
	}
}
