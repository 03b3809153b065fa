package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

// conversation makes a log of n messages of alice for both to read.
func conversation(t *testing.T, s *Store, n int) (id LogID) {
	t.Helper()
	write(t, s, func(ctx context.Context, tx *Tx) error {
		l, _, err := tx.EnsureLog(ctx, app, "c2c:alice:bob")
		if err != nil {
			return err
		}
		id = l.ID
		return errors.Join(tx.SetReader(ctx, app, "alice", id, 0, 0), tx.SetReader(ctx, app, "bob", id, 0, 0), appendTo(ctx, tx, id, n, 1))
	})
	return id
}

func TestMarks(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		id := conversation(t, s, 120)
		hide := func(low, high uint64, seqs ...uint64) (out []uint64) {
			write(t, s, func(ctx context.Context, tx *Tx) (err error) {
				out, err = tx.Hide(ctx, app, "bob", id, low, high, seqs)
				return err
			})
			return out
		}
		var all []uint64
		for i := range uint64(protocol.MaxMarkSeqs) {
			all = append(all, i+10)
		}
		for _, c := range []struct {
			seqs, want []uint64
		}{
			{[]uint64{5}, []uint64{5}},
			{[]uint64{5}, nil},
			{[]uint64{9, 5, 7, 9, 121, 1}, []uint64{7, 9}}, // 1 and 121 are outside
			{all, all},
			{all, nil},
		} {
			if got := hide(2, 120, c.seqs...); !slices.Equal(got, c.want) {
				t.Errorf("hide %v: %v", c.seqs, got)
			}
		}
		err := s.Write(ctx, func(ctx context.Context, tx *Tx) error {
			_, err := tx.Hide(ctx, app, "bob", id, 1, 120, append(all, 1))
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "101") {
			t.Errorf("too many: %v", err)
		}
		for _, seq := range []uint64{7, 3} {
			write(t, s, func(ctx context.Context, tx *Tx) error {
				return errors.Join(tx.SetRead(ctx, app, "bob", id, seq), tx.SetCleared(ctx, app, "bob", id, seq))
			})
		}
		r, err := s.Reader(ctx, app, "bob", "c2c:alice:bob")
		if err != nil || r.Read != 7 || r.Cleared != 7 || r.Least() != 8 {
			t.Errorf("reader %+v, %v", r, err)
		}
		if is, err := s.Hidden(ctx, app, "bob", id, 9); !is || err != nil {
			t.Errorf("9 is hidden: %v, %v", is, err)
		}
		if is, err := s.Hidden(ctx, app, "bob", id, 7); is || err != nil { // the conversation is, up to there
			t.Errorf("7 is hidden: %v, %v", is, err)
		}
		if n, err := s.ReadUpTo(ctx, app, "bob", id); n != 7 || err != nil {
			t.Errorf("read up to %d, %v", n, err)
		}
		if n, err := s.ReadUpTo(ctx, app, "carol", id); n != 0 || err != nil {
			t.Errorf("a stranger has read up to %d, %v", n, err)
		}
		for _, c := range []struct {
			user        string
			after, last uint64
			want        bool
		}{{"bob", 0, 120, true}, {"bob", 119, 120, true}, {"bob", 120, 130, false}, {"alice", 0, 120, false}} {
			if is, err := s.OthersWrote(ctx, id, c.user, c.after, c.last); is != c.want || err != nil {
				t.Errorf("%+v: %v, %v", c, is, err)
			}
		}
		// Who comes back to a group keeps his marks.
		write(t, s, func(ctx context.Context, tx *Tx) error { return tx.SetReader(ctx, app, "bob", id, 50, 60) })
		if r, err := s.Reader(ctx, app, "bob", "c2c:alice:bob"); err != nil || r.Read != 7 || r.Cleared != 7 || r.Least() != 51 {
			t.Errorf("reader %+v, %v", r, err)
		}
	})
}

