package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What a method says when a row is not there, or is not as it must be.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrClosed   = errors.New("the log takes no more entries")
	ErrTables   = errors.New("its tables are not those of this herald-hub")
	ErrRewound  = errors.New("the database is not as this hub left it: it was put back to an older state, or another hub has worked with it")
	ErrOwned    = errors.New("another hub works with this database: stop it first")
)

func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// conflict tells whether the same transaction may well succeed at once.
func conflict(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// Outage tells whether err is the database's present state (full, away, locked,
// read only) and not the fault of what was to be written.
func Outage(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY,
			sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT,
			sqlite3.SQLITE_PERM, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return true
		}
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case strings.HasPrefix(pg.Code, "08"), // connection
			strings.HasPrefix(pg.Code, "25006"), // read only
			strings.HasPrefix(pg.Code, "28"),    // login
			strings.HasPrefix(pg.Code, "3D"),    // no such database
			strings.HasPrefix(pg.Code, "40"),    // rolled back
			strings.HasPrefix(pg.Code, "53"),    // disk full, too many connections
			strings.HasPrefix(pg.Code, "55"),    // locked
			strings.HasPrefix(pg.Code, "57"),    // shutting down, cancelled
			strings.HasPrefix(pg.Code, "58"),    // its own disk
			strings.HasPrefix(pg.Code, "XX"):
			return true
		}
		return false
	}
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.Is(err, ErrOwned) || errors.As(err, &network) || errors.As(err, &connect) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		strings.Contains(err.Error(), "conn closed") // pgx has no value for it
}
