package hub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/hub/broker"
	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// mustWrite writes rows as the operator's commands do.
func (r *rig) mustWrite(f func(context.Context, *store.Tx) error) {
	r.t.Helper()
	if err := r.store.Write(r.t.Context(), f); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) key() string {
	r.t.Helper()
	keys, err := r.store.Keys(r.t.Context(), r.app)
	if err != nil {
		r.t.Fatal(err)
	}
	return keys[0].Secret
}

func TestLoginCodes(t *testing.T) {
	databases.Each(t, func(t *testing.T, location string) {
		r := newRig(t, location, func(c *Config) {
			c.CreateOnLogin = false
			c.LockAfterFailures = 1000
			c.SigMaxExpire = 48 * time.Hour
		})
		now := time.Now()
		r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(
				tx.CreateUser(ctx, r.app, "alice", now), tx.CreateUser(ctx, r.app, "bob", now), tx.CreateUser(ctx, r.app, "carol", now),
				tx.AddKey(ctx, r.app, store.Key{ID: "k2", Secret: "second", Created: now}),
				tx.AddKey(ctx, r.app, store.Key{ID: "k3", Secret: "third", Created: now}), tx.RemoveKey(ctx, r.app, "k3", now),
				tx.SetBlocked(ctx, r.app, "bob", true, now), tx.Revoke(ctx, r.app, "carol", now))
		})
		sig := func(user, key string, at time.Time, expire time.Duration) string {
			return makeSig(t, r.app, user, key, at, expire)
		}
		k1 := r.key()
		good := sig("alice", k1, now, time.Hour)
		for name, tc := range map[string]struct {
			user string
			sig  string
			code protocol.Code
			ack  byte
		}{
			"good":               {"alice", good, 0, 0},
			"second key":         {"alice", sig("alice", "second", now, time.Hour), 0, 0},
			"clock ahead":        {"alice", sig("alice", k1, now.Add(9*time.Minute), time.Hour), 0, 0},
			"newer than revoked": {"carol", sig("carol", k1, now.Add(time.Minute), time.Hour), 0, 0},
			"removed key":        {"alice", sig("alice", "third", now, time.Hour), 70009, 4},
			"empty":              {"alice", "", 70002, 4},
			"garbage":            {"alice", "garbage", 70003, 4},
			"another's":          {"alice", sig("bob", k1, now, time.Hour), 70013, 4},
			"another app's":      {"alice", makeSig(t, r.app+1, "alice", k1, now, time.Hour), 70014, 4},
			"expired":            {"alice", sig("alice", k1, now.Add(-time.Hour), time.Minute), 70001, 5},
			"far future":         {"alice", sig("alice", k1, now.Add(time.Hour), time.Hour), 70003, 4},
			"too long":           {"alice", sig("alice", k1, now, 49*time.Hour), 70003, 4},
			"no account":         {"dave", sig("dave", k1, now, time.Hour), 70107, 5},
			"blocked":            {"bob", sig("bob", k1, now, time.Hour), 70051, 5},
			"older than revoked": {"carol", sig("carol", k1, now.Add(-time.Minute), time.Hour), 70052, 5},
		} {
			t.Run(name, func(t *testing.T) {
				in := broker.Login{ClientID: protocol.ClientID(r.app, tc.user, "t"), Username: protocol.Username(r.app, tc.user),
					Password: []byte(tc.sig), Remote: "10.0.0.1:1"}
				id, err := r.Authenticate(in)
				var refusal *broker.Refusal
				switch {
				case tc.code == 0:
					if l, ok := id.(*login); err != nil || !ok || l.user != tc.user || l.terminal != "t" {
						t.Errorf("= %+v, %v", id, err)
					}
				case !errors.As(err, &refusal) || refusal.Code != tc.ack || refusal.Notice != nil || protocol.AsError(err).Code != tc.code:
					t.Errorf("= %v, %v; want code %d", id, err, tc.code)
				}
				in.Username = protocol.WhyPrefix + in.Username
				id, err = r.Authenticate(in)
				if !errors.As(err, &refusal) || id != nil || refusal.Notice == nil {
					t.Fatalf("why: %v, %v", id, err)
				}
				f, err := protocol.DecodeFrame(refusal.Notice.Payload)
				if err != nil || f.Bye == nil || f.Bye.Code != tc.code || f.Bye.Msg == "" ||
					refusal.Notice.Topic != protocol.TopicToTerminal(r.app, tc.user, "t") {
					t.Errorf("why: %+v, %v", f, err)
				}
			})
		}
		for name, in := range map[string]struct {
			broker.Login
			ack byte
		}{
			"client id of another":  {broker.Login{ClientID: protocol.ClientID(r.app, "bob", "t"), Username: protocol.Username(r.app, "alice")}, 2},
			"no terminal":           {broker.Login{ClientID: protocol.ClientID(r.app, "alice", ""), Username: protocol.Username(r.app, "alice")}, 2},
			"slash in the terminal": {broker.Login{ClientID: protocol.ClientID(r.app, "alice", "a/b"), Username: protocol.Username(r.app, "alice")}, 2},
			// Else it were the client of the account "alice-a", terminal "b".
			"hyphen in the terminal": {broker.Login{ClientID: protocol.ClientID(r.app, "alice", "a-b"), Username: protocol.Username(r.app, "alice")}, 2},
			"no user name":           {broker.Login{ClientID: "x"}, 4},
			"bad user":               {broker.Login{ClientID: "x", Username: r.app.String() + "/a+b"}, 4},
		} {
			in.Password = []byte(good)
			_, err := r.Authenticate(in.Login)
			var refusal *broker.Refusal
			if !errors.As(err, &refusal) || refusal.Code != in.ack || refusal.Notice != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		in := broker.Login{ClientID: protocol.ClientID(r.app+1, "alice", "t"), Username: protocol.Username(r.app+1, "alice"), Password: []byte(good)}
		if _, err := r.Authenticate(in); protocol.AsError(err).Code != protocol.CodeSvrAccountSDKAppIDNotFound {
			t.Errorf("unknown app: %v", err)
		}
	})
}

