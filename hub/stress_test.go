package hub

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// Fifty producers write at the same time into logs of their own and into one of
// all, and repeat and rewind at random: each message is stored once, in its
// producer's order, and every log is without a hole. Who listens gets each once.
func TestManyProducers(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		const producers, total = 50, 120
		reader := r.online("reader", "t")
		owner := r.online("owner", "t")
		owner.mustCall("im.createGroup", create("all", protocol.GroupMeeting))
		reader.mustCall("im.joinGroup", join("all"))
		var terms []*term
		for i := range producers {
			x := r.online(fmt.Sprint("p", i), "t")
			x.mustCall("im.joinGroup", join("all"))
			terms = append(terms, x)
		}
		seed := rand.Uint64()
		t.Log("seed", seed)
		var wg sync.WaitGroup
		for i, x := range terms {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, uint64(i)))
				make := func(first, n uint64) []protocol.Item {
					var out []protocol.Item
					for c := first; c < first+n; c++ {
						s := fmt.Sprintf("%d/%d", i, c)
						switch c % 3 {
						case 0:
							out = append(out, toGroup("all", s))
						case 1:
							out = append(out, c2c("reader", s))
						default:
							out = append(out, protocol.Item{})
						}
					}
					return out
				}
				for acked := uint64(0); acked < total; {
					first := acked + 1
					n := min(1+rnd.Uint64N(20), total-acked)
					if rnd.IntN(4) == 0 { // sent, and given up before the answer
						x.first = first
						x.batch(make(first, n)...)
						n = min(1+rnd.Uint64N(30), total-acked)
					}
					x.first = first
					x.batch(make(first, n)...)
					for acked < first+n-1 { // the one given up may be answered, too
						if a := x.acks(); a != nil && a.First+uint64(len(a.Results))-1 > acked {
							for k, ack := range a.Results {
								if ack.Code != 0 {
									t.Errorf("item %d: %+v", a.First+uint64(k), ack)
								}
							}
							acked = a.First + uint64(len(a.Results)) - 1
						}
					}
				}
			})
		}
		wg.Wait()
		r.settle()
		logs := map[string]int{"group:all": 2 + producers + producers*total/3}
		for i := range producers {
			logs[protocol.C2CLog("reader", fmt.Sprint("p", i))] = total / 3
		}
		seen := make(map[string]uint64) // log and producer → last number
		for log, n := range logs {
			l, err := r.store.Log(t.Context(), r.app, log)
			if err != nil {
				t.Fatal(err)
			}
			es, err := r.store.Entries(t.Context(), l.ID, 0, l.Head, 1<<20, 1<<30)
			if err != nil || len(es) != n || l.Head != uint64(n) {
				t.Fatalf("%s: %d entries, head %d, want %d, %v", log, len(es), l.Head, n, err)
			}
			for k, e := range es {
				if e.Seq != uint64(k)+1 {
					t.Fatalf("%s: entry %d has seq %d", log, k, e.Seq)
				}
				if e.Kind == protocol.EntryTip {
					continue
				}
				var p int
				var c uint64
				if _, err := fmt.Sscanf(bodyOf(t, e), "%d/%d", &p, &c); err != nil {
					t.Fatal(err)
				}
				key := fmt.Sprint(log, " ", p)
				if c <= seen[key] {
					t.Fatalf("%s: %d of producer %d after %d", log, c, p, seen[key])
				}
				seen[key] = c
			}
		}
		// The reader got every entry once and in order: he was online throughout.
		next := map[string]uint64{"group:all": 3}
		reader.mu.Lock()
		defer reader.mu.Unlock()
		got := 0
		for _, f := range reader.frames {
			if f.Push == nil {
				continue
			}
			for _, l := range f.Push.Logs {
				for _, e := range l.Entries {
					if next[l.Log] == 0 {
						next[l.Log] = 1
					}
					if e.Seq != next[l.Log] {
						t.Fatalf("%s: pushed %d where %d should be", l.Log, e.Seq, next[l.Log])
					}
					next[l.Log]++
					got++
				}
			}
		}
		if want := producers + 2*producers*total/3; got != want {
			t.Errorf("%d entries were pushed, want %d", got, want)
		}
	})
}

// Two terminals of one account write at the same time into the same logs. For
// each, its answers and the pushes of the other's come in the order of the seqs.
func TestAnswersAndPushesComeInOrder(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.online("bob", "t")
		a1, a2 := r.online("alice", "t1"), r.online("alice", "t2")
		const rounds = 100
		var wg sync.WaitGroup
		for _, x := range []*term{a1, a2} {
			wg.Go(func() {
				next, answered := uint64(1), 0
				for answered < rounds || next <= 2*rounds {
					if answered < rounds && x.first == uint64(answered)+1 {
						x.batch(c2c("bob", "x"))
					}
					f := x.next()
					switch {
					case f.Acks != nil:
						answered++
						if seq := f.Acks.Results[0].Seq; seq != next {
							t.Errorf("%s: answer %d where %d should be", x.login.terminal, seq, next)
							return
						}
						next++
					case f.Push != nil:
						for _, e := range f.Push.Logs[0].Entries {
							if e.Seq != next || e.Term == x.login.terminal {
								t.Errorf("%s: push %d of %s where %d should be", x.login.terminal, e.Seq, e.Term, next)
								return
							}
							next++
						}
					}
				}
			})
		}
		wg.Wait()
	})
}

