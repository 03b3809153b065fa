package device

import (
	"testing"
	"time"
)

// TestTimesOfCertificates: what the hub said once is not the only measure.
func TestTimesOfCertificates(t *testing.T) {
	right, ahead, none := built.AddDate(1, 0, 0), built.AddDate(20, 0, 0), time.Unix(100, 0)
	for name, c := range map[string]struct {
		board, remembered, told time.Time
		want                    []time.Time
	}{
		"a new board":                           {board: right, want: []time.Time{right, right}},
		"a new board without a clock":           {board: none, want: []time.Time{built}},
		"the hub's clock was ahead, once":       {board: right, remembered: ahead, want: []time.Time{ahead, right}},
		"the hub's clock is ahead":              {board: right, told: ahead, want: []time.Time{ahead, right}},
		"a board without a clock goes by a hub": {board: none, remembered: right, want: []time.Time{right}},
	} {
		clock := hubClock{board: func() time.Time { return c.board }, earliest: c.remembered}
		if !c.told.IsZero() {
			clock.tell(c.told.UnixMilli())
		}
		got := clock.certificates()
		if len(got) != len(c.want) {
			t.Error(name, got)
			continue
		}
		for i, want := range c.want {
			if d := got[i].Sub(want); d < 0 || d > time.Minute {
				t.Error(name, got)
			}
		}
	}
}
