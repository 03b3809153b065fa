package chaos

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// sendMany sends n texts, "from", "from+1", …, from several programs at once and
// returns how many were accepted as queued. Each program's texts keep their order.
func (a *actor) sendMany(to string, from, n, programs int) (queued int) {
	a.h.t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for p := range programs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c := a.board.Client()
			for i := from + p; i < from+n; i += programs {
				res, err := client.Call(a.h.ctx, c, protocol.SendC2CTextMessage, protocol.C2CTextRequest{UserID: to, Text: fmt.Sprint(i)})
				if err != nil {
					a.h.t.Errorf("send %d: %v", i, err)
					return
				}
				mu.Lock()
				if res.Queued {
					queued++
				}
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	return queued
}

// TestOffline: ten thousand messages queued without a hub, the agent killed
// and restarted twice, then the hub comes: all arrive, once.
func TestOffline(t *testing.T) {
	const n = 10_000
	h := newHouse(t, "")
	door, indoor := h.idle("door", "door"), h.actor("indoor")
	h.hub.Kill()
	door.start()
	door.follow()
	const programs = 8 // of which n/2 is a multiple
	if queued := door.sendMany("indoor", 0, n/2, programs); queued != n/2 {
		t.Errorf("%d of %d messages were accepted as queued", queued, n/2)
	}
	door.board.Kill()
	door.start()
	door.sendMany("indoor", n/2, n/2, programs)
	door.board.Kill()
	door.start()
	if got := door.status().Queue.Items; got != n {
		t.Errorf("after two kills %d messages wait, not %d", got, n)
	}
	h.startHub()
	indoor.await("all messages", func(events []event) bool { return len(texts(events)) >= n })
	door.awaitDrained()
	count, last := make(map[int]int), make(map[int]int)
	for _, s := range texts(indoor.journal()) {
		i, err := strconv.Atoi(s)
		must(t, err)
		count[i]++
		if p := i % programs; i < last[p] {
			t.Errorf("message %d comes after %d of the same program", i, last[p])
		}
		last[i%programs] = i
	}
	for i := range n {
		if count[i] != 1 {
			t.Errorf("message %d came %d times", i, count[i])
		}
	}
	// Every one of them was told to be queued, so each is told to be sent.
	sent := 0
	for _, e := range door.journal() {
		if e.Name == protocol.OnMessageStatusChanged.Info().Name && e.num("status") == protocol.StatusSent {
			sent++
		}
	}
	if sent != n {
		t.Errorf("%d messages were reported as sent, not %d", sent, n)
	}
}

// TestRestoredHub: the hub's database comes back from an older copy. Boards
// find out, say so, lose nothing that waits, and hear what is written since,
// although its numbers were taken before.
func TestRestoredHub(t *testing.T) {
	h := newHouse(t, "")
	door, indoor := h.actor("door"), h.actor("indoor")
	door.send("indoor", "before the copy")
	indoor.await("the first message", func(ev []event) bool { return len(texts(ev)) == 1 })
	must(t, h.hub.Stop())
	copied := copyDatabase(t, h.hub.Data, t.TempDir())

	h.startHub()
	for i := range 20 {
		door.send("indoor", fmt.Sprintf("lost by the hub %d", i))
	}
	indoor.await("what is lost later", func(ev []event) bool { return len(texts(ev)) == 21 })
	h.hub.Kill()
	indoor.board.Kill() // it comes back only after the log has grown past its cursor
	door.awaitLink("down")
	door.send("indoor", "queued over the outage")
	restoreDatabase(t, copied, h.hub.Data)
	h.startHub()
	door.awaitDrained()
	for i := range 30 {
		door.send("indoor", fmt.Sprintf("after the copy %d", i))
	}
	indoor.start()
	want := []string{"queued over the outage"}
	for i := range 30 {
		want = append(want, fmt.Sprintf("after the copy %d", i))
	}
	indoor.await("what came after", func(ev []event) bool { return len(texts(ev)) >= 21+len(want) })
	if got := texts(indoor.journal())[21:]; !slices.Equal(got, want) {
		t.Errorf("after the copy came %q, not %q", got, want)
	}
	for _, a := range []*actor{door, indoor} {
		rewound := 0
		for _, e := range a.journal() {
			if e.Name == protocol.OnHubRewound.Info().Name {
				rewound++
			}
		}
		if rewound != 1 {
			t.Errorf("%s was told %d times that the hub was rewound, not once", a.user, rewound)
		}
	}
}

// databaseFiles are SQLite's, of which the last two may be missing.
var databaseFiles = []string{store.File, store.File + "-wal", store.File + "-shm"}

func copyDatabase(t *testing.T, from, to string) string {
	t.Helper()
	for _, name := range databaseFiles {
		src, err := os.Open(filepath.Join(from, name))
		if os.IsNotExist(err) {
			continue
		}
		must(t, err)
		dst, err := os.Create(filepath.Join(to, name))
		must(t, err)
		_, err = io.Copy(dst, src)
		must(t, err)
		must(t, dst.Close())
		must(t, src.Close())
	}
	return to
}

func restoreDatabase(t *testing.T, from, to string) {
	t.Helper()
	for _, name := range databaseFiles {
		if err := os.Remove(filepath.Join(to, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	copyDatabase(t, from, to)
}

// TestTwoTerminals: two terminals of one account both get everything, also
// what the account itself sent from the other one.
func TestTwoTerminals(t *testing.T) {
	h := newHouse(t, "")
	door := h.actor("door")
	wall := h.terminal("wall", "indoor")
	tablet := h.idle("tablet", "indoor")
	must(t, tablet.board.Configure("[account]\nplatform = \"tablet\"\n[hub]\nreconnect_min = \"50ms\"\n"))
	tablet.start()
	tablet.follow()
	tablet.awaitLink("up")

	door.send("indoor", "ring")
	for _, a := range []*actor{wall, tablet} {
		a.await("the ring", func(ev []event) bool { return slices.Contains(texts(ev), "ring") })
	}
	wall.send("door", "from the wall")
	tablet.await("what the wall sent", func(ev []event) bool { return slices.Contains(texts(ev), "from the wall") })
	tablet.send("door", "from the tablet")
	wall.await("what the tablet sent", func(ev []event) bool { return slices.Contains(texts(ev), "from the tablet") })
	door.await("both", func(ev []event) bool { return len(texts(ev)) == 2 })

	tablet.board.Kill()
	door.send("indoor", "while the tablet was off")
	wall.send("door", "from the wall again")
	tablet.start()
	tablet.await("what it missed", func(ev []event) bool { return len(texts(ev)) >= 4 })
	wall.await("what it did not miss", func(ev []event) bool { return len(texts(ev)) >= 3 })

	if got, want := texts(tablet.journal()), []string{"ring", "from the wall", "while the tablet was off", "from the wall again"}; !slices.Equal(got, want) {
		t.Errorf("the tablet got %q, not %q", got, want)
	}
	if got, want := texts(wall.journal()), []string{"ring", "from the tablet", "while the tablet was off"}; !slices.Equal(got, want) {
		t.Errorf("the wall got %q, not %q", got, want)
	}
	for _, e := range tablet.journal() {
		if e.Name == protocol.OnRecvNewMessage.Info().Name {
			continue // the same in its other form
		}
		if self := e.str("text")[:4] == "from"; e.data["isSelf"] != self || e.str("userId") != "door" {
			t.Errorf("event %s: isSelf or userId is wrong", e.Data)
		}
	}
}
