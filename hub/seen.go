package hub

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

const (
	seenEvery = 3 * time.Second // how long a cursor may wait to be written; a crash loses it, which costs a repeated read
	maxSeen   = 20_000          // cursors that wait
)

// seen gathers the cursors that terminals tell, to be written now and then: most
// of them move on before that.
type seen struct {
	mu   sync.Mutex
	rows map[seenKey]uint64
	full chan struct{}
}

type seenKey struct{ user, log string }

func newSeen() *seen {
	return &seen{rows: make(map[seenKey]uint64), full: make(chan struct{}, 1)}
}

func (s *seen) note(user string, moved []protocol.Cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range moved {
		k := seenKey{user, c.Log}
		if len(c.Log) > protocol.MaxLogName || len(s.rows) >= maxSeen && s.rows[k] == 0 {
			continue // with the next beat, if it has moved on; it only says where a new terminal begins
		}
		s.rows[k] = max(s.rows[k], c.Seq)
	}
	if len(s.rows) > maxSeen/2 {
		select {
		case s.full <- struct{}{}:
		default:
		}
	}
}

func (s *seen) take() map[seenKey]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rows) == 0 {
		return nil
	}
	rows := s.rows
	s.rows = make(map[seenKey]uint64)
	return rows
}

// keepSeen writes the cursors until ctx ends, and once more then.
func (h *Hub) keepSeen(ctx context.Context) {
	tick := time.NewTicker(seenEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-h.seen.full:
		case <-ctx.Done():
			h.flushSeen()
			return
		}
		h.flushSeen()
	}
}

func (h *Hub) flushSeen() {
	rows := h.seen.take()
	if len(rows) == 0 {
		return
	}
	keys := make([]seenKey, 0, len(rows))
	for k := range rows {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b seenKey) int { return cmp.Or(cmp.Compare(a.log, b.log), cmp.Compare(a.user, b.user)) })
	const portion = 500 // so that a message never waits long
	for part := range slices.Chunk(keys, portion) {
		err := h.write(func(ctx context.Context, tx *store.Tx) error {
			for _, k := range part {
				if err := tx.SetSeen(ctx, h.app, k.user, k.log, rows[k]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			h.log.Debug("cursors not kept", "err", err) // the outage itself was logged
			return
		}
	}
}
