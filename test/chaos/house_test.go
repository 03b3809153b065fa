package chaos

import (
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/hub/store/storetest"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
	"github.com/herald-im/herald/test/rig"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// patience bounds each wait for something that has to come. It is long because
// machines are slow, and ends a test that would hang.
const patience = 3 * time.Minute

var (
	// bin is where the programs are, found or built once for all tests.
	bin string
	// databases starts a PostgreSQL when a test first needs it.
	databases storetest.Databases
)

func TestMain(m *testing.M) { rig.Main(m, &bin, databases.Stop) }

// house is a rig.House whose troubles end a test.
type house struct {
	t      *testing.T
	ctx    context.Context
	rig    *rig.House
	hub    *rig.Hub
	db     string
	factor int

	actors []*actor
	tasks  sync.WaitGroup
}

// actor is a board with a proxy before the hub and a program that follows its
// events from the beginning.
type actor struct {
	h     *house
	user  string
	board *rig.Board
	proxy *rig.Proxy

	starting sync.Mutex

	mu     sync.Mutex
	events []event
	more   chan struct{} // closed at the next event
}

// event is an event with its data read.
type event struct {
	client.Event
	data map[string]any
}

func (e event) str(key string) string { s, _ := e.data[key].(string); return s }
func (e event) num(key string) int    { n, _ := e.data[key].(float64); return int(n) }

// newHouse starts a hub on a database ("" is SQLite).
func newHouse(t *testing.T, db string) *house {
	t.Helper()
	return newHouseAt(t, db, "")
}

// newHouseAt starts a hub with its data in a directory ("" is one of ours).
func newHouseAt(t *testing.T, db, data string) *house {
	t.Helper()
	// Sockets lie in it: their paths are at most 107 bytes long.
	dir, err := os.MkdirTemp("", "h")
	must(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	h := &house{t: t, ctx: ctx, rig: &rig.House{Dir: dir, Bin: bin}, db: db, factor: 1}
	if f, err := strconv.Atoi(os.Getenv("HERALD_CHAOS")); err == nil && f > 0 {
		h.factor = f
	}
	h.hub, err = h.rig.AddHub(db, data)
	must(t, err)
	must(t, h.hub.Configure("[limits]\ngroup_rate = 0\n")) // streams are as fast as they can
	h.startHub()
	t.Cleanup(func() {
		h.tasks.Wait()
		for _, a := range h.actors {
			a.proxy.Close()
			if err := a.board.Stop(); err != nil {
				t.Error(err)
			}
		}
		if err := h.hub.Stop(); err != nil {
			t.Error(err)
		}
		cancel()
		if t.Failed() || os.Getenv("HERALD_LOGS") != "" {
			t.Logf("hub:\n%s", last(h.hub.Output()))
			for _, a := range h.actors {
				t.Logf("%s:\n%s", a.user, last(a.board.Output()))
			}
		}
		_ = os.RemoveAll(dir)
	})
	return h
}

// last is the end of a log, as much as one reads.
func last(s string) string { return s[max(0, len(s)-20000):] }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) startHub() {
	if err := h.hub.Start(h.ctx); err != nil {
		h.t.Error(err)
	}
}

// actor adds a board of its own account and starts it.
func (h *house) actor(user string, args ...string) *actor { return h.terminal(user, user, args...) }

// terminal adds a board called name for an account and starts it.
func (h *house) terminal(name, user string, args ...string) *actor {
	h.t.Helper()
	a := h.idle(name, user, args...)
	a.start()
	a.follow()
	a.awaitLink("up")
	return a
}

// idle adds a board and does not start it.
func (h *house) idle(name, user string, args ...string) *actor {
	h.t.Helper()
	p, err := rig.NewProxy(h.hub.MQTT)
	must(h.t, err)
	b, err := h.rig.AddBoard(h.ctx, name, user, p.Addr(), args...)
	must(h.t, err)
	must(h.t, b.Configure("[hub]\nreconnect_min = \"50ms\"\nreconnect_max = \"1s\"\nkeepalive = \"5s\"\n[health]\nbeat = \"5s\"\n"))
	a := &actor{h: h, user: user, board: b, proxy: p, more: make(chan struct{})}
	h.actors = append(h.actors, a)
	return a
}

// start starts the board if it does not run: two wounds may have killed it once.
func (a *actor) start() {
	a.starting.Lock()
	defer a.starting.Unlock()
	if a.board.PID() != 0 {
		return
	}
	err := a.board.Start(a.h.ctx)
	for i := 0; i < 10 && rig.WasKilled(err); i++ { // another wound, before it was ready
		err = a.board.Start(a.h.ctx)
	}
	if err != nil {
		a.h.t.Error(err)
	}
}

// later does something after a while, in the background.
func (h *house) later(d time.Duration, f func()) {
	h.tasks.Add(1)
	time.AfterFunc(d, func() {
		defer h.tasks.Done()
		f()
	})
}

// heal ends all that is wrong.
func (h *house) heal(all []*actor) {
	h.tasks.Wait()
	for _, a := range all {
		a.proxy.Delay(0)
		a.proxy.Stall(false)
		a.proxy.Refuse(false)
		if a.board.PID() == 0 {
			a.start()
		}
	}
}

// group has the first actor make a group and the others join it.
func (h *house) group(id, kind string, members ...*actor) {
	h.t.Helper()
	_, err := client.Call(h.ctx, members[0].board.Client(), protocol.CreateGroup,
		protocol.CreateGroupRequest{GroupType: kind, GroupID: id, GroupName: id})
	must(h.t, err)
	for _, m := range members[1:] {
		_, err := client.Call(h.ctx, m.board.Client(), protocol.JoinGroup, protocol.JoinGroupRequest{GroupID: id})
		must(h.t, err)
	}
}

// follow starts the program that reads the events as they come, over all
// restarts of the board.
func (a *actor) follow() {
	go func() {
		err := a.board.Client().Events(a.h.ctx, client.EventsOptions{From: 1}, func(e client.Event) error {
			if e.Pos == 0 && e.Name != client.Gap {
				return nil
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			a.events = append(a.events, read(e))
			close(a.more)
			a.more = make(chan struct{})
			return nil
		})
		if a.h.ctx.Err() == nil {
			a.h.t.Errorf("%s: the event stream ended: %v", a.user, err)
		}
	}()
}

func read(e client.Event) event {
	out := event{Event: e}
	_ = json.Unmarshal(e.Data, &out.data)
	return out
}

// await waits until ok says yes to the events that were followed so far.
func (a *actor) await(what string, ok func(events []event) bool) {
	a.h.t.Helper()
	limit := time.After(patience)
	for {
		a.mu.Lock()
		done, more, n := ok(a.events), a.more, len(a.events)
		a.mu.Unlock()
		if done {
			return
		}
		select {
		case <-more:
		case <-limit:
			a.h.t.Fatalf("%s: waited in vain for %s; %d events came, status %+v", a.user, what, n, a.status())
		}
	}
}

// poll asks again and again until ok says yes.
func (h *house) poll(what string, ok func() bool) {
	h.t.Helper()
	limit := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(limit) {
			h.t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(20 * time.Millisecond) // between two questions
	}
}

func (a *actor) status() (st protocol.StatusResponse) {
	st, _ = client.Call(a.h.ctx, a.board.Client(), protocol.GetStatus, protocol.Empty{})
	return st
}

func (a *actor) awaitLink(state string) {
	a.h.t.Helper()
	a.h.poll(a.user+"'s link to be "+state, func() bool { return a.status().Link == state })
}

// awaitDrained waits until nothing waits to be sent.
func (a *actor) awaitDrained() {
	a.h.t.Helper()
	a.h.poll(a.user+"'s queue to be empty", func() bool {
		st := a.status()
		return st.Link == "up" && st.Queue.Items == 0
	})
}

// journal reads the board's journal from its beginning to its end.
func (a *actor) journal() []event {
	a.h.t.Helper()
	var out []event
	for end := a.status().Journal.Last; ; {
		if end == 0 {
			return nil // a stream of nothing does not end
		}
		ctx, cancel := context.WithCancel(a.h.ctx)
		out = nil
		_ = a.board.Client().Events(ctx, client.EventsOptions{From: 1}, func(e client.Event) error {
			if e.Name == client.Gap {
				a.h.t.Errorf("%s: gap %s", a.user, e.Data)
			}
			if e.Pos != 0 {
				out = append(out, read(e))
			}
			if e.Pos >= end {
				cancel()
			}
			return nil
		})
		cancel()
		if now := a.status().Journal.Last; now != end {
			end = now // it grew meanwhile
			continue
		}
		return out
	}
}

// send sends a text and fails the test if that is refused.
func (a *actor) send(to, text string) protocol.SendResponse {
	a.h.t.Helper()
	res, err := client.Call(a.h.ctx, a.board.Client(), protocol.SendC2CTextMessage, protocol.C2CTextRequest{UserID: to, Text: text})
	must(a.h.t, err)
	return res
}

// texts are the texts among events, in order.
func texts(events []event) []string {
	var out []string
	for _, e := range events {
		if s := e.str("text"); s != "" {
			out = append(out, s)
		}
	}
	return out
}

type storedLog struct {
	name    string
	entries []storedEntry
}

type storedEntry struct {
	seq   uint64
	msgID string
}

// storedLogs reads what the stopped hub's database holds.
func (h *house) storedLogs() []storedLog {
	h.t.Helper()
	driver, dsn := "sqlite", filepath.Join(h.hub.Data, store.File)
	if h.db != "" {
		driver, dsn = "pgx", h.db
	}
	db, err := sql.Open(driver, dsn)
	must(h.t, err)
	defer db.Close()
	rows, err := db.QueryContext(h.ctx, "SELECT logs.name, entries.seq, entries.msg_id FROM entries JOIN logs ON logs.id = entries.log_id ORDER BY logs.name, entries.seq")
	must(h.t, err)
	defer rows.Close()
	var out []storedLog
	for rows.Next() {
		var name string
		var e storedEntry
		must(h.t, rows.Scan(&name, &e.seq, &e.msgID))
		if len(out) == 0 || out[len(out)-1].name != name {
			out = append(out, storedLog{name: name})
		}
		l := &out[len(out)-1]
		l.entries = append(l.entries, e)
	}
	must(h.t, rows.Err())
	if len(out) == 0 {
		h.t.Fatal("the hub's database holds no log")
	}
	return out
}

// seedOf gives what a test draws its numbers from: HERALD_SEED, to repeat a run, or
// one that it says.
func seedOf(t *testing.T) uint64 {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("HERALD_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal("HERALD_SEED:", err)
		}
	}
	t.Logf("HERALD_SEED=%d", seed)
	return seed
}
