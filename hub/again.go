package hub

import (
	"context"

	"github.com/herald-im/herald/hub/store"
	"github.com/herald-im/herald/protocol"
)

// tellAgain pushes what a batch has in the logs already. It was tried before, and
// its commit seemed to fail and did not: the database went away just then. So
// nobody was told of the entries, and their readers would hear of them at the next
// beat only. Who knows them leaves them out.
func (p *planner) tellAgain(ctx context.Context, tx *store.Tx, b *plannedBatch, res *results) error {
	for i := 0; i < b.fresh; {
		log, first, n := b.acks[i].Log, b.acks[i].Seq, 1
		for i+n < b.fresh && b.acks[i+n].Log == log {
			n++
		}
		if log != "" {
			r := &run{log: log, sender: b.job.s.user, terminal: b.job.s.terminal}
			if err := p.stored(ctx, tx, r, first, first+uint64(n)-1); err != nil {
				return err
			}
			res.out = append(res.out, r)
		}
		i += n
	}
	return nil
}

// stored fills in a run with entries that are in the log, and their readers.
func (p *planner) stored(ctx context.Context, tx *store.Tx, r *run, first, last uint64) error {
	row, err := tx.Log(ctx, p.hub.app, r.log)
	if err != nil {
		return err
	}
	m, err := p.audience(ctx, tx, newLog(row.ID, r.log))
	if err != nil {
		return err
	}
	r.readers = m.users
	entries, err := tx.Entries(ctx, row.ID, first-1, last, protocol.MaxBatchItems, protocol.MaxBatchBytes)
	for i := range entries {
		r.entries = append(r.entries, &entries[i])
	}
	return err
}
