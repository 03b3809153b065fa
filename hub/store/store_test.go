package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/hub/store/storetest"
	"github.com/herald-im/herald/protocol"
)

var databases storetest.Databases

func TestMain(m *testing.M) {
	code := m.Run()
	databases.Stop()
	os.Exit(code)
}

const app protocol.AppID = 1400000001

var now = time.UnixMilli(1772366400000)

func open(t testing.TB, location string) *Store {
	t.Helper()
	s, err := Open(t.Context(), location)
	if errors.Is(err, ErrTables) { // the first: it has to be made
		if s, err = OpenAsOwner(t.Context(), location); err == nil {
			err = s.Close()
		}
		if err == nil {
			s, err = Open(t.Context(), location)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// each runs f on both databases, with an app in it.
func each(t *testing.T, f func(t *testing.T, s *Store)) {
	databases.Each(t, func(t *testing.T, location string) {
		s := open(t, location)
		write(t, s, func(ctx context.Context, tx *Tx) error { return tx.CreateApp(ctx, app, now) })
		f(t, s)
	})
}

func write(t testing.TB, s *Store, f func(context.Context, *Tx) error) {
	t.Helper()
	if err := s.Write(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func entries(first uint64, n int, era uint32) []protocol.Entry {
	out := make([]protocol.Entry, n)
	for i := range out {
		out[i] = protocol.Entry{
			Seq: first + uint64(i), Era: era, Time: now.UnixMilli(), Kind: protocol.EntryMessage, From: "alice", Term: "t1",
			MsgID: fmt.Sprintf("m-%d", first+uint64(i)), Priority: 1, Body: []byte{0xa1, 0, byte(i)},
		}
	}
	return out
}

func appendTo(ctx context.Context, tx *Tx, id LogID, n int, era uint32) error {
	first, err := tx.Extend(ctx, id, n, era)
	if err != nil {
		return err
	}
	var rows []Row
	es := entries(first, n, era)
	for i := range es {
		rows = append(rows, Row{id, &es[i]})
	}
	return tx.Insert(ctx, rows)
}

func TestAccounts(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		err := s.Write(ctx, func(ctx context.Context, tx *Tx) error { return tx.CreateApp(ctx, app, now) })
		if !errors.Is(err, ErrExists) {
			t.Errorf("a second app of the same id: %v", err)
		}
		write(t, s, func(ctx context.Context, tx *Tx) error {
			return errors.Join(
				tx.AddKey(ctx, app, Key{ID: "k1", Secret: "one", Created: now}),
				tx.AddKey(ctx, app, Key{ID: "k2", Secret: "two", Created: now.Add(time.Second)}),
				tx.RemoveKey(ctx, app, "k1", now),
				tx.CreateUser(ctx, app, "bob", now),
				tx.CreateUser(ctx, app, "Alice", now),
				tx.SetBlocked(ctx, app, "bob", true, now),
				tx.Revoke(ctx, app, "Alice", now))
		})
		keys, err := s.Keys(ctx, app)
		if err != nil || len(keys) != 2 || keys[0].ID != "k1" || !keys[0].Removed || keys[1].Removed || keys[1].Secret != "two" {
			t.Errorf("keys = %+v, %v", keys, err)
		}
		users, err := s.Users(ctx, app)
		if err != nil || len(users) != 2 || users[0].ID != "Alice" || users[0].RevokedBefore != now.Unix() || !users[1].Blocked {
			t.Errorf("users = %+v, %v", users, err)
		}
		if _, err := s.User(ctx, app, "alice"); !errors.Is(err, ErrNotFound) {
			t.Errorf("a user in another case: %v", err)
		}
		err = s.Write(ctx, func(ctx context.Context, tx *Tx) error { return tx.CreateUser(ctx, app, "bob", now) })
		if !errors.Is(err, ErrExists) {
			t.Errorf("a user twice: %v", err)
		}
		err = s.Write(ctx, func(ctx context.Context, tx *Tx) error { return tx.RemoveKey(ctx, app, "k1", now) })
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("a key removed twice: %v", err)
		}
	})
}

func TestOrdersComeInOrderAndAge(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		for i := range 3 {
			write(t, s, func(ctx context.Context, tx *Tx) error {
				return tx.AddOrder(ctx, Order{App: app, Kind: OrderKick, User: fmt.Sprint("u", i)}, now.Add(time.Duration(i)*time.Minute))
			})
		}
		got, err := s.Orders(t.Context(), 1)
		if err != nil || len(got) != 2 || got[0].User != "u1" || got[1].User != "u2" || got[1].ID != 3 {
			t.Errorf("orders after 1 = %+v, %v", got, err)
		}
		write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.AddOrder(ctx, Order{App: app, Kind: OrderKick, User: "late"}, now.Add(2*time.Hour))
		})
		if got, err := s.Orders(t.Context(), 0); err != nil || len(got) != 1 || got[0].ID != 4 {
			t.Errorf("orders after two hours = %+v, %v", got, err)
		}
		if n, err := s.LastOrder(t.Context()); n != 4 || err != nil {
			t.Errorf("last order = %d, %v", n, err)
		}
	})
}

