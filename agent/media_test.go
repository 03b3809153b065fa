package agent

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/herald-im/herald/media/peer"
	"github.com/herald-im/herald/media/video"
	"github.com/herald-im/herald/protocol"
)

// What goes wrong with a picture has a code of its own, and what ends with the request is left to who answers it.
func TestPictureErrors(t *testing.T) {
	broken := errors.New("no such device")
	for _, x := range []struct {
		view bool
		err  error
		code protocol.Code
	}{
		{true, peer.ErrBadSDP, protocol.CodeCallInvalidParameter},
		{true, &peer.NoCodecError{Kind: peer.Video}, protocol.CodeCallInvalidParameter},
		{true, peer.ErrTooMany, protocol.CodeNetReqCountLimit},
		{true, peer.ErrState, protocol.CodeCallWrongState},
		{true, peer.ErrClosed, protocol.CodeCallWrongState},
		{true, video.ErrNoCamera, protocol.CodeCallWrongState},
		{false, video.ErrNoCamera, protocol.CodeCallWrongState},
		{false, broken, protocol.CodeIOOperationFailed},
	} {
		f := snapshotError
		if x.view {
			f = viewError
		}
		if e := protocol.AsError(f(fmt.Errorf("showing it: %w", x.err))); e.Code != x.code {
			t.Errorf("%v: %d, want %d", x.err, e.Code, x.code)
		}
	}
	for _, err := range []error{context.DeadlineExceeded, context.Canceled} {
		err = fmt.Errorf("camera x: no picture yet: %w", err)
		if snapshotError(err) != err || viewError(err) != err {
			t.Errorf("%v is hidden", err)
		}
	}
	if snapshotError(nil) != nil {
		t.Error("success is an error")
	}
}
