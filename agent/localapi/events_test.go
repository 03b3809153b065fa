package localapi

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/herald-im/herald/device/journal"
	"github.com/herald-im/herald/device/store"
	"github.com/herald-im/herald/protocol"
)

func hello(at int) string { return fmt.Sprintf(": herald %s at %d", protocol.BuildVersion, at) }

func TestEventsFromNow(t *testing.T) {
	g := start(t, nil)
	g.journal.append(text(1), text(2))
	s := g.openEvents("")
	if h := s.res.Header; h.Get("Content-Type") != "text/event-stream" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("headers: %v", h)
	}
	s.expect(hello(2))
	g.journal.append(text(3))
	s.expect(textBlock(3, 3))
	g.journal.append(text(4), text(5))
	s.expect(textBlock(4, 4), textBlock(5, 5))
	if s := g.openEvents("?from=0"); s.block() != hello(5) {
		t.Error("from=0 is not like no from")
	}
}

func TestEventsResume(t *testing.T) {
	g := start(t, nil)
	for n := 1; n <= 100; n++ { // more than a batch
		g.journal.append(text(n))
	}
	s := g.openEvents("?from=1")
	s.expect(hello(100))
	for n := 1; n <= 100; n++ {
		s.expect(textBlock(uint64(n), n))
	}
	for _, c := range []struct {
		query, id string
		next      int
	}{
		{"?from=99", "", 99},
		{"", "97", 98},
		{"?from=1", "97", 98}, // a browser comes back to where it began
		{"", "0", 1},
		{"?from=101", "", 101},
		{"", "100", 101},
	} {
		s := g.openEvents(c.query, "Last-Event-ID", c.id)
		s.expect(hello(100))
		if c.next <= 100 {
			s.expect(textBlock(uint64(c.next), c.next))
			continue
		}
		g.journal.append(text(c.next))
		s.expect(textBlock(uint64(c.next), c.next))
		g.journal.forgetAfter(100)
	}
}

func TestEventsGap(t *testing.T) {
	g := start(t, nil)
	for n := 1; n <= 10; n++ {
		g.journal.append(text(n))
	}
	g.journal.trimTo(8)
	const trimmed = `id: 7|event: gap|data: {"from":4,"to":7,"reason":"trimmed"}`
	s := g.openEvents("", "Last-Event-ID", "3")
	s.expect(hello(10), trimmed, textBlock(8, 8))
	s = g.openEvents("?from=4")
	s.expect(hello(10), trimmed, textBlock(8, 8))
	s = g.openEvents("", "Last-Event-ID", "7") // nothing lost
	s.expect(hello(10), textBlock(8, 8))

	// Another journal: what is in it is all new to the reader.
	s = g.openEvents("", "Last-Event-ID", "999")
	s.expect(hello(10), `id: 7|event: gap|data: {"from":1000,"to":7,"reason":"replaced"}`, textBlock(8, 8), textBlock(9, 9))
	s = g.openEvents("", "Last-Event-ID", "18446744073709551615")
	if b := func() string { s.block(); return s.block() }(); !strings.Contains(b, "replaced") {
		t.Errorf("the last id there is: %s", b)
	}

	// The reader is told also when it falls behind with its stream open.
	slow := g.openEvents("?from=8")
	slow.expect(hello(10), textBlock(8, 8), textBlock(9, 9), textBlock(10, 10))
	func() {
		g.journal.mu.Lock()
		defer g.journal.mu.Unlock()
		g.journal.first, g.journal.events = 20, nil // ten more came and went
	}()
	g.journal.append(text(20))
	slow.expect(`id: 19|event: gap|data: {"from":11,"to":19,"reason":"trimmed"}`, textBlock(20, 20))
}

// Events may go between the look at the bounds and the read.
func TestEventsTrimmedWhileReading(t *testing.T) {
	g := start(t, nil)
	g.journal.append(text(1), text(2), text(3))
	g.journal.beforeRead = func() { g.journal.events, g.journal.first = g.journal.events[2:], 3 }
	s := g.openEvents("?from=1")
	s.expect(hello(3), `id: 2|event: gap|data: {"from":1,"to":2,"reason":"trimmed"}`, textBlock(3, 3))
}

func TestEventsOfAnEmptyJournal(t *testing.T) {
	g := start(t, nil)
	s := g.openEvents("?from=1")
	s.expect(hello(0))
	g.journal.append(text(1))
	s.expect(textBlock(1, 1))
	s = g.openEvents("", "Last-Event-ID", "5")
	s.expect(hello(1), `id: 0|event: gap|data: {"from":6,"to":0,"reason":"replaced"}`, textBlock(1, 1))
}

