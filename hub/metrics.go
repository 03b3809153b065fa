package hub

import (
	"fmt"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/herald-im/herald/hub/files"
	"github.com/herald-im/herald/hub/relay"
	"github.com/herald-im/herald/protocol"
)

// metricSet is what /metrics shows besides the broker's numbers.
type metricSet struct {
	set *metrics.Set

	entries, repeats, holes, pulls, surveys, pushes, signals, rewound, outages, failed *metrics.Counter
	seconds, jobs                                                                      *metrics.Summary
}

func newMetrics(h *Hub) *metricSet {
	s := metrics.NewSet()
	s.NewGauge("herald_hub_logins", func() float64 { n, _ := h.table.counts(); return float64(n) })
	s.NewGauge("herald_hub_sessions", func() float64 { _, n := h.table.counts(); return float64(n) })
	s.NewGauge("herald_hub_queue_jobs", func() float64 { return float64(h.queue.length()) })
	s.NewGauge("herald_hub_era", func() float64 { return float64(h.era.Ord) })
	s.NewGauge("herald_hub_database_failing", func() float64 {
		if h.failing.Load() != nil {
			return 1
		}
		return 0
	})
	stats := func(of func(relay.Stats) float64) func() float64 {
		return func() float64 {
			if h.relay == nil {
				return 0
			}
			return of(h.relay.Stats())
		}
	}
	s.NewGauge("herald_hub_turn_allocations", stats(func(t relay.Stats) float64 { return float64(t.Allocations) }))
	s.NewGauge("herald_hub_turn_tcp_connections", stats(func(t relay.Stats) float64 { return float64(t.Connections) }))
	s.NewGauge("herald_hub_turn_refused_total", stats(func(t relay.Stats) float64 { return float64(t.Refused) })) // over a limit
	s.NewGauge("herald_hub_turn_received_bytes_total", stats(func(t relay.Stats) float64 { return float64(t.BytesIn) }))
	s.NewGauge("herald_hub_turn_sent_bytes_total", stats(func(t relay.Stats) float64 { return float64(t.BytesOut) }))
	of := func(n func(files.Stats) float64) func() float64 {
		return func() float64 {
			if h.files == nil {
				return 0
			}
			return n(h.files.Stats())
		}
	}
	s.NewGauge("herald_hub_files", of(func(f files.Stats) float64 { return float64(f.Files) }))
	s.NewGauge("herald_hub_files_bytes", of(func(f files.Stats) float64 { return float64(f.Bytes) }))
	s.NewGauge("herald_hub_files_unfinished", of(func(f files.Stats) float64 { return float64(f.Half) }))
	s.NewGauge("herald_hub_files_unfinished_bytes", of(func(f files.Stats) float64 { return float64(f.HalfBytes) }))
	s.NewGauge("herald_hub_files_transfers", of(func(f files.Stats) float64 { return float64(f.Transfers) })) // at present
	s.NewGauge("herald_hub_files_uploads_total", of(func(f files.Stats) float64 { return float64(f.Uploads) }))
	s.NewGauge("herald_hub_files_downloads_total", of(func(f files.Stats) float64 { return float64(f.Downloads) }))
	s.NewGauge("herald_hub_files_received_bytes_total", of(func(f files.Stats) float64 { return float64(f.BytesIn) }))
	s.NewGauge("herald_hub_files_sent_bytes_total", of(func(f files.Stats) float64 { return float64(f.BytesOut) }))
	return &metricSet{
		set:     s,
		entries: s.NewCounter("herald_hub_entries_total"),         // stored
		repeats: s.NewCounter("herald_hub_repeated_items_total"),  // answered with the answer of then
		holes:   s.NewCounter("herald_hub_refused_appends_total"), // holes and old epochs
		pulls:   s.NewCounter("herald_hub_pulls_total"),           //
		surveys: s.NewCounter("herald_hub_surveys_total"),         //
		pushes:  s.NewCounter("herald_hub_pushes_total"),          // frames, one per topic
		signals: s.NewCounter("herald_hub_signals_total"),         // handed on
		rewound: s.NewCounter("herald_hub_rewinds_noticed_total"), // hellos that know a later era
		outages: s.NewCounter("herald_hub_failed_commits_total"),  // tried again
		failed:  s.NewCounter("herald_hub_failed_jobs_total"),     // given up: a fault of the hub
		seconds: s.NewSummary("herald_hub_commit_seconds"),        // a transaction
		jobs:    s.NewSummary("herald_hub_commit_jobs"),           // in a transaction
	}
}

// login counts a decided login; 0 is a good one.
func (m *metricSet) login(code protocol.Code) {
	m.set.GetOrCreateCounter(fmt.Sprintf(`herald_hub_logins_total{code="%d"}`, code)).Inc()
}

// byes counts the sessions that the hub ended or refused to go on with.
func (m *metricSet) byes(code protocol.Code) {
	m.set.GetOrCreateCounter(fmt.Sprintf(`herald_hub_byes_total{code="%d"}`, code)).Inc()
}

// drop counts frames that were not handled.
func (m *metricSet) drop(reason string) {
	m.set.GetOrCreateCounter(fmt.Sprintf(`herald_hub_dropped_frames_total{reason="%s"}`, reason)).Inc()
}

func (m *metricSet) commit(d time.Duration, jobs, entries int) {
	m.seconds.Update(d.Seconds())
	m.jobs.Update(float64(jobs))
	m.entries.Add(entries)
}
