package sound

import (
	"errors"
	"sync/atomic"
	"time"
)

// silentTime is how long a device may not call back until it counts as failed: a
// driver that is stuck, or a card that has gone, does not always say so.
const silentTime = 2 * time.Second

// errSilent is why such a device has failed.
var errSilent = errors.New("the driver has stopped")

// opened is a device that is open.
type opened struct {
	stream Stream
	calls  *atomic.Uint64 // of its callbacks
	ended  chan error
}

// open opens a device whose callbacks count calls.
func open(calls *atomic.Uint64, with func(stopped func(error)) (Stream, error)) (*opened, error) {
	o := &opened{calls: calls, ended: make(chan error, 1)}
	var err error
	o.stream, err = with(func(err error) {
		select {
		case o.ended <- err:
		default:
		}
	})
	return o, err
}

// watch returns when over is closed, or something comes from moved, with nil, or when
// the device has failed. Its callbacks are looked at each interval.
func (o *opened) watch(over, moved <-chan struct{}, interval time.Duration) error {
	look := time.NewTicker(interval)
	defer look.Stop()
	for seen := o.calls.Load(); ; {
		select {
		case <-over:
			return nil
		case <-moved:
			return nil
		case err := <-o.ended:
			return err
		case <-look.C:
			n := o.calls.Load()
			if n == seen {
				return errSilent
			}
			seen = n
		}
	}
}

// hold opens a device and returns when over is closed, with nil, or when the device
// has failed. The device is closed then.
func hold(over <-chan struct{}, interval time.Duration, calls *atomic.Uint64, running func(),
	with func(stopped func(error)) (Stream, error)) error {
	o, err := open(calls, with)
	if err != nil {
		return err
	}
	defer o.stream.Close()
	running()
	return o.watch(over, nil, interval)
}
