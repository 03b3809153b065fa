package calls

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/herald-im/herald/device/store/disktest"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// A call goes on at a board whose disk is full, although the board can take no messages
// any more; with room again it is as before.
func TestFullDisk(t *testing.T) {
	disk := disktest.Small(t, 16)
	h := newHouse(t, "off")
	door, indoor := h.board("door", "", "--state", filepath.Join(disk, "state")), h.board("indoor", "")
	h.connect(door, indoor)
	free := disktest.Fill(t, disk)
	// The board's files have some room in themselves.
	text := strings.Repeat("x", 8000)
	for n := 0; !strings.Contains(door.Output(), "no space left on device"); n++ {
		if n == 5000 {
			t.Fatal("the disk does not fill")
		}
		if _, err := client.Call(h.ctx, indoor.Client(), protocol.SendC2CTextMessage, protocol.C2CTextRequest{UserID: "door", Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	h.picturesAfter(door, indoor)
	free()
	door.link("up")
	h.hangup(indoor, door)
	h.connect(indoor, door)
	h.hangup(door, indoor)
}
