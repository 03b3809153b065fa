package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/herald-im/herald/agent/localapi"
	"github.com/herald-im/herald/device/journal"
	"github.com/herald-im/herald/protocol"
)

// daemon is a local API with made-up answers.
type daemon struct {
	t        *testing.T
	sock     string
	status   protocol.StatusResponse
	queue    protocol.QueueResponse
	queued   bool   // what is sent is queued
	sent     string // what was sent last, and to whom
	journal  *memJournal
	calls    fakeCalls
	messages fakeMessages
	end      func()
}

// start runs the daemon; it may be called again after end.
func (d *daemon) start() {
	d.t.Helper()
	log := slog.New(slog.DiscardHandler)
	table := protocol.NewTable[protocol.Caller]()
	streams := localapi.NewStreams(log)
	streams.Bind(table)
	send := func(sent string) (protocol.SendResponse, error) {
		if strings.Contains(sent, "to nobody") {
			return protocol.SendResponse{}, protocol.Errorf(protocol.CodeSvrMsgToAccountNotFound, "userId: there is no account \"nobody\"\x1b[2J")
		}
		d.sent = sent
		return protocol.SendResponse{MsgID: "m-1", Queued: d.queued}, nil
	}
	protocol.Bind(table, protocol.SendC2CTextMessage, func(_ context.Context, _ protocol.Caller, r protocol.C2CTextRequest) (protocol.SendResponse, error) {
		return send("text " + r.Text + " to " + r.UserID)
	})
	protocol.Bind(table, protocol.SendC2CCustomMessage, func(_ context.Context, _ protocol.Caller, r protocol.C2CCustomRequest) (protocol.SendResponse, error) {
		return send("custom " + r.CustomData + " to " + r.UserID)
	})
	protocol.Bind(table, protocol.SendGroupTextMessage, func(_ context.Context, _ protocol.Caller, r protocol.GroupTextRequest) (protocol.SendResponse, error) {
		return send("text " + r.Text + " to group " + r.GroupID)
	})
	protocol.Bind(table, protocol.SendGroupCustomMessage, func(_ context.Context, _ protocol.Caller, r protocol.GroupCustomRequest) (protocol.SendResponse, error) {
		return send("custom " + r.CustomData + " to group " + r.GroupID)
	})
	protocol.Bind(table, protocol.GetStatus, func(context.Context, protocol.Caller, protocol.Empty) (protocol.StatusResponse, error) {
		return d.status, nil
	})
	protocol.Bind(table, protocol.GetQueue, func(context.Context, protocol.Caller, protocol.QueueRequest) (protocol.QueueResponse, error) {
		return d.queue, nil
	})
	protocol.Bind(table, protocol.GetVersion, func(context.Context, protocol.Caller, protocol.Empty) (protocol.VersionResponse, error) {
		return protocol.VersionResponse{Version: "test"}, nil
	})
	d.calls.bind(table, d.journal)
	d.messages.bind(table)
	s, err := localapi.Open(localapi.Config{Socket: d.sock, MaxStreams: 8}, localapi.Parts{
		Table: table, Streams: streams, Journal: d.journal, Moments: d.journal, Files: &d.messages,
		Health: func() error { return nil }, Metrics: metrics.NewSet(), Log: log,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	d.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			d.t.Error(err)
		}
	})
	d.t.Cleanup(d.end)
}

func newDaemon(t *testing.T) *daemon {
	t.Helper()
	d := &daemon{t: t, sock: filepath.Join(t.TempDir(), "s.sock"), journal: &memJournal{changed: make(chan struct{})}}
	d.start()
	return d
}

// memJournal is a journal in memory, whose moments are given to one watcher.
type memJournal struct {
	mu      sync.Mutex
	events  []journal.Event
	trimmed uint64
	changed chan struct{}
	moments chan protocol.Occurrence
}

func (j *memJournal) Bounds() (first, last uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.trimmed + 1, j.trimmed + uint64(len(j.events))
}

func (j *memJournal) Read(after uint64, max int) ([]journal.Event, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := min(int(after-j.trimmed), len(j.events))
	return j.events[i:min(i+max, len(j.events))], nil
}

func (j *memJournal) Changed() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.changed
}

func (j *memJournal) Watch() (<-chan protocol.Occurrence, func()) { return j.moments, func() {} }

func (j *memJournal) append(o protocol.Occurrence) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, journal.Event{Pos: j.trimmed + uint64(len(j.events)) + 1, Occurrence: o})
	close(j.changed)
	j.changed = make(chan struct{})
}

