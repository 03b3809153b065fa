package store

import (
	"context"
	"fmt"

	"github.com/herald-im/herald/protocol"
)

// shown is the condition for an entry e to be one that people see (the kinds of
// protocol.EntryKind.Shown) and that the account $2 of the app $1 has not deleted.
const shown = `e.kind IN (1, 2, 3) AND ` + notHidden

// notHidden says the stretch of $4 to $5 again, as PostgreSQL may else go through
// all that the account has deleted in the log, for each entry.
const notHidden = `NOT EXISTS (SELECT 1 FROM hidden h
WHERE h.app = $1 AND h.user_id = $2 AND h.log_id = e.log_id AND h.seq = e.seq AND h.seq >= $4 AND h.seq < $5)`

const pageText = `SELECT ` + entryColumns + ` FROM entries e
WHERE e.log_id = $3 AND e.seq >= $4 AND e.seq < $5 AND ` + shown + ` ORDER BY e.seq DESC LIMIT $6`

// Page reads the entries with low <= seq < before that an account is shown of a
// log, the newest first, at most limit and, but for the first, as long as their
// bodies have at most maxBytes. from is the least seq that it has looked at: all
// from there on is in the page or is not shown.
func (v View) Page(ctx context.Context, app protocol.AppID, user string, id LogID, low, before uint64, limit, maxBytes int) (page []protocol.Entry, from uint64, err error) {
	page, cut, err := v.entries(ctx, maxBytes, pageText, int64(app), user, int64(id), int64(low), int64(before), limit)
	if err != nil {
		return nil, 0, err
	}
	if n := len(page); n > 0 && (cut || n == limit) {
		return page, page[n-1].Seq, nil
	}
	return page, low, nil
}

// messageText has the index's condition in it, which says nothing new. SQLite has
// no statistics of the tables, and would rather read the whole log.
const messageText = `SELECT ` + entryColumns + ` FROM entries /* sqlite: INDEXED BY entries_msg */
WHERE log_id = $1 AND msg_id = $2 AND msg_id <> '' LIMIT 1`

// Message finds the entry of a log that bears a message id, or ErrNotFound.
func (v View) Message(ctx context.Context, id LogID, msgID string) (protocol.Entry, error) {
	found, _, err := v.entries(ctx, 0, messageText, int64(id), msgID)
	switch {
	case err != nil:
		return protocol.Entry{}, err
	case len(found) == 0:
		return protocol.Entry{}, ErrNotFound
	}
	return found[0], nil
}

// Hidden tells whether an account has deleted an entry for itself.
func (v View) Hidden(ctx context.Context, app protocol.AppID, user string, id LogID, seq uint64) (bool, error) {
	var n int
	err := v.q.row(ctx, `SELECT COUNT(*) FROM hidden WHERE app = $1 AND user_id = $2 AND log_id = $3 AND seq = $4`,
		int64(app), user, int64(id), int64(seq)).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("read what is deleted: %w", err)
	}
	return n > 0, nil
}

// Unread counts the messages with low <= seq < before in a log that others have
// sent, that were not taken back and that the account has not deleted, up to limit.
func (v View) Unread(ctx context.Context, app protocol.AppID, user string, id LogID, low, before uint64, limit int) (n uint32, err error) {
	err = v.q.row(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM entries e WHERE e.log_id = $3 AND e.seq >= $4 AND e.seq < $5
AND e.kind = 1 AND e.from_id <> $2 AND e.revoked_by = '' AND `+notHidden+` LIMIT $6) AS unread`,
		int64(app), user, int64(id), int64(low), int64(before), limit).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count what is unread: %w", err)
	}
	return n, nil
}

// RevokeEntry takes a message back: what it said is gone, and it bears the name of who
// did it. ErrNotFound: there is no such entry.
func (t *Tx) RevokeEntry(ctx context.Context, id LogID, seq uint64, by string) error {
	res, err := t.q.exec(ctx, `UPDATE entries SET revoked_by = $3, body = $4 WHERE log_id = $1 AND seq = $2`, int64(id), int64(seq), by, []byte{})
	return t.one(res, err, ErrNotFound, "take the message back")
}
