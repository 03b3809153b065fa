package device

import (
	"context"
	"errors"
	"sync"

	"github.com/herald-im/herald/device/mirror"
	"github.com/herald-im/herald/protocol"
	"go.etcd.io/bbolt"
)

func (d *Device) getC2CHistory(ctx context.Context, _ protocol.Caller, r protocol.C2CHistoryRequest) (protocol.HistoryResponse, error) {
	s, err := d.current()
	if err != nil {
		return protocol.HistoryResponse{}, err
	}
	return s.history(ctx, protocol.C2CLog(s.user, r.UserID), r.UserID, r.Count, r.MsgID)
}

func (d *Device) getGroupHistory(ctx context.Context, _ protocol.Caller, r protocol.GroupHistoryRequest) (protocol.HistoryResponse, error) {
	s, err := d.current()
	if err != nil {
		return protocol.HistoryResponse{}, err
	}
	return s.history(ctx, protocol.GroupLog(r.GroupID), r.GroupID, r.Count, r.MsgID)
}

// history reads a log backwards: what waits, what the board holds, what the hub has.
func (s *session) history(ctx context.Context, log, id string, count int, msgID string) (protocol.HistoryResponse, error) {
	h := reading{s: s, log: log, id: id, count: count}
	h.kind, _, _ = protocol.ParseLog(log)
	h.res.MessageList = []protocol.MessageInfo{}
	if err := h.begin(ctx, msgID); err != nil {
		return protocol.HistoryResponse{}, err
	}
	page, err := h.held()
	if err != nil {
		return protocol.HistoryResponse{}, protocol.Errorf(protocol.CodeDatabaseFailure, "%v", err)
	}
	switch {
	case page.More || page.Below > 1 && len(h.res.MessageList) == count:
	case page.Below <= 1:
		h.res.IsFinished = true
	default:
		err = h.older(ctx, page.Below)
	}
	return h.res, err
}

// reading is a page of history in the making.
type reading struct {
	s       *session
	log, id string
	kind    protocol.LogKind
	count   int
	before  mirror.Pos       // zero: from the newest on
	behind  string           // a message that waited, which the page comes behind; "": none
	waiting []pendingMessage // of what comes before that, the newest first
	res     protocol.HistoryResponse
}

// begin finds the message that the page comes before, and what waits.
func (h *reading) begin(ctx context.Context, msgID string) error {
	waiting, err := h.s.pending()
	if err != nil {
		return protocol.Errorf(protocol.CodeDatabaseFailure, "%v", err)
	}
	seen := msgID == ""
	for _, p := range waiting {
		switch {
		case p.log != h.log:
		case seen:
			h.waiting = append(h.waiting, p)
		case p.msgID == msgID:
			seen, h.behind = true, msgID
		}
	}
	if seen {
		return nil
	}
	log, row, err := h.s.find(msgID)
	switch {
	case err != nil:
		return err
	case log == h.log:
		h.before = row.Pos
		return nil
	case log != "":
		return protocol.Errorf(protocol.CodeInvalidParameters, "msgId: the message %s is in another conversation", msgID)
	}
	r, err := h.s.pull(ctx, protocol.Pull{Log: h.log, MsgID: msgID})
	closed := unreadable(err)
	if err != nil && !closed {
		return err
	}
	if closed || len(r.Entries) != 1 {
		return protocol.Errorf(protocol.CodeInvalidParameters, "msgId: there is no message %s in this conversation", msgID)
	}
	h.before = mirror.Pos{Seq: r.Entries[0].Seq}
	return nil
}

// held puts in what waits and what the board holds. What has waited when begin looked
// may have been answered since: then it is in the mirror, and is shown from there alone.
func (h *reading) held() (page mirror.Page, err error) {
	err = h.s.d.db.View(func(tx *bbolt.Tx) error {
		if _, row, here := h.s.mirror.Find(tx, h.behind); here {
			h.before = row.Pos
		}
		shown := make(map[string]bool) // what goes from the uploads to the outbox may be in both
		for _, p := range h.waiting {
			if len(h.res.MessageList) == h.count {
				break
			}
			if _, _, here := h.s.mirror.Find(tx, p.msgID); here || shown[p.msgID] || p.msgID == h.behind {
				continue
			}
			shown[p.msgID] = true
			h.res.MessageList = append(h.res.MessageList, h.s.renderPending(tx, p))
		}
		page = h.s.mirror.Read(tx, h.log, h.before, h.count-len(h.res.MessageList))
		c := h.s.mirror.Conv(h.log)
		for _, r := range page.Rows {
			h.res.MessageList = append(h.res.MessageList, h.s.render(tx, h.kind, h.id, c, r))
		}
		return nil
	})
	return page, err
}

// unreadable tells whether a log is not there for this account.
func unreadable(err error) bool {
	var e *protocol.Error
	return errors.As(err, &e) && (e.Code == protocol.CodeSvrGroupPermissionDeny || e.Code == protocol.CodeSvrGroupNotFound)
}

