package chaos

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// copyState copies a stopped board's state directory.
func copyState(t *testing.T, from, to string) {
	t.Helper()
	must(t, os.RemoveAll(to))
	must(t, os.CopyFS(to, os.DirFS(from)))
}

// counts is how often each text was raised.
func counts(events []event) map[string]int {
	n := make(map[string]int)
	for _, s := range texts(events) {
		n[s]++
	}
	return n
}

// numbered are the texts WORD 0 … WORD n-1.
func numbered(word string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s %d", word, i)
	}
	return out
}

func (a *actor) sendAll(to string, texts []string) {
	a.h.t.Helper()
	for _, s := range texts {
		a.send(to, s)
	}
}

// TestRestoredBoard: a board's card is put back to an older copy. What it sends
// from then on is new and in order, what it received since the copy is raised
// again in the journal that has lost it, and only what waited in the copy and
// was sent since is sent twice, with the message ids of the first time.
func TestRestoredBoard(t *testing.T) {
	h := newHouse(t, "")
	door, indoor := h.idle("door", "door"), h.actor("indoor")
	door.start()
	door.awaitLink("up")
	door.sendAll("indoor", numbered("before", 10))
	indoor.sendAll("door", numbered("known", 10))
	h.poll("door to have them", func() bool { return door.status().Journal.Last >= 10 })
	h.hub.Kill()
	door.awaitLink("down")
	door.sendAll("indoor", numbered("waiting", 5))
	must(t, door.board.Stop())
	saved := t.TempDir()
	copyState(t, door.board.State, saved)

	h.startHub()
	door.start()
	door.awaitDrained()
	door.sendAll("indoor", numbered("since", 20))
	indoor.sendAll("door", numbered("forgotten", 10))
	h.poll("door to have them", func() bool { return len(texts(door.journal())) == 20 })
	must(t, door.board.Stop())
	copyState(t, saved, door.board.State)

	door.start()
	door.awaitDrained()
	door.sendAll("indoor", numbered("after", 30))
	indoor.sendAll("door", numbered("new", 5))
	h.poll("door to have everything", func() bool { return len(texts(door.journal())) >= 25 })
	if got, want := texts(door.journal()), slices.Concat(numbered("known", 10), numbered("forgotten", 10), numbered("new", 5)); !slices.Equal(got, want) {
		t.Errorf("the restored board's journal has %q", got)
	}

	indoor.await("everything", func(ev []event) bool { return counts(ev)["after 29"] > 0 })
	want := slices.Concat(numbered("before", 10), numbered("waiting", 5), numbered("since", 20), numbered("waiting", 5), numbered("after", 30))
	if got := texts(indoor.journal()); !slices.Equal(got, want) {
		t.Errorf("indoor heard %q, want %q", got, want)
	}
	ids := make(map[string]string)
	for _, e := range indoor.journal() {
		s, id := e.str("text"), e.str("msgId")
		if s == "" {
			continue // of what indoor itself has sent
		}
		if first, again := ids[s]; again && first != id {
			t.Errorf("%q came as %s and again as %s", s, first, id)
		}
		for other, used := range ids {
			if used == id && other != s {
				t.Errorf("%q and %q have the same id %s", s, other, id)
			}
		}
		ids[s] = id
	}
	if !strings.Contains(door.board.Output(), "a new numbering") {
		t.Error("the board has not said that it numbers anew")
	}
}

// TestRestoredBoardOffline: the same without a link: what is sent before the
// board hears that it has gone back must not pass for what it sent before.
func TestRestoredBoardOffline(t *testing.T) {
	h := newHouse(t, "")
	door, indoor := h.actor("door"), h.actor("indoor")
	must(t, door.board.Stop())
	saved := t.TempDir()
	copyState(t, door.board.State, saved)
	door.start()
	door.awaitLink("up")
	door.sendAll("indoor", numbered("since", 20))
	must(t, door.board.Stop())
	copyState(t, saved, door.board.State)
	door.proxy.Refuse(true)
	door.start()
	door.sendAll("indoor", numbered("offline", 40))
	door.proxy.Refuse(false)
	door.awaitDrained()
	indoor.await("everything", func(ev []event) bool { return len(texts(ev)) >= 60 })
	if got, want := texts(indoor.journal()), slices.Concat(numbered("since", 20), numbered("offline", 40)); !slices.Equal(got, want) {
		t.Errorf("indoor heard %q", got)
	}
}

