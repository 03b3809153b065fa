package hub

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/herald-im/herald/hub/broker"
	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

func TestUnknownBootIsToldToSayHello(t *testing.T) {
	r := newRig(t, sqlite(t))
	x := r.connect("alice", "t")
	x.batch(protocol.Item{})
	if b := x.byeFrame(); b.Code != protocol.CodeNotLoggedIn || b.Boot != x.boot {
		t.Errorf("bye = %+v", b)
	}
	x.first = 1
	x.hello()
	x.append(protocol.Item{})
	x.send(&protocol.Frame{Boot: x.boot - 1, Append: &protocol.Append{Epoch: 1, Base: 1, First: 2, Items: []protocol.Item{{}}}})
	x.quiet() // of an older boot: it is not answered at all
	x.send(&protocol.Frame{Bye: &protocol.Bye{Boot: x.boot}})
	x.batch(protocol.Item{})
	if b := x.byeFrame(); b.Code != protocol.CodeNotLoggedIn {
		t.Errorf("after its bye: %+v", b)
	}
}

// An old connection's end, in whatever way it comes, must not end the session
// that has taken its place.
func TestLateWillAndGoneLeaveTheNewSessionAlone(t *testing.T) {
	r := newRig(t, sqlite(t))
	bob := r.online("bob", "t")
	old := r.online("alice", "t")
	fresh := r.connect("alice", "t")
	fresh.hello(func(h *protocol.Hello) { h.Platform = "linux-t" })
	late, err := protocol.EncodeFrame(&protocol.Frame{Boot: old.boot, Bye: &protocol.Bye{Boot: old.boot}})
	if err != nil {
		t.Fatal(err)
	}
	stillThere := func(when string) {
		t.Helper()
		if s := r.table.find("alice", "t"); s == nil || s.boot != fresh.boot {
			t.Fatalf("%s: session %+v", when, s)
		}
		bob.append(c2c("alice", when))
		if got := fresh.pushed(); len(got) != 1 {
			t.Errorf("%s: %q", when, got)
		}
	}
	stillThere("before")
	if err := r.Receive(old.peer, old.topic, late); err != nil {
		t.Fatal(err)
	}
	stillThere("after the late will on the old connection")
	if err := r.Receive(fresh.peer, fresh.topic, late); err != nil { // as an outside broker would bring it
		t.Fatal(err)
	}
	stillThere("after the late will on the topic")
	r.Gone(old.peer, late)
	stillThere("after the old connection was gone")
	r.Gone(fresh.peer, nil)
	if s := r.table.find("alice", "t"); s != nil || r.table.online("alice") {
		t.Errorf("after the end of the new one: %+v", s)
	}
}

func TestNewestTerminalOfAPlatformStays(t *testing.T) {
	for limit := 1; limit <= 2; limit++ {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			r := newRig(t, sqlite(t), func(c *Config) { c.TerminalsPerPlatform = limit })
			linux := func(h *protocol.Hello) { h.Platform = "linux" }
			phone := r.online("alice", "phone")
			other := r.online("bob", "t0")
			var terms []*term
			for i := range 3 {
				x := r.connect("alice", fmt.Sprint("t", i))
				x.hello(linux)
				terms = append(terms, x)
			}
			for i, x := range terms {
				kicked := i < 3-limit
				if kicked {
					<-x.cut
					if b := x.byeFrame(); b.Code != protocol.CodeLoginKickedOffByOther || b.Boot != x.boot || b.Msg == "" {
						t.Errorf("bye = %+v", b)
					}
				}
				if gone := r.table.find("alice", x.login.terminal) == nil; gone != kicked {
					t.Errorf("terminal %d: gone %v, want %v", i, gone, kicked)
				}
			}
			last := terms[2]
			last.hello(linux) // its own again
			for _, x := range []*term{phone, other, last} {
				if r.table.find(x.login.user, x.login.terminal) == nil {
					t.Errorf("%s is gone", x.peer.ClientID)
				}
			}
			// What is still on its way from a terminal that was ended is not heard.
			b, err := protocol.EncodeFrame(&protocol.Frame{Boot: 5, Hello: &protocol.Hello{Version: protocol.Version, Platform: "linux"}})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Receive(terms[0].peer, terms[0].topic, b); err != nil || r.table.find("alice", "t0") != nil {
				t.Errorf("an ended connection opens a session (%v)", err)
			}
		})
	}
}

