package hub

import (
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

// TestRecycleSpares: what is in use is not ended for having been silent, also if the
// hub that knew of it has been started anew, and a look at it ends nothing.
func TestRecycleSpares(t *testing.T) {
	location := sqlite(t)
	now := &clock{at: time.Now()}
	at := func(c *Config) { c.Now = now.now }
	r := newRig(t, location, at)
	owner := r.online("owner", "t")
	for _, user := range []string{"admin", "boss", "member", "x"} {
		r.online(user, "t")
	}
	for id, kind := range map[string]string{"live": protocol.GroupAVChatRoom, "kept": protocol.GroupMeeting, "silent": protocol.GroupMeeting} {
		r.populate(id, kind)
	}
	now.pass(100 * 24 * time.Hour)
	for _, id := range []string{"live", "kept"} {
		owner.sends(toGroup(id, "x"), 0)
	}
	r.stop()
	now.pass(time.Hour)
	r = newRig(t, location, at)
	outcome := func(method, id string) protocol.Code {
		t.Helper()
		return r.outcome(method, Recycle{GroupID: id, Since: now.now().Add(-90 * 24 * time.Hour)}).Code
	}
	for _, method := range []string{OpIdle, OpRecycle} {
		for _, id := range []string{"live", "kept"} {
			if code := outcome(method, id); code != protocol.CodeSvrGroupPermissionDeny {
				t.Errorf("%s: %s: code %d", method, id, code)
			}
		}
		if code := outcome(method, "silent"); code != 0 {
			t.Errorf("%s: silent: code %d", method, code)
		}
	}
	if code := outcome(OpIdle, "silent"); code != protocol.CodeSvrGroupNotFound {
		t.Errorf("the end of a group that has ended: code %d", code)
	}
}
