package sound

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gen2brain/malgo"
)

// needLoop skips a test where there are no cards Ear and Loud that give back what they
// play, as those of the board in software do: snd-aloop with id=Ear,Loud.
func needLoop(t *testing.T) *Cards {
	t.Helper()
	ids := readCardIDs()
	if found := fmt.Sprint(ids); !strings.Contains(found, "Ear") || !strings.Contains(found, "Loud") {
		t.Skip("no cards Ear and Loud of snd-aloop")
	}
	c := new(Cards)
	t.Cleanup(c.Close)
	return c
}

// recorder keeps what comes.
type recorder struct {
	mu  sync.Mutex
	pcm []int16
}

func (r *recorder) get(pcm []int16) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pcm = append(r.pcm, pcm...)
}

// wait waits for n samples from now on and returns them.
func (r *recorder) wait(t *testing.T, n int) []int16 {
	t.Helper()
	r.mu.Lock()
	r.pcm = nil
	r.mu.Unlock()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		r.mu.Lock()
		pcm := r.pcm
		r.mu.Unlock()
		if len(pcm) >= n {
			return pcm[:n]
		}
		if time.Now().After(end) {
			t.Fatalf("%d samples came, want %d", len(pcm), n)
		}
	}
}

// toner plays a sine for ever.
type toner struct{ at int }

func (o *toner) fill(pcm []int16) {
	for i := range pcm {
		pcm[i] = toned[o.at%len(toned)]
		o.at++
	}
}

var quietly = slog.New(slog.DiscardHandler)

var toned = sine(1000, Rate, Rate)

// wholeTone tells the best 100 ms of pcm: an emulated card stumbles.
func wholeTone(pcm []int16) (best float64) {
	for at := 0; at+Rate/10 <= len(pcm); at += Rate / 20 {
		best = max(best, snr(pcm[at:at+Rate/10], 1000, Rate))
	}
	return best
}

func failed(t *testing.T) func(error) { return func(err error) { t.Logf("stopped: %v", err) } }

func TestCardsByName(t *testing.T) {
	c := needLoop(t)
	list, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, i := range list {
		t.Logf("%+v", i)
		seen[fmt.Sprint(i.ID, i.Playback)]++
	}
	for _, id := range []string{"Ear", "Loud", "Ear,1", "Loud,1"} {
		if seen[id+"true"] != 1 || seen[id+"false"] != 1 {
			t.Errorf("%s is listed %d times for playing and %d for capturing", id, seen[id+"true"], seen[id+"false"])
		}
	}
	for _, name := range []string{"Loud", "hw:Loud,0", "plughw:Loud,0", ":1,0", "Loud,1"} {
		s, err := c.Speaker(name).Open(new(toner).fill, failed(t))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		t.Logf("%s: %+v", name, s.(granter).Granted())
		s.Close()
	}
}

// The other end of the loop has a shape of its own, which the card then has.
func TestCardsOfAnyShape(t *testing.T) {
	c := needLoop(t)
	for _, s := range []shape{{malgo.FormatS16, 1, 44100}, {malgo.FormatS32, 2, 44100}, {malgo.FormatF32, 2, 48000}, {malgo.FormatS32, 2, 48000}, {malgo.FormatS16, 2, 16000}, {malgo.FormatS32, 2, 96000}} {
		t.Run(fmt.Sprint(formatNames[s.format], s.rate, s.channels), func(t *testing.T) {
			c.mu.Lock()
			ctx, err := c.context()
			c.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			cfg := malgo.DefaultDeviceConfig(malgo.Capture)
			cfg.SampleRate, cfg.Capture.Format, cfg.Capture.Channels = uint32(s.rate), s.format, uint32(s.channels)
			var heard recorder
			in := newIntake(s)
			other, err := initDevice(ctx, cfg, "hw:Ear,1", malgo.DeviceCallbacks{Data: func(_, b []byte, _ uint32) { heard.get(in.take(b)) }})
			if err != nil {
				t.Fatal(err)
			}
			defer other.Uninit()
			if err := other.Start(); err != nil {
				t.Fatal(err)
			}
			stream, err := c.Speaker("Ear").Open(new(toner).fill, failed(t))
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			best := wholeTone(heard.wait(t, 2*Rate))
			g := stream.(granter).Granted()
			t.Logf("%+v: %.1f dB", g, best)
			if g.Rate != s.rate || best < 60 {
				t.Errorf("%+v: %.1f dB, want %d Hz and 60 dB", g, best, s.rate)
			}
		})
	}
}

