package device

import "github.com/VictoriaMetrics/metrics"

// Metrics adds the device's figures to a set.
func (d *Device) Metrics(set *metrics.Set) {
	gauge := func(name string, f func() float64) { set.NewGauge(name, f) }
	gauge("herald_link_up", func() float64 {
		if d.Status().Link == "up" {
			return 1
		}
		return 0
	})
	gauge("herald_queue_items", func() float64 { return float64(d.Status().Queue.Items) })
	gauge("herald_queue_bytes", func() float64 { return float64(d.Status().Queue.Bytes) })
	gauge("herald_journal_last", func() float64 { return float64(d.Status().Journal.Last) })
	gauge("herald_journal_bytes", func() float64 { return float64(d.Status().Journal.Bytes) })
	gauge("herald_journal_trimmed", func() float64 { return float64(d.Status().Journal.Trimmed) })
}