// TestClonedBoards: two boards run from copies of one state with one account:
// each takes the other's place again and again. Nothing that either accepted is
// lost, and each hears everything.
func TestClonedBoards(t *testing.T) {
	const n = 60
	h := newHouse(t, "")
	one, indoor := h.actor("door"), h.actor("indoor")
	one.send("indoor", "before")
	indoor.send("door", "known")
	must(t, one.board.Stop())
	two := h.idle("clone", "door")
	copyState(t, one.board.State, two.board.State)
	one.start()
	two.start()
	if a, b := one.status().Terminal, two.status().Terminal; a != b {
		t.Fatalf("they are %s and %s, and no clones", a, b)
	}

	var sending sync.WaitGroup
	for _, s := range []struct {
		a    *actor
		to   string
		word string
	}{{one, "indoor", "one"}, {two, "indoor", "two"}, {indoor, "door", "to both"}} {
		sending.Go(func() {
			for _, text := range numbered(s.word, n) {
				_, err := client.Call(h.ctx, s.a.board.Client(), protocol.SendC2CTextMessage, protocol.C2CTextRequest{UserID: s.to, Text: text})
				if err != nil {
					t.Errorf("%q is refused: %v", text, err)
				}
			}
		})
	}
	sending.Wait()
	fights := one.connects() + two.connects()
	for _, alone := range []struct{ stays, rests *actor }{{one, two}, {two, one}} {
		must(t, alone.rests.board.Stop())
		alone.stays.start()
		alone.stays.awaitDrained()
		h.poll("it to have heard all", func() bool { return len(texts(alone.stays.journal())) >= n+1 })
		if got, want := texts(alone.stays.journal()), append([]string{"known"}, numbered("to both", n)...); !slices.Equal(got, want) {
			t.Errorf("a clone heard %q", got)
		}
	}
	indoor.await("everything", func(ev []event) bool { return len(counts(ev)) >= 2*n+1 })
	got, doubled := counts(indoor.journal()), 0
	for _, s := range slices.Concat(numbered("one", n), numbered("two", n)) {
		if got[s] == 0 {
			t.Errorf("%q is lost", s)
		}
		doubled += got[s] - 1
	}
	t.Logf("after %d changes of place %d messages of %d came twice", fights, doubled, 2*n)
}

// TestSecondDaemon: one state directory, and one socket, is one daemon's.
func TestSecondDaemon(t *testing.T) {
	h := newHouse(t, "")
	door, second := h.actor("door"), h.idle("second", "door")
	set := func(flag, value string) {
		second.board.Args[slices.Index(second.board.Args, flag)+1] = value
	}
	own := second.board.State
	set("--state", door.board.State)
	refused := func(what string) {
		t.Helper()
		err := second.board.Start(h.ctx)
		if err == nil {
			t.Fatal("a second daemon started")
		}
		if !strings.Contains(err.Error(), what) || strings.Contains(err.Error(), "goroutine") {
			t.Errorf("a second daemon says %q, not %q", err, what)
		}
	}
	refused("in use by another herald")
	set("--state", own)
	set("--socket", door.board.Socket)
	refused(door.board.Socket)
	door.send("door", "still here")
	if st := door.status(); st.Link != "up" {
		t.Errorf("the first one's link is %s", st.Link)
	}
}

// TestSecondHub: one data directory, and one database, is one hub's.
func TestSecondHub(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { secondHub(t, "") })
	t.Run("postgres", func(t *testing.T) { secondHub(t, databases.Postgres(t)) })
}

func secondHub(t *testing.T, db string) {
	h := newHouse(t, db)
	talk := h.talk(h.actor("door"), h.actor("indoor"))
	data := h.hub.Data
	if db != "" {
		data = t.TempDir() // as on another machine
	}
	first := h.hub
	second, err := h.rig.AddHub(db, data)
	h.hub = first
	must(t, err)
	err = second.Start(h.ctx)
	if err == nil {
		second.Kill()
		t.Fatal("a second hub started")
	}
	if !strings.Contains(err.Error(), "another hub") || strings.Contains(err.Error(), "goroutine") {
		t.Errorf("a second hub says %q", err)
	}
	talk.goesOn()
	talk.unbroken()
	talk.end()
}
