package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/herald-im/herald/protocol"
)

// LogID names a log within the database.
type LogID int64

// Log is a row of logs.
type Log struct {
	ID     LogID
	Head   uint64
	Closed bool
}

// Log finds a log by name, or ErrNotFound.
func (v View) Log(ctx context.Context, app protocol.AppID, name string) (Log, error) {
	var l Log
	var closed int64
	err := v.q.row(ctx, `SELECT id, head, closed FROM logs WHERE app = $1 AND name = $2`, int64(app), name).Scan(&l.ID, &l.Head, &closed)
	if err != nil {
		return l, fmt.Errorf("read the log: %w", notFound(err))
	}
	l.Closed = closed != 0
	return l, nil
}

// EnsureLog finds a log or makes it, and tells which.
func (t *Tx) EnsureLog(ctx context.Context, app protocol.AppID, name string) (l Log, made bool, err error) {
	if l, err = t.Log(ctx, app, name); !errors.Is(err, ErrNotFound) {
		return l, false, err
	}
	n, err := t.next(ctx, "log")
	if err != nil {
		return l, false, fmt.Errorf("make the log: %w", err)
	}
	res, err := t.q.exec(ctx, `INSERT INTO logs (id, app, name, head, era, closed) VALUES ($1, $2, $3, 0, 0, 0) ON CONFLICT DO NOTHING`,
		n, int64(app), name)
	switch err := t.one(res, err, ErrExists, "make the log"); {
	case errors.Is(err, ErrExists): // another hub was faster
		l, err = t.Log(ctx, app, name)
		return l, false, err
	case err != nil:
		return l, false, err
	}
	return Log{ID: LogID(n)}, true, nil
}

// Extend makes room for n entries of an era and returns the seq of the first.
// Other appends to the log wait until the commit. ErrClosed: it takes no more.
func (t *Tx) Extend(ctx context.Context, id LogID, n int, era uint32) (first uint64, err error) {
	var head uint64
	err = t.q.row(ctx, `UPDATE logs SET head = head + $2, era = $3 WHERE id = $1 AND closed = 0 RETURNING head`,
		int64(id), n, int64(era)).Scan(&head)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, ErrClosed
	case err != nil:
		return 0, fmt.Errorf("extend the log: %w", err)
	}
	t.last.log, t.last.head = id, head
	return head - uint64(n) + 1, nil
}

// SetClosed says whether a log takes entries.
func (t *Tx) SetClosed(ctx context.Context, id LogID, closed bool) error {
	n := 0
	if closed {
		n = 1
	}
	if _, err := t.q.exec(ctx, `UPDATE logs SET closed = $2 WHERE id = $1`, int64(id), n); err != nil {
		return fmt.Errorf("close the log: %w", err)
	}
	return nil
}

// Row is an entry with the log that it belongs to.
type Row struct {
	Log LogID
	*protocol.Entry
}

// insertSizes are how many rows one statement takes: a few prepared statements
// do for any number.
var insertSizes = [...]int{64, 16, 4, 1}

var insertTexts = func() (out [len(insertSizes)]string) {
	const columns = 10
	for i, n := range insertSizes {
		var b strings.Builder
		b.WriteString(`INSERT INTO entries (log_id, seq, era, time_ms, kind, from_id, term, msg_id, priority, body) VALUES `)
		for r := range n {
			if r > 0 {
				b.WriteByte(',')
			}
			for c := range columns {
				b.WriteByte("(,"[min(c, 1)])
				fmt.Fprintf(&b, "$%d", r*columns+c+1)
			}
			b.WriteByte(')')
		}
		out[i] = b.String()
	}
	return out
}()

// Insert writes entries whose seqs Extend gave.
func (t *Tx) Insert(ctx context.Context, rows []Row) error {
	args := make([]any, 0, insertSizes[0]*10)
	for i, size := range insertSizes {
		for len(rows) >= size {
			args = args[:0]
			for _, r := range rows[:size] {
				body := []byte(r.Body)
				if body == nil {
					body = []byte{}
				}
				args = append(args, int64(r.Log), int64(r.Seq), int64(r.Era), r.Time, int64(r.Kind), r.From, r.Term, r.MsgID, int64(r.Priority), body)
			}
			if _, err := t.q.exec(ctx, insertTexts[i], args...); err != nil {
				return fmt.Errorf("write entries: %w", err)
			}
			rows = rows[size:]
		}
	}
	return nil
}

// Reader is what an account may read of a log: after From, up to Head.
type Reader struct {
	Log   string
	ID    LogID
	From  uint64
	Start uint64 // where an account without a cursor begins, From or later
	Seen  uint64 // the furthest cursor that the account's terminals have told
	Head  uint64 // the log's, or the last that may be read after leaving
	Era   uint32 // ordinal of the log's last entry's

	Read    uint64 // what is up to it the account has read
	Cleared uint64 // what is up to it the account has deleted
}

