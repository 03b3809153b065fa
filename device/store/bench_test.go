package store

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
)

// written is how many bytes this process had sent to disks (Linux).
func written(b *testing.B) (n int64) {
	io, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip(err)
	}
	for line := range strings.Lines(string(io)) {
		if _, err := fmt.Sscanf(line, "write_bytes: %d", &n); err == nil {
			return n
		}
	}
	return 0
}

// BenchmarkTransaction writes values of 256 bytes, so many in a transaction.
func BenchmarkTransaction(b *testing.B) {
	for _, ops := range []int{1, 10, 64, 512} {
		b.Run(fmt.Sprint(ops), func(b *testing.B) {
			db, _, err := Open(Options{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			value := strings.Repeat("x", 256)
			if err := db.Do(put("b", value)); err != nil {
				b.Fatal(err)
			}
			before, commits := written(b), 0
			for b.Loop() {
				release := hold(db)
				done := make(chan error, ops)
				for range ops {
					db.Go(put("b", value), func(err error) { done <- err })
				}
				release()
				for range ops {
					if err := <-done; err != nil {
						b.Fatal(err)
					}
				}
				commits++
			}
			b.ReportMetric(float64(written(b)-before)/float64(commits), "bytes/op")
			b.ReportMetric(float64(ops*commits)/b.Elapsed().Seconds(), "values/s")
		})
	}
}

func BenchmarkOneCaller(b *testing.B) {
	db, _, err := Open(Options{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	value := strings.Repeat("x", 256)
	before := written(b)
	for b.Loop() {
		if err := db.Do(put("b", value)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(written(b)-before)/float64(b.N), "bytes/op")
}
