package hub

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// TestEventsFitIntoEntries: however much there is to tell of, the log that tells it can
// be read on.
func TestEventsFitIntoEntries(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		me, eye := r.online("me", "t"), r.online("me", "eye")
		me.mustCall("im.createGroup", create("g", protocol.GroupPublic))
		eye.toldOf()
		users := make([]string, 100)
		r.mustWrite(func(ctx context.Context, tx *store.Tx) error {
			for i := range users {
				users[i] = fmt.Sprint("user", i)
				if err := tx.CreateUser(ctx, r.app, users[i], r.cfg.Now()); err != nil {
					return err
				}
				p := store.Profile{Nick: strings.Repeat("x", protocol.MaxProfileValue), Face: strings.Repeat("x", protocol.MaxProfileValue)}
				if err := tx.SetProfile(ctx, r.app, users[i], p); err != nil {
					return err
				}
			}
			return nil
		})
		me.mustCall("im.addToBlackList", protocol.UserListRequest{UserIDList: users})
		told := 0
		for _, name := range eye.toldOf() {
			if name == "onBlackListAdded" {
				told++
			}
		}
		if told == 0 {
			t.Error("the other terminal is told nothing of the blacklist")
		}
		if got := me.pull(protocol.Pull{Log: "user:me"}); got.Code != 0 || got.Head == 0 || uint64(len(got.Entries)) != got.Head {
			t.Errorf("%d entries of %d, code %d", len(got.Entries), got.Head, got.Code)
		}

		attributes := GroupAttributes{GroupID: "g", Attributes: map[string]*string{}}
		size := 0
		for i := range maxAttributes {
			key := fmt.Sprintf("%0*d", maxAttributeKey, i)
			value := strings.Repeat("x", maxAttributeBytes/maxAttributes-len(key))
			attributes.Attributes[key] = &value
			size += len(key) + len(value)
		}
		if size != maxAttributeBytes {
			t.Fatal(size)
		}
		r.operates(OpAttributes, attributes)
		if told := eye.toldOf(); len(told) != 1 || told[0] != "onGroupAttributeChanged" {
			t.Errorf("told %q", told)
		}
		if got := me.pull(protocol.Pull{Log: "group:g"}); got.Code != 0 || got.Head == 0 || uint64(len(got.Entries)) != got.Head {
			t.Errorf("%d entries of %d, code %d", len(got.Entries), got.Head, got.Code)
		}
	})
}
