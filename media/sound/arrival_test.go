package sound

import (
	"math"
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

// A sender's clock that runs off by 200 ppm for 30 minutes: 360 ms in all.
func TestDrift(t *testing.T) {
	for _, ppm := range []float64{200, -200, 0} {
		s := newSender(t, ppm)
		longest, run, most := 0, 0, 0
		for i := range 30 * 60 * 100 {
			b := s.step()
			if i < 100 {
				continue
			}
			run++
			if level(b) > 20 {
				run = 0
			}
			longest = max(longest, run)
			most = max(most, s.v.buffered())
		}
		t.Logf("%+.0f ppm: %+v, most %d ms, target %d ms, longest silence %d ms", ppm, s.v.stats, most*1000/Rate, s.v.arrivals.target()*1000/Rate, longest*10)
		if longest*10 > 40 {
			t.Errorf("%+.0f ppm: %d ms of silence, want no more than 40", ppm, longest*10)
		}
		if c := s.v.stats.concealed; c > 0 {
			t.Errorf("%+.0f ppm: %v were made up, want none: nothing was lost", ppm, c)
		}
		if most > 120*Rate/1000 {
			t.Errorf("%+.0f ppm: %d ms wait, want no more than 120", ppm, most*1000/Rate)
		}
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
	var held int
	quiet := 0
	for i := range 200 {
		*s.now += int64(blockSamples)
		if i%2 == 0 {
			n := s.seq
			p := s.packets[int(n)%len(s.packets)]
			s.seq++
			switch {
			case n%20 == 19: // 5 % are lost
			case n%10 == 4:
				held = int(n)
			default:
				s.v.Push(n, uint32(n)*960, p)
				if held > 0 { // the one before comes after
					s.v.Push(uint16(held), uint32(held)*960, s.packets[held%len(s.packets)])
					s.v.Push(uint16(held), uint32(held)*960, s.packets[held%len(s.packets)])
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
	if st.lost < 3 || st.lost > 8 || st.late == 0 {
		t.Errorf("%+v: want about 5 lost and the twins late", st)
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
