// Package store keeps all that a hub knows: apps and their keys, accounts,
// producers, logs with their readers and entries, groups, eras and the
// operator's orders. It is SQLite in a file or PostgreSQL, with one SQL text and
// one list of migrations for both, and it is the only place with SQL in it.
//
// A [View] reads; it is what a [Store] gives to many readers at once and what a
// [Tx] gives within its transaction. A Tx is made by Write only, one at a time.
// Rules (who may send, what a quit means) are the hub's: here are rows.
//
// What serialises hubs on one PostgreSQL are rows: a log's appends wait for each
// other on its row in logs, changes of a group on its row in chat_groups. Whoever
// takes several logs takes them by rising id.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// File is the name of the SQLite database in a data directory.
const File = "hub.db"

// statementTime is the longest that PostgreSQL may take for one transaction or
// read: a server that hangs must look like one that is away, and that within half
// the 30 s that the unit's watchdog leaves. SQLite needs none: it waits for its
// file only, and its lock has a timeout of its own.
const statementTime = 8 * time.Second

// Store is an open database. Its methods may be called from many goroutines.
type Store struct {
	View
	readers  *sql.DB
	location string
	postgres bool
	sleep    func(context.Context, time.Duration) error

	mu     sync.Mutex // one writer at a time
	owner  bool       // see Own
	writer *sql.DB
	link   *link // nil: to be made
	last   trace // of what is committed; the owner's
}

// Open opens the database at location: a postgres:// or postgresql:// URL, or
// else the path of a file. ErrTables: its tables are not those of this program.
// Errors never hold the URL's password.
func Open(ctx context.Context, location string) (*Store, error) {
	return openAnd(location, func(s *Store) error { return s.checkTables(ctx) })
}

// OpenAsOwner opens a database for a hub: it becomes its owner, see Own, and makes
// the tables or brings them up to date. A SQLite file is made if it is missing.
func OpenAsOwner(ctx context.Context, location string) (*Store, error) {
	return openAnd(location, func(s *Store) error {
		if err := s.Own(ctx); err != nil {
			return err
		}
		return s.migrate(ctx)
	})
}

func openAnd(location string, prepare func(*Store) error) (*Store, error) {
	s := &Store{location: location, sleep: sleep}
	readers, writers := max(4, runtime.GOMAXPROCS(0)), 1
	var err error
	if IsPostgres(location) {
		s.postgres = true
		s.readers, s.writer, err = openPostgres(location)
	} else {
		s.readers, s.writer, err = openSQLite(location)
	}
	if err != nil {
		return nil, err
	}
	s.readers.SetMaxOpenConns(readers)
	s.readers.SetMaxIdleConns(readers)
	s.writer.SetMaxOpenConns(writers)
	s.writer.SetMaxIdleConns(writers)
	s.View = View{&pool{db: s.readers, postgres: s.postgres}}
	if err := prepare(s); err != nil {
		return nil, errors.Join(fmt.Errorf("open the database %s: %w", Redact(location), err), s.Close())
	}
	return s, nil
}

// IsPostgres tells whether location is the URL of a PostgreSQL.
func IsPostgres(location string) bool {
	return strings.HasPrefix(location, "postgres://") || strings.HasPrefix(location, "postgresql://")
}

// Redact is location without a password in it.
func Redact(location string) string {
	if !IsPostgres(location) {
		return location
	}
	u, err := url.Parse(location)
	if err != nil {
		return "postgres://(not a valid URL)"
	}
	q := u.Query()
	if q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}

func openPostgres(location string) (readers, writer *sql.DB, err error) {
	u, err := url.Parse(location)
	if err != nil {
		return nil, nil, errors.New("open the database: the postgres:// URL is not valid: write postgres://USER:PASSWORD@HOST:PORT/NAME")
	}
	q := u.Query()
	if !q.Has("connect_timeout") {
		q.Set("connect_timeout", "10")
	}
	if !q.Has("application_name") {
		q.Set("application_name", "herald-hub")
	}
	u.RawQuery = q.Encode()
	if readers, err = sql.Open("pgx", u.String()); err != nil {
		return nil, nil, fmt.Errorf("open the database %s: %w", Redact(location), err)
	}
	if writer, err = sql.Open("pgx", u.String()); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the database %s: %w", Redact(location), err), readers.Close())
	}
	return readers, writer, nil
}

