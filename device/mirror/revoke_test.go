package mirror

import (
	"testing"

	"github.com/herald-im/herald/protocol"
)

// TestRevokeWithItsMessage: the hub answers both at once, in a conversation that is
// new, and of what it asked for itself the terminal knows the id alone.
func TestRevokeWithItsMessage(t *testing.T) {
	f := open(t, t.TempDir(), cursors{talk: 0}, Limits{})
	mine := message(1, self, "mine")
	mine.MsgID = "aaaaaaaaaaaaaaaa-1"
	body, err := protocol.Marshal(protocol.Revoke{Log: talk, MsgID: mine.MsgID})
	if err != nil {
		t.Fatal(err)
	}
	f.apply(talk, mine, protocol.Entry{Seq: 2, Time: 2000, Kind: protocol.EntryRevoke, From: self, Body: body})
	f.want(talk, 0, "revoked")
	if c := f.Conv(talk); c.Stale {
		t.Errorf("what is known is doubted: %+v", c)
	}
}
