package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
)

// Snapshot runs f with a view in which nothing changes while f runs.
func (s *Store) Snapshot(ctx context.Context, f func(View) error) error {
	conn, err := s.readers.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close() // gives it back to the pool, which knows whether it is broken
	begin := "BEGIN"   // what it sees is fixed by its first read
	if s.postgres {
		begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	}
	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	err = f(View{connection{conn, s.postgres}})
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTime)
	defer cancel()
	if _, e := conn.ExecContext(end, "ROLLBACK"); e != nil {
		// Nobody else is to get it with a transaction open.
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	return err
}

// connection is the querier of a snapshot. It keeps no statements: it is soon
// given back.
type connection struct {
	conn     *sql.Conn
	postgres bool
}

func (c connection) own(text string) string {
	if c.postgres {
		return text
	}
	return forSQLite(text)
}

func (c connection) exec(context.Context, string, ...any) (sql.Result, error) {
	return nil, errors.New("a view does not write")
}

func (c connection) rows(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	return c.conn.QueryContext(ctx, c.own(text), args...)
}

func (c connection) row(ctx context.Context, text string, args ...any) scanner {
	return c.conn.QueryRowContext(ctx, c.own(text), args...)
}
