package store

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"regexp"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the tables up to date. Of several hubs that start at once on a
// PostgreSQL one does it and the others wait.
func (s *Store) migrate(ctx context.Context) error {
	dialect := goose.DialectPostgres
	var opts []goose.ProviderOption
	if s.postgres {
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return err
		}
		opts = append(opts, goose.WithSessionLocker(locker))
	} else {
		dialect = goose.DialectSQLite3
	}
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if !s.postgres {
		dir = sqliteFiles{dir}
	}
	p, err := goose.NewProvider(dialect, s.writer, dir, append(opts, goose.WithDisableGlobalRegistry(true))...)
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return fmt.Errorf("its tables are of version %d and this program knows up to %d: a newer herald-hub has used it, so run that one", have, want)
	}
	if have == want {
		return nil
	}
	_, err = p.Up(ctx)
	return err
}

var sqliteOnly = regexp.MustCompile(`/\* sqlite: ([^*]*)\*/`)

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
