package chaos

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// ending are the methods that would end what the others need.
var ending = []string{"im.login", "im.logout", "im.destroy", "calling.logout", "calling.destroy"}

// late are the methods that take away what others need.
var late = []string{"im.kickGroupMember", "im.setGroupMemberRole", "im.transferGroupOwner", "im.quitGroup", "im.dismissGroup"}

// anyMethod are the codes that any method may return.
var anyMethod = []protocol.Code{6012, 6017, 7009, 7012, 9503, 9507, 9508, 9522}

// TestBadInput gives each method of the document what is no object, and its example
// with each field left out, of another type, empty, too long or beyond all bounds. It
// is done, or refused with a code that the method is documented to return and a
// sentence; and of what is refused nothing is done at the hub.
func TestBadInput(t *testing.T) {
	h := newHouse(t, "")
	door := h.actor("door", "--fake-media")
	for _, user := range []string{"indoor", "phone", "garage"} {
		h.actor(user, "--fake-media")
	}
	h.group("family", protocol.GroupPublic, door, h.actors[1])
	tables := h.tables()
	before := tables()
	calls, refused := 0, 0
	methods := slices.Clone(protocol.Methods())
	slices.SortStableFunc(methods, func(a, b *protocol.Info) int { return slices.Index(late, a.Name) - slices.Index(late, b.Name) })
	by := make(map[protocol.Code]int)
	for _, m := range methods {
		if m.Module() == "device" || slices.Contains(ending, m.Name) {
			continue
		}
		codes := append(slices.Clone(anyMethod), m.Codes...)
		for _, body := range badBodies(t, m.Name) {
			_, err := door.board.Client().CallRaw(h.ctx, m.Name, []byte(body))
			calls++
			if err == nil {
				if m.Name == "calling.call" || m.Name == "calling.groupCall" {
					_, _ = door.board.Client().CallRaw(h.ctx, "calling.hangup", []byte("{}"))
					h.poll("the end of the call", func() bool { return h.openInvites() == 0 })
				}
				before = tables()
				continue
			}
			refused++
			var e *protocol.Error
			if errors.As(err, &e) {
				by[e.Code]++
			}
			switch {
			case !errors.As(err, &e):
				t.Errorf("%s %.200s: %v", m.Name, body, err)
			case !slices.Contains(codes, e.Code) || e.Code == 7012 || len(e.Msg) < 8 || strings.Contains(e.Msg, "internal"):
				t.Errorf("%s %.200s: %v", m.Name, body, e)
			}
			if after := tables(); after != before {
				t.Errorf("%s %.200s: %v, and yet something was done: %s", m.Name, body, err, differ(before, after))
			}
		}
	}
	t.Logf("%d calls, %d refused: %v", calls, refused, by)
	door.send("indoor", "still well")
	if calls < 2000 || refused < calls/3 {
		t.Error("little was tried")
	}
}

// database opens the hub's, to be read.
func (h *house) database() *sql.DB {
	h.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(h.hub.Data, store.File)+"?mode=ro")
	must(h.t, err)
	return db
}

// openInvites counts those who are invited and have not answered.
func (h *house) openInvites() (n int) {
	h.t.Helper()
	db := h.database()
	defer db.Close()
	must(h.t, db.QueryRowContext(h.ctx, "SELECT COUNT(*) FROM invites WHERE open > 0").Scan(&n))
	return n
}

// tables gives a function that shows what the hub keeps of accounts, groups, friends and
// invitations, which nothing but a call changes here.
func (h *house) tables() func() string {
	h.t.Helper()
	db := h.database()
	h.t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(h.ctx)
	must(h.t, err)
	h.t.Cleanup(func() { _ = conn.Close() })
	names := []string{"users", "chat_groups", "members", "applications", "friends", "friend_applications", "friend_groups", "friend_group_members", "blacklist", "invites"}
	version, shown := -1, ""
	return func() string {
		var now int
		must(h.t, conn.QueryRowContext(h.ctx, "PRAGMA data_version").Scan(&now)) // another one when something was committed
		if now == version {
			return shown
		}
		version = now
		var b strings.Builder
		for _, name := range names {
			what := "*"
			if name == "invites" {
				what = "id" // they end by themselves
			}
			rows, err := conn.QueryContext(h.ctx, "SELECT "+what+" FROM "+name)
			must(h.t, err)
			columns, err := rows.Columns()
			must(h.t, err)
			cells, at := make([]any, len(columns)), make([]any, len(columns))
			for i := range cells {
				at[i] = &cells[i]
			}
			for rows.Next() {
				must(h.t, rows.Scan(at...))
				fmt.Fprintf(&b, "%s %v\n", name, cells)
			}
			must(h.t, rows.Err())
			must(h.t, rows.Close())
		}
		shown = b.String()
		return shown
	}
}

// badBodies lists requests that are mostly wrong, made of a method's example.
func badBodies(t *testing.T, method string) []string {
	t.Helper()
	b, err := os.ReadFile("../../protocol/testdata/methods/" + method + ".json")
	must(t, err)
	var vector struct{ RequestJSON map[string]any }
	must(t, json.Unmarshal(b, &vector))
	out := []string{"", "null", "[]", "7", `"x"`, "{", `{"a":`, "{}", "\xff", strings.Repeat("[", 5000), `{"x":"` + strings.Repeat("x", 1<<20) + `"}`}
	vary(vector.RequestJSON, func(v any) {
		j, err := json.Marshal(v)
		must(t, err)
		out = append(out, string(j))
	})
	for _, field := range slices.Sorted(maps.Keys(vector.RequestJSON)) { // what JSON of Go would not write
		for _, raw := range []string{`"\ud800"`, `"\u0000"`, `"` + "\xff" + `"`, "1e400", "-0", "01"} {
			j, err := json.Marshal(vector.RequestJSON)
			must(t, err)
			old, err := json.Marshal(vector.RequestJSON[field])
			must(t, err)
			out = append(out, strings.Replace(string(j), fmt.Sprintf("%q:%s", field, old), fmt.Sprintf("%q:%s", field, raw), 1))
		}
	}
	return out
}

// gone stands for a field that is left out.
type gone struct{}

// vary calls f with v once for each way in which one value in it is another.
func vary(v any, f func(any)) {
	for _, wrong := range []any{nil, gone{}, true, -1, 0, 7, 1 << 53, 0.5, 1e300, "", "x", "a b", "../x", "a\x00b", "日本", strings.Repeat("x", 10_000), []any{}, []any{nil}, map[string]any{}, map[string]any{"x": 1}} {
		f(wrong)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			vary(v[key], func(x any) {
				c := maps.Clone(v)
				if c[key] = x; x == any(gone{}) {
					delete(c, key)
				}
				f(c)
			})
		}
	case []any:
		for i := range v {
			vary(v[i], func(x any) {
				c := slices.Clone(v)
				if c[i] = x; x == any(gone{}) {
					c = slices.Delete(c, i, i+1)
				}
				f(c)
			})
		}
		many := make([]any, 0, 2000)
		for i := range cap(many) {
			many = append(many, fmt.Sprint("u", i))
		}
		f(many)
	}
}
