package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/herald-im/herald/protocol"
)

// StoredFile is a row of files: one that is there.
type StoredFile struct {
	Hash    string
	Size    int64     // bytes
	Storage string    // where its bytes are, as whoever keeps them wrote it
	Sent    time.Time // when a message named it last, to a day; the zero value: none did
	Used    time.Time // when it was sent or fetched last, to a day
}

// fileDay is how exact Sent and Used are, so that a file that everybody fetches
// is not written each time.
const fileDay = 24 * time.Hour

const fileColumns = `f.hash, f.size, f.storage, f.sent_ms, f.used_ms`

func scanFile(row scanner) (f StoredFile, err error) {
	var sent, used int64
	err = row.Scan(&f.Hash, &f.Size, &f.Storage, &sent, &used)
	f.Used = time.UnixMilli(used)
	if sent != 0 {
		f.Sent = time.UnixMilli(sent)
	}
	return f, err
}

// File finds a file, or ErrNotFound.
func (v View) File(ctx context.Context, app protocol.AppID, hash string) (StoredFile, error) {
	f, err := scanFile(v.q.row(ctx, `SELECT `+fileColumns+` FROM files f WHERE f.app = $1 AND f.hash = $2`, int64(app), hash))
	if err != nil {
		return f, fmt.Errorf("read the file's row: %w", notFound(err))
	}
	return f, nil
}

// OwnsFile tells whether an account has uploaded a file. It may be gone.
func (v View) OwnsFile(ctx context.Context, app protocol.AppID, user, hash string) (is bool, err error) {
	err = v.q.row(ctx, `SELECT EXISTS (SELECT 1 FROM file_owners WHERE app = $1 AND hash = $2 AND user_id = $3)`,
		int64(app), hash, user).Scan(&is)
	if err != nil {
		return false, fmt.Errorf("read the file's owners: %w", err)
	}
	return is, nil
}

// MayReadFile tells whether an account may have a file, which may be gone: it has
// uploaded it, or a message names it that the account reads now, or it is granted to
// a group that the account is a member of now.
func (v View) MayReadFile(ctx context.Context, app protocol.AppID, user, hash string, now time.Time) (may bool, err error) {
	err = v.q.row(ctx, `SELECT EXISTS (SELECT 1 FROM file_owners WHERE app = $1 AND hash = $2 AND user_id = $3)
OR EXISTS (SELECT 1 FROM file_refs f JOIN readers r ON r.log_id = f.log_id
  WHERE f.app = $1 AND f.hash = $2 AND r.app = $1 AND r.user_id = $3 AND r.to_seq IS NULL AND f.seq > r.from_seq AND f.seq > r.cleared_seq)
OR EXISTS (SELECT 1 FROM file_grants g JOIN members m ON m.app = g.app AND m.group_id = g.group_id
  WHERE g.app = $1 AND g.hash = $2 AND g.until_ms > $4 AND m.user_id = $3)`,
		int64(app), hash, user, now.UnixMilli()).Scan(&may)
	if err != nil {
		return false, fmt.Errorf("read who may have the file: %w", err)
	}
	return may, nil
}

// FileTotals are the files of an app together.
type FileTotals struct {
	Files  int64
	Bytes  int64
	Oldest time.Time // when the one was stored that is there for longest; the zero value: there is none
}

// FileTotals counts the files that are there.
func (v View) FileTotals(ctx context.Context, app protocol.AppID) (t FileTotals, err error) {
	var oldest int64
	// A sum of BIGINT is NUMERIC in PostgreSQL.
	err = v.q.row(ctx, `SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT), COALESCE(MIN(created_ms), 0) FROM files WHERE app = $1`,
		int64(app)).Scan(&t.Files, &t.Bytes, &oldest)
	if err != nil {
		return t, fmt.Errorf("count the files: %w", err)
	}
	if oldest != 0 {
		t.Oldest = time.UnixMilli(oldest)
	}
	return t, nil
}

// Which files f of app $1 are due that nobody has used since $2: those who have
// uploaded one lately, or asked for it, are to send it yet. What is granted is
// wanted until EndFileGrants.
const (
	notWanted = ` AND NOT EXISTS (SELECT 1 FROM file_owners o WHERE o.app = $1 AND o.hash = f.hash AND o.added_ms >= $2)
AND NOT EXISTS (SELECT 1 FROM file_grants g WHERE g.app = $1 AND g.hash = f.hash)`
	unused = `f.app = $1 AND f.refs = 0 AND f.created_ms < $2 AND f.sent_ms < $2` + notWanted
	aged   = `f.app = $1 AND f.sent_ms > 0 AND f.sent_ms < $2` + notWanted
)

// UnusedFiles lists files that no message names, that nobody has uploaded, or asked
// for, since before, and that are granted to nobody; the oldest first.
func (v View) UnusedFiles(ctx context.Context, app protocol.AppID, before time.Time, limit int) ([]StoredFile, error) {
	return v.files(ctx, `SELECT `+fileColumns+` FROM files f WHERE `+unused+` ORDER BY f.created_ms, f.hash LIMIT $3`,
		int64(app), before.UnixMilli(), limit)
}

