package hub

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// TestManyFriendsAreTold: all in whose lists an account is are told of its new name,
// each once, in transactions that hold nobody up.
func TestManyFriendsAreTold(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		me := r.online("me", "t")
		const many = 3 * friendsAtOnce // a last transaction finds nobody
		r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
			for i := range many {
				user := fmt.Sprint("user", i)
				if err := tx.CreateUser(ctx, r.app, user, r.cfg.Now()); err != nil {
					return err
				}
				if err := tx.AddFriend(ctx, r.app, user, store.Friend{User: "me"}, r.cfg.Now()); err != nil {
					return err
				}
			}
			return nil
		})
		first, last := r.online("user0", "t"), r.online("user99", "t")
		nick := "Me"
		me.mustCall("im.setSelfInfo", protocol.SelfInfoRequest{NickName: &nick})
		for _, x := range []*term{first, last} {
			x.until(func(f *protocol.Frame) bool { return f.Push != nil })
		}
		var p *planner
		for left, end := 1, time.Now().Add(patience); left > 0; { // each look is behind the next transaction of those that tell
			if err := r.act(func(_ context.Context, c Caller) error { p, left = c.plan, len(c.plan.tellings); return nil }); err != nil {
				t.Fatal(err)
			}
			if time.Now().After(end) {
				t.Fatal("the rest is told nothing")
			}
		}
		for i := range many {
			l, err := r.store.Log(t.Context(), r.app, protocol.UserLog(fmt.Sprint("user", i)))
			if err != nil || l.Head != 1 {
				t.Fatalf("user%d is told %d times, %v", i, l.Head, err)
			}
		}
		// Another change begins anew, and ends what tells of the one before.
		if old, now := p.newTelling("me"), p.newTelling("me"); old == now || p.tellings["me"] != now {
			t.Errorf("%d and %d", old, now)
		}
	})
}
