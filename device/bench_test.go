package device

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

// BenchmarkEnqueue accepts messages of 256 bytes without a link, each on disk
// before its caller goes on.
func BenchmarkEnqueue(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			cfg := config(b, "127.0.0.1:1")
			cfg.Outbox.MaxItems, cfg.Outbox.MaxBytes = 1<<30, 1<<40
			d := start(b, cfg)
			go func() { _ = d.tryLogin("door") }()
			for d.Status().LoginStatus != protocol.LoggingIn {
				time.Sleep(time.Millisecond)
			}
			text := strings.Repeat("x", 256)
			left := make(chan struct{}, callers)
			var wg sync.WaitGroup
			b.ResetTimer()
			for range callers {
				wg.Go(func() {
					for range left {
						if _, err := d.say(text); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for range b.N {
				left <- struct{}{}
			}
			close(left)
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}
