package mirror

import (
	"testing"

	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// TestOptionBeforeItsGroup: the account's own log may tell what is wanted of a group
// before the group's log tells that it was made. Then the hub is asked.
func TestOptionBeforeItsGroup(t *testing.T) {
	f := open(t, t.TempDir(), cursors{}, Limits{})
	f.mark(protocol.Mark{Kind: protocol.MarkOption, Log: group, Opt: protocol.RecvNot})
	if got := f.Doubtful(9); len(got) != 1 { // what the hub says comes before what the log tells
		t.Fatal(got)
	}
	f.do(func(tx *bbolt.Tx) error {
		return f.Settle(tx, f.Ask([]string{group}), []protocol.State{{Log: group, Type: protocol.GroupPublic, Name: "g", RecvOpt: protocol.RecvNot}})
	})
	tip := message(1, self, "")
	tip.Kind, tip.Body = protocol.EntryTip, mustMarshal(protocol.Tip{Kind: protocol.TipCreated, Type: protocol.GroupPublic, Name: "g"})
	f.apply(group, tip, message(2, other, "2"))
	if c := f.Conv(group); c.RecvOpt != protocol.RecvNot && len(f.Doubtful(9)) == 0 {
		t.Errorf("it is wanted for good: %+v", c)
	}
}

func mustMarshal(v any) []byte {
	b, err := protocol.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
