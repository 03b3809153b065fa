package sound

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// silentDevice is a speaker that never asks for anything.
type silentDevice struct{}

func (silentDevice) Name() string { return "silent" }

func (silentDevice) Open(func([]int16), func(error)) (Stream, error) { return silentStream{}, nil }

type silentStream struct{}

func (silentStream) Close() {}

// The device may be taken away after a turn began and before it is opened, or while it
// moves to another: there is none then, which is no crash.
func TestTakenAwayWhileOpening(t *testing.T) {
	for _, running := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := NewSpeaker(silentDevice{}, quietly)
			away := func() { s.mu.Lock(); defer s.mu.Unlock(); s.device = nil }
			if !running {
				away()
			}
			over, ended := make(chan struct{}), make(chan error)
			go func() {
				ended <- s.keep(over, newRing(4*blockSamples), new(atomic.Bool), func(...any) {
					away()
					s.moved <- struct{}{}
				})
			}()
			synctest.Wait()
			close(over) // by Select, which renews the turn
			if err := <-ended; err != nil {
				t.Errorf("it ran: %t, %v", running, err)
			}
		})
	}
}
