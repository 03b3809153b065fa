package peer

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
)

// simPath is a path in a simulation: packets go over it in a time that the test makes.
type simPath struct {
	rate   int // bit/s; 0: any
	queue  time.Duration
	delay  time.Duration
	jitter time.Duration
	loss   float64

	random *rand.Rand
	free   time.Time
}

// over tells when a packet sent now arrives; false: it does not.
func (p *simPath) over(size int, now time.Time) (time.Time, bool) {
	if p.random.Float64() < p.loss {
		return now, false
	}
	at := now
	if p.rate > 0 {
		if p.free.After(at) {
			at = p.free
		}
		if at.Sub(now) > p.queue {
			return now, false
		}
		at = at.Add(time.Duration(size*8) * time.Second / time.Duration(p.rate))
		p.free = at
	}
	return at.Add(p.delay + time.Duration((p.random.Float64()*2-1)*float64(p.jitter))), true
}

// trip is a sender, a path, and a receiver that reports, as pion's does.
type trip struct {
	t        *testing.T
	e        *estimator
	path     simPath
	now      time.Time
	began    time.Time
	seq      uint16
	recorder *twcc.Recorder
	arriving []arrival     // in order of time
	fill     float64       // part of the estimate that is sent
	step     time.Duration // that the clock was set by
	sent     int           // bytes
}

type arrival struct {
	at  time.Time
	seq uint16
}

func newTrip(t *testing.T) *trip {
	now := time.Now()
	return &trip{
		t: t, e: newEstimator(100_000, 2_000_000), now: now, began: now, recorder: twcc.NewRecorder(1), fill: 1,
		path: simPath{queue: 200 * time.Millisecond, delay: 20 * time.Millisecond, random: rand.New(rand.NewPCG(3, 4))},
	}
}

func (s *trip) send(size int) {
	s.e.note(s.seq, size-packetOverhead, stepped(s.t, s.now, s.step))
	s.sent += size
	if at, ok := s.path.over(size, s.now); ok {
		a := arrival{at, s.seq}
		i := len(s.arriving)
		for ; i > 0 && s.arriving[i-1].at.After(at); i-- {
		}
		s.arriving = append(s.arriving, arrival{})
		copy(s.arriving[i+1:], s.arriving[i:])
		s.arriving[i] = a
	}
	s.seq++
}

// pass has so much time pass: sound each 20 ms, pictures each 50 ms, a report each 100 ms. each, which may be nil, is called
// after each report.
func (s *trip) pass(d time.Duration, each func(target int)) {
	const step = 5 * time.Millisecond
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(step) {
		ms := s.now.Sub(s.began).Milliseconds()
		if ms%20 == 0 {
			s.send(150)
		}
		target, _ := s.e.target()
		if ms%50 == 0 {
			for left := int(s.fill * float64(target-60_000) / 8 / 20); left > 0; left -= 1200 {
				s.send(max(min(left, 1200), 100))
			}
		}
		if ms%100 != 0 {
			continue
		}
		for len(s.arriving) > 0 && !s.arriving[0].at.After(s.now) {
			s.recorder.Record(1, s.arriving[0].seq, s.arriving[0].at.Sub(s.began).Microseconds()+7_000_000) // another clock
			s.arriving = s.arriving[1:]
		}
		for _, p := range s.recorder.BuildFeedbackPacket() {
			b, err := p.Marshal()
			if err != nil {
				s.t.Fatal(err)
			}
			packets, err := rtcp.Unmarshal(b)
			if err != nil {
				s.t.Fatal(err)
			}
			s.e.report(packets[0].(*rtcp.TransportLayerCC), stepped(s.t, s.now.Add(s.path.delay), s.step))
		}
		if each != nil {
			target, _ := s.e.target()
			each(target)
		}
	}
}

// until tells how long it takes until is tells true of the target.
func (s *trip) until(d time.Duration, is func(int) bool) time.Duration {
	began, took := s.now, time.Duration(-1)
	s.pass(d, func(target int) {
		if took < 0 && is(target) {
			took = s.now.Sub(began)
		}
	})
	return took
}

func TestEstimateOfAWidePath(t *testing.T) {
	s := newTrip(t)
	took := s.until(20*time.Second, func(target int) bool { return target == 2_000_000 })
	t.Logf("at the most after %v", took)
	if took < 0 || took > 10*time.Second {
		t.Errorf("at the most after %v", took)
	}
}

// A camera that encodes as it likes shows what the path carries; and where it carries less, it is said.
func TestEstimateOfWhatIsSentAnyway(t *testing.T) {
	s := newTrip(t)
	s.fill = 2.2
	took := s.until(3*time.Second, func(target int) bool { return target > 1_500_000 })
	t.Logf("1.5 Mbit/s after %v", took)
	if took < 0 || took > 2*time.Second {
		t.Errorf("1.5 Mbit/s after %v", took)
	}
	s = newTrip(t)
	s.fill, s.path.rate = 2.2, 700_000
	s.pass(3*time.Second, nil)
	most := 0
	s.pass(10*time.Second, func(target int) { most = max(most, target) })
	if most > 700_000 {
		t.Errorf("%d bit/s of a path that carries 700000", most)
	}
}

// Jitter and the loss of radio are no sign of a path that is full.
func TestEstimateIsSteady(t *testing.T) {
	for name, p := range map[string]simPath{
		"5 % loss":                  {loss: 0.05, delay: 20 * time.Millisecond},
		"20 ms jitter":              {jitter: 20 * time.Millisecond, delay: 50 * time.Millisecond},
		"sound alone, 30 ms jitter": {jitter: 30 * time.Millisecond, delay: 50 * time.Millisecond},
		"5 %, 50 ms ± 20 ms":        {loss: 0.05, jitter: 20 * time.Millisecond, delay: 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTrip(t)
			p.random = s.path.random
			s.path = p
			if name == "sound alone, 30 ms jitter" {
				s.fill = 0
			}
			s.pass(30*time.Second, nil)
			least := 1 << 30
			s.pass(30*time.Second, func(target int) { least = min(least, target) })
			t.Logf("at least %d bit/s, loss %.3f, queue %v", least, s.e.loss(), s.e.standing())
			if least < 1_000_000 {
				t.Errorf("down to %d bit/s", least)
			}
			if p.loss > 0 && (s.e.loss() < 0.01 || s.e.loss() > 0.12) {
				t.Errorf("the loss is %.3f", s.e.loss())
			}
		})
	}
}

func TestEstimateOfANarrowPath(t *testing.T) {
	for name, jitter := range map[string]time.Duration{"even": 0, "20 ms jitter": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			s := newTrip(t)
			s.path.delay, s.path.jitter = 50*time.Millisecond, jitter
			s.pass(20*time.Second, nil)
			s.path.rate = 300_000
			down := s.until(5*time.Second, func(target int) bool { return target < 300_000 })
			sum, n, least, most := 0, 0, 1<<30, 0
			s.pass(40*time.Second, func(target int) {
				sum, n = sum+target, n+1
				least, most = min(least, target), max(most, target)
			})
			t.Logf("under 300 kbit/s after %v, then %d on average, %d to %d", down, sum/n, least, most)
			if down < 0 || down > 2*time.Second {
				t.Errorf("under 300 kbit/s after %v", down)
			}
			if mean := sum / n; mean < 180_000 || mean > 310_000 {
				t.Errorf("%d bit/s on average", mean)
			}
			s.path.rate = 0
			up := s.until(20*time.Second, func(target int) bool { return target > 1_800_000 })
			t.Logf("back up after %v", up)
			if up < 0 {
				t.Error("not back up in 20 s")
			}
		})
	}
}

