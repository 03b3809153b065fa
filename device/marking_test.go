package device

import (
	"testing"
	"time"

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

// TestRevokeUnsentFile: a message is taken back whose file is up and that waits
// behind another. Its file is not kept any longer.
func TestRevokeUnsentFile(t *testing.T) {
	h := newHub(t)
	b := startWith(t, config(t, h.addr), func(d *Device) { d.timing.send = 0 })
	b.mustLogin()
	h.with(func() {
		h.answer = filesTaken
		h.drop = func(up bool, f *protocol.Frame) bool { return up && f.Append != nil }
	})
	b.mustSay("on its way")
	h.await(t, 0, 1, isAppend)
	res, err := b.sendMade(b.makeFile())
	if err != nil {
		t.Fatal(err)
	}
	for b.Status().Queue.Items < 2 {
		if t.Context().Err() != nil {
			t.Fatal("the file does not go up")
		}
		time.Sleep(time.Millisecond) // a state of another goroutine, without an event
	}
	items, err := b.session.box.Newest(1)
	if err != nil {
		t.Fatal(err)
	}
	owner := b.session.fileOwner(items[0].IDEpoch, items[0].IDNumber)
	if n := len(b.files.store.Owned(owner)); n != 1 {
		t.Fatalf("%d files", n)
	}
	if _, err := b.revokeMessage(t.Context(), anybody, protocol.RevokeRequest{UserID: "indoor", MsgID: res.MsgID}); err != nil {
		t.Fatal(err)
	}
	if list := b.files.store.Owned(owner); len(list) != 0 {
		t.Error("still kept:", list)
	}
}

// TestRevokeWakesTheOutbox: while a message is being taken back, the outbox gives
// out nothing from it on. Whoever was refused so comes again afterwards.
func TestRevokeWakesTheOutbox(t *testing.T) {
	h := newHub(t)
	b := start(t, config(t, h.addr))
	b.mustLogin()
	h.stop()
	b.link("down")
	id := b.mustSay("said too soon").MsgID
	<-b.session.queued
	if _, err := b.revokeMessage(t.Context(), anybody, protocol.RevokeRequest{UserID: "indoor", MsgID: id}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-b.session.queued:
	default:
		t.Error("nobody looks at the outbox again")
	}
}
