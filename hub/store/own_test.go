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

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond) // between two questions
	}
}
