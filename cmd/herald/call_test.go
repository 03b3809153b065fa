package main

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/herald-im/herald/protocol"
)

// fakeCalls answers the methods of calls: what was asked is kept, and a call goes
// as a test wants it.
type fakeCalls struct {
	mu      sync.Mutex
	asked   []string
	refuse  protocol.Code
	becomes []protocol.Occurrence // events that follow a call
	state   protocol.CallResponse
	devices []protocol.MediaDevice
}

func (f *fakeCalls) bind(t *protocol.Table[protocol.Caller], j *memJournal) {
	ask := func(method string, r any) (protocol.Empty, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		b, err := json.Marshal(r)
		f.asked = append(f.asked, method+" "+string(b))
		if f.refuse != 0 {
			return protocol.Empty{}, protocol.Errorf(f.refuse, "there is a call already")
		}
		for _, o := range f.becomes {
			j.append(o)
		}
		return protocol.Empty{}, err
	}
	protocol.Bind(t, protocol.PlaceCall, func(_ context.Context, _ protocol.Caller, r protocol.CallRequest) (protocol.Empty, error) {
		return ask("call", r)
	})
	protocol.Bind(t, protocol.PlaceGroupCall, func(_ context.Context, _ protocol.Caller, r protocol.GroupCallRequest) (protocol.Empty, error) {
		return ask("groupCall", r)
	})
	for name, m := range map[string]protocol.Method[protocol.Empty, protocol.Empty]{
		"accept": protocol.AcceptCall, "reject": protocol.RejectCall, "hangup": protocol.Hangup,
	} {
		protocol.Bind(t, m, func(_ context.Context, _ protocol.Caller, r protocol.Empty) (protocol.Empty, error) {
			return ask(name, r)
		})
	}
	protocol.Bind(t, protocol.GetCall, func(context.Context, protocol.Caller, protocol.Empty) (protocol.CallResponse, error) {
		return f.state, nil
	})
	protocol.Bind(t, protocol.GetMediaDevices, func(context.Context, protocol.Caller, protocol.Empty) (protocol.MediaDevicesResponse, error) {
		return protocol.MediaDevicesResponse{List: f.devices}, nil
	})
}