// A driver's thread that comes late loses sound, which is counted, and goes on.
func TestXruns(t *testing.T) {
	c := needLoop(t)
	var heard recorder
	var stall sync.Mutex
	speaker, err := c.Speaker("Ear").Open(func(pcm []int16) { stall.Lock(); clear(pcm); stall.Unlock() }, failed(t))
	if err != nil {
		t.Fatal(err)
	}
	defer speaker.Close()
	mic, err := c.Microphone("Ear,1").Open(func(pcm []int16) { stall.Lock(); heard.get(pcm); stall.Unlock() }, failed(t))
	if err != nil {
		t.Fatal(err)
	}
	defer mic.Close()
	heard.wait(t, Rate)
	before := [2]DeviceStats{mic.(granter).Granted(), speaker.(granter).Granted()}
	stall.Lock()
	time.Sleep(500 * time.Millisecond)
	stall.Unlock()
	heard.wait(t, Rate)
	after := [2]DeviceStats{mic.(granter).Granted(), speaker.(granter).Granted()}
	t.Logf("microphone and speaker before %+v, after %+v", before, after)
	for i := range after {
		if after[i].Xruns <= before[i].Xruns || after[i].Frames <= before[i].Frames+Rate/2 {
			t.Errorf("before %+v, after %+v: want it to stumble and go on", before[i], after[i])
		}
	}
}

// A card is unplugged and plugged in again.
func TestUnplugged(t *testing.T) {
	c := needLoop(t)
	const driver, name = "/sys/bus/platform/drivers/snd_aloop", "snd_aloop.1"
	if _, err := os.Stat(driver + "/" + name); err != nil {
		t.Skip(err)
	}
	mic := NewMicrophone(c.Microphone("Loud,1"), quietly)
	var mu sync.Mutex
	packets := 0
	stop := mic.Follow(func(Packet) { mu.Lock(); packets++; mu.Unlock() })
	defer stop()
	speaker := NewSpeaker(c.Speaker("Loud"), quietly)
	v := speaker.Play()
	defer v.Close()
	more := func() {
		t.Helper()
		mu.Lock()
		before := packets
		mu.Unlock()
		for end := time.Now().Add(40 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			mu.Lock()
			n := packets
			mu.Unlock()
			if n > before+50 {
				return
			}
			if time.Now().After(end) {
				state, err := mic.State()
				t.Fatalf("no sound: %s, %v", state, err)
			}
		}
	}
	more()
	write := func(file string) <-chan error {
		done := make(chan error, 1)
		go func() { done <- os.WriteFile(driver+"/"+file, []byte(name), 0) }()
		return done
	}
	ended := func(what string, done <-chan error) {
		t.Helper()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(30 * time.Second):
			a, errA := mic.State()
			b, errB := speaker.State()
			t.Fatalf("%s does not end: %v %v, %v %v", what, a, errA, b, errB)
		}
	}
	// It ends when all who use the card have let go.
	ended("unbind", write("unbind"))
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		a, errA := mic.State()
		b, errB := speaker.State()
		if a == "failed" && b == "failed" {
			t.Log(errA, errB)
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the microphone is %s, the speaker %s", a, b)
		}
	}
	ended("bind", write("bind"))
	more()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if s, _ := speaker.State(); s == "running" {
			break
		} else if time.Now().After(end) {
			t.Fatalf("the speaker is %s", s)
		}
	}
	t.Logf("%+v %+v", mic.Device(), speaker.Device())
}

// noted is a device that notes when it is called.
type noted struct {
	PlaybackDevice
	mu          sync.Mutex
	first, last time.Time
}

func (n *noted) Open(fill func([]int16), stopped func(error)) (Stream, error) {
	n.mu.Lock()
	n.first, n.last = time.Time{}, time.Time{}
	n.mu.Unlock()
	return n.PlaybackDevice.Open(func(pcm []int16) {
		fill(pcm)
		n.mu.Lock()
		defer n.mu.Unlock()
		n.last = time.Now()
		if n.first.IsZero() {
			n.first = n.last
		}
	}, stopped)
}

// Between one speaker and the other hardly anything is lost.
func TestHandsFree(t *testing.T) {
	c := needLoop(t)
	ear, loud := &noted{PlaybackDevice: c.Speaker("Ear")}, &noted{PlaybackDevice: c.Speaker("Loud")}
	s := NewSpeaker(ear, quietly)
	v := s.Play()
	defer v.Close()
	runs := func(n *noted) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			n.mu.Lock()
			ago := n.last.Sub(n.first)
			n.mu.Unlock()
			if ago > 200*time.Millisecond {
				return
			}
			if time.Now().After(end) {
				t.Fatal("it does not play")
			}
		}
	}
	runs(ear)
	from, to := ear, loud
	for range 4 {
		s.Select(to)
		runs(to)
		from.mu.Lock()
		to.mu.Lock()
		gap := to.first.Sub(from.last)
		to.mu.Unlock()
		from.mu.Unlock()
		t.Logf("%v", gap)
		if gap > 100*time.Millisecond {
			t.Errorf("nothing was played for %v", gap)
		}
		from, to = to, from
	}
}
