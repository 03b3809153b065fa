package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// planner turns the appends of a transaction into few statements: it judges all
// of them by reading, then extends each log once, by rising id, and writes all
// entries together. It belongs to the writer's goroutine.
type planner struct {
	hub *Hub
	now time.Time

	// Of the appends since the last flush.
	planned []*plannedBatch
	logs    map[string]*openLog
	order   []*openLog
	rooms   map[string]*room
	crowds  crowding

	// What stays true from one transaction to the next: an account and a log are
	// never deleted. What this one has made is added after its commit.
	known      bounded[string, struct{}] // accounts
	ids        bounded[string, store.LogID]
	refusals   blackBook
	rates      rates
	tellings   map[string]uint64 // by account: the change of its profile that its friends are being told of
	turn       uint64            // of the last of these
	newAccount []string
	newLogs    map[string]store.LogID
	written    int // entries since the last flush
}

// bounded is a cache that starts anew when it is full.
type bounded[K comparable, V any] struct {
	rows map[K]V
	size int
}

func (b *bounded[K, V]) put(k K, v V) {
	if len(b.rows) >= b.size || b.rows == nil {
		b.rows = make(map[K]V)
	}
	b.rows[k] = v
}

// openLog is a log that the transaction appends to.
type openLog struct {
	id    store.LogID
	name  string
	group string   // whose members read it; empty: users do
	users []string // not of a group
	count int      // entries that are planned and not written
	next  uint64
}

func newLog(id store.LogID, name string) *openLog {
	l := &openLog{id: id, name: name}
	switch kind, x, y := protocol.ParseLog(name); kind {
	case protocol.LogGroup:
		l.group = x
	case protocol.LogC2C:
		l.users = pair(x, y)
	default:
		l.users = []string{x}
	}
	return l
}

// plannedBatch is an append with its answers.
type plannedBatch struct {
	job     *appendJob
	bye     string // why it is refused whole
	acks    []protocol.Ack
	fresh   int // index of the first item that is new; len(items) if none is
	first   uint64
	entries []plannedEntry
	written int // how many of them are
	signals []emission

	prefix      string // of the message ids of prefixEpoch
	prefixEpoch uint32
}

// msgID names the message of an item.
func (b *plannedBatch) msgID(app protocol.AppID, i int) string {
	it := &b.job.items[i]
	epoch, number := cmp.Or(it.IDEpoch, b.job.epoch), cmp.Or(it.IDNumber, b.first+uint64(i))
	if b.prefix == "" || b.prefixEpoch != epoch {
		b.prefix, b.prefixEpoch = protocol.MsgIDPrefix(app, b.job.s.user, b.job.s.terminal, epoch), epoch
	}
	return protocol.MsgID(b.prefix, number)
}

// plannedEntry is what an item writes: the message that it is, or else what kind
// and body say.
type plannedEntry struct {
	log   *openLog
	index int // of the item
	kind  protocol.EntryKind
	body  []byte
	entry *protocol.Entry // once it is written
}

func newPlanner(h *Hub) planner {
	return planner{
		hub:    h,
		crowds: crowding{shared: &h.crowds},
		known:  bounded[string, struct{}]{size: 65536},
		ids:    bounded[string, store.LogID]{size: 65536},
		rates:  newRates(h.cfg.GroupRate),
	}
}

func (p *planner) begin(now time.Time) {
	p.now = now
	p.newAccount, p.newLogs = p.newAccount[:0], nil
	p.refusals.begin()
	p.crowds.begin()
	p.rates.begin()
	p.clear()
}

func (p *planner) clear() {
	p.planned, p.order, p.written = p.planned[:0], p.order[:0], 0
	p.logs = make(map[string]*openLog)
	p.rooms = make(map[string]*room)
}

func (p *planner) rollback() { p.begin(p.now) }

func (p *planner) committed() {
	for _, u := range p.newAccount {
		p.known.put(u, struct{}{})
	}
	for name, id := range p.newLogs {
		p.ids.put(name, id)
	}
	p.refusals.committed()
	p.crowds.committed()
	p.rates.committed()
	p.begin(p.now)
}

