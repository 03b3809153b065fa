package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/herald-im/herald/protocol"
)

// turn is how the daemon of a test answers one request for events.
type turn struct {
	query, id string // that are asked for
	status    int    // 0: 200
	body      string
	hold      bool // keep the stream open
}

// script answers each request for events by its turn. Past the last one it
// fails the test.
func script(t *testing.T, turns ...turn) *Client {
	t.Helper()
	var n atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		i := int(n.Add(1)) - 1
		if i >= len(turns) {
			t.Errorf("an attempt too many: %s", r.URL)
			w.WriteHeader(400)
			return
		}
		want := turns[i]
		if r.URL.Path != "/v1/events" || r.URL.RawQuery != want.query || r.Header.Get("Last-Event-ID") != want.id {
			t.Errorf("attempt %d: asked %s after %q, want ?%s after %q", i, r.URL, r.Header.Get("Last-Event-ID"), want.query, want.id)
		}
		if want.status != 0 {
			w.WriteHeader(want.status)
		}
		_, _ = io.WriteString(w, want.body)
		if want.hold {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	})
	c.patience.minWait, c.patience.maxWait = time.Millisecond, 2*time.Millisecond
	return c
}

const hello = ": herald test at 5\n\n"

var errEnough = errors.New("enough")

// collect reads events until there are n.
func collect(t *testing.T, c *Client, o EventsOptions, n int) (got []string, err error) {
	t.Helper()
	err = c.Events(within(t), o, func(e Event) error {
		got = append(got, fmt.Sprintf("%d %s %s", e.Pos, e.Name, e.Data))
		if len(got) == n {
			return errEnough
		}
		return nil
	})
	return got, err
}

