package chaos

import (
	"database/sql"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// seen is how far the hub believes that an account has read a conversation, by
// its database.
func (h *house) seen(user, log string) (seq int) {
	h.t.Helper()
	driver, dsn := "sqlite", filepath.Join(h.hub.Data, store.File)
	if h.db != "" {
		driver, dsn = "pgx", h.db
	}
	db, err := sql.Open(driver, dsn)
	must(h.t, err)
	defer db.Close()
	err = db.QueryRowContext(h.ctx,
		"SELECT r.seen FROM readers r JOIN logs l ON l.id = r.log_id WHERE r.user_id = $1 AND l.name = $2", user, log).Scan(&seq)
	must(h.t, err)
	return seq
}

// TestFloods: a terminal asks and tells as much as it can, about everybody's
// logs, and reads little of the answers. The others are served meanwhile, and
// what they tell is kept.
func TestFloods(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { floods(t, "") })
	t.Run("postgres", func(t *testing.T) { floods(t, databases.Postgres(t)) })
}

func floods(t *testing.T, db string) {
	h := newStreet(t, db)
	door, indoor := h.actor("door"), h.actor("indoor")
	talk := h.talk(door, indoor)
	talk.goesOn()
	theirs := protocol.C2CLog("door", "indoor")
	logs := []string{
		theirs, "user:door", "c2c:mallory:zoe", "group:none", "c2c:\x00:\x00", "group:\x00", "", "'; DROP TABLE logs; --", strings.Repeat("x", 10_000),
		"c2c:door:" + strings.Repeat("i", 33),
	}

	// Pulls: refused one by one, and not at the cost of the log.
	m := h.stranger("mallory", "m")
	for i := range 500 {
		for j, log := range logs {
			p := &protocol.Pull{ID: uint32(i*len(logs) + j), Log: log, After: uint64(i), Limit: math.MaxUint16}
			switch i % 3 {
			case 1:
				p.After = math.MaxUint64
			case 2:
				p.Fresh = true
			}
			m.send(&protocol.Frame{Pull: p})
		}
	}
	last := uint32(500*len(logs) - 1)
	m.frame("the answer to the last pull", func(f *protocol.Frame) bool { return f.Range != nil && f.Range.ID == last })
	m.mu.Lock()
	for _, f := range m.frames {
		if r := f.Range; r != nil && (r.Code == 0 || len(r.Entries) > 0) {
			t.Fatalf("the pull of %q got %+v", r.Log, r)
		}
	}
	m.mu.Unlock()
	talk.goesOn()
	m.close()

	// Calls: ten thousand, the replies unread.
	deaf := h.login("mallory", "deaf")
	deaf.deaf = true
	d := h.visit(deaf, "mallory", "deaf")
	d.write(mqttPacket(0x82, d.nextID(), mqttString(protocol.TopicToTerminal(h.app, "mallory", "deaf")), []byte{1}))
	d.send(&protocol.Frame{Hello: &protocol.Hello{Version: protocol.Version, Platform: "deaf"}})
	for i := range 10_000 {
		call := &protocol.Call{ID: uint64(i / 2), Method: protocol.JoinGroup.Info().Name, Body: cbored(t, map[int]any{1: fmt.Sprint("none", i)})}
		if i%10 == 0 {
			call.Method = strings.Repeat("m", 1000)
		}
		d.send(&protocol.Frame{Call: call})
	}
	talk.goesOn()

	// Hellos, words of unknown boots, frames that are too late or not yet due.
	m = h.stranger("mallory", "m")
	for i := range 1000 {
		m.send(&protocol.Frame{Hello: &protocol.Hello{Version: protocol.Version, Platform: fmt.Sprint("p", i%16)}})
		m.send(&protocol.Frame{Exp: 1, Beat: &protocol.Beat{}})
		m.send(&protocol.Frame{Exp: math.MinInt64, Beat: &protocol.Beat{}})
		m.send(&protocol.Frame{Exp: math.MaxInt64, Beat: &protocol.Beat{}})
		m.raw(cbored(t, map[int]any{1: uint64(i), kindBeat: map[int]any{1: 1, 2: 1}}))
	}
	talk.goesOn()

	// Beats: of cursors that are not its own and beyond all numbers, more of
	// them than the hub keeps.
	for i := range 100 {
		b := &protocol.Beat{Moved: []protocol.Cursor{
			{Log: theirs, Seq: 1 << 63}, {Log: theirs, Seq: math.MaxUint64}, {Log: theirs, Seq: math.MaxInt64}, {Log: "c2c:\x00", Seq: 1}, {Log: "", Seq: 1},
		}}
		for j := len(b.Moved); j < protocol.MaxHeads; j++ {
			b.Moved = append(b.Moved, protocol.Cursor{Log: fmt.Sprintf("c2c:%d:%d", i, j), Seq: uint64(j)})
		}
		m.send(&protocol.Frame{Beat: b})
	}
	wall := h.stranger("indoor", "wall") // an honest one
	told := uint64(talk.rounds.Load())
	h.poll("an honest terminal's cursor to be kept", func() bool {
		m.send(&protocol.Frame{Beat: &protocol.Beat{Moved: []protocol.Cursor{{Log: "c2c:\x00", Seq: 1}, {Log: theirs, Seq: 1 << 63}}}})
		wall.send(&protocol.Frame{Beat: &protocol.Beat{Moved: []protocol.Cursor{{Log: theirs, Seq: told}}}})
		return h.seen("indoor", theirs) >= int(told)
	})
	talk.goesOn()
	talk.unbroken()
	talk.end()
	if n := strings.Count(h.hub.Output(), "\n"); n > 300 {
		t.Errorf("the hub has written %d lines", n)
	}
	_, most := memory(t, h.hub.PID())
	if t.Logf("the hub had %d MiB at most", most); most > mostOfHub {
		t.Errorf("the hub had %d MiB", most)
	}
}
