package calls

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/herald-im/herald/media"
	"github.com/herald-im/herald/media/peer"
	"github.com/herald-im/herald/test/rig"
)

// usual is a terminal as boards are configured, at a format that this machine's share of a processor can encode twice.
var usual = terminalConfig{Width: 640, Height: 480, Rate: 20, Bitrate: 1_000_000, MinBitrate: 100_000}

// pair is two terminals at the ends of a cable.
func pair(t *testing.T, c terminalConfig) (a, b *terminal, cable *rig.Cable) {
	t.Helper()
	n := rig.NewNetwork(t)
	n.Space("a")
	n.Space("b")
	cable = n.Cable("a", "eth0", "b", "eth0")
	n.In("a", "ip addr add 10.76.0.1/24 dev eth0")
	n.In("b", "ip addr add 10.76.0.2/24 dev eth0")
	a, b = startTerminal(t, n, "a", c), startTerminal(t, n, "b", c)
	join(a, 0, b, 0)
	return a, b, cable
}

// Radio that loses and delays: the picture stays, and is back soon after each burst.
func TestLossAndJitter(t *testing.T) {
	a, b, cable := pair(t, usual)
	weather := rig.Fault{Loss: 0.05, Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond}
	cable.Set(weather)
	time.Sleep(5 * time.Second) // it is weather, and not an event
	before := b.now(0)
	began := time.Now()
	frozen := time.Duration(0)
	for time.Since(began) < 10*time.Second {
		s := b.now(0)
		frozen = max(frozen, s.Received[peer.Video].Since)
		time.Sleep(20 * time.Millisecond)
	}
	after := b.now(0)
	got, had := after.Received[peer.Video], before.Received[peer.Video]
	t.Logf("in 10 s %d pictures that can be decoded, the longest pause %v; target %d bit/s, loss %.3f, queue %v, round trip %v, jitter %v",
		got.Pictures-had.Pictures, frozen.Round(time.Millisecond), after.Target, after.Loss, after.Queue, after.RoundTrip, got.Jitter)
	t.Logf("asked again for packets %d times, for key frames %d times; %+v", after.NacksSent-before.NacksSent, after.PLIsSent-before.PLIsSent, a.now(0).Sent[peer.Video])
	concealed := float64(after.Voice.Concealed-before.Voice.Concealed) / float64(max(after.Voice.Total-before.Voice.Total, 1))
	t.Logf("%.1f %% of the sound had to be made up", concealed*100)
	if concealed > 0.10 {
		t.Errorf("%.1f %% of the sound had to be made up; %+v", concealed*100, after.Voice)
	}
	if frozen > 2*time.Second {
		t.Errorf("no picture for %v", frozen)
	}
	if got.Pictures-had.Pictures < 50 {
		t.Errorf("%d pictures in 10 s", got.Pictures-had.Pictures)
	}
	if after.Target < usual.Bitrate/3 {
		t.Errorf("jitter and some loss have brought the estimate down to %d", after.Target)
	}
	if after.Loss < 0.01 || after.NacksSent == 0 {
		t.Errorf("loss is not seen: %+v", after)
	}
	for _, burst := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, 800 * time.Millisecond} {
		cable.Set(rig.Fault{Cut: true})
		time.Sleep(burst)
		cable.Set(weather)
		over := time.Now()
		at := b.now(0).Received[peer.Video].Pictures
		// One that was under way does not count, nor what came before.
		b.until(0, "seeing again", func(s media.LinkStats) bool {
			return s.Received[peer.Video].Pictures > at+2 && time.Since(over) > s.Received[peer.Video].Since
		})
		took := time.Since(over)
		t.Logf("a picture %v after a burst of %v", took.Round(time.Millisecond), burst)
		if took > 2*time.Second {
			t.Errorf("no picture for %v after a burst of %v", took, burst)
		}
		time.Sleep(2 * time.Second)
	}
	cable.Set(rig.Fault{})
	time.Sleep(5 * time.Second)
	for _, x := range []*terminal{a, b} {
		s := x.now(0).Received
		apart := s[peer.Video].Lag - s[peer.Audio].Lag
		t.Logf("%s: pictures and sound are %v further apart than they began", x.name, apart.Round(time.Millisecond))
		if apart.Abs() > 80*time.Millisecond {
			t.Errorf("%s: pictures lag by %v, sound by %v", x.name, s[peer.Video].Lag, s[peer.Audio].Lag)
		}
	}
}