// pages limits or frees the pages that SQLite may use: a full disk as far as the
// database can tell.
func (r *rig) pages(n int) {
	r.t.Helper()
	if err := r.store.LimitPages(r.t.Context(), n); err != nil {
		r.t.Fatal(err)
	}
}

func TestFullDisk(t *testing.T) {
	r := newRig(t, sqlite(t), func(c *Config) {
		c.pause = func(ctx context.Context, _ time.Duration) error { return pause(ctx, 5*time.Millisecond) }
	})
	r.online("bob", "t")
	alice, carol := r.online("alice", "t"), r.online("carol", "t")
	big := strings.Repeat("x", 4000)
	alice.append(c2c("bob", big))
	r.pages(1) // no more than it has
	var stored uint64 = 1
	for r.failing.Load() == nil { // what the last page has room for still goes
		alice.batch(c2c("bob", big))
		for r.failing.Load() == nil && alice.waiting() == 0 {
			time.Sleep(time.Millisecond)
		}
		if alice.waiting() > 0 {
			alice.acks()
			stored++
		}
	}
	if code := carol.call("im.createGroup", create("g", protocol.GroupMeeting), nil); code != protocol.CodeSvrGroupInternalError {
		t.Errorf("a call: %d", code)
	}
	if err := r.Health(t.Context()); err == nil {
		t.Error("it says it is well")
	}
	if err := r.Alive(t.Context()); err != nil {
		t.Errorf("it is not alive: %v", err)
	}
	if w, _ := carol.hello(); w == nil {
		t.Error("a hello is not answered")
	}
	if got := alice.pull(protocol.Pull{Log: "c2c:alice:bob"}); got.Code != 0 || got.Head != stored {
		t.Errorf("a pull: head %d, want %d, code %d", got.Head, stored, got.Code)
	}
	alice.quietNow()
	for range 3 { // the board tries again: that must not pile up
		alice.first--
		alice.batch(c2c("bob", big))
	}
	if n := r.queue.length(); n > 4 {
		t.Errorf("%d jobs wait", n)
	}
	r.pages(1 << 30)
	if a := alice.acks(); a.First != alice.first-1 || a.Results[0].Code != 0 || a.Results[0].Seq != stored+1 {
		t.Errorf("with room again: %+v", a)
	}
	r.settle()
	if n := r.head("c2c:alice:bob"); n != stored+1 {
		t.Errorf("%d entries, want %d", n, stored+1)
	}
	if err := r.Health(t.Context()); err != nil {
		t.Error(err)
	}
	carol.mustCall("im.createGroup", create("g", protocol.GroupMeeting))
	r.log.mu.Lock()
	text := r.log.b.String()
	r.log.mu.Unlock()
	if n := strings.Count(text, "cannot be written: messages"); n != 1 {
		t.Errorf("the outage is logged %d times", n)
	}
}

// waiting is how many frames wait to be read.
func (x *term) waiting() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.frames)
}

// quietNow fails if a frame has come that is not of a call, hello or pull.
func (x *term) quietNow() {
	x.t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, f := range x.frames {
		if f.Acks != nil || f.Bye != nil {
			x.t.Errorf("unexpected %s", show(f))
		}
	}
}

// A PostgreSQL that goes away and comes back ends nothing.
func TestPostgresRestart(t *testing.T) {
	r := newRig(t, databases.Postgres(t), func(c *Config) {
		c.pause = func(ctx context.Context, _ time.Duration) error { return pause(ctx, 20*time.Millisecond) }
	})
	r.online("bob", "t")
	alice, carol := r.online("alice", "t"), r.online("carol", "t")
	alice.append(c2c("bob", "1"))
	databases.Restart(t, func() {
		alice.batch(c2c("bob", "2"))
		for r.failing.Load() == nil {
			time.Sleep(time.Millisecond)
		}
		if code := carol.call("im.createGroup", create("g", protocol.GroupMeeting), nil); code != protocol.CodeSvrGroupInternalError {
			t.Errorf("a call: %d", code)
		}
		if got := carol.pull(protocol.Pull{Log: "group:x"}); got.Code != protocol.CodeSvrGroupInternalError {
			t.Errorf("a pull: %+v", got)
		}
		alice.quietNow()
	})
	if a := alice.acks(); a.Results[0].Seq != 2 {
		t.Errorf("%+v", a)
	}
	carol.mustCall("im.createGroup", create("g", protocol.GroupMeeting))
}

