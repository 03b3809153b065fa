package device

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/herald-im/herald/device/outbox"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

// flight is a batch on its way to the hub.
type flight struct {
	items []outbox.Item
	epoch uint32
	sent  time.Time
}

// post accepts a message: it returns once the message is on disk and, while the
// link is up, the hub has answered, so that its caller hears of a refusal. After
// timing.send the message counts as queued.
func (s *session) post(ctx context.Context, kind protocol.ItemKind, to string, m protocol.Message, priority uint8) (protocol.SendResponse, error) {
	if err := s.d.db.Room(); err != nil {
		return protocol.SendResponse{}, err
	}
	body, err := protocol.Marshal(m)
	if err != nil {
		return protocol.SendResponse{}, err
	}
	it := &outbox.Item{Kind: kind, To: to, Body: body, Priority: priority, QueuedAt: s.d.clock.seconds()}
	if err := s.box.Encode(it); err != nil {
		return protocol.SendResponse{}, err
	}
	ch, err := s.accept(it)
	if err != nil {
		return protocol.SendResponse{}, err
	}
	res := protocol.SendResponse{MsgID: protocol.MsgID(s.msgIDPrefix(it.IDEpoch), it.Cseq), Queued: true}
	if ch == nil {
		return res, nil
	}
	timer := time.NewTimer(s.d.timing.send)
	defer timer.Stop()
	var ack protocol.Ack
	written := true
	select {
	case ack, written = <-ch:
	case <-timer.C:
		if s.giveUp(it.Cseq) {
			return res, nil
		}
		ack, written = <-ch // its answer is being written down
	case <-ctx.Done():
		if s.giveUp(it.Cseq) {
			return res, nil // the caller is gone, the message is not
		}
		ack, written = <-ch
	}
	if !written { // the answer came and was lost again: it counts as queued
		return res, nil
	}
	if ack.Code != 0 {
		return protocol.SendResponse{}, protocol.Errorf(ack.Code, "%s", ack.Msg)
	}
	res.Queued = false
	return res, nil
}

// accept puts an item on disk. The channel, nil while the link is down, gets
// the hub's answer, or is closed where that could not be written down.
func (s *session) accept(it *outbox.Item) (<-chan protocol.Ack, error) {
	var ch chan protocol.Ack
	up := s.linkUp()
	res := make(chan error, 1)
	s.d.db.Go(func(tx *bbolt.Tx) error {
		if s.over() { // another session may have opened the outbox since
			return errNotLoggedIn
		}
		return s.box.Put(tx, it)
	}, func(err error) {
		s.box.Committed(err)
		if err == nil && up {
			ch = make(chan protocol.Ack, 1)
			s.mu.Lock()
			s.waiters[it.Cseq] = ch
			s.mu.Unlock()
		}
		res <- err
	})
	if err := <-res; err != nil {
		return nil, err
	}
	select {
	case s.queued <- struct{}{}:
	default:
	}
	return ch, nil
}

// giveUp ends the wait for an answer; false says that the answer is there.
func (s *session) giveUp(cseq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, waiting := s.waiters[cseq]
	delete(s.waiters, cseq)
	return waiting
}

// claim takes the waiter of an item, if there is one.
func (s *session) claim(cseq uint64) chan protocol.Ack {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.waiters[cseq]
	delete(s.waiters, cseq)
	return ch
}

// fill sends the next batch, if none is on its way.
func (c *connection) fill() error {
	if !c.ready || c.flight != nil {
		return nil
	}
	p, items, err := c.s.box.Batch(protocol.MaxBatchItems, protocol.MaxBatchBytes)
	if err != nil || len(items) == 0 {
		return err
	}
	a := &protocol.Append{Epoch: p.Epoch, Base: p.Base, First: items[0].Cseq, Items: make([]protocol.Item, 0, len(items))}
	for i, it := range items {
		if it.Cseq != a.First+uint64(i) {
			items = items[:i] // cannot be: nothing is taken out of the middle, and holes are filled at open
			break
		}
		out := protocol.Item{Kind: it.Kind, To: it.To, Body: it.Body, Priority: it.Priority}
		if it.IDEpoch != p.Epoch {
			out.IDEpoch = it.IDEpoch
		}
		a.Items = append(a.Items, out)
	}
	c.flight = &flight{items: items, epoch: p.Epoch, sent: time.Now()}
	return c.send(&protocol.Frame{Append: a})
}

