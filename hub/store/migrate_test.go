package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"testing"
	"time"
)

// TestMigrationsStay: tables are made once. A migration that hubs have run already is
// not changed any more, as they would never see it: what is to be otherwise is a
// migration of its own.
func TestMigrationsStay(t *testing.T) {
	want := map[string]string{
		"migrations/00001_start.sql":      "0e00fa33eb4cdbf3",
		"migrations/00002_invites.sql":    "bfcbb2cb10a72a8e",
		"migrations/00003_calls.sql":      "c2571d90c8fd63c0",
		"migrations/00004_messages.sql":   "54fac9860607e22f",
		"migrations/00005_files.sql":      "083ccc67b2c5cbf8",
		"migrations/00006_filegrants.sql": "761e40b43c2a5797",
		"migrations/00007_people.sql":     "48e11c18c11a9123",
	}
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := migrations.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		if got := hex.EncodeToString(sum[:8]); got != want[name] {
			t.Errorf("%s has the sum %s, not %q: is it new?", name, got, want[name])
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is gone", name)
	}
}

// TestGrantsOfBefore: a hub that made its tables when accounts were granted files, too,
// goes on with what groups have, and grants anew.
func TestGrantsOfBefore(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		s, err := openAnd(location, func(s *Store) error {
			p, err := s.provider(s.writer)
			if err == nil {
				_, err = p.UpTo(t.Context(), 5)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		later, latest := now.Add(time.Hour), now.Add(2*time.Hour)
		write(t, s, func(ctx context.Context, tx *Tx) error {
			for _, row := range [][3]any{{"friend", "", latest}, {"", "g", later}, {"x", "g", latest}} {
				_, err := tx.q.exec(ctx, `INSERT INTO file_grants (app, hash, user_id, group_id, until_ms) VALUES ($1, $2, $3, $4, $5)`,
					int64(app), hashOf("a"), row[0], row[1], row[2].(time.Time).UnixMilli())
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = OpenAsOwner(t.Context(), location); err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		write(t, s, func(ctx context.Context, tx *Tx) error {
			err := tx.CreateApp(ctx, app, now)
			for _, user := range []string{"friend", "member"} {
				if err == nil {
					err = tx.CreateUser(ctx, app, user, now)
				}
			}
			if err == nil {
				err = tx.CreateGroup(ctx, app, Group{ID: "g", Type: "AVChatRoom", Owner: "member", Version: 1, Created: now})
			}
			if err == nil {
				err = tx.AddMember(ctx, app, &Group{ID: "g"}, Member{User: "member"}, now)
			}
			if err == nil {
				err = tx.GrantFile(ctx, app, hashOf("b"), "g", later)
			}
			return err
		})
		for _, x := range []struct {
			user, hash string
			at         time.Time
			want       bool
		}{
			{"member", "a", later, true}, {"member", "a", latest, false}, {"friend", "a", now, false}, {"member", "b", now, true},
		} {
			if got := mayRead(t, s, x.user, hashOf(x.hash), x.at); got != x.want {
				t.Errorf("%s may read %s: %v", x.user, x.hash, got)
			}
		}
	})
}
