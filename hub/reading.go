package hub

import (
	"context"
	"errors"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

const (
	maxRangeBytes = 128 << 10 // of the bodies in a range
	// maxScan is how many entries of a log one page of history looks at: a log full
	// of what nobody is shown costs no more than another.
	maxScan = 2000
)

// pull answers with entries of a log that the account may read.
func (h *Hub) pull(s *session, in *protocol.Pull) error {
	h.metrics.pulls.Inc()
	ctx, cancel := h.store.ReadContext(h.life)
	defer cancel()
	out, err := h.read(ctx, s.user, in)
	if err != nil {
		var e *protocol.Error
		if !errors.As(err, &e) {
			h.log.Warn("pull not answered", "user", s.user, "terminal", s.terminal, "log", in.Log, "err", err)
			e = protocol.Errorf(protocol.CodeSvrGroupInternalError, "the hub cannot read its database at present: try again later")
		}
		out = &protocol.Range{From: in.After, Code: e.Code, Msg: e.Msg}
	}
	out.ID, out.Log = in.ID, in.Log
	f := &protocol.Frame{Range: out}
	if len(out.Entries) > 0 {
		f.People = h.peopleIn(ctx, out.Log, pointers(out.Entries)...)
	}
	h.publish(protocol.TopicToTerminal(h.app, s.user, s.terminal), f, 1)
	return nil
}

func pointers(entries []protocol.Entry) []*protocol.Entry {
	out := make([]*protocol.Entry, len(entries))
	for i := range entries {
		out[i] = &entries[i]
	}
	return out
}

func (h *Hub) read(ctx context.Context, user string, in *protocol.Pull) (*protocol.Range, error) {
	if kind, _, _ := protocol.ParseLog(in.Log); kind == protocol.LogUnknown {
		return nil, protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "there is no log of this form") // PostgreSQL takes no zero byte
	}
	r, err := h.store.Reader(ctx, h.app, user, in.Log)
	if errors.Is(err, store.ErrNotFound) {
		return nil, h.unreadable(ctx, in.Log)
	}
	if err != nil {
		return nil, err
	}
	limit := h.cfg.PullEntries
	if in.Limit > 0 {
		limit = min(limit, int(in.Limit))
	}
	limit = min(limit, protocol.MaxPushEntries)
	switch {
	case in.Before > 0:
		return h.history(ctx, user, r, in.Before, limit)
	case in.MsgID != "":
		return h.message(ctx, user, r, in.MsgID)
	}
	return h.forward(ctx, r, in, limit)
}

// forward reads what comes after a terminal's cursor.
func (h *Hub) forward(ctx context.Context, r store.Reader, in *protocol.Pull, limit int) (out *protocol.Range, err error) {
	from := in.After
	switch {
	case in.Fresh:
		from = max(r.Start, r.Seen)
	case from > 0 && from < r.Start:
		// A cursor of an earlier stay in the group: what was written between the
		// two is not for it, even in a Meeting, whose history one may ask for.
		from = r.Start
	case from < r.From:
		from = r.From
	}
	out = &protocol.Range{From: from, Head: r.Head}
	if most := uint64(h.cfg.SyncEntries); from < r.Head && r.Head-from > most {
		out.From, out.Truncated = r.Head-most, true
	}
	if out.From < r.Head {
		out.Entries, err = h.store.Entries(ctx, r.ID, out.From, r.Head, limit, maxRangeBytes)
	}
	return out, err
}

// history reads a page of what the account is shown, backwards.
func (h *Hub) history(ctx context.Context, user string, r store.Reader, before uint64, limit int) (out *protocol.Range, err error) {
	out = &protocol.Range{From: r.Least(), Head: r.Head, Least: r.Least()}
	low, before := scan(r, before)
	if low < before {
		out.Entries, out.From, err = h.store.Page(ctx, h.app, user, r.ID, low, before, limit, maxRangeBytes)
	}
	return out, err
}

// scan is the stretch of a log, low <= seq < end, that is looked at at once for
// what is below before. It is empty where the account is shown nothing below it.
func scan(r store.Reader, before uint64) (low, end uint64) {
	end = min(before, r.Head+1)
	low = r.Least()
	if end > maxScan {
		low = max(low, end-maxScan)
	}
	return low, end
}

// message reads the one message with an id, unless the account has deleted it.
func (h *Hub) message(ctx context.Context, user string, r store.Reader, msgID string) (*protocol.Range, error) {
	out := &protocol.Range{From: r.From, Head: r.Head, Least: r.Least()}
	if !protocol.ValidMsgID(msgID) { // PostgreSQL takes no zero byte
		return out, nil
	}
	e, err := h.store.Message(ctx, r.ID, msgID)
	if errors.Is(err, store.ErrNotFound) || err == nil && (e.Seq < r.Least() || e.Seq > r.Head) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	hidden, err := h.store.Hidden(ctx, h.app, user, r.ID, e.Seq)
	if err == nil && !hidden {
		out.Entries = []protocol.Entry{e}
	}
	return out, err
}

// unreadable says why a log may not be read.
func (h *Hub) unreadable(ctx context.Context, log string) error {
	kind, group, _ := protocol.ParseLog(log)
	if kind == protocol.LogGroup {
		g, err := h.store.Group(ctx, h.app, group)
		if errors.Is(err, store.ErrNotFound) || err == nil && g.Dismissed {
			return protocol.Errorf(protocol.CodeSvrGroupNotFound, "there is no group %s", group)
		}
		if err != nil {
			return err
		}
	}
	return protocol.Errorf(protocol.CodeSvrGroupPermissionDeny, "the account may not read this log")
}