// Least is the first seq that the account is shown of the log's history.
func (r Reader) Least() uint64 { return max(r.From, r.Cleared) + 1 }

const readerColumns = `l.name, l.id, l.head, l.era, r.from_seq, r.start_seq, r.to_seq, r.seen, r.read_seq, r.cleared_seq`

func scanReader(row scanner) (r Reader, err error) {
	var to sql.NullInt64
	err = row.Scan(&r.Log, &r.ID, &r.Head, &r.Era, &r.From, &r.Start, &to, &r.Seen, &r.Read, &r.Cleared)
	if to.Valid {
		r.Head = min(r.Head, uint64(to.Int64))
	}
	return r, err
}

// Readable lists the logs that an account may read and that have entries for it.
func (v View) Readable(ctx context.Context, app protocol.AppID, user string) ([]Reader, error) {
	out, err := collect(ctx, v.q, scanReader, `SELECT `+readerColumns+` FROM readers r JOIN logs l ON l.id = r.log_id
WHERE r.app = $1 AND r.user_id = $2`, int64(app), user)
	if err != nil {
		return nil, fmt.Errorf("read the account's logs: %w", err)
	}
	return slices.DeleteFunc(out, func(r Reader) bool { return r.Head == 0 }), nil
}

// Reader finds what an account may read of a log, or ErrNotFound.
func (v View) Reader(ctx context.Context, app protocol.AppID, user, log string) (Reader, error) {
	r, err := scanReader(v.q.row(ctx, `SELECT `+readerColumns+` FROM logs l JOIN readers r ON r.log_id = l.id
WHERE l.app = $1 AND l.name = $3 AND r.app = $1 AND r.user_id = $2`, int64(app), user, log))
	if err != nil {
		return r, fmt.Errorf("read the account's log: %w", notFound(err))
	}
	return r, nil
}

// SetReader lets an account read a log after from. If it has read the log
// before, its reading goes on, with the cursors it has.
func (t *Tx) SetReader(ctx context.Context, app protocol.AppID, user string, id LogID, from, start uint64) error {
	_, err := t.q.exec(ctx, `INSERT INTO readers (app, user_id, log_id, from_seq, start_seq, to_seq, seen) VALUES ($1, $2, $3, $4, $5, NULL, 0)
ON CONFLICT (app, user_id, log_id) DO UPDATE SET from_seq = excluded.from_seq, start_seq = excluded.start_seq, to_seq = NULL`,
		int64(app), user, int64(id), int64(from), int64(start))
	if err != nil {
		return fmt.Errorf("let the account read: %w", err)
	}
	return nil
}

// EndReader lets an account read a log up to last only. User "" means all who
// read it without an end.
func (t *Tx) EndReader(ctx context.Context, app protocol.AppID, user string, id LogID, last uint64) error {
	text, args := `UPDATE readers SET to_seq = $1 WHERE log_id = $2 AND to_seq IS NULL`, []any{int64(last), int64(id)}
	if user != "" {
		text, args = text+` AND app = $3 AND user_id = $4`, append(args, int64(app), user)
	}
	if _, err := t.q.exec(ctx, text, args...); err != nil {
		return fmt.Errorf("end the account's reading: %w", err)
	}
	return nil
}

// SetSeen notes how far an account's terminals have read. What is beyond the
// log's head or not ahead of what is known changes nothing.
func (t *Tx) SetSeen(ctx context.Context, app protocol.AppID, user, log string, seq uint64) error {
	_, err := t.q.exec(ctx, `UPDATE readers SET seen = $4 WHERE app = $1 AND user_id = $2 AND seen < $4
AND log_id = (SELECT id FROM logs WHERE app = $1 AND name = $3 AND head >= $4)`, int64(app), user, log, int64(seq))
	if err != nil {
		return fmt.Errorf("note the account's cursor: %w", err)
	}
	return nil
}

// Entries reads entries of a log with from < seq <= to, at most limit and, but
// for the first, as long as their bodies have at most maxBytes.
func (v View) Entries(ctx context.Context, id LogID, from, to uint64, limit, maxBytes int) ([]protocol.Entry, error) {
	out, _, err := v.entries(ctx, maxBytes, `SELECT `+entryColumns+` FROM entries
WHERE log_id = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4`, int64(id), int64(from), int64(to), limit)
	return out, err
}

const entryColumns = `seq, era, time_ms, kind, from_id, term, msg_id, priority, body, revoked_by`

