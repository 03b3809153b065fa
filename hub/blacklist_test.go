package hub

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"testing"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// blacks changes the blacklist and returns the codes of the rows.
func (x *term) blacks(method string, users ...string) (codes []protocol.Code) {
	x.t.Helper()
	var res protocol.FriendResultsResponse
	if code := x.call(method, protocol.UserListRequest{UserIDList: users}, &res); code != 0 {
		x.t.Fatalf("%s: code %d", method, code)
	}
	for i, row := range res.ResultList {
		if row.UserID != users[i] || (row.ResultCode != "0") != (row.ResultInfo != "") {
			x.t.Errorf("%s: row %+v of %s", method, row, users[i])
		}
		n, _ := strconv.Atoi(row.ResultCode)
		codes = append(codes, protocol.Code(n))
	}
	return codes
}

func (x *term) blacklist() (users []string) {
	x.t.Helper()
	var res protocol.FriendsResponse
	if code := x.call("im.getBlackList", protocol.Empty{}, &res); code != 0 {
		x.t.Fatalf("im.getBlackList: code %d", code)
	}
	for _, f := range res.InfoList {
		if f.UserInfo.UserID != f.UserID || f.FriendCustomInfo == nil || f.FriendGroups == nil {
			x.t.Errorf("%+v", f)
		}
		users = append(users, f.UserID)
	}
	return users
}

func TestBlacklist(t *testing.T) {
	const own, none, full = protocol.CodeSvrFriendshipInvalidParameters, protocol.CodeSvrFriendshipAccountNotFound, protocol.CodeSvrFriendshipBlacklistLimit
	databases.Each(t, func(t *testing.T, location string) {
		r := newRig(t, location)
		alice, bob, eve := r.online("alice", "t"), r.online("bob", "t"), r.online("eve", "t")
		eve.does(c2c("bob", "1"), 0, "c2c:bob:eve:1")
		if got := bob.blacks("im.addToBlackList", "eve", "bob", "nobody", "eve"); !reflect.DeepEqual(got, []protocol.Code{0, own, none, 0}) {
			t.Errorf("rows %v", got)
		}
		if got := bob.blacks("im.addToBlackList", "alice"); got[0] != 0 {
			t.Errorf("row %v", got)
		}
		if got := bob.blacklist(); !reflect.DeepEqual(got, []string{"alice", "eve"}) {
			t.Errorf("the blacklist has %q", got)
		}
		eve.does(c2c("bob", "2"), protocol.CodeSvrMsgInPeerBlacklist, "")
		bob.does(c2c("eve", "3"), 0, "c2c:bob:eve:2") // the other way it is open
		alice.does(c2c("bob", "4"), protocol.CodeSvrMsgInPeerBlacklist, "")
		if _, err := r.store.Log(t.Context(), r.app, "c2c:alice:bob"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a message that is refused begins a conversation: %v", err)
		}
		alice.does(c2c("eve", "5"), 0, "c2c:alice:eve:1")
		if got := bob.blacks("im.deleteFromBlackList", "alice", "alice", "nobody", "bob"); !reflect.DeepEqual(got, []protocol.Code{0, 0, none, own}) {
			t.Errorf("rows %v", got)
		}
		alice.does(c2c("bob", "6"), 0, "c2c:alice:bob:1")
		eve.first = 2
		eve.does(c2c("bob", "2"), protocol.CodeSvrMsgInPeerBlacklist, "") // a repeat is answered as before
		r.stop()
		r = newRig(t, location)
		eve, bob = r.online("eve", "t"), r.online("bob", "t")
		eve.first = 3
		eve.does(c2c("bob", "7"), protocol.CodeSvrMsgInPeerBlacklist, "")
		bob.blacks("im.deleteFromBlackList", "eve")
		if got := bob.blacklist(); len(got) != 0 {
			t.Errorf("the blacklist has %q", got)
		}
		eve.does(c2c("bob", "8"), 0, "c2c:bob:eve:3")

		r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
			for i := range r.cfg.Blacklist {
				user := fmt.Sprint("u", i)
				if err := errors.Join(tx.CreateUser(ctx, r.app, user, r.cfg.Now()), tx.AddToBlacklist(ctx, r.app, "bob", user, r.cfg.Now())); err != nil {
					return err
				}
			}
			return nil
		})
		if got := bob.blacks("im.addToBlackList", "eve", "u7"); !reflect.DeepEqual(got, []protocol.Code{full, 0}) {
			t.Errorf("a full blacklist: rows %v", got)
		}
		bob.blacks("im.deleteFromBlackList", "u7")
		if got := bob.blacks("im.addToBlackList", "eve", "u7"); !reflect.DeepEqual(got, []protocol.Code{0, full}) {
			t.Errorf("room for one: rows %v", got)
		}
		eve.does(c2c("bob", "9"), protocol.CodeSvrMsgInPeerBlacklist, "")
		if got := bob.blacklist(); len(got) != r.cfg.Blacklist {
			t.Errorf("the blacklist has %d accounts", len(got))
		}
	})
}

