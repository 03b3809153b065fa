package peer

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestCloseAnywhere closes one end at each step of a handshake.
func TestCloseAnywhere(t *testing.T) {
	noLeak(t)
	cam := newCamera(t)
	f, g := newFactory(t, testConfig(t)), newFactory(t, testConfig(t))
	steps := []string{"made", "offered", "answered", "one candidate", "accepted", "checking", "connected", "media"}
	for i, at := range steps {
		for _, who := range []string{"a", "b"} {
			t.Run(at+", "+who, func(t *testing.T) {
				a, b := newEnd(t, f, cam.options()), newEnd(t, g, cam.options())
				closing := a
				if who == "b" {
					closing = b
				}
				var offer, answer string
				var err error
				todo := []func(){
					func() {},
					func() { offer, err = a.Offer(t.Context()) },
					func() { answer, err = b.Answer(t.Context(), offer) },
					func() { err = a.AddCandidate(receive(t, b.candidates, "a candidate")) },
					func() { err = a.Accept(answer) },
					func() { trickle(t, a, b); trickle(t, b, a) },
					func() { closing.awaitState(StateConnected) },
					func() { closing.awaitTracks(2) },
				}
				for _, do := range todo[:i+1] {
					if do(); err != nil {
						t.Fatal(err)
					}
				}
				begun := time.Now()
				closing.Close()
				closing.Close()
				if took := time.Since(begun); took > closeWait+closeWait/2 {
					t.Errorf("Close took %v", took)
				}
				if n := len(f.peers) + len(g.peers); n > 2 {
					t.Errorf("%d peers are counted", n)
				}
			})
		}
	}
}

// TestCloseFromCallbacks: each callback may close its Peer, and a callback may wait for the one who closes it.
func TestCloseFromCallbacks(t *testing.T) {
	noLeak(t)
	cam := newCamera(t)
	f, g := newFactory(t, testConfig(t)), newFactory(t, testConfig(t))
	for _, which := range []string{"candidate", "state", "track"} {
		t.Run(which, func(t *testing.T) {
			noLeak(t)
			b := newEnd(t, g, cam.options())
			var a *Peer
			closed := make(chan time.Duration, 1)
			var once sync.Once
			closeIt := func(is string) {
				if is == which {
					once.Do(func() {
						begun := time.Now()
						a.Close()
						closed <- time.Since(begun)
					})
				}
			}
			options := cam.options()
			options.Callbacks = Callbacks{
				Candidate: func(line string) {
					if closeIt("candidate"); line != "" {
						_ = b.AddCandidate(line)
					}
				},
				State: func(State) { closeIt("state") },
				Track: func(*RemoteTrack) { closeIt("track") },
			}
			a = must(f.NewPeer(options))
			t.Cleanup(a.Close)
			offer := must(a.Offer(t.Context()))
			if answer, err := b.Answer(t.Context(), offer); err == nil {
				_ = a.Accept(answer) // by then it may be closed
			}
			if took := receive(t, closed, "Close inside a callback"); took >= closeWait {
				t.Errorf("Close inside a callback took %v", took)
			}
		})
	}

	t.Run("a callback waits for the closer", func(t *testing.T) {
		noLeak(t)
		inside, free := make(chan struct{}), make(chan struct{})
		options := cam.options()
		options.Candidate = func(string) { inside <- struct{}{}; <-free }
		a := must(f.NewPeer(options))
		must(a.Offer(t.Context()))
		receive(t, inside, "the callback")
		begun := time.Now()
		a.Close()
		if took := time.Since(begun); took >= closeWait {
			t.Errorf("Close waited %v for a callback", took)
		}
		close(free)
	})
}

// TestStreamsWait: nothing is read or sent before pion takes in what comes. It would read from the network as soon as the
// handshake is over, and if one end closed just then, closing would wait for ever for whoever takes the first packet.
func TestStreamsWait(t *testing.T) {
	noLeak(t)
	cam := newCamera(t)
	f, g := newFactory(t, testConfig(t)), newFactory(t, testConfig(t))
	a, b := newEnd(t, f, cam.options()), newEnd(t, g, cam.options())
	negotiate(t, a, b)
	for _, x := range []*end{a, b} {
		select {
		case <-x.flowing:
			t.Error("streams flow before there is a connection")
		default:
		}
	}
	trickle(t, a, b)
	trickle(t, b, a)
	receive(t, a.flowing, "a's streams")
	receive(t, b.flowing, "b's streams")
	a.awaitTracks(2)
	if n := a.streams.begun.Load(); n == 0 {
		t.Error("streams flow by the clock alone")
	}
	a.Close()
	b.Close()
}

// TestManyPeersLeaveNothing opens and closes 200 connections.
func TestManyPeersLeaveNothing(t *testing.T) {
	noLeak(t)
	cam := newCamera(t)
	f, g := newFactory(t, testConfig(t)), newFactory(t, testConfig(t))
	round := func(n int) {
		a, b := newEnd(t, f, cam.options()), newEnd(t, g, cam.options())
		negotiate(t, a, b)
		if n%4 == 0 { // the others end in the middle of their handshake
			trickle(t, a, b)
			trickle(t, b, a)
			a.awaitState(StateConnected)
		}
		a.Close()
		b.Close()
	}
	round(0)
	settled := func() (int, int) {
		deadline := time.Now().Add(patience)
		least := runtime.NumGoroutine()
		for quiet := 0; quiet < 20 && time.Now().Before(deadline); quiet++ {
			time.Sleep(5 * time.Millisecond)
			if n := runtime.NumGoroutine(); n < least {
				least, quiet = n, 0
			}
		}
		return least, openFiles(t)
	}
	goroutines, files := settled()
	for n := range 200 {
		round(n)
	}
	// The helpers that hand over candidates live as long as the test: two for each of the 50 that connect.
	after, filesAfter := settled()
	if after > goroutines+2*50+2 || filesAfter > files {
		t.Errorf("%d goroutines and %d files, %d and %d before", after, filesAfter, goroutines, files)
	}
}

func TestTooMany(t *testing.T) {
	config := testConfig(t)
	config.MaxConnections = 1
	f := newFactory(t, config)
	a := newEnd(t, f, Options{})
	if _, err := f.NewPeer(Options{}); err == nil {
		t.Error("a second Peer where one is allowed")
	}
	a.Close()
	newEnd(t, f, Options{})
}
