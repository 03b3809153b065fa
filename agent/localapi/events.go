package localapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/herald-im/herald/protocol"
)

// The size of what a stream takes into memory at once: so many events of the
// journal, and so many bytes before it hands them to the kernel.
const (
	eventBatch   = 32
	flushAtBytes = 64 << 10
)

// eventsQuery is what a reader asks for.
type eventsQuery struct {
	resume bool   // after is given; otherwise new events only
	after  uint64 // the last position the reader has
	byName bool   // categories come from the listener set called name
	name   string
	mask   uint32 // categories, unless byName
}

// parseEventsQuery reads the address and Last-Event-ID, which wins over from:
// a browser reconnects to the address it began with.
func parseEventsQuery(r *http.Request) (q eventsQuery, e *protocol.Error) {
	bad := func(format string, args ...any) (eventsQuery, *protocol.Error) {
		return q, protocol.Errorf(protocol.CodeInvalidParameters, "events: "+format, args...)
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return bad("the query is not valid")
	}
	if from := values.Get("from"); from != "" {
		n, err := strconv.ParseUint(from, 10, 64)
		if err != nil {
			return bad("from: %q is not a position", protocol.Clip(from))
		}
		if n > 0 {
			q.resume, q.after = true, n-1
		}
	}
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		n, err := strconv.ParseUint(id, 10, 64)
		if err != nil {
			return bad("Last-Event-ID: %q is not a position", protocol.Clip(id))
		}
		q.resume, q.after = true, n
	}

	q.mask = everyCategory
	if values.Has("stream") {
		l := protocol.ListenRequest{Stream: values.Get("stream")}
		if err := l.Validate(); err != nil {
			return bad("%s", protocol.AsError(err).Msg)
		}
		q.byName, q.name = true, l.Stream
	}
	if values.Has("listen") {
		q.byName, q.mask = false, 0
		for _, category := range strings.Split(strings.Join(values["listen"], ","), ",") {
			bit := bitOf(category)
			if bit == 0 {
				return bad("listen: there is no %q, only %s", protocol.Clip(category), strings.Join(protocol.Categories, ", "))
			}
			q.mask |= bit
		}
	}
	return q, nil
}

// gapData is the data of the event "gap".
type gapData struct {
	// From is the position the reader would have got next.
	From uint64 `json:"from"`
	// To is the position before the one it gets next: From to To are lost, if
	// Reason is trimmed.
	To uint64 `json:"to"`
	// Reason is trimmed: the journal had no room for them any more; or
	// replaced: it is another journal, whose positions began anew.
	Reason string `json:"reason"`
}

// events answers with a stream that ends when the reader leaves, does not read
// for too long, or the daemon ends.
func (d *door) events(w http.ResponseWriter, r *http.Request) {
	q, e := parseEventsQuery(r)
	if e != nil {
		d.refuse(w, 0, e)
		return
	}
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	default:
		d.refuse(w, http.StatusServiceUnavailable,
			protocol.Errorf(protocol.CodeNetReqCountLimit, "events: all %d streams are in use", cap(d.slots)))
		return
	}
	s := stream{Server: d.Server, w: w, rc: http.NewResponseController(w), mask: func() uint32 { return q.mask }}
	if q.byName {
		set, err := d.Streams.open(q.name)
		if err != nil {
			d.refuse(w, 0, protocol.AsError(err))
			return
		}
		defer d.Streams.close(q.name, set)
		s.mask = set.mask.load
	}

	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	w.WriteHeader(http.StatusOK)
	who := callerOf(r.Context()).Who
	d.log.Debug("event stream opened", "who", who)
	err := s.run(r, q)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		d.counts.cut.Inc()
		d.log.Warn("an event stream was cut because nobody read it; its reader can resume", "who", who, "position", s.after)
	} else if err != nil {
		d.log.Debug("event stream ended", "who", who, "err", err)
	}
}

// stream is one reader of the events.
type stream struct {
	*Server
	w    http.ResponseWriter
	rc   *http.ResponseController
	mask func() uint32 // the categories wanted now

	after  uint64 // the position up to which the reader is served
	sentID uint64 // the last id it was told
	buf    []byte
}

