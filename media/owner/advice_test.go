package owner_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/herald-im/herald/media/owner"
)

// What is known of an error stands behind it, and it is the same error still.
func TestAdvised(t *testing.T) {
	advice := map[syscall.Errno]string{syscall.EBUSY: "another program uses it"}
	busy := fmt.Errorf("set a size: %w", syscall.EBUSY)
	if err := owner.Advised(busy, advice); !errors.Is(err, syscall.EBUSY) || err.Error() != busy.Error()+": another program uses it" {
		t.Error(err)
	}
	for _, err := range []error{nil, syscall.EIO, errors.New("busy")} {
		if got := owner.Advised(err, advice); got != err {
			t.Errorf("%v, and it was %v", got, err)
		}
	}
}