func TestPagesAndUnread(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		id := conversation(t, s, 10)
		write(t, s, func(ctx context.Context, tx *Tx) error {
			_, err := tx.Hide(ctx, app, "bob", id, 1, 10, []uint64{4, 9})
			return errors.Join(err, tx.RevokeEntry(ctx, id, 6, "carol"))
		})
		err := s.Write(ctx, func(ctx context.Context, tx *Tx) error { return tx.RevokeEntry(ctx, id, 11, "carol") })
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("revoke what is not there: %v", err)
		}
		for _, c := range []struct {
			user         string
			low, before  uint64
			limit, bytes int
			want         string
		}{
			{"bob", 1, 11, 20, 1 << 20, "[10 8 7 6 5 3 2 1] 1"},
			{"alice", 1, 11, 20, 1 << 20, "[10 9 8 7 6 5 4 3 2 1] 1"},
			{"bob", 3, 10, 20, 1 << 20, "[8 7 6 5 3] 3"},
			{"bob", 1, 10, 2, 1 << 20, "[8 7] 7"},
			{"bob", 1, 10, 20, 7, "[8 7 6] 6"}, // of 3 bytes each; what was taken back has none
			{"bob", 1, 10, 20, 1, "[8] 8"},
			{"bob", 9, 10, 20, 1, "[] 9"},
		} {
			page, from, err := s.Page(ctx, app, c.user, id, c.low, c.before, c.limit, c.bytes)
			var seqs []uint64
			for _, e := range page {
				seqs = append(seqs, e.Seq)
				if (e.RevokedBy == "carol") != (e.Seq == 6) || (len(e.Body) == 0) != (e.Seq == 6) {
					t.Errorf("entry %+v", e)
				}
			}
			if got := fmt.Sprint(seqs, " ", from); got != c.want || err != nil {
				t.Errorf("%+v: %s, %v", c, got, err)
			}
		}
		for _, c := range []struct {
			user        string
			low, before uint64
			limit       int
			want        uint32
		}{{"bob", 1, 11, 100, 7}, {"bob", 5, 9, 100, 3}, {"bob", 1, 11, 2, 2}, {"alice", 1, 11, 100, 0}, {"carol", 1, 11, 100, 9}} {
			if n, err := s.Unread(ctx, app, c.user, id, c.low, c.before, c.limit); n != c.want || err != nil {
				t.Errorf("%+v: %d, %v", c, n, err)
			}
		}
		if e, err := s.Message(ctx, id, "m-7"); err != nil || e.Seq != 7 {
			t.Errorf("%+v, %v", e, err)
		}
		for _, none := range []string{"m-11", ""} {
			if _, err := s.Message(ctx, id, none); !errors.Is(err, ErrNotFound) {
				t.Errorf("message %q: %v", none, err)
			}
		}
	})
}

// A message is found by its id without looking through the log, and a page reads
// the log's end only.
func TestQueriesUseIndexes(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "hub.db"))
	plan := func(text string, args ...any) string {
		rows, err := s.q.rows(t.Context(), "EXPLAIN QUERY PLAN "+text, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var out []string
		for rows.Next() {
			var a, b, c int
			var line string
			if err := rows.Scan(&a, &b, &c, &line); err != nil {
				t.Fatal(err)
			}
			out = append(out, line)
		}
		return strings.Join(out, "; ")
	}
	got := plan(messageText, 1, "x")
	if !strings.Contains(got, "entries_msg (log_id=? AND msg_id=?)") || strings.Contains(got, "TEMP") {
		t.Errorf("a message by its id: %s", got)
	}
	got = plan(pageText, 1, "x", 1, 1, 9, 9)
	if !strings.Contains(got, "SEARCH e USING PRIMARY KEY (log_id=? AND seq>? AND seq<?)") || strings.Contains(got, "TEMP") ||
		!strings.Contains(got, "SEARCH h USING PRIMARY KEY (app=? AND user_id=? AND log_id=? AND seq=?)") {
		t.Errorf("a page: %s", got)
	}
}

