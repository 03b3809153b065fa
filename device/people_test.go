package device

import (
	"testing"

	"go.etcd.io/bbolt"

	"github.com/herald-im/herald/protocol"
)

// TestFriendsAskedForAnew: what the account's log said of friends was missed. Those
// who are none any more lose their remarks, those who stay keep theirs, and what is
// known survives a restart.
func TestFriendsAskedForAnew(t *testing.T) {
	noneLeft(t)
	h := newHub(t)
	friend := func(user, remark string) protocol.FriendInfo {
		return protocol.FriendInfo{UserID: user, FriendRemark: remark, UserInfo: protocol.UserInfo{UserID: user, NickName: "nick of " + user}}
	}
	h.friends = []protocol.FriendInfo{friend("anna", "sister"), friend("bert", "plumber")}
	b := start(t, config(t, h.addr))
	b.mustLogin()
	b.introduced()
	names := func(want ...string) {
		t.Helper()
		for i, user := range []string{"anna", "bert", "carl"} {
			if got, _ := b.session.people.showName(user); got != want[i] {
				t.Errorf("%s is shown as %s, not %s", user, got, want[i])
			}
		}
	}
	names("sister", "plumber", "carl")
	h.with(func() { h.friends = []protocol.FriendInfo{friend("anna", "sister"), friend("carl", "")} })
	if err := b.db.Do(func(tx *bbolt.Tx) error { b.session.people.doubt(tx, b.session); return nil }); err != nil {
		t.Fatal(err)
	}
	b.introduced()
	names("sister", "nick of bert", "nick of carl")
	h.with(func() { h.friends = nil })
	b = b.again()
	b.mustLogin()
	names("sister", "nick of bert", "nick of carl")
}
