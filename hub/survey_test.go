package hub

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/herald-im/herald/protocol"
)

var surveyIDs atomic.Uint32

func (x *term) survey(items ...protocol.SurveyItem) []protocol.State {
	x.t.Helper()
	id := surveyIDs.Add(1)
	x.send(&protocol.Frame{Survey: &protocol.Survey{ID: id, Items: items}})
	return x.until(func(f *protocol.Frame) bool { return f.States != nil && f.States.ID == id }).States.Items
}

// stateOf says a state in JSON, without what is empty; of the last entry its seq.
func stateOf(s protocol.State) string {
	out := map[string]any{}
	put := func(k string, v, zero any) {
		if v != zero {
			out[k] = v
		}
	}
	put("Head", s.Head, uint64(0))
	put("Read", s.Read, uint64(0))
	put("PeerRead", s.PeerRead, uint64(0))
	put("Cleared", s.Cleared, uint64(0))
	put("Unread", s.Unread, uint32(0))
	put("Type", s.Type, "")
	put("Name", s.Name, "")
	put("Gone", s.Gone, false)
	if s.Last != nil {
		out["Last"] = s.Last.Seq
	}
	b, err := json.Marshal(out) // in order of the keys
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (x *term) asks(it protocol.SurveyItem, want string) {
	x.t.Helper()
	got := x.survey(it)
	if len(got) != 1 || got[0].Log != it.Log || stateOf(got[0]) != want {
		x.t.Errorf("%s: %+v: %s, want %s", x.peer.ClientID, it, stateOf(got[0]), want)
	}
}

func TestSurvey(t *testing.T) {
	const log = "c2c:alice:bob"
	each(t, func(t *testing.T, r *rig) {
		alice, bob, owner := r.online("alice", "t"), r.online("bob", "t"), r.online("owner", "t")
		bob.asks(protocol.SurveyItem{Log: log}, `{"Gone":true}`)
		alice.append(items(1, 5)...)
		bob.append(c2c("alice", "6"))
		bob.asks(protocol.SurveyItem{Log: log}, `{"Head":6,"Last":6,"Unread":5}`)
		bob.asks(protocol.SurveyItem{Log: log, Before: 4}, `{"Head":6,"Last":3,"Unread":3}`)
		bob.asks(protocol.SurveyItem{Log: log, Before: 1}, `{"Head":6}`)
		bob.asks(protocol.SurveyItem{Log: log, Before: 1 << 62}, `{"Head":6,"Last":6,"Unread":5}`)
		alice.asks(protocol.SurveyItem{Log: log}, `{"Head":6,"Last":6,"Unread":1}`)
		bob.append(readUpTo(log, 2))             // 7
		alice.append(revokeOf(log, alice.id(4))) // 8
		bob.append(deleteOf(log, 3, 5))          //
		bob.append(c2c("bob", "note"))           //
		alice.append(c2c("bob", "9"))            // 9
		bob.append(deleteOf(log, 9), clearUpTo(log, 1))
		bob.asks(protocol.SurveyItem{Log: log}, `{"Cleared":1,"Head":9,"Last":6,"Read":2}`)
		alice.asks(protocol.SurveyItem{Log: log}, `{"Head":9,"Last":9,"PeerRead":2,"Unread":1}`)
		bob.asks(protocol.SurveyItem{Log: "c2c:bob:bob"}, `{"Head":1,"Last":1}`)
		bob.append(readUpTo("c2c:bob:bob", 1))
		bob.asks(protocol.SurveyItem{Log: "c2c:bob:bob"}, `{"Head":1,"Last":1,"PeerRead":1,"Read":1}`)

		owner.mustCall("im.createGroup", create("m", protocol.GroupMeeting))
		owner.mustCall("im.createGroup", create("w", protocol.GroupWork))
		owner.mustCall("im.createGroup", create("room", protocol.GroupAVChatRoom))
		owner.append(toGroup("m", "x"), toGroup("w", "x"))
		bob.mustCall("im.joinGroup", join("m"))
		r.letIn("w", "bob")
		owner.append(toGroup("m", "x"), toGroup("w", "x"))
		bob.asks(protocol.SurveyItem{Log: "group:m"}, `{"Head":4,"Last":4,"Name":"name of m","Type":"Meeting"}`)
		bob.asks(protocol.SurveyItem{Log: "group:w"}, `{"Head":3,"Last":3,"Name":"name of w","Type":"Work","Unread":1}`)
		for _, other := range []string{"group:room", "group:none", "c2c:alice:owner", "user:bob", "user:alice", "x\x00", ""} {
			bob.asks(protocol.SurveyItem{Log: other}, `{"Gone":true}`)
		}
		bob.mustCall("im.quitGroup", named("w")) // 4
		owner.append(toGroup("w", "5"))
		bob.asks(protocol.SurveyItem{Log: "group:w"}, `{"Head":4,"Last":4,"Name":"name of w","Type":"Work","Unread":1}`)
		owner.mustCall("im.dismissGroup", named("m"))
		bob.asks(protocol.SurveyItem{Log: "group:m"}, `{"Head":5,"Last":5,"Name":"name of m","Type":"Meeting"}`)
		if got := bob.survey(); len(got) != 0 {
			t.Errorf("a survey of nothing: %+v", got)
		}
	})
}

// Counting ends somewhere, and a survey's answer is a frame.
func TestSurveyIsBounded(t *testing.T) {
	r := newRig(t, sqlite(t))
	alice, bob := r.online("alice", "t"), r.online("bob", "t")
	r.fill("c2c:alice:bob", protocol.MaxUnread+5, protocol.EntryMessage, 1<<40)
	bob.asks(protocol.SurveyItem{Log: "c2c:alice:bob"}, `{"Head":10005,"Last":10005,"Unread":10000}`)
	bob.asks(protocol.SurveyItem{Log: "c2c:alice:bob", Before: 10000}, `{"Head":10005,"Last":9999,"Unread":9999}`)
	alice.asks(protocol.SurveyItem{Log: "c2c:alice:bob"}, `{"Head":10005,"Last":10005}`)

	var list []protocol.SurveyItem
	for i := range protocol.MaxSurvey {
		user := fmt.Sprint("u", i)
		r.connect(user, "t")
		alice.append(c2c(user, strings.Repeat("x", 8000)))
		list = append(list, protocol.SurveyItem{Log: protocol.C2CLog("alice", user)})
	}
	asked := 0
	for len(list) > 0 {
		got := alice.survey(list...)
		if len(got) == 0 || len(got) > 20 {
			t.Fatalf("%d states of 8 kB each", len(got))
		}
		for i, s := range got {
			if s.Log != list[i].Log || s.Last == nil {
				t.Errorf("state %+v where %s is asked for", s, list[i].Log)
			}
		}
		list = list[len(got):]
		asked++
	}
	if asked < 5 {
		t.Errorf("%d frames", asked)
	}
	// What looks at much leaves the rest for later.
	long := slices.Repeat([]protocol.SurveyItem{{Log: "c2c:alice:bob"}}, 40)
	if got := bob.survey(long...); len(got) < 2 || len(got) > 20 {
		t.Errorf("%d states of a log with much in it", len(got))
	}
	bob.send(&protocol.Frame{Survey: &protocol.Survey{Items: []protocol.SurveyItem{{Log: strings.Repeat("x", 200_000)}}}})
	bob.quiet()
	if !r.log.has("too long a name") {
		t.Error("a survey of a log with a name of 200 kB is not dropped")
	}
}

// standing is how a log stands for an account, in the simplest words.
type standing struct {
	from, to      uint64 // what may be read: after from, up to to; to 0: without end
	read, cleared uint64
	hidden        map[uint64]bool
}

type modelLog struct {
	name    string
	meeting bool
	entries []modelEntry // of seq 1, 2, …
	users   map[string]*standing
}

type modelEntry struct {
	kind      protocol.EntryKind
	from, id  string
	revokedBy string
}

func (l *modelLog) head(user string) uint64 {
	if to := l.users[user].to; to > 0 {
		return to
	}
	return uint64(len(l.entries))
}

// shown lists what a user sees below before, the newest first.
func (l *modelLog) shown(user string, before uint64) (seqs []uint64) {
	s := l.users[user]
	for seq := min(before-1, l.head(user)); seq > max(s.from, s.cleared); seq-- {
		if k := l.entries[seq-1].kind; (k == protocol.EntryMessage || k == protocol.EntryTip) && !s.hidden[seq] {
			seqs = append(seqs, seq)
		}
	}
	return seqs
}

func (l *modelLog) unread(user string, before uint64) (n uint32) {
	if l.meeting {
		return 0
	}
	for _, seq := range l.shown(user, before) {
		if e := l.entries[seq-1]; seq > l.users[user].read && e.kind == protocol.EntryMessage && e.from != user && e.revokedBy == "" {
			n++
		}
	}
	return n
}

// Whatever accounts say, mark, take back, join and leave: pages and states are
// what counting one by one gives.
func TestStatesAgainstAModel(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		seed := rand.Uint64()
		rnd := rand.New(rand.NewPCG(seed, 2))
		users := []string{"a", "b", "c"}
		terms := map[string]*term{}
		for _, u := range users {
			terms[u] = r.online(u, "t")
		}
		logs := map[string]*modelLog{}
		for _, name := range []string{"c2c:a:b", "c2c:a:a", "c2c:b:c"} {
			l := &modelLog{name: name, users: map[string]*standing{}}
			_, x, y := protocol.ParseLog(name)
			for _, u := range pair(x, y) {
				l.users[u] = &standing{hidden: map[uint64]bool{}}
			}
			terms[x].append(c2c(y, "first"))
			l.entries = append(l.entries, modelEntry{kind: protocol.EntryMessage, from: x, id: terms[x].id(terms[x].first - 1)})
			logs[name] = l
		}
		for _, kind := range []string{protocol.GroupMeeting, protocol.GroupWork} {
			terms["a"].mustCall("im.createGroup", create(kind, kind))
			logs["group:"+kind] = &modelLog{
				name: "group:" + kind, meeting: kind == protocol.GroupMeeting, entries: []modelEntry{{kind: protocol.EntryTip, from: "a"}},
				users: map[string]*standing{"a": {hidden: map[uint64]bool{}}},
			}
		}
		names := []string{"c2c:a:a", "c2c:a:b", "c2c:b:c", "group:Meeting", "group:Work"}
		for step := range 600 {
			l := logs[names[rnd.IntN(len(names))]]
			user := users[rnd.IntN(len(users))]
			x := terms[user]
			kind, group, peer := protocol.ParseLog(l.name)
			peer = protocol.Peer(group, peer, user)
			s := l.users[user]
			fail := func(format string, args ...any) {
				t.Helper()
				t.Fatalf("seed %d, step %d: %s in %s: %s", seed, step, user, l.name, fmt.Sprintf(format, args...))
			}
			if s == nil && kind == protocol.LogC2C {
				continue
			}
			member := s != nil && s.to == 0
			anySeq := func() uint64 { return 1 + rnd.Uint64N(uint64(len(l.entries))+2) }
			write := func(kind protocol.EntryKind, id string) {
				l.entries = append(l.entries, modelEntry{kind: kind, from: user, id: id})
			}
			switch op := rnd.IntN(20); {
			case !member && op < 8:
				from := uint64(len(l.entries))
				if l.meeting {
					x.mustCall("im.joinGroup", join(group))
					write(protocol.EntryTip, "")
					from = 0
				} else {
					r.letIn(group, user)
				}
				if s == nil {
					s = &standing{hidden: map[uint64]bool{}}
					l.users[user] = s
				}
				s.from, s.to = from, 0
			case s == nil:
			case op < 8:
				it := toGroup(group, "x")
				if kind == protocol.LogC2C {
					it = c2c(peer, "x")
				}
				if a := x.append(it)[0]; a.Seq != uint64(len(l.entries))+1 {
					fail("message: %+v", a)
				}
				write(protocol.EntryMessage, x.id(x.first-1))
			case op < 9 && kind == protocol.LogGroup && member && user != "a":
				x.mustCall("im.quitGroup", named(group))
				write(protocol.EntryTip, "")
				s.to = uint64(len(l.entries))
			case op < 12:
				upTo := min(anySeq(), l.head(user))
				news := false
				for seq := s.read + 1; seq <= upTo; seq++ {
					news = news || seq > s.from && l.entries[seq-1].kind == protocol.EntryMessage && l.entries[seq-1].from != user
				}
				want := ""
				switch {
				case news && kind == protocol.LogC2C:
					want = l.name
				case news:
					want = protocol.UserLog(user)
				}
				if a := x.append(readUpTo(l.name, upTo))[0]; a.Code != 0 || a.Log != want {
					fail("read up to %d: %+v, want %q", upTo, a, want)
				}
				if want == l.name {
					write(protocol.EntryMark, "")
				}
				s.read = max(s.read, upTo)
			case op < 15:
				seqs := []uint64{anySeq(), anySeq(), anySeq()}
				x.append(deleteOf(l.name, seqs...))
				for _, seq := range seqs {
					if slices.Contains(l.shown(user, 1<<40), seq) {
						s.hidden[seq] = true
					}
				}
			case op < 16:
				upTo := min(anySeq(), l.head(user))
				x.append(clearUpTo(l.name, upTo))
				s.cleared = max(s.cleared, upTo)
			default:
				seq := min(anySeq(), uint64(len(l.entries)))
				e := &l.entries[seq-1]
				if e.id == "" {
					continue
				}
				a := x.append(revokeOf(l.name, e.id))[0]
				may := member && seq > s.from && (e.from == user || kind == protocol.LogGroup && user == "a")
				if may != (a.Code == 0) || may && (e.revokedBy == "") != (a.Seq > 0) {
					fail("revoke %d of %s: %+v", seq, e.from, a)
				}
				if a.Seq > 0 {
					e.revokedBy = user
					write(protocol.EntryRevoke, "")
				}
			}
			if step%3 == 0 {
				r.holds(l, terms, anySeq(), fail)
			}
		}
	})
}

