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

// TestLateSurvey: an answer of the hub from before a change that the board knows of does
// not undo it, and is asked for anew.
func TestLateSurvey(t *testing.T) {
	f := open(t, t.TempDir(), cursors{}, Limits{})
	old := protocol.State{Log: group, Type: protocol.GroupPublic, Name: "old"}
	settle := func(asked []Asked, st protocol.State) {
		f.do(func(tx *bbolt.Tx) error { return f.Settle(tx, asked, []protocol.State{st}) })
	}
	f.apply(group, message(1, other, "1"))
	settle(f.Ask([]string{group}), old)
	if got := f.Doubtful(9); len(got) != 0 {
		t.Fatal(got)
	}
	asked := f.Ask([]string{group})
	f.mark(protocol.Mark{Kind: protocol.MarkOption, Log: group, Opt: protocol.RecvNot})
	settle(asked, old)
	if c := f.Conv(group); c.RecvOpt != protocol.RecvNot || len(f.Doubtful(9)) != 1 {
		t.Errorf("the option is lost: %+v", c)
	}
	old.RecvOpt = protocol.RecvNot
	settle(f.Ask([]string{group}), old)
	asked = f.Ask([]string{group})
	name := "new"
	tip := message(2, other, "")
	tip.Kind, tip.Body = protocol.EntryTip, mustMarshal(protocol.Tip{Kind: protocol.TipChanged, Change: &protocol.GroupChange{GroupName: &name}})
	f.apply(group, tip)
	settle(asked, old)
	if c := f.Conv(group); c.Name != name || len(f.Doubtful(9)) != 1 {
		t.Errorf("the name is lost: %+v", c)
	}
	old.Name = name
	settle(f.Ask([]string{group}), old)
	if c := f.Conv(group); c.Name != name || c.RecvOpt != protocol.RecvNot || len(f.Doubtful(9)) != 0 {
		t.Errorf("%+v", c)
	}
}
