package device

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/herald-im/herald/device/mirror"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// hole is a log with entries missing up to a seq.
type hole struct {
	log  string
	upTo uint64
}

// push applies entries as they are written at the hub. It is acknowledged once
// entries, cursors and events are on disk.
func (c *connection) push(p *protocol.Push, ack func()) error {
	if !c.ready {
		// The cursors have not been compared yet; the heads that follow will
		// show what this push carried.
		c.s.log.Debug("a push before the welcome is left out")
		ack()
		return c.pushEarly(p)
	}
	c.apply(p.Logs, func(holes []hole) error {
		ack()
		return c.pullHoles(holes)
	})
	return nil
}

// pushEarly remembers that the logs of a push that came too early have grown:
// the heads may have been read before it.
func (c *connection) pushEarly(p *protocol.Push) error {
	for _, l := range p.Logs {
		if n := len(l.Entries); n > 0 {
			c.pulls.want(l.Log, l.Entries[n-1].Seq)
		}
	}
	return nil
}

// apply writes entries of logs down in one transaction, then goes on with then
// on the session's goroutine. Where the store cannot be written the connection
// begins anew: nothing was acknowledged, and the heads will tell what to read.
func (c *connection) apply(logs []protocol.LogEntries, then func(holes []hole) error) {
	s := c.s
	var holes []hole
	var steps []Step
	var t telling
	s.d.db.Go(func(tx *bbolt.Tx) error {
		holes, steps = nil, nil
		t = telling{s: s, tx: tx}
		for _, l := range logs {
			if len(l.Entries) == 0 {
				continue
			}
			applied, gap, err := s.applyEntries(tx, l.Log, l.Entries)
			if err != nil {
				return err
			}
			for _, e := range applied {
				t.entry(l.Log, e)
				if step, is := s.step(e); is {
					steps = append(steps, step)
				}
			}
			if gap {
				holes = append(holes, hole{l.Log, l.Entries[len(l.Entries)-1].Seq})
			}
		}
		return s.d.journal.Append(tx, t.events...)
	}, func(err error) {
		s.inbox.Committed(err)
		s.mirrored(err)
		s.d.journal.Committed(err)
		switch {
		case err != nil && len(t.people) > 0:
			s.reopenPeople()
		case err == nil:
			s.showNames(t.people)
		}
		c.posts.add(func() error {
			if err != nil {
				return err
			}
			s.tell(steps)
			for _, m := range t.withFiles {
				s.d.files.arrived(s, m)
			}
			return errors.Join(then(holes), c.survey())
		})
	})
}

// applyEntries moves a log's cursor past those of the entries that are next in
// order, and has the mirror take them. gap: there are more behind a hole.
func (s *session) applyEntries(tx *bbolt.Tx, log string, entries []protocol.Entry) (applied []*protocol.Entry, gap bool, err error) {
	gap, err = s.inbox.Apply(tx, log, entries, func(e *protocol.Entry) error {
		applied = append(applied, e)
		if e.Kind == protocol.EntryRevoke {
			if r, err := protocol.DecodeRevoke(e.Body); err == nil {
				s.places.forget(r.MsgID)
			}
		}
		return nil
	})
	if err == nil {
		err = s.mirror.Apply(tx, log, applied)
	}
	return applied, gap, err
}

// signal takes what is transient: a live room's message, or the list of rooms.
func (c *connection) signal(sig *protocol.Signal) error {
	if sig.Rooms != nil {
		c.listen(*sig.Rooms)
		return nil
	}
	if sig.To != "" {
		c.peered(sig)
		return nil
	}
	s := c.s
	if _, in := c.live[sig.Group]; !in && !sig.Online || sig.From == s.user && sig.Term == s.d.terminal {
		return nil
	}
	events, err := s.passing(sig)
	if err != nil {
		c.unread(sig, err)
		return nil
	}
	if len(events) == 0 { // an empty transaction would be written to flash all the same
		return nil
	}
	s.d.db.Go(func(tx *bbolt.Tx) error { return s.d.journal.Append(tx, events...) }, func(err error) {
		s.d.journal.Committed(err)
		if err != nil {
			s.log.Error("a live message could not be recorded", "err", err)
		}
	})
	return nil
}

// unread counts the live messages of a connection that cannot be read, and says so of
// the first: a room of a newer side may be full of them.
func (c *connection) unread(sig *protocol.Signal, err error) {
	c.garbled++
	log := c.log.Debug
	if c.garbled == 1 {
		log = c.log.Warn
	}
	log("a live message that cannot be read is left out", "group", protocol.Clip(sig.Group), "from", protocol.Clip(sig.From), "count", c.garbled, "err", err)
}