// holds compares what the hub says of a log with the model.
func (r *rig) holds(l *modelLog, terms map[string]*term, before uint64, fail func(string, ...any)) {
	r.t.Helper()
	_, a, b := protocol.ParseLog(l.name)
	for _, user := range []string{"a", "b", "c"} {
		s := l.users[user]
		got := terms[user].survey(protocol.SurveyItem{Log: l.name, Before: before}, protocol.SurveyItem{Log: l.name})
		if s == nil {
			if len(got) != 2 || !got[0].Gone {
				fail("%s: %+v", user, got)
			}
			continue
		}
		for i, before := range []uint64{before, 1 << 40} {
			want := protocol.State{Head: l.head(user), Read: s.read, Cleared: s.cleared, Unread: l.unread(user, before)}
			if b != "" {
				want.PeerRead = l.users[protocol.Peer(a, b, user)].read
			} else {
				want.Type, want.Name = a, "name of "+a
			}
			if seqs := l.shown(user, before); len(seqs) > 0 {
				want.Last = &protocol.Entry{Seq: seqs[0]}
			}
			if stateOf(got[i]) != stateOf(want) {
				fail("%s below %d: %s, want %s", user, before, stateOf(got[i]), stateOf(want))
			}
		}
		var seqs []uint64
		for next, least := before, uint64(0); next > least; {
			page := terms[user].pull(protocol.Pull{Log: l.name, Before: next, Limit: 7})
			least = page.Least
			for _, e := range page.Entries {
				if e.RevokedBy != l.entries[e.Seq-1].revokedBy || (e.RevokedBy != "") != (len(e.Body) == 0) {
					fail("%s: entry %+v", user, e)
				}
				seqs = append(seqs, e.Seq)
			}
			next = page.From
		}
		if want := l.shown(user, before); !slices.Equal(seqs, want) {
			fail("%s below %d is shown %v, want %v", user, before, seqs, want)
		}
	}
}
