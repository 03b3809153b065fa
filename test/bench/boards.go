package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/herald-im/herald/device"
	"github.com/herald-im/herald/device/journal"
	"github.com/herald-im/herald/device/link"
	"github.com/herald-im/herald/device/outbox"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/usersig"
	"github.com/herald-im/herald/test/rig"
)

// enqueue measures how fast a board without a hub accepts messages: each call
// returns when its message is on disk.
func enqueue(ctx context.Context, _ *bench) ([]row, error) {
	var ones, shares []float64
	for range rounds {
		one, err := enqueueRate(ctx, 1, 5_000)
		if err != nil {
			return nil, err
		}
		disk, err := diskRate()
		if err != nil {
			return nil, err
		}
		ones, shares = append(ones, one), append(shares, one/disk)
	}
	one := median(ones)
	many, err := enqueueRate(ctx, 64, 200_000)
	if err != nil {
		return nil, err
	}
	api, err := apiRate(ctx)
	if err != nil {
		return nil, err
	}
	how := "Calls of im.sendC2CTextMessage with 256 B at the method table, in one process with its store on disk, without a link."
	return []row{
		{"offline enqueue, durable, one caller", "≥ 3,000/s", fmt.Sprintf("%.0f/s", one), one >= 3000, how},
		{"the same, as a share of what the bare disk does", "", fmt.Sprintf("%.2f", median(shares)), true,
			"In turn with it, the same disk: 16 KiB and 4 KiB written and synced one after the other (two fdatasync), which is the least a transaction of the store takes."},
		{"offline enqueue, durable, 64 callers", "≥ 50,000/s", fmt.Sprintf("%.0f/s", many), many >= 50_000, ""},
		{"the same over the unix socket (HTTP), 64 callers", "", fmt.Sprintf("%.0f/s", api), true,
			"As above, but from another process over the local API; caller and daemon share the two cores."},
	}, nil
}

// diskRate is how many transactions a second the bare disk could take.
func diskRate() (float64, error) {
	const n = 1000
	f, err := os.CreateTemp("", "hb")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	data, meta := make([]byte, 16<<10), make([]byte, 4<<10)
	began := time.Now()
	for i := range int64(n) {
		_, err1 := f.WriteAt(data, 4096+i*int64(len(data)))
		err2 := unix.Fdatasync(int(f.Fd()))
		_, err3 := f.WriteAt(meta, 0)
		err4 := unix.Fdatasync(int(f.Fd()))
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			return 0, err
		}
	}
	return perSecond(n, time.Since(began)), nil
}

func enqueueRate(ctx context.Context, callers, n int) (float64, error) {
	dir, err := os.MkdirTemp("", "hb")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	sig, err := usersig.Sign(usersig.Claims{UserID: "door", AppID: 1400000001, IssuedAt: time.Now(), Expire: time.Hour}, []byte("key"))
	if err != nil {
		return 0, err
	}
	d, err := device.Open(device.Config{
		StateDir: dir, Outbox: outbox.Limits{MaxItems: n, MaxBytes: 1 << 30}, Journal: journal.Limits{MaxEvents: 1000, MaxBytes: 1 << 20},
		HubAddr: "127.0.0.1:1", ConnectTimeout: time.Second, KeepAlive: 10 * time.Second,
		ReconnectMin: time.Minute, ReconnectMax: time.Minute, Beat: time.Minute,
		Platform: "linux", User: "door", Sig: func() (string, error) { return sig, nil },
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	table := protocol.NewTable[protocol.Caller]()
	d.Bind(table)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	for d.Status().UserID == "" {
		time.Sleep(time.Millisecond)
	}
	body := []byte(`{"userId":"indoor","text":"` + payload + `"}`)
	var left atomic.Int64
	left.Store(int64(n))
	errs := make(chan error, callers)
	var wg sync.WaitGroup
	began := time.Now()
	for range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := table.CallJSON(ctx, protocol.Caller{}, "im.sendC2CTextMessage", body); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	rate := perSecond(n, time.Since(began))
	cancel()
	err = <-ended
	select {
	case e := <-errs:
		err = errors.Join(err, e)
	default:
	}
	return rate, err
}

func apiRate(ctx context.Context) (float64, error) {
	const n = 50_000
	var rate float64
	b := &bench{bin: os.Getenv("HERALD_BIN_DIR")}
	if b.bin == "" {
		return 0, errors.New("HERALD_BIN_DIR is not set")
	}
	err := b.house(ctx, func(h *rig.House, _ *rig.Hub) error {
		door, err := board(ctx, h, "door", "127.0.0.1:1", "")
		if err != nil {
			return err
		}
		defer door.Kill()
		took, err := sendAll(ctx, door.Client(), "indoor", n, 64)
		rate = perSecond(n, took)
		return err
	})
	return rate, err
}

// idle measures a board that is logged in and has nothing to do.
func idle(ctx context.Context, b *bench) ([]row, error) {
	const watched = 60 * time.Second
	var ready []time.Duration
	var rss, cpu float64
	err := b.house(ctx, func(h *rig.House, hub *rig.Hub) error {
		for range 5 {
			door, err := board(ctx, h, "warm", hub.MQTT, "")
			if err != nil {
				return err
			}
			door.Kill()
			began := time.Now()
			if err := door.Start(ctx); err != nil {
				return err
			}
			ready = append(ready, time.Since(began))
			door.Kill()
		}
		door, err := board(ctx, h, "door", hub.MQTT, "")
		if err != nil {
			return err
		}
		defer door.Kill()
		if err := door.AwaitLink(ctx, "up"); err != nil {
			return err
		}
		before, err := cpuTime(door.PID())
		if err != nil {
			return err
		}
		select {
		case <-time.After(watched):
		case <-ctx.Done():
			return ctx.Err()
		}
		after, err := cpuTime(door.PID())
		if err != nil {
			return err
		}
		cpu = (after - before).Seconds() / watched.Seconds() * 100
		rss, err = residentMB(door.PID())
		return err
	})
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(filepath.Join(b.bin, "herald"))
	if err != nil {
		return nil, err
	}
	start, size := quantile(ready, 0.5), float64(info.Size())/1e6
	how := fmt.Sprintf("A board that is logged in and has nothing to do, watched for %v; CPU from /proc/PID/stat (it counts in 10 ms), RSS from /proc/PID/status. "+
		"Start: median of 5, from exec to READY=1.", watched)
	return []row{
		{"agent idle: RSS", "≤ 15 MB", fmt.Sprintf("%.1f MB", rss), rss <= 15, how},
		{"agent idle: CPU", "≤ 0.1 % of a core", fmt.Sprintf("%.2f %%", cpu), cpu <= 0.1, ""},
		{"agent: start to ready", "≤ 150 ms", round(start), start <= 150*time.Millisecond, ""},
		{"agent: stripped binary", "≤ 16 MB", fmt.Sprintf("%.1f MB", size), size <= 16, ""},
	}, nil
}

// cpuTime is what a process has used, user and system.
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 13 {
		return 0, errors.New("/proc/PID/stat is too short")
	}
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2) // USER_HZ is 100 everywhere Go runs
}

