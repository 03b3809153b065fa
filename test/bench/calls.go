package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/herald-im/herald/agent/calling"
	"github.com/herald-im/herald/device"
	"github.com/herald-im/herald/device/journal"
	"github.com/herald-im/herald/device/outbox"
	"github.com/herald-im/herald/media"
	"github.com/herald-im/herald/media/peer"
	"github.com/herald-im/herald/media/video"
	"github.com/herald-im/herald/protocol"
	"github.com/herald-im/herald/protocol/client"
	"github.com/herald-im/herald/protocol/usersig"
	"github.com/herald-im/herald/test/rig"
)

// What calls are measured with: it is what a board does that is told nothing else.
var (
	callFormat = video.Format{Width: 640, Height: 480, Rate: 30}
	quiet      = slog.New(slog.DiscardHandler)
)

const (
	callBitrate  = 1_000_000
	callPatience = 20 * time.Second
)

// callBoard starts a board with fakes for camera and sound and waits for its link.
func callBoard(ctx context.Context, h *rig.House, name, mqtt string) (*rig.Board, error) {
	b, err := h.AddBoard(ctx, name, name, mqtt, "--fake-media")
	if err != nil {
		return nil, err
	}
	if err := b.Configure("[api]\nsocket_group = \"\"\n"); err != nil {
		return nil, err
	}
	if err := b.Start(ctx); err != nil {
		return nil, err
	}
	return b, b.AwaitLink(ctx, "up")
}

// awaitCall waits until the call of a board is as ok wants it.
func awaitCall(ctx context.Context, get func(context.Context) (protocol.CallResponse, error), ok func(protocol.CallResponse) bool) error {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	for {
		st, err := get(ctx)
		if err != nil || ok(st) {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the call stays %s: %w", st.State, ctx.Err())
		}
	}
}

func is(s protocol.CallState) func(protocol.CallResponse) bool {
	return func(st protocol.CallResponse) bool { return st.State == s }
}

// callOf reads a board's call.
func callOf(b *rig.Board) func(context.Context) (protocol.CallResponse, error) {
	return func(ctx context.Context) (protocol.CallResponse, error) {
		return client.Call(ctx, b.Client(), protocol.GetCall, protocol.Empty{})
	}
}

// terminal is a board in this process, without a local API.
type terminal struct {
	*device.Device
	table *protocol.Table[protocol.Caller]
}

// openTerminal makes a terminal; wire, before it runs, gives it what follows it.
// It runs until stop.
func openTerminal(ctx context.Context, dir, hub, user string, app protocol.AppID, key []byte, wire func(*terminal) (run func(context.Context), err error)) (t *terminal, stop func() error, err error) {
	sig, err := usersig.Sign(usersig.Claims{UserID: user, AppID: uint32(app), IssuedAt: time.Now(), Expire: time.Hour}, key)
	if err != nil {
		return nil, nil, err
	}
	d, err := device.Open(device.Config{
		StateDir: dir, Outbox: outbox.Limits{MaxItems: 1000, MaxBytes: 1 << 20}, Journal: journal.Limits{MaxEvents: 1000, MaxBytes: 1 << 20},
		HubAddr: hub, ConnectTimeout: 10 * time.Second, KeepAlive: 10 * time.Second,
		ReconnectMin: 500 * time.Millisecond, ReconnectMax: 30 * time.Second, Beat: 30 * time.Second,
		Platform: "linux", User: user, Sig: func() (string, error) { return sig, nil },
	}, quiet)
	if err != nil {
		return nil, nil, err
	}
	t = &terminal{d, protocol.NewTable[protocol.Caller]()}
	run, err := wire(t)
	if err != nil {
		return nil, nil, errors.Join(err, d.Close())
	}
	deviceCtx, endDevice := context.WithCancel(context.WithoutCancel(ctx))
	runCtx, endRun := context.WithCancel(deviceCtx)
	ended := make(chan error, 1)
	go func() { ended <- d.Run(deviceCtx) }()
	var running sync.WaitGroup
	running.Go(func() { run(runCtx) })
	stop = func() error {
		endRun()
		running.Wait()
		endDevice()
		return <-ended
	}
	for limit := time.Now().Add(callPatience); d.Status().Link != "up"; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) || ctx.Err() != nil {
			return nil, nil, errors.Join(fmt.Errorf("%s has no link to the hub", user), stop())
		}
	}
	return t, stop, nil
}

