package sound

import (
	"errors"
	"sync/atomic"
	"time"
)

// silentTime is how long a device may not call back until it counts as failed: a
// driver that is stuck, or a card that has gone, does not always say so.
const silentTime = 5 * time.Second

// errSilent is why such a device has failed.
var errSilent = errors.New("the driver has stopped")

// hold opens a device and returns when over is closed, with nil, or when the device
// has failed. The device is closed then. calls counts its callbacks; they are looked
// at each interval.
func hold(over <-chan struct{}, interval time.Duration, calls *atomic.Uint64, running func(),
	open func(stopped func(error)) (Stream, error)) error {
	ended := make(chan error, 1)
	stream, err := open(func(err error) {
		select {
		case ended <- err:
		default:
		}
	})
	if err != nil {
		return err
	}
	defer stream.Close()
	running()
	look := time.NewTicker(interval)
	defer look.Stop()
	for seen := calls.Load(); ; {
		select {
		case <-over:
			return nil
		case err := <-ended:
			return err
		case <-look.C:
			n := calls.Load()
			if n == seen {
				return errSilent
			}
			seen = n
		}
	}
}