func occurrence[T any](t *testing.T, e protocol.Event[T], data T) protocol.Occurrence {
	t.Helper()
	o, err := e.New(data)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestCallIsAnswered(t *testing.T) {
	d := newDaemon(t)
	d.calls.becomes = []protocol.Occurrence{occurrence(t, protocol.OnUserEnter, protocol.CallUserEvent{UserID: "indoor"})}
	code, out, errs := d.herald("", "call", "indoor", "--video", "--timeout", "45")
	if code != 0 || errs != "" || !strings.Contains(out, "ringing indoor") || !strings.Contains(out, "indoor is connected") {
		t.Errorf("%d %q %q", code, out, errs)
	}
	if got := strings.Join(d.calls.asked, "\n"); got != `call {"userId":"indoor","type":1,"timeout":45}` {
		t.Error(got)
	}
}

func TestCallIsNotAnswered(t *testing.T) {
	d := newDaemon(t)
	d.calls.becomes = []protocol.Occurrence{
		occurrence(t, protocol.OnLineBusy, protocol.CallUserEvent{UserID: "indoor"}),
		occurrence(t, protocol.OnCallEnd, protocol.CallEndEvent{Reason: protocol.EndBusy}),
	}
	code, out, errs := d.herald("", "call", "--first", "indoor", "phone")
	if code != 1 || errs != "" || !strings.Contains(out, "indoor is busy") || !strings.Contains(out, "ended (busy)") {
		t.Errorf("%d %q %q", code, out, errs)
	}
	if got := strings.Join(d.calls.asked, "\n"); got != `groupCall {"userIdList":["indoor","phone"],"type":2,"answer":"first"}` {
		t.Error(got)
	}
	d.calls.refuse = protocol.CodeCallWrongState
	if code, _, errs := d.herald("", "call", "indoor"); code != 1 || !strings.Contains(errs, "there is a call already") {
		t.Errorf("%d %q", code, errs)
	}
}

func TestCallCommands(t *testing.T) {
	d := newDaemon(t)
	for _, x := range []struct{ command, says string }{{"accept", "accepted\n"}, {"reject", "rejected\n"}, {"hangup", "hung up\n"}} {
		if code, out, errs := d.herald("", x.command); code != 0 || out != x.says || errs != "" {
			t.Errorf("%s: %d %q %q", x.command, code, out, errs)
		}
	}
	if code, out, _ := d.herald("", "call", "indoor", "--no-wait"); code != 0 || out != "" {
		t.Errorf("%d %q", code, out)
	}
	if code, _, errs := d.herald("", "call"); code != 2 || errs == "" {
		t.Errorf("%d %q", code, errs)
	}
	d.calls.refuse = protocol.CodeCallWrongState
	if code, out, _ := d.herald("", "accept", "--json"); code != 1 || !strings.HasPrefix(out, `{"code":-1203,`) {
		t.Errorf("%d %q", code, out)
	}
}

func TestDevices(t *testing.T) {
	d := newDaemon(t)
	d.calls.devices = []protocol.MediaDevice{
		{Kind: "camera", Device: "/dev/video0", Name: "USB\x1b[2J Camera", Use: "front", State: "failed", Error: "no such device", Formats: []string{"YUYV 640×480 30/s"}},
		{Kind: "speaker", Device: "default", Use: "speaker", State: "closed"},
	}
	code, out, errs := d.herald("", "devices")
	if code != 0 || errs != "" || strings.Contains(out, "\x1b") {
		t.Errorf("%d %q %q", code, out, errs)
	}
	for _, want := range []string{"/dev/video0", "front", "failed: no such device", "YUYV 640×480 30/s", "no microphone was found", "default"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestStatusTellsOfTheCall(t *testing.T) {
	d := newDaemon(t)
	d.status = protocol.StatusResponse{Link: "up", UserID: "door", Journal: protocol.JournalStatus{First: 1}}
	d.calls.state = protocol.CallResponse{State: protocol.CallConnected, Type: protocol.CallTypeVideo, Seconds: 75, Users: []protocol.CallUser{
		{UserID: "indoor", State: "connected", VideoCodec: "H264", FramesPerSecond: 29.7, RoundTripMs: 3.21},
	}}
	if _, out, _ := d.herald("", "status"); !strings.Contains(out, "call     video call, connected: indoor connected, H264 30 pictures/s, round trip 3.2 ms (1m15s)\n") {
		t.Error(out)
	}
}

// TestDeviceRows: what people are told of a call's devices.
func TestDeviceRows(t *testing.T) {
	rows := deviceRows(&protocol.CallResponse{
		State: protocol.CallConnected,
		Camera: &protocol.CallCamera{
			Device: "/dev/video0", State: "running", Format: "YUYV 640×480", FramesPerSecond: 14.96, Warning: "the camera gives 15 pictures/s, not 30",
			Streams: []protocol.CallStream{{Codec: "H264", Width: 640, Height: 480, FramesPerSecond: 15, Bitrate: 850_000}},
		},
		Sound: &protocol.CallSound{Microphone: "running", Speaker: "failed", Xruns: 2, Echo: "cancel", EchoRemovedDb: 21.4, SpeakerError: "the speaker cannot be used"},
	})
	want := [][]string{
		{"camera", "/dev/video0 running, YUYV 640×480 at 14.96/s; H264 640×480 at 15/s, 850 kbit/s"},
		{"", "the camera gives 15 pictures/s, not 30"},
		{"sound", "microphone running, speaker failed, not served in time 2 times, echo cancelled by 21 dB"},
		{"", "the speaker cannot be used"},
	}
	if !reflect.DeepEqual(rows, want) {
		t.Errorf("%q", rows)
	}
}

func TestFormats(t *testing.T) {
	list := []string{"YU12 320×180 60/s", "YU12 640×480 25/s", "YUYV 320×180 60/s", "YUYV 640×480 25/s", "MJPG 1280×720 30/s", "S16 48000 Hz 2 channels"}
	if got, want := formats(list), "YU12/YUYV 320×180 60/s, 640×480 25/s; MJPG 1280×720 30/s; S16 48000 Hz 2 channels"; got != want {
		t.Errorf("%q", got)
	}
	if got := formats(nil); got != "" {
		t.Errorf("%q", got)
	}
}
