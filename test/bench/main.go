// Command bench measures Herald as its users run it — the built programs, real
// disks, loopback — and writes docs/benchmarks.md. Where a figure depends on the
// machine it stands beside one of somebody else's, measured in the same run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/herald-im/herald/test/rig"
)

// row is one line of the report.
type row struct {
	what, target, measured string
	met                    bool
	how                    string
}

// section measures one thing.
type section struct {
	name string
	run  func(ctx context.Context, b *bench) ([]row, error)
}

var sections = []section{
	{"throughput", throughput},
	{"latency", latency},
	{"enqueue", enqueue},
	{"history", history},
	{"files", files},
	{"groups", groups},
	{"liveroom", liveRoom},
	{"idle", idle},
	{"terminals", terminals},
	{"firstpicture", firstPicture},
	{"callmemory", callMemory},
	{"pictures", pictures},
	{"passing", passing},
	{"raw", rawPictures},
	{"software", inSoftware},
	{"signals", signals},
}

// bench is what the sections share.
type bench struct{ bin string }

func main() {
	only := flag.String("only", "", "run these sections only, separated by commas; nothing is written then")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string) error {
	dir, err := os.MkdirTemp("", "herald-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bin, err := rig.BinDir(dir)
	if err != nil {
		return err
	}
	b := &bench{bin: bin}
	var rows []row
	for _, s := range sections {
		if only != "" && !slices.Contains(strings.Split(only, ","), s.name) {
			continue
		}
		began := time.Now()
		got, err := s.run(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Printf("%s (%v)\n", s.name, time.Since(began).Round(time.Second))
		for _, r := range got {
			fmt.Printf("  %-62s %-28s %s\n", r.what, r.measured, mark(r))
		}
		rows = append(rows, got...)
	}
	if only != "" {
		return nil
	}
	return os.WriteFile("docs/benchmarks.md", []byte(report(rows)), 0o644)
}

func mark(r row) string {
	switch {
	case r.target == "":
		return ""
	case r.met:
		return "target " + r.target
	}
	return "MISSED, target " + r.target
}

func report(rows []row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# How fast it is\n\nWritten by `make bench` on %s, on %s.\n", time.Now().UTC().Format("2006-01-02"), machine())
	b.WriteString("Durable means that every message is fsynced on the sender's board, at the hub and on the receiver's board.\n\n")
	b.WriteString("| what | measured | target | |\n|---|---|---|---|\n")
	for _, r := range rows {
		met := ""
		if r.target != "" {
			met = map[bool]string{true: "met", false: "**missed**"}[r.met]
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.what, r.measured, r.target, met)
	}
	b.WriteString("\n## How\n\n")
	seen := map[string]bool{}
	for _, r := range rows {
		if r.how != "" && !seen[r.how] {
			seen[r.how] = true
			fmt.Fprintf(&b, "- **%s**: %s\n", r.what, r.how)
		}
	}
	return b.String()
}

// machine says what the figures were measured on.
func machine() string {
	model := runtime.GOARCH
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				model = strings.TrimSpace(v)
				break
			}
		}
	}
	return fmt.Sprintf("%d cores of %s, shared with other work, %s", runtime.NumCPU(), model, runtime.Version())
}

// house makes a hub and boards for a section, and ends them.
func (b *bench) house(ctx context.Context, f func(h *rig.House, hub *rig.Hub) error) (err error) {
	dir, err := os.MkdirTemp("", "hb")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	h := &rig.House{Dir: dir, Bin: b.bin}
	hub, err := h.AddHub("", "")
	if err != nil {
		return err
	}
	if err := hub.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hub.Stop()) }()
	return f(h, hub)
}

// board starts a board.
func board(ctx context.Context, h *rig.House, name, mqtt, toml string) (*rig.Board, error) {
	b, err := h.AddBoard(ctx, name, name, mqtt)
	if err != nil {
		return nil, err
	}
	if err := b.Configure("[api]\nsocket_group = \"\"\n" + toml); err != nil {
		return nil, err
	}
	return b, b.Start(ctx)
}

// pair starts two boards and waits for their links. The caller kills them.
func pair(ctx context.Context, h *rig.House, hub *rig.Hub, doorTOML string) (door, indoor *rig.Board, err error) {
	if door, err = board(ctx, h, "door", hub.MQTT, doorTOML); err != nil {
		return nil, nil, err
	}
	if indoor, err = board(ctx, h, "indoor", hub.MQTT, ""); err == nil {
		err = door.AwaitLink(ctx, "up")
	}
	if err == nil {
		err = indoor.AwaitLink(ctx, "up")
	}
	if err != nil {
		door.Kill()
		if indoor != nil {
			indoor.Kill()
		}
		return nil, nil, err
	}
	return door, indoor, nil
}

// median of durations; p of the sorted ones, 0 to 1.
func quantile(d []time.Duration, p float64) time.Duration {
	slices.Sort(d)
	return d[min(len(d)-1, int(p*float64(len(d))))]
}

func perSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