func TestHelloRefused(t *testing.T) {
	r := newRig(t, sqlite(t))
	for name, h := range map[string]protocol.Hello{
		"version 2":    {Version: 2, Platform: "linux"},
		"no version":   {Platform: "linux"},
		"no platform":  {Version: 1},
		"bad platform": {Version: 1, Platform: "li nux"},
	} {
		x := r.connect("alice", "t")
		x.send(&protocol.Frame{Hello: &h})
		if b := x.byeFrame(); b.Code != protocol.CodeLoginAuthFailed || b.Boot != x.boot || b.Msg == "" {
			t.Errorf("%s: %+v", name, b)
		}
		<-x.cut
		if r.table.online("alice") {
			t.Errorf("%s: a session", name)
		}
	}
}

func TestHeads(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.online("bob", "t")
		alice := r.online("alice", "t1")
		w, heads := alice.hello()
		if len(heads) != 0 || len(w.Eras) != 1 || w.Eras[0] != r.era || w.Time == 0 || w.Hub == "" || w.Epoch != 0 || w.BeatMs == 0 {
			t.Errorf("welcome of a new account = %+v, %v", w, heads)
		}
		alice.append(c2c("bob", "1"), c2c("bob", "2"), c2c("alice", "3"))
		digest := protocol.CursorHash("c2c:alice:bob", 2) + protocol.CursorHash("c2c:alice:alice", 1)
		want := []protocol.Head{{Log: "c2c:alice:alice", Seq: 1}, {Log: "c2c:alice:bob", Seq: 2}}
		w, heads = alice.hello()
		if !w.Heads || !reflect.DeepEqual(heads, want) || w.Epoch != 1 || w.LastCseq != 3 {
			t.Errorf("welcome = %+v, %v", w, heads)
		}
		w, heads = alice.hello(func(h *protocol.Hello) { h.Digest, h.Logs, h.Eras = digest, 2, w.Eras })
		if w.Heads || w.Common != 1 {
			t.Errorf("with the right digest: %+v, %v", w, heads)
		}
		beat := func(b protocol.Beat) []protocol.Head {
			t.Helper()
			alice.send(&protocol.Frame{Beat: &b})
			h := alice.until(func(f *protocol.Frame) bool { return f.Heads != nil }).Heads
			if h.Time == 0 || h.More {
				t.Errorf("heads = %+v", h)
			}
			return h.Items
		}
		if got := beat(protocol.Beat{Digest: digest, Logs: 2}); got != nil {
			t.Errorf("a right beat: %v", got)
		}
		if got := beat(protocol.Beat{Digest: digest, Logs: 3}); !reflect.DeepEqual(got, want) {
			t.Errorf("a beat with a cursor too many: %v", got)
		}
		beat(protocol.Beat{Moved: []protocol.Cursor{{Log: "c2c:alice:bob", Seq: 1}, {Log: "c2c:alice:alice", Seq: 7}, {Log: "c2c:x:y", Seq: 7}}})
		r.flushSeen()
		want[1].Start = 1
		if got := beat(protocol.Beat{}); !reflect.DeepEqual(got, want) {
			t.Errorf("after cursors were told: %v", got)
		}
	})
}