// What a transaction has changed and lost does not stay in memory.
func TestBlacklistOfALostTransaction(t *testing.T) {
	r := newRig(t, sqlite(t))
	bob, eve := r.online("bob", "t"), r.online("eve", "t")
	var p *planner
	if err := r.act(func(_ context.Context, c Caller) error { p = c.plan; return nil }); err != nil {
		t.Fatal(err)
	}
	eve.append(c2c("bob", "1"))
	refuses := func(ctx context.Context, tx *store.Tx) bool {
		t.Helper()
		refused, err := p.refusals.refuses(ctx, tx, r.app, "bob", "eve")
		if err != nil {
			t.Fatal(err)
		}
		return refused
	}
	// The writer is idle: the test takes its place.
	r.settle()
	lost := errors.New("lost")
	err := r.store.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		p.begin(r.cfg.Now())
		c := Caller{App: r.app, User: "bob", view: tx.View, tx: tx, res: new(results), plan: p, now: r.cfg.Now()}
		if _, err := r.addToBlackList(ctx, c, protocol.UserListRequest{UserIDList: []string{"eve"}}); err != nil {
			return err
		}
		if !refuses(ctx, tx) {
			t.Error("not refused in the transaction that adds it")
		}
		return lost
	})
	if !errors.Is(err, lost) {
		t.Fatal(err)
	}
	p.rollback()
	eve.does(c2c("bob", "2"), 0, "c2c:bob:eve:2")
	bob.blacks("im.addToBlackList", "eve")
	eve.does(c2c("bob", "3"), protocol.CodeSvrMsgInPeerBlacklist, "")
	if p.refusals.changed || p.refusals.entries != 1 {
		t.Errorf("the book is %+v", p.refusals)
	}
	bob.append(c2c("eve", "4"))
	bob.blacks("im.deleteFromBlackList", "eve")
	r.settle()
	if _, known := p.refusals.books["eve"]; !known || p.refusals.entries != 0 { // a change of one list costs no other
		t.Errorf("the book is %+v", p.refusals)
	}
}

func TestBlackBookIsBounded(t *testing.T) {
	r := newRig(t, sqlite(t))
	r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
		for i := range 10 {
			if err := tx.AddToBlacklist(ctx, r.app, "owner", fmt.Sprint("u", i), r.cfg.Now()); err != nil {
				return err
			}
		}
		b := blackBook{}
		for i := range maxBooks + 10 {
			if refused, err := b.refuses(ctx, tx, r.app, fmt.Sprint("o", i), "u"); err != nil || refused {
				return fmt.Errorf("%v, %w", refused, err)
			}
			if len(b.books) > maxBooks {
				return fmt.Errorf("%d books", len(b.books))
			}
		}
		b.entries = maxBookEntries - 9
		if refused, err := b.refuses(ctx, tx, r.app, "owner", "u3"); err != nil || !refused || b.entries != 10 || len(b.books) != 1 {
			return fmt.Errorf("%v, %d entries in %d books, %w", refused, b.entries, len(b.books), err)
		}
		b.forget("owner")
		if b.entries != 0 || !b.changed {
			return fmt.Errorf("%+v", b)
		}
		return nil
	})
}
