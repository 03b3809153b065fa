package store

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// provider knows the versions of the tables in db.
func (s *Store) provider(db *sql.DB) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	dialect := goose.DialectPostgres
	if !s.postgres {
		dialect, dir = goose.DialectSQLite3, sqliteFiles{dir}
	}
	return goose.NewProvider(dialect, db, dir, goose.WithDisableGlobalRegistry(true))
}

// checkTables returns ErrTables unless the tables are those of this program.
func (s *Store) checkTables(ctx context.Context) error {
	p, err := s.provider(s.writer)
	if err != nil {
		return err
	}
	_, err = pending(ctx, p)
	return err
}

// pending says whether the tables are older than this program.
func pending(ctx context.Context, p *goose.Provider) (older bool, err error) {
	have, want, err := p.GetVersions(ctx)
	switch {
	case err != nil:
		return false, err
	case have > want:
		return false, fmt.Errorf("%w: they are of version %d and this program knows up to %d: a newer herald-hub has used it, so run that one", ErrTables, have, want)
	case have < want:
		return true, fmt.Errorf("%w: they are of version %d and this program wants %d: start this herald-hub run on it first", ErrTables, have, want)
	}
	return false, nil
}

// migrate brings the tables up to date. Only the owner may: another hub would not
// know what it then reads.
func (s *Store) migrate(ctx context.Context) (err error) {
	db := s.writer
	if s.postgres { // the writer's one connection holds the lock
		readers, writer, err := openPostgres(s.location)
		if err != nil {
			return err
		}
		db = writer
		defer func() { err = errors.Join(err, readers.Close(), writer.Close()) }()
	}
	p, err := s.provider(db)
	if err != nil {
		return err
	}
	older, err := pending(ctx, p)
	if !older {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

var sqliteOnly = regexp.MustCompile(`/\* sqlite: ([^*]*)\*/`)

// forSQLite opens the comments of a statement that are for SQLite.
func forSQLite(text string) string { return sqliteOnly.ReplaceAllString(text, "$1") }

// sqliteFiles are migrations in which the comments for SQLite are opened.
type sqliteFiles struct{ fs.FS }

func (f sqliteFiles) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil || info.IsDir() {
		return file, err
	}
	b, err := io.ReadAll(file)
	return &opened{File: file, text: bytes.NewReader(sqliteOnly.ReplaceAll(b, []byte("$1")))}, err
}

type opened struct {
	fs.File
	text *bytes.Reader
}

func (o *opened) Read(p []byte) (int, error) { return o.text.Read(p) }