func openSQLite(path string) (readers, writer *sql.DB, err error) {
	if strings.Contains(path, "://") {
		return nil, nil, fmt.Errorf("open the database: %q is neither a postgres:// URL nor the path of a file", path)
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, nil, fmt.Errorf("open the database: %w", err)
	}
	// SQLite would make the file readable for all within the umask.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open the database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, nil, fmt.Errorf("open the database: %w", err)
	}
	dsn := func(more ...string) string {
		q := url.Values{"_pragma": append([]string{
			"busy_timeout(10000)", // first: also the others wait for the lock
			"journal_mode(WAL)",
			"foreign_keys(1)",
			"temp_store(2)", // in memory
		}, more...)}
		return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
	}
	// synchronous=FULL: a commit in WAL mode is on disk when it returns.
	writer, err = sql.Open("sqlite", dsn("synchronous(2)", "cache_size(-16384)", "wal_autocheckpoint(4000)", "journal_size_limit(67108864)"))
	if err != nil {
		return nil, nil, fmt.Errorf("open the database: %w", err)
	}
	readers, err = sql.Open("sqlite", dsn("query_only(1)", "cache_size(-4096)"))
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the database: %w", err), writer.Close())
	}
	return readers, writer, nil
}

// Close waits for a running Write and closes the database.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != nil {
		s.link.close()
		s.link = nil
	}
	return errors.Join(s.readers.Close(), s.writer.Close())
}

// Postgres tells which of the two databases it is.
func (s *Store) Postgres() bool { return s.postgres }

// Ping reads something that is always there.
func (s *Store) Ping(ctx context.Context) error {
	var n int64
	if err := s.q.row(ctx, `SELECT n FROM counters WHERE name = $1`, "log").Scan(&n); err != nil {
		return fmt.Errorf("read the database: %w", err)
	}
	return nil
}

// ReadContext bounds a read: by ctx and a time on PostgreSQL, by nothing on
// SQLite, where a read waits for nobody and a watcher would cost more than it.
func (s *Store) ReadContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if !s.postgres {
		return context.WithoutCancel(ctx), func() {}
	}
	return context.WithTimeout(ctx, statementTime)
}

// View reads.
type View struct{ q querier }

// querier runs SQL, prepared and kept by its text.
type querier interface {
	exec(ctx context.Context, text string, args ...any) (sql.Result, error)
	rows(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	row(ctx context.Context, text string, args ...any) scanner
}

type scanner interface{ Scan(dest ...any) error }

type failed struct{ err error }

func (f failed) Scan(...any) error { return f.err }

// pool is the querier of many readers.
type pool struct {
	db       *sql.DB
	postgres bool

	mu         sync.RWMutex
	statements map[string]*sql.Stmt
}

func (p *pool) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	p.mu.RLock()
	st := p.statements[text]
	p.mu.RUnlock()
	if st != nil {
		return st, nil
	}
	own := text
	if !p.postgres {
		own = forSQLite(text)
	}
	st, err := p.db.PrepareContext(ctx, own)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if other := p.statements[text]; other != nil {
		return other, st.Close()
	}
	if p.statements == nil {
		p.statements = make(map[string]*sql.Stmt)
	}
	p.statements[text] = st
	return st, nil
}

func (p *pool) exec(context.Context, string, ...any) (sql.Result, error) {
	return nil, errors.New("a view does not write")
}

func (p *pool) rows(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	st, err := p.prepare(ctx, text)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

func (p *pool) row(ctx context.Context, text string, args ...any) scanner {
	st, err := p.prepare(ctx, text)
	if err != nil {
		return failed{err}
	}
	return st.QueryRowContext(ctx, args...)
}

// collect reads all rows with f.
func collect[T any](ctx context.Context, q querier, f func(scanner) (T, error), text string, args ...any) ([]T, error) {
	rows, err := q.rows(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() // its error is that of Err
	var out []T
	for rows.Next() {
		v, err := f(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// LimitPages bounds the size of a SQLite database, in pages of 4 KiB, so that a
// test can have it full; it never becomes smaller than it is.
func (s *Store) LimitPages(ctx context.Context, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.connect(ctx)
	if err != nil {
		return err
	}
	_, err = l.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", n))
	return err
}
