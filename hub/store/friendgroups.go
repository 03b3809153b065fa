package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/herald-im/herald/protocol"
)

// FriendGroups lists an account's friend groups by name, each with its friends by
// userId.
func (v View) FriendGroups(ctx context.Context, app protocol.AppID, owner string) (names []string, friends map[string][]string, err error) {
	names, err = collect(ctx, v.q, func(row scanner) (name string, err error) { return name, row.Scan(&name) },
		`SELECT name FROM friend_groups WHERE app = $1 AND owner = $2`, int64(app), owner)
	if err != nil {
		return nil, nil, fmt.Errorf("read the friend groups: %w", err)
	}
	slices.Sort(names)
	rows, err := collect(ctx, v.q, func(row scanner) (m [2]string, err error) { return m, row.Scan(&m[0], &m[1]) },
		`SELECT name, user_id FROM friend_group_members WHERE app = $1 AND owner = $2`, int64(app), owner)
	if err != nil {
		return nil, nil, fmt.Errorf("read the friend groups' members: %w", err)
	}
	friends = make(map[string][]string)
	for _, m := range rows {
		friends[m[0]] = append(friends[m[0]], m[1])
	}
	for _, list := range friends {
		slices.Sort(list)
	}
	return names, friends, nil
}

// CreateFriendGroup makes a friend group. ErrExists: there is one of this name.
func (t *Tx) CreateFriendGroup(ctx context.Context, app protocol.AppID, owner, name string, now time.Time) error {
	res, err := t.q.exec(ctx, `INSERT INTO friend_groups (app, owner, name, made_ms) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		int64(app), owner, name, now.UnixMilli())
	return t.one(res, err, ErrExists, "make the friend group")
}

// DeleteFriendGroup deletes a friend group. ErrNotFound: there is none.
func (t *Tx) DeleteFriendGroup(ctx context.Context, app protocol.AppID, owner, name string) error {
	res, err := t.q.exec(ctx, `DELETE FROM friend_groups WHERE app = $1 AND owner = $2 AND name = $3`, int64(app), owner, name)
	if err := t.one(res, err, ErrNotFound, "delete the friend group"); err != nil {
		return err
	}
	_, err = t.q.exec(ctx, `DELETE FROM friend_group_members WHERE app = $1 AND owner = $2 AND name = $3`, int64(app), owner, name)
	if err != nil {
		return fmt.Errorf("delete the friend group's members: %w", err)
	}
	return nil
}

// RenameFriendGroup renames a friend group, to a name that none has. ErrNotFound:
// there is none.
func (t *Tx) RenameFriendGroup(ctx context.Context, app protocol.AppID, owner, name, to string) error {
	res, err := t.q.exec(ctx, `UPDATE friend_groups SET name = $4 WHERE app = $1 AND owner = $2 AND name = $3`, int64(app), owner, name, to)
	if err := t.one(res, err, ErrNotFound, "rename the friend group"); err != nil {
		return err
	}
	_, err = t.q.exec(ctx, `UPDATE friend_group_members SET name = $4 WHERE app = $1 AND owner = $2 AND name = $3`, int64(app), owner, name, to)
	if err != nil {
		return fmt.Errorf("rename the friend group: %w", err)
	}
	return nil
}

// AddToFriendGroup puts a friend into a friend group. ErrExists: he is in it.
func (t *Tx) AddToFriendGroup(ctx context.Context, app protocol.AppID, owner, name, user string) error {
	res, err := t.q.exec(ctx, `INSERT INTO friend_group_members (app, owner, name, user_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		int64(app), owner, name, user)
	return t.one(res, err, ErrExists, "put the friend into the friend group")
}

// RemoveFromFriendGroup takes a friend out of a friend group. ErrNotFound: he is
// not in it.
func (t *Tx) RemoveFromFriendGroup(ctx context.Context, app protocol.AppID, owner, name, user string) error {
	res, err := t.q.exec(ctx, `DELETE FROM friend_group_members WHERE app = $1 AND owner = $2 AND name = $3 AND user_id = $4`,
		int64(app), owner, name, user)
	return t.one(res, err, ErrNotFound, "take the friend out of the friend group")
}
