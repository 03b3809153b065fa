package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

const (
	chunkBytes = 64 << 10 // of the pushes and heads in one frame, about
	// beatMs is how close a terminal's beats may be. A push that the broker had to
	// drop is missed until the next one.
	beatMs = 30_000
)

// hello opens a session and answers with what the terminal needs to go on. The
// session is there before the heads are read, so that an entry is either in the
// heads or pushed.
func (h *Hub) hello(l *login, boot uint64, in *protocol.Hello) error {
	refuse := func(format string, args ...any) {
		msg := fmt.Sprintf(format, args...)
		h.complain(slog.LevelWarn, "hello refused", "user", l.user, "terminal", l.terminal, "reason", msg)
		h.bye(l.user, l.terminal, boot, protocol.CodeLoginAuthFailed, msg)
		h.wire.Disconnect(l.clientID, l)
	}
	switch {
	case in.Version != protocol.Version:
		refuse("the hub speaks version %d of the wire and this terminal version %d: update the older of the two", protocol.Version, in.Version)
		return nil
	case boot == 0:
		refuse("the hello has no boot")
		return nil
	case !protocol.ValidPlatform(in.Platform):
		refuse("the platform is not 1 to %d of A-Z a-z 0-9 _ -", protocol.MaxPlatform)
		return nil
	}
	s, kicked, ok := h.table.enter(l, boot, in.Platform, h.cfg.TerminalsPerPlatform)
	if !ok {
		return nil
	}
	for _, k := range kicked {
		h.dismiss(protocol.Bye{
			Code: protocol.CodeLoginKickedOffByOther,
			Msg:  "the account " + k.user + " logged in on another terminal of the platform " + k.platform,
		}, []ending{{k.login, k.boot}})
	}
	ctx, cancel := h.store.ReadContext(h.life)
	defer cancel()
	rooms := h.roomTurn.Load()
	welcome, heads, err := h.welcome(ctx, s, in)
	if err != nil {
		// Without an answer the terminal would wait; a broken connection makes it
		// come back, at its own pace.
		h.log.Warn("hello not answered", "user", l.user, "terminal", l.terminal, "err", err)
		h.wire.Disconnect(l.clientID, l)
		return nil
	}
	h.log.Debug("hello", "user", l.user, "terminal", l.terminal, "platform", in.Platform, "program", in.Program,
		"last", welcome.LastCseq, "heads", len(heads))
	to := protocol.TopicToTerminal(h.app, s.user, s.terminal)
	h.publish(to, &protocol.Frame{Welcome: welcome}, 1)
	if welcome.Heads {
		h.sendHeads(to, heads)
	}
	if h.roomTurn.Load() != rooms { // the user's may have changed since they were read, and the terminal gone by what is older
		err := h.queue.push(&writeJob{func(_ context.Context, c Caller) error {
			c.tellRooms(s.user)
			return nil
		}, make(chan error, 1)})
		if err != nil {
			h.log.Debug("live rooms not told again", "user", s.user, "err", err)
		}
	}
	return nil
}

func (h *Hub) welcome(ctx context.Context, s *session, in *protocol.Hello) (*protocol.Welcome, []protocol.Head, error) {
	p, err := h.store.Producer(ctx, h.app, s.user, s.terminal)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, nil, err
	}
	eras, err := h.store.Eras(ctx, protocol.MaxEras)
	if err != nil {
		return nil, nil, err
	}
	common, err := h.store.CommonEra(ctx, in.Eras)
	if err != nil {
		return nil, nil, err
	}
	newest := eras[len(eras)-1].Ord // this hub's own, at least
	if n := len(in.Eras); n > 0 && common != in.Eras[n-1].Ord {
		h.metrics.rewound.Inc()
		h.complain(slog.LevelWarn, "a terminal knows a later state of the database: it was restored from a copy, and what was written since that copy is lost here",
			"user", s.user, "terminal", s.terminal, "common era", common, "terminal's era", in.Eras[n-1].Ord, "era", newest)
	}
	live, err := h.store.LiveRooms(ctx, h.app, s.user)
	if err != nil {
		return nil, nil, err
	}
	readers, differ, err := h.readers(ctx, s.user, in.Digest, in.Logs)
	if err != nil {
		return nil, nil, err
	}
	heads := headsOf(readers)
	if len(in.Eras) > 0 && common != newest {
		for i, r := range readers {
			if heads[i].Was, err = h.store.Was(ctx, r, common); err != nil {
				return nil, nil, err
			}
		}
	}
	return &protocol.Welcome{
		Boot: s.boot, Time: h.cfg.Now().UnixMilli(), Hub: "herald-hub " + protocol.BuildVersion,
		Epoch: p.Epoch, LastCseq: p.LastCseq, Eras: eras, Common: common, Heads: differ || common != newest, Live: live, BeatMs: beatMs,
	}, heads, nil
}

// readers lists the logs that a user may read, by name, and says whether a
// terminal with this digest misses any of it.
func (h *Hub) readers(ctx context.Context, user string, digest uint64, logs uint32) ([]store.Reader, bool, error) {
	readers, err := h.store.Readable(ctx, h.app, user)
	if err != nil {
		return nil, false, err
	}
	sum := uint64(0)
	for _, r := range readers {
		sum += protocol.CursorHash(r.Log, r.Head)
	}
	slices.SortFunc(readers, func(a, b store.Reader) int { return cmp.Compare(a.Log, b.Log) })
	return readers, sum != digest || len(readers) != int(logs), nil
}

func headsOf(readers []store.Reader) []protocol.Head {
	heads := make([]protocol.Head, len(readers))
	for i, r := range readers {
		heads[i] = protocol.Head{Log: r.Log, Seq: r.Head, Start: max(r.Start, r.Seen)}
	}
	return heads
}

// sendHeads sends heads in as many frames as it takes, at least one.
func (h *Hub) sendHeads(to string, heads []protocol.Head) {
	for {
		n, size := 0, 0
		for n < len(heads) && n < protocol.MaxHeads && size < chunkBytes {
			size += len(heads[n].Log) + 24
			n++
		}
		f := &protocol.Heads{Time: h.cfg.Now().UnixMilli(), Items: heads[:n], More: n < len(heads)}
		heads = heads[n:]
		h.publish(to, &protocol.Frame{Heads: f}, 1)
		if len(heads) == 0 {
			return
		}
	}
}

// beat notes a terminal's cursors and tells it what it misses.
func (h *Hub) beat(s *session, in *protocol.Beat) error {
	ctx, cancel := h.store.ReadContext(h.life)
	defer cancel()
	readers, differ, err := h.readers(ctx, s.user, in.Digest, in.Logs)
	if err != nil {
		h.log.Warn("beat not answered", "user", s.user, "terminal", s.terminal, "err", err)
		return nil // the next one comes
	}
	h.seen.note(s.user, possible(in.Moved, readers))
	if !differ {
		readers = nil
	}
	h.sendHeads(protocol.TopicToTerminal(h.app, s.user, s.terminal), headsOf(readers))
	return nil
}

// possible leaves out cursors of logs that are not the account's, and those beyond
// a log's end: a terminal may say anything, and the hub has room for few.
func possible(moved []protocol.Cursor, readers []store.Reader) []protocol.Cursor {
	return slices.DeleteFunc(moved, func(c protocol.Cursor) bool {
		i, ok := slices.BinarySearchFunc(readers, c.Log, func(r store.Reader, log string) int { return cmp.Compare(r.Log, log) })
		return !ok || c.Seq > readers[i].Head
	})
}