// A longer path is not taken for a full one for ever.
func TestEstimateOfAnotherPath(t *testing.T) {
	s := newTrip(t)
	s.pass(20*time.Second, nil)
	s.path.delay += 100 * time.Millisecond
	s.pass(30*time.Second, nil)
	target, _ := s.e.target()
	if target < 1_000_000 {
		t.Errorf("%d bit/s over a path that is longer", target)
	}
	s.path.delay += 30 * time.Millisecond
	s.e.moved(s.now)
	if target, _ := s.e.target(); target > startBitrate {
		t.Errorf("%d bit/s over a path that is not known", target)
	}
	if took := s.until(20*time.Second, func(target int) bool { return target > 1_800_000 }); took < 0 {
		t.Error("not up in 20 s over another path")
	}
}

// One who gets sound alone is soon known to be fast again.
func TestEstimateWhileIdle(t *testing.T) {
	s := newTrip(t)
	s.pass(5*time.Second, nil)
	s.path.rate = 80_000
	s.pass(10*time.Second, nil)
	s.fill = 0
	s.e.setIdle(true)
	s.pass(5*time.Second, nil)
	s.path.rate = 0
	s.e.lower(floorBitrate, s.now)
	took := s.until(30*time.Second, func(target int) bool { return target >= 350_000 })
	t.Logf("350 kbit/s after %v", took)
	if took < 0 || took > 12*time.Second {
		t.Errorf("350 kbit/s after %v", took)
	}
}

// What is not used may be used: pictures that need little do not lower the estimate.
func TestEstimateOfFewPackets(t *testing.T) {
	s := newTrip(t)
	s.fill = 0.05
	s.pass(60*time.Second, nil)
	if target, _ := s.e.target(); target < 1_500_000 {
		t.Errorf("%d bit/s", target)
	}
}

// A far end that reports nothing, as it cannot, is judged by its receiver reports.
func TestEstimateByReceiverReports(t *testing.T) {
	e := newEstimator(100_000, 1_000_000)
	now := time.Unix(1, 0)
	for range 10 {
		now = now.Add(time.Second)
		e.reported(0.3, now)
	}
	low, _ := e.target()
	for range 60 {
		now = now.Add(time.Second)
		e.reported(0, now)
	}
	if high, _ := e.target(); low > 300_000 || high != 1_000_000 {
		t.Errorf("%d at 30 %% loss, and %d without", low, high)
	}
}

// FuzzReports: whatever a far end says in RTCP.
func FuzzReports(f *testing.F) {
	r := twcc.NewRecorder(1)
	for i := range uint16(40) {
		if i%7 != 0 {
			r.Record(1, i, int64(i)*3000)
		}
	}
	for _, p := range r.BuildFeedbackPacket() {
		if b, err := p.Marshal(); err == nil {
			f.Add(b)
		}
	}
	for _, p := range []rtcp.Packet{
		&rtcp.TransportLayerNack{MediaSSRC: 5, Nacks: []rtcp.NackPair{{PacketID: 3, LostPackets: 0xffff}}},
		&rtcp.PictureLossIndication{MediaSSRC: 5},
		&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: 5, FractionLost: 200, LastSenderReport: 7, Delay: 9, Jitter: 1 << 31}}},
		&rtcp.SenderReport{Reports: []rtcp.ReceptionReport{{SSRC: 5, FractionLost: 2, LastSenderReport: 1 << 31}}},
	} {
		if b, err := p.Marshal(); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w := newWire(100_000, 1_000_000)
		w.kinds[5] = Video
		now := time.Unix(1000, 0)
		for i := range uint16(100) {
			w.estimate.note(i, 1000, now)
			now = now.Add(10 * time.Millisecond)
		}
		for range 3 {
			packets, err := rtcp.Unmarshal(b)
			if err != nil {
				return
			}
			now = now.Add(100 * time.Millisecond)
			w.heard(packets, now)
		}
		target, free := w.estimate.target()
		if target < 100_000 || target > 1_000_000 || free < floorBitrate {
			t.Errorf("a target of %d, %d", target, free)
		}
		if l := w.estimate.loss(); l < 0 || l > 1 {
			t.Errorf("a loss of %f", l)
		}
		if w.measuredRoundTrip() < 0 {
			t.Error("a round trip that is negative")
		}
	})
}