func TestCreateOnLogin(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.connect("new", "t")
		if u, err := r.store.User(t.Context(), r.app, "new"); err != nil || u.Blocked {
			t.Errorf("%+v, %v", u, err)
		}
	})
}

// Who fails too often is locked out for a minute, from where he failed, and not
// the device that has proved itself there.
func TestLock(t *testing.T) {
	var mu sync.Mutex // the hub's own goroutines look at it, too
	clock := time.Now()
	r := newRig(t, sqlite(t), func(c *Config) {
		c.LockAfterFailures = 3
		c.Now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return clock
		}
	})
	pass := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		clock = clock.Add(d)
	}
	login := func(user, sig, remote string) protocol.Code {
		t.Helper()
		_, err := r.Authenticate(broker.Login{ClientID: protocol.ClientID(r.app, user, "t"), Username: protocol.Username(r.app, user),
			Password: []byte(sig), Remote: remote})
		if err == nil {
			return 0
		}
		return protocol.AsError(err).Code
	}
	check := func(what string, got, want protocol.Code) {
		t.Helper()
		if got != want {
			t.Errorf("%s: code %d, want %d", what, got, want)
		}
	}
	const here, there = "10.0.0.1:1", "10.0.0.2:1"
	bad := makeSig(t, r.app, "alice", "wrong", clock, time.Hour)
	good := r.sig("alice")
	for range 3 {
		check("wrong", login("alice", bad, here), 70009)
	}
	check("locked", login("alice", bad, "10.0.0.1:2"), 70050)
	check("locked, with a right one", login("alice", good, here), 70050)
	check("from elsewhere", login("alice", good, there), 0)
	check("another account", login("bob", r.sig("bob"), here), 0)
	for range 3 {
		check("wrong beside the device", login("alice", bad, there), 70009)
	}
	check("locked beside the device", login("alice", bad, there), 70050)
	check("the device itself", login("alice", good, there), 0)
	pass(61 * time.Second)
	check("after a minute", login("alice", good, here), 0)
	for range 5 {
		check("expired ones do not lock", login("carol", makeSig(t, r.app, "carol", r.key(), clock.Add(-time.Hour), time.Minute), here), 70001)
	}
	wrong := func(user string) string { return makeSig(t, r.app, user, "wrong", clock, time.Hour) }
	why := func(user string) {
		_, err := r.Authenticate(broker.Login{ClientID: protocol.ClientID(r.app, user, "t"),
			Username: protocol.WhyPrefix + protocol.Username(r.app, user), Password: []byte(wrong(user)), Remote: here})
		if err == nil {
			t.Error("who asks why is let in")
		}
	}
	for range 2 { // as a board does: a refusal, and why
		check("wrong", login("erin", wrong("erin"), here), 70009)
		why("erin")
	}
	check("two failures of which both were explained", login("erin", r.sig("erin"), here), 0)
	for range 3 {
		why("frank")
	}
	check("who only asks why is locked too", login("frank", r.sig("frank"), here), 70050)
	for i := range 3 { // one each 25 s is not three in a minute
		check(fmt.Sprint("slow ", i), login("dave", bad, here), 70013)
		pass(31 * time.Second)
	}
	check("slow failures", login("dave", r.sig("dave"), here), 0)
}