// getCall is device.getCall.
func (t *terminal) getCall(ctx context.Context) (st protocol.CallResponse, err error) {
	out, err := t.table.CallJSON(ctx, protocol.Caller{}, protocol.GetCall.Info().Name, []byte("{}"))
	if err == nil {
		err = json.Unmarshal(out, &st)
	}
	return st, err
}

// calleeMedia is media.Engine as the agent gives it to calls, and hands on what arrives.
type calleeMedia struct {
	*media.Engine
	track func(*peer.RemoteTrack)
}

func (m calleeMedia) Figures() (*protocol.CallCamera, *protocol.CallSound) { return nil, nil }
func (m calleeMedia) ViewSelf(context.Context, string) (calling.View, error) {
	return nil, errors.ErrUnsupported
}

func (m calleeMedia) Connect(c calling.Connecting) (calling.Peer, error) {
	l, err := m.Engine.Connect(media.Linking{
		Video: c.Video, RelayOnly: c.RelayOnly, Candidate: c.Candidate, Track: m.track,
		State: func(s peer.State) {
			if s == peer.StateConnected {
				c.State(calling.PeerConnected)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return calleeLink{l}, nil
}

type calleeLink struct{ *media.Link }

func (l calleeLink) Stats() calling.PeerStats { return calling.PeerStats{} }

// SetServers: on loopback nobody needs any.
func (l calleeLink) SetServers([]protocol.ICEServer) error { return nil }

func (l calleeLink) View(context.Context, string) (calling.View, error) {
	return nil, errors.ErrUnsupported
}

// firstPicture measures how long whoever accepts a call waits for the picture of
// whoever called.
func firstPicture(ctx context.Context, b *bench) ([]row, error) {
	const calls = 20
	var took, packets []time.Duration
	eye, err := newEye(ctx)
	if err != nil {
		return nil, err
	}
	defer eye.close()
	err = b.house(ctx, func(h *rig.House, hub *rig.Hub) (err error) {
		door, err := callBoard(ctx, h, "door", hub.MQTT)
		if err != nil {
			return err
		}
		defer door.Kill()
		app, key, err := appKey(ctx, hub)
		if err != nil {
			return err
		}
		dir := filepath.Join(h.Dir, "indoor")
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		engine, err := media.New(media.Config{
			FrontCamera: media.Fake, Format: callFormat, Bitrate: callBitrate, Microphone: media.Fake, Speaker: media.Fake, Loopback: true, StateDir: dir,
		}, quiet)
		if err != nil {
			return err
		}
		defer engine.Close()
		indoor, stop, err := openTerminal(ctx, dir, hub.MQTT, "indoor", app, key, func(t *terminal) (func(context.Context), error) {
			m := calling.New(calling.Config{}, t.Device, calleeMedia{engine, eye.track}, quiet)
			m.Bind(t.table)
			return m.Run, nil
		})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
		for i := range calls + 1 {
			p, d, err := acceptOnce(ctx, door, indoor, eye)
			if err != nil {
				return fmt.Errorf("call %d: %w", i, err)
			}
			if i > 0 { // what both sides do once only is done
				took, packets = append(took, d), append(packets, p)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p50, p90 := quantile(took, 0.5), quantile(took, 0.9)
	how := fmt.Sprintf("%d calls from a board process to another one's rooms in the bench's process (device, calling, media.Engine), through a hub process, "+
		"with fake cameras and sound on both sides; each rings for half a second. Counted from the call of calling.accept to the first byte of the first "+
		"picture out of an ffmpeg that decodes H264 and was running before; the whole picture has been received after %s (median).", calls, round(quantile(packets, 0.5)))
	return []row{
		{"accept → first remote picture decoded, loopback, median", "≤ 300 ms", round(p50), p50 <= 300*time.Millisecond, how},
		{"the same, p90", "", round(p90), true, ""},
	}, nil
}

// acceptOnce has indoor accept a call, and returns when the picture was there, and
// when it was decoded.
func acceptOnce(ctx context.Context, door *rig.Board, indoor *terminal, eye *eye) (received, decoded time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*callPatience)
	defer cancel()
	c := door.Client()
	if _, err := client.Call(ctx, c, protocol.PlaceCall, protocol.CallRequest{UserID: "indoor", Type: protocol.CallTypeVideo}); err != nil {
		return 0, 0, err
	}
	if err := awaitCall(ctx, indoor.getCall, is(protocol.CallRinging)); err != nil {
		return 0, 0, err
	}
	select {
	case <-time.After(500 * time.Millisecond): // nobody is faster at the button
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	eye.open()
	began := time.Now()
	if _, err := indoor.table.CallJSON(ctx, protocol.Caller{}, protocol.AcceptCall.Info().Name, []byte("{}")); err != nil {
		return 0, 0, err
	}
	got, seen, err := eye.wait(ctx)
	if err != nil {
		return 0, 0, err
	}
	if _, err := client.Call(ctx, c, protocol.Hangup, protocol.Empty{}); err != nil {
		return 0, 0, err
	}
	err = errors.Join(awaitCall(ctx, indoor.getCall, is(protocol.CallIdle)), awaitCall(ctx, callOf(door), is(protocol.CallIdle)))
	return got.Sub(began), seen.Sub(began), err
}

// callMemory measures what two boards hold that show their cameras to each other.
func callMemory(ctx context.Context, b *bench) ([]row, error) {
	const watched = 20 * time.Second
	var most float64
	var how string
	err := b.house(ctx, func(h *rig.House, hub *rig.Hub) error {
		var boards []*rig.Board
		for _, name := range []string{"door", "indoor"} {
			x, err := callBoard(ctx, h, name, hub.MQTT)
			if err != nil {
				return err
			}
			defer x.Kill()
			boards = append(boards, x)
		}
		door, indoor := boards[0], boards[1]
		if _, err := client.Call(ctx, door.Client(), protocol.PlaceCall, protocol.CallRequest{UserID: "indoor", Type: protocol.CallTypeVideo}); err != nil {
			return err
		}
		if err := awaitCall(ctx, callOf(indoor), is(protocol.CallRinging)); err != nil {
			return err
		}
		if _, err := client.Call(ctx, indoor.Client(), protocol.AcceptCall, protocol.Empty{}); err != nil {
			return err
		}
		for _, x := range boards {
			if err := awaitCall(ctx, callOf(x), is(protocol.CallConnected)); err != nil {
				return err
			}
		}
		select {
		case <-time.After(watched):
		case <-ctx.Done():
			return ctx.Err()
		}
		var seen []string
		for _, x := range boards {
			st, err := callOf(x)(ctx)
			if err != nil {
				return err
			}
			rate := 0.0
			for _, u := range st.Users {
				rate = u.FramesPerSecond
			}
			if st.State != protocol.CallConnected || !st.CameraOn || rate == 0 {
				return fmt.Errorf("%s is no end of a call with pictures: %+v", x.User, st)
			}
			mb, err := residentMB(x.PID())
			if err != nil {
				return err
			}
			parts, err := residentParts(x.PID())
			if err != nil {
				return err
			}
			seen = append(seen, fmt.Sprintf("%s %.1f MB (%s) at %.0f pictures a second received", x.User, mb, parts, rate))
			most = max(most, mb)
		}
		how = fmt.Sprintf("VmRSS of the larger of two board processes after %v of a video call with sound, H264, fake cameras and sound, both directions: %s. "+
			"What is of the file is the program itself, which the kernel can drop and read again.", watched, strings.Join(seen, "; "))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return []row{{"agent in a 640×480 video call: RSS", "≤ 40 MB", fmt.Sprintf("%.1f MB", most), most <= 40, how}}, nil
}

// residentParts splits VmRSS into what the process has made and what is of the program's file.
func residentParts(pid int) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "", err
	}
	var parts []string
	for line := range strings.Lines(string(b)) {
		for k, what := range map[string]string{"RssAnon:": "its own", "RssFile:": "of the file"} {
			if v, ok := strings.CutPrefix(line, k); ok {
				var kb float64
				if _, err := fmt.Sscan(v, &kb); err != nil {
					return "", err
				}
				parts = append(parts, fmt.Sprintf("%.1f %s", kb*1024/1e6, what))
			}
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", "), nil
}

// signals measures the way of an offer and its answer between two boards.
func signals(ctx context.Context, b *bench) ([]row, error) {
	const n, room = 500, 7
	sdp := strings.Repeat("a=rtpmap:102 H264/90000\r\n", 80) // 2,000 bytes
	var took []time.Duration
	err := b.house(ctx, func(h *rig.House, hub *rig.Hub) (err error) {
		app, key, err := appKey(ctx, hub)
		if err != nil {
			return err
		}
		back := make(chan protocol.Peering, 8)
		answer := func(kind protocol.PeeringKind, round uint32) protocol.Peering {
			return protocol.Peering{Kind: kind, Inviter: "door", Room: room, Session: 1, Round: round, SDP: sdp, Audio: true, Video: true}
		}
		open := func(user string, heard func(d *device.Device, from, term string, p protocol.Peering)) (*terminal, func() error, error) {
			dir := filepath.Join(h.Dir, user)
			if err := os.Mkdir(dir, 0o700); err != nil {
				return nil, nil, err
			}
			return openTerminal(ctx, dir, hub.MQTT, user, app, key, func(t *terminal) (func(context.Context), error) {
				t.Follow(device.Follower{Peering: func(from, term string, p protocol.Peering) { heard(t.Device, from, term, p) }})
				return func(context.Context) {}, nil
			})
		}
		door, stop, err := open("door", func(_ *device.Device, _, _ string, p protocol.Peering) {
			select {
			case back <- p:
			default:
			}
		})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
		indoor, stopIndoor, err := open("indoor", func(d *device.Device, from, term string, p protocol.Peering) {
			_ = d.Signal(from, term, answer(protocol.PeeringAnswer, p.Round)) // an answer that fails is missed at the door
		})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stopIndoor()) }()
		// The hub hands signals on between those of one call only.
		ring := 600
		_, err = device.Ask(ctx, door.Device, protocol.Invite, protocol.InviteRequest{
			Invitee: "indoor", Timeout: &ring, Data: protocol.CallData{Command: protocol.CommandVideo, Video: true, Room: room, UserIDs: []string{"indoor"}}.Encode(),
		})
		if err != nil {
			return err
		}
		_, term := indoor.Identity()
		for i := range uint32(n + 20) {
			began := time.Now()
			if err := door.Signal("indoor", term, answer(protocol.PeeringOffer, i+1)); err != nil {
				return err
			}
			for {
				var p protocol.Peering
				select {
				case p = <-back:
				case <-time.After(callPatience):
					return fmt.Errorf("no answer to offer %d", i)
				case <-ctx.Done():
					return ctx.Err()
				}
				if p.Round == i+1 && len(p.SDP) == len(sdp) {
					break
				}
			}
			if i >= 20 {
				took = append(took, time.Since(began))
			}
			time.Sleep(20 * time.Millisecond) // the system is idle between two offers, and the hub hands on 100 a second
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p50, p99 := quantile(took, 0.5), quantile(took, 0.99)
	how := fmt.Sprintf("%d offers with %d bytes of SDP as signals from one board's device to another's, each answered by one as long, through a hub process, 20 ms apart; "+
		"the two devices share the bench's process. p99 %s.", n, len(sdp), round(p99))
	return []row{{"SDP round trip over MQTT, idle, p50", "≤ 10 ms", round(p50), p50 <= 10*time.Millisecond, how}}, nil
}
