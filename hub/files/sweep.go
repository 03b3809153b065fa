package files

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/herald-im/herald/hub/store"
)

const (
	sweepRows  = 100                 // files of one transaction, so that messages never wait long
	ownersFor  = 30 * 24 * time.Hour // who has uploaded a file that is gone is told so for as long
	rarely     = 24 * time.Hour      // what looks at everything is done no more often
	maxOrphans = 100_000             // that are remembered between two looks
)

// swept counts what a sweep has removed.
type swept struct {
	half, unused, aged, pushed, orphans int
	bytes                               int64
}

// sweep removes what is due: unfinished uploads and files that no message names
// after UnusedFor, files after MaxAge, and those that were not used for longest
// where all have more than MaxBytes.
func (s *Server) sweep(ctx context.Context) error {
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	var n swept
	err := s.sweepAll(ctx, &n)
	read, cancel := s.cfg.Store.ReadContext(ctx)
	defer cancel()
	t, totalErr := s.cfg.Store.FileTotals(read, s.cfg.App)
	if totalErr == nil {
		s.files.Store(t.Files)
		s.bytes.Store(t.Bytes)
	}
	if n != (swept{}) {
		half, halfBytes := s.shelf.stats()
		s.log.Info("files removed", "unfinished", n.half, "unused", n.unused, "old", n.aged, "overMaxBytes", n.pushed, "withoutRow", n.orphans,
			"bytes", n.bytes, "filesLeft", t.Files, "bytesLeft", t.Bytes, "unfinishedLeft", half, "unfinishedBytesLeft", halfBytes)
	}
	return errors.Join(err, totalErr)
}

func (s *Server) sweepAll(ctx context.Context, n *swept) error {
	now := s.cfg.Now()
	if err := s.keepUsed(now); err != nil {
		return err
	}
	unused := now.Add(-s.cfg.UnusedFor)
	if err := s.sweepHalf(unused, n); err != nil {
		return err
	}
	// What is granted no more keeps no file from here on.
	err := s.cfg.Write(func(ctx context.Context, tx *store.Tx) error { return tx.EndFileGrants(ctx, s.cfg.App, now) })
	if err != nil {
		return err
	}
	v := s.cfg.Store.View
	err = s.each(ctx, n, &n.unused, func(ctx context.Context) ([]store.StoredFile, error) {
		return v.UnusedFiles(ctx, s.cfg.App, unused, sweepRows)
	}, func(ctx context.Context, tx *store.Tx, f store.StoredFile) error {
		return tx.DeleteUnusedFile(ctx, s.cfg.App, f, unused)
	})
	if err != nil {
		return err
	}
	if s.cfg.MaxAge > 0 {
		aged := now.Add(-s.cfg.MaxAge)
		err := s.each(ctx, n, &n.aged, func(ctx context.Context) ([]store.StoredFile, error) {
			return v.AgedFiles(ctx, s.cfg.App, aged, sweepRows)
		}, func(ctx context.Context, tx *store.Tx, f store.StoredFile) error {
			return tx.DeleteAgedFile(ctx, s.cfg.App, f, aged)
		})
		if err != nil {
			return err
		}
	}
	err = s.each(ctx, n, &n.pushed, func(ctx context.Context) ([]store.StoredFile, error) {
		t, err := v.FileTotals(ctx, s.cfg.App)
		if err != nil {
			return nil, err
		}
		_, half := s.shelf.stats()
		over := t.Bytes + half - s.cfg.MaxBytes
		if over <= 0 {
			return nil, nil
		}
		list, err := v.LeastUsedFiles(ctx, s.cfg.App, sweepRows)
		for i, f := range list {
			if over -= f.Size; over <= 0 {
				return list[:i+1], err
			}
		}
		return list, err
	}, func(ctx context.Context, tx *store.Tx, f store.StoredFile) error {
		return tx.DeleteFile(ctx, s.cfg.App, f)
	})
	if err != nil || now.Sub(s.checked) < rarely {
		return err
	}
	if err = s.sweepOwners(ctx, now.Add(-max(ownersFor, s.cfg.UnusedFor))); err == nil {
		err = s.sweepOrphans(ctx, now, n)
	}
	if err == nil {
		s.checked = now
	}
	return err
}

