package hub

import (
	"log/slog"
	"slices"

	"github.com/herald-im/herald/protocol"
)

// emitter hands out what transactions gave, in the order of their commits: for
// each terminal, answers and pushes leave in the order of their seqs. What goes
// to one user in a row becomes one push.
type emitter struct {
	hub     *Hub
	pending map[string]*outgoing // by user
	order   []*outgoing
	encoded map[*run][]encodedPush // pushes of this commit, by their first run
}

// outgoing is what is gathered for a user.
type outgoing struct {
	user   string
	except string // the terminal that sent it, if it is of this user
	runs   []*run
}

type encodedPush struct {
	runs   []*run
	frames [][]byte
}

// emission is one thing that a transaction gives out.
type emission interface{ emit(*emitter) }

func (e *emitter) run(in <-chan *results) {
	for res := range in {
		e.pending, e.order = make(map[string]*outgoing), e.order[:0]
		e.encoded = make(map[*run][]encodedPush)
		for _, x := range res.out {
			x.emit(e)
		}
		for _, o := range e.order {
			e.flush(o)
		}
	}
}

// answered is the answer to an append.
type answered struct {
	user, terminal string
	acks           *protocol.Acks
}

func (a *answered) emit(e *emitter) {
	e.flushUser(a.user)
	e.hub.publish(protocol.TopicToTerminal(e.hub.app, a.user, a.terminal), &protocol.Frame{Acks: a.acks}, 1)
}

// refused is an append that was refused whole.
type refused struct {
	session *session
	boot    uint64
	reason  string
}

func (r *refused) emit(e *emitter) {
	e.hub.complain(slog.LevelInfo, "append refused", "user", r.session.user, "terminal", r.session.terminal, "reason", r.reason)
	e.hub.bye(r.session.user, r.session.terminal, r.boot, protocol.CodeNetAuthInvalid, r.reason)
}

// replied is a call that was run.
type replied struct {
	job  *callJob
	body []byte
	err  *protocol.Error
}

func (r *replied) emit(e *emitter) {
	e.flushUser(r.job.s.user) // the tips of a call are there before its reply
	e.hub.reply(r.job, r.body, r.err)
}

// liveMessage is a message of a live room.
type liveMessage struct {
	epoch  uint32
	signal protocol.Signal
}

// liveTime is how long a live message is worth anything, in milliseconds.
const liveTime = 10_000

func (m *liveMessage) emit(e *emitter) {
	s := &m.signal
	people := e.hub.peopleIn(e.hub.life, protocol.GroupLog(s.Group), &protocol.Entry{Kind: s.Kind, From: s.From, Body: s.Body})
	e.hub.publish(protocol.TopicLive(e.hub.app, s.Group, m.epoch), &protocol.Frame{Exp: s.Time + liveTime, Signal: s, People: people}, 0)
}

// roomsChanged tells a user's terminals which live rooms he is in, and lets them
// listen to no other.
type roomsChanged struct {
	user string
	time int64
}

func (r *roomsChanged) emit(e *emitter) {
	if !e.hub.table.online(r.user) {
		return
	}
	e.hub.roomTurn.Add(1)
	ctx, cancel := e.hub.store.ReadContext(e.hub.life)
	defer cancel()
	rooms, err := e.hub.store.LiveRooms(ctx, e.hub.app, r.user)
	if err != nil {
		e.hub.log.Warn("a user's live rooms cannot be read: he is told at his next hello", "user", r.user, "err", err)
		return
	}
	if rooms == nil {
		rooms = []protocol.LiveRoom{}
	}
	e.hub.wire.Confine(protocol.Username(e.hub.app, r.user), func(filter string) bool {
		t := protocol.ParseTopic(filter)
		return t.Kind != protocol.TopicKindLive || slices.ContainsFunc(rooms, func(room protocol.LiveRoom) bool {
			return room.Group == t.Group && room.Epoch == t.Epoch
		})
	})
	e.hub.publish(protocol.TopicTo(e.hub.app, r.user), &protocol.Frame{Signal: &protocol.Signal{Time: r.time, Rooms: &rooms}}, 1)
}

// run is consecutive entries of a log that have the same readers.
type run struct {
	log              string
	sender, terminal string // who gets no push of it: it has the answer. Empty: nobody
	readers          []string
	entries          []*protocol.Entry

	encoded [][]byte // one per entry, when it was needed
}