// TestEventsWaitForTheDisk looks again and again at a journal whose store shows
// events that it does not know to be on disk yet.
func TestEventsWaitForTheDisk(t *testing.T) {
	db, _, err := store.Open(store.Options{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	j, err := journal.Open(db, journal.Limits{MaxEvents: 100, MaxBytes: 1 << 20})
	if err == nil {
		err = j.Write(text(1), text(2))
	}
	if err != nil {
		t.Fatal(err)
	}
	g := startOver(t, j, nil)
	s := g.openEvents("?from=1")
	s.expect(hello(2), textBlock(1, 1), textBlock(2, 2))

	written, onDisk := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(onDisk) })
	t.Cleanup(release)
	db.Go(func(tx *bbolt.Tx) error { return j.Append(tx, text(3)) }, func(err error) {
		close(written)
		<-onDisk
		j.Committed(err)
	})
	<-written
	up := moment(protocol.OnConnectSuccess, protocol.Empty{})
	for range 3 {
		g.moments.raise(up)
		s.expect(fmt.Sprintf("event: im.onConnectSuccess|data: %s", up.JSON))
	}
	release()
	s.expect(textBlock(3, 3))
}

func TestTransientEvents(t *testing.T) {
	g := start(t, nil)
	s := g.openEvents("")
	s.expect(hello(0))
	up := moment(protocol.OnConnectSuccess, protocol.Empty{})
	g.moments.raise(up)
	s.expect(`event: im.onConnectSuccess|data: {"eventType":"onConnectSuccess"}`)
	g.journal.append(text(1))
	s.expect(textBlock(1, 1))

	simple := g.openEvents("?listen=simple")
	simple.expect(hello(1))
	g.moments.raise(up)
	g.journal.append(text(2))
	simple.expect(textBlock(2, 2))

	s.stop()
	simple.stop()
	for { // a stream that ended watches no more
		g.moments.mu.Lock()
		n := len(g.moments.watchers)
		g.moments.mu.Unlock()
		if n == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
}

func TestListen(t *testing.T) {
	g := start(t, nil)
	replaced := moment(protocol.OnStoreReplaced, protocol.StoreReplacedEvent{Reason: "r", SetAside: "f"})
	status := moment(protocol.OnMessageStatusChanged, protocol.MessageStatusEvent{MsgID: "m", Status: 1})
	g.journal.append(replaced, text(2), status)
	block := func(pos uint64, o protocol.Occurrence) string {
		return fmt.Sprintf("id: %d|event: %s|data: %s", pos, o.Info.Name, o.JSON)
	}
	for query, want := range map[string][]string{
		"?from=1":                              {block(1, replaced), block(2, text(2)), block(3, status)},
		"?from=1&listen=simple":                {block(2, text(2)), block(3, status)},
		"?from=1&listen=device":                {block(1, replaced)},
		"?from=1&listen=advanced":              {block(3, status)},
		"?from=1&listen=device,advanced":       {block(1, replaced), block(3, status)},
		"?from=1&listen=device&listen=simple":  {block(1, replaced), block(2, text(2)), block(3, status)},
		"?from=1&listen=device&stream=default": {block(1, replaced)},
	} {
		s := g.openEvents(query)
		s.expect(append([]string{hello(3)}, want...)...)
	}
}

func TestBadEventsQuery(t *testing.T) {
	g := start(t, nil)
	for _, c := range []struct{ query, id, says string }{
		{"?listen=simple,pigeons", "", `"pigeons", only sdk, simple, advanced, device`},
		{"?listen=", "", "only sdk"},
		{"?from=-1", "", `from: "-1"`},
		{"?from=x", "", `from: "x"`},
		{"?from=99999999999999999999", "", "from"},
		{"?stream=a%20b", "", "stream"},
		{"?stream=" + strings.Repeat("x", 65), "", "stream"},
		{"?from=%zz", "", "query"},
		{"", "x", `Last-Event-ID: "x"`},
	} {
		r := request(t, "GET", "http://socket/v1/events"+c.query, "")
		if c.id != "" {
			r.Header.Set("Last-Event-ID", c.id)
		}
		if a := do(t, g.client(), r); a.status != 400 || a.Code != 6017 || !strings.Contains(a.Msg, c.says) {
			t.Errorf("%s: %d %s", c.query, a.status, a.raw)
		}
	}
	r := request(t, "GET", "http://socket/v1/events", "a body")
	if a := do(t, g.client(), r); a.status != 400 || !strings.Contains(a.Msg, "no body") {
		t.Errorf("with a body: %d %s", a.status, a.raw)
	}
}

// What im.set…Listener subscribes holds for the open stream at once, and for
// the next one of that name.
func TestListenersOfAStream(t *testing.T) {
	g := start(t, func(_ *Config, tm *timing) { tm.heartbeat = 10 * time.Millisecond })
	must := func(method, body string) {
		t.Helper()
		if a := g.post("/v1/im/"+method, body); a.status != 200 {
			t.Fatalf("%s: %s", method, a.raw)
		}
	}
	kicked := moment(protocol.OnKickedOffline, protocol.Error{Code: 6208, Msg: "k"})
	kickedBlock := func(pos int) string {
		return fmt.Sprintf("id: %d|event: im.onKickedOffline|data: %s", pos, kicked.JSON)
	}
	panel, standard := g.openEvents("?stream=panel"), g.openEvents("?stream=")
	panel.expect(hello(0))
	standard.expect(hello(0))
	g.journal.append(text(1)) // nobody listens yet
	panel.until(": ping|id: 1")
	standard.until(": ping|id: 1")

	must("setSimpleMsgListener", `{"stream":"panel"}`)
	g.journal.append(text(2), kicked)
	panel.until(textBlock(2, 2))
	panel.until(": ping|id: 3")
	standard.until(": ping|id: 3")
	must("setSDKListener", `{"stream":"panel"}`)
	must("setSDKListener", ``)
	g.journal.append(text(4), kicked)
	panel.until(textBlock(4, 4))
	panel.until(kickedBlock(5))
	standard.until(kickedBlock(5))
	must("removeSimpleMsgListener", `{"stream":"panel"}`)
	must("removeSimpleMsgListener", `{"stream":"nobody"}`)
	g.journal.append(text(6), kicked)
	panel.until(kickedBlock(7))

	panel.stop()
	panel = g.openEvents("?stream=panel", "Last-Event-ID", "5")
	panel.expect(hello(7))
	panel.until(kickedBlock(7))
}

func TestHeartbeat(t *testing.T) {
	g := start(t, func(_ *Config, tm *timing) { tm.heartbeat = time.Millisecond })
	s := g.openEvents("?listen=device")
	s.expect(hello(0), ": ping", ": ping")
	g.journal.append(text(1), text(2))
	for { // what went by unwanted is told, so that the reader need not come back to it
		if b := s.block(); b == ": ping|id: 2" {
			break
		} else if b != ": ping" {
			t.Fatalf("got %s", b)
		}
	}
	s.expect(": ping")
}

// The time to take what is written begins anew with each write.
func TestStreamLives(t *testing.T) {
	g := start(t, func(_ *Config, tm *timing) { tm.write, tm.heartbeat = 200*time.Millisecond, 100*time.Millisecond })
	s := g.openEvents("")
	s.expect(hello(0), ": ping", ": ping", ": ping", ": ping", ": ping", ": ping")
}

func TestStreamLimit(t *testing.T) {
	g := start(t, func(c *Config, _ *timing) { c.MaxStreams = 2 })
	a, b := g.openEvents(""), g.openEvents("")
	a.expect(hello(0))
	b.expect(hello(0))
	get := func() answer { return do(t, g.client(), request(t, "GET", "http://socket/v1/events", "")) }
	if x := get(); x.status != 503 || x.Code != 9507 || !strings.Contains(x.Msg, "2") {
		t.Errorf("the third: %d %s", x.status, x.raw)
	}
	if x := g.post("/v1/im/getVersion", "{}"); x.status != 200 {
		t.Errorf("a call meanwhile: %s", x.raw)
	}
	a.stop()
	for {
		res, err := g.client().Get("http://socket/v1/events")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode == 200 {
			break
		}
	}
}

// A reader that does not read is cut, holds nobody else up, and can resume.
func TestSlowReader(t *testing.T) {
	g := start(t, func(_ *Config, tm *timing) { tm.write = time.Second })
	c, err := net.Dial("unix", g.sock)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
	for len(g.server.slots) == 0 {
		time.Sleep(time.Millisecond)
	}
	quick := g.openEvents("")
	quick.block()
	for g.journal.lastPos() < 4 {
		g.journal.append(text(1))
	}
	big := moment(protocol.OnRecvC2CTextMessage, protocol.C2CTextEvent{Text: strings.Repeat("x", 8192)})
	go func() { // reads on
		_, _ = io.Copy(io.Discard, quick.in)
	}()
	for g.server.counts.cut.Get() == 0 {
		if g.journal.lastPos() < 1000 { // 8 MB, more than any socket's buffer
			g.journal.append(big, big, big, big)
		}
		time.Sleep(time.Millisecond)
	}
	if got, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 200 ") || len(got) > 4<<20 {
		t.Errorf("the slow reader got %d bytes, %v", len(got), err)
	}
	if n := g.server.counts.cut.Get(); n != 1 {
		t.Errorf("%d streams were cut", n)
	}
}

func (j *memJournal) forgetAfter(pos uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = j.events[:pos-j.first+1]
}

func (j *memJournal) lastPos() uint64 { _, last := j.Bounds(); return last }

// Every event is flushed when it is there, not when a buffer is full.
func TestEventsOverTCP(t *testing.T) {
	g := start(t, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	res, err := http.DefaultClient.Do(g.overTCP("GET", "/v1/events", "").WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	buf := make([]byte, 4096)
	n, err := res.Body.Read(buf)
	if err != nil || string(buf[:n]) != hello(0)+"\n\n" {
		t.Fatalf("%q %v", buf[:n], err)
	}
	g.journal.append(text(1))
	if n, err = res.Body.Read(buf); err != nil || !strings.HasSuffix(string(buf[:n]), "}\n\n") {
		t.Fatalf("%q %v", buf[:n], err)
	}
}
