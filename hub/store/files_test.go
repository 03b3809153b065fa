package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func hashOf(c string) string { return strings.Repeat(c, 64) }

func mayRead(t *testing.T, s *Store, user, hash string, at time.Time) bool {
	t.Helper()
	may, err := s.MayReadFile(t.Context(), app, user, hash, at)
	if err != nil {
		t.Fatal(err)
	}
	return may
}

// listed gives the first digits of the hashes that a list function returns.
func listed(t *testing.T) func([]StoredFile, error) []string {
	return func(list []StoredFile, err error) (out []string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			out = append(out, f.Hash[:1])
		}
		return out
	}
}

func TestWhoMayReadAFile(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		a, b := hashOf("a"), hashOf("b")
		var id LogID
		write(t, s, func(ctx context.Context, tx *Tx) error {
			l, _, err := tx.EnsureLog(ctx, app, "group:g")
			if err != nil {
				return err
			}
			id = l.ID
			for _, f := range []func() error{
				func() error { _, err := tx.Extend(ctx, id, 5, 1); return err },
				func() error { return tx.SetReader(ctx, app, "early", id, 0, 0) },
				func() error { return tx.SetReader(ctx, app, "late", id, 3, 3) },
				func() error { return tx.PutFile(ctx, app, a, 10, "disk", now) },
				func() error { return tx.AddFileOwner(ctx, app, a, "owner", now) },
				func() error { return tx.AddFileRef(ctx, app, a, id, 3, now) },
				func() error { return tx.AddFileRef(ctx, app, a, id, 3, now) }, // a thumbnail that is the picture itself
				func() error { return tx.PutFile(ctx, app, b, 11, "disk", now) },
				func() error { return tx.AddFileRef(ctx, app, b, id, 4, now) },
			} {
				if err := f(); err != nil {
					return err
				}
			}
			return nil
		})
		for _, x := range []struct {
			user, hash string
			want       bool
		}{
			{"owner", a, true}, {"early", a, true}, {"late", a, false}, {"stranger", a, false},
			{"owner", b, false}, {"early", b, true}, {"late", b, true},
			{"", a, false},
		} {
			if got := mayRead(t, s, x.user, x.hash, now); got != x.want {
				t.Errorf("%s may read %s: %v", x.user, x.hash[:1], got)
			}
		}
		f, err := s.File(t.Context(), app, a)
		if err != nil || f.Size != 10 || f.Storage != "disk" || !f.Sent.Equal(now) {
			t.Errorf("%+v %v", f, err)
		}
		write(t, s, func(ctx context.Context, tx *Tx) error { return tx.SetCleared(ctx, app, "late", id, 4) })
		if mayRead(t, s, "late", b, now) {
			t.Error("who has deleted the conversation may have its files")
		}
		write(t, s, func(ctx context.Context, tx *Tx) error { return tx.EndReader(ctx, app, "early", id, 5) })
		if mayRead(t, s, "early", a, now) {
			t.Error("who has left may have the files")
		}
		write(t, s, func(ctx context.Context, tx *Tx) error { return tx.SetReader(ctx, app, "early", id, 0, 0) })
		write(t, s, func(ctx context.Context, tx *Tx) error { return tx.DropFileRefs(ctx, app, id, 3) })
		if mayRead(t, s, "early", a, now) || !mayRead(t, s, "owner", a, now) || !mayRead(t, s, "early", b, now) {
			t.Error("the message that was taken back, and it alone, still gives its file")
		}
		if got := listed(t)(s.UnusedFiles(t.Context(), app, now.Add(time.Hour), 10)); !slices.Equal(got, []string{"a"}) {
			t.Errorf("unused: %q", got)
		}
	})
}

func TestGrantToAGroupIsForItsMembersNow(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		write(t, s, func(ctx context.Context, tx *Tx) error {
			err := tx.CreateGroup(ctx, app, Group{ID: "g", Type: "AVChatRoom", Name: "g", Owner: "owner"})
			if err == nil {
				err = tx.AddMember(ctx, app, &Group{ID: "g"}, Member{User: "owner"}, now)
			}
			if err == nil {
				err = tx.GrantFile(ctx, app, hashOf("a"), "g", now.Add(time.Hour))
			}
			return err
		})
		if !mayRead(t, s, "owner", hashOf("a"), now) || mayRead(t, s, "stranger", hashOf("a"), now) {
			t.Error("it is not the members who may read")
		}
		if mayRead(t, s, "owner", hashOf("a"), now.Add(time.Hour)) {
			t.Error("a grant has no end")
		}
		write(t, s, func(ctx context.Context, tx *Tx) error { return tx.RemoveMember(ctx, app, "g", "owner") })
		if mayRead(t, s, "owner", hashOf("a"), now) {
			t.Error("who has left may read")
		}
	})
}

