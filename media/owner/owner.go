// Package owner keeps a device open while somebody uses it, over its failures, and
// gives it back after the last one. What the device is, is its user's: cameras are
// package video's, microphones and speakers package sound's.
package owner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// State of a device.
type State string

// The states of a device.
const (
	Closed  State = "closed"  // nobody uses it
	Opening State = "opening" // used, and not in order yet
	Running State = "running"
	Failed  State = "failed" // it is tried again while somebody uses it
)

// How long a device that failed is left alone: twice as long each time.
const (
	pauseMin = 500 * time.Millisecond
	pauseMax = 8 * time.Second
)

// ErrUnused is what Wait returns for a device that nobody uses.
var ErrUnused = errors.New("nobody uses it")

// Owner of one device. Its methods may be called from any goroutine.
type Owner struct {
	kind string
	log  *slog.Logger
	work func(*Turn)

	mu      sync.Mutex
	state   State
	err     error
	users   int
	turn    *Turn         // nil: no users
	ended   chan struct{} // closed when the work of the newest turn has ended
	changed chan struct{} // closed and renewed with state
}

// Turn is the time from the first user of a device to the last one. There is work
// for one at a time.
type Turn struct {
	owner  *Owner
	over   chan struct{}
	before chan struct{} // closed when the work of all turns before has ended
	begun  bool          // its work was begun
}

// New makes the owner of a device, which is closed. kind is what people call it, such
// as "microphone". work is run in a goroutine for each turn that is not over before the
// one before it has ended: it begins what goes with the device, calls Keep, and returns
// when all of it has ended.
func New(kind string, log *slog.Logger, work func(*Turn)) *Owner {
	ended := make(chan struct{})
	close(ended)
	return &Owner{kind: kind, log: log, work: work, state: Closed, ended: ended, changed: make(chan struct{})}
}

// Hold uses the device until release, and does not wait for it. release may be called
// again.
func (o *Owner) Hold() (release func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.users++; o.users == 1 {
		o.begin()
	}
	return sync.OnceFunc(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.users--; o.users == 0 {
			o.end()
			o.turn = nil
			o.set(Closed, nil)
		}
	})
}

// Renew closes the device, if it is used, and opens it again: it has become another.
func (o *Owner) Renew() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.turn != nil {
		o.end()
		o.begin()
	}
}

// begin is called with mu held.
func (o *Owner) begin() {
	t, ended := &Turn{owner: o, over: make(chan struct{}), before: o.ended}, make(chan struct{})
	o.turn, o.ended = t, ended
	o.set(Opening, nil)
	go func() {
		select {
		case <-t.before: // two turns at once would want the device twice
		case <-t.over: // nor is it opened for nobody: a driver may take long to close
		}
		if t.starts() {
			defer close(ended)
			o.work(t)
		}
	}()
}

// end ends the turn that there is; called with mu held.
func (o *Owner) end() {
	close(o.turn.over)
	if !o.turn.begun { // it never will, and leaves nothing
		o.ended = o.turn.before
	}
}

// starts tells false when the turn is over before its work began.
func (t *Turn) starts() bool {
	o := t.owner
	o.mu.Lock()
	defer o.mu.Unlock()
	t.begun = o.turn == t
	return t.begun
}

// set is called with mu held.
func (o *Owner) set(s State, err error) {
	o.state, o.err = s, err
	close(o.changed)
	o.changed = make(chan struct{})
}

// State of the device, and why if it failed.
func (o *Owner) State() (State, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.state, o.err
}

// Wait waits until the device runs. Errors: why it failed, ErrUnused, ctx's.
func (o *Owner) Wait(ctx context.Context) error {
	for {
		o.mu.Lock()
		state, err, changed := o.state, o.err, o.changed
		o.mu.Unlock()
		switch state {
		case Running:
			return nil
		case Failed:
			return err
		case Closed:
			return fmt.Errorf("the %s is closed: %w", o.kind, ErrUnused)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("the %s is not ready yet: %w", o.kind, ctx.Err())
		}
	}
}

// Drain waits until the device is closed, and nothing is left of the work of any turn.
// Errors: ctx's.
func (o *Owner) Drain(ctx context.Context) error {
	for {
		o.mu.Lock()
		ended, changed := o.ended, o.changed
		o.mu.Unlock()
		select {
		case <-ended:
			return nil
		case <-changed: // the turn may have been over before it began
		case <-ctx.Done():
			return fmt.Errorf("the %s does not close: %w", o.kind, ctx.Err())
		}
	}
}

// Over is closed when the turn is over.
func (t *Turn) Over() <-chan struct{} { return t.over }

// Keep tries again and again until the turn is over. try opens the device, calls
// running once it is in order, with what the log is to say of it, and returns when the
// device has failed or the turn is over; it has closed the device then.
func (t *Turn) Keep(try func(running func(attrs ...any)) error) {
	pause := pauseMin
	for {
		began := time.Now()
		err := try(t.running)
		if !t.failed(err) {
			return
		}
		if time.Since(began) > pauseMax {
			pause = pauseMin
		}
		select {
		case <-t.over:
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, pauseMax)
	}
}

// Missing says that there is no such device, and why, and waits until the turn is
// over. That is no failure: nothing is logged, and nothing tried again.
func (t *Turn) Missing(why error) {
	o := t.owner
	o.mu.Lock()
	if o.turn == t {
		o.set(Failed, why)
	}
	o.mu.Unlock()
	<-t.over
}

func (t *Turn) running(attrs ...any) {
	o := t.owner
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.turn != t {
		return
	}
	o.set(Running, nil)
	o.log.Info("the "+o.kind+" runs", attrs...)
}

// failed tells false when the turn is over.
func (t *Turn) failed(err error) bool {
	o := t.owner
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.turn != t {
		return false
	}
	if o.err == nil || o.err.Error() != err.Error() { // it is tried again and again
		o.log.Error("the "+o.kind+" has failed; it is tried again while it is wanted", "err", err)
	}
	o.set(Failed, err)
	return true
}
