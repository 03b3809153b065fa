package chaos

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/herald-im/herald/device/store/disktest"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// code is the code of an API error; 0 for none.
func code(t *testing.T, err error) protocol.Code {
	t.Helper()
	var e *protocol.Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("an error without a code: %v", err)
	}
	if e == nil {
		return 0
	}
	return e.Code
}

// TestBoardDiskFull: a board whose disk fills up refuses sends with a code,
// loses nothing that it accepted, and goes on when there is room.
func TestBoardDiskFull(t *testing.T) {
	disk := disktest.Small(t, 16)
	h := newHouse(t, "")
	door, indoor := h.idle("door", "door", "--state", filepath.Join(disk, "state")), h.actor("indoor")
	door.start()
	door.follow()
	door.awaitLink("up")
	h.hub.Kill()
	door.awaitLink("down")

	accepted := 0
	send := func() protocol.Code {
		_, err := client.Call(h.ctx, door.board.Client(), protocol.SendC2CTextMessage,
			protocol.C2CTextRequest{UserID: "indoor", Text: fmt.Sprintf("%06d", accepted)})
		c := code(t, err)
		if c == 0 {
			accepted++
		}
		return c
	}
	for range 50 {
		if c := send(); c != 0 {
			t.Fatalf("a send on an empty disk is refused with %d", c)
		}
	}
	free := disktest.Fill(t, disk)
	if c := send(); c != protocol.CodeDatabaseFailure {
		t.Errorf("a send on a full disk got code %d, not %d", c, protocol.CodeDatabaseFailure)
	}
	door.board.Kill()
	door.start() // a full disk does not keep the board from starting
	if got := door.status().Queue.Items; got != accepted {
		t.Errorf("%d messages wait, %d were accepted", got, accepted)
	}
	if c := send(); c != protocol.CodeDatabaseFailure {
		t.Errorf("a send on a full disk got code %d, not %d", c, protocol.CodeDatabaseFailure)
	}
	h.startHub()
	free()
	if c := send(); c != 0 {
		t.Errorf("with room again a send got code %d", c)
	}
	indoor.await("all that was accepted", func(ev []event) bool { return len(texts(ev)) >= accepted })
	door.awaitDrained()
	for i, s := range texts(indoor.journal()) {
		if s[:6] != fmt.Sprintf("%06d", i) {
			t.Errorf("message %d is %q", i, s)
		}
	}
}

// TestBoardFillsItsDisk: what a board queues by itself does not use the room
// that it needs to deliver it.
func TestBoardFillsItsDisk(t *testing.T) {
	disk := disktest.Small(t, 12)
	h := newHouse(t, "")
	door, indoor := h.idle("door", "door", "--state", filepath.Join(disk, "state")), h.actor("indoor")
	h.hub.Kill()
	door.start()
	door.follow()
	text := make([]byte, 4000)
	for i := range text {
		text[i] = 'x'
	}
	accepted := 0
	for {
		_, err := client.Call(h.ctx, door.board.Client(), protocol.SendC2CTextMessage,
			protocol.C2CTextRequest{UserID: "indoor", Text: fmt.Sprintf("%06d %s", accepted, text)})
		if c := code(t, err); c == protocol.CodeDatabaseFailure {
			break
		} else if c != 0 {
			t.Fatalf("after %d messages: %v", accepted, err)
		}
		if accepted++; accepted > 12<<20/4000 {
			t.Fatal("more was accepted than the disk holds")
		}
	}
	t.Logf("%d messages were accepted", accepted)
	h.startHub()
	indoor.await("all that was accepted", func(ev []event) bool { return len(texts(ev)) >= accepted })
	door.awaitDrained()
	if got := len(texts(indoor.journal())); got != accepted {
		t.Errorf("%d messages came, %d were accepted", got, accepted)
	}
}

// TestHubDiskFull: while the hub's disk is full messages wait at the boards,
// and go out when there is room.
func TestHubDiskFull(t *testing.T) {
	disk := disktest.Small(t, 16)
	h := newHouseAt(t, "", filepath.Join(disk, "hub"))
	door, indoor := h.actor("door"), h.actor("indoor")
	door.send("indoor", "before")
	free := disktest.Fill(t, disk)
	if !door.send("indoor", "while the hub's disk is full").Queued {
		t.Error("a message that the hub cannot store is reported as sent")
	}
	h.hub.Kill() // worse: it has to start on a full disk, or at least after it
	free()
	h.startHub()
	indoor.await("both", func(ev []event) bool { return len(texts(ev)) == 2 })
	free = disktest.Fill(t, disk)
	door.send("indoor", "full again")
	free()
	indoor.await("the third, without a restart", func(ev []event) bool { return len(texts(ev)) == 3 })
	door.awaitDrained()
}