func TestFilesThatAreDue(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		day := 24 * time.Hour
		put := func(hash string, at time.Time, named bool) {
			write(t, s, func(ctx context.Context, tx *Tx) error {
				err := tx.PutFile(ctx, app, hash, 100, "disk", at)
				if err == nil {
					err = tx.AddFileOwner(ctx, app, hash, "owner", at)
				}
				if err == nil && named {
					err = tx.AddFileRef(ctx, app, hash, 7, uint64(hash[0]), at)
				}
				return err
			})
		}
		put(hashOf("1"), now, true)
		put(hashOf("2"), now.Add(day), false)
		put(hashOf("3"), now.Add(2*day), true)
		list := listed(t)
		if got := list(s.LeastUsedFiles(t.Context(), app, 10)); !slices.Equal(got, []string{"1", "2", "3"}) {
			t.Errorf("by use: %q", got)
		}
		if got := list(s.UnusedFiles(t.Context(), app, now.Add(3*day), 10)); !slices.Equal(got, []string{"2"}) {
			t.Errorf("unused: %q", got)
		}
		if got := list(s.AgedFiles(t.Context(), app, now.Add(day), 10)); !slices.Equal(got, []string{"1"}) {
			t.Errorf("aged: %q", got)
		}
		if got := list(s.FilesWithin(t.Context(), app, "2", "3g")); !slices.Equal(got, []string{"2", "3"}) {
			t.Errorf("within: %q", got)
		}
		total, err := s.FileTotals(t.Context(), app)
		if err != nil || total.Files != 3 || total.Bytes != 300 || !total.Oldest.Equal(now) {
			t.Errorf("%+v %v", total, err)
		}
		first, err := s.File(t.Context(), app, hashOf("1"))
		if err != nil {
			t.Fatal(err)
		}
		write(t, s, func(ctx context.Context, tx *Tx) error { return tx.UseFile(ctx, app, hashOf("1"), now.Add(time.Hour)) })
		if again, _ := s.File(t.Context(), app, hashOf("1")); !again.Used.Equal(now) {
			t.Error("a file that is fetched often is written often")
		}
		write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.UseFile(ctx, app, hashOf("1"), now.Add(2*day+time.Minute))
		})
		if got := list(s.LeastUsedFiles(t.Context(), app, 10)); !slices.Equal(got, []string{"2", "3", "1"}) {
			t.Errorf("by use, after one was fetched: %q", got)
		}
		err = s.Write(t.Context(), func(ctx context.Context, tx *Tx) error { return tx.DeleteFile(ctx, app, first) })
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("a file that was fetched since is removed: %v", err)
		}
		// Fetched today, and named by a message a day after the last one.
		write(t, s, func(ctx context.Context, tx *Tx) error {
			return errors.Join(tx.PutFile(ctx, app, hashOf("4"), 100, "disk", now), tx.AddFileRef(ctx, app, hashOf("4"), 7, 4, now),
				tx.UseFile(ctx, app, hashOf("4"), now.Add(2*day)))
		})
		four, _ := s.File(t.Context(), app, hashOf("4"))
		write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.AddFileRef(ctx, app, hashOf("4"), 7, 5, now.Add(2*day))
		})
		err = s.Write(t.Context(), func(ctx context.Context, tx *Tx) error { return tx.DeleteFile(ctx, app, four) })
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("a file that was named since is removed: %v", err)
		}
		four, _ = s.File(t.Context(), app, hashOf("4"))
		write(t, s, func(ctx context.Context, tx *Tx) error { return tx.DeleteFile(ctx, app, four) })
		two, _ := s.File(t.Context(), app, hashOf("2"))
		write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.AddFileOwner(ctx, app, hashOf("2"), "other", now.Add(3*day))
		})
		err = s.Write(t.Context(), func(ctx context.Context, tx *Tx) error {
			return tx.DeleteUnusedFile(ctx, app, two, now.Add(3*day))
		})
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("a file that somebody wants to send is removed: %v", err)
		}
		// Gone, and uploaded again: what named it names it again.
		three, _ := s.File(t.Context(), app, hashOf("3"))
		write(t, s, func(ctx context.Context, tx *Tx) error { return tx.DeleteFile(ctx, app, three) })
		put(hashOf("3"), now.Add(4*day), false)
		if got := list(s.UnusedFiles(t.Context(), app, now.Add(9*day), 10)); !slices.Equal(got, []string{"2"}) {
			t.Errorf("unused: %q", got)
		}
		write(t, s, func(ctx context.Context, tx *Tx) error {
			err := tx.DeleteFile(ctx, app, two)
			if err == nil {
				err = tx.GrantFile(ctx, app, hashOf("9"), "g", now)
			}
			if err == nil {
				err = tx.EndFileGrants(ctx, app, now.Add(time.Hour))
			}
			return err
		})
		former, err := s.FormerFileOwners(t.Context(), app, now.Add(2*day), 10)
		if err != nil || len(former) != 1 || former[0] != (FileOwner{hashOf("2"), "owner"}) {
			t.Fatalf("%+v %v", former, err)
		}
		for _, o := range append(former, FileOwner{hashOf("1"), "owner"}, FileOwner{hashOf("2"), "other"}) {
			write(t, s, func(ctx context.Context, tx *Tx) error { return tx.DeleteFileOwner(ctx, app, o, now.Add(2*day)) })
		}
		for user, want := range map[string]bool{"owner": false, "other": true} {
			if got, err := s.OwnsFile(t.Context(), app, user, hashOf("2")); err != nil || got != want {
				t.Errorf("%s owns what is gone: %v %v", user, got, err)
			}
		}
		if owns, _ := s.OwnsFile(t.Context(), app, "owner", hashOf("1")); !owns {
			t.Error("the owner of what is there is forgotten")
		}
	})
}

