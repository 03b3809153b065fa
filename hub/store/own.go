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
// again and the owner's last commit is found there: else Write returns ErrRewound,
// and the owner should begin anew. A SQLite file is guarded by whoever has its
// directory.
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

// trace is what an owner's commits have left last: where it stands, so does all
// that was committed before.
type trace struct {
	era  uint32
	log  LogID
	head uint64
}

// follows tells whether the database holds what the owner has committed last, and
// nothing of another one.
func (t *Tx) follows(ctx context.Context) error {
	if t.last.era == 0 {
		return nil // it has only just begun
	}
	var era uint32
	if err := t.q.row(ctx, `SELECT COALESCE(MAX(ord), 0) FROM eras`).Scan(&era); err != nil {
		return fmt.Errorf("look for the last commit: %w", err)
	}
	head := uint64(0)
	if t.last.log != 0 {
		err := t.q.row(ctx, `SELECT head FROM logs WHERE id = $1`, int64(t.last.log)).Scan(&head)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("look for the last commit: %w", err)
		}
	}
	if era != t.last.era || head < t.last.head {
		return ErrRewound
	}
	return nil
}
