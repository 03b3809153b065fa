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

	// What stays true from one transaction to the next: an account and a log are
	// never deleted. What this one has made is added after its commit.
	known      bounded[string, struct{}] // accounts
	ids        bounded[string, store.LogID]
	members    bounded[string, membership]
	newAccount []string
	newLogs    map[string]store.LogID
	mixed      bool // the transaction has run calls, so it may have changed groups
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

// membership is the members of a group as of a version of it.
type membership struct {
	version uint64
	users   []string
}

// room is a group as the present transaction sees it.
type room struct {
	store.Group
	missing bool
	senders map[string]bool // asked for: is he a member
}

func (r *room) live() bool { return r.Type == protocol.GroupAVChatRoom }

// openLog is a log that the transaction appends to.
type openLog struct {
	id    store.LogID
	name  string
	group string // empty: a conversation
	count int
	next  uint64
}

// plannedBatch is an append with its answers.
type plannedBatch struct {
	job     *appendJob
	bye     string // why it is refused whole
	acks    []protocol.Ack
	fresh   int // index of the first item that is new; len(items) if none is
	first   uint64
	entries []plannedEntry
	signals []emission

	prefix      string // of the message ids of prefixEpoch
	prefixEpoch uint32
}

// msgID names the message of an item.
func (b *plannedBatch) msgID(app protocol.AppID, i int) string {
	epoch := b.job.epoch
	if other := b.job.items[i].IDEpoch; other != 0 {
		epoch = other
	}
	if b.prefix == "" || b.prefixEpoch != epoch {
		b.prefix, b.prefixEpoch = protocol.MsgIDPrefix(app, b.job.s.user, b.job.s.terminal, epoch), epoch
	}
	return protocol.MsgID(b.prefix, b.first+uint64(i))
}

type plannedEntry struct {
	log   *openLog
	index int // of the item
}

func newPlanner(h *Hub) planner {
	return planner{
		hub:     h,
		known:   bounded[string, struct{}]{size: 65536},
		ids:     bounded[string, store.LogID]{size: 65536},
		members: bounded[string, membership]{size: 1024},
	}
}

func (p *planner) begin(now time.Time) {
	p.now, p.mixed = now, false
	p.newAccount, p.newLogs = p.newAccount[:0], nil
	p.clear()
}

func (p *planner) clear() {
	p.planned, p.order = p.planned[:0], p.order[:0]
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

// item judges one new item: it gets its answer, or a place in a log.
func (p *planner) item(ctx context.Context, tx *store.Tx, b *plannedBatch, i int) error {
	it := &b.job.items[i]
	var err error
	refusal := it.refusal
	switch {
	case refusal != nil || it.Kind == protocol.ItemVoid:
	case it.Kind == protocol.ItemC2C:
		refusal, err = p.conversation(ctx, tx, b, i)
	default:
		refusal, err = p.group(ctx, tx, b, i)
	}
	if refusal != nil {
		b.acks[i] = protocol.Ack{Code: refusal.Code, Msg: refusal.Msg, Time: p.now.UnixMilli()}
	}
	return err
}

func (p *planner) conversation(ctx context.Context, tx *store.Tx, b *plannedBatch, i int) (*protocol.Error, error) {
	from, to := b.job.s.user, b.job.items[i].To
	name := protocol.C2CLog(from, to)
	l := p.logs[name]
	if l == nil {
		id, ok := p.ids.rows[name]
		if !ok {
			if known, err := p.account(ctx, tx, to); err != nil {
				return nil, err
			} else if !known {
				return protocol.Errorf(protocol.CodeSvrMsgToAccountNotFound, "there is no account %s", to), nil
			}
			row, made, err := tx.EnsureLog(ctx, p.hub.app, name)
			if err != nil {
				return nil, err
			}
			id = row.ID
			if made {
				for _, u := range slices.Compact([]string{from, to}) {
					if err := tx.SetReader(ctx, p.hub.app, u, id, 0, 0); err != nil {
						return nil, err
					}
				}
			}
			p.remember(name, id)
		}
		l = p.open(id, name, "")
	}
	l.count++
	b.entries = append(b.entries, plannedEntry{l, i})
	return nil, nil
}

func (p *planner) remember(name string, id store.LogID) {
	if p.newLogs == nil {
		p.newLogs = make(map[string]store.LogID)
	}
	p.newLogs[name] = id
}

func (p *planner) open(id store.LogID, name, group string) *openLog {
	l := &openLog{id: id, name: name, group: group}
	p.logs[name] = l
	p.order = append(p.order, l)
	return l
}

func (p *planner) account(ctx context.Context, tx *store.Tx, user string) (bool, error) {
	if _, ok := p.known.rows[user]; ok {
		return true, nil
	}
	_, err := tx.User(ctx, p.hub.app, user)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err == nil {
		p.newAccount = append(p.newAccount, user)
	}
	return err == nil, err
}

func (p *planner) group(ctx context.Context, tx *store.Tx, b *plannedBatch, i int) (*protocol.Error, error) {
	s, it := b.job.s, &b.job.items[i]
	r, err := p.room(ctx, tx, it.To)
	if err != nil {
		return nil, err
	}
	if r.missing || r.Dismissed {
		return protocol.Errorf(protocol.CodeSvrGroupNotFound, "there is no group %s", it.To), nil
	}
	member, asked := r.senders[s.user]
	if !asked {
		_, err := tx.Member(ctx, p.hub.app, r.ID, s.user)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		member = err == nil
		r.senders[s.user] = member
	}
	if !member {
		return protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "%s is not a member of the group %s", s.user, it.To), nil
	}
	if r.live() {
		now := p.now.UnixMilli()
		b.acks[i] = protocol.Ack{Time: now}
		b.signals = append(b.signals, &liveMessage{epoch: r.LiveEpoch, signal: protocol.Signal{
			Group: r.ID, From: s.user, Term: s.terminal, MsgID: b.msgID(p.hub.app, i), Time: now, Body: it.Body,
		}})
		return nil, nil
	}
	name := protocol.GroupLog(r.ID)
	l := p.logs[name]
	if l == nil {
		row, _, err := tx.EnsureLog(ctx, p.hub.app, name)
		if err != nil {
			return nil, err
		}
		l = p.open(row.ID, name, r.ID)
	}
	l.count++
	b.entries = append(b.entries, plannedEntry{l, i})
	return nil, nil
}