func residentMB(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(v)[0], 64)
			return kb * 1024 / 1e6, err
		}
	}
	return 0, errors.New("no VmRSS")
}

// terminals measures what a hub holds for terminals that are logged in and
// have nothing to do.
func terminals(ctx context.Context, b *bench) ([]row, error) {
	const n = 5000
	var empty, full float64
	err := b.house(ctx, func(h *rig.House, hub *rig.Hub) error {
		var err error
		if empty, err = residentMB(hub.PID()); err != nil {
			return err
		}
		app, key, err := appKey(ctx, hub)
		if err != nil {
			return err
		}
		var wg sync.WaitGroup
		var conns sync.Map // *link.Conn
		defer func() { conns.Range(func(k, _ any) bool { go k.(*link.Conn).Close(); return true }) }()
		work, errs := make(chan int), make(chan error, n)
		for range 16 {
			wg.Go(func() {
				for i := range work {
					c, err := login(ctx, hub.MQTT, app, key, fmt.Sprintf("t%d", i))
					if err != nil {
						errs <- err
						continue
					}
					conns.Store(c, true)
				}
			})
		}
		for i := range n {
			work <- i
		}
		close(work)
		wg.Wait()
		select {
		case err := <-errs:
			return err
		default:
		}
		full, err = residentMB(hub.PID())
		return err
	})
	if err != nil {
		return nil, err
	}
	how := fmt.Sprintf("%d terminals log in with a UserSig of their own, subscribe, say hello and get their welcome, over loopback; then the hub's VmRSS. Without any it has %.0f MB.", n, empty)
	return []row{{"hub: 5,000 idle terminals, RSS", "≤ 400 MB", fmt.Sprintf("%.0f MB", full), full <= 400, how}}, nil
}

// benchBoot is the boot of every terminal here.
const benchBoot = 7

// login is one terminal's way to its welcome.
func login(ctx context.Context, addr string, app protocol.AppID, key []byte, user string) (*link.Conn, error) {
	sig, err := usersig.Sign(usersig.Claims{UserID: user, AppID: uint32(app), IssuedAt: time.Now(), Expire: time.Hour}, key)
	if err != nil {
		return nil, err
	}
	c, err := link.Dial(ctx, link.Params{
		Addr: addr, App: app, User: user, Terminal: "bench", Sig: sig, Boot: benchBoot, ConnectTimeout: 30 * time.Second, KeepAlive: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	err = c.Send(&protocol.Frame{Boot: benchBoot, Hello: &protocol.Hello{Version: protocol.Version, Platform: "linux", Epoch: 1}})
	if err != nil {
		return nil, err
	}
	select {
	case m := <-c.In():
		m.Ack()
		f, err := protocol.DecodeFrame(m.Payload)
		if err != nil || f.Welcome == nil {
			return nil, fmt.Errorf("%s: no welcome: %v", user, err)
		}
		return c, nil
	case <-c.Down():
		return nil, fmt.Errorf("%s: %w", user, c.Err())
	case <-time.After(30 * time.Second):
		return nil, fmt.Errorf("%s: no welcome in time", user)
	}
}

// appKey reads the hub's app and one of its keys.
func appKey(ctx context.Context, hub *rig.Hub) (protocol.AppID, []byte, error) {
	out, err := hub.Command(ctx, "app", "show", "--json")
	if err != nil {
		return 0, nil, err
	}
	var app struct {
		SDKAppID protocol.AppID `json:"sdkAppId"`
		Keys     []struct {
			Key string `json:"key"`
		} `json:"keys"`
	}
	if err := json.Unmarshal([]byte(out), &app); err != nil || len(app.Keys) == 0 {
		return 0, nil, fmt.Errorf("herald-hub app show --json: %q: %v", out, err)
	}
	return app.SDKAppID, []byte(app.Keys[0].Key), nil
}
