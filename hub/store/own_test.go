package store

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Of two stores that want to own a PostgreSQL one does, until it is closed or
// loses its connection to the other; those that do not ask are not hindered.
func TestOwn(t *testing.T) {
	location := databases.Postgres(t)
	impatient := func() *Store {
		s := open(t, location)
		s.sleep = func(context.Context, time.Duration) error { return nil }
		return s
	}
	first, second, operator := impatient(), impatient(), impatient()
	nothing := func(context.Context, *Tx) error { return nil }
	if err := first.Own(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := second.Own(t.Context()); !errors.Is(err, ErrOwned) || !Outage(err) {
		t.Errorf("a second owner: %v", err)
	}
	if err := second.Write(t.Context(), nothing); !errors.Is(err, ErrOwned) {
		t.Errorf("a second owner writes: %v", err)
	}
	write(t, operator, nothing)

	breakConnections := func() {
		t.Helper()
		rows, err := operator.readers.QueryContext(t.Context(), `SELECT pg_terminate_backend(l.pid) FROM pg_locks l
WHERE l.locktype = 'advisory' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rows.Next() {
			n++
		}
		if err := rows.Close(); err != nil || n != 1 {
			t.Fatalf("%d connections own the database, %v", n, err)
		}
	}
	breakConnections()
	eventually(t, "the first to be the owner again", func() bool { return first.Write(t.Context(), nothing) == nil })
	if err := second.Own(t.Context()); !errors.Is(err, ErrOwned) {
		t.Errorf("a second owner: %v", err)
	}
	breakConnections()
	eventually(t, "the second to be the owner", func() bool { return second.Own(t.Context()) == nil })
	eventually(t, "the first to know", func() bool { return errors.Is(first.Write(t.Context(), nothing), ErrOwned) })
	write(t, second, nothing)
}

// An owner that has lost its connection finds out that the database is not as it
// left it.
func TestOwnerFollowsItsCommits(t *testing.T) {
	ctx := t.Context()
	for what, meddle := range map[string]func(*Tx, LogID) error{
		"nothing":     func(*Tx, LogID) error { return nil },
		"operator":    func(tx *Tx, _ LogID) error { return tx.CreateUser(ctx, app, "u", time.Now()) },
		"another hub": func(tx *Tx, _ LogID) error { _, err := tx.BeginEra(ctx, 2, time.Now()); return err },
		"older state": func(tx *Tx, id LogID) error {
			_, err := tx.q.exec(ctx, `UPDATE logs SET head = 2 WHERE id = $1`, int64(id))
			return err
		},
		"no such log": func(tx *Tx, id LogID) error {
			_, err := tx.q.exec(ctx, `DELETE FROM logs WHERE id = $1`, int64(id))
			return err
		},
		"older, no era": func(tx *Tx, _ LogID) error { _, err := tx.q.exec(ctx, `DELETE FROM eras`); return err },
	} {
		t.Run(what, func(t *testing.T) {
			location := databases.Postgres(t)
			owner, other := open(t, location), open(t, location)
			if err := owner.Own(ctx); err != nil {
				t.Fatal(err)
			}
			var id LogID
			write(t, owner, func(ctx context.Context, tx *Tx) error {
				_, err := tx.BeginEra(ctx, 1, time.Now())
				if err := errors.Join(err, tx.CreateApp(ctx, app, time.Now())); err != nil {
					return err
				}
				l, _, err := tx.EnsureLog(ctx, app, "c2c:a:b")
				if err != nil {
					return err
				}
				id = l.ID
				_, err = tx.Extend(ctx, id, 3, 1)
				return err
			})
			write(t, owner, func(ctx context.Context, tx *Tx) error { // what is undone is not missed
				undone := errors.New("undone")
				err := tx.Savepoint(ctx, func() error { _, err := tx.Extend(ctx, id, 3, 1); return errors.Join(err, undone) })
				if !errors.Is(err, undone) {
					return err
				}
				return nil
			})
			write(t, other, func(_ context.Context, tx *Tx) error { return meddle(tx, id) })
			owner.mu.Lock()
			owner.drop()
			owner.mu.Unlock()
			var err error
			eventually(t, "the lock", func() bool {
				err = owner.Write(ctx, func(context.Context, *Tx) error { return nil })
				return !errors.Is(err, ErrOwned)
			})
			if harmless := what == "nothing" || what == "operator"; harmless != (err == nil) || err != nil && (!errors.Is(err, ErrRewound) || Outage(err)) {
				t.Error(err)
			}
		})
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond) // between two questions
	}
}
