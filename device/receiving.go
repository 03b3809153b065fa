package device

import (
	"math/rand/v2"
	"time"

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
	s.d.db.Go(func(tx *bbolt.Tx) error {
		holes, steps = nil, nil
		var events []protocol.Occurrence
		for _, l := range logs {
			if len(l.Entries) == 0 {
				continue
			}
			gap, err := s.inbox.Apply(tx, l.Log, l.Entries, func(e *protocol.Entry) error {
				events = append(events, s.events(l.Log, e)...)
				if step, is := s.step(e); is {
					steps = append(steps, step)
				}
				return nil
			})
			if err != nil {
				return err
			}
			if gap {
				holes = append(holes, hole{l.Log, l.Entries[len(l.Entries)-1].Seq})
			}
		}
		return s.d.journal.Append(tx, events...)
	}, func(err error) {
		s.inbox.Committed(err)
		s.d.journal.Committed(err)
		c.posts.add(func() error {
			if err != nil {
				return err
			}
			s.tell(steps)
			return then(holes)
		})
	})
}

// events are what programs are told of an entry. A step of an invitation is a
// message, too.
func (s *session) events(log string, e *protocol.Entry) (out []protocol.Occurrence) {
	if e.From == s.user && e.Term == s.d.terminal {
		return nil
	}
	tell := func(ev protocol.Occurrence, err error) {
		switch {
		case err != nil:
			// It came through the hub's checks, so a newer side wrote it. The
			// cursor must go past it, or nothing behind it would ever arrive.
			s.log.Warn("an entry that cannot be read is left out", "log", log, "seq", e.Seq, "err", err)
		case ev.Info != nil:
			out = append(out, ev)
		}
	}
	switch e.Kind {
	case protocol.EntryMessage, protocol.EntrySignaling:
		kind, a, b := protocol.ParseLog(log)
		tell(s.messageEvent(kind, a, protocol.Peer(a, b, s.user), e))
	}
	if e.Kind == protocol.EntrySignaling {
		tell(s.signalingEvent(e))
	}
	return out
}

// messageEvent is the event of a message; without Info for an element that
// this version does not know.
func (s *session) messageEvent(kind protocol.LogKind, group, peer string, e *protocol.Entry) (protocol.Occurrence, error) {
	m, err := protocol.DecodeMessage(e.Body)
	if err != nil {
		return protocol.Occurrence{}, err
	}
	from, self, at := protocol.UserInfo{UserID: e.From}, e.From == s.user, e.Time/1000
	switch {
	case kind == protocol.LogC2C && m.Elem == protocol.ElemText:
		return protocol.OnRecvC2CTextMessage.New(protocol.C2CTextEvent{
			MsgID: e.MsgID, Text: m.Text, Sender: from, UserID: peer, IsSelf: self, Timestamp: at,
		})
	case kind == protocol.LogC2C && m.Elem == protocol.ElemCustom:
		return protocol.OnRecvC2CCustomMessage.New(protocol.C2CCustomEvent{
			MsgID: e.MsgID, CustomData: m.Custom, Sender: from, UserID: peer, IsSelf: self, Timestamp: at,
		})
	case kind == protocol.LogGroup && m.Elem == protocol.ElemText:
		return protocol.OnRecvGroupTextMessage.New(protocol.GroupTextEvent{
			MsgID: e.MsgID, GroupID: group, Text: m.Text, Sender: from, IsSelf: self, Timestamp: at,
		})
	case kind == protocol.LogGroup && m.Elem == protocol.ElemCustom:
		return protocol.OnRecvGroupCustomMessage.New(protocol.GroupCustomEvent{
			MsgID: e.MsgID, GroupID: group, CustomData: m.Custom, Sender: from, IsSelf: self, Timestamp: at,
		})
	}
	return protocol.Occurrence{}, nil
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
	if _, in := c.live[sig.Group]; !in || sig.From == s.user && sig.Term == s.d.terminal {
		return nil
	}
	ev, err := s.messageEvent(protocol.LogGroup, sig.Group, "", &protocol.Entry{
		From: sig.From, MsgID: sig.MsgID, Time: sig.Time, Body: sig.Body,
	})
	if err != nil || ev.Info == nil {
		c.log.Warn("a live message that cannot be read is left out", "err", err)
		return nil
	}
	s.d.db.Go(func(tx *bbolt.Tx) error { return s.d.journal.Append(tx, ev) }, func(err error) {
		s.d.journal.Committed(err)
		if err != nil {
			s.log.Error("a live message could not be recorded", "err", err)
		}
	})
	return nil
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
	pullLimit   = 256
)

// pulls is the reading of entries that were missed: what is known to be
// missing, and what was asked for.
type pulls struct {
	wanted map[string]uint64   // log → the seq it is known to reach
	asked  map[uint32]*pulling // by id
	next   uint32
}

type pulling struct {
	log   string
	after uint64
	upTo  uint64 // what was wanted then
	sent  time.Time
}

func (p *pulls) init() {
	p.wanted, p.asked = make(map[string]uint64), make(map[uint32]*pulling)
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
		if p.asking(log) {
			continue
		}
		at, ok := c.s.inbox.Cursor(log)
		if ok && at >= upTo {
			delete(p.wanted, log)
			continue
		}
		p.next++
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

// gotRange applies the answer to a pull and asks for what is left.
func (c *connection) gotRange(r *protocol.Range) error {
	a := c.pulls.asked[r.ID]
	if a == nil || a.log != r.Log {
		return nil
	}
	if r.Code != 0 {
		c.log.Warn("the hub refuses to give a log", "log", r.Log, "code", r.Code, "err", r.Msg)
		delete(c.pulls.asked, r.ID)
		c.pulls.giveUp(a)
		return c.pulls.ask(c)
	}
	s := c.s
	s.d.db.Go(func(tx *bbolt.Tx) error { return s.inbox.Skip(tx, r.Log, r.From) }, s.inbox.Committed)
	c.apply([]protocol.LogEntries{{Log: r.Log, Entries: r.Entries}}, func([]hole) error {
		delete(c.pulls.asked, r.ID)
		at, _ := s.inbox.Cursor(r.Log)
		if at >= r.Head || at <= a.after { // asking again without progress would go on for ever
			c.pulls.giveUp(a)
		}
		return c.pulls.ask(c)
	})
	return nil
}