// AgedFiles lists files that no message has named since before, that nobody has
// uploaded, or asked for, and that are granted to nobody; the oldest first.
func (v View) AgedFiles(ctx context.Context, app protocol.AppID, before time.Time, limit int) ([]StoredFile, error) {
	return v.files(ctx, `SELECT `+fileColumns+` FROM files f WHERE `+aged+` ORDER BY f.sent_ms, f.hash LIMIT $3`,
		int64(app), before.UnixMilli(), limit)
}

// LeastUsedFiles lists files, those first that were not used for longest.
func (v View) LeastUsedFiles(ctx context.Context, app protocol.AppID, limit int) ([]StoredFile, error) {
	return v.files(ctx, `SELECT `+fileColumns+` FROM files f WHERE f.app = $1 ORDER BY f.used_ms, f.hash LIMIT $2`, int64(app), limit)
}

// FilesWithin lists the files with low <= hash < high.
func (v View) FilesWithin(ctx context.Context, app protocol.AppID, low, high string) ([]StoredFile, error) {
	return v.files(ctx, `SELECT `+fileColumns+` FROM files f WHERE f.app = $1 AND f.hash >= $2 AND f.hash < $3`, int64(app), low, high)
}

func (v View) files(ctx context.Context, text string, args ...any) ([]StoredFile, error) {
	out, err := collect(ctx, v.q, scanFile, text, args...)
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	return out, nil
}

// PutFile keeps where a file is and how long. Messages that named it when it was
// there before name it again.
func (t *Tx) PutFile(ctx context.Context, app protocol.AppID, hash string, size int64, storage string, now time.Time) error {
	_, err := t.q.exec(ctx, `INSERT INTO files (app, hash, size, storage, created_ms, sent_ms, used_ms, refs)
SELECT CAST($1 AS BIGINT), CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS TEXT), CAST($5 AS BIGINT), CASE WHEN n.refs > 0 THEN CAST($5 AS BIGINT) ELSE 0 END, CAST($5 AS BIGINT), n.refs
FROM (SELECT COUNT(*) AS refs FROM file_refs WHERE app = $1 AND hash = $2) AS n WHERE true
ON CONFLICT (app, hash) DO UPDATE SET size = excluded.size, storage = excluded.storage, used_ms = excluded.used_ms`,
		int64(app), hash, size, storage, now.UnixMilli())
	if err != nil {
		return fmt.Errorf("keep the file's row: %w", err)
	}
	return nil
}

// AddFileOwner notes that an account has uploaded a file, or wants to send it.
func (t *Tx) AddFileOwner(ctx context.Context, app protocol.AppID, hash, user string, now time.Time) error {
	_, err := t.q.exec(ctx, `INSERT INTO file_owners (app, hash, user_id, added_ms) VALUES ($1, $2, $3, $4)
ON CONFLICT (app, hash, user_id) DO UPDATE SET added_ms = excluded.added_ms`, int64(app), hash, user, now.UnixMilli())
	if err != nil {
		return fmt.Errorf("keep the file's owner: %w", err)
	}
	return nil
}

