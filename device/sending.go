package device

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/herald-im/herald/device/mirror"
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

// send accepts a message whose files, if it has any, the hub has.
func (s *session) send(ctx context.Context, kind protocol.ItemKind, to string, m protocol.Message, priority uint8) (protocol.SendResponse, error) {
	body, err := protocol.Marshal(m)
	if err != nil {
		return protocol.SendResponse{}, err
	}
	return s.post(ctx, &outbox.Item{Kind: kind, To: to, Body: body, Priority: priority}, hooks{})
}

// hooks are run in the transaction that puts an item into the outbox. check comes
// before it and may refuse; also comes behind it, when the item has its number.
type hooks struct {
	check, also func(tx *bbolt.Tx) error
}

// post accepts an item: it returns once the item is on disk and, while the link is
// up, the hub has answered, so that its caller hears of a refusal. After
// timing.send it counts as queued.
func (s *session) post(ctx context.Context, it *outbox.Item, h hooks) (protocol.SendResponse, error) {
	if err := s.d.db.Room(); err != nil {
		return protocol.SendResponse{}, err
	}
	it.QueuedAt = s.d.clock.seconds()
	if err := s.box.Encode(it); err != nil {
		return protocol.SendResponse{}, err
	}
	id, ch, err := s.accept(it, queue{put: func(tx *bbolt.Tx) error { return s.box.Put(tx, it) }, taken: s.wakeOutbox}, h)
	if err != nil {
		return protocol.SendResponse{}, err
	}
	return s.await(ctx, id, ch)
}

