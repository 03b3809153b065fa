package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/herald-im/herald/protocol"
)

// Blacklist lists whose messages an account does not want, by userId.
func (v View) Blacklist(ctx context.Context, app protocol.AppID, owner string) ([]string, error) {
	out, err := collect(ctx, v.q, func(row scanner) (user string, err error) { return user, row.Scan(&user) },
		`SELECT user_id FROM blacklist WHERE app = $1 AND owner = $2`, int64(app), owner)
	if err != nil {
		return nil, fmt.Errorf("read the blacklist: %w", err)
	}
	slices.Sort(out) // databases differ in how they order text
	return out, nil
}

// AddToBlacklist puts an account into a blacklist. ErrExists: it is there.
func (t *Tx) AddToBlacklist(ctx context.Context, app protocol.AppID, owner, user string, now time.Time) error {
	res, err := t.q.exec(ctx, `INSERT INTO blacklist (app, owner, user_id, added_ms) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		int64(app), owner, user, now.UnixMilli())
	return t.one(res, err, ErrExists, "add to the blacklist")
}

// RemoveFromBlacklist takes an account out of a blacklist. ErrNotFound: it is not
// in it.
func (t *Tx) RemoveFromBlacklist(ctx context.Context, app protocol.AppID, owner, user string) error {
	res, err := t.q.exec(ctx, `DELETE FROM blacklist WHERE app = $1 AND owner = $2 AND user_id = $3`, int64(app), owner, user)
	return t.one(res, err, ErrNotFound, "take out of the blacklist")
}
