package device

import (
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

// An event that cannot be written down is still told to whoever listens.
func TestRaiseWithoutADisk(t *testing.T) {
	b := start(t, config(t, "127.0.0.1:1"))
	events, stop := b.Watch()
	defer stop()
	b.stop() // and with it the store
	Raise(b.Device, protocol.OnInvited, protocol.InvitedEvent{UserID: "door"})
	select {
	case ev := <-events:
		if ev.Info.Name != protocol.OnInvited.Info().Name {
			t.Error(ev.Info.Name)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the event is lost")
	}
}