// One bad job must not keep the others of its transaction from the database.
func TestBadJobFailsAlone(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.online("bob", "t")
		alice, carol := r.online("alice", "t"), r.online("carol", "t")
		carol.append(c2c("bob", "1"))
		l, err := r.store.Log(t.Context(), r.app, "c2c:bob:carol")
		if err != nil {
			t.Fatal(err)
		}
		r.mustWrite(func(ctx context.Context, tx *store.Tx) error { return tx.SetClosed(ctx, l.ID, true) })
		hold := make(chan struct{})
		held := make(chan struct{})
		go func() {
			_ = r.write(func(context.Context, *store.Tx) error { close(held); <-hold; return nil })
		}()
		<-held // what comes now gathers for one transaction
		alice.batch(c2c("bob", "1"))
		carol.batch(c2c("bob", "2")) // into a log that takes nothing: what should never be
		close(hold)
		if a := alice.acks(); a == nil || a.Results[0].Seq != 1 {
			t.Errorf("%+v", a)
		}
		carol.quiet()
		if !r.log.has("job failed") {
			t.Error("the bad job is not in the log")
		}
	})
}

func TestQueue(t *testing.T) {
	q := newQueue()
	s := &session{user: "a", terminal: "t"}
	push := func(j job) {
		t.Helper()
		if err := q.push(j); err != nil {
			t.Fatal(err)
		}
	}
	first, second := &appendJob{s: s, bytes: 10}, &appendJob{s: s, bytes: 20}
	push(first)
	push(&probe{})
	push(second)
	batch, ok := q.take()
	if !ok || len(batch) != 2 || batch[1] != second || q.bytes != 0 {
		t.Errorf("%v, %v: the older append of a producer must give way", batch, ok)
	}
	q.back([]job{second})
	if batch, _ := q.take(); len(batch) != 1 || batch[0] != second {
		t.Errorf("%v: what was put back must come again", batch)
	}
	third := &appendJob{s: s, bytes: 30}
	push(third)
	q.back([]job{second})
	if batch, _ := q.take(); len(batch) != 1 || batch[0] != third {
		t.Errorf("%v: the newer append must stay", batch)
	}
	for range queueJobs {
		push(&probe{})
	}
	waits := make(chan error)
	go func() { waits <- q.push(&probe{}) }()
	select {
	case err := <-waits:
		t.Errorf("a full queue takes more: %v", err)
	case <-time.After(10 * time.Millisecond):
	}
	q.setFailing(true)
	if err := <-waits; err != errBusy {
		t.Errorf("while the database fails: %v", err)
	}
	q.setFailing(false)
	go func() { waits <- q.push(&probe{}) }()
	if batch, _ := q.take(); len(batch) != batchJobs {
		t.Errorf("%d jobs in a batch", len(batch))
	}
	if err := <-waits; err != nil {
		t.Error(err)
	}
	q.close()
	if err := q.push(&probe{}); err != errStopped {
		t.Errorf("a closed queue: %v", err)
	}
	left := 0
	for {
		batch, ok := q.take()
		if !ok {
			break
		}
		left += len(batch)
	}
	if left != queueJobs-batchJobs+1 || q.bytes != 0 {
		t.Errorf("%d jobs were left, %d bytes", left, q.bytes)
	}
}

// Whatever a terminal sends, the hub goes on.
func FuzzReceive(f *testing.F) {
	for _, frame := range []protocol.Frame{
		{Hello: &protocol.Hello{Version: 1, Platform: "linux", Epoch: 1}},
		{Append: &protocol.Append{Epoch: 1, Base: 1, First: 1, Items: []protocol.Item{c2c("bob", "x"), toGroup("g", "x"), {}}}},
		{Call: &protocol.Call{ID: 1, Method: "im.createGroup", Body: text("x")}},
		{Pull: &protocol.Pull{Log: "c2c:alice:bob"}},
		{Beat: &protocol.Beat{Moved: []protocol.Cursor{{Log: "c2c:alice:bob", Seq: 1}}}},
		{Bye: &protocol.Bye{}},
		{Exp: 1, Signal: &protocol.Signal{}},
		{Boot: 3, Hello: &protocol.Hello{Version: 1, Platform: "linux", Epoch: 1}},
	} {
		frame.Boot = cmp.Or(frame.Boot, 7)
		b, err := protocol.EncodeFrame(&frame)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	r := newRig(f, sqlite(f))
	r.connect("bob", "t")
	x := r.connect("alice", "t")
	f.Fuzz(func(t *testing.T, b []byte) {
		x.boot, x.t, r.t = 7, t, t
		again := func() { // the hub may have ended it
			x.login.ended, x.cut = false, make(chan struct{})
			x.mu.Lock()
			x.frames = nil // such as the welcome of a boot that the input made up
			x.mu.Unlock()
			r.mu.Lock()
			r.terms[x.peer.ClientID] = x
			r.mu.Unlock()
			if !x.login.known {
				r.table.begin(x.login)
				r.table.admit(x.login, "k1", time.Now().Add(time.Hour))
			}
			x.hello()
		}
		again()
		if err := r.Receive(x.peer, x.topic, b); err != nil {
			t.Error(err)
		}
		again()
		r.settle()
	})
}