func (p *planner) room(ctx context.Context, tx *store.Tx, id string) (*room, error) {
	if r := p.rooms[id]; r != nil {
		return r, nil
	}
	g, err := tx.Group(ctx, p.hub.app, id)
	r := &room{Group: g, missing: errors.Is(err, store.ErrNotFound), senders: make(map[string]bool)}
	if err != nil && !r.missing {
		return nil, err
	}
	p.rooms[id] = r
	return r, nil
}

// readers lists who gets the entries of a group.
func (p *planner) readers(ctx context.Context, tx *store.Tx, g *store.Group) ([]string, error) {
	if m, ok := p.members.rows[g.ID]; ok && m.version == g.Version {
		return m.users, nil
	}
	list, err := tx.Members(ctx, p.hub.app, g.ID)
	if err != nil {
		return nil, err
	}
	users := make([]string, len(list))
	for i, m := range list {
		users[i] = m.User
	}
	// Should the transaction be rolled back, the version is that of no row, and
	// the next change of the group takes it again, with other members.
	if !p.mixed {
		p.members.put(g.ID, membership{g.Version, users})
	}
	return users, nil
}

// flush writes what was planned and adds what it gives out.
func (p *planner) flush(ctx context.Context, tx *store.Tx, res *results) error {
	if len(p.planned) == 0 {
		return nil
	}
	slices.SortFunc(p.order, func(a, b *openLog) int { return cmp.Compare(a.id, b.id) })
	total := 0
	for _, l := range p.order {
		first, err := tx.Extend(ctx, l.id, l.count, p.hub.era.Ord)
		if err != nil {
			return err
		}
		l.next = first
		total += l.count
	}
	rows := make([]store.Row, 0, total)
	for _, b := range p.planned {
		var err error
		if rows, err = p.emit(ctx, tx, b, rows, res); err != nil {
			return err
		}
	}
	if err := tx.Insert(ctx, rows); err != nil {
		return err
	}
	res.entries += len(rows)
	p.clear()
	return nil
}

// emit gives a batch's entries their seqs and keeps its producer.
func (p *planner) emit(ctx context.Context, tx *store.Tx, b *plannedBatch, rows []store.Row, res *results) ([]store.Row, error) {
	s := b.job.s
	if b.bye != "" {
		res.out = append(res.out, &refused{session: s, boot: b.job.boot, reason: b.bye})
		return rows, nil
	}
	now := p.now.UnixMilli()
	entries := make([]protocol.Entry, len(b.entries))
	var runs []*run
	for n, pe := range b.entries {
		it := &b.job.items[pe.index]
		entries[n] = protocol.Entry{
			Seq: pe.log.next, Era: p.hub.era.Ord, Time: now, Kind: protocol.EntryMessage, From: s.user, Term: s.terminal,
			MsgID: b.msgID(p.hub.app, pe.index), Priority: it.Priority, Body: it.Body,
		}
		pe.log.next++
		b.acks[pe.index] = protocol.Ack{Log: pe.log.name, Seq: entries[n].Seq, Time: now}
		rows = append(rows, store.Row{Log: pe.log.id, Entry: &entries[n]})
		r := findRun(runs, pe.log.name)
		if r == nil {
			r = &run{log: pe.log.name, sender: s.user, terminal: s.terminal}
			var err error
			if r.readers, err = p.audience(ctx, tx, b, pe); err != nil {
				return nil, err
			}
			runs = append(runs, r)
		}
		r.entries = append(r.entries, &entries[n])
	}
	res.out = append(res.out, &answered{user: s.user, terminal: s.terminal, acks: &protocol.Acks{Epoch: b.job.epoch, First: b.first, Results: b.acks}})
	if b.job.again && b.fresh > 0 {
		if err := p.tellAgain(ctx, tx, b, res); err != nil {
			return nil, err
		}
	}
	for _, r := range runs {
		res.out = append(res.out, r)
	}
	res.out = append(res.out, b.signals...)
	if b.fresh == len(b.job.items) {
		return rows, nil // nothing new: what could be repeated before still can
	}
	last, err := protocol.Marshal(newRecord(b.first, b.acks))
	if err != nil {
		return nil, err
	}
	return rows, tx.SetProducer(ctx, p.hub.app, s.user, s.terminal, store.Producer{
		Epoch: b.job.epoch, LastCseq: b.first + uint64(len(b.acks)) - 1, LastAcks: last,
	})
}

func findRun(runs []*run, log string) *run {
	for _, r := range runs {
		if r.log == log {
			return r
		}
	}
	return nil
}

func (p *planner) audience(ctx context.Context, tx *store.Tx, b *plannedBatch, pe plannedEntry) ([]string, error) {
	if pe.log.group != "" {
		return p.readers(ctx, tx, &p.rooms[pe.log.group].Group)
	}
	return slices.Compact([]string{b.job.s.user, b.job.items[pe.index].To}), nil
}
