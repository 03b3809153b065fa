// Command demo is what `make run` starts: a hub and two boards in a temporary
// directory, talking to each other in one terminal until Ctrl-C.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
	"github.com/herald-im/herald/test/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "herald-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bin, err := rig.BinDir(dir)
	if err != nil {
		return err
	}
	fmt.Printf("A hub and two boards in %s (removed at the end).\n\n", dir)
	house := &rig.House{Dir: dir, Bin: bin}
	hub, err := house.AddHub("", "")
	if err != nil {
		return err
	}
	// The programs get the terminal's Ctrl-C too; Stop then finds them gone.
	defer func() { err = errors.Join(err, hub.Stop()) }()
	began := time.Now()
	if err := hub.Start(ctx); err != nil {
		return err
	}
	fmt.Printf("  hub     mqtt %-21s http %-21s ready in %v\n", hub.MQTT, hub.HTTP, since(began))
	d := &demo{sent: make(map[string]time.Time)}
	var boards []*rig.Board
	var media []string
	if !hardware() {
		media = []string{"--fake-media"}
	}
	for _, name := range []string{"door", "indoor"} {
		b, err := house.AddBoard(ctx, name, name, hub.MQTT, media...)
		if err != nil {
			return err
		}
		if err := b.Configure("[api]\nsocket_group = \"\"\n"); err != nil {
			return err
		}
		began := time.Now()
		if err := b.Start(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.Stop()) }()
		if err := d.follow(ctx, b); err != nil {
			return err
		}
		fmt.Printf("  %-7s socket %-48s ready in %v\n", name, b.Socket, since(began))
		boards = append(boards, b)
	}
	for _, b := range boards {
		if err := b.AwaitLink(ctx, "up"); err != nil {
			return err
		}
	}
	fmt.Println()
	talk := []struct {
		from int
		to   string
		text string
	}{
		{0, "indoor", "somebody is at the door"},
		{1, "door", "who is it?"},
		{0, "indoor", "the post, with a parcel"},
		{1, "door", "I am coming"},
	}
	for i, m := range talk {
		if err := d.say(ctx, boards[m.from], m.to, m.text); err != nil {
			return err
		}
		if err := d.arrived(ctx, i+1); err != nil {
			return err
		}
	}
	if media != nil {
		fmt.Print("\nThis machine lacks a camera or sound: the call shows a test picture and plays a tone.")
	}
	if err := d.place(ctx, boards[0], boards[1]); err != nil {
		return err
	}
	pictures, err := servePage(boards)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pictures.close()) }()
	fmt.Printf("\nThe call goes on. Look at it: %s\n", pictures.url())
	help(bin, boards)
	<-ctx.Done()
	fmt.Println("\nending …")
	return nil
}

func since(t time.Time) time.Duration { return time.Since(t).Round(time.Millisecond) }

// demo prints what is sent and what arrives.
type demo struct {
	mu    sync.Mutex
	sent  map[string]time.Time // by msgId
	came  int
	await chan struct{}
}

func (d *demo) say(ctx context.Context, b *rig.Board, to, text string) error {
	d.mu.Lock() // what arrives is shown after the line that says it was sent
	defer d.mu.Unlock()
	began := time.Now()
	res, err := client.Call(ctx, b.Client(), protocol.SendC2CTextMessage, protocol.C2CTextRequest{UserID: to, Text: text})
	if err != nil {
		return err
	}
	line(began, "%-6s → %-6s  %-28q  the hub has it after %.1f ms", b.User, to, text, ms(time.Since(began)))
	d.sent[res.MsgID] = began
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// line prints one line with its time.
func line(at time.Time, format string, args ...any) {
	fmt.Printf("  %s  %s\n", at.Format("15:04:05.000"), fmt.Sprintf(format, args...))
}

// follow prints the messages that arrive at a board.
func (d *demo) follow(ctx context.Context, b *rig.Board) error {
	connected := make(chan struct{})
	var once sync.Once
	ended := make(chan error, 1)
	go func() {
		ended <- b.Client().Events(ctx, client.EventsOptions{
			Listen: []string{"simple", "calling"}, Connected: func(string, uint64) { once.Do(func() { close(connected) }) },
		}, func(e client.Event) error { d.show(b.User, e); return nil })
	}()
	select {
	case <-connected:
		return nil
	case err := <-ended:
		return err
	}
}

func (d *demo) show(user string, e client.Event) {
	if strings.HasPrefix(e.Name, "calling.") {
		d.showCall(user, e)
		return
	}
	var m struct {
		MsgID, Text, CustomData, GroupID string
		Sender                           protocol.UserInfo
	}
	if json.Unmarshal(e.Data, &m) != nil || m.Sender.UserID == "" {
		return
	}
	if _, call := protocol.SignalingOf(m.CustomData); call {
		return // its own events tell
	}
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if began, ok := d.sent[m.MsgID]; ok {
		line(now, "%-6s ← %-6s  %-28q  %.1f ms after it was sent", user, m.Sender.UserID, m.Text+m.CustomData, ms(now.Sub(began)))
	} else {
		to := ""
		if m.GroupID != "" {
			to = "in the group " + m.GroupID
		}
		line(now, "%-6s ← %-6s  %-28q  %s", user, m.Sender.UserID, m.Text+m.CustomData, to)
	}
	d.came++
	if d.await != nil {
		close(d.await)
		d.await = nil
	}
}

// arrived waits until n messages were shown.
func (d *demo) arrived(ctx context.Context, n int) error {
	for {
		d.mu.Lock()
		if d.came >= n {
			d.mu.Unlock()
			return nil
		}
		more := make(chan struct{})
		d.await = more
		d.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func help(bin string, boards []*rig.Board) {
	herald := filepath.Join(bin, "herald")
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, herald); err == nil && !strings.HasPrefix(rel, "..") {
			herald = rel
		}
	}
	door, indoor := boards[0].Socket, boards[1].Socket
	fmt.Printf(`
Try, in a second terminal, from here:

  export HERALD_SOCKET=%s
  %s send indoor "hello from the door"
  %s history indoor
  %s status
  %s hangup
  %s call indoor --video          (then: %s accept --socket %s)
  %s events --socket %s
  curl --unix-socket %s -d '{"userId":"door","text":"hello"}' http://localhost/v1/im/sendC2CTextMessage

What arrives is shown here. Ctrl-C ends it.

`, door, herald, herald, herald, herald, herald, herald, indoor, herald, indoor, indoor)
}