func TestLockIsBounded(t *testing.T) {
	k := newLock(1)
	now := time.Now()
	for i := range 3 * lockAttempts {
		k.failed(attempt{user: fmt.Sprint(i)}, false, now)
		k.proved(attempt{user: fmt.Sprint(i)})
	}
	if len(k.failures.rows) != lockAttempts || k.failures.order.Len() != lockAttempts || len(k.proofs.rows) != lockAttempts {
		t.Errorf("%d, %d rows", len(k.failures.rows), len(k.proofs.rows))
	}
	if k.trust(attempt{user: fmt.Sprint(3*lockAttempts - 1)}, now) != doubtful || k.trust(attempt{user: "0"}, now) != open {
		t.Error("it keeps the wrong ones")
	}
}

func TestAccess(t *testing.T) {
	r := newRig(t, sqlite(t))
	alice, bob := r.online("alice", "t1"), r.online("bob", "t1")
	bob.mustCall("im.createGroup", protocol.CreateGroupRequest{GroupType: protocol.GroupAVChatRoom, GroupID: "room", GroupName: "r"})
	root := protocol.Root(r.app)
	publish := map[string]bool{
		protocol.TopicIn(r.app, "alice", "t1"):       true,
		protocol.TopicReported(r.app, "alice"):       true,
		protocol.TopicIn(r.app, "alice", "t2"):       false,
		protocol.TopicIn(r.app, "bob", "t1"):         false,
		protocol.TopicIn(r.app+1, "alice", "t1"):     false,
		protocol.TopicTo(r.app, "alice"):             false,
		protocol.TopicTo(r.app, "bob"):               false,
		protocol.TopicConfig(r.app, "alice"):         false,
		protocol.TopicReported(r.app, "bob"):         false,
		protocol.TopicLive(r.app, "room", 1):         false,
		root + "/in/00/alice/t1":                     false,
		root + "/in/+/alice/t1":                      false,
		"":                                           false,
		"other":                                      false,
		protocol.TopicIn(r.app, "alice", "t1") + "/": false,
	}
	for topic, want := range publish {
		if got := r.MayPublish(alice.peer, topic); got != want {
			t.Errorf("MayPublish(%q) = %v", topic, got)
		}
	}
	subscribe := map[string]bool{
		protocol.TopicTo(r.app, "alice"):               true,
		protocol.TopicToTerminal(r.app, "alice", "t1"): true,
		protocol.TopicConfig(r.app, "alice"):           true,
		protocol.TopicToTerminal(r.app, "alice", "t2"): false,
		protocol.TopicTo(r.app, "bob"):                 false,
		protocol.TopicTo(r.app+1, "alice"):             false,
		protocol.TopicConfig(r.app, "bob"):             false,
		protocol.TopicConfig(r.app, "@all"):            false,
		protocol.TopicReported(r.app, "alice"):         false,
		protocol.TopicIn(r.app, "alice", "t1"):         false,
		protocol.TopicLive(r.app, "room", 1):           false,
		root + "/to/alice/+":                           false,
		root + "/to/+":                                 false,
		root + "/to/alice/#":                           false,
		"#":                                            false,
		"+/+/+/+/+":                                    false,
	}
	for filter, want := range subscribe {
		if got := r.MaySubscribe(alice.peer, filter); got != want {
			t.Errorf("MaySubscribe(%q) = %v", filter, got)
		}
	}
	if !r.MaySubscribe(bob.peer, protocol.TopicLive(r.app, "room", 1)) || r.MaySubscribe(bob.peer, protocol.TopicLive(r.app, "room", 2)) {
		t.Error("a member of a live room must reach its epoch and no other")
	}
}