// await waits for the hub's answer to what bears an id, at most timing.send.
func (s *session) await(ctx context.Context, id string, ch <-chan protocol.Ack) (protocol.SendResponse, error) {
	res := protocol.SendResponse{MsgID: id, Queued: true}
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
		if s.giveUp(id) {
			return res, nil
		}
		ack, written = <-ch // its answer is being written down
	case <-ctx.Done():
		if s.giveUp(id) {
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

// queue is where an item that is accepted waits. put writes it down, within the
// transaction; taken is called once it is on disk, on the committer's goroutine.
type queue struct {
	put   func(tx *bbolt.Tx) error
	taken func()
}

// accept puts an item on disk and returns its id. The channel, nil while the link
// is down, gets the hub's answer, or is closed where that could not be written down.
func (s *session) accept(it *outbox.Item, q queue, h hooks) (id string, ch chan protocol.Ack, err error) {
	up := s.linkUp()
	res := make(chan error, 1)
	s.d.db.Go(func(tx *bbolt.Tx) error {
		if s.over() { // another session may have opened the outbox since
			return errNotLoggedIn
		}
		if h.check != nil {
			if err := h.check(tx); err != nil {
				return err
			}
		}
		if err := q.put(tx); err != nil {
			return err
		}
		if h.also != nil {
			return h.also(tx)
		}
		return nil
	}, func(err error) {
		s.box.Committed(err)
		s.mirrored(err)
		if err == nil {
			id = s.itemID(*it)
			if up {
				ch = s.expect(id)
			}
			q.taken()
			s.showWaiting(*it)
		}
		res <- err
	})
	err = <-res
	return id, ch, err
}

// wakeOutbox has the connection look whether there is something to send.
func (s *session) wakeOutbox() {
	select {
	case s.queued <- struct{}{}:
	default:
	}
}

// expect makes the channel that gets the hub's answer to what bears an id.
func (s *session) expect(id string) chan protocol.Ack {
	ch := make(chan protocol.Ack, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiters[id] = ch
	return ch
}

// giveUp ends the wait for an answer; false says that the answer is there.
func (s *session) giveUp(id string) bool { return s.claim(id) != nil }

// claim takes the waiter for an answer, if there is one.
func (s *session) claim(id string) chan protocol.Ack {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.waiters[id]
	delete(s.waiters, id)
	return ch
}

// answerWithdrawn has whoever waits for a message's answer hear that it was taken back.
func (s *session) answerWithdrawn(id string) {
	if ch := s.claim(id); ch != nil {
		ch <- protocol.Ack{Code: protocol.CodeUserCanceled, Msg: "the message was taken back before it was sent"}
	}
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
		out := protocol.Item{Kind: it.Kind, To: it.To, Body: it.Body, Priority: it.Priority, IDNumber: it.IDNumber, Waited: it.Cseq < c.waited}
		if it.IDEpoch != p.Epoch {
			out.IDEpoch = it.IDEpoch
		}
		a.Items = append(a.Items, out)
	}
	c.flight = &flight{items: items, epoch: p.Epoch, sent: time.Now()}
	return c.send(&protocol.Frame{Append: a})
}

// answered takes the hub's answer to the batch on its way: what it answers
// leaves the outbox, enters the mirror, moves the cursors and becomes known to
// programs in one transaction.
func (c *connection) answered(a *protocol.Acks) error {
	fl := c.flight
	if fl == nil || a.Epoch != fl.epoch || len(a.Results) == 0 || a.First != fl.items[0].Cseq || len(a.Results) > len(fl.items) {
		c.log.Debug("an answer to nothing is left out")
		return nil
	}
	s := c.s
	items := fl.items[:len(a.Results)]
	var t settling
	s.d.db.Go(func(tx *bbolt.Tx) error {
		t = settling{s: s, tx: tx, claimed: make([]chan protocol.Ack, len(items)), failed: make(failures)}
		return t.run(a, items)
	}, func(err error) {
		s.box.Committed(err)
		s.inbox.Committed(err)
		s.mirrored(err)
		s.d.journal.Committed(err)
		if err == nil { // here, as there may be no connection any more to go on with it
			t.failed.log(s.log)
			s.uploads.added(t.back...)
			s.uploads.letGo(t.unneeded...)
		}
		for i, ch := range t.claimed {
			switch {
			case ch == nil:
			case err == nil:
				ch <- a.Results[i]
			default: // whoever waits may not wait for ever: the link may be gone
				close(ch)
			}
		}
		c.posts.add(func() error { return c.settled(fl, &t, err) })
	})
	return nil
}

// settled goes on after the answer to a batch was written down, or was not:
// then the connection begins anew, and the hub answers again as before.
func (c *connection) settled(fl *flight, t *settling, err error) error {
	if err != nil {
		return err
	}
	if c.flight == fl {
		c.flight = nil
	}
	return errors.Join(c.pullHoles(t.holes), c.fill())
}

// settling writes the answers to a batch down, in a transaction.
type settling struct {
	s       *session
	tx      *bbolt.Tx
	claimed []chan protocol.Ack
	holes   []hole
	failed  failures
	events  []protocol.Occurrence

	unneeded []string         // owners of files that the hub has by now, or will not have
	back     []waitingMessage // whose files go up once more
}

func (t *settling) run(a *protocol.Acks, items []outbox.Item) error {
	s := t.s
	removed, err := s.box.Remove(t.tx, a.First, len(items))
	if err != nil {
		return err
	}
	for log, entries := range t.entries(items, a.Results) {
		_, gap, err := s.applyEntries(t.tx, log, entries)
		if err != nil {
			return err
		}
		if gap {
			t.holes = append(t.holes, hole{log, entries[len(entries)-1].Seq})
		}
	}
	for i, it := range items {
		if !removed[i] { // answered before
			continue
		}
		if err := t.item(i, it, a.Results[i]); err != nil {
			return err
		}
	}
	return s.d.journal.Append(t.tx, t.events...)
}

// item tells of one item that is answered now.
func (t *settling) item(i int, it outbox.Item, r protocol.Ack) error {
	s := t.s
	id := s.itemID(it)
	_, _, message := s.logOf(it.Kind, it.To)
	if it.IDNumber != 0 {
		if r.Code == protocol.CodeSvrResNotFound {
			w, again, err := s.uploads.back(s, t.tx, it)
			if err != nil || again {
				t.back = append(t.back, w)
				return err
			}
		}
		t.unneeded = append(t.unneeded, s.fileOwner(it.IDEpoch, it.IDNumber))
	}
	if message && r.Code != 0 && r.Code != protocol.CodeUserCanceled {
		if err := s.insertFailed(t.tx, it, r.Code, r.Msg); err != nil {
			return err
		}
	}
	if t.claimed[i] = s.claim(id); t.claimed[i] != nil {
		return nil
	}
	if it.Kind == protocol.ItemVoid && !it.Withdrawn {
		r.Code, r.Msg, message = protocol.CodeDatabaseFailure, "the message was lost when the board's store was damaged", true
	}
	if r.Code != 0 {
		t.failed.add(it, r)
	}
	if !message {
		return nil
	}
	ev := protocol.MessageStatusEvent{MsgID: id, Status: protocol.StatusSent}
	if r.Code != 0 {
		ev.Status, ev.Code, ev.Msg = protocol.StatusFailed, r.Code, r.Msg
	}
	happened, err := protocol.OnMessageStatusChanged.New(ev)
	t.events = append(t.events, happened)
	return err
}

// insertFailed keeps a message that the hub did not take, as one that failed.
func (s *session) insertFailed(tx *bbolt.Tx, it outbox.Item, code protocol.Code, msg string) error {
	p, _ := s.asPending(it)
	return s.mirror.Insert(tx, p.log, mirror.Row{Entry: p.entry(s), Status: protocol.StatusFailed, Code: code, Msg: msg})
}

// entries are what a batch's answers tell of: the items as they stand in the logs.
func (t *settling) entries(items []outbox.Item, results []protocol.Ack) map[string][]protocol.Entry {
	s := t.s
	out := make(map[string][]protocol.Entry)
	for i, it := range items {
		r := results[i]
		if r.Code != 0 || r.Log == "" {
			continue
		}
		e := protocol.Entry{Seq: r.Seq, Time: r.Time, From: s.user, Term: s.d.terminal, Body: it.Body, Priority: it.Priority}
		switch it.Kind {
		case protocol.ItemC2C, protocol.ItemGroup:
			e.Kind, e.MsgID = protocol.EntryMessage, s.itemID(it)
		case protocol.ItemMark:
			e.Kind = protocol.EntryMark
		case protocol.ItemRevoke:
			e.Kind = protocol.EntryRevoke
		}
		out[r.Log] = append(out[r.Log], e)
	}
	return out
}

// failures are a batch's items that were refused, by code. They take a line of
// the log for each code: a queue for a group that is gone may hold thousands.
type failures map[protocol.Code]*failure

type failure struct {
	count int
	to    string // of the first of them
	msg   string
}

func (f failures) add(it outbox.Item, r protocol.Ack) {
	if f[r.Code] == nil {
		f[r.Code] = &failure{to: it.To, msg: r.Msg}
	}
	f[r.Code].count++
}

func (f failures) log(log *slog.Logger) {
	for code, of := range f {
		log.Warn("queued messages were not delivered", "count", of.count, "code", code, "err", of.msg, "first to", of.to)
	}
}
