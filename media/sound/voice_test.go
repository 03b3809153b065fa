package sound

import "testing"

// What was never counted as lost is not taken off when it comes after all.
func TestLostIsNeverLessThanNone(t *testing.T) {
	packets := tone(t, 440, 80)
	v, now := testVoice(t)
	push := func(n int) { v.Push(uint16(n), uint32(n*frameSamples), packets[n]) }
	block := make([]int16, blockSamples)
	push(0)
	push(slots) // before the first is heard: it has to go
	for range 100 {
		*now += int64(blockSamples)
		v.read(block)
	}
	if st := v.Stats(); st.Lost != slots-1 || st.Late != 1 {
		t.Errorf("%+v: want %d lost", st, slots-1)
	}
	for n := 1; n < slots; n++ {
		push(n)
	}
	if st := v.Stats(); st.Lost != 0 || st.Late != slots {
		t.Errorf("%+v: want all of them late", st)
	}
}

// A packet that comes too late does not hide that the next one was late as well.
func TestLateTwice(t *testing.T) {
	s := newSender(t, 0)
	for range 100 {
		s.step()
	}
	lost := s.seq
	s.seq++ // it is held up, and heard as lost
	s.sent += float64(frameSamples)
	for range 20 {
		s.step()
	}
	if s.v.stats.lost != 1 {
		t.Fatalf("%+v", s.v.stats)
	}
	for range 20 { // nothing comes for 200 ms,
		s.played += float64(blockSamples)
		*s.now = int64(s.played)
		s.v.read(s.block)
	}
	before := s.v.arrivals.floor
	s.v.Push(lost, uint32(lost)*uint32(frameSamples), s.packets[int(lost)%len(s.packets)]) // then all at once
	s.step()
	if st := s.v.stats; s.v.arrivals.floor <= before || st.lost != 0 || st.concealed < uint64(150*Rate/1000) {
		t.Errorf("at least %d samples are gathered, %d before; %+v", s.v.arrivals.floor, before, st)
	}
}
