package store

import (
	"context"
	"fmt"
	"time"

	"github.com/herald-im/herald/protocol"
)

// GroupApplication is an application to join a group.
type GroupApplication struct {
	Group     string
	User      string
	Msg       string
	AppliedAt int64  // Unix milliseconds
	HandledAt int64  // likewise; 0: it is open
	Handler   string // who has decided
	Agreed    bool
	Reply     string
}

// Apply keeps an application to join a group; a newer one replaces it.
func (t *Tx) Apply(ctx context.Context, app protocol.AppID, group, user, msg string, now time.Time) error {
	_, err := t.q.exec(ctx, `INSERT INTO applications (app, group_id, user_id, msg, applied_ms) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (app, group_id, user_id) DO UPDATE SET msg = excluded.msg, applied_ms = excluded.applied_ms, handled_ms = 0, handler = '', agreed = 0, reply = ''`,
		int64(app), group, user, msg, now.UnixMilli())
	if err != nil {
		return fmt.Errorf("keep the application: %w", err)
	}
	return nil
}

// Handle notes what was decided about an application. ErrNotFound: it is not open.
func (t *Tx) Handle(ctx context.Context, app protocol.AppID, a GroupApplication) error {
	res, err := t.q.exec(ctx, `UPDATE applications SET handled_ms = $4, handler = $5, agreed = $6, reply = $7
WHERE app = $1 AND group_id = $2 AND user_id = $3 AND handled_ms = 0`, int64(app), a.Group, a.User, a.HandledAt, a.Handler, bit(a.Agreed), a.Reply)
	return t.one(res, err, ErrNotFound, "decide about the application")
}

// Withdraw removes an open application, if there is one.
func (t *Tx) Withdraw(ctx context.Context, app protocol.AppID, group, user string) error {
	_, err := t.q.exec(ctx, `DELETE FROM applications WHERE app = $1 AND group_id = $2 AND user_id = $3 AND handled_ms = 0`, int64(app), group, user)
	if err != nil {
		return fmt.Errorf("remove the application: %w", err)
	}
	return nil
}

// ForgetApplications removes those that were decided before a moment.
func (t *Tx) ForgetApplications(ctx context.Context, before time.Time) error {
	if _, err := t.q.exec(ctx, `DELETE FROM applications WHERE handled_ms > 0 AND handled_ms < $1`, before.UnixMilli()); err != nil {
		return fmt.Errorf("remove old applications: %w", err)
	}
	return nil
}

// Applications counts the open applications to join a group.
func (v View) Applications(ctx context.Context, app protocol.AppID, group string) (int, error) {
	var n int
	err := v.q.row(ctx, `SELECT COUNT(*) FROM applications WHERE app = $1 AND group_id = $2 AND handled_ms = 0`, int64(app), group).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the applications: %w", err)
	}
	return n, nil
}

// ApplicationsTo lists the applications to join the groups of which a user is the
// owner or an admin: the open ones, the newest first, then the others.
func (v View) ApplicationsTo(ctx context.Context, app protocol.AppID, user string, limit int) ([]GroupApplication, error) {
	out, err := collect(ctx, v.q, func(row scanner) (a GroupApplication, err error) {
		var agreed int64
		err = row.Scan(&a.Group, &a.User, &a.Msg, &a.AppliedAt, &a.HandledAt, &a.Handler, &agreed, &a.Reply)
		a.Agreed = agreed != 0
		return a, err
	}, `SELECT a.group_id, a.user_id, a.msg, a.applied_ms, a.handled_ms, a.handler, a.agreed, a.reply
FROM members m JOIN applications a ON a.app = m.app AND a.group_id = m.group_id
WHERE m.app = $1 AND m.user_id = $2 AND m.role > 0
ORDER BY CASE WHEN a.handled_ms = 0 THEN 0 ELSE 1 END, a.applied_ms DESC, a.group_id, a.user_id LIMIT $3`, int64(app), user, limit)
	if err != nil {
		return nil, fmt.Errorf("read the applications: %w", err)
	}
	return out, nil
}