// listen changes which live rooms the link carries.
func (c *connection) listen(rooms []protocol.LiveRoom) {
	var add, remove []string
	next := make(map[string]uint32, len(rooms))
	for _, r := range rooms {
		next[r.Group] = r.Epoch
		if epoch, in := c.live[r.Group]; !in || epoch != r.Epoch {
			add = append(add, protocol.TopicLive(c.s.app, r.Group, r.Epoch))
		}
	}
	for group, epoch := range c.live {
		if e, in := next[group]; !in || e != epoch {
			remove = append(remove, protocol.TopicLive(c.s.app, group, epoch))
		}
	}
	c.live = next
	c.subscribe(add, remove, 1)
}

// listenTries is how often a live room is asked for, a tick apart: the hub
// refuses also while its database cannot tell.
const listenTries = 5

// deaf is a live room that the broker refused.
type deaf struct {
	topic string
	try   int // the next
}

func (c *connection) subscribe(add, remove []string, try int) {
	c.link.Listen(add, remove, func(topic string) {
		c.posts.add(func() error {
			c.deaf = append(c.deaf, deaf{topic, try + 1})
			return nil
		})
	})
}

// listenAgain asks once more for rooms that were refused.
func (c *connection) listenAgain() {
	rooms := c.deaf
	c.deaf = nil
	for _, r := range rooms {
		switch t := protocol.ParseTopic(r.topic); {
		case !c.listening(t): // any more
		case r.try > listenTries:
			c.log.Warn("the broker refuses a live room: nothing is heard of it on this connection", "group", t.Group)
		default:
			c.subscribe([]string{r.topic}, nil, r.try)
		}
	}
}

func (c *connection) listening(t protocol.Topic) bool {
	epoch, in := c.live[t.Group]
	return in && epoch == t.Epoch
}

const (
	pullsAtOnce = 4
	pullLimit   = 512
	// applyingAtOnce is how many answers of a log may be on their way to the disk while
	// the next one is asked for: the hub reads while the board writes.
	applyingAtOnce = 2
)

// pulls is the reading of entries that were missed: what is known to be
// missing, and what was asked for.
type pulls struct {
	wanted map[string]uint64   // log → the seq it is known to reach
	asked  map[uint32]*pulling // by id
	ahead  map[string]*ahead
	next   uint32
}

type pulling struct {
	log   string
	after uint64
	upTo  uint64 // what was wanted then
	sent  time.Time
}

// ahead is how far the answers reach that are on their way to the disk.
type ahead struct {
	answers int
	seq     uint64
	stuck   bool // the last of them brings nothing: what follows waits until it is known why
}

func (p *pulls) init() {
	p.wanted, p.asked, p.ahead = make(map[string]uint64), make(map[uint32]*pulling), make(map[string]*ahead)
	p.next = rand.Uint32() // a late range may be of an earlier connection
}

// forget drops what was asked of a session that the hub does not know any more.
// It is asked again after the next welcome.
func (p *pulls) forget() { clear(p.asked) }

func (p *pulls) want(log string, seq uint64) { p.wanted[log] = max(p.wanted[log], seq) }

func (p *pulls) asking(log string) bool {
	for _, a := range p.asked {
		if a.log == log {
			return true
		}
	}
	return false
}

// done tells whether nothing is missing that is known of.
func (p *pulls) done() bool { return len(p.wanted) == 0 && len(p.asked) == 0 && len(p.ahead) == 0 }

// pullBehind reads the logs whose heads are ahead of the cursors.
func (c *connection) pullBehind(heads []protocol.Head) error {
	for _, h := range heads {
		if at, ok := c.s.inbox.Cursor(h.Log); !ok || at < h.Seq {
			c.pulls.want(h.Log, h.Seq)
		}
	}
	return c.pulls.ask(c)
}

func (c *connection) pullHoles(holes []hole) error {
	for _, h := range holes {
		c.pulls.want(h.log, h.upTo)
	}
	return c.pulls.ask(c)
}