// answered takes the hub's answer to the batch on its way: what it answers
// leaves the outbox, moves the cursors and becomes known to programs in one
// transaction.
func (c *connection) answered(a *protocol.Acks) error {
	fl := c.flight
	if fl == nil || a.Epoch != fl.epoch || len(a.Results) == 0 || a.First != fl.items[0].Cseq || len(a.Results) > len(fl.items) {
		c.log.Debug("an answer to nothing is left out")
		return nil
	}
	s := c.s
	items := fl.items[:len(a.Results)]
	var claimed []chan protocol.Ack
	var holes []hole
	var failed failures
	s.d.db.Go(func(tx *bbolt.Tx) error {
		claimed, holes, failed = make([]chan protocol.Ack, len(items)), nil, make(failures)
		removed, err := s.box.Remove(tx, a.First, len(items))
		if err != nil {
			return err
		}
		for log, entries := range ackedEntries(s, items, a.Results) {
			gap, err := s.inbox.Apply(tx, log, entries, func(*protocol.Entry) error { return nil })
			if err != nil {
				return err
			}
			if gap {
				holes = append(holes, hole{log, entries[len(entries)-1].Seq})
			}
		}
		var events []protocol.Occurrence
		for i, it := range items {
			if !removed[i] { // answered before
				continue
			}
			if claimed[i] = s.claim(it.Cseq); claimed[i] != nil {
				continue
			}
			ev := s.statusEvent(it, a.Results[i])
			if ev.Code != 0 {
				failed.add(it, ev)
			}
			happened, err := protocol.OnMessageStatusChanged.New(ev)
			if err != nil {
				return err
			}
			events = append(events, happened)
		}
		return s.d.journal.Append(tx, events...)
	}, func(err error) {
		s.box.Committed(err)
		s.inbox.Committed(err)
		s.d.journal.Committed(err)
		if err == nil {
			failed.log(s.log)
		}
		for i, ch := range claimed {
			switch {
			case ch == nil:
			case err == nil:
				ch <- a.Results[i]
			default: // whoever waits may not wait for ever: the link may be gone
				close(ch)
			}
		}
		c.posts.add(func() error { return c.settled(fl, holes, err) })
	})
	return nil
}

// settled goes on after the answer to a batch was written down, or was not:
// then the connection begins anew, and the hub answers again as before.
func (c *connection) settled(fl *flight, holes []hole, err error) error {
	if err != nil {
		return err
	}
	if c.flight == fl {
		c.flight = nil
	}
	return errors.Join(c.pullHoles(holes), c.fill())
}

// ackedEntries are the places in the logs that a batch's answers tell of.
func ackedEntries(s *session, items []outbox.Item, results []protocol.Ack) map[string][]protocol.Entry {
	out := make(map[string][]protocol.Entry)
	for i := range items {
		if r := results[i]; r.Code == 0 && r.Log != "" {
			out[r.Log] = append(out[r.Log], protocol.Entry{Seq: r.Seq, Time: r.Time})
		}
	}
	return out
}

func (s *session) statusEvent(it outbox.Item, r protocol.Ack) protocol.MessageStatusEvent {
	ev := protocol.MessageStatusEvent{
		MsgID: protocol.MsgID(s.msgIDPrefix(it.IDEpoch), it.Cseq), Status: protocol.StatusSent,
	}
	if it.Kind == protocol.ItemVoid {
		r.Code, r.Msg = protocol.CodeDatabaseFailure, "the message was lost when the board's store was damaged"
	}
	if r.Code != 0 {
		ev.Status, ev.Code, ev.Msg = protocol.StatusFailed, r.Code, r.Msg
	}
	return ev
}

// failures are a batch's messages that were not delivered, by code. They take a
// line of the log for each code: a queue for a group that is gone may hold thousands.
type failures map[protocol.Code]*failure

type failure struct {
	count int
	to    string // of the first of them
	msg   string
}

func (f failures) add(it outbox.Item, ev protocol.MessageStatusEvent) {
	if f[ev.Code] == nil {
		f[ev.Code] = &failure{to: it.To, msg: ev.Msg}
	}
	f[ev.Code].count++
}

func (f failures) log(log *slog.Logger) {
	for code, of := range f {
		log.Warn("queued messages were not delivered", "count", of.count, "code", code, "err", of.msg, "first to", of.to)
	}
}