// maxPages is how many pages of the hub's one page may be made of: a part of a log
// may hold little that is shown.
const maxPages = 16

// older puts in what the hub has below a seq.
func (h *reading) older(ctx context.Context, below uint64) error {
	c := h.s.mirror.Conv(h.log)
	for range maxPages {
		want := h.count - len(h.res.MessageList)
		if want == 0 {
			return nil
		}
		r, err := h.s.pull(ctx, protocol.Pull{Log: h.log, Before: below, Limit: uint16(want)})
		var e *protocol.Error
		switch {
		case errors.As(err, &e) && (e.Code == protocol.CodeNetDisconnect || e.Code == protocol.CodeRequestTimeout):
			h.res.Offline = true
			return nil
		case unreadable(err):
			h.res.IsFinished = true // nobody has written here, or it is not for this account (any more)
			return nil
		case err != nil:
			return err
		}
		rows := make([]mirror.Row, 0, len(r.Entries))
		for _, e := range r.Entries {
			rows = append(rows, mirror.Row{Entry: e, Pos: mirror.Pos{Seq: e.Seq}})
		}
		h.s.places.add(h.log, rows)
		err = h.s.d.db.View(func(tx *bbolt.Tx) error {
			for _, row := range rows {
				h.res.MessageList = append(h.res.MessageList, h.s.render(tx, h.kind, h.id, c, row))
			}
			return nil
		})
		if err != nil {
			return err
		}
		if r.From <= r.Least || r.From == 0 || r.From >= below {
			h.res.IsFinished = true
			return nil
		}
		below = r.From
	}
	return nil
}

// find returns the message of an id, as far as the board knows of it, and its log;
// "" if it does not.
func (s *session) find(msgID string) (log string, row mirror.Row, err error) {
	err = s.d.db.View(func(tx *bbolt.Tx) error {
		if c, r, ok := s.mirror.Find(tx, msgID); ok {
			log, row = c.Log, r
		}
		return nil
	})
	if err != nil {
		return "", row, protocol.Errorf(protocol.CodeDatabaseFailure, "%v", err)
	}
	if log != "" {
		return log, row, nil
	}
	log, row = s.places.find(msgID)
	if c := s.mirror.Conv(log); c != nil && row.Pos.Seq <= c.Cleared { // deleted since
		return "", mirror.Row{}, nil
	}
	return log, row, nil
}

// maxPlaces and maxPlaceBytes bound the messages that are remembered of what the
// hub's history has shown: programs go on to do something with them.
const (
	maxPlaces     = 1000
	maxPlaceBytes = 1 << 20
)

// places are messages that a program has been shown and that the mirror does not hold.
type places struct {
	mu    sync.Mutex
	rows  map[string]place
	bytes int
}

type place struct {
	log string
	row mirror.Row
}

func (p *places) add(log string, rows []mirror.Row) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range rows {
		if r.Entry.MsgID == "" {
			continue
		}
		if len(p.rows) >= maxPlaces || p.bytes >= maxPlaceBytes || p.rows == nil {
			p.rows, p.bytes = make(map[string]place), 0
		}
		p.bytes += len(r.Entry.Body)
		p.rows[r.Entry.MsgID] = place{log, r}
	}
}

func (p *places) find(msgID string) (string, mirror.Row) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.rows[msgID]
	return at.log, at.row
}

func (p *places) forget(msgID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.rows, msgID)
}

// query is a pull whose answer somebody waits for.
type query struct {
	asked[*protocol.Range]
	pull protocol.Pull
}

// pull asks the hub for entries, beside what the session reads by itself.
func (s *session) pull(ctx context.Context, p protocol.Pull) (*protocol.Range, error) {
	q := &query{asked: newAsked[*protocol.Range](s), pull: p}
	return await(ctx, s, s.queries, q, q.reply)
}

// queryBit is set in the ids of queries, and not in those of the other pulls.
const queryBit = 1 << 31

// query sends a pull on its way.
func (c *connection) query(q *query) error {
	switch {
	case !c.ready:
		q.done(nil, errOffline)
		return nil
	case len(c.queries) >= maxPending:
		q.done(nil, protocol.Errorf(protocol.CodeNetReqCountLimit, "%d questions wait for the hub already", maxPending))
		return nil
	}
	c.nextQuery = (c.nextQuery + 1) | queryBit
	q.pull.ID = c.nextQuery
	c.queries[q.pull.ID] = q
	return c.send(&protocol.Frame{Pull: &q.pull})
}

// answeredQuery takes the answer to a query; false: it is to something else.
func (c *connection) answeredQuery(r *protocol.Range) bool {
	q := c.queries[r.ID]
	if q == nil || q.pull.Log != r.Log {
		return q != nil
	}
	delete(c.queries, r.ID)
	if r.Code != 0 {
		q.done(nil, protocol.Errorf(r.Code, "%s", r.Msg))
		return true
	}
	q.done(r, nil)
	return true
}
