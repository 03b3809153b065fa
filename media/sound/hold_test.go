package sound

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type closing struct{ closed *int }

func (c closing) Close() { *c.closed++ }

// A driver that stops to call back, without a word, has failed.
func TestStuckDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Uint64
		closed, ran := 0, false
		began := time.Now()
		err := hold(t.Context().Done(), silentTime, &calls, func() { ran = true }, func(func(error)) (Stream, error) {
			go func() {
				for range 100 {
					time.Sleep(blockTime)
					calls.Add(1)
				}
			}()
			return closing{&closed}, nil
		})
		if took := time.Since(began); !errors.Is(err, errSilent) || !ran || closed != 1 || took < silentTime || took > 2*silentTime {
			t.Errorf("%v after %v; it ran: %t, closed %d times", err, took, ran, closed)
		}
	})
}

// Without a device the clock takes one second of sound in a second.
func TestVoicesGoOnByTheClock(t *testing.T) {
	packets := tone(t, 440, 50)
	synctest.Test(t, func(t *testing.T) {
		v := NewSpeaker(nil, slog.New(slog.DiscardHandler)).Play()
		for i, p := range packets {
			v.Push(uint16(i), uint32(i*frameSamples), p)
		}
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if n := v.Stats().Total * 1000 / Rate; n < 450 || n > 550 {
			t.Errorf("%d ms were heard in half a second", n)
		}
		v.Close()
		synctest.Wait()
	})
}