func TestManyHeadsComeInParts(t *testing.T) {
	r := newRig(t, sqlite(t))
	const n = 2300
	r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
		for i := range n {
			l, _, err := tx.EnsureLog(ctx, r.app, fmt.Sprintf("c2c:alice:u%04d", i))
			if err == nil {
				_, err = tx.Extend(ctx, l.ID, 1, 1)
			}
			if err == nil {
				err = tx.SetReader(ctx, r.app, "alice", l.ID, 0, 0)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	_, heads := r.connect("alice", "t").hello()
	if len(heads) != n || heads[n-1].Log != "c2c:alice:u2299" {
		t.Errorf("%d heads", len(heads))
	}
}

func TestPull(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.online("bob", "t")
		alice, carol := r.online("alice", "t"), r.online("carol", "t")
		for range 3 {
			alice.append(items(1, 100)...)
		}
		bob := r.online("bob", "t2")
		check := func(p protocol.Pull, from uint64, n int) {
			t.Helper()
			p.Log = "c2c:alice:bob"
			got := bob.pull(p)
			if got.Log != p.Log || got.Code != 0 || got.From != from || got.Head != 300 || len(got.Entries) != n {
				t.Errorf("pull %+v: from %d, head %d, %d entries, code %d", p, got.From, got.Head, len(got.Entries), got.Code)
			}
			for i, e := range got.Entries {
				if e.Seq != from+uint64(i)+1 {
					t.Fatalf("entry %d has seq %d", i, e.Seq)
				}
			}
		}
		check(protocol.Pull{}, 0, 256)
		check(protocol.Pull{After: 290}, 290, 10)
		check(protocol.Pull{After: 250, Limit: 7}, 250, 7)
		check(protocol.Pull{After: 300}, 300, 0)
		check(protocol.Pull{After: 400}, 400, 0) // ahead of the hub
		check(protocol.Pull{Fresh: true}, 0, 256)
		check(protocol.Pull{Limit: 60000}, 0, 256)
		bob.send(&protocol.Frame{Beat: &protocol.Beat{Moved: []protocol.Cursor{{Log: "c2c:alice:bob", Seq: 299}}}})
		r.flushSeen()
		check(protocol.Pull{Fresh: true}, 299, 1)
		for log, code := range map[string]protocol.Code{
			"c2c:alice:bob": protocol.CodeSvrGroupPermissionDeny, "c2c:x:y": protocol.CodeSvrGroupPermissionDeny,
			"group:none": protocol.CodeSvrGroupNotFound, "": protocol.CodeSvrGroupPermissionDeny, "user:bob": protocol.CodeSvrGroupPermissionDeny,
		} {
			if got := carol.pull(protocol.Pull{Log: log}); got.Code != code || got.Log != log || got.Msg == "" || got.Entries != nil {
				t.Errorf("carol pulls %q: %+v", log, got)
			}
		}
		long := protocol.Item{Kind: protocol.ItemC2C, To: "bob", Body: text(string(make([]byte, 8000)))}
		alice.append(slices.Repeat([]protocol.Item{long}, 15)...)
		alice.append(slices.Repeat([]protocol.Item{long}, 15)...)
		if got := bob.pull(protocol.Pull{Log: "c2c:alice:bob", After: 300}); len(got.Entries) != 16 || got.Head != 330 {
			t.Errorf("%d entries of 8 kB, head %d", len(got.Entries), got.Head)
		}
	})
}

// After each start of a hub terminals learn what of the past is still as they
// know it, also when the database is an older copy.
func TestErasTellOfARewoundDatabase(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		r := newRig(t, location)
		alice := r.online("alice", "t")
		r.online("bob", "t")
		alice.append(items(1, 5)...)
		w, _ := alice.hello()
		known := w.Eras
		r.stop()

		r = newRig(t, location)
		alice = r.connect("alice", "t")
		alice.first = 6
		digest := protocol.CursorHash("c2c:alice:bob", 5)
		w, heads := alice.hello(func(h *protocol.Hello) { h.Eras, h.Digest, h.Logs = known, digest, 1 })
		if w.Common != 1 || len(w.Eras) != 2 || !w.Heads || len(heads) != 1 || heads[0].Was != 5 || heads[0].Seq != 5 {
			t.Errorf("after a restart: %+v, %v", w, heads)
		}
		alice.append(items(6, 8)...)
		w, heads = alice.hello(func(h *protocol.Hello) { h.Eras = known })
		if w.Common != 1 || len(heads) != 1 || heads[0].Was != 5 || heads[0].Seq != 8 || w.LastCseq != 8 {
			t.Errorf("with entries of the new era: %+v, %v", w, heads)
		}
		if r.log.has("restored from a copy") {
			t.Error("a plain restart is taken for a restored copy")
		}
		// A board that has met a hub whose second era was another one.
		forked := append(slices.Clone(known), protocol.Era{Ord: 2, ID: 99}, protocol.Era{Ord: 3, ID: 98})
		w, heads = alice.hello(func(h *protocol.Hello) { h.Eras, h.Digest, h.Logs = forked, protocol.CursorHash("c2c:alice:bob", 8), 1 })
		if w.Common != 1 || !w.Heads || len(heads) != 1 || heads[0].Was != 5 {
			t.Errorf("after a rewind: %+v, %v", w, heads)
		}
		if !r.log.has("restored from a copy") {
			t.Error("nothing is said of the rewind")
		}
		w, heads = alice.hello(func(h *protocol.Hello) { h.Eras = []protocol.Era{{Ord: 7, ID: 7}} })
		if w.Common != 0 || !w.Heads || heads[0].Was != 0 {
			t.Errorf("with nothing in common: %+v, %v", w, heads)
		}
		r.stop()
	})
}