// A snapshot sees nothing of what is written meanwhile, and holds up nobody.
func TestSnapshot(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		id := conversation(t, s, 3)
		for range 20 { // as many as there are connections, and more
			err := s.Snapshot(t.Context(), func(v View) error {
				before, err := v.Log(t.Context(), app, "c2c:alice:bob")
				if err != nil {
					return err
				}
				write(t, s, func(ctx context.Context, tx *Tx) error { return appendTo(ctx, tx, id, 1, 1) })
				l, err := v.Log(t.Context(), app, "c2c:alice:bob")
				if err != nil {
					return err
				}
				if e, err := v.Message(t.Context(), id, "m-2"); err != nil || e.Seq != 2 {
					t.Errorf("%+v, %v", e, err)
				}
				es, err := v.Entries(t.Context(), id, 0, 1000, 1000, 1<<20)
				if l.Head != before.Head || len(es) != int(before.Head) {
					t.Errorf("head %d and %d entries, of %d", l.Head, len(es), before.Head)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		lost := errors.New("lost")
		if err := s.Snapshot(t.Context(), func(View) error { return lost }); !errors.Is(err, lost) {
			t.Error(err)
		}
		if l, err := s.Log(t.Context(), app, "c2c:alice:bob"); err != nil || l.Head != 23 {
			t.Errorf("%+v, %v", l, err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Snapshot(ended, func(View) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("after its context: %v", err)
		}
	})
}

func TestBlacklistRows(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		for i, user := range []string{"b", "B", "a"} {
			write(t, s, func(ctx context.Context, tx *Tx) error {
				return tx.AddToBlacklist(ctx, app, "o", user, now.Add(time.Duration(i)*time.Second))
			})
		}
		err := s.Write(ctx, func(ctx context.Context, tx *Tx) error { return tx.AddToBlacklist(ctx, app, "o", "a", now) })
		if !errors.Is(err, ErrExists) {
			t.Errorf("twice: %v", err)
		}
		if got, err := s.Blacklist(ctx, app, "o"); !slices.Equal(got, []string{"B", "a", "b"}) || err != nil {
			t.Errorf("%v, %v", got, err)
		}
		write(t, s, func(ctx context.Context, tx *Tx) error { return tx.RemoveFromBlacklist(ctx, app, "o", "a") })
		err = s.Write(ctx, func(ctx context.Context, tx *Tx) error { return tx.RemoveFromBlacklist(ctx, app, "o", "a") })
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("twice: %v", err)
		}
		if got, err := s.Blacklist(ctx, app, "a"); len(got) != 0 || err != nil {
			t.Errorf("%v, %v", got, err)
		}
	})
}

// Tables of version 3 with entries in them become those of today.
func TestTablesOfBefore(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		s, err := openAnd(location, func(s *Store) error {
			p, err := s.provider(s.writer)
			if err != nil {
				return err
			}
			_, err = p.UpTo(t.Context(), 3)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		write(t, s, func(ctx context.Context, tx *Tx) error { return tx.CreateApp(ctx, app, now) })
		write(t, s, func(ctx context.Context, tx *Tx) error {
			l, _, err := tx.EnsureLog(ctx, app, "c2c:alice:bob")
			return errors.Join(err, tx.SetReader(ctx, app, "bob", l.ID, 0, 0), appendTo(ctx, tx, l.ID, 70, 1),
				tx.SetSeen(ctx, app, "bob", "c2c:alice:bob", 50))
		})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, err = OpenAsOwner(t.Context(), location)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		r, err := s.Reader(t.Context(), app, "bob", "c2c:alice:bob")
		if err != nil || r.Read != 50 || r.Head != 70 {
			t.Errorf("reader %+v, %v", r, err)
		}
		if e, err := s.Message(t.Context(), r.ID, "m-66"); err != nil || e.Seq != 66 || e.RevokedBy != "" || len(e.Body) != 3 {
			t.Errorf("entry %+v, %v", e, err)
		}
	})
}