func TestLogsAndReaders(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		var id LogID
		write(t, s, func(ctx context.Context, tx *Tx) error {
			l, made, err := tx.EnsureLog(ctx, app, "c2c:a:b")
			if err != nil || !made || l.Head != 0 {
				t.Errorf("first = %+v, %v, %v", l, made, err)
			}
			id = l.ID
			if err := tx.SetReader(ctx, app, "a", id, 0, 0); err != nil {
				return err
			}
			return appendTo(ctx, tx, id, 300, 1)
		})
		write(t, s, func(ctx context.Context, tx *Tx) error {
			if l, made, err := tx.EnsureLog(ctx, app, "c2c:a:b"); err != nil || made || l.ID != id || l.Head != 300 {
				t.Errorf("again = %+v, %v, %v", l, made, err)
			}
			return errors.Join(appendTo(ctx, tx, id, 1, 3), tx.SetReader(ctx, app, "b", id, 100, 200))
		})
		es, err := s.Entries(ctx, id, 298, 301, 10, 1<<20)
		want := entries(301, 1, 3)[0]
		if err != nil || len(es) != 3 || es[0].Seq != 299 || fmt.Sprint(es[2]) != fmt.Sprint(want) {
			t.Errorf("entries = %+v, %v", es, err)
		}
		if es, err := s.Entries(ctx, id, 0, 250, 256, 1<<20); err != nil || len(es) != 250 {
			t.Errorf("entries up to 250: %d, %v", len(es), err)
		}
		if es, err := s.Entries(ctx, id, 0, 250, 256, 7); err != nil || len(es) != 2 { // of 3 bytes each
			t.Errorf("entries of 7 bytes: %d, %v", len(es), err)
		}
		if es, err := s.Entries(ctx, id, 0, 250, 256, 1); err != nil || len(es) != 1 {
			t.Errorf("entries of 1 byte: %d, %v", len(es), err)
		}
		for era, want := range map[uint32]uint64{0: 0, 1: 300, 2: 300, 3: 301, 4: 301} {
			if got, err := s.Was(ctx, Reader{ID: id, Head: 301, Era: 3}, era); got != want || err != nil {
				t.Errorf("Was(%d) = %d, %v; want %d", era, got, err, want)
			}
		}
		r, err := s.Reader(ctx, app, "b", "c2c:a:b")
		if err != nil || r != (Reader{Log: "c2c:a:b", ID: id, From: 100, Start: 200, Head: 301, Era: 3}) {
			t.Errorf("reader = %+v, %v", r, err)
		}
		if _, err := s.Reader(ctx, app, "c", "c2c:a:b"); !errors.Is(err, ErrNotFound) {
			t.Errorf("a stranger: %v", err)
		}
		write(t, s, func(ctx context.Context, tx *Tx) error {
			return errors.Join(
				tx.SetSeen(ctx, app, "b", "c2c:a:b", 250), tx.SetSeen(ctx, app, "b", "c2c:a:b", 240),
				tx.SetSeen(ctx, app, "b", "c2c:a:b", 999), tx.SetSeen(ctx, app, "b", "c2c:x:y", 1),
				tx.EndReader(ctx, app, "b", id, 280))
		})
		if r, err := s.Reader(ctx, app, "b", "c2c:a:b"); err != nil || r.Seen != 250 || r.Head != 280 {
			t.Errorf("reader after leaving = %+v, %v", r, err)
		}
		write(t, s, func(ctx context.Context, tx *Tx) error { return tx.SetReader(ctx, app, "b", id, 301, 301) })
		if r, err := s.Reader(ctx, app, "b", "c2c:a:b"); err != nil || r.Seen != 250 || r.Head != 301 || r.From != 301 {
			t.Errorf("reader after coming back = %+v, %v", r, err)
		}
		all, err := s.Readable(ctx, app, "a")
		if err != nil || len(all) != 1 || all[0].Head != 301 {
			t.Errorf("readable = %+v, %v", all, err)
		}
		write(t, s, func(ctx context.Context, tx *Tx) error { return tx.SetClosed(ctx, id, true) })
		err = s.Write(ctx, func(ctx context.Context, tx *Tx) error { return appendTo(ctx, tx, id, 1, 3) })
		if !errors.Is(err, ErrClosed) {
			t.Errorf("an append to a closed log: %v", err)
		}
	})
}

