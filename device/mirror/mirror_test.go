package mirror

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

const (
	self  = "door"
	other = "indoor"
)

var (
	acctName = []byte("account")
	talk     = protocol.C2CLog(self, other)
	group    = protocol.GroupLog("family")
)

// cursors of a test.
type cursors map[string]uint64

func (c cursors) At(log string) (uint64, bool)     { at, ok := c[log]; return at, ok }
func (c cursors) Cursor(log string) (uint64, bool) { return c.At(log) }

type fixture struct {
	*Mirror
	t   testing.TB
	db  *store.DB
	at  cursors
	dir string
}

func open(t testing.TB, dir string, at cursors, l Limits) *fixture {
	t.Helper()
	db, _, err := store.Open(store.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	err = db.Do(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(acctName)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open(db, func(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket(acctName) }, self, at, l)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{m, t, db, at, dir}
}

func (f *fixture) again(l Limits) *fixture {
	_ = f.db.Close()
	return open(f.t, f.dir, f.at, l)
}

// do runs op in a transaction and returns what became of conversations.
func (f *fixture) do(op func(tx *bbolt.Tx) error) (changes map[string]Change) {
	f.t.Helper()
	done := make(chan error, 1)
	f.db.Go(op, func(err error) {
		changes = f.Committed(err)
		done <- err
	})
	if err := <-done; err != nil {
		f.t.Fatal(err)
	}
	return changes
}

func (f *fixture) apply(log string, entries ...protocol.Entry) map[string]Change {
	f.t.Helper()
	return f.do(func(tx *bbolt.Tx) error {
		list := make([]*protocol.Entry, len(entries))
		for i := range entries {
			list[i] = &entries[i]
			f.at[log] = entries[i].Seq
		}
		return f.Apply(tx, log, list)
	})
}

func (f *fixture) mark(m protocol.Mark) map[string]Change {
	f.t.Helper()
	return f.do(func(tx *bbolt.Tx) error { return f.Mark(tx, m) })
}

// page reads texts, the newest first.
func (f *fixture) page(log string, before Pos, count int) (texts []string, page Page) {
	f.t.Helper()
	err := f.db.View(func(tx *bbolt.Tx) error {
		page = f.Read(tx, log, before, count)
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, r := range page.Rows {
		texts = append(texts, text(r.Entry))
	}
	return texts, page
}

func text(e protocol.Entry) string {
	if e.RevokedBy != "" {
		return "revoked"
	}
	m, err := protocol.DecodeMessage(e.Body)
	if err != nil {
		return err.Error()
	}
	return m.Text
}

func message(seq uint64, from, text string) protocol.Entry {
	body, err := protocol.Marshal(protocol.Message{Elem: protocol.ElemText, Text: text})
	if err != nil {
		panic(err)
	}
	return protocol.Entry{Seq: seq, Time: int64(1000 * seq), Kind: protocol.EntryMessage, From: from, MsgID: fmt.Sprintf("id-%d", seq), Body: body}
}

func read(seq uint64, from, log string, upTo uint64) protocol.Entry {
	body, err := protocol.Marshal(protocol.Mark{Kind: protocol.MarkRead, Log: log, UpTo: upTo})
	if err != nil {
		panic(err)
	}
	return protocol.Entry{Seq: seq, Time: int64(1000 * seq), Kind: protocol.EntryMark, From: from, Body: body}
}

func revoke(seq uint64, from, sender string, of uint64) protocol.Entry {
	body, err := protocol.Marshal(protocol.Revoke{MsgID: "aaaaaaaaaaaaaaaa-" + fmt.Sprint(of), Seq: of, Sender: sender})
	if err != nil {
		panic(err)
	}
	return protocol.Entry{Seq: seq, Time: int64(1000 * seq), Kind: protocol.EntryRevoke, From: from, Body: body}
}

func (f *fixture) want(log string, unread int, texts ...string) {
	f.t.Helper()
	got, _ := f.page(log, Pos{}, 100)
	if !slices.Equal(got, texts) {
		f.t.Errorf("%v, not %v", got, texts)
	}
	if c := f.Conv(log); c.Unread() != unread {
		f.t.Errorf("%d unread, not %d: %+v", c.Unread(), unread, c)
	}
}

func TestConversation(t *testing.T) {
	f := open(t, t.TempDir(), cursors{}, Limits{})
	if ch := f.apply(talk, message(1, other, "a"), message(2, self, "b"), message(3, other, "c")); ch[talk] != Appeared {
		t.Error(ch)
	}
	f.want(talk, 2, "c", "b", "a")
	if ch := f.apply(talk, read(4, self, talk, 1), message(5, other, "d")); ch[talk] != Changed {
		t.Error(ch)
	}
	f.want(talk, 2, "d", "c", "b", "a")
	f.apply(talk, revoke(6, other, other, 3), read(7, other, talk, 5))
	f.want(talk, 1, "d", "revoked", "b", "a")
	f = f.again(Limits{})
	f.want(talk, 1, "d", "revoked", "b", "a")
	c := f.Conv(talk)
	if c.PeerRead != 5 || c.Read != 1 || c.Last != (Pos{Seq: 5}) || c.ID != other || !c.Known {
		t.Errorf("%+v", c)
	}
	f.mark(protocol.Mark{Kind: protocol.MarkDeleted, Log: talk, Seqs: []uint64{5, 8}}) // 8 has not come yet
	f.want(talk, 0, "revoked", "b", "a")
	f.apply(talk, message(8, other, "deleted elsewhere"), message(9, other, "e"))
	f.want(talk, 1, "e", "revoked", "b", "a")
	if ch := f.mark(protocol.Mark{Kind: protocol.MarkCleared, Log: talk, UpTo: 9}); ch[talk] != Vanished {
		t.Error(ch)
	}
	f.want(talk, 0)
	f.mark(protocol.Mark{Kind: protocol.MarkRead, Log: talk, UpTo: 4}) // late, and behind
	if ch := f.apply(talk, message(10, other, "f")); ch[talk] != Appeared {
		t.Error(ch)
	}
	f.want(talk, 1, "f")
	if _, page := f.page(talk, Pos{}, 10); page.Below != 0 {
		t.Error("there is nothing older: it was deleted", page)
	}
}

func TestPages(t *testing.T) {
	f := open(t, t.TempDir(), cursors{talk: 10}, Limits{})
	for seq := uint64(11); seq <= 20; seq++ {
		f.apply(talk, message(seq, other, fmt.Sprint(seq)))
	}
	insert := func(s string) {
		f.do(func(tx *bbolt.Tx) error {
			e := message(0, self, s)
			e.MsgID = "own-" + s
			return f.Insert(tx, talk, Row{Entry: e, Status: protocol.StatusFailed})
		})
	}
	insert("x")
	insert("y")
	f.apply(talk, message(21, other, "21"))
	got, page := f.page(talk, Pos{}, 4)
	if fmt.Sprint(got) != "[21 y x 20]" || !page.More {
		t.Error(got, page)
	}
	got, page = f.page(talk, page.Rows[2].Pos, 3) // before x
	if fmt.Sprint(got) != "[20 19 18]" || !page.More {
		t.Error(got, page)
	}
	got, page = f.page(talk, Pos{Seq: 13}, 3)
	if fmt.Sprint(got) != "[12 11]" || page.More || page.Below != 11 {
		t.Error(got, page)
	}
	if got, page = f.page(talk, Pos{Seq: 7}, 3); got != nil || page.Below != 7 {
		t.Error(got, page)
	}
	if got, page = f.page(group, Pos{}, 3); got != nil || page.Below != 1 {
		t.Error(got, page)
	}
	err := f.db.View(func(tx *bbolt.Tx) error {
		c, r, ok := f.Find(tx, "own-y")
		if !ok || c.Log != talk || r.Pos != (Pos{20, 2}) || r.Status != protocol.StatusFailed {
			t.Error(c, r, ok)
		}
		if _, _, ok := f.Find(tx, "none"); ok {
			t.Error("found")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.do(func(tx *bbolt.Tx) error { return f.Delete(tx, talk, Pos{20, 2}) })
	if got, _ := f.page(talk, Pos{}, 3); fmt.Sprint(got) != "[21 x 20]" {
		t.Error(got)
	}
}

// TestBounds: what leaves the mirror is counted on, and the newest message stays.
func TestBounds(t *testing.T) {
	f := open(t, t.TempDir(), cursors{}, Limits{MaxRows: 20})
	for seq := uint64(1); seq <= 100; seq++ {
		f.apply(talk, message(seq, other, fmt.Sprint(seq)))
	}
	c := f.Conv(talk)
	if c.Rows > 36 || c.Unread() != 100 || c.First != 100-uint64(c.Rows)+1 || c.Stale {
		t.Errorf("%+v", c)
	}
	f.mark(protocol.Mark{Kind: protocol.MarkRead, Log: talk, UpTo: 10})
	if c := f.Conv(talk); !c.Stale {
		t.Error("the hub has to count anew what is below First")
	}
	f.mark(protocol.Mark{Kind: protocol.MarkRead, Log: talk, UpTo: 95})
	if c := f.Conv(talk); c.Unread() != 5 {
		t.Errorf("%+v", c)
	}
	// Bytes in all.
	g := open(t, t.TempDir(), cursors{}, Limits{MaxRows: 1000, MaxBytes: 20_000})
	for i := range uint64(40) {
		for n := range 20 {
			log := protocol.C2CLog(self, fmt.Sprintf("u%d", n))
			g.apply(log, message(i+1, other, "some text of a usual length"))
		}
	}
	sum := int64(0)
	for _, c := range g.Convs() {
		sum += c.Bytes
		if c.Rows == 0 || c.Last.Seq != 40 {
			t.Errorf("%+v", c)
		}
	}
	if sum > 20_000 || sum != g.bytes {
		t.Error(sum, g.bytes)
	}
	g = g.again(Limits{MaxRows: 1000, MaxBytes: 20_000})
	if g.bytes != sum {
		t.Error(g.bytes, sum)
	}
}

func TestSurvey(t *testing.T) {
	f := open(t, t.TempDir(), cursors{talk: 50, group: 7}, Limits{})
	logs := f.Unknown([]string{talk, group, "user:door"})
	if fmt.Sprint(logs) != fmt.Sprint([]string{talk, group}) {
		t.Fatal(logs)
	}
	asked := f.Ask(logs)
	last := message(48, other, "the last")
	f.apply(talk, message(51, other, "came meanwhile"))
	f.do(func(tx *bbolt.Tx) error {
		return f.Settle(tx, asked, []protocol.State{
			{Log: talk, Head: 51, Read: 40, PeerRead: 30, Unread: 4, Last: &last},
			{Log: group, Head: 7, Type: protocol.GroupMeeting, Name: "The family"},
		})
	})
	c := f.Conv(talk)
	if c.Unread() != 5 || c.Read != 40 || c.PeerRead != 30 || c.Stale || !c.Known || c.First != 51 || c.Last.Seq != 51 {
		t.Errorf("%+v", c)
	}
	if g := f.Conv(group); g.Name != "The family" || g.Unread() != 0 || g.Visible() {
		t.Errorf("%+v", g)
	}
	if d := f.Doubtful(10); len(d) != 0 {
		t.Error(d)
	}
	// A message below what is held is taken back: the hub is asked again, and an
	// answer to the earlier question does not settle it.
	asked = f.Ask([]string{talk})
	f.apply(talk, revoke(52, other, other, 45))
	if d := f.Doubtful(10); fmt.Sprint(d) != fmt.Sprint([]string{talk}) {
		t.Error(d)
	}
	settle := func(asked []Asked, st protocol.State) {
		f.do(func(tx *bbolt.Tx) error { return f.Settle(tx, asked, []protocol.State{st}) })
	}
	settle(asked, protocol.State{Log: talk, Head: 51, Read: 40, Unread: 4})
	if c := f.Conv(talk); !c.Stale || c.Unread() != 5 {
		t.Errorf("%+v", c)
	}
	settle(f.Ask([]string{talk}), protocol.State{Log: talk, Head: 52, Read: 40, Unread: 3})
	if c := f.Conv(talk); c.Stale || c.Unread() != 4 {
		t.Errorf("%+v", c)
	}
	// What this board has read the hub does not know yet.
	f.mark(protocol.Mark{Kind: protocol.MarkRead, Log: talk, UpTo: 46})
	settle(f.Ask([]string{talk}), protocol.State{Log: talk, Head: 52, Read: 40, Unread: 3})
	if c := f.Conv(talk); !c.Stale {
		t.Errorf("%+v", c)
	}
	settle(f.Ask([]string{talk}), protocol.State{Log: talk, Head: 53, Read: 46, Unread: 1})
	if c := f.Conv(talk); c.Stale || c.Unread() != 2 {
		t.Errorf("%+v", c)
	}
	settle(f.Ask([]string{group}), protocol.State{Log: group, Gone: true})
	if g := f.Conv(group); !g.Gone || !g.Known {
		t.Errorf("%+v", g)
	}
	// The last message that the hub told of stands in the list until another comes.
	third := protocol.C2CLog(self, "phone")
	f.at[third] = 9
	far := message(4, "phone", "long ago")
	f.do(func(tx *bbolt.Tx) error {
		return f.Settle(tx, f.Ask([]string{third}), []protocol.State{{Log: third, Head: 9, Read: 9, Last: &far}})
	})
	if c := f.Conv(third); c.Last.Seq != 4 || c.Rows != 1 {
		t.Errorf("%+v", c)
	}
	if got, page := f.page(third, Pos{}, 5); got != nil || page.Below != 10 {
		t.Error("what is not held for sure is no history", got, page)
	}
	f.apply(third, message(10, "phone", "now"))
	if c := f.Conv(third); c.Rows != 1 || c.Unread() != 1 {
		t.Errorf("%+v", c)
	}
}

// TestSkipBeforeTheAnswer: what was skipped between a question and its answer is not
// held, or the history would be said to end where the board's part of it does.
func TestSkipBeforeTheAnswer(t *testing.T) {
	f := open(t, t.TempDir(), cursors{}, Limits{})
	asked := f.Ask([]string{talk})
	f.do(func(tx *bbolt.Tx) error { return f.Skip(tx, talk, 3) })
	f.at[talk] = 3
	settle := func(asked []Asked) {
		f.do(func(tx *bbolt.Tx) error {
			return f.Settle(tx, asked, []protocol.State{{Log: talk, Head: 3, Read: 1, Unread: 2}})
		})
	}
	settle(asked)
	f.apply(talk, message(4, other, "now"))
	if got, page := f.page(talk, Pos{}, 9); len(got) != 1 || page.Below != 4 || !f.Conv(talk).Stale {
		t.Errorf("%v, %+v, %+v", got, page, f.Conv(talk))
	}
	settle(f.Ask([]string{talk}))
	f.want(talk, 3, "now")
}

// TestDoubt: after what other terminals did was missed, all is asked anew.
func TestDoubt(t *testing.T) {
	f := open(t, t.TempDir(), cursors{}, Limits{})
	f.apply(talk, message(1, other, "a"), message(2, other, "b"))
	f.apply(group, message(1, other, "g"))
	f.do(f.Doubt)
	if got, page := f.page(talk, Pos{}, 9); got != nil || page.Below != 3 || len(f.Doubtful(9)) != 2 {
		t.Error(got, page, f.Doubtful(9))
	}
	f.do(func(tx *bbolt.Tx) error {
		return f.Settle(tx, f.Ask([]string{talk}), []protocol.State{{Log: talk, Head: 2, Read: 1, Unread: 1}})
	})
	f.apply(talk, message(3, other, "c"))
	f.want(talk, 2, "c")
}

func TestSkipAndRewind(t *testing.T) {
	f := open(t, t.TempDir(), cursors{}, Limits{})
	f.apply(talk, message(1, other, "a"), message(2, other, "b"))
	f.do(func(tx *bbolt.Tx) error { return f.Skip(tx, talk, 100) })
	f.at[talk] = 100
	if c := f.Conv(talk); c.First != 101 || !c.Stale || c.Last.Seq != 2 || c.Rows != 1 {
		t.Errorf("%+v", c)
	}
	f.apply(talk, message(101, other, "c"), message(102, other, "d"), message(103, other, "e"))
	f.want(talk, 3+2, "e", "d", "c") // 2 of them by the count before, until the hub answers
	f.mark(protocol.Mark{Kind: protocol.MarkRead, Log: talk, UpTo: 103})
	f.want(talk, 0, "e", "d", "c")
	f.at[talk] = 101
	f.do(func(tx *bbolt.Tx) error { return f.Rewind(tx, map[string]uint64{talk: 101, group: 0}) })
	f.want(talk, 0, "c")
	f.apply(talk, message(102, other, "another"))
	f.want(talk, 1, "another", "c")
}

// TestOrderOfMarks: in whatever order the logs' entries and the marks arrive, a
// board comes to the same.
func TestOrderOfMarks(t *testing.T) {
	seed := uint64(rand.Uint32())
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 60 {
		var entries []protocol.Entry
		var marks []protocol.Mark
		for seq := uint64(1); seq <= 30; seq++ {
			switch rnd.IntN(8) {
			case 0:
				entries = append(entries, read(seq, []string{self, other}[rnd.IntN(2)], talk, 1+rnd.Uint64N(seq)))
			case 1:
				of := 1 + rnd.Uint64N(seq)
				sender := self
				if of < seq && entries[of-1].Kind == protocol.EntryMessage {
					sender = entries[of-1].From
					entries = append(entries, revoke(seq, sender, sender, of))
					continue
				}
				fallthrough
			default:
				entries = append(entries, message(seq, []string{self, other}[rnd.IntN(2)], fmt.Sprint(seq)))
			}
			switch rnd.IntN(6) {
			case 0:
				marks = append(marks, protocol.Mark{Kind: protocol.MarkDeleted, Log: talk, Seqs: []uint64{1 + rnd.Uint64N(30)}})
			case 1:
				if rnd.IntN(4) == 0 {
					marks = append(marks, protocol.Mark{Kind: protocol.MarkCleared, Log: talk, UpTo: 1 + rnd.Uint64N(seq)})
				}
			}
		}
		var first string
		for try := range 3 {
			f := open(t, t.TempDir(), cursors{}, Limits{})
			left := slices.Clone(entries)
			shuffled := slices.Clone(marks)
			rnd.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			for len(left)+len(shuffled) > 0 {
				if len(shuffled) == 0 || len(left) > 0 && rnd.IntN(3) > 0 {
					n := 1 + rnd.IntN(min(4, len(left)))
					f.apply(talk, left[:n]...)
					left = left[n:]
					continue
				}
				f.mark(shuffled[0])
				shuffled = shuffled[1:]
			}
			texts, _ := f.page(talk, Pos{}, 100)
			c := f.Conv(talk)
			got := fmt.Sprint(texts, c.Unread(), c.Read, c.PeerRead, c.Cleared, c.Last, c.Rows)
			if try == 0 {
				first = got
			} else if got != first {
				t.Fatalf("seed %d:\n%s\n%s\n%v", seed, first, got, marks)
			}
			// And the count is what a count says.
			count := 0
			f.do(func(tx *bbolt.Tx) error {
				w := f.edit(talk, 1)
				before := w.Unread()
				f.count(tx, w)
				count = w.Unread() - before
				return f.save(tx, w, w.Visible())
			})
			if count != 0 {
				t.Fatalf("seed %d: %d unread too few", seed, count)
			}
			_ = f.db.Close()
		}
	}
}

// TestTakenBack: what a transaction that failed had changed is forgotten.
func TestTakenBack(t *testing.T) {
	f := open(t, t.TempDir(), cursors{}, Limits{})
	f.apply(talk, message(1, other, "a"))
	failed := make(chan error, 1)
	f.db.Go(func(tx *bbolt.Tx) error {
		e := message(2, other, "b")
		if err := f.Apply(tx, talk, []*protocol.Entry{&e}); err != nil {
			return err
		}
		return fmt.Errorf("no such luck")
	}, func(err error) {
		f.Committed(err)
		failed <- err
	})
	if err := <-failed; !store.TakenBack(err) {
		t.Fatal(err)
	}
	f.want(talk, 1, "a")
	f.apply(talk, message(2, other, "c"))
	f.want(talk, 2, "c", "a")
}

// TestAllDeleted: bbolt's cursor goes round for ever when it is asked for the last
// row of pages that the same transaction has emptied.
func TestAllDeleted(t *testing.T) {
	f := open(t, t.TempDir(), cursors{}, Limits{})
	var many []protocol.Entry
	for seq := uint64(1); seq <= 1000; seq++ {
		many = append(many, message(seq, other, "a text of the usual length, so that there are several pages"))
	}
	f.apply(talk, many...)
	f.mark(protocol.Mark{Kind: protocol.MarkCleared, Log: talk, UpTo: 1000})
	f.want(talk, 0)
	f.apply(talk, message(1001, other, "after"))
	f.apply(group, many...)
	f.do(func(tx *bbolt.Tx) error { // the newest ones, one page after the other
		for seq := uint64(1000); seq > 900; seq-- {
			if err := f.Mark(tx, protocol.Mark{Kind: protocol.MarkDeleted, Log: group, Seqs: []uint64{seq}}); err != nil {
				return err
			}
			if c := f.InTx(group); c.Last.Seq != seq-1 {
				t.Fatal(seq, c.Last)
			}
		}
		return nil
	})
	f.want(talk, 1, "after")
	if c := f.Conv(group); c.Last.Seq != 900 || c.Unread() != 900 {
		t.Errorf("%+v", c)
	}
}

// TestDamage: a conversation whose record is damaged begins anew.
func TestDamage(t *testing.T) {
	f := open(t, t.TempDir(), cursors{}, Limits{})
	f.apply(talk, message(1, other, "a"), message(2, other, "b"))
	f.apply(group, message(1, other, "g"))
	f.do(func(tx *bbolt.Tx) error {
		return f.state(tx).Put([]byte(talk), []byte("garbage"))
	})
	f = f.again(Limits{})
	if f.Conv(talk) != nil || f.Conv(group) == nil {
		t.Fatal(f.Convs())
	}
	f.want(group, 1, "g")
	if got := f.Unknown([]string{talk, group}); len(got) != 1 {
		t.Error(got)
	}
	f.apply(talk, message(3, other, "c"))
	if got, page := f.page(talk, Pos{}, 9); fmt.Sprint(got) != "[c]" || page.Below != 3 {
		t.Error(got, page)
	}
	f.do(func(tx *bbolt.Tx) error { // and a row
		k := key(f.Conv(group).No, Pos{Seq: 1})
		return f.rows(tx).Put(k, []byte("garbage"))
	})
	if got, _ := f.page(group, Pos{}, 9); got != nil {
		t.Error(got)
	}
}
