package chaos

import (
	"os"
	"syscall"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// TestSigComesLater: a board that starts before its UserSig is there logs in
// once it is, without a restart.
func TestSigComesLater(t *testing.T) {
	h := newHouse(t, "")
	a := h.idle("door", "door")
	sig, err := os.ReadFile(a.board.Sig)
	must(t, err)
	must(t, os.Remove(a.board.Sig))
	a.start()
	if e := a.status().LastError; e == nil || e.Code != protocol.CodeSvrAccountUserSigEmpty {
		t.Errorf("the status says %v", e)
	}
	must(t, os.WriteFile(a.board.Sig, sig, 0o600))
	must(t, syscall.Kill(a.board.PID(), syscall.SIGHUP)) // sooner than by itself
	a.awaitLink("up")
}
