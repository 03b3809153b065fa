package chaos

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/herald-im/herald/hub"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// TestHubClockJumps: the hub's machine sets its clock, forward and back by hours.
// Nobody's session ends, messages keep their order, and calls are answered.
func TestHubClockJumps(t *testing.T) {
	h := newHouse(t, "")
	must(t, h.hub.Stop())
	var ahead atomic.Int64
	authority, err := hub.New(hub.Config{
		Store: filepath.Join(h.hub.Data, "hub.db"), MQTT: h.hub.MQTT, CreateOnLogin: true,
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	must(t, err)
	ctx, cancel := context.WithCancel(h.ctx)
	ended := make(chan error, 1)
	go func() { ended <- authority.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	door, indoor := h.actor("door"), h.actor("indoor")
	talk := h.talk(door, indoor)
	for _, d := range []time.Duration{time.Hour, -2 * time.Hour, 24 * time.Hour, 0} {
		ahead.Store(int64(d))
		talk.goesOn()
		create := func() error {
			_, err := client.Call(h.ctx, door.board.Client(), protocol.CreateGroup,
				protocol.CreateGroupRequest{GroupType: protocol.GroupMeeting, GroupID: d.String(), GroupName: "g"})
			return err
		}
		err := create()
		if err != nil && code(t, err) == protocol.CodeRequestTimeout && strings.Contains(err.Error(), "too late") {
			err = create() // now the board knows the time
		}
		if err != nil {
			t.Errorf("with the hub's clock %v ahead: %v", d, err)
		}
	}
	talk.unbroken()
	talk.end()
}