// add judges a batch. Of one producer there is one at most: the queue sees to it.
func (p *planner) add(ctx context.Context, tx *store.Tx, j *appendJob) error {
	b := &plannedBatch{job: j}
	p.planned = append(p.planned, b)
	old, err := tx.Producer(ctx, p.hub.app, j.s.user, j.s.terminal)
	missing := errors.Is(err, store.ErrNotFound)
	if err != nil && !missing {
		return err
	}
	switch next := old.LastCseq + 1; {
	case missing || protocol.EpochAfter(j.epoch, old.Epoch):
		if j.first != j.base {
			b.bye = fmt.Sprintf("epoch %d begins at item %d and the first batch of it at %d: say hello", j.epoch, j.base, j.first)
		}
	case j.epoch != old.Epoch:
		b.bye = fmt.Sprintf("the hub knows epoch %d of this terminal already: say hello", old.Epoch)
	case j.first > next:
		b.bye = fmt.Sprintf("the hub waits for item %d and the batch begins at %d: say hello", next, j.first)
	default:
		b.fresh = int(min(next-j.first, uint64(len(j.items))))
	}
	if b.bye != "" {
		p.hub.metrics.holes.Inc()
		return nil
	}
	b.acks, b.first = make([]protocol.Ack, len(j.items)), j.first
	if b.fresh > 0 {
		p.repeat(b, old)
	}
	for i := b.fresh; i < len(j.items); i++ {
		if err := p.item(ctx, tx, b, i); err != nil {
			return err
		}
	}
	return nil
}

// repeat answers the items that are stored with what was answered then.
func (p *planner) repeat(b *plannedBatch, old store.Producer) {
	j := b.job
	p.hub.metrics.repeats.Add(b.fresh)
	var r record
	if err := protocol.Unmarshal(old.LastAcks, &r); err != nil {
		p.hub.log.Error("a producer's last answers are not readable", "user", j.s.user, "terminal", j.s.terminal, "err", err)
	}
	acks := r.acks()
	lost := 0
	for i := range b.fresh {
		n := j.first + uint64(i)
		if n >= r.First && n-r.First < uint64(len(acks)) {
			b.acks[i] = acks[n-r.First]
		} else {
			lost++ // stored, and answered before: where it stands is not known any more
		}
	}
	if lost > 0 {
		p.hub.log.Warn("a terminal repeats items that were answered before its last batch", "user", j.s.user, "terminal", j.s.terminal,
			"first", j.first, "items", lost, "kept", r.First)
	}
}

// pair lists the readers of a conversation; who talks to himself stands once.
func pair(a, b string) []string { return slices.Compact([]string{a, b}) }

// openNamed opens a log by its name alone. One that is not there is made, for those
// who read it; who reads a group's is its members' to say.
func (p *planner) openNamed(ctx context.Context, tx *store.Tx, name string) (*openLog, error) {
	if l := p.logs[name]; l != nil {
		return l, nil
	}
	if id, known := p.ids.rows[name]; known {
		return p.open(id, name), nil
	}
	row, made, err := tx.EnsureLog(ctx, p.hub.app, name)
	if err != nil {
		return nil, err
	}
	l := p.open(row.ID, name)
	if made {
		for _, u := range l.users {
			if err := tx.SetReader(ctx, p.hub.app, u, row.ID, 0, 0); err != nil {
				return nil, err
			}
		}
	}
	if p.newLogs == nil {
		p.newLogs = make(map[string]store.LogID)
	}
	p.newLogs[name] = row.ID
	return l, nil
}

// add plans the entry that an item writes.
func (b *plannedBatch) add(l *openLog, i int, kind protocol.EntryKind, body []byte) {
	l.count++
	b.entries = append(b.entries, plannedEntry{log: l, index: i, kind: kind, body: body})
}

// open opens a log that is there.
func (p *planner) open(id store.LogID, name string) *openLog {
	if l := p.logs[name]; l != nil {
		return l
	}
	l := newLog(id, name)
	p.logs[name] = l
	p.order = append(p.order, l)
	return l
}

