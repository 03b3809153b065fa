package hub

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// page says what a pull gives.
func (x *term) page(p protocol.Pull) string {
	x.t.Helper()
	got := x.pull(p)
	if got.Code != 0 {
		return fmt.Sprint("code ", got.Code)
	}
	var seqs []string
	for _, e := range got.Entries {
		seqs = append(seqs, fmt.Sprint(e.Seq))
	}
	return fmt.Sprintf("[%s] from %d least %d head %d", strings.Join(seqs, " "), got.From, got.Least, got.Head)
}

func (x *term) reads(p protocol.Pull, want string) {
	x.t.Helper()
	if got := x.page(p); got != want {
		x.t.Errorf("%s: %+v gives %s, want %s", x.peer.ClientID, p, got, want)
	}
}

func TestHistory(t *testing.T) {
	const log = "c2c:alice:bob"
	each(t, func(t *testing.T, r *rig) {
		alice, bob, carol := r.online("alice", "t"), r.online("bob", "t"), r.online("carol", "t")
		bob.reads(protocol.Pull{Log: log, Before: 9}, "code 10007")
		alice.append(items(1, 5)...)
		bob.append(readUpTo(log, 3), c2c("alice", "7")) // 6, 7
		alice.append(revokeOf(log, alice.id(5)))        // 8
		alice.mustCall("im.invite", protocol.InviteRequest{Invitee: "bob", Data: "x"})
		bob.reads(protocol.Pull{Log: log, Before: 1 << 62}, "[9 7 5 4 3 2 1] from 1 least 1 head 9")
		bob.reads(protocol.Pull{Log: log, Before: 9}, "[7 5 4 3 2 1] from 1 least 1 head 9")
		bob.reads(protocol.Pull{Log: log, Before: 9, Limit: 3}, "[7 5 4] from 4 least 1 head 9")
		bob.reads(protocol.Pull{Log: log, Before: 4, Limit: 3}, "[3 2 1] from 1 least 1 head 9")
		bob.reads(protocol.Pull{Log: log, Before: 1}, "[] from 1 least 1 head 9")
		bob.append(deleteOf(log, 4, 1))
		bob.reads(protocol.Pull{Log: log, Before: 9, Limit: 3}, "[7 5 3] from 3 least 1 head 9")
		bob.reads(protocol.Pull{Log: log, Before: 3, Limit: 3}, "[2] from 1 least 1 head 9")
		bob.append(clearUpTo(log, 2))
		bob.reads(protocol.Pull{Log: log, Before: 9}, "[7 5 3] from 3 least 3 head 9")
		bob.reads(protocol.Pull{Log: log, Before: 3}, "[] from 3 least 3 head 9")
		alice.reads(protocol.Pull{Log: log, Before: 9}, "[7 5 4 3 2 1] from 1 least 1 head 9")
		carol.reads(protocol.Pull{Log: log, Before: 9}, "code 10007")
		bob.reads(protocol.Pull{Log: log, After: 7}, "[8 9] from 7 least 0 head 9")

		// One message by its id.
		alice.reads(protocol.Pull{Log: log, MsgID: alice.id(4)}, "[4] from 0 least 1 head 9")
		bob.reads(protocol.Pull{Log: log, MsgID: alice.id(3)}, "[3] from 0 least 3 head 9")
		bob.reads(protocol.Pull{Log: log, MsgID: alice.id(4)}, "[] from 0 least 3 head 9") // he has deleted it
		bob.reads(protocol.Pull{Log: log, MsgID: alice.id(2)}, "[] from 0 least 3 head 9") // and the conversation
		bob.reads(protocol.Pull{Log: log, MsgID: alice.id(77)}, "[] from 0 least 3 head 9")
		bob.reads(protocol.Pull{Log: log, MsgID: "\x00"}, "[] from 0 least 3 head 9")
		carol.reads(protocol.Pull{Log: log, MsgID: alice.id(4)}, "code 10007")
		if e := alice.pull(protocol.Pull{Log: log, MsgID: alice.id(5)}).Entries; len(e) != 1 || e[0].RevokedBy != "alice" || len(e[0].Body) != 0 {
			t.Errorf("a message that was taken back: %+v", e)
		}
	})
}

// A page is as long as a frame may be.
func TestHistoryOfLongMessages(t *testing.T) {
	r := newRig(t, sqlite(t))
	alice := r.online("alice", "t")
	r.online("bob", "t")
	for i := range 40 {
		alice.append(c2c("bob", fmt.Sprint(i, strings.Repeat("x", 8000))))
	}
	next := uint64(1 << 60)
	seen := 0
	for pages := 0; next > 1; pages++ {
		got := alice.pull(protocol.Pull{Log: "c2c:alice:bob", Before: next})
		if len(got.Entries) == 0 || got.From != got.Entries[len(got.Entries)-1].Seq || pages > 5 {
			t.Fatalf("page %d: %d entries from %d", pages, len(got.Entries), got.From)
		}
		next = got.From
		seen += len(got.Entries)
	}
	if seen != 40 {
		t.Errorf("%d messages", seen)
	}
}

