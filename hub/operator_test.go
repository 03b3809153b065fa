package hub

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/herald-im/herald/hub/store"
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

// TestOrderAtOnce: what is ordered as soon as a hub has started is done, also if the
// goroutine for it has not come to run yet.
func TestOrderAtOnce(t *testing.T) {
	st, err := store.OpenAsOwner(context.Background(), sqlite(t))
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHub(Config{}, slog.New(slog.DiscardHandler), st, &rig{t: t})
	if err != nil {
		t.Fatal(err)
	}
	var id int64
	if err := st.Write(t.Context(), func(ctx context.Context, tx *store.Tx) (err error) {
		id, err = tx.AddQuestion(ctx, store.Order{App: h.app, Kind: store.OrderOperate, Arg: `{"operations": []}`}, time.Now())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	stop, _ := h.start()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if text, err := st.Answer(t.Context(), id); err == nil {
			if text != "[]" {
				t.Error(text)
			}
			break
		} else if time.Now().After(end) {
			t.Error(err)
			break
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
