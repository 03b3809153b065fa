package owner

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

var errBroken = errors.New("broken")

// device counts how many have it open, and fails as it is told.
type device struct {
	open, most int
	fail       error
	opened     []time.Duration // since the beginning
	slow       time.Duration   // until it is closed
}

func (d *device) owner(t *testing.T) *Owner {
	began := time.Now()
	return New("device", slog.New(slog.DiscardHandler), func(turn *Turn) {
		turn.Keep(func(running func(...any)) error {
			d.opened = append(d.opened, time.Since(began))
			if d.fail != nil {
				return d.fail
			}
			d.open++
			d.most = max(d.most, d.open)
			running()
			<-turn.Over()
			time.Sleep(d.slow)
			running() // too late: it must not say so of those who came after
			d.open--
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
		if err := o.Wait(t.Context()); err != nil || d.open != 1 {
			t.Error(err, d.open)
		}
		a()
		a() // counts once
		if s := state(o); s != Running {
			t.Error(s)
		}
		b()
		if err := o.Drain(t.Context()); err != nil || state(o) != Closed || d.open != 0 {
			t.Error(err, state(o), d.open)
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
		defer func() { release(); synctest.Wait() }()
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
		if err := o.Wait(t.Context()); err != nil || d.most != 1 {
			t.Errorf("%v, and %d were open at once", err, d.most)
		}
		d.slow = 0
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
		if !slices.Equal(d.opened, want) {
			t.Errorf("opened after %v, want %v", d.opened, want)
		}
		d.fail = nil
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s, err := o.State(); s != Running || err != nil {
			t.Error(s, err)
		}
		release()
		synctest.Wait()
		d.fail = errBroken
		release = o.Hold()
		synctest.Wait()
		release() // while it is left alone
		synctest.Wait()
		if err := o.Drain(t.Context()); err != nil || state(o) != Closed {
			t.Error(err, state(o))
		}
	})
}
