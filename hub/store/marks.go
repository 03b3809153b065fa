package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/herald-im/herald/protocol"
)

// SetRead notes up to where an account has read a log. It never falls.
func (t *Tx) SetRead(ctx context.Context, app protocol.AppID, user string, id LogID, seq uint64) error {
	_, err := t.q.exec(ctx, `UPDATE readers SET read_seq = $4 WHERE app = $1 AND user_id = $2 AND log_id = $3 AND read_seq < $4`,
		int64(app), user, int64(id), int64(seq))
	if err != nil {
		return fmt.Errorf("note what is read: %w", err)
	}
	return nil
}

// SetCleared notes up to where an account has deleted a log. It never falls. What
// was deleted one by one below needs no mention any more.
func (t *Tx) SetCleared(ctx context.Context, app protocol.AppID, user string, id LogID, seq uint64) error {
	_, err := t.q.exec(ctx, `UPDATE readers SET cleared_seq = $4 WHERE app = $1 AND user_id = $2 AND log_id = $3 AND cleared_seq < $4`,
		int64(app), user, int64(id), int64(seq))
	if err == nil {
		_, err = t.q.exec(ctx, `DELETE FROM hidden WHERE app = $1 AND user_id = $2 AND log_id = $3 AND seq <= $4`,
			int64(app), user, int64(id), int64(seq))
	}
	if err != nil {
		return fmt.Errorf("note what is deleted: %w", err)
	}
	return nil
}

// ReadUpTo is up to where an account has read a log; 0 if it does not read it.
func (v View) ReadUpTo(ctx context.Context, app protocol.AppID, user string, id LogID) (seq uint64, err error) {
	err = v.q.row(ctx, `SELECT COALESCE(MAX(read_seq), 0) FROM readers WHERE app = $1 AND user_id = $2 AND log_id = $3`,
		int64(app), user, int64(id)).Scan(&seq)
	if err != nil {
		return 0, fmt.Errorf("read what is read: %w", err)
	}
	return seq, nil
}

// OthersWrote tells whether there is a message with after < seq <= last in a log
// that somebody else than user has sent.
func (v View) OthersWrote(ctx context.Context, id LogID, user string, after, last uint64) (is bool, err error) {
	err = v.q.row(ctx, `SELECT EXISTS (SELECT 1 FROM entries WHERE log_id = $1 AND seq > $2 AND seq <= $3 AND kind = 1 AND from_id <> $4)`,
		int64(id), int64(after), int64(last), user).Scan(&is)
	if err != nil {
		return false, fmt.Errorf("look for messages: %w", err)
	}
	return is, nil
}

// hideSizes are how many seqs a statement takes: a few prepared statements do for
// any number.
var hideSizes = [...]int{1, 8, protocol.MaxMarkSeqs}

var hideTexts = func() (out [len(hideSizes)]string) {
	for i, n := range hideSizes {
		var list strings.Builder
		for k := range n {
			fmt.Fprintf(&list, ", $%d", k+6)
		}
		out[i] = `INSERT INTO hidden (app, user_id, log_id, seq) SELECT CAST($1 AS BIGINT), CAST($2 AS TEXT), log_id, seq FROM entries
WHERE log_id = $3 AND seq >= $4 AND seq <= $5 AND kind IN (1, 2, 3) AND seq IN (` + list.String()[2:] + `) ON CONFLICT DO NOTHING RETURNING seq`
	}
	return out
}()

// Hide deletes entries of a log for an account: those of seqs, 1 to
// protocol.MaxMarkSeqs, that are there from low to high and that people see. It
// returns those that were not deleted before, in order.
func (t *Tx) Hide(ctx context.Context, app protocol.AppID, user string, id LogID, low, high uint64, seqs []uint64) ([]uint64, error) {
	i := slices.IndexFunc(hideSizes[:], func(n int) bool { return n >= len(seqs) })
	if i < 0 || len(seqs) == 0 {
		return nil, fmt.Errorf("delete %d entries at once: not 1 to %d", len(seqs), protocol.MaxMarkSeqs)
	}
	args := append(make([]any, 0, 5+hideSizes[i]), int64(app), user, int64(id), int64(low), int64(high))
	for k := range hideSizes[i] { // the last one again, where there are fewer
		args = append(args, int64(seqs[min(k, len(seqs)-1)]))
	}
	out, err := collect(ctx, t.q, func(row scanner) (seq uint64, err error) { return seq, row.Scan(&seq) }, hideTexts[i], args...)
	if err != nil {
		return nil, fmt.Errorf("delete entries: %w", err)
	}
	slices.Sort(out)
	return out, nil
}