// sweepOwners forgets who has uploaded files that are long gone.
func (s *Server) sweepOwners(ctx context.Context, before time.Time) error {
	for ctx.Err() == nil {
		read, cancel := s.cfg.Store.ReadContext(ctx)
		former, err := s.cfg.Store.FormerFileOwners(read, s.cfg.App, before, sweepRows)
		cancel()
		if err != nil || len(former) == 0 {
			return err
		}
		err = s.cfg.Write(func(ctx context.Context, tx *store.Tx) error {
			for _, o := range former {
				if err := tx.DeleteFileOwner(ctx, s.cfg.App, o, before); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// keepUsed writes which files were fetched.
func (s *Server) keepUsed(now time.Time) error {
	for part := range slices.Chunk(s.used.take(), sweepRows) {
		err := s.cfg.Write(func(ctx context.Context, tx *store.Tx) error {
			for _, hash := range part {
				if err := tx.UseFile(ctx, s.cfg.App, hash, now); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err // the next download notes it again
		}
	}
	return nil
}

func (s *Server) sweepHalf(before time.Time, n *swept) error {
	for _, id := range s.shelf.stale(before) {
		release := s.turns.try(id)
		if release == nil {
			continue // somebody goes on with it
		}
		h, there, err := s.shelf.state(id)
		if err == nil && there {
			err = s.shelf.drop(id)
			n.half++
			n.bytes += h.have
		}
		release()
		if err != nil {
			return fmt.Errorf("remove an unfinished upload: %w", err)
		}
	}
	return nil
}

// each removes what list gives until it gives nothing that can be removed.
func (s *Server) each(ctx context.Context, n *swept, count *int, list func(context.Context) ([]store.StoredFile, error),
	remove func(context.Context, *store.Tx, store.StoredFile) error) error {
	for ctx.Err() == nil {
		read, cancel := s.cfg.Store.ReadContext(ctx)
		due, err := list(read)
		cancel()
		if err != nil || len(due) == 0 {
			return err
		}
		gone, err := s.remove(ctx, due, remove)
		*count += len(gone)
		for _, f := range gone {
			n.bytes += f.Size
		}
		if err != nil || len(gone) == 0 {
			return err
		}
	}
	return ctx.Err()
}

// remove removes files: their rows in one transaction, and then their bytes. Those
// that somebody uploads again at this moment stay, and those whose row is not what
// it was.
func (s *Server) remove(ctx context.Context, due []store.StoredFile, remove func(context.Context, *store.Tx, store.StoredFile) error) ([]store.StoredFile, error) {
	var held []store.StoredFile
	for _, f := range due {
		if release := s.turns.try(f.Hash); release != nil {
			defer release()
			held = append(held, f)
		}
	}
	var gone []store.StoredFile
	err := s.cfg.Write(func(ctx context.Context, tx *store.Tx) error {
		gone = nil // nothing is left of an earlier run
		for _, f := range held {
			switch err := remove(ctx, tx, f); {
			case err == nil:
				gone = append(gone, f)
			case !errors.Is(err, store.ErrNotFound):
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, f := range gone {
		v, err := s.vaultOf(f)
		if err == nil {
			err = v.remove(ctx, f)
		}
		if err != nil {
			what := "a file's bytes are not removed: a later sweep finds them"
			if !s.sweeps(f) {
				what = "a file's bytes are not removed: no sweep looks there, so they stay until you remove them"
			}
			s.complain(what, "hash", f.Hash, "storage", f.Storage, "err", err)
		}
	}
	return gone, nil
}

// sweeps tells whether sweepOrphans looks where a file is: not in a bucket of an
// earlier configuration.
func (s *Server) sweeps(f store.StoredFile) bool {
	b, ok := s.vault.(*bucket)
	return f.Storage == onDisk || ok && f.Storage == b.storage(f.Hash)
}

// sweepOrphans removes bytes that no row knows: of uploads that broke off just
// before their end, or of a database that was put back. It does so only once they
// were without a row for UnusedFor as this process has seen it, so that a hub that
// was started on the wrong database does not take all files with it.
func (s *Server) sweepOrphans(ctx context.Context, now time.Time, n *swept) error {
	vaults := []vault{s.disk}
	if s.cfg.S3.Bucket != "" {
		vaults = append(vaults, s.vault)
	}
	seen := make(map[string]time.Time)
	for i := range 256 {
		digits := fmt.Sprintf("%02x", i)
		for _, v := range vaults {
			found, err := v.list(ctx, digits)
			if err != nil || len(found) == 0 {
				if err != nil {
					return err
				}
				continue
			}
			read, cancel := s.cfg.Store.ReadContext(ctx)
			rows, err := s.cfg.Store.FilesWithin(read, s.cfg.App, digits, digits+"g") // after all hex digits
			cancel()
			if err != nil {
				return err
			}
			known := make(map[string]string, len(rows))
			for _, f := range rows {
				known[f.Hash] = f.Storage
			}
			for _, f := range found {
				if known[f.Hash] == f.Storage {
					continue
				}
				since, before := s.orphans[f.Hash+f.Storage]
				switch {
				case !before && len(seen) < maxOrphans:
					seen[f.Hash+f.Storage] = now
				case before && now.Sub(since) < s.cfg.UnusedFor:
					seen[f.Hash+f.Storage] = since
				case before:
					if err := s.removeOrphan(ctx, v, f, n); err != nil {
						return err
					}
				}
			}
		}
	}
	s.orphans = seen
	return nil
}

func (s *Server) removeOrphan(ctx context.Context, v vault, f store.StoredFile, n *swept) error {
	release := s.turns.try(f.Hash)
	if release == nil {
		return nil
	}
	defer release()
	row, err := s.cfg.Store.File(ctx, s.cfg.App, f.Hash)
	switch {
	case err == nil && row.Storage == f.Storage:
		return nil // it has become one
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	}
	if err := v.remove(ctx, f); err != nil {
		return err
	}
	n.orphans++
	return nil
}
