package peer

import (
	"slices"
	"testing"
	"time"
)

// BenchmarkConnect measures from Offer to connected at both ends, with trickled candidates, on loopback. The median is what a
// caller waits for typically.
func BenchmarkConnect(b *testing.B) {
	cam := newCamera(b)
	f, g := newFactory(b, testConfig(b)), newFactory(b, testConfig(b))
	var took []time.Duration
	for b.Loop() {
		caller, callee := newEnd(b, f, cam.options()), newEnd(b, g, cam.options())
		trickle(b, caller, callee)
		trickle(b, callee, caller)
		begun := time.Now()
		negotiate(b, caller, callee)
		caller.awaitState(StateConnected)
		callee.awaitState(StateConnected)
		took = append(took, time.Since(begun))
		caller.Close()
		callee.Close()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-median")
	b.ReportMetric(float64(took[len(took)*9/10].Microseconds())/1000, "ms-p90")
}