func TestWriteIsAllOrNothing(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		boom := errors.New("boom")
		err := s.Write(ctx, func(ctx context.Context, tx *Tx) error {
			if _, _, err := tx.EnsureLog(ctx, app, "group:x"); err != nil {
				t.Error(err)
			}
			return boom
		})
		if err != boom {
			t.Errorf("Write = %v", err)
		}
		if _, err := s.Log(ctx, app, "group:x"); !errors.Is(err, ErrNotFound) {
			t.Errorf("what was rolled back is there: %v", err)
		}
		write(t, s, func(ctx context.Context, tx *Tx) error {
			if err := tx.CreateUser(ctx, app, "a", now); err != nil {
				return err
			}
			err := tx.Savepoint(ctx, func() error { return errors.Join(tx.CreateUser(ctx, app, "b", now), boom) })
			if !errors.Is(err, boom) {
				t.Errorf("Savepoint = %v", err)
			}
			// An error of the database itself, too, must leave the rest alone.
			err = tx.Savepoint(ctx, func() error { return tx.CreateUser(ctx, 4711, "stranger", now) })
			if err == nil || Outage(err) {
				t.Errorf("a user of no app: %v", err)
			}
			return tx.Savepoint(ctx, func() error { return tx.CreateUser(ctx, app, "c", now) })
		})
		users, err := s.Users(ctx, app)
		if err != nil || len(users) != 2 || users[0].ID != "a" || users[1].ID != "c" {
			t.Errorf("users = %+v, %v", users, err)
		}
	})
}

