package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/herald-im/herald/protocol"
)

// Invite is an invitation's row.
type Invite struct {
	ID      string
	Inviter string
	Group   string // empty: between two accounts
	Log     LogID
	Seq     uint64        // of its first step in the log
	Timeout time.Duration // whole seconds; 0: none
	Until   int64         // Unix ms at which it times out; 0: never
	Open    int           // invitees who have not answered; 0: it is over

	Room     uint32 // of the call that it is to; 0: to something else
	Terminal string // of the inviter
	Made     int64  // Unix ms
}

// Invitee is one of those who are invited.
type Invitee struct {
	User   string
	Answer protocol.SignalingAction // that ended it for him; 0: none yet
}

const inviteColumns = `id, inviter, group_id, log_id, seq, timeout_s, until_ms, open, room, terminal, made_ms`

func scanInvite(row scanner) (i Invite, err error) {
	var seconds int64
	err = row.Scan(&i.ID, &i.Inviter, &i.Group, &i.Log, &i.Seq, &seconds, &i.Until, &i.Open, &i.Room, &i.Terminal, &i.Made)
	i.Timeout = time.Duration(seconds) * time.Second
	return i, err
}

// CreateInvite writes a new invitation with its invitees.
func (t *Tx) CreateInvite(ctx context.Context, app protocol.AppID, i Invite, invitees []string) error {
	_, err := t.q.exec(ctx, `INSERT INTO invites (app, id, inviter, group_id, log_id, seq, timeout_s, until_ms, open, ended_ms, room, terminal, made_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11, $12)`,
		int64(app), i.ID, i.Inviter, i.Group, int64(i.Log), int64(i.Seq), int64(i.Timeout/time.Second), i.Until, len(invitees),
		int64(i.Room), i.Terminal, i.Made)
	if err != nil {
		return fmt.Errorf("write the invitation: %w", err)
	}
	for place, user := range invitees {
		_, err := t.q.exec(ctx, `INSERT INTO invitees (app, invite_id, user_id, place, answer) VALUES ($1, $2, $3, $4, 0)`, int64(app), i.ID, user, place)
		if err != nil {
			return fmt.Errorf("write the invitee: %w", err)
		}
	}
	return nil
}

// Invite finds an invitation, or ErrNotFound.
func (v View) Invite(ctx context.Context, app protocol.AppID, id string) (Invite, error) {
	i, err := scanInvite(v.q.row(ctx, `SELECT `+inviteColumns+` FROM invites WHERE app = $1 AND id = $2`, int64(app), id))
	if err != nil {
		return i, fmt.Errorf("read the invitation: %w", notFound(err))
	}
	return i, nil
}

// Invitees lists those who are invited, in the order of the invitation.
func (v View) Invitees(ctx context.Context, app protocol.AppID, id string) ([]Invitee, error) {
	out, err := collect(ctx, v.q, func(row scanner) (i Invitee, err error) { return i, row.Scan(&i.User, &i.Answer) },
		`SELECT user_id, answer FROM invitees WHERE app = $1 AND invite_id = $2 ORDER BY place`, int64(app), id)
	if err != nil {
		return nil, fmt.Errorf("read the invitees: %w", err)
	}
	return out, nil
}

// Answer closes an invitation for one invitee, or with user "" for all who are
// open. ErrNotFound: there is nobody to close it for.
func (t *Tx) Answer(ctx context.Context, app protocol.AppID, id, user string, answer protocol.SignalingAction, now time.Time) error {
	res, err := t.q.exec(ctx, `UPDATE invitees SET answer = $4 WHERE app = $1 AND invite_id = $2 AND answer = 0 AND ($3 = '' OR user_id = $3)`,
		int64(app), id, user, int64(answer))
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	n, err := res.RowsAffected()
	switch {
	case err != nil:
		return fmt.Errorf("write the answer: %w", err)
	case n == 0:
		return ErrNotFound
	}
	_, err = t.q.exec(ctx, `UPDATE invites SET open = open - $3, ended_ms = CASE WHEN open = $3 THEN CAST($4 AS BIGINT) ELSE 0 END WHERE app = $1 AND id = $2`,
		int64(app), id, n, now.UnixMilli())
	if err != nil {
		return fmt.Errorf("write the invitation: %w", err)
	}
	return nil
}

