package sound_test

import (
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/media/fake"
	"github.com/herald-im/herald/media/owner"
	"github.com/herald-im/herald/media/sound"
)

var quiet = slog.New(slog.DiscardHandler)

const patience = 20 * time.Second

func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not %s in %v", what, patience)
		}
	}
}

// From a microphone through codec and jitter buffer to a speaker.
func TestFromMicrophoneToSpeaker(t *testing.T) {
	before := runtime.NumGoroutine()
	dev, out := fake.NewMicrophone(1000), fake.NewSpeaker()
	mic, speaker := sound.NewMicrophone(dev, quiet), sound.NewSpeaker(out, quiet)
	v := speaker.Play()
	var mu sync.Mutex
	seq := uint16(0)
	stop := mic.Follow(func(p sound.Packet) {
		mu.Lock()
		defer mu.Unlock()
		v.Push(seq, uint32(seq)*960, p.Data)
		seq++
	})
	until(t, "heard", func() bool { return v.Level() > 40 })
	at := out.Played()
	until(t, "a second of it", func() bool { return out.Played() > at+time.Second })
	if s := fake.Strength(out.Recorded(100*time.Millisecond), 1000); s < 0.8 {
		t.Errorf("the tone is %.2f of the sound", s)
	}
	if mic.Level() < 40 {
		t.Errorf("level %d", mic.Level())
	}
	mic.SetMute(true)
	until(t, "silent", func() bool { return v.Level() == 0 && mic.Level() == 0 })
	mic.SetMute(false)
	until(t, "heard again", func() bool { return v.Level() > 40 })
	stop()
	v.Close()
	until(t, "closed", func() bool { return dev.Opened() == 0 && out.Opened() == 0 })
	until(t, "without goroutines", func() bool { return runtime.NumGoroutine() <= before })
	if s, err := mic.State(); s != owner.Closed || err != nil {
		t.Error(s, err)
	}
}

func TestMicrophoneFailsAndComesBack(t *testing.T) {
	dev := fake.NewMicrophone(1000)
	dev.Fail(fake.ErrUnplugged)
	mic := sound.NewMicrophone(dev, quiet)
	got := make(chan sound.Packet, 10000)
	stop := mic.Follow(func(p sound.Packet) { got <- p })
	defer stop()
	if err := mic.Wait(t.Context()); !errors.Is(err, fake.ErrUnplugged) {
		t.Fatal(err)
	}
	dev.Fail(nil)
	<-got
	dev.Fail(fake.ErrUnplugged)
	dev.Break(fake.ErrUnplugged)
	until(t, "failed", func() bool { s, _ := mic.State(); return s == owner.Failed })
	if l := mic.Level(); l != 0 {
		t.Errorf("level %d of a microphone that is gone", l)
	}
	dev.Fail(nil)
	until(t, "running", func() bool { s, _ := mic.State(); return s == owner.Running })
	if dev.Opened() != 1 {
		t.Errorf("%d are open", dev.Opened())
	}
}

func TestEncodeOnce(t *testing.T) {
	mic := sound.NewMicrophone(fake.NewMicrophone(1000), quiet)
	a, b := make(chan sound.Packet, 10000), make(chan sound.Packet, 10000)
	stopA, stopB := mic.Follow(func(p sound.Packet) { a <- p }), mic.Follow(func(p sound.Packet) { b <- p })
	defer stopA()
	defer stopB()
	x := <-b
	for range 100 { // the one who followed first may have got some before
		if y := <-a; &x.Data[0] == &y.Data[0] {
			return
		}
	}
	t.Error("each has got packets of its own")
}

// Without a device the board still hears how loud the others are, and a device
// that comes plays.
func TestSpeakerFailsAndIsSwitched(t *testing.T) {
	mic, broken, good := sound.NewMicrophone(fake.NewMicrophone(1000), quiet), fake.NewSpeaker(), fake.NewSpeaker()
	broken.Fail(fake.ErrUnplugged)
	speaker := sound.NewSpeaker(broken, quiet)
	v := speaker.Play()
	defer v.Close()
	seq := uint16(0)
	stop := mic.Follow(func(p sound.Packet) { v.Push(seq, uint32(seq)*960, p.Data); seq++ })
	defer stop()
	until(t, "failed", func() bool { s, err := speaker.State(); return s == owner.Failed && errors.Is(err, fake.ErrUnplugged) })
	until(t, "measured", func() bool { return v.Level() > 40 })
	speaker.Select(good)
	until(t, "played", func() bool {
		return fake.Strength(good.Recorded(200*time.Millisecond), 1000) > 0.5
	})
	broken.Fail(nil)
	speaker.Select(broken)
	until(t, "played on the other", func() bool { return fake.Strength(broken.Recorded(200*time.Millisecond), 1000) > 0.5 })
	until(t, "closed", func() bool { return good.Opened() == 0 })
}

func TestNoDevices(t *testing.T) {
	mic, speaker := sound.NewMicrophone(nil, quiet), sound.NewSpeaker(nil, quiet)
	stop := mic.Follow(func(sound.Packet) { t.Error("sound") })
	if err := mic.Wait(t.Context()); !errors.Is(err, sound.ErrNoMicrophone) {
		t.Error(err)
	}
	stop()
	v := speaker.Play()
	until(t, "failed", func() bool { _, err := speaker.State(); return errors.Is(err, sound.ErrNoSpeaker) })
	v.Close()
	until(t, "closed", func() bool { s, _ := speaker.State(); return s == owner.Closed })
}