// Two hubs on one database append to the same logs, in opposite orders.
func TestConcurrentStoresStayGapless(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		stores := []*Store{open(t, location), open(t, location)}
		write(t, stores[0], func(ctx context.Context, tx *Tx) error { return tx.CreateApp(ctx, app, now) })
		const rounds = 40
		var wg sync.WaitGroup
		for who, s := range stores {
			wg.Go(func() {
				for range rounds {
					err := s.Write(t.Context(), func(ctx context.Context, tx *Tx) error {
						names := []string{"group:a", "group:b", "group:c"}
						if who == 1 { // provokes deadlocks: Write must run it again
							names = []string{"group:c", "group:b", "group:a"}
						}
						for _, name := range names {
							l, _, err := tx.EnsureLog(ctx, app, name)
							if err == nil {
								err = appendTo(ctx, tx, l.ID, 2, 1)
							}
							if err != nil {
								return err
							}
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for _, name := range []string{"group:a", "group:b", "group:c"} {
			l, err := stores[0].Log(t.Context(), app, name)
			if err != nil || l.Head != 4*rounds {
				t.Fatalf("%s: %+v, %v", name, l, err)
			}
			es, err := stores[1].Entries(t.Context(), l.ID, 0, l.Head, 1000, 1<<20)
			if err != nil || len(es) != 4*rounds {
				t.Fatalf("%s: %d entries, %v", name, len(es), err)
			}
			for i, e := range es {
				if e.Seq != uint64(i)+1 {
					t.Fatalf("%s: entry %d has seq %d", name, i, e.Seq)
				}
			}
		}
	})
}

func TestErasRise(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		for i := range uint32(20) {
			write(t, s, func(ctx context.Context, tx *Tx) error {
				e, err := tx.BeginEra(ctx, ^uint64(i), now)
				if e.Ord != i+1 {
					t.Errorf("era %+v", e)
				}
				return err
			})
		}
		eras, err := s.Eras(t.Context(), 16)
		if err != nil || len(eras) != 16 || eras[0].Ord != 5 || eras[15] != (protocol.Era{Ord: 20, ID: ^uint64(19)}) {
			t.Errorf("eras = %+v, %v", eras, err)
		}
		for want, asked := range map[uint32][]protocol.Era{
			20: eras, 0: {{Ord: 20, ID: 1}, {Ord: 99, ID: 99}}, 7: {eras[1], eras[2], {Ord: 8, ID: 8}, {Ord: 21, ID: 21}},
			1: {{Ord: 1, ID: ^uint64(0)}},
		} {
			if got, err := s.CommonEra(t.Context(), asked); got != want || err != nil {
				t.Errorf("CommonEra(%v) = %d, %v; want %d", asked, got, err, want)
			}
		}
	})
}

func TestProducers(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		if _, err := s.Producer(t.Context(), app, "a", "t"); !errors.Is(err, ErrNotFound) {
			t.Errorf("none: %v", err)
		}
		for _, p := range []Producer{{1, 7, []byte("one")}, {2, 3, []byte("two")}} {
			write(t, s, func(ctx context.Context, tx *Tx) error { return tx.SetProducer(ctx, app, "a", "t", p) })
			got, err := s.Producer(t.Context(), app, "a", "t")
			if err != nil || got.Epoch != p.Epoch || got.LastCseq != p.LastCseq || string(got.LastAcks) != string(p.LastAcks) {
				t.Errorf("producer = %+v, %v", got, err)
			}
		}
	})
}

func TestReopenKeepsAndNewerTablesAreRefused(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		if _, err := Open(t.Context(), location); !errors.Is(err, ErrTables) || !strings.Contains(err.Error(), "start this herald-hub") {
			t.Errorf("no tables: %v", err)
		}
		s, err := OpenAsOwner(t.Context(), location)
		if err != nil {
			t.Fatal(err)
		}
		write(t, s, func(ctx context.Context, tx *Tx) error { return tx.CreateApp(ctx, app, now) })
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, location)
		if apps, err := s.Apps(t.Context()); err != nil || len(apps) != 1 || apps[0] != app {
			t.Errorf("apps = %v, %v", apps, err)
		}
		if _, err := s.writer.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`); err != nil {
			t.Fatal(err)
		}
		for _, f := range []func(context.Context, string) (*Store, error){Open, OpenAsOwner} {
			if _, err := f(t.Context(), location); !errors.Is(err, ErrTables) || !strings.Contains(err.Error(), "newer herald-hub") {
				t.Errorf("tables of a newer program: %v", err)
			}
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, location := range map[string]string{
		"missing directory": filepath.Join(dir, "none", "hub.db"),
		"directory":         dir,
		"garbage":           garbage,
		"other scheme":      "mysql://localhost/x",
		"nobody listens":    "postgres://u:geheim@127.0.0.1:1/x?sslmode=disable",
		"no socket":         "postgres://u:geheim@/x?host=" + dir,
		"password in query": "postgres:///x?user=u&password=geheim&host=" + dir,
		"bad url":           "postgres://u:geheim@[::1/x",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := OpenAsOwner(t.Context(), location)
			if err == nil {
				_ = s.Close()
				t.Fatal("it opens")
			}
			if strings.Contains(err.Error(), "geheim") || !strings.HasPrefix(err.Error(), "open the database") {
				t.Errorf("error: %v", err)
			}
			t.Log(err)
		})
	}
}

func TestFilesAreForTheOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	s := open(t, path)
	write(t, s, func(ctx context.Context, tx *Tx) error { return tx.CreateApp(ctx, app, now) })
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// A full disk must fail the transaction, be told from a bad job, and pass.
func TestFullSQLiteRecovers(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "hub.db"))
	var id LogID
	write(t, s, func(ctx context.Context, tx *Tx) error {
		if err := tx.CreateApp(ctx, app, now); err != nil {
			return err
		}
		l, _, err := tx.EnsureLog(ctx, app, "x")
		id = l.ID
		return err
	})
	pages := func(n string) {
		write(t, s, func(ctx context.Context, tx *Tx) error {
			_, err := tx.link.conn.ExecContext(ctx, "PRAGMA max_page_count = "+n)
			return err
		})
	}
	pages("60")
	big := func() error {
		return s.Write(t.Context(), func(ctx context.Context, tx *Tx) error { return appendTo(ctx, tx, id, 500, 1) })
	}
	var err error
	for range 100 {
		if err = big(); err != nil {
			break
		}
	}
	if err == nil || !Outage(err) {
		t.Fatalf("a full disk: %v", err)
	}
	l, err := s.Log(t.Context(), app, "x")
	if err != nil || l.Head%500 != 0 {
		t.Errorf("head = %d, %v", l.Head, err)
	}
	pages("1000000")
	if err := big(); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func BenchmarkAppend(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "hub.db"))
	var id LogID
	write(b, s, func(ctx context.Context, tx *Tx) error {
		if err := tx.CreateApp(ctx, app, now); err != nil {
			return err
		}
		l, _, err := tx.EnsureLog(ctx, app, "x")
		id = l.ID
		return err
	})
	body := make([]byte, 256)
	const batch = 256
	for b.Loop() {
		write(b, s, func(ctx context.Context, tx *Tx) error {
			first, err := tx.Extend(ctx, id, batch, 1)
			if err != nil {
				return err
			}
			es := entries(first, batch, 1)
			rows := make([]Row, batch)
			for i := range es {
				es[i].Body = body
				rows[i] = Row{id, &es[i]}
			}
			return tx.Insert(ctx, rows)
		})
	}
	b.ReportMetric(float64(b.N)*batch/b.Elapsed().Seconds(), "entries/s")
}

// What is committed is on disk when Write returns. No test can pull the plug, so
// this one looks at what SQLite is told.
func TestSQLiteSyncs(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), File))
	write(t, s, func(ctx context.Context, tx *Tx) error {
		for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1"} {
			var got string
			if err := tx.q.row(ctx, "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %s and not %s: %v", pragma, got, want, err)
			}
		}
		return nil
	})
}