// A link that becomes narrow is not flooded, and is used again when it is wide.
func TestNarrowLink(t *testing.T) {
	a, b, cable := pair(t, usual)
	rate := func(d time.Duration) (offered, carried float64) {
		o, c, at := cable.Offered()[0], cable.Carried()[0], time.Now()
		time.Sleep(d)
		s := time.Since(at).Seconds()
		return float64(cable.Offered()[0]-o) * 8 / s, float64(cable.Carried()[0]-c) * 8 / s
	}
	a.until(0, "at its bitrate", func(s media.LinkStats) bool { return s.Target >= usual.Bitrate })
	time.Sleep(2 * time.Second)
	full, _ := rate(4 * time.Second)
	const narrow = 300_000
	cable.Set(rig.Fault{Rate: narrow, Delay: 20 * time.Millisecond})
	cut := time.Now()
	under := time.Duration(0)
	for i := range 40 {
		offered, carried := rate(500 * time.Millisecond)
		s := a.now(0)
		if i%6 == 5 {
			t.Logf("%v: %.0f bit/s sent, %.0f arrive; target %d, queue %v, loss %.2f, %d NACKs, %d sent again, %d not, %d PLIs, last seen %v, %+v",
				time.Since(cut).Round(100*time.Millisecond), offered, carried, s.Target, s.Queue.Round(time.Millisecond), s.Loss, s.NacksReceived, s.Resent, s.Unsent, s.PLIsReceived, b.now(0).Received[peer.Video].Since.Round(time.Millisecond), s.Encoding)
		}
		if under == 0 && s.Target < narrow && offered < narrow {
			under = time.Since(cut)
		}
		if time.Since(cut) > 15*time.Second {
			break
		}
	}
	t.Logf("from %.0f bit/s under %d bit/s after %v", full, narrow, under.Round(100*time.Millisecond))
	if under == 0 || under > 6*time.Second {
		t.Errorf("under the link's bitrate after %v", under)
	}
	over, _ := rate(5 * time.Second)
	if over > narrow*1.15 {
		t.Errorf("%.0f bit/s into a link of %d", over, narrow)
	}
	cable.Set(rig.Fault{})
	lifted := time.Now()
	s := a.until(0, "up again", func(s media.LinkStats) bool { return s.Target >= usual.Bitrate*9/10 })
	back := time.Since(lifted)
	t.Logf("back at %d bit/s after %v, pictures of %d×%d", s.Target, back.Round(100*time.Millisecond), s.Encoding.Width, s.Encoding.Height)
	if back > 40*time.Second {
		t.Errorf("back up after %v", back)
	}
	again, _ := rate(4 * time.Second)
	t.Logf("%.0f bit/s before, and %.0f again", full, again)
}

