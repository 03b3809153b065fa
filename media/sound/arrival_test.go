package sound

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// sender is a fake clock: packets of ours are pushed as a sender whose clock is off
// by ppm would send them, while blocks are read by the speaker's clock.
type sender struct {
	v       *Voice
	now     *int64
	packets [][]byte
	seq     uint16
	ppm     float64
	sent    float64 // samples by the sender's clock
	played  float64 // samples by the speaker's
	silent  bool
	block   []int16
}

// A packet after a pause that was no pause of the sender's is late: more is gathered.
func TestLatenessDelays(t *testing.T) {
	s := newSender(t, 0)
	for range 100 {
		s.step()
	}
	for range 20 { // the net stands still for 200 ms
		s.played += float64(blockSamples)
		*s.now = int64(s.played)
		s.v.read(s.block)
	}
	for range 10 {
		s.step()
	}
	if got := s.v.Stats().Target; got < 60*time.Millisecond {
		t.Errorf("%v are gathered, want 60 ms", got)
	}
	if s.v.arrivals.floor < minTarget+growth {
		t.Errorf("at least %d ms are gathered, want 60", s.v.arrivals.floor*1000/Rate)
	}
}

func newSender(t testing.TB, ppm float64) *sender {
	t.Helper()
	all := tone(t, 440, 60)
	v, now := testVoice(t)
	return &sender{v: v, now: now, packets: all[10:], ppm: ppm, block: make([]int16, blockSamples)}
}

// step passes 10 ms of the speaker's time and returns what is heard.
func (s *sender) step() []int16 {
	s.played += float64(blockSamples)
	*s.now = int64(s.played)
	for s.sent <= s.played*(1+s.ppm/1e6) {
		if !s.silent {
			s.v.Push(s.seq, uint32(s.sent), s.packets[int(s.seq)%len(s.packets)])
			s.seq++
		}
		s.sent += float64(frameSamples)
	}
	if !s.v.read(s.block) {
		clear(s.block)
	}
	return s.block
}

// For an hour a sender's clock runs off by 100 ppm, 360 ms in all, and the net is
// uneven: what waits neither grows nor runs dry.
func TestAnHourOfDrift(t *testing.T) {
	minutes := 60
	if testing.Short() || raceDetector {
		minutes = 6
	}
	for _, ppm := range []float64{100, -100} {
		t.Run(fmt.Sprintf("%+.0f", ppm), func(t *testing.T) {
			t.Parallel()
			v, now := testVoice(t)
			rng := rand.New(rand.NewPCG(1, 2))
			packets := tone(t, 440, 60)[10:]
			block := make([]int16, blockSamples)
			var late []arrival // by when they come
			silence, longest, most, least := 0, 0, 0, Rate
			sent := 0
			for i := range minutes * 60 * 100 {
				*now = int64(i * blockSamples)
				for at := 0.0; ; sent++ {
					at = float64(sent*frameSamples) / (1 + ppm/1e6)
					if at > float64(*now) {
						break
					}
					late = append(late, arrival{uint16(sent), uint32(sent * frameSamples), packets[sent%len(packets)], int(at) + rng.IntN(frameSamples)})
				}
				for len(late) > 0 && late[0].at <= int(*now) {
					v.Push(late[0].seq, late[0].stamp, late[0].data)
					late = late[1:]
				}
				v.read(block)
				if i < 500 {
					continue
				}
				if silence++; v.level > 20 {
					silence = 0
				}
				longest = max(longest, silence)
				most, least = max(most, v.buffered()), min(least, v.buffered())
			}
			st := v.Stats()
			t.Logf("%+v; %d to %d ms wait, the longest silence is %d ms", st, least*1000/Rate, most*1000/Rate, longest*10)
			if longest > 0 || st.Concealed > st.Total/1000 || most > 120*Rate/1000 {
				t.Errorf("%+v; %d ms of silence, up to %d ms wait", st, longest*10, most*1000/Rate)
			}
			if off := st.Level - st.Target; off < -10*time.Millisecond || off > 10*time.Millisecond {
				t.Errorf("the level is %v and the target %v", st.Level, st.Target)
			}
		})
	}
}