// Who uploads a file that is there, or asks for it, means to send it: no sweep takes
// it before his message comes.
func TestUploadCountsAsUse(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		year := 365 * 24 * time.Hour
		put := func(hash, user string, at time.Time) {
			write(t, s, func(ctx context.Context, tx *Tx) error {
				return errors.Join(tx.PutFile(ctx, app, hash, 100, "disk", at), tx.AddFileOwner(ctx, app, hash, user, at))
			})
		}
		put(hashOf("1"), "owner", now)
		write(t, s, func(ctx context.Context, tx *Tx) error { return tx.AddFileRef(ctx, app, hashOf("1"), 7, 1, now) })
		put(hashOf("2"), "owner", now.Add(time.Hour))
		before, list := now.Add(year), listed(t)
		aged, err := s.AgedFiles(t.Context(), app, before, 10)
		if got := list(aged, err); !slices.Equal(got, []string{"1"}) {
			t.Fatalf("aged: %q", got)
		}
		put(hashOf("1"), "other", before)
		if got := list(s.LeastUsedFiles(t.Context(), app, 10)); !slices.Equal(got, []string{"2", "1"}) {
			t.Errorf("by use: %q", got)
		}
		if got := list(s.AgedFiles(t.Context(), app, before, 10)); len(got) > 0 {
			t.Errorf("aged: %q", got)
		}
		err = s.Write(t.Context(), func(ctx context.Context, tx *Tx) error { return tx.DeleteAgedFile(ctx, app, aged[0], before) })
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("a file that was uploaded again is removed for its age: %v", err)
		}
		write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.DeleteAgedFile(ctx, app, aged[0], before.Add(time.Millisecond))
		})
	})
}

// A file that only a grant names is there as long as the grant promises it.
func TestGrantKeepsTheFile(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		write(t, s, func(ctx context.Context, tx *Tx) error {
			return errors.Join(tx.PutFile(ctx, app, hashOf("1"), 100, "disk", now), tx.PutFile(ctx, app, hashOf("2"), 100, "disk", now),
				tx.AddFileRef(ctx, app, hashOf("2"), 7, 1, now))
		})
		before := now.Add(time.Hour)
		unused, err := s.UnusedFiles(t.Context(), app, before, 10)
		if got := listed(t)(unused, err); !slices.Equal(got, []string{"1"}) {
			t.Fatalf("unused: %q", got)
		}
		aged, err := s.AgedFiles(t.Context(), app, before, 10)
		if got := listed(t)(aged, err); !slices.Equal(got, []string{"2"}) {
			t.Fatalf("aged: %q", got)
		}
		write(t, s, func(ctx context.Context, tx *Tx) error {
			return errors.Join(tx.GrantFile(ctx, app, hashOf("1"), "g", before), tx.GrantFile(ctx, app, hashOf("2"), "g", before))
		})
		if got := listed(t)(s.UnusedFiles(t.Context(), app, before, 10)); len(got) > 0 {
			t.Errorf("unused, and granted: %q", got)
		}
		if got := listed(t)(s.AgedFiles(t.Context(), app, before, 10)); len(got) > 0 {
			t.Errorf("aged, and granted: %q", got)
		}
		remove := func(want error) {
			t.Helper()
			for what, f := range map[string]func(context.Context, *Tx) error{
				"unused": func(ctx context.Context, tx *Tx) error { return tx.DeleteUnusedFile(ctx, app, unused[0], before) },
				"aged":   func(ctx context.Context, tx *Tx) error { return tx.DeleteAgedFile(ctx, app, aged[0], before) },
			} {
				if err := s.Write(t.Context(), f); !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", what, err, want)
				}
			}
		}
		remove(ErrNotFound)
		write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.EndFileGrants(ctx, app, before.Add(time.Millisecond))
		})
		remove(nil)
	})
}