// AddFileRef notes that an entry names a file. Twice is once.
func (t *Tx) AddFileRef(ctx context.Context, app protocol.AppID, hash string, id LogID, seq uint64, now time.Time) error {
	res, err := t.q.exec(ctx, `INSERT INTO file_refs (app, hash, log_id, seq) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		int64(app), hash, int64(id), int64(seq))
	switch err := t.one(res, err, ErrExists, "note what names the file"); {
	case errors.Is(err, ErrExists):
		return nil
	case err != nil:
		return err
	}
	ms, day := now.UnixMilli(), now.Add(-fileDay).UnixMilli()
	_, err = t.q.exec(ctx, `UPDATE files SET refs = refs + 1, sent_ms = CASE WHEN sent_ms < $4 THEN $3 ELSE sent_ms END,
used_ms = CASE WHEN used_ms < $4 THEN $3 ELSE used_ms END WHERE app = $1 AND hash = $2`, int64(app), hash, ms, day)
	if err != nil {
		return fmt.Errorf("note what names the file: %w", err)
	}
	return nil
}

// DropFileRefs forgets what files an entry names: it was taken back.
func (t *Tx) DropFileRefs(ctx context.Context, app protocol.AppID, id LogID, seq uint64) error {
	hashes, err := collect(ctx, t.q, func(row scanner) (hash string, err error) { return hash, row.Scan(&hash) },
		`DELETE FROM file_refs WHERE log_id = $1 AND seq = $2 RETURNING hash`, int64(id), int64(seq))
	for _, hash := range hashes {
		if err == nil {
			_, err = t.q.exec(ctx, `UPDATE files SET refs = refs - 1 WHERE app = $1 AND hash = $2`, int64(app), hash)
		}
	}
	if err != nil {
		return fmt.Errorf("forget what names the file: %w", err)
	}
	return nil
}

// GrantFile lets whoever is a member of a group have a file until then.
func (t *Tx) GrantFile(ctx context.Context, app protocol.AppID, hash, group string, until time.Time) error {
	_, err := t.q.exec(ctx, `INSERT INTO file_grants (app, hash, group_id, until_ms) VALUES ($1, $2, $3, $4)
ON CONFLICT (app, hash, group_id) DO UPDATE SET until_ms = excluded.until_ms WHERE file_grants.until_ms < excluded.until_ms`,
		int64(app), hash, group, until.UnixMilli())
	if err != nil {
		return fmt.Errorf("let the group have the file: %w", err)
	}
	return nil
}

// UseFile notes that a file was fetched, or asked for to be sent.
func (t *Tx) UseFile(ctx context.Context, app protocol.AppID, hash string, now time.Time) error {
	_, err := t.q.exec(ctx, `UPDATE files SET used_ms = $3 WHERE app = $1 AND hash = $2 AND used_ms < $4`,
		int64(app), hash, now.UnixMilli(), now.Add(-fileDay).UnixMilli())
	if err != nil {
		return fmt.Errorf("note that the file was used: %w", err)
	}
	return nil
}

// DeleteFile removes a file's row if it is still as it was read. ErrNotFound: it is
// not, or gone.
func (t *Tx) DeleteFile(ctx context.Context, app protocol.AppID, f StoredFile) error {
	var sent int64
	if !f.Sent.IsZero() {
		sent = f.Sent.UnixMilli()
	}
	return t.deleteFile(ctx, `DELETE FROM files WHERE app = $1 AND hash = $2 AND used_ms = $3 AND sent_ms = $4`,
		int64(app), f.Hash, f.Used.UnixMilli(), sent)
}

// DeleteUnusedFile is DeleteFile for one that UnusedFiles has listed and still would.
func (t *Tx) DeleteUnusedFile(ctx context.Context, app protocol.AppID, f StoredFile, before time.Time) error {
	return t.deleteFile(ctx, `DELETE FROM files AS f WHERE `+unused+` AND f.hash = $3`, int64(app), before.UnixMilli(), f.Hash)
}

// DeleteAgedFile is DeleteFile for one that AgedFiles has listed and still would.
func (t *Tx) DeleteAgedFile(ctx context.Context, app protocol.AppID, f StoredFile, before time.Time) error {
	return t.deleteFile(ctx, `DELETE FROM files AS f WHERE `+aged+` AND f.hash = $3`, int64(app), before.UnixMilli(), f.Hash)
}

func (t *Tx) deleteFile(ctx context.Context, text string, args ...any) error {
	res, err := t.q.exec(ctx, text, args...)
	return t.one(res, err, ErrNotFound, "remove the file's row")
}

// FileOwner is who has uploaded a file.
type FileOwner struct{ Hash, User string }

// FormerFileOwners lists owners who were added before then and whose files are
// gone. It looks at all who were added before.
func (v View) FormerFileOwners(ctx context.Context, app protocol.AppID, before time.Time, limit int) ([]FileOwner, error) {
	out, err := collect(ctx, v.q, func(row scanner) (o FileOwner, err error) { return o, row.Scan(&o.Hash, &o.User) },
		`SELECT o.hash, o.user_id FROM file_owners o WHERE o.app = $1 AND o.added_ms < $2
AND NOT EXISTS (SELECT 1 FROM files f WHERE f.app = $1 AND f.hash = o.hash) LIMIT $3`, int64(app), before.UnixMilli(), limit)
	if err != nil {
		return nil, fmt.Errorf("list owners of files that are gone: %w", err)
	}
	return out, nil
}

// DeleteFileOwner removes what FormerFileOwners has listed, if it is still so.
func (t *Tx) DeleteFileOwner(ctx context.Context, app protocol.AppID, o FileOwner, before time.Time) error {
	_, err := t.q.exec(ctx, `DELETE FROM file_owners WHERE app = $1 AND hash = $2 AND user_id = $3 AND added_ms < $4
AND NOT EXISTS (SELECT 1 FROM files f WHERE f.app = $1 AND f.hash = $2)`, int64(app), o.Hash, o.User, before.UnixMilli())
	if err != nil {
		return fmt.Errorf("remove the file's owner: %w", err)
	}
	return nil
}

// EndFileGrants removes what was granted until now.
func (t *Tx) EndFileGrants(ctx context.Context, app protocol.AppID, now time.Time) error {
	if _, err := t.q.exec(ctx, `DELETE FROM file_grants WHERE app = $1 AND until_ms < $2`, int64(app), now.UnixMilli()); err != nil {
		return fmt.Errorf("end what was granted: %w", err)
	}
	return nil
}
