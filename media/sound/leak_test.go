package sound

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// resident is how many KiB of memory the process has, C's among them.
func resident(t *testing.T) (kib int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	var all int
	if _, err := fmt.Sscan(string(text), &all, &kib); err != nil {
		t.Fatal(err)
	}
	return kib * os.Getpagesize() / 1024
}

// fakeCapture is a microphone that hears what the test gives it.
type fakeCapture struct {
	fail error
	get  func([]int16)
}

func (*fakeCapture) Name() string { return "fake" }

func (f *fakeCapture) Open(get func([]int16), _ func(error)) (Stream, error) {
	f.get = get
	return silentStream{}, f.fail
}

// What Go does not know of is given back: decoders, encoders and cancellers.
func TestMemoryIsGivenBack(t *testing.T) {
	played := newPlayed()
	mic := NewMicrophone(&fakeCapture{fail: errSilent}, quietly)
	if err := mic.SetEcho(played, EchoOptions{}); err != nil {
		t.Fatal(err)
	}
	v := newVoice()
	defer v.Close()
	for name, once := range map[string]func(int){
		"voices": func(int) { newVoice().Close() },
		"streams of one": func(i int) {
			v.Push(uint16(i*5000), 0, []byte{0xf8, 0, 0})
			v.Push(uint16(i*5000+1), 0, []byte{0xf8, 0, 0})
		},
		"a microphone":     func(int) { _ = mic.capture(nil, func(...any) {}) },
		"packets after it": func(int) { w := newVoice(); w.Close(); w.Push(1, 1, []byte{0xf8, 0, 0}) },
	} {
		const times = 1000
		for i := range times / 2 {
			once(i)
		}
		before := resident(t)
		for i := range times {
			once(i)
		}
		if grown := resident(t) - before; grown > 8*1024 {
			t.Errorf("%s: %d KiB more after %d times", name, grown, times)
		}
	}
}

// A packet that is too large is not kept, nor is one of a voice that was closed.
func TestNotKept(t *testing.T) {
	v := newVoice()
	v.Push(1, 1, make([]byte, maxPayload+1))
	if st := v.Stats(); st.Bad != 1 || st.Packets != 0 || v.store.waiting != 0 {
		t.Errorf("%+v", st)
	}
	v.Close()
	v.Push(1, 1, []byte{0xf8, 0, 0})
	if v.decoder.c != nil || v.store.waiting != 0 || v.Stats().Packets != 0 {
		t.Errorf("a closed voice took a packet: %+v", v.Stats())
	}
}

// A capture has not ended before its encoder has, whose memory is given back then.
func TestEncoderEndsBeforeItsDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		device := new(fakeCapture)
		mic := NewMicrophone(device, quietly)
		held := make(chan struct{})
		mic.followers[0] = func(Packet) { <-held }
		over, ended := make(chan struct{}), new(atomic.Bool)
		go func() {
			if err := mic.capture(over, func(...any) {}); err != nil {
				t.Error(err)
			}
			ended.Store(true)
		}()
		synctest.Wait()
		device.get(make([]int16, frameSamples))
		synctest.Wait()
		close(over)
		synctest.Wait()
		if ended.Load() {
			t.Error("the encoder still runs")
		}
		close(held)
		synctest.Wait()
		if !ended.Load() {
			t.Error("it does not end")
		}
	})
}

// Of two speakers that are open only the one that is current takes what is mixed.
func TestOnlyTheCurrentPlays(t *testing.T) {
	s := NewSpeaker(nil, quietly)
	mixed := newRing(ahead)
	var fills [2]func([]int16)
	var all [2]*opened
	for i := range fills {
		o, err := s.open(filled{&fills[i]}, mixed)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = o
	}
	s.current.Store(all[1])
	mixed.write([]int16{1, 2, 3, 4})
	got := []int16{9, 9}
	if fills[0](got); got[0] != 0 || got[1] != 0 || mixed.length() != 4 {
		t.Errorf("%v, %d wait", got, mixed.length())
	}
	if fills[1](got); got[0] != 1 || got[1] != 2 || mixed.length() != 2 {
		t.Errorf("%v, %d wait", got, mixed.length())
	}
}

type filled struct{ fill *func([]int16) }

func (filled) Name() string { return "filled" }

func (f filled) Open(fill func([]int16), _ func(error)) (Stream, error) {
	*f.fill = fill
	return silentStream{}, nil
}

// Of a speaker that has stopped nothing is heard.
func TestPlayedStops(t *testing.T) {
	now := int64(0)
	p := newPlayed()
	p.clock = func() int64 { return now }
	if _, ok := p.now(); ok {
		t.Error("nothing was played")
	}
	p.write(make([]int16, blockSamples))
	now += int64(blockSamples) / 2
	if n, ok := p.now(); !ok || n != int64(blockSamples)/2 {
		t.Errorf("%d, %t", n, ok)
	}
	now += Rate
	if n, ok := p.now(); ok {
		t.Errorf("%d a second after the last of it", n)
	}
}

// A stream that was closed is forgotten, and says nothing any more.
func TestClosedStreamIsForgotten(t *testing.T) {
	c := new(Cards)
	defer c.Close()
	news := make(chan error, 10)
	s, err := c.Speaker("null").Open(func(pcm []int16) { clear(pcm); time.Sleep(time.Millisecond) }, func(err error) { news <- err })
	if errors.Is(err, ErrNoSound) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	c.listener.mu.Lock()
	open := len(c.listener.open)
	c.listener.mu.Unlock()
	if open > 0 || len(news) > 0 {
		t.Errorf("%d are known as open, %d have failed", open, len(news))
	}
}