// PeopleOfCall lists who is in a call or may still come: the inviter, and the
// invitees who have accepted or not answered, at most limit of them, those invited
// last first. None: there is no such call, or all of it ended before a time.
func (v View) PeopleOfCall(ctx context.Context, app protocol.AppID, inviter string, room uint32, limit int, before time.Time) ([]string, error) {
	if room == 0 {
		return nil, nil // of all that are no calls
	}
	out, err := collect(ctx, v.q, func(row scanner) (user string, err error) { return user, row.Scan(&user) },
		`SELECT e.user_id FROM invites i JOIN invitees e ON e.app = i.app AND e.invite_id = i.id
WHERE i.app = $1 AND i.inviter = $2 AND i.room = $3 AND i.room > 0 AND (i.ended_ms = 0 OR i.ended_ms >= $4) AND e.answer IN (0, $5)
GROUP BY e.user_id ORDER BY MAX(i.made_ms) DESC, e.user_id LIMIT $6`,
		int64(app), inviter, int64(room), before.UnixMilli(), int64(protocol.SignalingAccept), limit)
	if err != nil {
		return nil, fmt.Errorf("read who is called: %w", err)
	}
	if len(out) > 0 {
		out = append(out, inviter)
	}
	return out, nil
}

// OpenFor lists the invitations that are not over and were made by a user, or that
// he has not answered; the newest first.
func (v View) OpenFor(ctx context.Context, app protocol.AppID, user string, limit int) ([]Invite, error) {
	out, err := collect(ctx, v.q, scanInvite, `SELECT `+inviteColumns+` FROM invites WHERE app = $1 AND open > 0 AND (inviter = $2
OR id IN (SELECT invite_id FROM invitees WHERE app = $1 AND user_id = $2 AND answer = 0)) ORDER BY made_ms DESC, id LIMIT $3`,
		int64(app), user, limit)
	if err != nil {
		return nil, fmt.Errorf("read the open invitations: %w", err)
	}
	return out, nil
}

// OpenInvites counts an inviter's invitations that are not over.
func (v View) OpenInvites(ctx context.Context, app protocol.AppID, inviter string) (n int, err error) {
	err = v.q.row(ctx, `SELECT COUNT(*) FROM invites WHERE app = $1 AND inviter = $2 AND open > 0`, int64(app), inviter).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the invitations: %w", err)
	}
	return n, nil
}

// NextDue is when the next invitation times out, in Unix ms; 0: none does.
func (v View) NextDue(ctx context.Context, app protocol.AppID) (at int64, err error) {
	err = v.q.row(ctx, `SELECT until_ms FROM invites WHERE app = $1 AND open > 0 AND until_ms > 0 ORDER BY until_ms LIMIT 1`, int64(app)).Scan(&at)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("look for the next timeout: %w", err)
	}
	return at, nil
}

// DueInvites lists invitations that have timed out by now, the oldest first.
func (v View) DueInvites(ctx context.Context, app protocol.AppID, now time.Time, limit int) ([]Invite, error) {
	out, err := collect(ctx, v.q, scanInvite, `SELECT `+inviteColumns+` FROM invites
WHERE app = $1 AND open > 0 AND until_ms > 0 AND until_ms <= $2 ORDER BY until_ms LIMIT $3`, int64(app), now.UnixMilli(), limit)
	if err != nil {
		return nil, fmt.Errorf("look for timeouts: %w", err)
	}
	return out, nil
}

// ForgetInvites deletes invitations that were over before a time.
func (t *Tx) ForgetInvites(ctx context.Context, app protocol.AppID, before time.Time) error {
	const which = `FROM invites WHERE app = $1 AND ended_ms > 0 AND ended_ms < $2`
	_, err := t.q.exec(ctx, `DELETE FROM invitees WHERE app = $1 AND invite_id IN (SELECT id `+which+`)`, int64(app), before.UnixMilli())
	if err == nil {
		_, err = t.q.exec(ctx, `DELETE `+which, int64(app), before.UnixMilli())
	}
	if err != nil {
		return fmt.Errorf("forget old invitations: %w", err)
	}
	return nil
}