func TestCallIsRunOnce(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		x := r.online("alice", "t")
		body, err := protocol.Marshal(protocol.CreateGroupRequest{GroupType: protocol.GroupWork, GroupName: "w"})
		if err != nil {
			t.Fatal(err)
		}
		f := &protocol.Frame{Call: &protocol.Call{ID: 1 << 40, Method: "im.createGroup", Body: body}}
		reply := func() string {
			return show(x.until(func(f *protocol.Frame) bool { return f.Reply != nil }))
		}
		x.send(f)
		first := reply()
		x.send(f)
		if again := reply(); again != first {
			t.Errorf("again: %s, first: %s", again, first)
		}
		if n, err := r.store.GroupCount(t.Context(), r.app, "alice"); n != 1 || err != nil {
			t.Errorf("%d groups, %v", n, err)
		}
		for i := range uint64(ringSize) {
			f.Call.ID = i + 1
			f.Call.Method = "im.none"
			x.send(f)
			reply()
		}
		if n := len(r.table.find("alice", "t").calls.rows); n != ringSize {
			t.Errorf("%d calls are remembered", n)
		}
	})
}

func TestCallsThatMakeNoSense(t *testing.T) {
	r := newRig(t, sqlite(t))
	x := r.online("alice", "t")
	if code := x.call("im.none", protocol.Empty{}, nil); code != protocol.CodeInvalidParameters {
		t.Errorf("unknown method: %d", code)
	}
	if code := x.call("im.login", protocol.Empty{}, nil); code != protocol.CodeInvalidParameters {
		t.Errorf("a method of the board: %d", code)
	}
	if code := x.call("im.createGroup", []int{1}, nil); code != protocol.CodeInvalidParameters {
		t.Errorf("bad body: %d", code)
	}
	if code := x.call("im.joinGroup", protocol.JoinGroupRequest{}, nil); code != protocol.CodeInvalidParameters {
		t.Errorf("missing groupId: %d", code)
	}
	x.send(&protocol.Frame{Exp: time.Now().Add(-time.Second).UnixMilli(), Call: &protocol.Call{ID: 1 << 41, Method: "im.none"}})
	if f := x.next(); f.Heads == nil || f.Heads.Time == 0 {
		t.Errorf("a frame that was too late: %+v", f)
	}
	if f := x.next(); f.Reply == nil || f.Reply.ID != 1<<41 || f.Reply.Code != protocol.CodeRequestTimeout {
		t.Errorf("a call that was too late: %+v", f)
	}
	x.send(&protocol.Frame{Reply: &protocol.Reply{ID: 1}})
	for _, b := range [][]byte{nil, {0xff}, {0xa0}, make([]byte, protocol.MaxFrameBytes+1)} {
		if err := r.Receive(x.peer, x.topic, b); err != nil {
			t.Error(err)
		}
	}
	if err := r.Receive(x.peer, protocol.TopicIn(r.app, "bob", "t"), nil); err != nil {
		t.Error(err)
	}
	x.quiet()
}

