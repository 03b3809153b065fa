package owner

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errBroken = errors.New("broken")

// device counts how many have it open, and fails as it is told.
type device struct {
	slow time.Duration // until it is closed

	mu         sync.Mutex
	open, most int
	fail       error
	opened     []time.Duration // since the beginning
}

// begin opens it.
func (d *device) begin(since time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opened = append(d.opened, since); d.fail == nil {
		d.open++
		d.most = max(d.most, d.open)
	}
	return d.fail
}

func (d *device) end() { d.mu.Lock(); defer d.mu.Unlock(); d.open-- }

// breaks has it fail from now on; nil: no more.
func (d *device) breaks(err error) { d.mu.Lock(); defer d.mu.Unlock(); d.fail = err }

// times is when it was opened, and how many have it open and had it at most.
func (d *device) times() (opened []time.Duration, open, most int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.opened), d.open, d.most
}

func (d *device) owner(t *testing.T) *Owner {
	began := time.Now()
	return New("device", slog.New(slog.DiscardHandler), func(turn *Turn) {
		turn.Keep(func(running func(...any)) error {
			if err := d.begin(time.Since(began)); err != nil {
				return err
			}
			defer d.end()
			running()
			<-turn.Over()
			time.Sleep(d.slow)
			running() // too late: it must not say so of those who came after
			return errBroken
		})
	})
}

func state(o *Owner) State { s, _ := o.State(); return s }

func TestOpenWhileUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(device)
		o := d.owner(t)
		if err := o.Wait(t.Context()); !errors.Is(err, ErrUnused) {
			t.Error(err)
		}
		a, b := o.Hold(), o.Hold()
		if s := state(o); s != Opening {
			t.Error(s)
		}
		if err := o.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if _, open, _ := d.times(); open != 1 {
			t.Errorf("%d are open", open)
		}
		a()
		a() // counts once
		if s := state(o); s != Running {
			t.Error(s)
		}
		b()
		if err := o.Drain(t.Context()); err != nil || state(o) != Closed {
			t.Error(err, state(o))
		}
		if _, open, _ := d.times(); open != 0 {
			t.Errorf("%d are open", open)
		}
	})
}

// The device of those who came later is opened only when that of those before is
// closed, and what is said of one is not said of the other.
func TestTurnsDoNotMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &device{slow: time.Second}
		o := d.owner(t)
		release := o.Hold()
		synctest.Wait()
		release()
		release = o.Hold()
		defer func() {
			release()
			if err := o.Drain(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		o.Renew()
		time.Sleep(d.slow - time.Millisecond)
		synctest.Wait()
		if s := state(o); s != Opening {
			t.Errorf("%s before the one of before is closed", s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond/2)
		defer cancel()
		if err := o.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := o.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := o.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if _, _, most := d.times(); most != 1 {
			t.Errorf("%d were open at once", most)
		}
	})
}

func TestFailsAndIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &device{fail: errBroken}
		o := d.owner(t)
		release := o.Hold()
		if err := o.Wait(t.Context()); !errors.Is(err, errBroken) || state(o) != Failed {
			t.Error(err, state(o))
		}
		time.Sleep(30 * time.Second)
		want := []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond, 3500 * time.Millisecond, 7500 * time.Millisecond, 15500 * time.Millisecond, 23500 * time.Millisecond}
		if opened, _, _ := d.times(); !slices.Equal(opened, want) {
			t.Errorf("opened after %v, want %v", opened, want)
		}
		d.breaks(nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s, err := o.State(); s != Running || err != nil {
			t.Error(s, err)
		}
		release()
		synctest.Wait()
		d.breaks(errBroken)
		release = o.Hold()
		synctest.Wait()
		release() // while it is left alone
		synctest.Wait()
		if err := o.Drain(t.Context()); err != nil || state(o) != Closed {
			t.Error(err, state(o))
		}
	})
}

// A device that there is not is told of, and is neither logged nor tried again.
func TestMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		turns := 0
		o := New("device", slog.New(slog.NewTextHandler(&log, nil)), func(turn *Turn) {
			turns++
			turn.Missing(errBroken)
		})
		release := o.Hold()
		if err := o.Wait(t.Context()); !errors.Is(err, errBroken) {
			t.Error(err)
		}
		time.Sleep(10 * pauseMax)
		release()
		if err := o.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if state, err := o.State(); state != Closed || err != nil {
			t.Error(state, err)
		}
		if turns != 1 || log.Len() > 0 {
			t.Errorf("%d turns; the log: %s", turns, log.String())
		}
	})
}

// Users who come and go while the device of those before them closes cost nothing: no
// goroutine is left of them, and the device is not opened for nobody.
func TestUsersWhoLeaveBeforeItOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &device{slow: time.Hour}
		o := d.owner(t)
		release := o.Hold()
		synctest.Wait()
		release()
		before := runtime.NumGoroutine()
		for range 100 {
			release := o.Hold()
			o.Renew()
			release()
		}
		drained := make(chan error)
		release = o.Hold()
		go func() { drained <- o.Drain(t.Context()) }()
		synctest.Wait() // it waits for what release takes back
		if now := runtime.NumGoroutine(); now > before+10 {
			t.Errorf("%d goroutines more", now-before)
		}
		release()
		synctest.Wait()
		select {
		case err := <-drained:
			t.Error("it is not closed yet", err)
		default:
		}
		release = o.Hold()
		if err := o.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if opened, _, most := d.times(); len(opened) != 2 || most != 1 {
			t.Errorf("opened after %v, %d at once", opened, most)
		}
		release()
		if err := errors.Join(<-drained, o.Drain(t.Context())); err != nil {
			t.Error(err)
		}
	})
}
