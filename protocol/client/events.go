package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Gap is the name of the event that says that others are lost.
const Gap = "gap"

// Event is an event as the daemon sent it.
type Event struct {
	// Pos in the journal; 0 for the events of the moment, which are in none.
	Pos uint64
	// Name is "im.onRecvC2CTextMessage" …, or Gap.
	Name string
	// Data is the document's JSON, or for Gap {"from","to","reason"}: the
	// positions from and to and between them are lost (reason "trimmed"), or the
	// daemon has begun another journal (reason "replaced").
	Data json.RawMessage
}

// EventsOptions say which events are wanted.
type EventsOptions struct {
	// From is the position to begin with; 1 is everything that is kept. 0: what
	// happens from now on.
	From uint64
	// LastID is the last position that was seen already; it wins over From. 0:
	// not given.
	LastID uint64
	// Listen limits the events to these categories.
	Listen []string
	// Stream names the listeners, set with im.set…Listener, that choose the
	// events where Listen does not. A daemon that was restarted has forgotten
	// them: set them in Connected.
	Stream string

	// Connected is called when a stream begins, the first time and after each
	// interruption, with the version of the daemon and its newest position.
	Connected func(version string, last uint64)
	// Interrupted is called when a stream broke, with the reason and the time
	// until the next attempt.
	Interrupted func(err error, wait time.Duration)
}

// Events calls f with each event, in order, until ctx ends or f returns an
// error, which it returns. If the first attempt to connect fails, that is the
// error. Later it connects again for as long as it takes and goes on behind
// the last position; only a daemon that refuses the request ends it then.
func (c *Client) Events(ctx context.Context, o EventsOptions, f func(Event) error) error {
	p := position{from: o.From, last: o.LastID, known: o.LastID > 0}
	failures := 0
	for first := true; ; first = false {
		began, err := c.follow(ctx, &o, &p, f)
		var stop *stopError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &stop):
			return stop.err
		case first && !began:
			return err
		}
		if began {
			failures = 0
		}
		wait := c.patience.wait(failures)
		failures++
		if o.Interrupted != nil {
			o.Interrupted(err, wait)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}

// wait doubles with each failure. A part of it is drawn, as many programs lose
// one daemon at the same moment.
func (p *patience) wait(failures int) time.Duration {
	d := min(p.minWait<<min(failures, 10), p.maxWait)
	return d/2 + rand.N(d/2)
}

// position is where a reader is.
type position struct {
	from  uint64 // what it asked for at first
	last  uint64
	known bool // last is to be resumed after
}

// stopError carries what another attempt would not change: what f returned, a
// refusal, an event that cannot be read.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }

// follow reads one stream to its end. began tells whether it was answered.
func (c *Client) follow(ctx context.Context, o *EventsOptions, p *position, f func(Event) error) (began bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(c.patience.connect, func() { cancel(errSilent) })
	defer watch.Stop()

	q := url.Values{}
	if p.from > 0 && !p.known {
		q.Set("from", strconv.FormatUint(p.from, 10))
	}
	if len(o.Listen) > 0 {
		q.Set("listen", strings.Join(o.Listen, ","))
	}
	if o.Stream != "" {
		q.Set("stream", o.Stream)
	}
	r, err := c.request(ctx, http.MethodGet, "/v1/events?"+q.Encode(), nil)
	if err != nil {
		return false, err
	}
	if p.known {
		r.Header.Set("Last-Event-ID", strconv.FormatUint(p.last, 10))
	}
	res, err := c.http.Do(r)
	if err != nil {
		return false, c.failed(ctx, "events", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		if err != nil {
			return false, fmt.Errorf("%s answers %s, and breaks off: %w", c.where, res.Status, err)
		}
		if res.StatusCode < 500 {
			return false, &stopError{c.refusal(res.Status, body)}
		}
		return false, c.refusal(res.Status, body)
	}
	in := newReader(res.Body)
	for {
		watch.Reset(c.patience.silence)
		b, err := in.next()
		if err != nil {
			return began, cause(ctx, err)
		}
		watch.Stop() // f may take its time
		if b.hello {
			began = true
			if !p.known && p.from == 0 {
				p.last, p.known = b.last, true // from now on means from here on, also after an interruption
			}
			if o.Connected != nil {
				o.Connected(b.version, b.last)
			}
		}
		if b.name != "" {
			if err := f(Event{Pos: b.pos, Name: b.name, Data: b.data}); err != nil {
				return true, &stopError{err}
			}
		}
		if b.hasPos {
			p.last, p.known = b.pos, true
		}
	}
}

var errSilent = errors.New("the daemon has fallen silent")

// cause prefers why a context was cancelled to what that looked like.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil {
		return why
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errEnded
	}
	return err
}

var errEnded = errors.New("the daemon has ended the stream")
