package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"time"
)

// Tx is the one write transaction. It is valid while Write's function runs.
type Tx struct {
	View
	link *link
	last trace
}

// retries bounds how often a transaction that lost against another is run
// again. Two that want the same rows in the other order may lose in turn for a while.
const retries = 16

// Write runs f in a transaction and commits it. When the database asks for it
// (PostgreSQL, 40001 and 40P01) the whole is run again, so f must begin with
// nothing left of an earlier run. An error of f rolls back and is returned. Any
// error may be asked with [Outage] whether a later try can do better. After an
// error of the commit it is not known whether it was done.
func (s *Store) Write(ctx context.Context, f func(context.Context, *Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for try := 0; ; try++ {
		err := s.once(ctx, f)
		if err == nil || try == retries || !conflict(err) {
			return err
		}
		limit := time.Millisecond << min(try, 6)
		if err := s.sleep(ctx, rand.N(limit)+1); err != nil {
			return err
		}
	}
}

func (s *Store) once(ctx context.Context, f func(context.Context, *Tx) error) error {
	if s.postgres {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, statementTime)
		defer cancel()
	} else {
		// A transaction on a local file is short; to be cancelled it would need
		// a watcher for each statement.
		ctx = context.WithoutCancel(ctx)
	}
	l, err := s.connect(ctx)
	if err != nil {
		return err
	}
	if err := l.begin(ctx, s.postgres); err != nil {
		s.drop()
		return fmt.Errorf("begin: %w", err)
	}
	tx := &Tx{View: View{l}, link: l, last: s.last}
	if s.owner && !l.followed {
		err = tx.follows(ctx)
	}
	if err == nil {
		err = f(ctx, tx)
	}
	if err != nil {
		s.rollback(ctx, l)
		return err
	}
	if _, err := l.conn.ExecContext(ctx, "COMMIT"); err != nil {
		s.rollback(ctx, l)
		return &commitError{err}
	}
	l.followed, s.last = true, tx.last
	return nil
}

// commitError is what a commit ended with.
type commitError struct{ err error }

func (e *commitError) Error() string { return "commit: " + e.err.Error() }
func (e *commitError) Unwrap() error { return e.err }

// Uncertain tells whether a transaction may have been done although Write
// returned err.
func Uncertain(err error) bool { return errors.As(err, new(*commitError)) }

// rollback ends the transaction, which the database may have ended already.
func (s *Store) rollback(ctx context.Context, l *link) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTime)
	defer cancel()
	if _, err := l.conn.ExecContext(ctx, "ROLLBACK"); err != nil && s.postgres {
		s.drop()
	}
}

// Savepoint runs f so that what it wrote is undone if it fails. The error of f
// is returned; a *SavepointError means that the transaction itself is lost.
func (t *Tx) Savepoint(ctx context.Context, f func() error) error {
	if _, err := t.link.exec(ctx, "SAVEPOINT job"); err != nil {
		return &SavepointError{err}
	}
	before := t.last
	err := f()
	if err != nil {
		t.last = before
		if _, undo := t.link.exec(ctx, "ROLLBACK TO SAVEPOINT job"); undo != nil {
			return &SavepointError{errors.Join(err, undo)}
		}
	}
	if _, release := t.link.exec(ctx, "RELEASE SAVEPOINT job"); release != nil {
		return &SavepointError{errors.Join(err, release)}
	}
	return err
}

// SavepointError is in the chain when a transaction cannot go on.
type SavepointError struct{ err error }

func (e *SavepointError) Error() string { return "savepoint: " + e.err.Error() }
func (e *SavepointError) Unwrap() error { return e.err }

// link is the writer's connection with its prepared statements.
type link struct {
	conn       *sql.Conn
	postgres   bool
	statements map[string]*sql.Stmt
	followed   bool // the database is known to hold what the owner has committed
}

func (s *Store) connect(ctx context.Context) (*link, error) {
	if s.link != nil {
		return s.link, nil
	}
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if s.owner {
		if err := own(ctx, conn); err != nil {
			_ = conn.Close() // gives it back to the pool, which knows whether it is broken
			return nil, err
		}
	}
	s.link = &link{conn: conn, postgres: s.postgres, statements: make(map[string]*sql.Stmt)}
	return s.link, nil
}

// drop gives a connection up that may be broken.
func (s *Store) drop() {
	if s.link != nil {
		_ = s.link.conn.Raw(func(any) error { return driver.ErrBadConn }) // tells the pool to throw it away
		s.link.close()
		s.link = nil
	}
}

func (l *link) close() {
	for _, st := range l.statements {
		_ = st.Close() // goes with the connection
	}
	_ = l.conn.Close() // gives it back to a pool that is being closed, or knows it is broken
}

func (l *link) begin(ctx context.Context, postgres bool) error {
	text := "BEGIN IMMEDIATE"
	if postgres {
		text = "BEGIN"
	}
	_, err := l.conn.ExecContext(ctx, text)
	return err
}

func (l *link) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	if st := l.statements[text]; st != nil {
		return st, nil
	}
	own := text
	if !l.postgres {
		own = positional(forSQLite(text))
	}
	st, err := l.conn.PrepareContext(ctx, own)
	if err == nil {
		l.statements[text] = st
	}
	return st, err
}

func (l *link) exec(ctx context.Context, text string, args ...any) (sql.Result, error) {
	st, err := l.prepare(ctx, text)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(ctx, args...)
}

func (l *link) rows(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	st, err := l.prepare(ctx, text)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

func (l *link) row(ctx context.Context, text string, args ...any) scanner {
	st, err := l.prepare(ctx, text)
	if err != nil {
		return failed{err}
	}
	return st.QueryRowContext(ctx, args...)
}

// next gives out a number of a counter. Its row stays locked until the commit,
// so the numbers become visible in their order.
func (t *Tx) next(ctx context.Context, counter string) (int64, error) {
	var n int64
	err := t.q.row(ctx, `UPDATE counters SET n = n + 1 WHERE name = $1 RETURNING n`, counter).Scan(&n)
	return n, err
}

var parameter = regexp.MustCompile(`\$\d+`)

// positional writes $1, $2, … as ? where each stands once and in order: SQLite's
// driver looks up the name of each parameter in a list, which takes a statement
// with 640 of them as long as all the rest of its work.
func positional(text string) string {
	for i, p := range parameter.FindAllString(text, -1) {
		if p != "$"+strconv.Itoa(i+1) {
			return text
		}
	}
	return parameter.ReplaceAllString(text, "?")
}
