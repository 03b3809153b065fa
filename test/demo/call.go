package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
	"github.com/herald-im/herald/test/rig"
)

// hardware tells whether this machine has a camera and sound of its own. A call
// needs both, or the demo shows fakes.
func hardware() bool {
	cameras, _ := filepath.Glob("/dev/video*")
	captures, _ := filepath.Glob("/dev/snd/pcmC*c")
	players, _ := filepath.Glob("/dev/snd/pcmC*p")
	return len(cameras) > 0 && len(captures) > 0 && len(players) > 0
}

// place has door call indoor, and shows how the call goes once it stands.
func (d *demo) place(ctx context.Context, door, indoor *rig.Board) error {
	fmt.Println()
	began := time.Now()
	if _, err := client.Call(ctx, door.Client(), protocol.PlaceCall, protocol.CallRequest{UserID: indoor.User, Type: protocol.CallTypeVideo}); err != nil {
		return err
	}
	line(began, "%-6s calls  %-6s", door.User, indoor.User)
	if err := awaitCall(ctx, indoor, protocol.CallRinging); err != nil {
		return err
	}
	accepted := time.Now()
	if _, err := client.Call(ctx, indoor.Client(), protocol.AcceptCall, protocol.Empty{}); err != nil {
		return err
	}
	if err := awaitCall(ctx, door, protocol.CallConnected); err != nil {
		return err
	}
	line(time.Now(), "%-6s ↔      %-6s  connected %.0f ms after indoor accepted", door.User, indoor.User, ms(time.Since(accepted)))
	// Pictures are counted over a second at least.
	select {
	case <-time.After(2 * time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, b := range []*rig.Board{door, indoor} {
		if err := report(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// report shows what arrives at a board.
func report(ctx context.Context, b *rig.Board) error {
	for try := 0; ; try++ {
		c, err := client.Call(ctx, b.Client(), protocol.GetCall, protocol.Empty{})
		if err != nil {
			return err
		}
		if len(c.Users) == 0 {
			return fmt.Errorf("%s: the call is over", b.User)
		}
		u := c.Users[0]
		if u.FramesPerSecond == 0 && try < 50 {
			select {
			case <-time.After(200 * time.Millisecond):
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		line(time.Now(), "%-6s gets   %-6s  %s, %.1f pictures/s, opus, round trip %.1f ms, %d packets lost, path %s",
			b.User, u.UserID, u.VideoCodec, u.FramesPerSecond, u.RoundTripMs, u.PacketsLost, u.Path)
		return nil
	}
}

func awaitCall(ctx context.Context, b *rig.Board, state protocol.CallState) error {
	limit := time.Now().Add(30 * time.Second)
	for {
		c, err := client.Call(ctx, b.Client(), protocol.GetCall, protocol.Empty{})
		switch {
		case err != nil:
			return err
		case c.State == state:
			return nil
		case time.Now().After(limit):
			return fmt.Errorf("%s: the call is %s, and not %s after 30 s", b.User, c.State, state)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// showCall prints the events of a call.
func (d *demo) showCall(user string, e client.Event) {
	name := strings.TrimPrefix(e.Name, "calling.")
	if name == "onUserVoiceVolume" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	line(time.Now(), "%-6s event  %s %s", user, name, details(e.Data))
}

// details says an event's data without its eventType.
func details(data []byte) string {
	text := strings.TrimPrefix(string(data), "{")
	if _, rest, ok := strings.Cut(text, ","); ok {
		return "{" + rest
	}
	return ""
}