func expect(t *testing.T, got []string, err error, want ...string) {
	t.Helper()
	if !errors.Is(err, errEnough) || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestEventsResume(t *testing.T) {
	c := script(t,
		turn{query: "listen=simple%2Csdk&stream=panel", body: hello +
			"event: im.onConnecting\ndata: {}\n\nid: 6\nevent: im.a\ndata: {\"a\":1}\n\n: ping\nid: 8\n\nid: 9\nevent: im.cutOff\ndata: {"},
		turn{query: "listen=simple%2Csdk&stream=panel", id: "8", status: 503, body: `{"code":9507,"msg":"busy"}`},
		turn{query: "listen=simple%2Csdk&stream=panel", id: "8", status: 502, body: `a proxy`},
		turn{query: "listen=simple%2Csdk&stream=panel", id: "8", body: ": herald next at 9\n\nid: 9\nevent: im.b\ndata: {}\n\n", hold: true},
	)
	var log []string
	got, err := collect(t, c, EventsOptions{
		Listen: []string{"simple", "sdk"}, Stream: "panel",
		Connected: func(version string, last uint64) { log = append(log, fmt.Sprint(version, " ", last)) },
		Interrupted: func(err error, wait time.Duration) {
			if wait <= 0 || wait > c.patience.maxWait {
				t.Errorf("waits %v", wait)
			}
			log = append(log, err.Error())
		},
	}, 3)
	expect(t, got, err, "0 im.onConnecting {}", `6 im.a {"a":1}`, "9 im.b {}")
	want := "test 5|the daemon has ended the stream|busy (code 9507)|" + c.where + " answers 502 Bad Gateway, which is not herald's|next 9"
	if strings.Join(log, "|") != want {
		t.Errorf("told %s\nwant %s", strings.Join(log, "|"), want)
	}
}

// Who wants what happens from now on misses nothing that happens while the
// first stream is interrupted.
func TestEventsFromNowResume(t *testing.T) {
	c := script(t, turn{body: hello}, turn{id: "5", body: hello + "id: 6\nevent: im.a\ndata: {}\n\n"})
	got, err := collect(t, c, EventsOptions{}, 1)
	expect(t, got, err, "6 im.a {}")
}

func TestEventsFrom(t *testing.T) {
	c := script(t, turn{query: "from=3", body: hello}, turn{query: "from=3", body: hello + "id: 3\nevent: im.a\ndata: {}\n\n"},
		turn{id: "3", body: hello + "id: 40\nevent: gap\ndata: {\"from\":4,\"to\":40,\"reason\":\"trimmed\"}\n\n"})
	got, err := collect(t, c, EventsOptions{From: 3}, 2)
	expect(t, got, err, "3 im.a {}", `40 gap {"from":4,"to":40,"reason":"trimmed"}`)

	c = script(t, turn{id: "7", body: hello + "id: 8\nevent: im.a\ndata: {}\n\n"})
	got, err = collect(t, c, EventsOptions{From: 3, LastID: 7}, 1)
	expect(t, got, err, "8 im.a {}")
}

func TestEventsEnd(t *testing.T) {
	refusal := turn{status: 400, body: `{"code":6017,"msg":"events: listen"}`}
	long := turn{body: hello + "event: im.a\ndata: " + strings.Repeat("x", maxLine+1) + "\n\n"}
	longer := turn{body: hello + "event: im.a\n" + strings.Repeat("data: "+strings.Repeat("x", maxLine/2)+"\n", 3) + "\n"}
	for name, c := range map[string]struct {
		turns []turn
		says  string
	}{
		"refused at first":    {[]turn{refusal}, "code 6017"},
		"refused later":       {[]turn{{body: hello}, {id: "5", status: 400, body: refusal.body}}, "code 6017"},
		"busy at first":       {[]turn{{status: 503, body: `{"code":9507,"msg":"busy"}`}}, "code 9507"},
		"not herald at first": {[]turn{{status: 404, body: "?"}}, "not herald's"},
		"a long line":         {[]turn{long}, "over 1048576 bytes"},
		"a long event":        {[]turn{longer}, "over 1048576 bytes"},
		"a wrong id":          {[]turn{{body: hello + "id: x\n\n"}}, `"x" is not a position`},
	} {
		got, err := collect(t, script(t, c.turns...), EventsOptions{}, 1)
		if err == nil || !strings.Contains(err.Error(), c.says) || len(got) > 0 {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	var e *protocol.Error
	if _, err := collect(t, script(t, refusal), EventsOptions{}, 1); !errors.As(err, &e) {
		t.Errorf("%T", err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	c := script(t, turn{body: hello, hold: true})
	if err := c.Events(ctx, EventsOptions{Connected: func(string, uint64) { cancel() }}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	c = script(t, turn{body: hello})
	c.patience.minWait, c.patience.maxWait = time.Hour, time.Hour
	if err := c.Events(ctx, EventsOptions{Interrupted: func(error, time.Duration) { cancel() }}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while waiting: %v", err)
	}
}

// A daemon or a network that is gone without a word is noticed.
func TestEventsSilence(t *testing.T) {
	c := script(t, turn{body: hello, hold: true}, turn{id: "5", body: hello + "id: 6\nevent: im.a\ndata: {}\n\n"})
	c.patience.silence = 50 * time.Millisecond
	var why error
	got, err := collect(t, c, EventsOptions{Interrupted: func(err error, _ time.Duration) { why = err }}, 1)
	expect(t, got, err, "6 im.a {}")
	if !errors.Is(why, errSilent) {
		t.Errorf("interrupted by %v", why)
	}
	c = script(t, turn{hold: true})
	c.patience.connect = 50 * time.Millisecond
	c.patience.silence = 50 * time.Millisecond
	if _, err := collect(t, c, EventsOptions{}, 1); !errors.Is(err, errSilent) {
		t.Errorf("a stream that does not begin: %v", err)
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte(hello + "id: 6\nevent: im.a\ndata: {\"a\":1}\n\n: ping\nid: 8\n\n"))
	f.Add([]byte("data\n\nevent\nid: 99999999999999999999\n\n: herald at at 1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		in := newReader(bytes.NewReader(raw))
		for {
			b, err := in.next()
			if err != nil {
				return
			}
			if len(b.data) > maxLine || b.pos > 0 && !b.hasPos {
				t.Errorf("%+v", b)
			}
		}
	})
}