// A terminal whose address changes has another path, with pictures both ways, at once.
func TestAddressChangesAtOnce(t *testing.T) {
	n := rig.NewNetwork(t)
	n.Space("a")
	n.Space("b")
	n.Cable("a", "eth0", "b", "eth0")
	n.In("a", "ip addr add 10.76.0.1/24 dev eth0")
	n.In("b", "ip addr add 10.76.0.2/24 dev eth0")
	a, b := startTerminal(t, n, "a", usual), startTerminal(t, n, "b", usual)
	join(a, 0, b, 0)
	for i, address := range []string{"10.76.0.11", "10.76.0.12", "10.76.0.13"} {
		before := a.networkChanges()
		n.In("a", "ip addr flush dev eth0")
		n.In("a", "ip addr add "+address+"/24 dev eth0")
		changed := time.Now()
		for a.networkChanges() == before {
			time.Sleep(10 * time.Millisecond)
			if time.Since(changed) > patience {
				t.Fatal("the change is not noticed")
			}
		}
		noticed := time.Since(changed)
		a.say(word{Kind: "restart"})
		var pictures [2]uint64
		for i, x := range []*terminal{a, b} {
			s := x.until(0, "on the new path", func(s media.LinkStats) bool {
				return s.Path != nil && (s.Path.Local == address || strings.HasPrefix(s.Path.Local, address+":") || strings.HasPrefix(s.Path.Remote, address+":"))
			})
			pictures[i] = s.Received[peer.Video].Pictures
		}
		for i, x := range []*terminal{a, b} {
			x.until(0, "seeing over the new path", func(s media.LinkStats) bool { return s.Received[peer.Video].Pictures > pictures[i]+2 })
		}
		took := time.Since(changed)
		t.Logf("%d: noticed after %v, pictures over the new path both ways after %v", i, noticed.Round(time.Millisecond), took.Round(time.Millisecond))
		if took > 6*time.Second {
			t.Errorf("pictures over the new path after %v", took)
		}
	}
}

// Of several who share an encoder, one on a link that is far slower than the others' gets sound alone, and holds nobody;
// its pictures come back.
func TestSlowestGetsSoundAlone(t *testing.T) {
	n := rig.NewNetwork(t)
	n.Space("a")
	cables := map[string]*rig.Cable{}
	terminals := map[string]*terminal{}
	few := usual
	few.Rate, few.Links = 15, 2
	for i, name := range []string{"b", "c"} {
		n.Space(name)
		end := "eth" + name
		cables[name] = n.Cable("a", end, name, "eth0")
		n.In("a", fmt.Sprintf("ip addr add 10.76.%d.1/24 dev %s", i, end))
		n.In(name, fmt.Sprintf("ip addr add 10.76.%d.2/24 dev eth0", i))
	}
	a := startTerminal(t, n, "a", few)
	few.Links = 1
	for i, name := range []string{"b", "c"} {
		terminals[name] = startTerminal(t, n, name, few)
		join(a, i, terminals[name], 0)
	}
	a.until(1, "at its bitrate", func(s media.LinkStats) bool { return s.Target >= usual.Bitrate })
	cables["c"].Set(rig.Fault{Rate: 90_000})
	slow := time.Now()
	a.until(1, "paused", func(s media.LinkStats) bool { return s.Sent[peer.Video].Paused })
	t.Logf("sound alone after %v; %+v", time.Since(slow).Round(10*time.Millisecond), a.now(1).Sent[peer.Video])
	b, c := terminals["b"], terminals["c"]
	a.until(0, "at its bitrate again", func(s media.LinkStats) bool { return s.Encoding.Bitrate > usual.Bitrate/2 })
	seen, heard := b.now(0).Received[peer.Video].Pictures, c.now(0).Received[peer.Audio].Packets
	time.Sleep(3 * time.Second)
	if s := b.now(0); s.Received[peer.Video].Pictures < seen+20 {
		t.Errorf("the fast one got %d pictures in 3 s", s.Received[peer.Video].Pictures-seen)
	}
	if got := c.now(0).Received[peer.Audio].Packets - heard; got < 75 {
		t.Errorf("the slow one got %d packets of sound in 3 s", got)
	}
	seen = c.now(0).Received[peer.Video].Pictures
	cables["c"].Set(rig.Fault{})
	lifted := time.Now()
	c.until(0, "seeing again", func(s media.LinkStats) bool { return s.Received[peer.Video].Pictures > seen+5 })
	t.Logf("pictures again %v after its link is fast", time.Since(lifted).Round(10*time.Millisecond))
}