// The net loses 5 of 100 packets and delays the others by 0 to 40 ms: most of what is
// lost is recovered, little is made up, and no more is gathered than may be.
func TestBadNet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	packets := spoken(t, 60)
	var in []arrival
	for i, p := range packets {
		if rng.IntN(100) < 5 && i > 5 {
			continue
		}
		in = append(in, arrival{uint16(i), uint32(i * frameSamples), p, i*frameSamples + rng.IntN(40*Rate/1000)})
	}
	sortArrivals(in)
	v, now := testVoice(t)
	listen(v, now, in, 2*len(packets)-10)
	st := v.Stats()
	ratio := float64(st.Concealed) / float64(st.Total)
	t.Logf("%+v: %.1f %% made up", st, 100*ratio)
	if ratio > 0.05 || st.Recovered < st.Lost/2 || st.Lost < 100 || st.Late > uint64(len(packets)/50) {
		t.Errorf("%+v: %.1f %% made up", st, 100*ratio)
	}
	if st.Target < 45*time.Millisecond || st.Target > 80*time.Millisecond || st.Jitter < 5*time.Millisecond {
		t.Errorf("%+v", st)
	}
}

// spoken encodes seconds of something like it.
func spoken(t testing.TB, seconds int) (out [][]byte) {
	t.Helper()
	enc, err := newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	defer enc.close()
	frame := make([]int16, frameSamples)
	voice := talk(1, float64(seconds), 120)
	for at := 0; at+frameSamples <= len(voice); at += frameSamples {
		for i := range frame {
			frame[i] = int16(voice[at+i])
		}
		p, err := enc.encode(frame)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// What is lost sounds more like what it was with the error correction than without.
func TestRecovered(t *testing.T) {
	packets := spoken(t, 10)
	hear := func(lose bool, strip bool) []int16 {
		var in []arrival
		for i, p := range packets {
			if lose && i%10 == 9 {
				continue
			}
			if strip && i%10 == 0 && i > 0 {
				continue
			}
			in = append(in, arrival{uint16(i), uint32(i * frameSamples), p, i * frameSamples})
		}
		v, now := testVoice(t)
		return listen(v, now, in, 2*len(packets))
	}
	whole, recovered := hear(false, false), hear(true, false)
	with := 0
	for _, p := range packets {
		if hasFEC(p) {
			with++
		}
	}
	var was, is []int16
	for i := 9; i+1 < len(packets); i += 10 {
		at := i*frameSamples + minTarget + 16
		was, is = append(was, whole[at:at+frameSamples]...), append(is, recovered[at:at+frameSamples]...)
	}
	t.Logf("%d of %d packets hold the one before; likeness %.2f", with, len(packets), likeness(was, is))
	if with < len(packets)/2 || likeness(was, is) < 0.8 {
		t.Errorf("%d of %d packets hold the one before; likeness %.2f", with, len(packets), likeness(was, is))
	}
}

// The more is lost, the more is sent against it.
func TestExpectLoss(t *testing.T) {
	count := func(percent int) (n int, all []byte) {
		enc, err := newEncoder()
		if err != nil {
			t.Fatal(err)
		}
		defer enc.close()
		if err := enc.expect(percent); err != nil {
			t.Fatal(err)
		}
		frame := make([]int16, frameSamples)
		voice := talk(1, 5, 120)
		for at := 0; at+frameSamples <= len(voice); at += frameSamples {
			for i := range frame {
				frame[i] = int16(voice[at+i])
			}
			p, err := enc.encode(frame)
			if err != nil {
				t.Fatal(err)
			}
			if hasFEC(p) {
				n++
			}
			all = append(all, p...)
		}
		return n, all
	}
	few, a := count(0)
	many, b := count(20)
	if bytes.Equal(a, b) {
		t.Error("the loss changes nothing")
	}
	t.Logf("error correction in %d packets of 250 at little loss, in %d at 20 %%", few, many)
	if many < 150 || many < few {
		t.Errorf("error correction in %d packets of 250 at little loss, in %d at 20 %%", few, many)
	}
}

// What comes waits for what was gathered before it, and for the speaker's driver.
func TestWait(t *testing.T) {
	s := newSender(t, 0)
	if d := s.v.Wait(); d != 0 {
		t.Errorf("%v before anything came", d)
	}
	for range 200 {
		s.step()
	}
	s.v.lead.Store(int64(50 * time.Millisecond))
	if d := s.v.Wait(); d < 85*time.Millisecond || d > 115*time.Millisecond {
		t.Errorf("%v, with 50 ms in the driver", d)
	}
	s.v.mu.Lock()
	s.v.pacer.level = Rate / 5 // after a jam
	s.v.mu.Unlock()
	if d := s.v.Wait(); d < 245*time.Millisecond || d > 255*time.Millisecond {
		t.Errorf("%v, with 200 ms that wait and 50 in the driver", d)
	}
	for range 100 {
		s.silent = true
		s.step()
	}
	if d := s.v.Wait(); d != 0 {
		t.Errorf("%v after all has ended", d)
	}
}

// A packet that comes after its time is counted, and not as lost.
func TestTooLate(t *testing.T) {
	s := newSender(t, 0)
	for i := range 100 {
		s.step()
		if s.seq == 20 {
			s.seq++ // it is held up on its way,
		}
		if i == 80 { // and comes when it is long over
			s.v.Push(20, 20*uint32(frameSamples), s.packets[20])
			s.v.Push(20, 20*uint32(frameSamples), s.packets[20])
		}
	}
	if st := s.v.Stats(); st.Late != 1 || st.Twice != 1 || st.Lost != 0 {
		t.Errorf("%+v: want one late, one that came twice", st)
	}
}

// More is gathered soon after the net has become uneven, and less again after it is
// even for a while.
func TestTargetFollowsJitter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	packets := tone(t, 440, 60)[10:]
	v, now := testVoice(t)
	block := make([]int16, blockSamples)
	var late []arrival
	most := time.Duration(0)
	for i := range 120 * 100 {
		*now = int64(i * blockSamples)
		if i%2 == 0 {
			spread := 5
			if i > 1000 && i < 3000 {
				spread = 90
			}
			n := i / 2
			late = append(late, arrival{uint16(n), uint32(n * frameSamples), packets[n%len(packets)], int(*now) + rng.IntN(spread)*Rate/1000})
			sortArrivals(late)
		}
		for len(late) > 0 && late[0].at <= int(*now) {
			v.Push(late[0].seq, late[0].stamp, late[0].data)
			late = late[1:]
		}
		v.read(block)
		st := v.Stats()
		most = max(most, st.Level)
		switch {
		case i == 990 && st.Target > 50*time.Millisecond, i == 1300 && st.Target < 70*time.Millisecond,
			i == 2990 && (st.Target < 90*time.Millisecond || st.Level < 80*time.Millisecond):
			t.Errorf("after %d s: %+v", i/100, st)
		}
	}
	st := v.Stats()
	t.Logf("%+v, %v at most", st, most)
	if st.Target > 50*time.Millisecond || st.Level > 60*time.Millisecond || most > 140*time.Millisecond {
		t.Errorf("%+v, %v at most", st, most)
	}
}

// After an outage a voice is heard again at once, and as soon after it was spoken as
// before: what was sent meanwhile may be lost, or come all at once.
func TestOutage(t *testing.T) {
	for _, c := range []struct {
		seconds int
		kept    bool
	}{{10, false}, {10, true}, {2, true}, {30, false}, {30, true}} {
		packets := tone(t, 440, 60)[10:]
		v, now := testVoice(t)
		block := make([]int16, blockSamples)
		from := 10 * 100
		to := from + c.seconds*100
		silent, heard := 0, false
		for i := range to + 2000 {
			*now = int64(i * blockSamples)
			for n := i / 2; i%2 == 0; n++ {
				if i >= from && i < to {
					break
				}
				if i == to && c.kept { // those of the outage
					for k := from / 2; k < n; k++ {
						v.Push(uint16(k), uint32(k*frameSamples), packets[k%len(packets)])
					}
				}
				v.Push(uint16(n), uint32(n*frameSamples), packets[n%len(packets)])
				break
			}
			v.read(block)
			if i >= to && !heard {
				silent++
				heard = v.level > 20
			}
		}
		st := v.Stats()
		t.Logf("%d s, kept %t: heard %d ms after it; %+v, %d ms wait", c.seconds, c.kept, silent*10, st, v.buffered()*1000/Rate)
		if silent*10 > 300 {
			t.Errorf("%d s, kept %t: heard %d ms after it", c.seconds, c.kept, silent*10)
		}
		if st.Level > st.Target+20*time.Millisecond || st.Level < st.Target-20*time.Millisecond || st.Target > 120*time.Millisecond || v.buffered() > 200*Rate/1000 {
			t.Errorf("%d s, kept %t: %+v, %d ms wait", c.seconds, c.kept, st, v.buffered()*1000/Rate)
		}
	}
}

// Short pauses of the sender's are as long when they are heard.
func TestShortPauses(t *testing.T) {
	s := newSender(t, 0)
	for i := range 3000 {
		s.silent = i%40 < 2
		s.step()
	}
	st := s.v.Stats()
	t.Logf("%+v", st)
	if off := st.Level - st.Target; st.Lost > 0 || st.Concealed > 0 || st.Target > 50*time.Millisecond ||
		off < -5*time.Millisecond || off > 5*time.Millisecond || math.Abs(st.Rate-1) > 0.0005 {
		t.Errorf("%+v", st)
	}
}

// A sender that falls silent and sends nothing (DTX) is no jitter: its voice must
// not be delayed more after each pause.
func TestPausesDoNotDelay(t *testing.T) {
	s := newSender(t, 0)
	for range 40 {
		for i := range 300 {
			s.silent = i >= 150
			s.step()
		}
	}
	t.Logf("%+v, target %d ms", s.v.stats, s.v.arrivals.target()*1000/Rate)
	if s.v.arrivals.target() > 3*minTarget/2 {
		t.Errorf("after 40 pauses %d ms are gathered, want %d at most", s.v.arrivals.target()*1000/Rate, 60)
	}
}

func TestWrapReorderLoss(t *testing.T) {
	s := newSender(t, 0)
	s.seq = math.MaxUint16 - 20
	var held, count int
	quiet := 0
	for i := range 200 {
		*s.now += int64(blockSamples)
		if i%2 == 0 {
			n := s.seq
			count++
			stamp := uint32(count * frameSamples)
			p := s.packets[int(n)%len(s.packets)]
			s.seq++
			switch {
			case n%20 == 19: // 5 % are lost
			case n%10 == 4:
				held = int(n)
			default:
				s.v.Push(n, stamp, p)
				if held > 0 { // the one before comes after
					s.v.Push(uint16(held), stamp-uint32(frameSamples), s.packets[held%len(s.packets)])
					s.v.Push(uint16(held), stamp-uint32(frameSamples), s.packets[held%len(s.packets)])
					held = 0
				}
			}
		}
		if s.v.read(s.block); i > 20 && level(s.block) < 20 {
			quiet++
		}
	}
	st := s.v.stats
	t.Logf("%+v, quiet %d ms", st, quiet*10)
	if st.lost < 3 || st.lost > 8 || st.twice != 10 || st.late != 0 {
		t.Errorf("%+v: want about 5 lost and the twins known", st)
	}
	if quiet > 2 {
		t.Errorf("%d ms are not heard, want 20 at most", quiet*10)
	}
}

func FuzzPush(f *testing.F) {
	f.Add(uint16(65535), uint16(3), []byte{0xd8, 1, 2})
	f.Add(uint16(0), uint16(40000), []byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, a, b uint16, payload []byte) {
		v, now := testVoice(t)
		block := make([]int16, blockSamples)
		for i := range uint16(80) {
			*now += int64(len(payload)) * 100
			v.Push(a+i*b, uint32(a)*uint32(b), payload)
			v.Push(b-i, uint32(i), payload)
			if v.read(block); v.store.waiting < 0 || v.store.waiting > slots || v.play.length() > 2*maxPacket {
				t.Fatalf("%d packets wait, %d samples", v.store.waiting, v.play.length())
			}
		}
	})
}
