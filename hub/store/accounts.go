package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/herald-im/herald/protocol"
)

// Key is one of an app's secrets.
type Key struct {
	ID      string
	Secret  string // the text that makes UserSigs
	Created time.Time
	Removed bool // its UserSigs are void
}

// User is an account.
type User struct {
	ID      string
	Created time.Time
	Blocked bool
	// RevokedBefore is in Unix seconds: UserSigs issued earlier are void. 0: none.
	RevokedBefore int64
}

// Apps lists the apps, in the order of their ids.
func (v View) Apps(ctx context.Context) ([]protocol.AppID, error) {
	out, err := collect(ctx, v.q, func(row scanner) (a protocol.AppID, err error) { return a, row.Scan(&a) }, `SELECT id FROM apps`)
	if err != nil {
		return nil, fmt.Errorf("read the apps: %w", err)
	}
	slices.Sort(out)
	return out, nil
}

// CreateApp makes an app. ErrExists: there is one with this id.
func (t *Tx) CreateApp(ctx context.Context, app protocol.AppID, now time.Time) error {
	res, err := t.q.exec(ctx, `INSERT INTO apps (id, created_ms) VALUES ($1, $2) ON CONFLICT DO NOTHING`, int64(app), now.UnixMilli())
	return t.one(res, err, ErrExists, "create the app")
}

// one turns "no row was changed" into an error.
func (t *Tx) one(res interface{ RowsAffected() (int64, error) }, err, none error, doing string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if n == 0 {
		return none
	}
	return nil
}