// Work and Public from joining on, Meeting from its beginning, and after leaving
// up to there.
func TestHistoryOfGroups(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		owner, x := r.online("owner", "t"), r.online("x", "t")
		for _, kind := range []string{"Work", "Public", "Meeting"} {
			log := "group:" + kind
			owner.mustCall("im.createGroup", create(kind, kind)) // 1
			second := owner.id(owner.first)
			owner.append(toGroup(kind, "2"), toGroup(kind, "3"))
			next, least := "", 4
			if kind == protocol.GroupMeeting {
				x.mustCall("im.joinGroup", join(kind)) // 4
				next, least = " 3 2 1", 1
			} else {
				r.letIn(kind, "x")
				owner.append(toGroup(kind, "4"))
			}
			owner.append(toGroup(kind, "5"))
			x.reads(protocol.Pull{Log: log, Before: 99}, fmt.Sprintf("[5 4%s] from %d least %d head 5", next, least, least))
			want := fmt.Sprintf("[2] from 0 least %d head 5", least)
			if kind != protocol.GroupMeeting {
				want = "[] from 3 least 4 head 5"
			}
			x.reads(protocol.Pull{Log: log, MsgID: second}, want)
			x.mustCall("im.quitGroup", named(kind)) // 6
			owner.append(toGroup(kind, "7"))
			x.reads(protocol.Pull{Log: log, Before: 99}, fmt.Sprintf("[6 5 4%s] from %d least %d head 6", next, least, least))
			x.reads(protocol.Pull{Log: log, MsgID: owner.id(owner.first - 1)}, fmt.Sprintf("[] from %d least %d head 6", least-1, least))
			owner.reads(protocol.Pull{Log: log, Before: 99, Limit: 2}, "[7 6] from 6 least 1 head 7")
		}
	})
}

// fill writes entries of a kind into a log as fast as it goes; of messages every
// bobs-th is bob's, the others alice's.
func (r *rig) fill(log string, n int, kind protocol.EntryKind, bobs int) {
	r.t.Helper()
	body := text(strings.Repeat("x", 100))
	for n > 0 {
		some := min(n, 50_000)
		r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
			l, made, err := tx.EnsureLog(ctx, r.app, log)
			if err != nil {
				return err
			}
			if made {
				_, a, b := protocol.ParseLog(log)
				for _, u := range pair(a, b) {
					if err := tx.SetReader(ctx, r.app, u, l.ID, 0, 0); err != nil {
						return err
					}
				}
			}
			first, err := tx.Extend(ctx, l.ID, some, r.era.Ord)
			if err != nil {
				return err
			}
			rows := make([]store.Row, some)
			for i := range rows {
				seq := first + uint64(i)
				e := &protocol.Entry{Seq: seq, Era: r.era.Ord, Time: r.cfg.Now().UnixMilli(), Kind: kind, From: "alice", Term: "t", Body: body}
				if seq%uint64(bobs) == 0 {
					e.From = "bob"
				}
				if kind == protocol.EntryMessage {
					e.MsgID = fmt.Sprintf("aaaaaaaaaaaaaaaa-%d", seq)
				}
				rows[i] = store.Row{Log: l.ID, Entry: e}
			}
			return tx.Insert(ctx, rows)
		})
		n -= some
	}
}

// A log full of what nobody is shown is looked through in steps.
func TestHistoryIsReadInSteps(t *testing.T) {
	const log = "c2c:alice:bob"
	each(t, func(t *testing.T, r *rig) {
		alice := r.online("alice", "t")
		r.online("bob", "t")
		alice.append(items(1, 2)...)
		r.fill(log, 2*maxScan+500, protocol.EntryMark, 2)
		alice.reads(protocol.Pull{Log: log, Before: 1 << 40}, "[] from 2503 least 1 head 4502")
		alice.reads(protocol.Pull{Log: log, Before: 2503}, "[] from 503 least 1 head 4502")
		alice.reads(protocol.Pull{Log: log, Before: 503}, "[2 1] from 1 least 1 head 4502")
		alice.asks(protocol.SurveyItem{Log: log}, `{"Head":4502}`)
		alice.asks(protocol.SurveyItem{Log: log, Before: 2002}, `{"Head":4502,"Last":2}`)
	})
}

func TestSyncIsTruncated(t *testing.T) {
	const log = "c2c:alice:bob"
	databases.Each(t, func(t *testing.T, location string) {
		r := newRig(t, location, func(c *Config) { c.SyncEntries = 10 })
		alice, bob := r.online("alice", "t"), r.online("bob", "t")
		alice.append(items(1, 25)...)
		for _, c := range []struct {
			p         protocol.Pull
			from      uint64
			truncated bool
		}{
			{protocol.Pull{After: 14}, 15, true},
			{protocol.Pull{After: 15}, 15, false},
			{protocol.Pull{After: 16}, 16, false},
			{protocol.Pull{}, 15, true},
			{protocol.Pull{Fresh: true}, 15, true},
			{protocol.Pull{After: 25}, 25, false},
			{protocol.Pull{After: 30}, 30, false},
		} {
			c.p.Log = log
			got := bob.pull(c.p)
			if got.From != c.from || got.Truncated != c.truncated || got.Head != 25 || len(got.Entries) != max(0, 25-int(c.from)) {
				t.Errorf("%+v gives %d entries from %d, truncated: %v", c.p, len(got.Entries), got.From, got.Truncated)
			}
			if len(got.Entries) > 0 && got.Entries[0].Seq != c.from+1 {
				t.Errorf("%+v: begins with %d", c.p, got.Entries[0].Seq)
			}
		}
		bob.reads(protocol.Pull{Log: log, Before: 16, Limit: 2}, "[15 14] from 14 least 1 head 25") // it is history
	})
}
