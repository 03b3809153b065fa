package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Own makes this the only Store of its database that owns it, until it is closed.
// A hub has to: of two, each would give its sessions only what it has written
// itself, and the entries of a log would no longer stand in the order of their
// eras, which terminals go by. ErrOwned: another one has it. Those who do not ask,
// as the operator's commands, may write besides.
//
// On PostgreSQL it is a lock of the writer's connection. When that breaks, so
// does the lock, and no transaction begins on the next one before it is taken
// again. A SQLite file is guarded by whoever has its directory.
func (s *Store) Own(ctx context.Context) error {
	if !s.postgres {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner = true
	s.drop()
	// A hub that was killed a moment ago may not be dead yet for the server.
	const tries, wait = 50, 100 * time.Millisecond
	for try := 0; ; try++ {
		_, err := s.connect(ctx)
		if err == nil || !errors.Is(err, ErrOwned) || try == tries {
			return err
		}
		if err := s.sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// own takes the lock for a connection.
func own(ctx context.Context, conn *sql.Conn) error {
	// The server should find out soon that the machine of an owner is gone. What
	// only resembles PostgreSQL may not know these.
	for _, text := range []string{"SET tcp_keepalives_idle = 10", "SET tcp_keepalives_interval = 5", "SET tcp_keepalives_count = 3"} {
		_, _ = conn.ExecContext(ctx, text) // a connection that is broken shows it next
	}
	var owned bool
	err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock(hashtext('herald-hub'), hashtext(current_schema()))`).Scan(&owned)
	switch {
	case err != nil:
		return fmt.Errorf("own the database: %w", err)
	case !owned:
		return ErrOwned
	}
	return nil
}