func occur[T any](t *testing.T, e protocol.Event[T], data T) protocol.Occurrence {
	t.Helper()
	o, err := e.New(data)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// noon is the time in these tests.
var noon = time.Date(2026, 7, 30, 12, 0, 0, 0, time.UTC)

func newShell(in string, out, err io.Writer) *shell {
	return &shell{in: strings.NewReader(in), out: out, err: err, env: func(string) string { return "" },
		now: func() time.Time { return noon }, zone: time.UTC, piped: in != ""}
}

// herald runs a command line against d and returns what it printed.
func (d *daemon) herald(in string, args ...string) (code int, out, errs string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var o, e bytes.Buffer
	code = execute(ctx, append(args, "--socket", d.sock), newShell(in, &o, &e))
	return code, o.String(), e.String()
}

func TestCommandLine(t *testing.T) {
	d := newDaemon(t)
	for _, c := range []struct {
		args []string
		code int
		says string // on stderr if code is not 0
	}{
		{[]string{}, 0, "herald run"},
		{[]string{"--help"}, 0, "Exit codes"},
		{[]string{"pigeon"}, 2, `unknown command "pigeon" for "herald"`},
		{[]string{"send"}, 2, "USER and TEXT"},
		{[]string{"send", "indoor", "two", "words"}, 2, "put quotes"},
		{[]string{"send", "--group", "g", "indoor", "x"}, 2, "put quotes"},
		{[]string{"send", "--colour"}, 2, "--colour"},
		{[]string{"send", "--location", "", "indoor", "x"}, 2, "--location is empty"},
		{[]string{"send", "--image", "", "indoor"}, 2, "--image is empty"},
		{[]string{"send", "--image", "p", "--file", "f", "indoor"}, 2, "a message has one of them"},
		{[]string{"send", "--image", "p", "--online", "indoor"}, 2, "goes without"},
		{[]string{"send", "--custom", "--location", "1,2", "indoor", "x"}, 2, "a message is one of them"},
		{[]string{"send", "--video", "v.mp4", "indoor"}, 2, "--video needs --snapshot"},
		{[]string{"send", "--image", "p", "indoor", "x"}, 2, "the message needs USER: 2 words"},
		{[]string{"send", "--image", "p", "--group", "g", "x"}, 2, "the message needs nothing else"},
		{[]string{"send", "--location", "north", "indoor", "x"}, 2, "not LAT,LON"},
		{[]string{"send", "--image", "/no/such", "indoor"}, 1, "/no/such"},
		{[]string{"send", "--image", "/", "indoor"}, 1, "/: not a file"},
		{[]string{"history"}, 2, "USER or --group GROUP"},
		{[]string{"history", "indoor", "--group", "g"}, 2, "USER or --group GROUP"},
		{[]string{"history", "indoor", "--count", "101"}, 2, "--count 101"},
		{[]string{"history", "indoor", "--before", "x"}, 1, "not the id of a message"},
		{[]string{"conversations", "indoor"}, 2, "indoor"},
		{[]string{"conversations", "--count", "0"}, 2, "--count 0"},
		{[]string{"get"}, 2, "accepts 1 arg"},
		{[]string{"get", "x"}, 1, "not the id of a message"},
		{[]string{"history", "--group", ""}, 2, "--group is empty"},
		{[]string{"history", "--before", "", "indoor"}, 2, "--before is empty"},
		{[]string{"status", "now"}, 2, "now"},
		{[]string{"queue", "--count", "0"}, 2, "--count 0"},
		{[]string{"queue", "--count", "1001"}, 2, "--count 1001"},
		{[]string{"queue", "--count", "x"}, 2, "count"},
		{[]string{"events", "--from", "-1"}, 2, "from"},
		{[]string{"events", "--listen", "pigeons"}, 1, "(code 6017)"},
		{[]string{"api", "im.sendPigeon"}, 2, `there is no method "im.sendPigeon"`},
		{[]string{"api", "im.login", "[]"}, 2, "not a JSON object"},
		{[]string{"api", "im.login", "{"}, 2, "not a JSON object"},
		{[]string{"api", "im.login", "{}", "{}"}, 2, "at most 2"},
		{[]string{"completion", "bash"}, 0, "__start_herald"},
		{[]string{"__complete", "api", ""}, 0, "im.login\tlogs an account in"},
		{[]string{"__complete", "events", "--listen", ""}, 0, "simple\n"},
	} {
		// Completion takes the words as they are.
		code, out, errs := d.herald("", c.args...)
		if len(c.args) > 0 && c.args[0] == "__complete" {
			var o, e bytes.Buffer
			code = execute(context.Background(), c.args, newShell("", &o, &e))
			out, errs = o.String(), ""
		}
		said := out
		if c.code != 0 {
			said = errs
			if !strings.HasPrefix(errs, "herald: ") || strings.Count(errs, "\n") != 1 {
				t.Errorf("%q: not one sentence: %q", c.args, errs)
			}
			if c.code == 2 && !strings.Contains(errs, "--help)") {
				t.Errorf("%q: no way out: %s", c.args, errs)
			}
		}
		if code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("%q: exit %d, want %d and %q in\n%s%s", c.args, code, c.code, c.says, out, errs)
		}
	}
}

func TestSocketChoice(t *testing.T) {
	d := newDaemon(t)
	var out, errs bytes.Buffer
	sh := newShell("", &out, &errs)
	sh.env = func(name string) string { return map[string]string{"HERALD_SOCKET": d.sock}[name] }
	if code := execute(context.Background(), []string{"queue"}, sh); code != 0 || out.String() != "queue: empty\n" {
		t.Errorf("by the environment: %d %s%s", code, &out, &errs)
	}
	for _, command := range [][]string{{"status"}, {"send", "a", "b"}, {"events"}, {"queue"}, {"api", "im.getVersion"}} {
		errs.Reset()
		code := execute(context.Background(), append(command, "--socket", "/no/such.sock"), sh)
		if code != 1 || !strings.Contains(errs.String(), "there is no socket /no/such.sock; start it") {
			t.Errorf("%q without a daemon: %d %s", command, code, &errs)
		}
	}
}

func TestVersion(t *testing.T) {
	d := newDaemon(t)
	if code, out, _ := d.herald("", "version"); code != 0 || !strings.HasPrefix(out, "herald "+protocol.BuildVersion+" (go1.") {
		t.Errorf("%d %s", code, out)
	}
	if code, out, _ := d.herald("", "version", "--json"); code != 0 || !strings.HasPrefix(out, `{"version":"`+protocol.BuildVersion+`","go":"go1.`) {
		t.Errorf("%d %s", code, out)
	}
}
