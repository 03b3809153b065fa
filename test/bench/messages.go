package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
	"github.com/herald-im/herald/test/rig"
)

const (
	messageBytes = 256
	rounds       = 3
)

var payload = strings.Repeat("x", messageBytes)

// throughput lets one board send what has gathered to another, and the same
// machine's Mosquitto acknowledge publishes in turn with it.
func throughput(ctx context.Context, b *bench) ([]row, error) {
	const n = 40_000
	var ours, theirs, ratios []float64
	err := b.house(ctx, func(h *rig.House, hub *rig.Hub) error {
		proxy, err := rig.NewProxy(hub.MQTT)
		if err != nil {
			return err
		}
		defer proxy.Close()
		door, err := board(ctx, h, "door", proxy.Addr(), "[hub]\nreconnect_min = \"10ms\"\nreconnect_max = \"100ms\"\n")
		if err != nil {
			return err
		}
		defer door.Kill()
		indoor, err := board(ctx, h, "indoor", hub.MQTT, "[journal]\nmax_events = 1000000\nmax_bytes = \"512MiB\"\n")
		if err != nil {
			return err
		}
		defer indoor.Kill()
		for range rounds {
			rate, err := drain(ctx, proxy, door, indoor, n)
			if err != nil {
				return err
			}
			raw, err := mosquitto(ctx, 64, 3*time.Second)
			if err != nil {
				return err
			}
			ours, theirs, ratios = append(ours, rate), append(theirs, raw), append(ratios, rate/raw)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	rate, ratio := median(ours), median(ratios)
	how := fmt.Sprintf("%d messages of %d B wait in the sender's outbox; the link is opened; counted from the first to the last event in the receiver's journal, "+
		"hub and both boards on this machine. Median of %d rounds, each followed by 3 s of Mosquitto with one paho publisher, QoS 1, 64 in flight, counted by PUBACKs (%.0f/s).",
		n, messageBytes, rounds, median(theirs))
	return []row{
		{"C2C, board → hub → board, 256 B, durable, one sender, batches", "≥ 10,000/s", fmt.Sprintf("%.0f/s", rate), rate >= 10_000, how},
		{"the same, as a share of Mosquitto's raw QoS 1 rate", "≥ 0.5", fmt.Sprintf("%.2f", ratio), ratio >= 0.5, ""},
	}, nil
}

// drain queues n messages without a link and measures how fast they arrive once
// it is there.
func drain(ctx context.Context, proxy *rig.Proxy, from, to *rig.Board, n int) (float64, error) {
	proxy.Refuse(true)
	proxy.Cut()
	if err := awaitStatus(ctx, from, func(st protocol.StatusResponse) bool { return st.Link != "up" }); err != nil {
		return 0, err
	}
	if _, err := sendAll(ctx, from.Client(), to.User, n, 64); err != nil {
		return 0, err
	}
	st, err := status(ctx, to)
	if err != nil {
		return 0, err
	}
	start := st.Journal.Last
	proxy.Refuse(false)
	var began time.Time
	var first uint64
	err = awaitStatus(ctx, to, func(st protocol.StatusResponse) bool {
		if began.IsZero() && st.Journal.Last > start {
			began, first = time.Now(), st.Journal.Last
		}
		return st.Journal.Last >= start+2*uint64(n) // each is told in two forms
	})
	return perSecond(int(start+2*uint64(n)-first)/2, time.Since(began)), err
}

func status(ctx context.Context, b *rig.Board) (protocol.StatusResponse, error) {
	return client.Call(ctx, b.Client(), protocol.GetStatus, protocol.Empty{})
}

func awaitStatus(ctx context.Context, b *rig.Board, ok func(protocol.StatusResponse) bool) error {
	c := b.Client()
	defer c.Close()
	for {
		st, err := client.Call(ctx, c, protocol.GetStatus, protocol.Empty{})
		if err != nil {
			return err
		}
		if ok(st) {
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sendAll sends n messages from several callers and returns the time it took.
func sendAll(ctx context.Context, c *client.Client, to string, n, callers int) (time.Duration, error) {
	defer c.Close()
	var left atomic.Int64
	left.Store(int64(n))
	errs := make(chan error, callers)
	var wg sync.WaitGroup
	began := time.Now()
	for range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				_, err := client.Call(ctx, c, protocol.SendC2CTextMessage, protocol.C2CTextRequest{UserID: to, Text: payload})
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	select {
	case err := <-errs:
		return 0, err
	default:
		return took, nil
	}
}

// mosquitto measures how many QoS 1 publishes of 256 B Mosquitto acknowledges
// in a second to one paho client with a window.
func mosquitto(ctx context.Context, window int, d time.Duration) (float64, error) {
	m, err := startMosquitto()
	if err != nil {
		return 0, err
	}
	defer m.stop()
	c, err := m.publisher()
	if err != nil {
		return 0, err
	}
	defer c.Disconnect(100)
	tokens := make(chan mqtt.Token, window)
	body := []byte(payload)
	began, acked := time.Now(), 0
	for time.Since(began) < d && ctx.Err() == nil {
		if len(tokens) == window {
			t := <-tokens
			t.Wait()
			if t.Error() != nil {
				return 0, t.Error()
			}
			acked++
		}
		tokens <- c.Publish("bench", 1, false, body)
	}
	return perSecond(acked, time.Since(began)), ctx.Err()
}

// bareBroker is a Mosquitto that keeps nothing and asks nobody who he is.
type bareBroker struct {
	addr string
	stop func()
}

func startMosquitto() (b bareBroker, err error) {
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto"
	}
	dir, err := os.MkdirTemp("", "mosquitto")
	if err != nil {
		return b, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	port, err := rig.FreePort()
	if err != nil {
		return b, err
	}
	conf := filepath.Join(dir, "conf")
	text := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 0\nmax_queued_messages 0\n", port)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return b, err
	}
	cmd := exec.Command(path, "-c", conf)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return b, fmt.Errorf("mosquitto (scripts/deps bench installs it): %w", err)
	}
	return bareBroker{fmt.Sprintf("127.0.0.1:%d", port), func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}}, nil
}

// publisher connects, as soon as the broker listens.
func (b bareBroker) publisher() (mqtt.Client, error) {
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + b.addr).SetClientID("bench").
		SetConnectRetry(true).SetConnectRetryInterval(20 * time.Millisecond))
	if t := c.Connect(); !t.WaitTimeout(10*time.Second) || t.Error() != nil {
		return nil, errors.Join(errors.New("connect to mosquitto"), t.Error())
	}
	return c, nil
}

// latency measures an idle system: one message at a time.
func latency(ctx context.Context, b *bench) ([]row, error) {
	const n = 500
	var took []time.Duration
	err := b.house(ctx, func(h *rig.House, hub *rig.Hub) error {
		door, indoor, err := pair(ctx, h, hub, "")
		if err != nil {
			return err
		}
		defer door.Kill()
		defer indoor.Kill()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		came, connected := make(chan time.Time, 1), make(chan struct{}, 8)
		go func() {
			_ = indoor.Client().Events(ctx, client.EventsOptions{
				Listen: []string{"simple"}, Connected: func(string, uint64) { connected <- struct{}{} },
			}, func(client.Event) error { came <- time.Now(); return nil })
		}()
		select {
		case <-connected:
		case <-time.After(10 * time.Second):
			return errors.New("no event stream")
		}
		c := door.Client()
		for i := range n + 20 {
			began := time.Now()
			if _, err := client.Call(ctx, c, protocol.SendC2CTextMessage, protocol.C2CTextRequest{UserID: "indoor", Text: payload}); err != nil {
				return err
			}
			at := <-came
			if i >= 20 {
				took = append(took, at.Sub(began))
			}
			time.Sleep(10 * time.Millisecond) // the system is idle between two messages
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p50, p99 := quantile(took, 0.5), quantile(took, 0.99)
	how := fmt.Sprintf("%d calls of im.sendC2CTextMessage over the unix socket, 10 ms apart, each timed from the call to its event at the other board's stream.", n)
	return []row{
		{"API call → event at the other board, idle, p50", "≤ 5 ms", round(p50), p50 <= 5*time.Millisecond, how},
		{"the same, p99", "≤ 25 ms", round(p99), p99 <= 25*time.Millisecond, ""},
	}, nil
}

func round(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }
