package board

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
	"github.com/herald-im/herald/test/rig"
)

// house is a hub and a board outside, with fake devices, and the board in software.
type house struct {
	t       *testing.T
	ctx     context.Context
	net     *rig.Network
	machine *rig.Machine
	indoor  *rig.Board // outside
	record  string     // file of what it plays
	door    *inside
}

// inside is herald on the board in software.
type inside struct {
	h      *house
	prog   *rig.Board // prepared, and not started outside
	daemon *rig.Run
	told   *rig.Run // herald events
	after  int      // bytes of what was told that are looked at
}

// newHouse starts all of it. config is the [media] section of the board's.
func newHouse(t *testing.T, config string) *house {
	t.Helper()
	h := &house{t: t, ctx: t.Context()}
	r := rig.TestHouse(t, bin)
	hub, err := r.AddHub("", "")
	must(t, err)
	image := imageOf(t)
	h.net = newNetwork(t)
	hub.MQTT, hub.Under = outsideAddr+":1883", h.net.Inside("out")
	hub.Args = []string{"run", "--data", hub.Data, "--mqtt", hub.MQTT, "--http", "127.0.0.1:8080"}
	must(t, hub.Configure("[mqtt]\nplain = true\n[turn]\nlisten = \"off\"\n"))
	hub.StopAfter(t)
	must(t, hub.Start(h.ctx))
	h.indoor, err = r.AddBoard(h.ctx, "indoor", "indoor", hub.MQTT)
	must(t, err)
	h.indoor.Under = h.net.Inside("out")
	h.record = filepath.Join(r.Dir, "heard")
	must(t, h.indoor.Configure("[api]\nsocket_group = \"\"\n[media]\nfront_camera = \"fake\"\nmicrophone = \"fake\"\nspeaker = \"fake:"+h.record+"\"\n"))
	h.indoor.StopAfter(t)
	must(t, h.indoor.Start(h.ctx))
	h.door = &inside{h: h}
	h.door.prog, err = r.AddBoard(h.ctx, "door", "door", hub.MQTT)
	must(t, err)
	must(t, h.door.prog.Configure("[api]\nsocket_group = \"\"\n[media]\n"+config))
	h.machine = boot(t, image, h.net)
	h.door.start()
	must(t, h.indoor.AwaitLink(h.ctx, "up"))
	return h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start runs the daemon on the board, and follows its events.
func (d *inside) start() {
	t := d.h.t
	t.Helper()
	var err error
	d.daemon, err = d.h.machine.Begin(nil, append([]string{d.prog.Path}, d.prog.Args...)...)
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("herald on the board wrote:\n%s", d.daemon.Output())
		}
	})
	d.until("the link to the hub", func() bool {
		out, err := d.h.machine.Do(d.h.ctx, d.prog.Path, "status", "--json", "--socket", d.prog.Socket)
		return err == nil && strings.Contains(out, `"link":"up"`)
	})
	d.told, err = d.h.machine.Begin(nil, d.prog.Path, "events", "--json", "--socket", d.prog.Socket)
	must(t, err)
}

// stop ends the daemon as systemd does.
func (d *inside) stop() {
	d.h.t.Helper()
	must(d.h.t, d.daemon.Signal(syscall.SIGTERM))
	must(d.h.t, d.daemon.Wait(d.h.ctx))
}

func (d *inside) until(what string, f func() bool) {
	d.h.t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			d.h.t.Fatalf("door: %s does not come; told:\n%s", what, d.told.Output())
		}
	}
}

// call runs a method of the board's local API.
func call[Req, Res any](d *inside, m protocol.Method[Req, Res], req Req) (res Res) {
	t := d.h.t
	t.Helper()
	body, err := json.Marshal(req)
	must(t, err)
	out := do(t, d.h.machine, d.prog.Path, "api", m.Info().Name, string(body), "--socket", d.prog.Socket)
	must(t, json.Unmarshal([]byte(out), &res))
	return res
}

// outside runs a method of the other board's.
func outside[Req, Res any](h *house, m protocol.Method[Req, Res], req Req) Res {
	h.t.Helper()
	res, err := client.Call(h.ctx, h.indoor.Client(), m, req)
	must(h.t, err)
	return res
}

// event waits for an event with all of these parts in it, and leaves out what was
// before it from then on.
func (d *inside) event(parts ...string) string {
	d.h.t.Helper()
	found := ""
	d.until("the event "+strings.Join(parts, " "), func() bool {
		all := []byte(d.told.Output())
		at := d.after
	next:
		for line := range bytes.Lines(all[min(at, len(all)):]) {
			if !bytes.HasSuffix(line, []byte("\n")) {
				return false
			}
			at += len(line)
			for _, p := range parts {
				if !bytes.Contains(line, []byte(p)) {
					continue next
				}
			}
			found, d.after = string(line), at
			return true
		}
		return false
	})
	return found
}

// sh runs a shell's line on the board.
func (d *inside) sh(line string) string {
	d.h.t.Helper()
	return do(d.h.t, d.h.machine, "/bin/sh", "-c", line)
}

func imageOf(t *testing.T) string {
	t.Helper()
	image := os.Getenv("HERALD_BOARD")
	if image == "" {
		t.Skip("make test-board makes the board that this needs, and says where it is (HERALD_BOARD)")
	}
	return filepath.Clean(image)
}
