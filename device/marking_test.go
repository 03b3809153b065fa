package device

import (
	"testing"

	"github.com/herald-im/herald/protocol"
)

// TestRevokeOnItsWay: the link breaks between a message and its answer, and the
// message is taken back meanwhile: both go to the hub in one batch.
func TestRevokeOnItsWay(t *testing.T) {
	h := newHub(t)
	b := startWith(t, config(t, h.addr), func(d *Device) { d.timing.send = 0 })
	b.mustLogin()
	h.with(func() { h.drop = func(up bool, f *protocol.Frame) bool { return up && f.Append != nil } })
	id := b.mustSay("said too soon").MsgID
	h.await(t, 0, 1, isAppend)
	if _, err := b.revokeMessage(t.Context(), anybody, protocol.RevokeRequest{UserID: "indoor", MsgID: id}); err != nil {
		t.Fatal(err)
	}
	h.with(func() { h.drop = nil })
	h.cut()
	b.drained()
	if n := len(h.await(t, 0, 2, isAppend).Append.Items); n != 2 {
		t.Fatalf("a batch of %d", n)
	}
	if m, err := b.session.message(id); err != nil || m.Status != protocol.StatusRevoked {
		t.Errorf("%+v, %v", m, err)
	}
}
