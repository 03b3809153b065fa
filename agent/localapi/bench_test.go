package localapi

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkCall is one send over the socket with keep-alive, the handler doing
// nothing; client and server share the cores.
func BenchmarkCall(b *testing.B) {
	g := start(b, nil)
	c := g.client()
	c.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	send := func() {
		res, err := c.Post("http://socket/v1/im/sendC2CTextMessage", "application/json", strings.NewReader(`{"userId":"indoor","text":"hello"}`))
		if err != nil {
			b.Error(err)
			return
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			b.Error(err)
		}
		res.Body.Close()
	}
	b.Run("1", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			send()
		}
	})
	b.Run("64", func(b *testing.B) {
		b.SetParallelism(64 / 2)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				send()
			}
		})
	})
}

// BenchmarkEvents reads 4096 events that are kept, over one stream.
func BenchmarkEvents(b *testing.B) {
	g := start(b, nil)
	for n := range 4096 {
		g.journal.append(text(n))
	}
	b.Run("backlog", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r := g.openEvents("?from=1")
			r.block()
			for range 4096 {
				r.block()
			}
			r.stop()
		}
		b.ReportMetric(float64(4096*b.N)/b.Elapsed().Seconds(), "events/s")
	})
}