// ask sends pulls for what is wanted, a few at a time.
func (p *pulls) ask(c *connection) error {
	if !c.ready {
		return nil
	}
	for log, upTo := range p.wanted {
		if len(p.asked) >= pullsAtOnce {
			return nil
		}
		way := p.ahead[log]
		if p.asking(log) || way != nil && (way.stuck || way.answers >= applyingAtOnce) {
			continue
		}
		at, ok := c.s.inbox.Cursor(log)
		if ok && at >= upTo {
			delete(p.wanted, log)
			continue
		}
		if way != nil {
			if at, ok = max(at, way.seq), true; at >= upTo {
				continue // all that is wanted is on its way to the disk
			}
		}
		p.next = (p.next + 1) &^ queryBit
		p.asked[p.next] = &pulling{log, at, upTo, time.Now()}
		err := c.send(&protocol.Frame{Pull: &protocol.Pull{ID: p.next, Log: log, After: at, Fresh: !ok, Limit: pullLimit}})
		if err != nil {
			return err
		}
	}
	return nil
}

// retry asks again for what was not answered in time.
func (p *pulls) retry(c *connection, now time.Time) error {
	for id, a := range p.asked {
		if now.Sub(a.sent) > c.s.d.timing.answer {
			delete(p.asked, id)
		}
	}
	return p.ask(c)
}

// giveUp drops what was wanted when a pull was sent: it does not exist (any more).
// What has come to be wanted since may have been written after the hub's answer.
func (p *pulls) giveUp(a *pulling) {
	if p.wanted[a.log] == a.upTo {
		delete(p.wanted, a.log)
	}
}

// begin notes that an answer is on its way to the disk, and how far it reaches.
func (p *pulls) begin(r *protocol.Range) {
	way := p.ahead[r.Log]
	if way == nil {
		way = new(ahead)
		p.ahead[r.Log] = way
	}
	way.answers++
	n := len(r.Entries)
	if way.stuck = n == 0; !way.stuck {
		way.seq = max(way.seq, r.Entries[n-1].Seq)
	}
}

func (p *pulls) end(log string) {
	if way := p.ahead[log]; way != nil {
		if way.answers--; way.answers == 0 {
			delete(p.ahead, log)
		}
	}
}

// gotRange applies the answer to a pull and asks for what is left.
func (c *connection) gotRange(r *protocol.Range) error {
	if c.answeredQuery(r) {
		return nil
	}
	a := c.pulls.asked[r.ID]
	if a == nil || a.log != r.Log {
		return nil
	}
	delete(c.pulls.asked, r.ID)
	if r.Code != 0 {
		c.log.Warn("the hub refuses to give a log", "log", r.Log, "code", r.Code, "err", r.Msg)
		c.pulls.giveUp(a)
		return c.pulls.ask(c)
	}
	s := c.s
	s.d.db.Go(func(tx *bbolt.Tx) error { return s.skip(tx, r, a.after) }, func(err error) {
		s.inbox.Committed(err)
		s.mirrored(err)
		s.d.journal.Committed(err)
	})
	c.pulls.begin(r)
	c.apply([]protocol.LogEntries{{Log: r.Log, Entries: r.Entries}}, func([]hole) error {
		c.pulls.end(r.Log)
		at, _ := s.inbox.Cursor(r.Log)
		if at >= r.Head || at <= a.after { // asking again without progress would go on for ever
			c.pulls.giveUp(a)
		}
		return c.pulls.ask(c)
	})
	return c.pulls.ask(c)
}

// skip moves a log's cursor to where the hub says that a range begins. Where that
// leaves out what the terminal has missed, programs are told.
func (s *session) skip(tx *bbolt.Tx, r *protocol.Range, after uint64) error {
	at, known := s.inbox.At(r.Log)
	if known && r.From <= at {
		return nil
	}
	if err := s.inbox.Skip(tx, r.Log, r.From); err != nil {
		return err
	}
	if err := s.mirror.Skip(tx, r.Log, r.From); err != nil || !r.Truncated || !known {
		return err
	}
	kind, id := mirror.Identify(r.Log, s.user)
	if kind == protocol.LogUser {
		s.log.Warn("the hub tells only a part of what this account's other terminals did: how conversations stand is asked anew", "missed", r.From-after)
		s.people.doubt(tx, s)
		return s.mirror.Doubt(tx)
	}
	missed := protocol.HistoryTruncatedEvent{ConversationID: protocol.ConversationID(kind, id), Missed: r.From - at}
	s.log.Warn("more was missed than the hub tells at once: what is passed over is in the history", "conversation", missed.ConversationID, "missed", missed.Missed)
	ev, err := protocol.OnHistoryTruncated.New(missed)
	if err != nil {
		return err
	}
	return s.d.journal.Append(tx, ev)
}
