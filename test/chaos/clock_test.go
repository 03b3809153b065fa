package chaos

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/herald-im/herald/device"
	"github.com/herald-im/herald/device/journal"
	"github.com/herald-im/herald/device/outbox"
	"github.com/herald-im/herald/hub"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
)

// TestBoardOf1970: a board without a battery for its clock logs in over TLS, asks
// the hub, sends and receives.
func TestBoardOf1970(t *testing.T) {
	h := newHouse(t, "")
	ca := h.secure()
	indoor := h.secureActor("indoor", "--ca", ca)
	sig, err := h.hub.UserSig(h.ctx, "door")
	must(t, err)
	booted := time.Now()
	door, err := device.Open(device.Config{
		StateDir: t.TempDir(), Outbox: outbox.Limits{MaxItems: 100, MaxBytes: 1 << 20}, Journal: journal.Limits{MaxEvents: 1000, MaxBytes: 1 << 20},
		HubAddr: h.hub.MQTT, HubTLS: true, CAFile: ca, ConnectTimeout: 10 * time.Second, KeepAlive: 10 * time.Second,
		ReconnectMin: 100 * time.Millisecond, ReconnectMax: time.Second, Beat: time.Minute,
		Platform: "linux", User: "door", Sig: func() (string, error) { return sig, nil },
		Now: func() time.Time { return time.Unix(30, 0).Add(time.Since(booted)) },
	}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	must(t, err)
	methods := protocol.NewTable[protocol.Caller]()
	door.Bind(methods)
	ctx, cancel := context.WithCancel(h.ctx)
	ended := make(chan error, 1)
	go func() { ended <- door.Run(ctx) }()
	defer func() { cancel(); must(t, <-ended) }()
	call := func(method, body string) string {
		t.Helper()
		res, err := methods.CallJSON(ctx, protocol.Caller{}, method, []byte(body))
		must(t, err)
		return string(res)
	}
	h.poll("the link", func() bool { return door.Status().Link == "up" })
	call("im.createGroup", `{"groupType":"Meeting","groupId":"yard","groupName":"yard"}`)
	if res := call("im.sendC2CTextMessage", `{"userId":"indoor","text":"from 1970"}`); strings.Contains(res, "queued") {
		t.Error(res)
	}
	indoor.await("the message", func(ev []event) bool { return len(texts(ev)) == 1 })
	indoor.send("door", "and back")
	h.poll("the answer", func() bool {
		events, err := door.Journal().Read(0, 100)
		must(t, err)
		for _, e := range events {
			if strings.Contains(string(e.JSON), "and back") {
				return true
			}
		}
		return false
	})
	var now struct{ ServerTime int64 }
	must(t, json.Unmarshal([]byte(call("im.getServerTime", "{}")), &now))
	if time.Since(time.Unix(now.ServerTime, 0)).Abs() > time.Minute {
		t.Errorf("the server's time: %d", now.ServerTime)
	}
}

// TestHubClockJumps: the hub's machine sets its clock, forward and back by hours.
// Nobody's session ends, messages keep their order, and calls are answered.
func TestHubClockJumps(t *testing.T) {
	h := newHouse(t, "")
	must(t, h.hub.Stop())
	var ahead atomic.Int64
	authority, err := hub.New(hub.Config{
		Store: filepath.Join(h.hub.Data, "hub.db"), MQTT: h.hub.MQTT, CreateOnLogin: true,
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	must(t, err)
	ctx, cancel := context.WithCancel(h.ctx)
	ended := make(chan error, 1)
	go func() { ended <- authority.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	door, indoor := h.actor("door"), h.actor("indoor")
	talk := h.talk(door, indoor)
	for _, d := range []time.Duration{time.Hour, -2 * time.Hour, 24 * time.Hour, 0} {
		ahead.Store(int64(d))
		talk.goesOn()
		create := func() error {
			_, err := client.Call(h.ctx, door.board.Client(), protocol.CreateGroup,
				protocol.CreateGroupRequest{GroupType: protocol.GroupMeeting, GroupID: d.String(), GroupName: "g"})
			return err
		}
		err := create()
		if err != nil && code(t, err) == protocol.CodeRequestTimeout && strings.Contains(err.Error(), "too late") {
			err = create() // now the board knows the time
		}
		if err != nil {
			t.Errorf("with the hub's clock %v ahead: %v", d, err)
		}
	}
	talk.unbroken()
	talk.end()
}
