package hub

import (
	"context"
	"errors"
	"testing"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// TestRateOfALostTransaction: messages whose transaction is lost and run again count
// once, or what waits while a database fails would be refused when it is back.
func TestRateOfALostTransaction(t *testing.T) {
	r := newRig(t, sqlite(t), func(c *Config) { c.GroupRate = 4 })
	ann := r.online("ann", "t")
	ann.mustCall("im.createGroup", create("g", protocol.GroupPublic))
	var p *planner
	if err := r.act(func(_ context.Context, c Caller) error { p = c.plan; return nil }); err != nil {
		t.Fatal(err)
	}
	// The writer is idle: the test takes its place.
	r.settle()
	lost := errors.New("lost")
	for range 3 {
		err := r.store.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			p.begin(r.cfg.Now())
			for i := range waitedBurst + 4 {
				it := item{Item: toGroup("g", "x")}
				it.Waited = i < waitedBurst
				_, refusal, err := p.speaker(ctx, tx, "ann", &it)
				if refusal != nil || err != nil {
					t.Fatal(i, refusal, err)
				}
			}
			return lost
		})
		if !errors.Is(err, lost) {
			t.Fatal(err)
		}
		p.rollback()
	}
	for i, a := range ann.append(toGroup("g", "1"), toGroup("g", "2"), toGroup("g", "3"), toGroup("g", "4"), toGroup("g", "5")) {
		if (a.Code != 0) != (i == 4) {
			t.Errorf("message %d: code %d", i+1, a.Code)
		}
	}
}