// flush writes what was planned and adds what it gives out.
func (p *planner) flush(ctx context.Context, tx *store.Tx, res *results) error {
	if len(p.planned) == 0 {
		clear(p.rooms) // what a call has asked for: the next one may change it
		return nil
	}
	if err := p.write(ctx, tx); err != nil {
		return err
	}
	for _, b := range p.planned {
		if err := p.emit(ctx, tx, b, res); err != nil {
			return err
		}
	}
	res.entries += p.written
	p.clear()
	return nil
}

// write gives the entries that are planned their seqs and writes them. More may
// be planned after it.
func (p *planner) write(ctx context.Context, tx *store.Tx) error {
	slices.SortFunc(p.order, func(a, b *openLog) int { return cmp.Compare(a.id, b.id) })
	total := 0
	for _, l := range p.order {
		if l.count == 0 {
			continue
		}
		first, err := tx.Extend(ctx, l.id, l.count, p.hub.era.Ord)
		if err != nil {
			return err
		}
		l.next = first
		total += l.count
		l.count = 0
	}
	rows := make([]store.Row, 0, total)
	for _, b := range p.planned {
		fresh := b.entries[b.written:]
		rows = p.enter(b, rows)
		if err := p.refer(ctx, tx, b, fresh); err != nil {
			return err
		}
	}
	p.written += len(rows)
	return tx.Insert(ctx, rows)
}

// enter makes a batch's planned entries rows.
func (p *planner) enter(b *plannedBatch, rows []store.Row) []store.Row {
	s, now := b.job.s, p.now.UnixMilli()
	planned := b.entries[b.written:]
	entries := make([]protocol.Entry, len(planned))
	for n := range planned {
		pe, e := &planned[n], &entries[n]
		*e = protocol.Entry{Seq: pe.log.next, Era: p.hub.era.Ord, Time: now, Kind: pe.kind, From: s.user, Term: s.terminal, Body: pe.body}
		if pe.kind == protocol.EntryMessage {
			e.MsgID, e.Priority = b.msgID(p.hub.app, pe.index), b.job.items[pe.index].Priority
		}
		pe.log.next++
		pe.entry = e
		b.acks[pe.index] = protocol.Ack{Log: pe.log.name, Seq: e.Seq, Time: now}
		rows = append(rows, store.Row{Log: pe.log.id, Entry: e})
	}
	b.written = len(b.entries)
	return rows
}

// emit hands out a batch's entries and answers, and keeps its producer.
func (p *planner) emit(ctx context.Context, tx *store.Tx, b *plannedBatch, res *results) error {
	s := b.job.s
	if b.bye != "" {
		res.out = append(res.out, &refused{session: s, boot: b.job.boot, reason: b.bye})
		return nil
	}
	var runs []*run
	for _, pe := range b.entries {
		m, err := p.audience(ctx, tx, pe.log)
		if err != nil {
			return err
		}
		readers := m.users
		if pe.kind == protocol.EntryMessage {
			readers = m.wanting
		}
		r := lastRun(runs, pe.log.name)
		if r == nil || len(r.readers) != len(readers) { // of one log the one list is a part of the other
			r = &run{log: pe.log.name, sender: s.user, terminal: s.terminal, readers: readers}
			runs = append(runs, r)
		}
		r.entries = append(r.entries, pe.entry)
	}
	res.out = append(res.out, &answered{user: s.user, terminal: s.terminal, acks: &protocol.Acks{Epoch: b.job.epoch, First: b.first, Results: b.acks}})
	if b.job.again && b.fresh > 0 {
		if err := p.tellAgain(ctx, tx, b, res); err != nil {
			return err
		}
	}
	for _, r := range runs {
		res.out = append(res.out, r)
	}
	res.out = append(res.out, b.signals...)
	if b.fresh == len(b.job.items) {
		return nil // nothing new: what could be repeated before still can
	}
	last, err := protocol.Marshal(newRecord(b.first, b.acks))
	if err != nil {
		return err
	}
	return tx.SetProducer(ctx, p.hub.app, s.user, s.terminal, store.Producer{
		Epoch: b.job.epoch, LastCseq: b.first + uint64(len(b.acks)) - 1, LastAcks: last,
	})
}

func lastRun(runs []*run, log string) *run {
	for _, r := range slices.Backward(runs) {
		if r.log == log {
			return r
		}
	}
	return nil
}