func TestOrders(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		now := time.Now()
		r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
			return tx.AddKey(ctx, r.app, store.Key{ID: "k2", Secret: "second", Created: now})
		})
		for {
			if id, err := r.store.LastOrder(t.Context()); err == nil && id == 0 {
				break
			}
		}
		kicked, blocked, keyed, idle, stays := r.online("u1", "t"), r.online("u2", "t"), r.online("u3", "t"), r.connect("u4", "t"), r.online("u5", "t")
		between := &login{user: "u1", terminal: "t2"} // its UserSig is being looked at; idle has logged in and says nothing
		unknown := &login{user: "u9", terminal: "t"}  // so is this one's: it may be by the key
		r.table.begin(between)
		r.table.begin(unknown)
		stays.login.keyID = "k2"
		r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(
				tx.AddOrder(ctx, store.Order{App: r.app, Kind: store.OrderKick, User: "u1"}, now),
				tx.AddOrder(ctx, store.Order{App: r.app + 1, Kind: store.OrderKick, User: "u5"}, now),
				tx.SetBlocked(ctx, r.app, "u2", true, now),
				tx.AddOrder(ctx, store.Order{App: r.app, Kind: store.OrderBlock, User: "u2"}, now),
				tx.AddOrder(ctx, store.Order{App: r.app, Kind: "dance", User: "u5"}, now),
				tx.RemoveKey(ctx, r.app, "k1", now),
				tx.AddOrder(ctx, store.Order{App: r.app, Kind: store.OrderKey, Arg: "k1"}, now))
		})
		for x, code := range map[*term]protocol.Code{
			kicked: protocol.CodeLoginKickedOffByOther, blocked: protocol.CodeSvrAccountBlacklist,
			keyed: protocol.CodeSvrAccountInvalidUserSig, idle: protocol.CodeSvrAccountInvalidUserSig,
		} {
			<-x.cut
			boot := x.boot
			if x == idle {
				boot = 0
			}
			if b := x.byeFrame(); b.Code != code || b.Boot != boot || b.Msg == "" || b.Operator != (x == kicked) {
				t.Errorf("%s: bye %+v", x.login.user, b)
			}
		}
		if r.table.admit(between, "k2", now.Add(time.Hour)) || r.table.admit(unknown, "k1", now.Add(time.Hour)) {
			t.Error("a login that an order met is let in")
		}
		stays.append(protocol.Item{})
	})
}

func TestExpiryWhileOnline(t *testing.T) {
	r := newRig(t, sqlite(t))
	expiring := func(user string, expire time.Duration) *term {
		id, err := r.Authenticate(broker.Login{
			ClientID: protocol.ClientID(r.app, user, "t"), Username: protocol.Username(r.app, user),
			Password: []byte(makeSig(t, r.app, user, r.key(), time.Now(), expire)),
		})
		if err != nil {
			t.Fatal(err)
		}
		x := r.connect(user, "t")
		r.table.gone(x.login, false)
		x.login, x.peer.Data = id.(*login), id
		x.hello()
		return x
	}
	stays := expiring("stays", time.Hour)
	late, soon := expiring("late", 2*time.Second), expiring("soon", time.Second)
	for _, x := range []*term{soon, late} {
		<-x.cut
		if b := x.byeFrame(); b.Code != protocol.CodeSvrAccountUserSigExpired || b.Boot != x.boot {
			t.Errorf("bye = %+v", b)
		}
	}
	stays.append(protocol.Item{})
	if logins, sessions := r.table.counts(); logins != 1 || sessions != 1 || len(r.table.expiry) != 1 || len(r.table.accounts) != 1 {
		t.Errorf("left: %d logins, %d sessions, %d timers", logins, sessions, len(r.table.expiry))
	}
}

func TestTableForgetsWhoIsGone(t *testing.T) {
	r := newRig(t, sqlite(t))
	for i := range 20 {
		x := r.online("alice", "t")
		if i%2 == 0 {
			x.send(&protocol.Frame{Bye: &protocol.Bye{Boot: x.boot}})
		}
		r.Gone(x.peer, nil)
	}
	if logins, sessions := r.table.counts(); logins != 0 || sessions != 0 || len(r.table.expiry) != 0 || len(r.table.accounts) != 0 {
		t.Errorf("left: %d logins, %d sessions, %d timers, %d accounts", logins, sessions, len(r.table.expiry), len(r.table.accounts))
	}
}