// entries reads entries until their bodies have more than maxBytes, but the first
// in any case. cut says that there are more.
func (v View) entries(ctx context.Context, maxBytes int, text string, args ...any) (out []protocol.Entry, cut bool, err error) {
	rows, err := v.q.rows(ctx, text, args...)
	if err != nil {
		return nil, false, fmt.Errorf("read entries: %w", err)
	}
	defer rows.Close() // its error is that of Err
	size := 0
	for rows.Next() {
		var e protocol.Entry
		var body []byte
		if err := rows.Scan(&e.Seq, &e.Era, &e.Time, &e.Kind, &e.From, &e.Term, &e.MsgID, &e.Priority, &body, &e.RevokedBy); err != nil {
			return nil, false, fmt.Errorf("read entries: %w", err)
		}
		if size += len(body); size > maxBytes && len(out) > 0 {
			return out, true, nil
		}
		e.Body = body
		out = append(out, e)
	}
	if err := rows.Err(); err != nil {
		return nil, false, fmt.Errorf("read entries: %w", err)
	}
	return out, false, nil
}

// Was finds the last seq that an account may read of a log and that was written
// in the era or an earlier one; 0 if none was. Eras never fall along a log, so it
// halves.
func (v View) Was(ctx context.Context, r Reader, era uint32) (uint64, error) {
	if r.Era <= era {
		return r.Head, nil
	}
	from, to := uint64(0), r.Head
	for from < to {
		mid := from + (to-from+1)/2
		var e uint32
		err := v.q.row(ctx, `SELECT era FROM entries WHERE log_id = $1 AND seq = $2`, int64(r.ID), int64(mid)).Scan(&e)
		if err != nil {
			return 0, fmt.Errorf("read an entry's era: %w", notFound(err))
		}
		if e <= era {
			from = mid
		} else {
			to = mid - 1
		}
	}
	return from, nil
}

// Eras lists the newest eras, oldest first.
func (v View) Eras(ctx context.Context, limit int) ([]protocol.Era, error) {
	out, err := collect(ctx, v.q, func(row scanner) (e protocol.Era, err error) {
		var id int64
		err = row.Scan(&e.Ord, &id)
		e.ID = uint64(id)
		return e, err
	}, `SELECT ord, id FROM eras ORDER BY ord DESC LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("read the eras: %w", err)
	}
	slices.Reverse(out)
	return out, nil
}

// CommonEra finds the newest of these eras, oldest first, that the database has
// too, by ordinal and ID; 0 if it has none of them.
func (v View) CommonEra(ctx context.Context, eras []protocol.Era) (uint32, error) {
	for _, e := range slices.Backward(eras) {
		var id int64
		err := v.q.row(ctx, `SELECT id FROM eras WHERE ord = $1`, int64(e.Ord)).Scan(&id)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return 0, fmt.Errorf("read the eras: %w", err)
		}
		if err == nil && uint64(id) == e.ID {
			return e.Ord, nil
		}
	}
	return 0, nil
}

// BeginEra makes the next era.
func (t *Tx) BeginEra(ctx context.Context, id uint64, now time.Time) (protocol.Era, error) {
	e := protocol.Era{ID: id}
	err := t.q.row(ctx, `INSERT INTO eras (ord, id, started_ms) SELECT COALESCE(MAX(ord), 0) + 1, $1, $2 FROM eras RETURNING ord`,
		int64(id), now.UnixMilli()).Scan(&e.Ord)
	if err != nil {
		return e, fmt.Errorf("begin an era: %w", err)
	}
	t.last.era = e.Ord
	return e, nil
}

// Producer is what is known of a terminal's producer.
type Producer struct {
	Epoch    uint32
	LastCseq uint64
	LastAcks []byte // as SetProducer was given it
}

// Producer finds a terminal's producer, or ErrNotFound.
func (v View) Producer(ctx context.Context, app protocol.AppID, user, terminal string) (Producer, error) {
	var p Producer
	err := v.q.row(ctx, `SELECT epoch, last_cseq, last_acks FROM producers WHERE app = $1 AND user_id = $2 AND terminal = $3`,
		int64(app), user, terminal).Scan(&p.Epoch, &p.LastCseq, &p.LastAcks)
	if err != nil {
		return p, fmt.Errorf("read the producer: %w", notFound(err))
	}
	return p, nil
}

// SetProducer keeps a terminal's producer.
func (t *Tx) SetProducer(ctx context.Context, app protocol.AppID, user, terminal string, p Producer) error {
	_, err := t.q.exec(ctx, `INSERT INTO producers (app, user_id, terminal, epoch, last_cseq, last_acks) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (app, user_id, terminal) DO UPDATE SET epoch = excluded.epoch, last_cseq = excluded.last_cseq, last_acks = excluded.last_acks`,
		int64(app), user, terminal, int64(p.Epoch), int64(p.LastCseq), p.LastAcks)
	if err != nil {
		return fmt.Errorf("keep the producer: %w", err)
	}
	return nil
}