// Six at once are all heard.
func TestMix(t *testing.T) {
	out := fake.NewSpeaker()
	speaker := sound.NewSpeaker(out, quiet)
	freqs := []float64{400, 600, 800, 1000, 1200, 1400}
	var stops []func()
	for _, f := range freqs {
		v := speaker.Play()
		seq := uint16(0)
		stops = append(stops, sound.NewMicrophone(fake.NewMicrophone(f), quiet).Follow(func(p sound.Packet) { v.Push(seq, uint32(seq)*960, p.Data); seq++ }), v.Close)
	}
	until(t, "all heard", func() bool {
		pcm := out.Recorded(100 * time.Millisecond)
		for _, f := range freqs {
			if fake.Strength(pcm, f) < 0.05 {
				return false
			}
		}
		return len(pcm) > 0
	})
	for _, stop := range stops {
		stop()
	}
}

func TestManyTimes(t *testing.T) {
	before := runtime.NumGoroutine()
	dev, out := fake.NewMicrophone(1000), fake.NewSpeaker()
	mic, speaker := sound.NewMicrophone(dev, quiet), sound.NewSpeaker(out, quiet)
	for range 100 {
		stop := mic.Follow(func(sound.Packet) {})
		v := speaker.Play()
		stop()
		v.Close()
		v.Close()
	}
	until(t, "closed", func() bool { return dev.Opened() == 0 && out.Opened() == 0 })
	until(t, "without goroutines", func() bool { return runtime.NumGoroutine() <= before })
}

// On a machine without sound all that needs it says so.
func TestCards(t *testing.T) {
	var cards sound.Cards
	defer cards.Close()
	list, err := cards.List()
	t.Log(list, err)
	if err != nil && !errors.Is(err, sound.ErrNoSound) {
		t.Error(err)
	}
	if s, err := cards.Microphone("nowhere:9").Open(func([]int16) {}, func(error) {}); err == nil {
		s.Close()
		t.Error("a microphone that is not there was opened")
	}
}

// The speaker before plays until the other one does, and both are open only then.
func TestSwitchWithoutGap(t *testing.T) {
	ear, loud := fake.NewSpeaker(), fake.NewSpeaker()
	speaker := sound.NewSpeaker(ear, quiet)
	v := speaker.Play()
	defer v.Close()
	mic := sound.NewMicrophone(fake.NewMicrophone(1000), quiet)
	seq := uint16(0)
	defer mic.Follow(func(p sound.Packet) { v.Push(seq, uint32(seq)*960, p.Data); seq++ })()
	until(t, "played", func() bool { return fake.Strength(ear.Recorded(200*time.Millisecond), 1000) > 0.5 })
	for range 5 {
		speaker.Select(loud)
		until(t, "played loud", func() bool { return loud.Opened() == 1 && ear.Opened() == 0 })
		at := loud.Played()
		until(t, "played on", func() bool { return loud.Played() > at+200*time.Millisecond })
		if s := fake.Strength(loud.Recorded(100*time.Millisecond), 1000); s < 0.5 {
			t.Errorf("the tone is %.2f of the sound", s)
		}
		speaker.Select(ear)
		until(t, "played at the ear", func() bool { return ear.Opened() == 1 && loud.Opened() == 0 })
	}
	// A device that cannot be used fails; the next one plays at once.
	loud.Fail(fake.ErrUnplugged)
	speaker.Select(loud)
	until(t, "failed", func() bool { s, _ := speaker.State(); return s == owner.Failed && ear.Opened() == 0 })
	speaker.Select(ear)
	until(t, "played again", func() bool { s, _ := speaker.State(); return s == owner.Running && ear.Opened() == 1 })
}

// Beside a speaker that plays, the microphone's echo is lowered, by whatever is built in.
func TestEchoOfTheSpeaker(t *testing.T) {
	out := fake.NewSpeaker()
	speaker := sound.NewSpeaker(out, quiet)
	v := speaker.Play()
	defer v.Close()
	seq := uint16(0)
	defer sound.NewMicrophone(fake.NewMicrophone(1000), quiet).Follow(func(p sound.Packet) { v.Push(seq, uint32(seq)*960, p.Data); seq++ })()
	until(t, "played", func() bool { return fake.Strength(out.Recorded(200*time.Millisecond), 1000) > 0.5 })
	mic := sound.NewMicrophone(fake.NewMicrophoneBeside(out, 50*time.Millisecond, 0.5), quiet)
	if err := mic.SetEcho(speaker.Played(), sound.EchoOptions{}); err != nil {
		t.Fatal(err)
	}
	defer mic.Follow(func(sound.Packet) {})()
	until(t, "lowered", func() bool { st := mic.EchoStats(); return st.Enhancement > 20 && st.ReturnLoss > 3 })
	t.Logf("%+v", mic.EchoStats())
	if err := mic.SetEcho(speaker.Played(), sound.EchoOptions{Mode: "loud"}); err == nil {
		t.Error("a mode that there is none of was taken")
	}
}
