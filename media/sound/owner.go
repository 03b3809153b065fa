package sound

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// owner keeps a device open while it is wanted, over its failures.
type owner struct {
	log     *slog.Logger
	mu      sync.Mutex
	st      State
	err     error
	name    string
	changed chan struct{} // closed and renewed with the state
}

// begin is how an owner starts: closed.
func begin(log *slog.Logger) owner { return owner{log: log, st: Closed, changed: make(chan struct{})} }

// Wait waits until the device runs or has failed, and says why.
func (o *owner) Wait(ctx context.Context) error {
	for {
		o.mu.Lock()
		st, err, changed, name := o.st, o.err, o.changed, o.name
		o.mu.Unlock()
		switch st {
		case Running:
			return nil
		case Failed:
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("the sound device %s is not ready: %w", name, ctx.Err())
		}
	}
}

func (o *owner) set(s State, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil && (o.err == nil || o.err.Error() != err.Error()) { // it is tried again and again
		o.log.Error("a sound device has failed; it is tried again while it is wanted", "device", o.name, "err", err)
	}
	if s == Running && o.st != Running {
		o.log.Info("a sound device runs", "device", o.name)
	}
	o.st, o.err = s, err
	close(o.changed)
	o.changed = make(chan struct{})
}

// State of the device, and if it failed why.
func (o *owner) State() (State, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.st, o.err
}

// keep opens a device again and again until stop is closed, and closes it then.
// opened is called each time that it runs.
func (o *owner) keep(stop <-chan struct{}, open func(stopped func(error)) (Stream, error), first func(error)) {
	wait := retryMin
	for {
		ended := make(chan error, 1)
		began := time.Now()
		stream, err := open(func(err error) {
			select {
			case ended <- err:
			default:
			}
		})
		if err == nil {
			o.set(Running, nil)
		}
		if first != nil {
			first(err)
			first = nil
		}
		if err == nil {
			select {
			case <-stop:
			case err = <-ended:
			}
			if e := stream.Close(); e != nil {
				o.log.Warn("a sound device could not be closed", "device", o.name, "err", e)
			}
		}
		select {
		case <-stop:
			return
		default:
		}
		o.set(Failed, err)
		if time.Since(began) > retryMax {
			wait = retryMin
		}
		timer := time.NewTimer(wait)
		select {
		case <-stop:
			timer.Stop()
			return
		case <-timer.C:
		}
		wait = min(2*wait, retryMax)
	}
}