func (r *run) emit(e *emitter) {
	for _, user := range r.readers {
		if !e.hub.table.online(user) {
			continue
		}
		except := ""
		if user == r.sender {
			except = r.terminal
		}
		o := e.pending[user]
		if o == nil {
			o = &outgoing{user: user, except: except}
			e.pending[user] = o
			e.order = append(e.order, o)
		}
		if o.except != except {
			e.flush(o)
			o.except = except
		}
		o.runs = append(o.runs, r)
	}
}

func (e *emitter) flushUser(user string) {
	if o := e.pending[user]; o != nil {
		e.flush(o)
	}
}

// flush sends what is gathered for a user.
func (e *emitter) flush(o *outgoing) {
	if len(o.runs) == 0 {
		return
	}
	runs := o.runs
	o.runs = nil
	topics := []string{protocol.TopicTo(e.hub.app, o.user)}
	if o.except != "" {
		topics = topics[:0]
		for _, t := range e.hub.table.others(o.user, o.except) {
			topics = append(topics, protocol.TopicToTerminal(e.hub.app, o.user, t))
		}
	}
	if len(topics) == 0 {
		return
	}
	for _, frame := range e.frames(runs) {
		for _, topic := range topics {
			e.hub.metrics.pushes.Inc()
			e.hub.send(topic, frame, 1)
		}
	}
}

// frames encodes runs as pushes, once for all who get the same.
func (e *emitter) frames(runs []*run) [][]byte {
	for _, p := range e.encoded[runs[0]] {
		if slices.Equal(p.runs, runs) {
			return p.frames
		}
	}
	for _, r := range runs {
		if err := r.encode(); err != nil {
			e.hub.log.Error("entry not pushed", "log", r.log, "err", err)
			return nil
		}
	}
	p := encodedPush{runs, encodePushes(runs, e.people(runs))}
	e.encoded[runs[0]] = append(e.encoded[runs[0]], p)
	return p.frames
}

// people are those whom runs are about, encoded; nil: nobody who has a name.
func (e *emitter) people(runs []*run) []byte {
	var out crew
	for _, r := range runs {
		out.add(e.hub.peopleIn(e.hub.life, r.log, r.entries...)...)
	}
	if len(out.list) == 0 {
		return nil
	}
	b, err := protocol.Marshal(out.list)
	if err != nil {
		e.hub.log.Error("people not pushed", "err", err)
	}
	return b
}

func (r *run) encode() error {
	if r.encoded != nil {
		return nil
	}
	out := make([][]byte, len(r.entries))
	for i, x := range r.entries {
		b, err := protocol.Marshal(x)
		if err != nil {
			return err
		}
		out[i] = b
	}
	r.encoded = out
	return nil
}

// encodePushes puts encoded entries into frames of about chunkBytes, grouped by
// log, each with the people, where there are some. The frames are what
// protocol.EncodeFrame makes of the same Push.
func encodePushes(runs []*run, people []byte) [][]byte {
	type logEntries struct {
		log     string
		entries [][]byte
	}
	var (
		frames [][]byte
		logs   []logEntries
		count  int
		size   int
	)
	finish := func() {
		if count == 0 {
			return
		}
		b := make([]byte, 0, size+len(logs)*16+16+len(people))
		fields := 1
		if people != nil {
			fields = 2
		}
		b = appendHead(b, 5, fields) // a map: the frame
		b = appendHead(b, 0, 6)      // Push
		b = appendHead(b, 5, 1)
		b = appendHead(b, 0, 1) // Logs
		b = appendHead(b, 4, len(logs))
		for _, l := range logs {
			b = appendHead(b, 5, 2)
			b = appendHead(b, 0, 1) // Log
			b = append(appendHead(b, 3, len(l.log)), l.log...)
			b = appendHead(b, 0, 2) // Entries
			b = appendHead(b, 4, len(l.entries))
			for _, e := range l.entries {
				b = append(b, e...)
			}
		}
		if people != nil {
			b = append(appendHead(b, 0, 17), people...) // People
		}
		frames = append(frames, b)
		logs, count, size = nil, 0, 0
	}
	for _, r := range runs {
		for _, e := range r.encoded {
			if count == protocol.MaxPushEntries || size+len(e) > chunkBytes {
				finish()
			}
			at := -1
			for i := range logs {
				if logs[i].log == r.log {
					at = i
				}
			}
			if at < 0 {
				at = len(logs)
				logs = append(logs, logEntries{log: r.log})
				size += len(r.log)
			}
			logs[at].entries = append(logs[at].entries, e)
			count++
			size += len(e)
		}
	}
	finish()
	return frames
}

// appendHead writes the head of a CBOR item (RFC 8949 §3).
func appendHead(b []byte, major byte, n int) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return append(b, major|25, byte(n>>8), byte(n))
	}
	return append(b, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}