// Keys lists an app's keys, oldest first, also those that were removed.
func (v View) Keys(ctx context.Context, app protocol.AppID) ([]Key, error) {
	out, err := collect(ctx, v.q, func(row scanner) (k Key, err error) {
		var created, removed int64
		err = row.Scan(&k.ID, &k.Secret, &created, &removed)
		k.Created, k.Removed = time.UnixMilli(created), removed != 0
		return k, err
	}, `SELECT id, secret, created_ms, removed_ms FROM app_keys WHERE app = $1`, int64(app))
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	slices.SortFunc(out, func(a, b Key) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}

// AddKey adds a key in force. ErrExists: the id is or was in use.
func (t *Tx) AddKey(ctx context.Context, app protocol.AppID, k Key) error {
	res, err := t.q.exec(ctx, `INSERT INTO app_keys (app, id, secret, created_ms, removed_ms) VALUES ($1, $2, $3, $4, 0)
ON CONFLICT DO NOTHING`, int64(app), k.ID, k.Secret, k.Created.UnixMilli())
	return t.one(res, err, ErrExists, "add the key")
}

// RemoveKey ends a key. ErrNotFound: there is none in force with this id.
func (t *Tx) RemoveKey(ctx context.Context, app protocol.AppID, id string, now time.Time) error {
	res, err := t.q.exec(ctx, `UPDATE app_keys SET removed_ms = $3 WHERE app = $1 AND id = $2 AND removed_ms = 0`,
		int64(app), id, now.UnixMilli())
	return t.one(res, err, ErrNotFound, "remove the key")
}

const userColumns = `id, created_ms, blocked_ms, revoked_before`

func scanUser(row scanner) (u User, err error) {
	var created, blocked int64
	err = row.Scan(&u.ID, &created, &blocked, &u.RevokedBefore)
	u.Created, u.Blocked = time.UnixMilli(created), blocked != 0
	return u, err
}

// User finds an account, or ErrNotFound.
func (v View) User(ctx context.Context, app protocol.AppID, id string) (User, error) {
	u, err := scanUser(v.q.row(ctx, `SELECT `+userColumns+` FROM users WHERE app = $1 AND id = $2`, int64(app), id))
	if err != nil {
		return u, fmt.Errorf("read the account: %w", notFound(err))
	}
	return u, nil
}

// Users lists the accounts by id.
func (v View) Users(ctx context.Context, app protocol.AppID) ([]User, error) {
	out, err := collect(ctx, v.q, scanUser, `SELECT `+userColumns+` FROM users WHERE app = $1`, int64(app))
	if err != nil {
		return nil, fmt.Errorf("read the accounts: %w", err)
	}
	slices.SortFunc(out, func(a, b User) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// CreateUser makes an account. ErrExists: there is one.
func (t *Tx) CreateUser(ctx context.Context, app protocol.AppID, id string, now time.Time) error {
	res, err := t.q.exec(ctx, `INSERT INTO users (app, id, created_ms, blocked_ms, revoked_before) VALUES ($1, $2, $3, 0, 0)
ON CONFLICT DO NOTHING`, int64(app), id, now.UnixMilli())
	return t.one(res, err, ErrExists, "create the account")
}

// SetBlocked blocks an account, or lets it in again. ErrNotFound: there is none.
func (t *Tx) SetBlocked(ctx context.Context, app protocol.AppID, id string, blocked bool, now time.Time) error {
	at := int64(0)
	if blocked {
		at = now.UnixMilli()
	}
	res, err := t.q.exec(ctx, `UPDATE users SET blocked_ms = $3 WHERE app = $1 AND id = $2`, int64(app), id, at)
	return t.one(res, err, ErrNotFound, "block the account")
}

// Revoke voids an account's UserSigs issued before a moment. ErrNotFound: there
// is no such account.
func (t *Tx) Revoke(ctx context.Context, app protocol.AppID, id string, before time.Time) error {
	res, err := t.q.exec(ctx, `UPDATE users SET revoked_before = $3 WHERE app = $1 AND id = $2`, int64(app), id, before.Unix())
	return t.one(res, err, ErrNotFound, "revoke the account's UserSigs")
}

// What an Order asks for.
const (
	OrderKick  = "kick"  // end the user's sessions
	OrderBlock = "block" // the user was blocked
	OrderKey   = "key"   // the key Arg was removed
	// OrderOperate asks for operations, which Arg has, and for an answer.
	OrderOperate = "operate"
)

// Order is the operator's word to the hubs that run.
type Order struct {
	ID   int64
	App  protocol.AppID
	Kind string
	User string
	Arg  string
}

// orderAge is how long orders are kept. A hub that did not run then has no
// session that they could be about.
const orderAge = time.Hour

// AddOrder gives an order.
func (t *Tx) AddOrder(ctx context.Context, o Order, now time.Time) error {
	_, err := t.AddQuestion(ctx, o, now)
	return err
}

// AddQuestion is AddOrder for an order that is answered.
func (t *Tx) AddQuestion(ctx context.Context, o Order, now time.Time) (id int64, err error) {
	id, err = t.next(ctx, "order")
	if err == nil {
		_, err = t.q.exec(ctx, `INSERT INTO orders (id, app, kind, user_id, arg, ordered_ms) VALUES ($1, $2, $3, $4, $5, $6)`,
			id, int64(o.App), o.Kind, o.User, o.Arg, now.UnixMilli())
	}
	if err == nil {
		_, err = t.q.exec(ctx, `DELETE FROM orders WHERE ordered_ms < $1`, now.Add(-orderAge).UnixMilli())
	}
	if err == nil {
		_, err = t.q.exec(ctx, `DELETE FROM order_answers WHERE answered_ms < $1`, now.Add(-orderAge).UnixMilli())
	}
	if err != nil {
		return 0, fmt.Errorf("give the order: %w", err)
	}
	return id, nil
}

// AnswerOrder says what became of an order.
func (t *Tx) AnswerOrder(ctx context.Context, id int64, text string, now time.Time) error {
	_, err := t.q.exec(ctx, `INSERT INTO order_answers (id, body, answered_ms) VALUES ($1, $2, $3)`, id, text, now.UnixMilli())
	if err != nil {
		return fmt.Errorf("answer the order: %w", err)
	}
	return nil
}

// Answer reads what became of an order, or ErrNotFound.
func (v View) Answer(ctx context.Context, id int64) (text string, err error) {
	if err := v.q.row(ctx, `SELECT body FROM order_answers WHERE id = $1`, id).Scan(&text); err != nil {
		return "", fmt.Errorf("read the order's answer: %w", notFound(err))
	}
	return text, nil
}

// Orders lists the orders after the one with this id.
func (v View) Orders(ctx context.Context, after int64) ([]Order, error) {
	out, err := collect(ctx, v.q, func(row scanner) (o Order, err error) {
		return o, row.Scan(&o.ID, &o.App, &o.Kind, &o.User, &o.Arg)
	}, `SELECT id, app, kind, user_id, arg FROM orders WHERE id > $1 ORDER BY id`, after)
	if err != nil {
		return nil, fmt.Errorf("read the orders: %w", err)
	}
	return out, nil
}

// LastOrder is the id of the newest order.
func (v View) LastOrder(ctx context.Context) (int64, error) {
	var n int64
	if err := v.q.row(ctx, `SELECT n FROM counters WHERE name = $1`, "order").Scan(&n); err != nil {
		return 0, fmt.Errorf("read the orders: %w", err)
	}
	return n, nil
}