func (s *stream) run(r *http.Request, q eventsQuery) error {
	moments, stop := s.Moments.Watch()
	defer stop()
	_, last := s.Journal.Bounds()
	s.after = last
	if q.resume {
		s.after = q.after
	}
	s.sentID = s.after
	s.buf = fmt.Appendf(s.buf, ": herald %s at %d\n\n", protocol.BuildVersion, last)
	if err := s.flush(); err != nil {
		return err
	}
	ping := time.NewTicker(s.timing.heartbeat)
	defer ping.Stop()
	for {
		changed := s.Journal.Changed()
		more, err := s.catchUp()
		if err != nil {
			return err
		}
		if more {
			changed = closedChannel // there is no need to wait, only to look at the rest
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-s.closing:
			return nil
		default:
		}
		select {
		case <-changed:
			continue
		case o := <-moments:
			s.event(0, o)
		case <-ping.C:
			s.ping()
		case <-r.Context().Done():
			return nil
		case <-s.closing:
			return nil
		}
		if err := s.flush(); err != nil {
			return err
		}
	}
}

var closedChannel = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

// catchUp sends the next events of the journal; more says that there may be
// some at once.
func (s *stream) catchUp() (more bool, err error) {
	switch first, last := s.Journal.Bounds(); {
	case s.after > last:
		s.gap("replaced", first-1)
	case s.after+1 < first:
		s.gap("trimmed", first-1)
	}
	events, err := s.Journal.Read(s.after, eventBatch)
	if err != nil {
		s.log.Error("the journal cannot be read", "after", s.after, "err", err)
		return false, err
	}
	for _, e := range events {
		if e.Pos > s.after+1 { // trimmed since Bounds
			s.gap("trimmed", e.Pos-1)
		}
		s.after = e.Pos
		s.event(e.Pos, e.Occurrence)
		if len(s.buf) >= flushAtBytes {
			if err := s.flush(); err != nil {
				return false, err
			}
		}
	}
	return len(events) == eventBatch, s.flush()
}

// event adds an event if the reader wants it; pos 0: it has no position.
func (s *stream) event(pos uint64, o protocol.Occurrence) {
	if o.Info == nil {
		s.log.Warn("an event of another version of Herald is passed over", "position", pos)
		return
	}
	if want := s.mask(); want != everyCategory && want&bitsOf(o.Info.Listen) == 0 {
		return
	}
	s.counts.events.Inc()
	if pos > 0 {
		s.id(pos)
	}
	s.buf = append(append(append(s.buf, "event: "...), o.Info.Name...), "\ndata: "...)
	s.buf = appendLine(s.buf, o.JSON)
	s.buf = append(s.buf, "\n\n"...)
}

func (s *stream) id(pos uint64) {
	s.sentID = pos
	s.buf = append(strconv.AppendUint(append(s.buf, "id: "...), pos, 10), '\n')
}

// appendLine adds JSON without the line breaks that would end the event.
func appendLine(buf, b []byte) []byte {
	if bytes.ContainsAny(b, "\r\n") {
		var line bytes.Buffer
		if json.Compact(&line, b) == nil {
			b = line.Bytes()
		}
	}
	return append(buf, b...)
}

// gap tells the reader that it goes on after to. Its id keeps a reader that
// reconnects now from being told again.
func (s *stream) gap(reason string, to uint64) {
	data, err := json.Marshal(gapData{From: s.after + 1, To: to, Reason: reason})
	if err != nil { // cannot be: two numbers and a word
		return
	}
	s.after = to
	s.id(to)
	s.buf = append(append(append(s.buf, "event: gap\ndata: "...), data...), "\n\n"...)
}

// ping shows that the stream lives. It also tells the position where events
// went by that the reader does not want, so that it does not resume before
// them: an id alone raises no event [HTML §9.2.6].
func (s *stream) ping() {
	s.buf = append(s.buf, ": ping\n"...)
	if s.sentID != s.after {
		s.id(s.after)
	}
	s.buf = append(s.buf, '\n')
}

// flush hands what has gathered to the kernel.
func (s *stream) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	s.allowWrite(s.w)
	if _, err := s.w.Write(s.buf); err != nil {
		return err
	}
	s.buf = s.buf[:0]
	if cap(s.buf) > 2*flushAtBytes {
		s.buf = nil
	}
	return s.rc.Flush()
}
